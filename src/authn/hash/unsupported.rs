//! Identifies texts that are not a supported hash, mostly by their prefix. No message contains the text, which may be
//! the password.

use super::{AllowedFormats, HashFormat, HashFormatError};

/// The prefix and the name of each unsupported format. If two prefixes match, the first one is used, so longer
/// prefixes come first.
const UNSUPPORTED_PREFIXES: &[(&[u8], &str)] = &[
    (b"$7$", "scrypt ($7$)"),
    (b"$scrypt$", "scrypt ($scrypt$)"),
    (b"$gy$", "gost-yescrypt ($gy$)"),
    (b"$sha1$", "SHA-1 crypt ($sha1$)"),
    (b"$pbkdf2", "PBKDF2 ($pbkdf2…$)"),
    (b"$3$", "the NT hash ($3$)"),
    (b"$2$", "the original bcrypt ($2$)"),
    (b"$md5", "Sun's MD5 ($md5)"),
    (b"$wp$", "WordPress's hash ($wp$)"),
    (b"$P$", "WordPress's and phpBB's hash ($P$)"),
    (b"$H$", "WordPress's and phpBB's hash ($H$)"),
    (b"$S$", "Drupal's hash ($S$)"),
    (b"$bcrypt-sha256$", "passlib's bcrypt over SHA-256 ($bcrypt-sha256$)"),
    (b"$scram$", "SCRAM ($scram$)"),
    (b"$ml$", "macOS's PBKDF2 ($ml$)"),
    (b"$8$", "Cisco's PBKDF2 ($8$)"),
    (b"$9$", "Cisco's scrypt ($9$)"),
    (b"pbkdf2_", "Django's PBKDF2 (pbkdf2_sha256$)"),
    (b"bcrypt_sha256$", "Django's bcrypt over SHA-256 (bcrypt_sha256$)"),
    (b"argon2$", "Django's argon2 (argon2$)"),
    (b"unsalted_", "Django's unsalted hash (unsalted_)"),
    (b"pbkdf2:", "werkzeug's PBKDF2 (pbkdf2:)"),
    (b"scrypt:", "werkzeug's scrypt (scrypt:)"),
    (b"plain$", "werkzeug's unencrypted password (plain$)"),
    (b"scrypt$", "scrypt of Django or werkzeug (scrypt$)"),
    (b"sha512$", "SHA-512 of Django or werkzeug (sha512$)"),
    (b"sha256$", "SHA-256 of Django or werkzeug (sha256$)"),
    (b"sha1$", "SHA-1 of Django or werkzeug (sha1$)"),
    (b"md5$", "MD5 of Django or werkzeug (md5$)"),
    (b"SCRAM-SHA-", "PostgreSQL's SCRAM (SCRAM-SHA-256$)"),
    (b"#jbcrypt", "Jenkins's prefix (#jbcrypt:)"),
    (b"#", "a comment mark (#)"),
    (b"AQAAAA", "ASP.NET's hash (AQAAAA)"),
    (b"0x0", "SQL Server's hash (0x01)"),
];

/// The prefixes after which a supported hash can follow, and their names.
const REMOVABLE_PREFIXES: &[(&[u8], &str)] = &[
    (b"bcrypt$", "Django's prefix (bcrypt$)"),
    (b"crypt$$", "Django's prefix (crypt$$)"),
    (b"argon2$", "Django's prefix (argon2)"),
    (b"!", "the mark of a locked account (!)"),
];

