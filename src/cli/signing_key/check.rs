//! `doorward check` of the keys that sign tokens.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::cli::{print_error, print_line};
use crate::reload::SourceFile;
use crate::token::signing_key::SigningKeys;
use crate::token::signing_key::reload::FILE_BYTES_MAX;

/// So long before its end a certificate is spoken of: registries have to read the next one first.
const EXPIRY_WARNING_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Says what is wrong with the file. Whether all is well.
pub(in crate::cli) fn check_signing_keys(path: &Path) -> bool {
    let source = SourceFile { path: path.to_owned(), max_bytes: FILE_BYTES_MAX };
    let name = source.display_path();
    let read = source.read().map_err(|fault| fault.to_string());
    let keys =
        match read.and_then(|text| SigningKeys::parse(&text).map_err(|fault| format!("{name}: {fault}"))) {
            Ok(keys) => keys,
            Err(fault) => {
                print_error(&fault);
                return false;
            }
        };
    let now = SystemTime::now();
    let mut well = true;
    for key in keys.published_keys() {
        let (kid, ends) = (key.kid, SystemTime::UNIX_EPOCH + Duration::from_secs(key.certificate_not_after));
        match ends.duration_since(now) {
            Err(_) => {
                print_error(&format!(
                    "{name}: the certificate of key {kid} has ended, and registries take no token of its: add another key, and use it"
                ));
                well = false;
            }
            Ok(left) if left < EXPIRY_WARNING_TIME => print_line(&format!(
                "{name}: note: the certificate of key {kid} ends in {} days: add another key in time",
                left.as_secs() / 86_400
            )),
            Ok(_) => {}
        }
    }
    print_line(&format!("{name}: keys that verify tokens: {}; the first one signs", keys.kids().count()));
    well
}
