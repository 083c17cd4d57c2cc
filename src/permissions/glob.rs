//! Patterns for names with segments between slashes: repository names, and the paths of a site.
//!
//! A pattern is parsed once, segment by segment. `*` matches any characters within a segment. `**` must be a whole
//! segment and matches any number of segments. `{user}` and `{group}` must be whole segments, and each matches one
//! segment. The names that they represent are compared and never parsed: for a user named `**`, `{user}` matches only
//! the segment `**`.

/// Maximum length of a pattern, in bytes. A repository name has at most 255 (OCI distribution spec, "Pulling
/// manifests"), and a path rarely has more.
const PATTERN_BYTES_MAX: usize = 1024;

/// An error in the text of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// The text is empty.
    #[error("the pattern is empty")]
    Empty,
    /// The text is longer than `PATTERN_BYTES_MAX`.
    #[error("the pattern is longer than {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    /// A segment is empty, as in `a//b`, or the text starts or ends with a slash where none is allowed.
    #[error("the pattern has an empty segment; write one slash between two segments")]
    EmptySegment,
    /// `**` is only a part of a segment.
    #[error("** must be a whole segment, as in team/**; within a segment, write *")]
    DoubleStarInsideSegment,
    /// Braces are not those of `{user}` or `{group}` as a whole segment.
    #[error("invalid placeholder; write {{user}} or {{group}} as a whole segment, as in home/{{user}}/**")]
    InvalidPlaceholder,
    /// A character cannot be in a name: the noun of [`PatternSyntax`], and the character.
    #[error("a {0} cannot contain {1:?}")]
    InvalidCharacter(&'static str, char),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum GlobSegment {
    Literal(Box<str>),
    /// The literal parts before, between and after the stars.
    Wildcard(Box<[Box<str>]>),
    AnyDepth,
    User,
    Group,
}

/// The names that `{user}` and `{group}` represent in one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlaceholderValues<'n> {
    /// The user name; `None` for an anonymous request.
    pub user: Option<&'n [u8]>,
    /// The groups of the user that the rule is about.
    pub groups: &'n [&'n [u8]],
}

/// The syntax of the names that a pattern matches.
#[derive(Clone, Copy, Debug)]
pub struct PatternSyntax {
    /// The noun for such a name in messages.
    pub noun: &'static str,
    /// A function that returns true for a character that such a name cannot contain.
    pub is_invalid_char: fn(char) -> bool,
    /// Whether such a name can end with a slash, which gives it an empty last segment.
    pub is_trailing_slash_allowed: bool,
}

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    segments: Box<[GlobSegment]>,
}

impl Glob {
    /// Parses the text of a pattern.
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

    /// Returns the literal segments at the start of the pattern. Every name that it matches starts with them.
    pub fn literal_prefix(&self) -> impl Iterator<Item = &str> {
        self.segments
            .iter()
            .map_while(|piece| if let GlobSegment::Literal(text) = piece { Some(&**text) } else { None })
    }

    /// Returns the segments of one name that the pattern matches for this user and these groups.
    pub fn example_segments(&self, names: PlaceholderValues<'_>) -> Vec<String> {
        let text = |name: Option<&[u8]>| String::from_utf8_lossy(name.unwrap_or(b"example")).into_owned();
        let example = |piece: &GlobSegment| match piece {
            GlobSegment::Literal(text) => text.to_string(),
            GlobSegment::Wildcard(parts) => parts.join("example"),
            GlobSegment::AnyDepth => "example".to_owned(),
            GlobSegment::User => text(names.user),
            GlobSegment::Group => text(names.groups.first().copied()),
        };
        self.segments.iter().map(example).collect()
    }

    /// Returns true if the pattern ends with a slash.
    pub fn has_trailing_slash(&self) -> bool {
        matches!(self.segments.last(), Some(GlobSegment::Literal(text)) if text.is_empty())
    }

    /// Returns true if the pattern matches the whole name that has these segments.
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

/// Matches with backtracking to the last `**` only: it can skip every segment that an earlier one could skip.
/// Therefore the number of steps is at most the product of both lengths.
fn match_segments(pieces: &[GlobSegment], segments: &[&str], names: PlaceholderValues<'_>) -> bool {
    let (mut piece_at, mut segment_at) = (0, 0);
    // The piece after the last `**`, and the first segment that this `**` does not skip.
    let mut back: Option<(usize, usize)> = None;
    loop {
        match (pieces.get(piece_at), segments.get(segment_at)) {
            (None, None) => return true,
            // `team/**` matches the names below team, but not team itself.
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
                let Some((next_piece, skipped)) = back else { return false };
                back = Some((next_piece, skipped + 1));
                (piece_at, segment_at) = (next_piece, skipped + 1);
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

/// Matches the first part at the start, the last part at the end, and the others between them. Each is matched at its
/// first occurrence: if any match exists, this one does.
fn match_wildcard(parts: &[Box<str>], segment: &str) -> bool {
    let [first, middle @ .., last] = parts else { return false };
    let Some(mut rest) = segment.strip_prefix(&**first) else { return false };
    for part in middle {
        match rest.split_once(&**part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(&**last)
}

#[cfg(test)]
#[path = "glob_tests.rs"]
mod tests;
