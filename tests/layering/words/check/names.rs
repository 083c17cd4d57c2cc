//! The rules for names: the standard terms of `names.txt`, and the form of test names.

use super::rust::Item;

/// A name that is not used, and the standard term.
pub(super) struct Retired {
    place: Place,
    names: Vec<String>,
    pub(super) standard: &'static str,
}

#[derive(PartialEq)]
enum Place {
    Item(Item),
    Camel,
    Snake,
    Text,
}

/// Reads the file of names. A line that cannot be read is an error with its number.
pub(super) fn read(text: &'static str) -> Result<Vec<Retired>, String> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let error = || format!("names.txt:{}: it is not \"PLACE NAME => STANDARD\"", at + 1);
        let (names, standard) = line.split_once(" => ").ok_or_else(error)?;
        let (place, names) = names.split_once(' ').ok_or_else(error)?;
        let mut names: Vec<String> = match place {
            "text" | "setting" => vec![names.to_owned()],
            _ => names.split('|').map(str::to_owned).collect(),
        };
        let place = match place {
            "type" => Place::Item(Item::Type),
            "function" => Place::Item(Item::Function),
            "module" => Place::Item(Item::Module),
            "field" => Place::Item(Item::Field),
            "variant" => Place::Item(Item::Variant),
            "camel" => Place::Camel,
            "snake" => Place::Snake,
            "text" => Place::Text,
            "setting" => {
                let key = names.pop().ok_or_else(error)?;
                names.push(format!("--{}", key.replace(['.', '_'], "-")));
                names.push(format!("DOORWARD_{}", key.replace('.', "_").to_uppercase()));
                names.push(key);
                Place::Text
            }
            _ => return Err(error()),
        };
        found.push(Retired { place, names, standard });
    }
    Ok(found)
}

impl Retired {
    /// Returns true if a defined name is this one.
    pub(super) fn is_name(&self, name: &str, item: Item) -> bool {
        let is_part = |parts: &[&str]| self.names.iter().any(|known| parts.contains(&&**known));
        match self.place {
            Place::Item(place) => place == item && is_part(&[name]),
            Place::Camel => matches!(item, Item::Type | Item::Variant) && is_part(&camel_parts(name)),
            Place::Snake => {
                let is_snake =
                    matches!(item, Item::Function | Item::Field | Item::Module | Item::Constant | Item::Test);
                is_snake && is_part(&name.to_lowercase().split('_').collect::<Vec<_>>())
            }
            Place::Text => false,
        }
    }

    /// Returns where a line of any file uses this name.
    pub(super) fn find<'a>(&'a self, line: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.names.iter().filter(|_| self.place == Place::Text);
        names.filter_map(move |name| {
            let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
            line.match_indices(&**name)
                .map(|(at, found)| (&line[..at], found, &line[at + found.len()..]))
                .find_map(|(before, found, after)| {
                    let is_whole =
                        !before.ends_with(|c| is_inner(c) || c == '.') && !after.starts_with(is_inner);
                    is_whole.then_some(found)
                })
        })
    }
}

fn camel_parts(name: &str) -> Vec<&str> {
    let mut starts: Vec<usize> =
        name.char_indices().filter(|(_, c)| c.is_uppercase()).map(|(at, _)| at).collect();
    starts.push(name.len());
    starts.windows(2).filter_map(|window| name.get(*window.first()?..*window.last()?)).collect()
}

/// Returns what is wrong with the name of a test.
pub(super) fn test_name(name: &str) -> Option<&'static str> {
    const PERSONS: [&str; 16] = [
        "he",
        "his",
        "him",
        "who",
        "whom",
        "whose",
        "whoever",
        "somebody",
        "nobody",
        "anybody",
        "everybody",
        "everyone",
        "told",
        "asked",
        "wants",
        "knows",
    ];
    let parts: Vec<&str> = name.split('_').collect();
    if parts.len() < 3 {
        return Some("state the condition and the result: throttled_client_gets_429_with_retry_after");
    }
    if matches!(parts.first(), Some(&("a" | "an" | "the"))) {
        return Some("without the article");
    }
    parts.iter().any(|part| PERSONS.contains(part)).then_some("name the client, user or program")
}
