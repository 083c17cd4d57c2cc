//! The password of a command: read from stdin or a terminal, or generated.

use std::io::{self, BufRead, IsTerminal};

use clap::ArgMatches;
use zeroize::Zeroizing;

use crate::authn::hash::PASSWORD_LENGTH_MAX;
use crate::cli::arguments::error_message;

/// Length of a generated password: 20 characters out of 32 are 100 bits.
const GENERATED_LENGTH: usize = 20;

/// The characters of a generated password, without pairs that are confused when read aloud or copied by hand.
const GENERATED_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Reads a password from stdin or from the terminal. A new password is read from the terminal twice.
pub(super) fn read_password(matches: &ArgMatches, is_new: bool) -> Result<Zeroizing<Vec<u8>>, String> {
    if matches.get_flag("stdin") {
        let mut line = Zeroizing::new(Vec::new());
        // Two more bytes: for a line end, or to detect a password that is too long.
        let mut stdin = io::Read::take(io::stdin().lock(), PASSWORD_LENGTH_MAX as u64 + 2);
        stdin.read_until(b'\n', &mut line).map_err(error_message)?;
        let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        line.truncate(end);
        return Ok(line);
    }
    if !io::stdin().is_terminal() {
        return Err("no terminal for the password prompt; use --stdin or --generate".into());
    }
    let prompt = |text: &str| {
        rpassword::prompt_password(text).map(|p| Zeroizing::new(p.into_bytes())).map_err(error_message)
    };
    let password = prompt("Password: ")?;
    if is_new && prompt("Again: ")? != password {
        return Err("the two passwords differ; nothing was changed".into());
    }
    Ok(password)
}

/// Generates a random password.
pub(super) fn generate_password() -> Result<Zeroizing<Vec<u8>>, String> {
    let mut random = Zeroizing::new([0_u8; GENERATED_LENGTH]);
    getrandom::fill(&mut *random).map_err(error_message)?;
    // 256 is a multiple of 32, so all characters are equally likely.
    let character = |byte: &u8| GENERATED_ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'a');
    Ok(Zeroizing::new(random.iter().map(character).collect()))
}
