//! The check of the signing key file.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::cli::output::{print_error, print_line};
use crate::reload::SourceFile;
use crate::token::signing_key::SigningKeys;
use crate::token::signing_key::reload::FILE_BYTES_MAX;

/// Remaining lifetime of a certificate below which `check` prints a note. Registries must read the next certificate
/// before the old one expires.
const EXPIRY_NOTE_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Prints the errors of the file. Returns true if there are none.
pub(super) fn check_signing_keys(path: &Path) -> bool {
    let source = SourceFile { path: path.to_owned(), max_bytes: FILE_BYTES_MAX };
    let name = source.display_path();
    let text = source.read().map_err(|error| error.to_string());
    let keys =
        match text.and_then(|text| SigningKeys::parse(&text).map_err(|error| format!("{name}: {error}"))) {
            Ok(keys) => keys,
            Err(error) => {
                print_error(&error);
                return false;
            }
        };
    let now = SystemTime::now();
    let mut is_valid = true;
    for key in keys.published_keys() {
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(key.certificate_not_after);
        match expires.duration_since(now) {
            Err(_) => {
                print_error(&format!(
                    "{name}: the certificate of key {} has expired, so registries reject its tokens; add a key and use it",
                    key.kid
                ));
                is_valid = false;
            }
            Ok(remaining) if remaining < EXPIRY_NOTE_TIME => print_line(&format!(
                "{name}: note: the certificate of key {} expires in {} days; add a key before that",
                key.kid,
                remaining.as_secs() / 86_400
            )),
            Ok(_) => {}
        }
    }
    print_line(&format!("{name}: keys that verify tokens: {}; the first key signs", keys.kids().count()));
    is_valid
}
