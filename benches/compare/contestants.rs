//! Part `contestants`: requests a second of a user whose password was checked before.

use crate::Fallible;
use crate::client::credentials;
use crate::samples::Recorder;
use crate::services::{self, Contestant, PASSWORD, Running, USER};
use crate::world::World;
use crate::wrk;

/// The case of all samples.
pub(crate) const CASE: &str = "cached user";

/// Few enough that a service that hashes for each request answers within a measurement.
const CONNECTIONS: usize = 32;

pub(crate) fn run(world: &World, recorder: &mut Recorder) -> Fallible<()> {
    let users = world.options.root.join("htpasswd.example");
    let running = start_all(world, recorder, &users, |_| true)?;
    for one in &running {
        one.check(USER, PASSWORD)?;
    }
    let targets: Vec<_> = running.iter().map(|one| (one.contestant.name(), one.target())).collect();
    wrk::rounds(world, recorder, CASE, &targets, &credentials(USER, PASSWORD), CONNECTIONS)
}

/// Starts all contestants that run on this machine and that CONTESTANTS permits, and notes the others.
fn start_all(
    world: &World,
    recorder: &mut Recorder,
    users: &std::path::Path,
    applies: impl Fn(Contestant) -> bool,
) -> Fallible<Vec<Running>> {
    let mut running = Vec::new();
    for contestant in Contestant::ALL {
        if applies(contestant) && world.options.includes(contestant.name()) {
            running.extend(start_or_note(world, recorder, contestant, users)?);
        }
    }
    Ok(running)
}

/// Starts one contestant. If its program is missing, this is noted and the result is `None`.
pub(crate) fn start_or_note(
    world: &World,
    recorder: &mut Recorder,
    contestant: Contestant,
    users: &std::path::Path,
) -> Fallible<Option<Running>> {
    match services::start(world, contestant, users)? {
        Ok(running) => {
            if let Some(version) = services::version(world, contestant) {
                recorder.version(&version)?;
            }
            Ok(Some(running))
        }
        Err(reason) => {
            recorder.note(format!("{}: skipped, {reason}.", contestant.name()))?;
            Ok(None)
        }
    }
}