/// The schemes in braces of LDAP servers, Dovecot and others, in uppercase, and their names.
const BRACED_SCHEMES: &[(&[u8], &str)] = &[
    (b"CRYPT", "{CRYPT}"),
    (b"BLF-CRYPT", "{BLF-CRYPT}"),
    (b"BCRYPT", "{BCRYPT}"),
    (b"SHA256-CRYPT", "{SHA256-CRYPT}"),
    (b"SHA512-CRYPT", "{SHA512-CRYPT}"),
    (b"MD5-CRYPT", "{MD5-CRYPT}"),
    (b"DES-CRYPT", "{DES-CRYPT}"),
    (b"ARGON2", "{ARGON2}"),
    (b"ARGON2I", "{ARGON2I}"),
    (b"ARGON2ID", "{ARGON2ID}"),
    (b"SHA", "{SHA} in lowercase"),
    (b"SSHA", "{SSHA} in lowercase"),
    (b"SHA1", "{SHA1}"),
    (b"SHA256", "{SHA256}"),
    (b"SSHA256", "{SSHA256}"),
    (b"SHA384", "{SHA384}"),
    (b"SSHA384", "{SSHA384}"),
    (b"SHA512", "{SHA512}"),
    (b"SSHA512", "{SSHA512}"),
    (b"MD5", "{MD5}"),
    (b"SMD5", "{SMD5}"),
    (b"PLAIN-MD5", "{PLAIN-MD5}"),
    (b"LDAP-MD5", "{LDAP-MD5}"),
    (b"CRAM-MD5", "{CRAM-MD5}"),
    (b"DIGEST-MD5", "{DIGEST-MD5}"),
    (b"PBKDF2", "{PBKDF2}"),
    (b"PBKDF2-SHA1", "{PBKDF2-SHA1}"),
    (b"PBKDF2-SHA256", "{PBKDF2-SHA256}"),
    (b"PBKDF2-SHA512", "{PBKDF2-SHA512}"),
    (b"SCRYPT", "{SCRYPT}"),
    (b"SCRAM-SHA-1", "{SCRAM-SHA-1}"),
    (b"SCRAM-SHA-256", "{SCRAM-SHA-256}"),
    (b"NTLM", "{NTLM}"),
    (b"LANMAN", "{LANMAN}"),
    (b"SASL", "{SASL}"),
    (b"PLAIN", "{PLAIN} in lowercase"),
    (b"CLEAR", "{CLEAR}"),
    (b"CLEARTEXT", "{CLEARTEXT}"),
    (b"NOOP", "{noop}"),
];

/// The characters that quote a line or a value in other formats.
const QUOTES: [u8; 3] = [b'"', b'\'', b'`'];

/// Returns a more specific error for a text that [`HashFormat::detect`] rejected with `error`. `rest` is the line after
/// its first colon, and `text` is the first field of `rest`.
pub(super) fn refine_error(
    text: &[u8],
    rest: &[u8],
    error: HashFormatError,
    allowed: AllowedFormats,
) -> HashFormatError {
    let is_valid = |text: &[u8]| HashFormat::detect(text, allowed).is_ok();
    let is_known = |text: &[u8]| {
        HashFormat::detect(text, allowed).map_or_else(HashFormatError::is_known_format, |_| true)
    };
    let bare = text.trim_ascii().trim_ascii_end();
    let unquoted = unquote(bare);
    if unquoted.len() < bare.len() && is_known(unquoted) {
        return HashFormatError::Quoted;
    }
    if text.starts_with(b"$$")
        || text.windows(2).any(|pair| pair == b"$$") && is_valid(&undouble_dollar_signs(text))
    {
        return HashFormatError::DoubledDollarSigns;
    }
    let first = bare.split(|b| matches!(b, b',' | b';' | b' ' | b'\t')).next().unwrap_or_default();
    if first.len() < bare.len() && is_valid(unquote(first)) {
        return HashFormatError::TrailingText;
    }
    match error {
        HashFormatError::UnknownFormat | HashFormatError::DesCrypt => {
            identify_unsupported(text, rest, error, allowed)
        }
        other => other,
    }
}

