//! Where passwords stay in the memory of a running doorward: after requests that carried marked ones,
//! and after many others that did not. Reads `/proc/PID/mem`, so it has to be root, or the owner where
//! the system lets him.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;

use crate::Fallible;
use crate::backend::Backend;
use crate::client::{Connection, basic, client, question};
use crate::doorward::Doorward;

/// Every marked password begins with it.
const MARK: &str = "SECRETxyz-";
/// Users of each kind, with a password each.
const USERS: usize = 100;
const CONNECTIONS: usize = 8;
/// Requests without a mark, over the same connections.
const OTHERS: usize = 5000;
/// Read at one time; with an overlap, so that no mark is cut in two.
const PIECE: usize = 1 << 20;
const OVERLAP: usize = 256;

/// How the mark was found, in which part of the memory: how often, and which secrets.
type Found = BTreeMap<(String, String), (usize, BTreeSet<Vec<u8>>)>;

/// Runs the scenario and prints its figures.
pub(crate) fn run() -> Fallible<()> {
    let backend = Backend::start()?;
    let key = format!("{MARK}of-the-service");
    let settings = |dir: &str| {
        format!(
            "[[authenticator]]\ntype = \"http\"\nname = \"api\"\nurl = \"http://127.0.0.1:{}/check\"\n\
             headers = {{ Authorization = \"Basic {{basic}}\", X-Api-Key = \"{{file:{dir}/key}}\" }}\n\
             json = {{ password = \"{{password}}\" }}\nmethod = \"POST\"\n",
            backend.port()
        )
    };
    let doorward = Doorward::start_beside(&[("key", &key)], settings)?;
    let mut connections =
        (0..CONNECTIONS).map(|_| Connection::open(doorward.port)).collect::<Fallible<Vec<_>>>()?;
    let mut ask = |n: usize, user: &str, password: &str| {
        let connection = connections.get_mut(n % CONNECTIONS).ok_or("no connection")?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
            connection.ask(&question(&basic(user, password), client(n)))?.status,
        )
    };
    report("at the start", &scan(doorward.pid())?);
    for (kind, wanted) in [("accepted", 200), ("rejected", 401), ("odd", 503)] {
        for n in 0..USERS {
            let status = ask(n, &format!("{kind}-{n}"), &format!("{MARK}{kind}-{n:03}"))?;
            if status != wanted {
                return Err(format!("{kind}-{n}: {status} and not {wanted}").into());
            }
        }
    }
    report(&format!("after {} log-ins with a password each", 3 * USERS), &scan(doorward.pid())?);
    for n in 0..OTHERS {
        // New users, whom the service has to be asked about, and some that are known by then.
        ask(n, &format!("accepted-other-{}", n % (OTHERS / 2)), "a password like another, and longer")?;
    }
    report(&format!("after {OTHERS} more requests without a marked one"), &scan(doorward.pid())?);
    Ok(())
}

fn report(when: &str, found: &Found) {
    println!("\n{when}:");
    if found.is_empty() {
        println!("  no marked secret");
    }
    for ((form, place), (count, which)) in found {
        let mut kinds = BTreeMap::<String, usize>::new();
        for secret in which {
            let kind: String = secret
                .iter()
                .map(|byte| char::from(*byte))
                .take_while(|c| c.is_ascii_lowercase() || *c == '-')
                .collect();
            *kinds.entry(kind.trim_matches('-').to_owned()).or_default() += 1;
        }
        println!("  {form:8} {place:12} {count:6} places, {:4} different: {kinds:?}", which.len());
    }
}

/// Every readable and writable part of the process's memory.
fn scan(pid: u32) -> Fallible<Found> {
    let maps = read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))
        .map_err(|error| format!("the memory of {pid}: {error}; it takes root"))?;
    let (mut found, mut read) = (Found::new(), 0);
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [range, rights, ..] = fields[..] else { continue };
        if !rights.starts_with("rw") {
            continue;
        }
        let place = match fields.get(5) {
            Some(name) if name.starts_with('[') => (*name).to_owned(),
            Some(_) => "the program".to_owned(),
            None => "other memory".to_owned(),
        };
        let (start, end) = range.split_once('-').ok_or("a range")?;
        let (mut at, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
        let mut piece = vec![0; PIECE];
        while at < end {
            let wanted = usize::try_from(end - at)?.min(PIECE);
            let Some(into) = piece.get_mut(..wanted) else { break };
            // Some parts are there and can't be read.
            let Ok(count @ 1..) = memory.read_at(into, at) else { break };
            read += count;
            search(piece.get(..count).unwrap_or_default(), &place, &mut found);
            at += u64::try_from(if count == PIECE { PIECE - OVERLAP } else { count })?;
        }
    }
    if read < 100_000 {
        return Err(format!("only {read} bytes of the memory could be read").into());
    }
    Ok(found)
}

/// What follows a mark, as far as it is a secret of ours.
fn tail(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').take(40).collect()
}

fn search(bytes: &[u8], place: &str, found: &mut Found) {
    let mut note = |form: &str, secret: Vec<u8>| {
        let entry = found.entry((form.to_owned(), place.to_owned())).or_default();
        entry.0 += 1;
        entry.1.insert(secret);
    };
    // A mark that begins in the overlap is found in the next piece, where it is whole.
    let last = if bytes.len() == PIECE { PIECE - OVERLAP } else { bytes.len() };
    let each = |form: &[u8]| {
        let (form, first) = (form.to_vec(), form.first().copied());
        (0..last).filter(move |at| {
            bytes.get(*at).copied() == first && bytes.get(*at..).is_some_and(|b| b.starts_with(&form))
        })
    };
    for at in each(MARK.as_bytes()) {
        note("as it is", tail(bytes.get(at + MARK.len()..).unwrap_or_default()));
    }
    for before in 0..3_usize {
        let whole = BASE64_STANDARD_NO_PAD.encode([&vec![b'x'; before][..], MARK.as_bytes()].concat());
        let form = whole.get((before * 8).div_ceil(6)..(before + MARK.len()) * 8 / 6).unwrap_or_default();
        for at in each(form.as_bytes()) {
            // From where three bytes begin anew, so that it can be decoded.
            let skip = (4 - (before * 8).div_ceil(6) % 4) % 4;
            let letters = bytes.get(at + skip..).unwrap_or_default();
            let letters: Vec<u8> = letters
                .iter()
                .copied()
                .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
                .take(64)
                .collect();
            let letters = letters.get(..letters.len() / 4 * 4).unwrap_or_default();
            let text = BASE64_STANDARD_NO_PAD.decode(letters).unwrap_or_default();
            let from = text.iter().position(|byte| *byte == b'-').map_or(0, |at| at + 1);
            note("base64", tail(text.get(from..).unwrap_or_default()));
        }
    }
}
