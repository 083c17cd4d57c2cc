//! Measures the time until a changed file is in force, and whether other users notice the reload.
//!
//! A user, the victim, loses access and gets it back; the clock runs from the end of the change to the first right answer.
//! Meanwhile alice, whose answer is cached, sends a request every millisecond. Files are polled each second.

use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

use crate::client::{Connection, Sample, basic, subrequest_for};
use crate::doorward::{Doorward, UNTHROTTLED};
use crate::random::Random;
use crate::{Fallible, api_keys, ms, quantile, setting};

const ALICE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const VICTIM: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const URI: &str = "/v2/team/app/manifests/v1";

/// A change must be in force within this time; the documented limit is 2 s.
const EFFECT_MAX: Duration = Duration::from_secs(10);

/// Returns an htpasswd line with a hash that costs nothing.
pub(crate) fn user(name: &str, password: &str) -> String {
    format!("{name}:{{SHA}}{}\n", BASE64_STANDARD.encode(Sha1::digest(password)))
}

/// Replaces a file by renaming another one over it.
pub(crate) fn replace(path: &Path, text: &[u8]) -> Fallible<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, path)?)
}

/// Sends a request until it is answered with a status; the time from `begin`.
pub(crate) fn until(port: u16, request: &[u8], status: u16, begin: Instant) -> Fallible<Duration> {
    let mut connection = Connection::open(port)?;
    while connection.ask(request)?.status != status {
        if begin.elapsed() > EFFECT_MAX {
            return Err(format!("no {status} within {EFFECT_MAX:?} of the change").into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(begin.elapsed())
}

/// Samples a request while `work` runs.
pub(crate) fn sampled<T>(
    port: u16,
    request: &[u8],
    work: impl FnOnce() -> Fallible<T>,
) -> Fallible<(T, Sample)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| Sample::take(port, request, Duration::from_millis(1), &stop));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let sample = sampler.join().map_err(|_| "the sampler panicked")??;
        Ok((done?, sample))
    })
}

/// One way to change one file.
struct Way {
    title: &'static str,
    file: &'static str,
    /// The file's content with and without the victim's access.
    texts: [String; 2],
    in_place: bool,
    options: Vec<String>,
    victim: String,
    refusal: u16,
}

/// Runs all ways and prints their figures.
pub(crate) fn run() -> Fallible<()> {
    let changes = setting("CHANGES", 10)?;
    let users = user("alice", "wonderland") + &user("victim", "secret");
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let grant =
        |users| format!("[[grant]]\nusers = [{users}]\nrepositories = [\"team/**\"]\nactions = [\"pull\"]\n");
    let key = api_keys::new(&mut Random(1), None);
    let other = api_keys::line(&api_keys::new(&mut Random(2), None), "alice", "other", "") + "\n";
    let htpasswd = |title, in_place| Way {
        title,
        file: "htpasswd",
        texts: [users.clone(), user("alice", "wonderland")],
        in_place,
        options: Vec::new(),
        victim: basic("victim", "secret"),
        refusal: 401,
    };
    let ways = [
        htpasswd("htpasswd file replaced", false),
        htpasswd("htpasswd file written in place", true),
        Way {
            title: "policy replaced",
            file: "policy",
            texts: [grant("\"alice\", \"victim\""), grant("\"alice\"")],
            in_place: false,
            options: vec!["--policy".into(), path("policy")],
            victim: basic("victim", "secret"),
            refusal: 403,
        },
        Way {
            title: "file of API keys replaced",
            file: "keys",
            texts: [api_keys::line(&key, "victim", "one", "") + "\n" + &other, other.clone()],
            in_place: false,
            options: vec!["--api-keys".into(), path("keys")],
            victim: format!("Bearer {key}"),
            refusal: 401,
        },
    ];
    println!("\n{changes} removals and returns of a user; time to effect in ms (target: 2000 or less)");
    println!("  {:32} {:>14} {:>14}  the other user meanwhile", "", "removed", "returned");
    for way in &ways {
        fs::write(dir.path().join("htpasswd"), &users)?;
        one(way, dir.path(), changes)?;
    }
    Ok(())
}

fn one(way: &Way, dir: &Path, changes: usize) -> Fallible<()> {
    let path = dir.join(way.file);
    let [with, without] = &way.texts;
    fs::write(&path, with)?;
    let options = UNTHROTTLED.iter().map(AsRef::as_ref).chain(way.options.iter().map(AsRef::as_ref));
    let options: Vec<&OsStr> = options.collect();
    let doorward = Doorward::with_users(&dir.join("htpasswd"), &options)?;
    let alice = subrequest_for(URI, &basic("alice", "wonderland"), ALICE);
    let victim = subrequest_for(URI, &way.victim, VICTIM);
    let mut random = Random(u64::from(doorward.pid()));
    let mut change = |text: &str, status| -> Fallible<Duration> {
        // At any moment between two polls.
        thread::sleep(Duration::from_millis(u64::try_from(random.below(1000))?));
        if way.in_place {
            fs::write(&path, text)?;
        } else {
            replace(&path, text.as_bytes())?;
        }
        until(doorward.port, &victim, status, Instant::now())
    };
    let (times, mut sample) = sampled(doorward.port, &alice, || {
        until(doorward.port, &victim, 200, Instant::now())?;
        let (mut removed, mut returned) = (Vec::new(), Vec::new());
        for _ in 0..changes {
            removed.push(change(without, way.refusal)?);
            returned.push(change(with, 200)?);
        }
        Ok([removed, returned])
    })?;
    let [removed, returned] = times.map(|mut times| {
        format!("{:5.0} {:5.0} max", ms(quantile(&mut times, 0.5)), ms(quantile(&mut times, 1.0)))
    });
    println!("  {:32} {removed:>14} {returned:>14}  {}", way.title, sample.line());
    Ok(())
}
