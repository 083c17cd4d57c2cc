//! The group file, as Apache reads it (mod_authz_groupfile): `group: user user …`, one a line.
//!
//! It is joined after the cache, on every request: who is taken out of a group has lost its rights
//! at the next request, and no password is checked anew for it.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::identity::{GROUPS_OF_USER_MAX, Membership, Username, check_group_name};

/// The most faults that are told of one file.
const ERRORS_MAX: usize = 100;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFileError {
    /// From 1.
    pub line: usize,
    /// What, and what to do.
    pub message: String,
}

/// All users' groups.
#[derive(Debug, Default)]
pub struct GroupMemberships {
    by_user: HashMap<Box<[u8]>, Membership>,
    empty: Membership,
}

impl GroupMemberships {
    /// Reads a file's text.
    ///
    /// # Errors
    /// Every fault. A file with one is not taken at all: half of a group would be worse than the
    /// groups of a minute ago.
    pub fn parse(text: &[u8]) -> Result<Self, Vec<GroupFileError>> {
        let mut faults = Vec::new();
        let mut found: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            if faults.len() >= ERRORS_MAX {
                break;
            }
            let mut fault = |what: String| faults.push(GroupFileError { line: at + 1, message: what });
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                fault(format!("the line of {} bytes has no colon; write GROUP: USER USER", line.len()));
                continue;
            };
            let (group, users) = line.split_at(colon);
            if let Err(what) = check_group_name(group.trim_ascii_end()) {
                fault(what);
                continue;
            }
            let words = users.split(u8::is_ascii_whitespace).map(|u| u.strip_prefix(b":").unwrap_or(u));
            // The words are not quoted: the line may be one of another file, with a password.
            for (number, user) in (1..).zip(words.filter(|user| !user.is_empty())) {
                if let Err(why) = check_user(user) {
                    fault(format!("user {number} of the line: {why}"));
                    continue;
                }
                let groups = found.entry(user).or_default();
                let group = group.trim_ascii_end();
                if groups.contains(&group) {
                    continue;
                }
                groups.push(group);
                if groups.len() > GROUPS_OF_USER_MAX {
                    fault(format!("user {number} of the line is in more than {GROUPS_OF_USER_MAX} groups"));
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let of = found.into_iter().map(|(user, groups)| (user.into(), Membership::new(groups))).collect();
        Ok(Self { by_user: of, empty: Membership::default() })
    }

    /// The groups of a user.
    pub fn of_user(&self, user: &[u8]) -> &Membership {
        self.by_user.get(user).unwrap_or(&self.empty)
    }

    /// The users of a group, in no order.
    pub fn members<'g>(&'g self, group: &'g [u8]) -> impl Iterator<Item = &'g [u8]> {
        let is_in = |of: &Membership| of.groups().iter().any(|known| **known == *group);
        self.by_user.iter().filter(move |(_, of)| is_in(of)).map(|(user, _)| &**user)
    }

    /// Whether anybody is in this group.
    pub fn has_members(&self, group: &[u8]) -> bool {
        self.by_user.values().any(|of| of.groups().iter().any(|known| **known == *group))
    }

    /// How many users are in any group.
    pub fn user_count(&self) -> usize {
        self.by_user.len()
    }
}

/// Apache takes quotes around names with spaces; what is quoted here would be a denial that never applies.
fn check_user(user: &[u8]) -> Result<(), String> {
    if user.iter().any(|b| matches!(b, b'"' | b'\'' | b'\\')) {
        return Err("quotes and backslashes are not taken; each word is a user".into());
    }
    Username::check(user).map_err(|fault| fault.to_string())
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
        let faults = GroupMemberships::parse(
            b"devs ann\nok: ann\na,b: ann\n: ann\nx y: ann\nops: a:b\nq: \"john doe\"\n",
        )
        .unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 3, 4, 5, 6, 7, 7]);
        assert!(faults[0].message.contains("GROUP: USER"), "{faults:?}");
        assert!(faults[4].message.contains("colon"), "{faults:?}");
        let many: String = (0..=GROUPS_OF_USER_MAX).map(|n| format!("g{n}: ann\n")).collect();
        assert_eq!(GroupMemberships::parse(many.as_bytes()).unwrap_err().len(), 1);
        assert!(GroupMemberships::parse("devs: ann\n".repeat(GROUPS_OF_USER_MAX + 1).as_bytes()).is_ok());
        assert_eq!(
            GroupMemberships::parse("x\n".repeat(10 * ERRORS_MAX).as_bytes()).unwrap_err().len(),
            ERRORS_MAX
        );
    }
}
