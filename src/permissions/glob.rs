//! Patterns over names that are parted by `/`: repositories, and the paths of a site.
//!
//! A pattern is parsed once, segment by segment. `*` stands for any run of characters within a
//! segment, `**` as a whole segment for any number of segments, `{user}` and `{group}` as whole
//! segments for one literal segment each. What they stand for is compared and never parsed, so a
//! user who is called `**` gets the segment `**` and no other.

/// The longest pattern, in bytes: a repository name has 255 (OCI distribution spec, "pull"), and a
/// path rarely more.
const PATTERN_BYTES_MAX: usize = 1024;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Nothing at all.
    #[error("the pattern is empty")]
    Empty,
    /// More than the bound.
    #[error("the pattern is longer than {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    /// `a//b`, or a slash at an end where there may be none.
    #[error("the pattern has an empty segment; write one slash between two names, and none at the ends")]
    EmptySegment,
    /// A `**` that is not a segment.
    #[error("** is a whole segment, as in team/**; within one, write *")]
    DoubleStarInsideSegment,
    /// Braces other than those that there are.
    #[error("braces are for {{user}} and {{group}}, each as a whole segment, as in home/{{user}}/**")]
    InvalidPlaceholder,
    /// A character that no name has.
    #[error("no {0} has the character {1:?}")]
    InvalidCharacter(&'static str, char),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum GlobSegment {
    Literal(Box<str>),
    /// The literal parts between the stars, of which there is one less.
    Wildcard(Box<[Box<str>]>),
    AnyDepth,
    User,
    Group,
}

/// What `{user}` and `{group}` stand for in one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlaceholderValues<'n> {
    /// The user's name; `None` for nobody.
    pub user: Option<&'n [u8]>,
    /// The groups by which a rule applies to him.
    pub groups: &'n [&'n [u8]],
}

/// What the names are that a pattern is for.
#[derive(Clone, Copy, Debug)]
pub struct PatternSyntax {
    /// What they are called.
    pub noun: &'static str,
    /// Whether no such name has a character.
    pub is_invalid_char: fn(char) -> bool,
    /// Whether they may end with a slash, which makes an empty last segment.
    pub is_trailing_slash_allowed: bool,
}

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    segments: Box<[GlobSegment]>,
}

impl Glob {
    /// Parses a pattern of segments.
    pub fn parse(text: &str, names: PatternSyntax) -> Result<Self, GlobError> {
        if text.is_empty() && !names.is_trailing_slash_allowed {
            return Err(GlobError::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(GlobError::TooLong);
        }
        if text == "/" {
            return Err(GlobError::EmptySegment);
        }
        let segments = text.strip_suffix('/').filter(|_| names.is_trailing_slash_allowed).unwrap_or(text);
        let mut pieces = Vec::new();
        if !segments.is_empty() {
            segments
                .split('/')
                .try_for_each(|text| parse_segment(text, names).map(|piece| pieces.push(piece)))?;
        }
        if segments.len() < text.len() || text.is_empty() {
            pieces.push(GlobSegment::Literal("".into()));
        }
        Ok(Self { segments: pieces.into() })
    }

    /// The literal segments at its start: whatever it matches begins with them.
    pub fn literal_prefix(&self) -> impl Iterator<Item = &str> {
        self.segments
            .iter()
            .map_while(|piece| if let GlobSegment::Literal(text) = piece { Some(&**text) } else { None })
    }

    /// Segments that it matches, for a user and groups.
    pub fn example_segments(&self, names: PlaceholderValues<'_>) -> Vec<String> {
        let text = |name: Option<&[u8]>| String::from_utf8_lossy(name.unwrap_or(b"example")).into_owned();
        let one = |piece: &GlobSegment| match piece {
            GlobSegment::Literal(text) => text.to_string(),
            GlobSegment::Wildcard(parts) => parts.join("example"),
            GlobSegment::AnyDepth => "example".to_owned(),
            GlobSegment::User => text(names.user),
            GlobSegment::Group => text(names.groups.first().copied()),
        };
        self.segments.iter().map(one).collect()
    }

    /// Whether it ends with a slash.
    pub fn has_trailing_slash(&self) -> bool {
        matches!(self.segments.last(), Some(GlobSegment::Literal(text)) if text.is_empty())
    }

    /// Whether it matches these segments, all of them.
    pub fn matches(&self, segments: &[&str], names: PlaceholderValues<'_>) -> bool {
        match_segments(&self.segments, segments, names)
    }
}

fn parse_segment(text: &str, names: PatternSyntax) -> Result<GlobSegment, GlobError> {
    match text {
        "" => return Err(GlobError::EmptySegment),
        "**" => return Ok(GlobSegment::AnyDepth),
        "{user}" => return Ok(GlobSegment::User),
        "{group}" => return Ok(GlobSegment::Group),
        _ => {}
    }
    if text.contains("**") {
        return Err(GlobError::DoubleStarInsideSegment);
    }
    if text.contains(['{', '}']) {
        return Err(GlobError::InvalidPlaceholder);
    }
    if let Some(character) = text.chars().find(|c| *c != '*' && (names.is_invalid_char)(*c)) {
        return Err(GlobError::InvalidCharacter(names.noun, character));
    }
    let parts: Box<[Box<str>]> = text.split('*').map(Box::from).collect();
    match parts.len() {
        0 | 1 => Ok(GlobSegment::Literal(text.into())),
        _ => Ok(GlobSegment::Wildcard(parts)),
    }
}

/// Goes back to the last `**` alone: whatever an earlier one could skip, the last can skip too. So the
/// work is at most the product of both lengths.
fn match_segments(pieces: &[GlobSegment], segments: &[&str], names: PlaceholderValues<'_>) -> bool {
    let (mut piece_at, mut segment_at) = (0, 0);
    // Behind the last `**`, and the first segment that it does not skip.
    let mut back: Option<(usize, usize)> = None;
    loop {
        match (pieces.get(piece_at), segments.get(segment_at)) {
            (None, None) => return true,
            // `team/**` is what is in team, and not team itself.
            (Some(GlobSegment::AnyDepth), segment) if piece_at + 1 == pieces.len() => {
                return segment.is_some();
            }
            (Some(GlobSegment::AnyDepth), _) => {
                piece_at += 1;
                back = Some((piece_at, segment_at));
            }
            (Some(piece), Some(segment)) if match_segment(piece, segment, names) => {
                piece_at += 1;
                segment_at += 1;
            }
            (_, None) => return false,
            (_, Some(_)) => {
                let Some((behind, skipped)) = back else { return false };
                back = Some((behind, skipped + 1));
                (piece_at, segment_at) = (behind, skipped + 1);
            }
        }
    }
}

fn match_segment(piece: &GlobSegment, segment: &str, names: PlaceholderValues<'_>) -> bool {
    match piece {
        GlobSegment::Literal(text) => **text == *segment,
        GlobSegment::Wildcard(parts) => match_wildcard(parts, segment),
        GlobSegment::User => names.user == Some(segment.as_bytes()),
        GlobSegment::Group => names.groups.contains(&segment.as_bytes()),
        GlobSegment::AnyDepth => false,
    }
}

/// The first part stands at the start, the last at the end, the others in between, each at its first
/// place: if there is a way, there is that one.
fn match_wildcard(parts: &[Box<str>], segment: &str) -> bool {
    let [first, middle @ .., last] = parts else { return false };
    let Some(mut rest) = segment.strip_prefix(&**first) else { return false };
    for part in middle {
        match rest.split_once(&**part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(&**last)
}

#[cfg(test)]
#[path = "glob_tests.rs"]
mod tests;
