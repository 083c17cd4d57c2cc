//! Runs programs. If a program is not installed, the test fails and names its package.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, eventually, secrets};

/// Number of log lines that a failure shows.
const TAIL: usize = 25;

/// Time from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// Returns the path of the program `name`. If it is not installed, the test fails and names the package to
/// install.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beyond = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(beyond).map(|dir| dir.join(name)).find(|at| at.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: apt-get install {package} (Debian's package)"))
}

/// Output of a program that has ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Returns the command line if the program is doorward, whose output must not contain a secret; `None` for
/// any other program.
fn of_doorward(command: &Command) -> Option<String> {
    let line = format!("{:?} {:?}", command.get_program(), command.get_args().collect::<Vec<_>>());
    line.contains(env!("CARGO_BIN_EXE_doorward")).then_some(line)
}

/// Runs a program that ends by itself, and fails if it does not end in time.
pub(crate) fn run(command: Command) -> Output {
    run_with(command, Stdio::null())
}

/// Runs a program with this input on stdin.
pub(crate) fn run_with_input(command: Command, input: &[u8]) -> Output {
    let dir = tempfile::tempdir().expect("a folder for the input");
    let path = dir.path().join("in");
    fs::write(&path, input).unwrap();
    run_with(command, File::open(&path).unwrap().into())
}

fn run_with(mut command: Command, stdin: Stdio) -> Output {
    let dir = tempfile::tempdir().expect("a folder for the output");
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    let of_doorward = of_doorward(&command);
    command.stdin(stdin).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut process = Process { child, log: err, of_doorward: None };
    let code = process.wait().code();
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let output = Output { code, stdout: read(&out), stderr: read(&process.log) };
    if let Some(line) = of_doorward {
        secrets::assert_contains_no_secret(&line, &(output.stdout.clone() + &output.stderr));
    }
    output
}

/// A running program, stopped when the value is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// The command line if the program is doorward.
    of_doorward: Option<String>,
}

impl Process {
    /// Starts the program; its output goes to a file at `log`.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        let of_doorward = of_doorward(&command);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_owned(), of_doorward }
    }

    /// Returns the output so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Returns the last lines of the output, for error messages.
    pub(crate) fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Waits until `probe` returns a value. Fails with the log if the time limit passes or the program ends.
    pub(crate) fn ready<T>(&mut self, what: &str, mut probe: impl FnMut(&str) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = probe(&self.log()) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: it ended with {ended:?}; its log:\n{}", self.tail());
            assert!(Instant::now() < end, "{what}: not after {PATIENCE:?}; its log:\n{}", self.tail());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).unwrap();
    }

    /// Waits until the program ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let what = format!("the end of process {}", self.child.id());
        let Self { child, .. } = self;
        eventually(&what, || child.try_wait().unwrap())
    }

    /// Sends SIGTERM, and SIGKILL if the program does not end in time.
    pub(crate) fn stop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        self.signal(Signal::TERM);
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }

    /// Kills the program.
    pub(crate) fn kill(&mut self) {
        // The program may have ended just now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if let Some(line) = self.of_doorward.take() {
            secrets::assert_contains_no_secret(&line, &self.log());
        }
    }
}

#[test]
#[should_panic(expected = "no-such-program is not installed: apt-get install its-package")]
fn missing_program_fails_the_test_and_names_its_package() {
    program("no-such-program", "its-package");
}
