//! The variables that control a run.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Fallible;

/// All variables with their values or defaults.
pub(crate) struct Options {
    /// The source tree, which is the current folder.
    pub(crate) root: PathBuf,
    pub(crate) doorward: PathBuf,
    pub(crate) results: PathBuf,
    /// Files that take long to create, and programs of npm.
    pub(crate) cache: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) long_rounds: usize,
    pub(crate) seconds: u64,
    pub(crate) connections: Vec<usize>,
    pub(crate) transports: Vec<String>,
    pub(crate) locations: Vec<String>,
    pub(crate) keepalive: usize,
    /// Percent of one core.
    pub(crate) others: f64,
    pub(crate) first_users: usize,
    pub(crate) flood_seconds: u64,
    pub(crate) user_counts: Vec<usize>,
    pub(crate) grant_counts: Vec<usize>,
    /// Parts of names, in lower case. If it is empty, all contestants run.
    pub(crate) contestants: Vec<String>,
    pub(crate) counts_syscalls: bool,
    pub(crate) headers_service: Option<PathBuf>,
    pub(crate) docker_auth: Option<PathBuf>,
}

impl Options {
    /// Reads the variables. An unreadable value is an error.
    pub(crate) fn from_environment() -> Fallible<Self> {
        let root = env::current_dir()?;
        if !root.join("htpasswd.example").is_file() {
            return Err("run it in the root of the source tree, where htpasswd.example is".into());
        }
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let in_target = |name: &str| root.join("target").join(name);
        let doorward = path("DOORWARD").unwrap_or_else(|| in_target("release/doorward"));
        Ok(Self {
            doorward,
            results: path("RESULTS").unwrap_or_else(|| in_target("compare-results")),
            cache: in_target("compare-cache"),
            rounds: positive("ROUNDS", 10)?,
            long_rounds: positive("LONG_ROUNDS", 3)?,
            seconds: positive("SECONDS_EACH", 1)?,
            connections: list("CONNECTIONS", "8 32 64 512")?,
            transports: words("TRANSPORTS", "tcp unix", &["tcp", "unix"])?,
            locations: words("LOCATIONS", "bare generated registry", &["bare", "generated", "registry"])?,
            keepalive: positive("KEEPALIVE", 1024)?,
            others: one("OTHERS", 10.0)?,
            first_users: positive("FIRST_USERS", 1000)?,
            flood_seconds: positive("FLOOD_SECONDS", 10)?,
            user_counts: list("USER_COUNTS", "10 1000 100000 1000000")?,
            grant_counts: list("GRANT_COUNTS", "1 100 10000")?,
            contestants: env::var("CONTESTANTS")
                .unwrap_or_default()
                .split(',')
                .map(|name| name.trim().to_lowercase())
                .filter(|name| !name.is_empty())
                .collect(),
            counts_syscalls: env::var("SYSCALLS").is_ok_and(|value| value == "1"),
            headers_service: path("HEADERS_SERVICE"),
            docker_auth: path("DOCKER_AUTH"),
            root,
        })
    }

    /// Returns true if CONTESTANTS permits a contestant of this name.
    pub(crate) fn includes(&self, contestant: &str) -> bool {
        let name = contestant.to_lowercase();
        self.contestants.is_empty() || self.contestants.iter().any(|part| name.contains(part))
    }

    /// Returns the command that repeats a part, with the variables that the environment sets. Values of paths are left out.
    pub(crate) fn command(part: &str) -> String {
        const SHOWN: [&str; 14] = [
            "ROUNDS",
            "LONG_ROUNDS",
            "SECONDS_EACH",
            "CONNECTIONS",
            "TRANSPORTS",
            "LOCATIONS",
            "KEEPALIVE",
            "OTHERS",
            "FIRST_USERS",
            "FLOOD_SECONDS",
            "USER_COUNTS",
            "GRANT_COUNTS",
            "CONTESTANTS",
            "SYSCALLS",
        ];
        let set = SHOWN.iter().filter_map(|name| {
            let value = env::var(name).ok()?;
            Some(if value.contains(' ') {
                format!("{name}=\"{value}\" ")
            } else {
                format!("{name}={value} ")
            })
        });
        format!("{}target/compare {part}", set.collect::<String>())
    }
}

fn one<T: FromStr>(name: &str, default: T) -> Fallible<T> {
    match env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|_| format!("{name} is not a number: {text}").into())
        }
        _ => Ok(default),
    }
}

fn positive<T: FromStr + Default + PartialOrd>(name: &str, default: T) -> Fallible<T> {
    let value = one(name, default)?;
    if value > T::default() { Ok(value) } else { Err(format!("{name} must be positive").into()) }
}

fn list(name: &str, default: &str) -> Fallible<Vec<usize>> {
    let text = env::var(name).unwrap_or_else(|_| default.to_owned());
    let read = |word: &str| word.parse().ok().filter(|number| *number > 0);
    let numbers: Option<Vec<usize>> = text.split_whitespace().map(read).collect();
    numbers
        .filter(|numbers| !numbers.is_empty())
        .ok_or(format!("{name} is no list of positive numbers: {text}").into())
}

fn words(name: &str, default: &str, valid: &[&str]) -> Fallible<Vec<String>> {
    let text = env::var(name).unwrap_or_else(|_| default.to_owned());
    let found: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    match found.iter().find(|word| !valid.contains(&word.as_str())) {
        Some(word) => Err(format!("{name}: unknown word {word}; valid are {}", valid.join(", ")).into()),
        None => Ok(found),
    }
}
