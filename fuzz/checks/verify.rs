//! The hash formats against hostile hashes: a password, a line's end, and the text behind the colon.
//! Nothing panics, and nothing is accepted but the passwords that the seeds' hashes were made of: a
//! hash that was cut, stretched or spliced must not match another password.

use crate::authn::hash::{AllowedFormats, HashFormat};

/// The passwords of the seeds. One is longer than what bcrypt uses.
const KNOWN: [&[u8]; 4] = [
    b"password",
    b"pass word:with$signs",
    "p\u{e4}ssw\u{f6}rd".as_bytes(),
    b"0123456789012345678901234567890123456789012345678901234567890123456789ab-and-more",
];

/// No hash was made of this one.
const NOBODYS: &[u8] = b"no hash was ever made of this password";

/// The number of bytes of a password that bcrypt uses.
const BCRYPT_PASSWORD_MAX: usize = 72;

/// Returns true if checks in this format are too slow for many of them. The text of the hash is parsed anyway.
fn is_slow(format: HashFormat) -> bool {
    match format {
        HashFormat::Bcrypt(cost) => cost > 4,
        HashFormat::Sha256Crypt(rounds) | HashFormat::Sha512Crypt(rounds) => rounds > 1000,
        HashFormat::Argon2id(cost) => cost.memory_kib.saturating_mul(cost.passes) > 128,
        HashFormat::Yescrypt(cost) => cost.memory_kib() > 1024,
        _ => false,
    }
}

fn is_known(format: HashFormat, hash: &[u8], password: &[u8]) -> bool {
    let looked_at = |text: &'_ [u8]| match format {
        HashFormat::Bcrypt(_) => text[..text.len().min(BCRYPT_PASSWORD_MAX)].to_vec(),
        _ => text.to_vec(),
    };
    match format {
        HashFormat::Plain => hash.strip_prefix(b"{PLAIN}") == Some(password),
        _ => KNOWN.iter().any(|known| looked_at(known) == looked_at(password)),
    }
}

/// Runs the check with one input of the fuzzer.
pub fn run(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (password, hash) = (&input[..end], &input[end + 1..]);
    // The reader of credentials lets neither through.
    if password.is_empty() || password.contains(&0) {
        return;
    }
    let plain = AllowedFormats { plain: true };
    let format = match HashFormat::detect(hash, plain) {
        Ok(format) => format,
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            return;
        }
    };
    if HashFormat::detect(hash, AllowedFormats::default()).is_err() {
        assert_eq!(format, HashFormat::Plain);
    }
    if is_slow(format) {
        return;
    }
    if format.verify(hash, password) {
        assert!(is_known(format, hash, password), "{} accepts another password", format.name());
    }
    let accepted = format.verify(hash, NOBODYS);
    assert_eq!(accepted, is_known(format, hash, NOBODYS), "{} accepts nobody's password", format.name());
    format.run_dummy_check(password);
}
