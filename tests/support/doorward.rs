//! doorward itself, as a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::client::{self, Address, Answer, Client, OF_DOORWARD, Request};
use super::eventually;
use super::mounted::Mounts;
use super::process::{Output, Process, run};

/// Figures with labels, which are not there before their first value.
const LABELLED: [&str; 4] = [
    "doorward_hash_checks_total",
    "doorward_http_requests_total",
    "doorward_authenticator_call_seconds_total",
    "doorward_verdicts_total",
];

/// What a test has unless it says otherwise: free ports, and time for a hash. Hash threads yield to
/// everything else, so on a busy machine a check may take many times what it should.
const DEFAULTS: [(&str, &str); 4] = [
    ("--listen", "127.0.0.1:0"),
    ("--public-listen", "127.0.0.1:0"),
    // Over a socket, since orders over TCP require a token.
    ("--admin-listen", "unix:{dir}/admin.sock"),
    ("--hash-wait-timeout", "60s"),
];

/// The binary, without any setting from this process's own environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DOORWARD_")) {
        command.env_remove(name);
    }
    // Tests run at the same time, and only one of them could have the default port.
    command.env("DOORWARD_ADMIN_LISTEN", "127.0.0.1:0");
    command
}

/// Runs a command of doorward's that ends by itself.
pub(crate) fn doorward(arguments: &[&str]) -> Output {
    let mut command = command();
    command.args(arguments);
    run(command)
}

/// The same with this limit of file descriptors, soft and hard.
pub(crate) fn doorward_limited(arguments: &[&str], descriptors: u64) -> Output {
    let mut limited = limited(&descriptors.to_string());
    limited.args(arguments);
    run(limited)
}

/// The binary, which may have so many file descriptors.
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

/// A running doorward with an htpasswd file of its own.
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
    /// Starts it with these users, and waits until it is ready. It listens on a free port, unless
    /// the flags say where.
    pub(crate) fn start(users: &str, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder for doorward");
        fs::write(dir.path().join("htpasswd"), users).unwrap();
        Self::start_in(dir, flags)
    }

    /// The same with a limit of file descriptors, soft and hard.
    pub(crate) fn start_limited(users: &str, flags: &[&str], descriptors: u64) -> Self {
        let dir = tempfile::tempdir().expect("a folder for doorward");
        fs::write(dir.path().join("htpasswd"), users).unwrap();
        fs::write(dir.path().join("descriptors"), descriptors.to_string()).unwrap();
        Self::start_in(dir, flags)
    }

    /// The same where the folder is there already, with a file `htpasswd` in it if it is to be read.
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

    /// Starts it again after its end, where the flags name the same listener.
    pub(crate) fn start_again(&mut self) {
        let Launched { process, address, public, admin } = launch(self.dir.path(), &self.flags);
        (self.process, self.address, self.public, self.admin) = (process, address, public, admin);
    }

    /// The htpasswd file.
    pub(crate) fn htpasswd(&self) -> PathBuf {
        self.dir.path().join("htpasswd")
    }

    /// The folder that it stands in.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// A new connection to the auth listener.
    pub(crate) fn client(&self) -> Client {
        self.connect(&self.address)
    }

    fn connect(&self, address: &Address) -> Client {
        Client::connect(address, OF_DOORWARD)
            .unwrap_or_else(|error| panic!("{address:?}: {error}\n{}", self.process.tail()))
    }

    /// One request over a connection of its own, to the listener that serves its path: `/token` and `/jwks` go to the
    /// public listener, everything else to the auth listener.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        let is_public = matches!(request.path(), "/token" | "/jwks");
        self.connect(if is_public { &self.public } else { &self.address }).ask(request)
    }

    /// One log-in from `network`: the status.
    pub(crate) fn log_in(&self, user: &str, password: &str, network: &str) -> u16 {
        self.ask(&Request::auth().basic(user, password).from(network)).status
    }

    /// One request to the admin listener.
    pub(crate) fn admin(&self, request: &Request) -> Answer {
        client::ask(&self.admin, OF_DOORWARD, request)
    }

    /// A figure, all its labels taken together, or those that begin as `name` does. The name must be
    /// one that there is.
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

    /// Password checks done so far.
    pub(crate) fn hashes(&self) -> f64 {
        self.metric("doorward_hash_checks_total")
    }

    /// Processor time used so far, in the kernel's ticks, of which a second has a hundred. Unlike the
    /// clock on the wall it does not depend on what else the machine is doing.
    pub(crate) fn ticks(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.process.pid())).unwrap();
        let behind_name = status.rsplit(')').next().unwrap_or_default();
        // In user and in system mode: fields 14 and 15 of proc(5), of which two are before the name's end.
        behind_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
    }

    /// What `/readyz` says.
    pub(crate) fn ready(&self) -> Answer {
        self.admin(&Request::get("/readyz").host("localhost"))
    }

    /// All it logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Has it stand still, and returns when it does.
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

    /// Kills it, as the kernel would that is out of memory.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits for its end: the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.process.wait().code()
    }
}

impl Drop for Doorward {
    fn drop(&mut self) {
        // What it does when it is asked to end has tests of its own.
        self.process.kill();
    }
}

/// A process that is ready, and its first address of each kind.
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
    // Where there is none, the settings name others to ask.
    if dir.join("htpasswd").exists() {
        command.arg("--htpasswd").arg(dir.join("htpasswd"));
    }
    // A file beside it, for the few programs' variables that are none of doorward's own.
    let environment = fs::read_to_string(dir.join("environment")).unwrap_or_default();
    command.envs(environment.lines().filter_map(|line| line.split_once('=')));
    if let Some(mounts) = Mounts::of(dir) {
        command = mounts.wrap(command);
    }
    let mut process = Process::spawn(command, &dir.join("log"));
    // Port 0 was asked for: which one it is stands in the log, in either format.
    let listens = |log: &str, which: &str| {
        let line = log.lines().find(|line| line.contains("doorward is ready"))?.replace('\\', "");
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
        // Of one that waits for somebody else all is said, and its test goes on.
        (answer.status == 200 || answer.text().starts_with("not ready: upstream")).then_some(())
    };
    process.ready("doorward is ready", probe);
    Launched { process, address, public, admin }
}
