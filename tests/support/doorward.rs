//! A running doorward process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::client::{self, Address, Answer, Client, OF_DOORWARD, Request};
use super::eventually;
use super::mounted::Mounts;
use super::process::{Output, Process, run};

/// Metrics with labels. They are not exported before their first value.
const LABELLED: [&str; 3] =
    ["doorward_hash_checks_total", "doorward_authenticator_call_seconds_total", "doorward_verdicts_total"];

/// Defaults of the tests: free ports, and enough time for a hash. Hash threads have a low priority, so a
/// check can take much longer on a busy machine.
const DEFAULTS: [(&str, &str); 4] = [
    ("--listen", "127.0.0.1:0"),
    ("--public-listen", "127.0.0.1:0"),
    // A unix socket, because commands over TCP require a token.
    ("--admin-listen", "unix:{dir}/admin.sock"),
    ("--hash-wait-timeout", "60s"),
];

/// Returns a command that runs doorward without any setting from the environment of this process.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DOORWARD_")) {
        command.env_remove(name);
    }
    // Tests run in parallel, and only one of them could use the default port.
    command.env("DOORWARD_ADMIN_LISTEN", "127.0.0.1:0");
    command
}

/// Runs a doorward command that ends by itself.
pub(crate) fn doorward(arguments: &[&str]) -> Output {
    let mut command = command();
    command.args(arguments);
    run(command)
}

/// Runs a doorward command with this limit of file descriptors, soft and hard.
pub(crate) fn doorward_limited(arguments: &[&str], descriptors: u64) -> Output {
    let mut limited = limited(&descriptors.to_string());
    limited.args(arguments);
    run(limited)
}

/// Returns a command that runs doorward with this limit of file descriptors.
fn limited(descriptors: &str) -> Command {
    let plain = command();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", descriptors]).arg(plain.get_program());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// A running doorward process with its own htpasswd file.
pub(crate) struct Doorward {
    process: Process,
    dir: TempDir,
    flags: Vec<String>,
    /// The first auth listener.
    pub(crate) address: Address,
    /// The first public listener.
    pub(crate) public: Address,
    /// The first admin listener.
    pub(crate) admin: Address,
}

impl Doorward {
    /// Starts doorward with these users and waits until it is ready. It listens on free ports unless the
    /// flags set others.
    pub(crate) fn start(users: &str, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder for doorward");
        fs::write(dir.path().join("htpasswd"), users).unwrap();
        Self::start_in(dir, flags)
    }

    /// Starts doorward with this limit of file descriptors, soft and hard.
    pub(crate) fn start_limited(users: &str, flags: &[&str], descriptors: u64) -> Self {
        let dir = tempfile::tempdir().expect("a folder for doorward");
        fs::write(dir.path().join("htpasswd"), users).unwrap();
        fs::write(dir.path().join("descriptors"), descriptors.to_string()).unwrap();
        Self::start_in(dir, flags)
    }

    /// Starts doorward in an existing folder. If the folder has a file `htpasswd`, that file is used.
    pub(crate) fn start_in(dir: TempDir, flags: &[&str]) -> Self {
        let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        for (flag, value) in DEFAULTS {
            if !flags.iter().any(|given| given == flag) {
                let value = value.replace("{dir}", dir.path().to_str().expect("a path in UTF-8"));
                flags.extend([flag.to_owned(), value]);
            }
        }
        let Launched { process, address, public, admin } = launch(dir.path(), &flags);
        Self { process, dir, flags, address, public, admin }
    }

    /// Starts doorward again after it ended. The flags must set a fixed listen address.
    pub(crate) fn start_again(&mut self) {
        let Launched { process, address, public, admin } = launch(self.dir.path(), &self.flags);
        (self.process, self.address, self.public, self.admin) = (process, address, public, admin);
    }

    /// Returns the path of the htpasswd file.
    pub(crate) fn htpasswd(&self) -> PathBuf {
        self.dir.path().join("htpasswd")
    }

    /// Returns the folder of the htpasswd file.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Opens a connection to the auth listener.
    pub(crate) fn client(&self) -> Client {
        self.connect(&self.address)
    }

    fn connect(&self, address: &Address) -> Client {
        Client::connect(address, OF_DOORWARD)
            .unwrap_or_else(|error| panic!("{address:?}: {error}\n{}", self.process.tail()))
    }

    /// Sends one request over a new connection to the listener that serves its path. `/token` and `/jwks` go
    /// to the public listener, all other paths to the auth listener.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        let is_public = matches!(request.path(), "/token" | "/jwks");
        self.connect(if is_public { &self.public } else { &self.address }).ask(request)
    }

    /// Sends one login from `network` and returns the status.
    pub(crate) fn log_in(&self, user: &str, password: &str, network: &str) -> u16 {
        self.ask(&Request::auth().basic(user, password).from(network)).status
    }

    /// Sends one request to the admin listener.
    pub(crate) fn admin(&self, request: &Request) -> Answer {
        client::ask(&self.admin, OF_DOORWARD, request)
    }

    /// Returns the sum of a metric over all labels, or over the label sets that begin as `name` does. The
    /// metric must exist.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let answer = self.admin(&Request::get("/metrics").host("localhost"));
        assert_eq!(answer.status, 200);
        let text = answer.text();
        let bare = name.split('{').next().unwrap_or(name);
        let described = text.contains(&format!("# TYPE {} ", bare.trim_end_matches("_total")));
        assert!(described || LABELLED.contains(&bare), "no figure {name}");
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{', ',', '}']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        };
        text.lines().filter_map(value).sum()
    }

    /// Returns the number of password checks so far.
    pub(crate) fn hashes(&self) -> f64 {
        self.metric("doorward_hash_checks_total")
    }

    /// Returns the processor time used so far, in kernel ticks (100 a second). Unlike wall-clock time, it
    /// does not depend on the load of the machine.
    pub(crate) fn ticks(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.process.pid())).unwrap();
        let behind_name = status.rsplit(')').next().unwrap_or_default();
        // User and system time: fields 14 and 15 of proc(5). Two fields are before the end of the name.
        behind_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
    }

    /// Returns the response of `/readyz`.
    pub(crate) fn ready(&self) -> Answer {
        self.admin(&Request::get("/readyz").host("localhost"))
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Stops the process with SIGSTOP, and returns when it has stopped.
    pub(crate) fn freeze(&self) {
        self.process.signal(Signal::STOP);
        let status = format!("/proc/{}/stat", self.process.pid());
        eventually("doorward stands still", || {
            let status = fs::read_to_string(&status).unwrap();
            status.rsplit(')').next()?.trim_start().starts_with('T').then_some(())
        });
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills the process with SIGKILL, as the kernel does when memory runs out.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits until the process ends, and returns its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.process.wait().code()
    }
}

