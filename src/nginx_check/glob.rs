//! File names with `*`, `?` and `[…]`, as in `include conf.d/*.conf`.

/// Returns whether a path is a pattern.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Returns whether a path has the form of a pattern. A pattern does not match a slash or a dot at the start of a name.
pub(super) fn matches_path(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (segments(pattern), segments(path));
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(pattern, name)| {
            let hides = name.starts_with('.') && !pattern.starts_with('.');
            pattern == name || (is_pattern(pattern) && !hides && matches_name(pattern, name))
        })
}

/// Returns the segments of a path, without empty ones and `.`.
fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect()
}

fn matches_name(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // The position after the last `*`, and the position in the name where it was tried.
    let mut star: Option<(usize, usize)> = None;
    let (mut p, mut n) = (0, 0);
    while let Some(character) = name.get(n) {
        if pattern.get(p) == Some(&'*') {
            star = Some((p + 1, n));
            p += 1;
            continue;
        }
        if let Some(next) = matches_one(&pattern, p, *character) {
            p = next;
            n += 1;
            continue;
        }
        let Some((after_star, tried)) = star else { return false };
        star = Some((after_star, tried + 1));
        p = after_star;
        n = tried + 1;
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|character| *character == '*'))
}

/// Compares one character with the element of the pattern at `at`. Returns the position of the next element.
fn matches_one(pattern: &[char], at: usize, character: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => matches_set(pattern, at, character),
        '\\' => (pattern.get(at + 1) == Some(&character)).then_some(at + 2),
        other => (*other == character).then_some(at + 1),
    }
}

/// Compares one character with a set such as `[a-z]` or `[!0-9]`.
fn matches_set(pattern: &[char], at: usize, character: char) -> Option<usize> {
    let is_negated = matches!(pattern.get(at + 1), Some('!' | '^'));
    let first = at + 1 + usize::from(is_negated);
    // A `]` at the start belongs to the set.
    let end = pattern.iter().skip(first + 1).position(|c| *c == ']')? + first + 1;
    let set = pattern.get(first..end)?;
    let mut is_in = false;
    let mut i = 0;
    while let Some(low) = set.get(i) {
        if let (Some('-'), Some(high)) = (set.get(i + 1), set.get(i + 2)) {
            is_in |= (*low..=*high).contains(&character);
            i += 3;
        } else {
            is_in |= *low == character;
            i += 1;
        }
    }
    (is_in != is_negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_like_the_shell() {
        for (pattern, path, expected) in [
            ("/e/conf.d/*.conf", "/e/conf.d/a.conf", true),
            ("/e/conf.d/*.conf", "/e/conf.d/a.conf.bak", false),
            ("/e/conf.d/*.conf", "/e/conf.d/sub/a.conf", false),
            ("/e/conf.d/*", "/e/conf.d/.hidden", false),
            ("/e/*/a.conf", "/e/x/a.conf", true),
            ("/e/./a.conf", "/e//a.conf", true),
            ("a?.conf", "ab.conf", true),
            ("a[0-9].conf", "a5.conf", true),
            ("a[!0-9].conf", "a5.conf", false),
            ("a[]].conf", "a].conf", true),
            ("*a*b", "xayab", true),
            ("*", "", false),
            ("a.conf", "b.conf", false),
        ] {
            assert_eq!(matches_path(pattern, path), expected, "{pattern} {path}");
        }
    }
}
