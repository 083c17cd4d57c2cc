//! The proxy secret, which nginx reads from a file of its own, with a mode that keeps it from other users.

use std::io::Read;

use askama::Template;
use zeroize::Zeroizing;

use super::files::open_file;
use crate::upstream::secret_file::{FILE_BYTES_MAX, SECRET_BYTES_MAX, SECRET_BYTES_MIN, first_secret};

const REMEDY: &str = "create a secret: openssl rand -hex 32";

#[derive(Template)]
#[template(path = "secret.conf")]
struct SecretTemplate<'s> {
    secret: &'s str,
}

/// Reads the file, and returns the configuration with the secret. The first line is used: during a rotation, doorward
/// accepts both. No error contains a part of the file.
pub(crate) fn read_proxy_secret(path: &str) -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = open_file(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| format!("the file {path} cannot be read: {error}"))?;
    let line = first_secret(&bytes);
    if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&line.len()) {
        return Err(format!(
            "the first line must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} characters, and has {}; {REMEDY}",
            line.len()
        ));
    }
    let is_allowed = |b: &u8| b.is_ascii_graphic() && !b"\"'\\$;{}".contains(b);
    let secret = std::str::from_utf8(line).ok().filter(|_| line.iter().all(is_allowed));
    let secret = secret.ok_or_else(|| {
        format!("the first line must have visible ASCII characters, without quotes, backslashes and $ ; {{ }}; {REMEDY}")
    })?;
    let text = SecretTemplate { secret }.render().map_err(|_| "the secret cannot be written".to_owned())?;
    Ok(Zeroizing::new(text))
}
