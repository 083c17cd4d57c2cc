//! A secret that something else writes into a file, and may change at any time: the upstream's credentials,
//! what nginx shows to have them, or the token of the admin listener.
//!
//! It is kept in force as every file is: see [`crate::reload::reloader`].

use std::sync::Arc;

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use super::authorization::Authorization;
use crate::clock::Moment;
use crate::reload::{FileReloader, ReadFault, Reloadable, Source, Unsettled};

/// The largest file that is read: the longest value, and room for what is told to be wrong with it.
const FILE_MAX: u64 = 64 << 10;

/// The shortest secret that nginx may show: a random one of half this length can't be guessed.
const SECRET_MIN: usize = 16;

/// The longest.
const SECRET_MAX: usize = 256;

/// Secrets that count at one time: the old one and the new.
const SECRETS_MAX: usize = 2;

/// What stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// The password of this user.
    Basic(String),
    /// A token.
    Bearer,
    /// The whole value of the header.
    Whole,
    /// What nginx shows; on a second line what it showed before, or will show next.
    ProxySecret,
    /// The token of the admin listener, in the same form.
    AdminToken,
}

impl Form {
    /// What the file is called in the log.
    fn name(&self) -> &'static str {
        match self {
            Self::ProxySecret => "proxy_secret_file",
            Self::AdminToken => "admin.token_file",
            Self::Basic(_) | Self::Bearer | Self::Whole => "file of upstream credentials",
        }
    }

    /// What `/readyz` says when it can't be used.
    fn phrase(&self) -> &'static str {
        match self {
            Self::ProxySecret => "the file of proxy_secret_file can't be used",
            Self::AdminToken => "the file of admin.token_file can't be used",
            Self::Basic(_) | Self::Bearer | Self::Whole => "a file of upstream credentials can't be used",
        }
    }

    fn read(&self, text: &[u8]) -> Result<Read, &'static str> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let most = match self {
            Self::ProxySecret | Self::AdminToken => SECRETS_MAX,
            Self::Basic(_) | Self::Bearer | Self::Whole => 1,
        };
        let mut lines = text.splitn(most, |b| *b == b'\n');
        let mut next = || lines.next().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let value = self.line(next().unwrap_or_default())?;
        Ok(Read { value, other: next().map(|line| self.line(line)).transpose()? })
    }

    fn line(&self, line: &[u8]) -> Result<Authorization, &'static str> {
        match self {
            Self::Basic(username) => Authorization::basic(username, line),
            Self::Bearer => Authorization::with_scheme("Bearer", line),
            Self::Whole => {
                let scheme = line.iter().position(|b| *b == b' ').filter(|at| *at > 0);
                if !line.is_empty() && (scheme.is_none() || line.trim_ascii() != line) {
                    return Err("it is not a scheme and its credentials, as in: Basic QVdTOnBhc3M=");
                }
                Authorization::whole(Zeroizing::new(line.to_vec()))
            }
            Self::ProxySecret | Self::AdminToken => match line.len() {
                // A header would lose a blank at its ends.
                SECRET_MIN..=SECRET_MAX if line.contains(&b' ') => Err("a secret has no blanks"),
                SECRET_MIN..=SECRET_MAX => Authorization::whole(Zeroizing::new(line.to_vec())),
                _ => Err("the secret has 16 to 256 characters; openssl rand -hex 32 makes one"),
            },
        }
    }
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] ReadFault),
    /// What stands in it is no good; it is not told what it is.
    #[error("{0}: {1}")]
    Content(String, &'static str),
}

/// What stands in a file.
#[derive(Debug)]
pub struct Read {
    value: Authorization,
    /// Of a secret that is being changed.
    other: Option<Authorization>,
}

/// What is in force.
#[derive(Debug)]
pub struct Kept(ArcSwap<Read>);

impl Kept {
    /// Nothing, in the place of what stands in a file.
    pub fn empty() -> Self {
        Self(ArcSwap::from_pointee(Read { value: Authorization::none(), other: None }))
    }

    /// As it is now.
    pub fn authorization(&self) -> Authorization {
        self.0.load().value.clone()
    }

    /// Whether this is the secret, or the other one while it is changed.
    pub fn is_shown(&self, text: &[u8]) -> bool {
        let read = self.0.load();
        // Both are compared, whatever comes of the first.
        let (one, other) = (read.value.is(text), read.other.as_ref().is_some_and(|other| other.is(text)));
        one | other
    }
}

/// Keeps a secret's file in force.
pub type Reloader = FileReloader<SecretFile>;

/// A file with a secret.
pub struct SecretFile {
    form: Form,
    kept: Arc<Kept>,
}

impl SecretFile {
    /// What this keeps fresh.
    pub fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.kept)
    }
}

/// Reads the file at `path` for the first time, and keeps it in force.
///
/// # Errors
/// Why it can't be used.
pub fn start(path: std::path::PathBuf, form: Form, now: Moment) -> Result<Reloader, SecretFault> {
    let kind = SecretFile { form, kept: Arc::new(Kept::empty()) };
    Reloader::start(Source { path, max_bytes: FILE_MAX }, kind, now)
}

impl Reloadable for SecretFile {
    type Content = Read;
    type Fault = SecretFault;

    fn name(&self) -> &'static str {
        self.form.name()
    }

    fn unsettled(&self) -> Unsettled {
        // A part of a secret is of no use.
        Unsettled::Nothing
    }

    fn parse(&self, source: &Source, text: &mut Zeroizing<Vec<u8>>) -> Result<Read, SecretFault> {
        self.form.read(text).map_err(|what| SecretFault::Content(source.name(), what))
    }

    fn replace(&mut self, read: Read, source: &Source, first: bool) {
        self.kept.0.store(Arc::new(read));
        if !first {
            tracing::info!(file = %source.path.display(), "{} reloaded", self.form.name());
        }
    }

    fn faults(&self, fault: &SecretFault) -> Vec<String> {
        vec![fault.to_string()]
    }

    fn phrase(&self, _: &SecretFault) -> &'static str {
        self.form.phrase()
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
