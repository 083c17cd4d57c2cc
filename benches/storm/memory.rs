//! Measures how many passwords stay in doorward's memory: after logins with marked ones through an HTTP service, and
//! after many requests without them. It reads /proc/PID/mem, which needs root.
//!
//! The figures have no target: buffers of actix and of the HTTP client are reused and not cleared.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::thread;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};

use crate::Fallible;
use crate::client::{Connection, basic, client, subrequest};
use crate::doorward::Doorward;

/// Every marked password begins with it.
const MARK: &str = "SECRETxyz-";
/// The number of logins of each kind, each with a different password.
const USERS: usize = 100;
const CONNECTIONS: usize = 8;
/// Requests without a mark, on the same connections.
const OTHERS: usize = 5000;
/// Bytes read at a time; pieces overlap, so that no mark is cut in two.
const PIECE: usize = 1 << 20;
const OVERLAP: usize = 256;

/// Runs the requests and prints the figures.
pub(crate) fn run() -> Fallible<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(&stream));
        }
    });
    let dir = tempfile::tempdir()?;
    let (settings, key) = (dir.path().join("doorward.toml"), dir.path().join("key"));
    fs::write(&key, format!("{MARK}of-the-service"))?;
    let text = format!(
        "[[authenticator]]\ntype = \"http\"\nname = \"api\"\nurl = \"http://127.0.0.1:{port}/check\"\nmethod = \"GET\"\n\
         headers = {{ Authorization = \"Basic {{basic}}\", X-Api-Key = \"{{file:{}}}\", X-Password = \"{{password}}\" }}\n",
        key.display()
    );
    fs::write(&settings, text)?;
    let doorward = Doorward::with(&["--config".as_ref(), settings.as_os_str()])?;
    let mut connections =
        (0..CONNECTIONS).map(|_| Connection::open(doorward.port)).collect::<Fallible<Vec<_>>>()?;
    let mut ask = |n: usize, user: &str, password: &str| -> Fallible<u16> {
        let connection = connections.get_mut(n % CONNECTIONS).ok_or("no connection")?;
        Ok(connection.ask(&subrequest(&basic(user, password), client(n)))?.status)
    };
    scan("at the start", doorward.pid())?;
    for (kind, wanted) in [("accepted", 200), ("rejected", 401), ("failing", 503)] {
        for n in 0..USERS {
            let status = ask(n, &format!("{kind}-{n}"), &format!("{MARK}{kind}-{n:03}"))?;
            if status != wanted {
                return Err(format!("{kind}-{n}: {status} and not {wanted}").into());
            }
        }
    }
    scan(&format!("after {} log-ins with a password each", 3 * USERS), doorward.pid())?;
    for n in 0..OTHERS {
        // Half of the users are new, so that doorward calls the service.
        ask(n, &format!("accepted-other-{}", n % (OTHERS / 2)), "a password like another, and longer")?;
    }
    scan(&format!("after {OTHERS} more requests without a marked one"), doorward.pid())
}

/// Answers as an authentication service: by the beginning of the user name.
fn serve(stream: &TcpStream) {
    let (mut reader, mut writer, mut status) = (BufReader::new(stream), stream, 401);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
        if let Some(value) = line.trim_end().strip_prefix("authorization: Basic ") {
            let pair = BASE64_STANDARD.decode(value).unwrap_or_default();
            status = if pair.starts_with(b"accepted") {
                200
            } else if pair.starts_with(b"failing") {
                418
            } else {
                401
            };
        }
        if line == "\r\n" && write!(writer, "HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n").is_err()
        {
            return;
        }
        line.clear();
    }
}

/// Searches every writable part of the process's memory, and prints the places of marks by form and part.
fn scan(when: &str, pid: u32) -> Fallible<()> {
    let memory = File::open(format!("/proc/{pid}/mem"))
        .map_err(|error| format!("the memory of {pid}: {error}; this needs root"))?;
    let (mut found, mut read) = (BTreeMap::<(&str, &str), usize>::new(), 0);
    let forms = forms();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [range, "rw-p" | "rw-s", ..] = fields[..] else { continue };
        let part = fields
            .get(5)
            .map_or("other memory", |name| if name.starts_with('[') { name } else { "the program" });
        let (start, end) = range.split_once('-').ok_or("a range")?;
        let (mut at, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
        let mut piece = vec![0; PIECE];
        while at < end {
            let Some(into) = piece.get_mut(..usize::try_from(end - at)?.min(PIECE)) else { break };
            // Some parts cannot be read.
            let Ok(count @ 1..) = memory.read_at(into, at) else { break };
            read += count;
            // A mark that begins in the overlap is counted in the next piece.
            let counted = if count == PIECE { PIECE - OVERLAP } else { count };
            let bytes = piece.get(..count).unwrap_or_default();
            for (form, needle) in &forms {
                let places =
                    bytes.windows(needle.len()).take(counted).filter(|window| window == needle).count();
                if places > 0 {
                    *found.entry((form, part)).or_default() += places;
                }
            }
            at += u64::try_from(counted)?;
        }
    }
    if read < 100_000 {
        return Err(format!("only {read} bytes of the memory could be read").into());
    }
    println!("\npasswords in memory {when}:");
    for ((form, part), places) in &found {
        println!("  {form:8} {part:14} {places:6} places");
    }
    if found.is_empty() {
        println!("  none");
    }
    Ok(())
}

/// Returns the mark in plain text, and in base64 at each of its three offsets.
fn forms() -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![("plain", MARK.as_bytes().to_vec())];
    for before in 0..3_usize {
        let whole = BASE64_STANDARD_NO_PAD.encode([&vec![b'x'; before][..], MARK.as_bytes()].concat());
        let form = whole.get((before * 8).div_ceil(6)..(before + MARK.len()) * 8 / 6).unwrap_or_default();
        forms.push(("base64", form.as_bytes().to_vec()));
    }
    forms
}
