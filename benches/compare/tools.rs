//! Programs that are compared, built or installed once. A program that is not available is skipped with the reason.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Fallible;
use crate::world::World;

/// The version of http-auth in npm.
const HTTP_AUTH: &str = "4.2.1";

/// Returns the path of a program of `tests/go-tools`, or the reason why there is none.
pub(crate) fn go_tool(world: &World, name: &str) -> Result<PathBuf, String> {
    let output = Command::new(world.options.root.join("tests/go-tools"))
        .arg(name)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("tests/go-tools cannot run: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.trim().strip_prefix(&format!("{name}=")).map(PathBuf::from).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("it cannot be built: {}", errors.lines().last().unwrap_or("no reason was printed"))
    })
}

/// Returns the path of an installed program, or the reason why there is none.
pub(crate) fn installed(name: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or(format!("{name} is not installed"))
}

/// Returns the folder in which npm installed http-auth, or the reason why it is missing.
pub(crate) fn http_auth() -> Result<PathBuf, String> {
    installed("node")?;
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = PathBuf::from(env::var_os("HOME")?);
        Some(home.join(".cache"))
    });
    let tools =
        env::var_os("DOORWARD_TOOLS").map(PathBuf::from).or(cache.map(|cache| cache.join("doorward/tools")));
    let folder = tools.ok_or("HOME is not set")?.join(format!("http-auth@{HTTP_AUTH}"));
    let module = folder.join("node_modules/http-auth");
    if module.is_dir() {
        return Ok(module);
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let done = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
        .arg(&folder)
        .arg(format!("http-auth@{HTTP_AUTH}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    if done.is_ok_and(|status| status.success()) && module.is_dir() {
        Ok(module)
    } else {
        Err("npm cannot install http-auth".to_owned())
    }
}

/// Returns the hash of a password as `htpasswd` prints it. `format` is its option, for example `-s`.
pub(crate) fn hash(format: &[&str], password: &str) -> Fallible<String> {
    let line =
        crate::world::output(Command::new("htpasswd").arg("-nb").args(format).args(["user", password]))
            .map_err(|error| format!("{error}; install apache2-utils"))?;
    Ok(line.trim().trim_start_matches("user:").to_owned())
}
