//! The group file, in the format of Apache (mod_authz_groupfile): one `group: user user …` in each line.
//!
//! Groups are looked up after the cache, on every request. A user who is removed from a group loses its permissions
//! with the next request, without another password check.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::identity::{GROUPS_OF_USER_MAX, Membership, Username, check_group_name};

/// Maximum number of errors that are reported for one file.
const GROUP_FILE_ERRORS_MAX: usize = 100;

/// An error in a line of a group file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupFileError {
    /// The line, starting at 1.
    pub(crate) line: usize,
    /// The error and its remedy.
    pub(crate) message: String,
}

/// The groups of all users.
#[derive(Debug, Default)]
pub(crate) struct GroupMemberships {
    by_user: HashMap<Box<[u8]>, Membership>,
    empty: Membership,
}

impl GroupMemberships {
    /// Parses the text of a group file.
    ///
    /// # Errors
    /// Returns the errors. Parsing stops after `GROUP_FILE_ERRORS_MAX`. A file with an error is rejected as a whole: an
    /// incomplete group would be worse than the groups that were active before.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Vec<GroupFileError>> {
        let mut errors = Vec::new();
        let mut groups_by_user: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            if errors.len() >= GROUP_FILE_ERRORS_MAX {
                break;
            }
            let mut report = |message: String| errors.push(GroupFileError { line: at + 1, message });
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                report(format!("no colon in the line of {} bytes; write GROUP: USER USER", line.len()));
                continue;
            };
            let (group, users) = line.split_at(colon);
            if let Err(error) = check_group_name(group.trim_ascii_end()) {
                report(error);
                continue;
            }
            let words = users.split(u8::is_ascii_whitespace).map(|u| u.strip_prefix(b":").unwrap_or(u));
            // The message does not quote the line, which can be a line of another file with a password.
            for (number, user) in (1..).zip(words.filter(|user| !user.is_empty())) {
                if let Err(error) = check_user(user) {
                    report(format!("user {number}: {error}"));
                    continue;
                }
                let groups = groups_by_user.entry(user).or_default();
                let group = group.trim_ascii_end();
                if groups.contains(&group) {
                    continue;
                }
                groups.push(group);
                if groups.len() > GROUPS_OF_USER_MAX {
                    report(format!(
                        "user {number}: more than {GROUPS_OF_USER_MAX} groups; remove the user from some"
                    ));
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let by_user =
            groups_by_user.into_iter().map(|(user, groups)| (user.into(), Membership::new(groups))).collect();
        Ok(Self { by_user, empty: Membership::default() })
    }

    /// Returns the groups of a user.
    pub(crate) fn of_user(&self, user: &[u8]) -> &Membership {
        self.by_user.get(user).unwrap_or(&self.empty)
    }

    /// Returns the users of a group, in no particular order.
    pub(crate) fn members<'g>(&'g self, group: &'g [u8]) -> impl Iterator<Item = &'g [u8]> {
        let is_member = |groups: &Membership| groups.groups().iter().any(|known| **known == *group);
        self.by_user.iter().filter(move |(_, groups)| is_member(groups)).map(|(user, _)| &**user)
    }

    /// Returns true if the group has a member.
    pub(crate) fn has_members(&self, group: &[u8]) -> bool {
        self.members(group).next().is_some()
    }

    /// Returns the number of users who are in at least one group.
    pub(crate) fn user_count(&self) -> usize {
        self.by_user.len()
    }
}

/// Checks a user name of a line. Apache accepts quotes around names with spaces. Here they are rejected: a quoted name
/// would match no user, and a denial for the group would not apply.
fn check_user(user: &[u8]) -> Result<(), String> {
    if user.iter().any(|b| matches!(b, b'"' | b'\'' | b'\\')) {
        return Err("quotes and backslashes are not supported; write names without spaces".into());
    }
    Username::check(user).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str, user: &str) -> String {
        let groups = GroupMemberships::parse(text.as_bytes()).unwrap();
        String::from_utf8(groups.of_user(user.as_bytes()).header_value().to_vec()).unwrap()
    }

    #[test]
    fn apache_group_file_is_parsed() {
        let text = "# teams\r\ndevs: ann bob\r\n\r\n  ops:bob\t carl\ndevs : dan ann\nempty:\n";
        assert_eq!(groups(text, "ann"), "devs");
        assert_eq!(groups(text, "bob"), "devs,ops");
        assert_eq!(groups(text, "dan"), "devs");
        assert_eq!(groups(text, "eve"), "");
        assert_eq!(groups("", "ann"), "");
    }

    #[test]
    fn group_file_with_errors_is_rejected_and_each_error_has_its_line() {
        let errors = GroupMemberships::parse(
            b"devs ann\nok: ann\na,b: ann\n: ann\nx y: ann\nops: a:b\nq: \"john doe\"\n",
        )
        .unwrap_err();
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [1, 3, 4, 5, 6, 7, 7]);
        assert!(errors[0].message.contains("GROUP: USER"), "{errors:?}");
        assert!(errors[4].message.contains("colon"), "{errors:?}");
        let many: String = (0..=GROUPS_OF_USER_MAX).map(|n| format!("g{n}: ann\n")).collect();
        assert_eq!(GroupMemberships::parse(many.as_bytes()).unwrap_err().len(), 1);
        assert!(GroupMemberships::parse("devs: ann\n".repeat(GROUPS_OF_USER_MAX + 1).as_bytes()).is_ok());
        assert_eq!(
            GroupMemberships::parse("x\n".repeat(10 * GROUP_FILE_ERRORS_MAX).as_bytes()).unwrap_err().len(),
            GROUP_FILE_ERRORS_MAX
        );
    }
}