/// Identifies a text that another program wrote.
fn identify_unsupported(
    text: &[u8],
    rest: &[u8],
    error: HashFormatError,
    allowed: AllowedFormats,
) -> HashFormatError {
    if let Some(scheme) = text.strip_prefix(b"{") {
        return identify_scheme(scheme, allowed);
    }
    let is_valid = |text: &[u8]| HashFormat::detect(text, allowed).is_ok();
    let match_prefix = |(prefix, name): &(&[u8], &'static str)| {
        // The `$` at the end of `bcrypt$` can be the first character of the hash.
        let rest = text.strip_prefix(*prefix)?;
        let with_dollar = [b"$", rest].concat();
        (is_valid(rest) || is_valid(&with_dollar)).then_some(HashFormatError::Prefixed(name))
    };
    if let Some(prefixed) = REMOVABLE_PREFIXES.iter().find_map(match_prefix) {
        return prefixed;
    }
    let is_hex = |text: &[u8]| text.iter().all(u8::is_ascii_hexdigit);
    let mut fields = rest.split(|b| *b == b':').skip(1);
    let second = fields.next().map(<[u8]>::trim_ascii).unwrap_or_default();
    match text {
        [b'!', ..] | b"*" | b"*LK*" | b"*NP*" | b"x" | b"NP" | b"LK" => {
            return HashFormatError::AccountLocked;
        }
        [b'*', hex @ ..] if hex.len() == 40 && is_hex(hex) => {
            return HashFormatError::UnsupportedFormat("MySQL's hash (*)");
        }
        [b'm', b'd', b'5', hex @ ..] if hex.len() == 32 && is_hex(hex) => {
            return HashFormatError::UnsupportedFormat("PostgreSQL's MD5 (md5)");
        }
        b"pbkdf2" | b"scrypt" if !second.is_empty() => {
            return HashFormatError::UnsupportedFormat(if text == b"scrypt" {
                "werkzeug's scrypt (scrypt:)"
            } else {
                "werkzeug's PBKDF2 (pbkdf2:)"
            });
        }
        b"md5" | b"sha1" | b"sha256" | b"sha512" | b"argon2" if !second.is_empty() => {
            return HashFormatError::UnsupportedFormat("another program's hash");
        }
        _ if second.len() == 32 && is_hex(second) && fields.next().is_none() => {
            return HashFormatError::HtdigestLine;
        }
        _ => {}
    }
    if let Some((_, name)) = UNSUPPORTED_PREFIXES.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return HashFormatError::UnsupportedFormat(name);
    }
    match text.len() {
        20 if text.starts_with(b"_") => HashFormatError::UnsupportedFormat("BSDi DES crypt (_)"),
        32 if is_hex(text) => HashFormatError::UnsupportedFormat("an MD5 or NT hash in hexadecimal"),
        40 if is_hex(text) => HashFormatError::UnsupportedFormat("a SHA-1 hash in hexadecimal"),
        64 if is_hex(text) => HashFormatError::UnsupportedFormat("a SHA-256 hash in hexadecimal"),
        96 if is_hex(text) => HashFormatError::UnsupportedFormat("a SHA-384 hash in hexadecimal"),
        128 if is_hex(text) => HashFormatError::UnsupportedFormat("a SHA-512 hash in hexadecimal"),
        _ => error,
    }
}

/// Identifies a scheme in braces. `scheme` is the text after the opening brace.
fn identify_scheme(scheme: &[u8], allowed: AllowedFormats) -> HashFormatError {
    let Some(end) = scheme.iter().position(|b| *b == b'}') else { return HashFormatError::UnknownFormat };
    let (name, hash) = scheme.split_at_checked(end).unwrap_or_default();
    // Dovecot appends an encoding after a dot, for example {SHA256.HEX}.
    let name = name.split(|b| *b == b'.').next().unwrap_or_default();
    let Some((_, known)) = BRACED_SCHEMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) else {
        return HashFormatError::UnknownScheme;
    };
    match hash.get(1..).map(|hash| HashFormat::detect(hash, allowed)) {
        Some(Ok(_)) => HashFormatError::Prefixed(known),
        _ => HashFormatError::UnsupportedFormat(known),
    }
}

/// Returns the text without quotes at both ends, and without a comma after the closing quote.
fn unquote(text: &[u8]) -> &[u8] {
    let is_quote = |b: &u8| QUOTES.contains(b);
    let text = text.strip_suffix(b",").filter(|inner| inner.last().is_some_and(is_quote)).unwrap_or(text);
    let start = text.iter().position(|b| !is_quote(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !is_quote(b)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// Replaces each `$$` by `$`.
fn undouble_dollar_signs(text: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        output.push(byte);
        if byte == b'$' {
            bytes.next_if_eq(&b'$');
        }
    }
    output
}
