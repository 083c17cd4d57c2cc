//! API keys and files of them, written by the documented format alone.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::random::Random;

const DIGITS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Returns a new key with this id, or with a new one.
pub(crate) fn new(random: &mut Random, id: Option<&str>) -> String {
    let id = id.map_or_else(|| random.text(DIGITS, 10), str::to_owned);
    let text = format!("dwk_{id}_{}", random.text(DIGITS, 30));
    // The CRC-32 in base 62, in six digits.
    let (mut rest, mut checksum) = (crc32fast::hash(text.as_bytes()) as usize, Vec::new());
    for _ in 0..6 {
        checksum.extend(DIGITS.chars().nth(rest % 62));
        rest /= 62;
    }
    text + &checksum.into_iter().rev().collect::<String>()
}

/// Returns the id of a key.
pub(crate) fn id(key: &str) -> &str {
    key.get(4..14).unwrap_or_default()
}

/// Returns the line of a key. `more` holds further members, each after a comma.
pub(crate) fn line(key: &str, owner: &str, name: &str, more: &str) -> String {
    let digest: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    let id = id(key);
    format!(r#"{{"id":"{id}","hash":"sha256:{digest}","owner":"{owner}","name":"{name}"{more}}}"#)
}

/// Writes `lines` and `count` keys of other owners to a file, in random order. Two of three keys have a scope, of a few
/// hundred different ones, and an expiry.
pub(crate) fn write(
    path: &Path,
    mut lines: Vec<String>,
    count: usize,
    random: &mut Random,
) -> io::Result<()> {
    for n in 0..count {
        let limits = format!(
            r#","expires":"2099-01-01T00:00:00Z","scope":["pull,push:team{}/**","pull:shared/**"]"#,
            n % 300
        );
        let more = if n % 3 == 0 { "" } else { &limits };
        lines.push(line(&new(random, None), &format!("user{}", n / 10), &format!("key{}", n % 10), more));
    }
    random.shuffle(&mut lines);
    lines.push(String::new());
    let mut file = File::create(path)?;
    file.write_all(lines.join("\n").as_bytes())?;
    // doorward reads a file twice if it was written just before the start.
    file.set_modified(SystemTime::now() - Duration::from_secs(60))
}
