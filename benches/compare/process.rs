//! Servers: started with a log, stopped by process id, and measured through /proc.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Fallible;
use crate::nginx::Endpoint;
use crate::world::{World, tail};

/// Time in which a server must listen. A doorward with a million users needs the most.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Time between SIGTERM and SIGKILL.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Interval at which a condition is checked.
const POLL: Duration = Duration::from_millis(20);

/// Stops the servers and removes the folder after this program has ended, however it ends. The script reads process ids
/// until the pipe closes, and it ignores the Ctrl-C that ends this program.
const CLEANER: &str = r#"
trap '' INT TERM HUP
pids=' '
while read -r sign pid; do
    case $sign in
        +) pids="$pids$pid " ;;
        -) pids=$(printf %s "$pids" | sed "s/ $pid / /") ;;
    esac
done
for pid in $pids; do kill -TERM "$pid" 2>/dev/null; done
[ "$pids" = ' ' ] || sleep 2
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
rm -rf -- "$1"
"#;

/// The process that cleans up.
pub(crate) struct Cleaner {
    child: Mutex<Child>,
    input: Mutex<Option<ChildStdin>>,
}

impl Cleaner {
    pub(crate) fn start(folder: &Path) -> Fallible<Self> {
        let mut child = Command::new("sh")
            .args(["-c", CLEANER, "cleaner"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let input = child.stdin.take();
        Ok(Self { child: Mutex::new(child), input: Mutex::new(input) })
    }

    fn send(&self, sign: char, pid: u32) {
        if let Some(input) = self.input.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // Without a cleaner, the server is still stopped when it is dropped.
            let _ = writeln!(input, "{sign} {pid}");
        }
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        drop(self.input.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }
}

/// Processor time and context switches since the start of a process.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Clock ticks in user and kernel mode.
    pub(crate) ticks: u64,
    /// Voluntary and nonvoluntary context switches of all threads.
    pub(crate) switches: u64,
}

impl Usage {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            ticks: self.ticks.saturating_sub(before.ticks),
            switches: self.switches.saturating_sub(before.switches),
        }
    }
}

/// A running server. It is stopped when it is dropped.
pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
    cleaner: Arc<Cleaner>,
}

impl Server {
    /// Starts a server in the background. Its output goes to a log in the folder of the world.
    pub(crate) fn start(world: &World, name: &str, command: &mut Command) -> Fallible<Self> {
        let log = world.path(&format!("{name}.log"));
        let file = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .map_err(|error| format!("{name} cannot be started: {error}"))?;
        let cleaner = world.cleaner();
        cleaner.send('+', child.id());
        Ok(Self { name: name.to_owned(), child, log, cleaner })
    }

    /// Waits until the server accepts connections.
    pub(crate) fn listens(&mut self, at: &Endpoint) -> Fallible<()> {
        let end = Instant::now() + START_LIMIT;
        loop {
            let accepts = match at {
                Endpoint::Tcp(port) => TcpStream::connect(("127.0.0.1", *port)).is_ok(),
                Endpoint::Unix(path) => UnixStream::connect(path).is_ok(),
            };
            if accepts {
                return Ok(());
            }
            self.check()?;
            if Instant::now() > end {
                return Err(self.error(&format!("does not listen after {} s", START_LIMIT.as_secs())));
            }
            thread::sleep(POLL);
        }
    }

    /// Fails if the server has ended.
    pub(crate) fn check(&mut self) -> Fallible<()> {
        match self.child.try_wait()? {
            Some(status) => Err(self.error(&format!("has ended ({status})"))),
            None => Ok(()),
        }
    }

    /// Returns an error with the end of the log.
    pub(crate) fn error(&self, what: &str) -> Box<dyn std::error::Error + Send + Sync> {
        let log = fs::read(&self.log).unwrap_or_default();
        format!("{} {what}; its log ends with:\n{}", self.name, tail(&String::from_utf8_lossy(&log))).into()
    }

    /// Returns the process and its children, which are the workers of nginx.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|word| word.parse().ok());
        std::iter::once(pid).chain(children).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.child.id();
        let all = self.processes();
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            signal("-TERM", pid);
            let end = Instant::now() + STOP_LIMIT;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
                thread::sleep(POLL);
            }
            if matches!(self.child.try_wait(), Ok(None)) {
                // The workers of a killed nginx would continue.
                for process in all {
                    signal("-KILL", process);
                }
                let _ = self.child.wait();
            }
        }
        self.cleaner.send('-', pid);
    }
}

/// Returns the sum of these processes.
pub(crate) fn usage(processes: &[u32]) -> Fallible<Usage> {
    let mut usage = Usage::default();
    for pid in processes {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_err(|_| format!("process {pid} of a server has ended"))?;
        usage.ticks += ticks(&stat, 11) + ticks(&stat, 12);
        for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            let lines = status.lines().filter(|line| line.contains("ctxt_switches:"));
            let switches = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
            usage.switches += switches.sum::<u64>();
        }
    }
    Ok(usage)
}

/// Sends a signal to a process that this program started.
pub(crate) fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill").arg(name).arg(pid.to_string()).stderr(Stdio::null()).status();
}

/// Returns a field of /proc/PID/stat, counted after the name of the program, which can contain spaces.
fn ticks(stat: &str, field: usize) -> u64 {
    let after = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    after.split(' ').nth(field).and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Returns the clock ticks of all processes that this program has waited for, such as wrk.
pub(crate) fn ended_children_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    ticks(&stat, 13) + ticks(&stat, 14)
}

/// Returns the clock ticks in which the machine was not idle. Time that a hypervisor took is included.
pub(crate) fn busy_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = first.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    fields.iter().take(8).sum::<u64>() - idle
}

/// Waits until no server uses the processor. nginx computes hashes for connections that are already closed, and answers no
/// other request meanwhile.
pub(crate) fn settle(processes: &[u32]) -> Fallible<()> {
    let total = || usage(processes).map(|usage| usage.ticks);
    let end = Instant::now() + START_LIMIT;
    let mut before = total()?;
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = total()?;
        // A program in Go uses some time for itself.
        if now <= before + 2 {
            return Ok(());
        }
        if Instant::now() > end {
            return Err("the servers still use the processor a minute after the last request".into());
        }
        before = now;
    }
}
