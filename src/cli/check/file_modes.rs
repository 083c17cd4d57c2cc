//! The check of file modes: which files of the settings other users of the machine can read or change.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::output::print_line;
use crate::config::authenticator::AuthenticatorType;
use crate::config::table::ConfigValues;
use crate::config::upstream::UpstreamType;

/// Bits of a file mode. The sticky bit of a folder stops users from replacing files of other users.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// A file that the settings name.
struct ReferencedFile {
    path: PathBuf,
    /// The file contains a secret or password hashes.
    is_secret: bool,
}

/// Prints a note for each file with a secret that other users can read, and for each file that they can change or
/// replace. `config_path` is the settings file.
pub(super) fn print_notes(config: &ConfigValues, config_path: Option<&Path>) {
    let notes: BTreeSet<String> = referenced_files(config, config_path).iter().flat_map(file_notes).collect();
    notes.iter().for_each(|note| print_line(note));
}

fn referenced_files(config: &ConfigValues, config_path: Option<&Path>) -> Vec<ReferencedFile> {
    let mut files = Vec::new();
    let mut add = |path: Option<&Path>, is_secret| {
        files.extend(path.map(|path| ReferencedFile { path: path.to_owned(), is_secret }));
    };
    for path in [config_path, config.policy.file.as_deref(), config.groups.file.as_deref()] {
        add(path, false);
    }
    for path in [
        &config.htpasswd.file,
        &config.api_keys.file,
        &config.token.signing_keys,
        &config.proxy_secret_file,
        &config.admin.token_file,
    ] {
        add(path.as_deref(), true);
    }
    for upstream in &config.upstreams {
        match &upstream.settings {
            UpstreamType::Basic(_, path) | UpstreamType::Bearer(path) | UpstreamType::File(path) => {
                add(Some(path), true);
            }
            UpstreamType::None => {}
            #[cfg(feature = "ecr")]
            UpstreamType::Ecr(_) => {}
        }
    }
    for authenticator in &config.authenticators {
        match &authenticator.settings {
            AuthenticatorType::Remote(spec) => {
                let files = spec.kind.spec().files();
                files.iter().for_each(|file| add(Some(&file.path), file.is_secret));
            }
            AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys => {}
        }
    }
    files
}

fn file_notes(file: &ReferencedFile) -> Vec<String> {
    let name = file.path.display();
    // Other checks report a file that is missing or unreadable.
    let Ok(target) = fs::canonicalize(&file.path) else { return Vec::new() };
    let Ok(metadata) = fs::metadata(&target) else { return Vec::new() };
    let mode = metadata.mode();
    let mut notes = Vec::new();
    let can_write = mode & OTHERS_WRITE != 0 || file.is_secret && mode & GROUP_WRITE != 0;
    let can_read = file.is_secret && mode & OTHERS_READ != 0;
    let access = match (can_read, can_write) {
        (true, true) => Some(("read and change", "go-w,o-r")),
        (true, false) => Some(("read", "o-r")),
        (false, true) => Some(("change", "go-w")),
        (false, false) => None,
    };
    if let Some((access, chmod)) = access {
        notes.push(format!("{name}: note: other users of this machine can {access} the file; chmod {chmod}"));
    }
    // If the path is a link, the folders above the link are checked too.
    let link_folder = file.path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    let folders = target.ancestors().skip(1).chain(link_folder.iter().flat_map(|folder| folder.ancestors()));
    for folder in folders {
        let Ok(metadata) = fs::metadata(folder) else { continue };
        if metadata.mode() & OTHERS_WRITE != 0 && metadata.mode() & STICKY == 0 {
            notes.push(format!(
                "{}: note: other users of this machine can replace files in this folder; chmod o-w, or chmod +t",
                folder.display()
            ));
        }
    }
    notes
}