impl Drop for Doorward {
    fn drop(&mut self) {
        // Graceful shutdown has its own tests.
        self.process.kill();
    }
}

/// A ready process, and its first address of each kind.
struct Launched {
    process: Process,
    address: Address,
    public: Address,
    admin: Address,
}

/// Starts the process and waits until `/readyz` answers 200.
fn launch(dir: &Path, flags: &[String]) -> Launched {
    let mut command = match fs::read_to_string(dir.join("descriptors")) {
        Ok(descriptors) => limited(&descriptors),
        Err(_) => command(),
    };
    command.arg("serve").args(flags);
    // Without this file, the settings must name other authenticators.
    if dir.join("htpasswd").exists() {
        command.arg("--htpasswd").arg(dir.join("htpasswd"));
    }
    // This file sets environment variables that are not settings of doorward.
    let environment = fs::read_to_string(dir.join("environment")).unwrap_or_default();
    command.envs(environment.lines().filter_map(|line| line.split_once('=')));
    if let Some(mounts) = Mounts::of(dir) {
        command = mounts.wrap(command);
    }
    let mut process = Process::spawn(command, &dir.join("log"));
    // Port 0 was requested. The log names the actual port, in text or JSON format.
    let listens = |log: &str, which: &str| {
        let line = log.lines().find(|line| line.contains("doorward started"))?.replace('\\', "");
        let json = || line.split_once(&format!("\"{}\":\"[\"", which.trim_start()));
        let from = line.split_once(&format!("{which}=[\"")).or_else(json)?.1;
        Some(Address::parse(from.split_once('"')?.0))
    };
    let (address, public, admin) = process.ready("doorward says where it listens", |log| {
        Some((listens(log, " listen")?, listens(log, " public")?, listens(log, " admin")?))
    });
    let probe = |_: &str| {
        let request = Request::get("/readyz").host("localhost");
        let answer = Client::connect(&admin, OF_DOORWARD).ok()?.try_ask(&request).ok()?;
        // A process that waits for an upstream is not ready. It counts as started, so that its test can
        // continue.
        (answer.status == 200 || answer.text().starts_with("not ready: upstream")).then_some(())
    };
    process.ready("doorward started", probe);
    Launched { process, address, public, admin }
}
