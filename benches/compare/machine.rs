//! Facts about the machine, the kernel and the versions of programs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::options::Options;

/// Returns the facts that belong to every run.
pub(crate) fn facts(options: &Options) -> Vec<(&'static str, String)> {
    let field = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let memory: f64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    vec![
        ("date", first_line(Command::new("date").args(["-u", "+%Y-%m-%d"]))),
        ("processor", format!("{}, {cores} cores", field("/proc/cpuinfo", "model name"))),
        ("memory", format!("{:.0} GiB", memory / 1024.0 / 1024.0)),
        ("kernel", fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()),
        ("doorward", version(&options.doorward, &["--version"])),
        ("nginx", version("nginx", &["-v"])),
        ("wrk", version("wrk", &["-v"]).split(" [").next().unwrap_or_default().to_owned()),
    ]
}

/// Returns the first line that a program prints about its version, to either output.
pub(crate) fn version(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    first_line(Command::new(program.as_ref()).args(arguments))
}

fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "missing".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}
