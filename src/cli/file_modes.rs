//! `doorward check` of who else on the machine can read or change the files that the settings name.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::print_line;
use crate::config::Config;
use crate::config::authenticator::AuthenticatorType;
use crate::config::upstream;

/// Bits of a mode: others, the group, and the bit that keeps users from replacing each other's files.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// A file that the settings name.
struct ReferencedFile {
    path: PathBuf,
    /// Whether it holds a secret, or password hashes.
    is_secret: bool,
}

/// Says of each file which others can read though it holds secrets, and which others can change; also by putting
/// another in its place. `config` is the settings file.
pub(super) fn print_notes(settings: &Config, config: Option<&Path>) {
    let notes: BTreeSet<String> = referenced_files(settings, config).iter().flat_map(file_notes).collect();
    notes.iter().for_each(|note| print_line(note));
}

fn referenced_files(settings: &Config, config: Option<&Path>) -> Vec<ReferencedFile> {
    let mut files = Vec::new();
    let mut add = |path: Option<&Path>, is_secret| {
        files.extend(path.map(|path| ReferencedFile { path: path.to_owned(), is_secret }));
    };
    for path in [config, settings.policy_file.as_deref(), settings.groups_file.as_deref()] {
        add(path, false);
    }
    for path in [
        &settings.htpasswd_file,
        &settings.api_keys_file,
        &settings.token_signing_keys_file,
        &settings.proxy_secret_file,
        &settings.admin_token_file,
    ] {
        add(path.as_deref(), true);
    }
    for upstream in &settings.upstreams {
        match &upstream.kind {
            upstream::UpstreamType::Basic(_, path)
            | upstream::UpstreamType::Bearer(path)
            | upstream::UpstreamType::File(path) => {
                add(Some(path), true);
            }
            upstream::UpstreamType::None => {}
            #[cfg(feature = "ecr")]
            upstream::UpstreamType::Ecr(_) => {}
        }
    }
    for authenticator in &settings.authenticators {
        match &authenticator.kind {
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
    // What can't be looked at is a fault that others tell.
    let Ok(real) = fs::canonicalize(&file.path) else { return Vec::new() };
    let Ok(metadata) = fs::metadata(&real) else { return Vec::new() };
    let mode = metadata.mode();
    let mut notes = Vec::new();
    let others_write = mode & OTHERS_WRITE != 0 || file.is_secret && mode & GROUP_WRITE != 0;
    let others_read = file.is_secret && mode & OTHERS_READ != 0;
    let can = match (others_read, others_write) {
        (true, true) => Some(("read and change", "go-w,o-r")),
        (true, false) => Some(("read", "o-r")),
        (false, true) => Some(("change", "go-w")),
        (false, false) => None,
    };
    if let Some((can, remedy)) = can {
        notes.push(format!("{name}: note: others on this machine can {can} it; chmod {remedy}"));
    }
    // A link counts by the folder that it stands in, too.
    let link = file.path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    let folders = real.ancestors().skip(1).chain(link.iter().flat_map(|folder| folder.ancestors()));
    for folder in folders {
        let Ok(metadata) = fs::metadata(folder) else { continue };
        if metadata.mode() & OTHERS_WRITE != 0 && metadata.mode() & STICKY == 0 {
            let folder = folder.display();
            notes.push(format!(
                "{folder}: note: others on this machine can replace what is in it; chmod o-w, or +t"
            ));
        }
    }
    notes
}
