//! Patterns over names that are parted by `/`: repositories, and the paths of a site.
//!
//! A pattern is parsed once, segment by segment. `*` stands for any run of characters within a
//! segment, `**` as a whole segment for any number of segments, `{user}` and `{group}` as whole
//! segments for one literal segment each. What they stand for is compared and never parsed, so a
//! user who is called `**` gets the segment `**` and no other.

/// The longest pattern, in bytes: a repository name has 255 (OCI distribution spec, "pull"), and a
/// path rarely more.
const PATTERN_MAX: usize = 1024;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobFault {
    /// Nothing at all.
    #[error("the pattern is empty")]
    Empty,
    /// More than the bound.
    #[error("the pattern is longer than {PATTERN_MAX} bytes")]
    Long,
    /// `a//b`, or a slash at an end where there may be none.
    #[error("the pattern has an empty segment; write one slash between two names, and none at the ends")]
    EmptySegment,
    /// A `**` that is not a segment.
    #[error("** is a whole segment, as in team/**; within one, write *")]
    PartOfSegment,
    /// Braces other than those that there are.
    #[error("braces are for {{user}} and {{group}}, each as a whole segment, as in home/{{user}}/**")]
    Braces,
    /// A character that no name has.
    #[error("no {0} has the character {1:?}")]
    Character(&'static str, char),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    /// The literal parts between the stars, of which there is one less.
    Wild(Box<[Box<str>]>),
    AnyDepth,
    User,
    Group,
}

/// What `{user}` and `{group}` stand for in one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'n> {
    /// The user's name; `None` for nobody.
    pub user: Option<&'n [u8]>,
    /// The groups by which a rule applies to him.
    pub groups: &'n [&'n [u8]],
}

/// What the names are that a pattern is for.
#[derive(Clone, Copy, Debug)]
pub struct NamesOf {
    /// What they are called.
    pub what: &'static str,
    /// Whether no such name has a character.
    pub foreign: fn(char) -> bool,
    /// Whether they may end with a slash, which makes an empty last segment.
    pub open_end: bool,
}

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    pieces: Box<[Piece]>,
}

impl Glob {
    /// Parses a pattern of segments.
    pub fn parse(text: &str, names: NamesOf) -> Result<Self, GlobFault> {
        if text.is_empty() && !names.open_end {
            return Err(GlobFault::Empty);
        }
        if text.len() > PATTERN_MAX {
            return Err(GlobFault::Long);
        }
        if text == "/" {
            return Err(GlobFault::EmptySegment);
        }
        let segments = text.strip_suffix('/').filter(|_| names.open_end).unwrap_or(text);
        let mut pieces = Vec::new();
        if !segments.is_empty() {
            segments.split('/').try_for_each(|text| segment(text, names).map(|piece| pieces.push(piece)))?;
        }
        if segments.len() < text.len() || text.is_empty() {
            pieces.push(Piece::Literal("".into()));
        }
        Ok(Self { pieces: pieces.into() })
    }

    /// The literal segments at its start: whatever it matches begins with them.
    pub fn prefix(&self) -> impl Iterator<Item = &str> {
        self.pieces
            .iter()
            .map_while(|piece| if let Piece::Literal(text) = piece { Some(&**text) } else { None })
    }

    /// Segments that it matches, for a user and groups.
    pub fn example(&self, names: Names<'_>) -> Vec<String> {
        let text = |name: Option<&[u8]>| String::from_utf8_lossy(name.unwrap_or(b"example")).into_owned();
        let one = |piece: &Piece| match piece {
            Piece::Literal(text) => text.to_string(),
            Piece::Wild(parts) => parts.join("example"),
            Piece::AnyDepth => "example".to_owned(),
            Piece::User => text(names.user),
            Piece::Group => text(names.groups.first().copied()),
        };
        self.pieces.iter().map(one).collect()
    }

    /// Whether it ends with a slash.
    pub fn ends_open(&self) -> bool {
        matches!(self.pieces.last(), Some(Piece::Literal(text)) if text.is_empty())
    }

    /// Whether it matches these segments, all of them.
    pub fn matches(&self, segments: &[&str], names: Names<'_>) -> bool {
        run(&self.pieces, segments, names)
    }
}

fn segment(text: &str, names: NamesOf) -> Result<Piece, GlobFault> {
    match text {
        "" => return Err(GlobFault::EmptySegment),
        "**" => return Ok(Piece::AnyDepth),
        "{user}" => return Ok(Piece::User),
        "{group}" => return Ok(Piece::Group),
        _ => {}
    }
    if text.contains("**") {
        return Err(GlobFault::PartOfSegment);
    }
    if text.contains(['{', '}']) {
        return Err(GlobFault::Braces);
    }
    if let Some(character) = text.chars().find(|c| *c != '*' && (names.foreign)(*c)) {
        return Err(GlobFault::Character(names.what, character));
    }
    let parts: Box<[Box<str>]> = text.split('*').map(Box::from).collect();
    match parts.len() {
        0 | 1 => Ok(Piece::Literal(text.into())),
        _ => Ok(Piece::Wild(parts)),
    }
}

/// Goes back to the last `**` alone: whatever an earlier one could skip, the last can skip too. So the
/// work is at most the product of both lengths.
fn run(pieces: &[Piece], segments: &[&str], names: Names<'_>) -> bool {
    let (mut piece_at, mut segment_at) = (0, 0);
    // Behind the last `**`, and the first segment that it does not skip.
    let mut back: Option<(usize, usize)> = None;
    loop {
        match (pieces.get(piece_at), segments.get(segment_at)) {
            (None, None) => return true,
            // `team/**` is what is in team, and not team itself.
            (Some(Piece::AnyDepth), segment) if piece_at + 1 == pieces.len() => return segment.is_some(),
            (Some(Piece::AnyDepth), _) => {
                piece_at += 1;
                back = Some((piece_at, segment_at));
            }
            (Some(piece), Some(segment)) if one(piece, segment, names) => {
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

fn one(piece: &Piece, segment: &str, names: Names<'_>) -> bool {
    match piece {
        Piece::Literal(text) => **text == *segment,
        Piece::Wild(parts) => wild(parts, segment),
        Piece::User => names.user == Some(segment.as_bytes()),
        Piece::Group => names.groups.contains(&segment.as_bytes()),
        Piece::AnyDepth => false,
    }
}

/// The first part stands at the start, the last at the end, the others in between, each at its first
/// place: if there is a way, there is that one.
fn wild(parts: &[Box<str>], segment: &str) -> bool {
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
