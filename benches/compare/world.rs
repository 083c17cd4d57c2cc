//! The temporary folder of a part, its ports, and the process that cleans up if this program is killed.

use std::cell::Cell;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::Fallible;
use crate::options::Options;
use crate::process::Cleaner;

/// The first port. It is below the range that the kernel uses for outgoing connections.
const FIRST_PORT: u16 = 20_000;
/// Ports after the first one.
const PORTS: u16 = 12_000;

/// The folder, ports and cleaner of a part.
pub(crate) struct World<'a> {
    pub(crate) options: &'a Options,
    folder: PathBuf,
    cleaner: Arc<Cleaner>,
    next_port: Cell<u16>,
}

impl<'a> World<'a> {
    /// Creates the folder. It is removed when the world and its servers are dropped, or this program ends in any other way.
    pub(crate) fn new(options: &'a Options) -> Fallible<Self> {
        if !options.doorward.is_file() {
            return Err(
                "there is no doorward to measure; build it with `cargo build --release`, or set DOORWARD"
                    .into(),
            );
        }
        let folder = std::env::temp_dir().join(format!("doorward-compare.{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        // The workers of nginx must be able to enter it.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711))?;
        fs::create_dir_all(&options.cache)?;
        let cleaner = Arc::new(Cleaner::start(&folder)?);
        let next_port = Cell::new((std::process::id() % u32::from(PORTS)) as u16);
        Ok(Self { options, folder, cleaner, next_port })
    }

    pub(crate) fn cleaner(&self) -> Arc<Cleaner> {
        Arc::clone(&self.cleaner)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file in the folder that every server can read.
    pub(crate) fn write(&self, name: &str, text: &str) -> Fallible<PathBuf> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        Ok(path)
    }

    /// Returns a port that is free now and was not returned before.
    pub(crate) fn port(&self) -> Fallible<u16> {
        for _ in 0..PORTS {
            let at = self.next_port.get();
            self.next_port.set((at + 1) % PORTS);
            let port = FIRST_PORT + at;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(port);
            }
        }
        Err("there is no free port between 20000 and 32000".into())
    }
}

/// Runs a command to its end and returns what it printed. The error has the end of its messages.
pub(crate) fn output(command: &mut Command) -> Fallible<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name} cannot run: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name} failed: {}", tail(&String::from_utf8_lossy(&output.stderr))).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}
