//! Part `first`: the first logins of many users at once, whose passwords no service has checked before.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Fallible;
use crate::client::{Client, basic};
use crate::contestants::start_or_note;
use crate::samples::Recorder;
use crate::services::Contestant;
use crate::tools;
use crate::world::World;

/// The case of all samples.
pub(crate) const CASE: &str = "first logins";

/// Connections of the client, each with a thread.
const CONNECTIONS: usize = 64;
/// Time in which all users of a contestant must be let in.
const LIMIT: Duration = Duration::from_secs(300);
/// Time after which a refused user tries again.
const RETRY: Duration = Duration::from_millis(200);

pub(crate) fn run(world: &World, recorder: &mut Recorder) -> Fallible<()> {
    let count = world.options.first_users;
    let users = users(world, count)?;
    let mut contestants: Vec<Contestant> = Contestant::ALL
        .into_iter()
        .filter(|contestant| contestant.checks_bcrypt_10() && world.options.includes(contestant.name()))
        .collect();
    for round in 0..world.options.long_rounds {
        let mut missing = Vec::new();
        for contestant in &contestants {
            // Each round starts it again, so no answer is cached. The check of answers uses a user of its own.
            let Some(running) = start_or_note(world, recorder, *contestant, &users)? else {
                missing.push(*contestant);
                continue;
            };
            running.check("user-0", &password(0))?;
            let result = log_in(running.port, &running.path, count);
            eprintln!("round {}, {}: {:.1} s", round + 1, contestant.name(), result.seconds);
            for (metric, value) in [
                ("seconds", result.seconds),
                ("refused", result.refused as f64),
                ("never_in", (count - result.admitted) as f64),
            ] {
                recorder.sample(CASE, contestant.name(), round, metric, value)?;
            }
        }
        contestants.retain(|contestant| !missing.contains(contestant));
    }
    Ok(())
}

fn password(user: usize) -> String {
    format!("password-{user}")
}

/// Returns an htpasswd file with the users 0 to `count`, whose hashes differ. Hashes are kept for the next run, since they
/// take a minute.
fn users(world: &World, count: usize) -> Fallible<PathBuf> {
    let kept = world.options.cache.join("first-users");
    let text = fs::read_to_string(&kept).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut file = OpenOptions::new().create(true).append(true).open(&kept)?;
    if lines.len() <= count {
        eprintln!("hashing the passwords of {} users", count + 1 - lines.len());
    }
    for user in lines.len()..=count {
        let line = format!("user-{user}:{}", tools::hash(&["-B", "-C", "10"], &password(user))?);
        writeln!(file, "{line}")?;
        lines.push(line);
    }
    lines.truncate(count + 1);
    world.write("first-users", &(lines.join("\n") + "\n"))
}

struct LoggedIn {
    seconds: f64,
    admitted: usize,
    /// Refused requests of right passwords. The client tries again after each.
    refused: usize,
}

/// Logs in the users 1 to `count`.
fn log_in(port: u16, path: &str, count: usize) -> LoggedIn {
    let (next, admitted, refused) = (AtomicUsize::new(1), AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = Client::new(port, LIMIT);
                loop {
                    let user = next.fetch_add(1, Ordering::Relaxed);
                    if user > count {
                        return;
                    }
                    let headers = basic(&format!("user-{user}"), &password(user));
                    while start.elapsed() < LIMIT {
                        if client.get(path, &headers).is_ok_and(|status| (200..300).contains(&status)) {
                            admitted.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                        refused.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(RETRY);
                    }
                }
            });
        }
    });
    LoggedIn {
        seconds: start.elapsed().as_secs_f64(),
        admitted: admitted.into_inner(),
        refused: refused.into_inner(),
    }
}
