//! Compares doorward with the least that nginx needs for a subrequest, and with other programs that check passwords. It
//! uses the standard library only, so `make compare-build` compiles it with rustc in seconds, to `target/compare`.
//!
//! ```text
//! compare floor          doorward, an empty service and one that sends the same headers, in each transport and location
//! compare contestants    a cached user of doorward, nginx auth_basic, http-auth, Caddy, oauth2-proxy and two registries
//! compare first          the first logins of 1,000 users at once
//! compare flood          the requests of one user while 200 clients guess passwords
//! compare pull           an image of 20 layers, pulled without authentication, with Basic, ES256 and RS256 tokens
//! compare users          doorward with ten to a million users, and with one to 10,000 grants
//! compare                all of them, one after the other
//! compare report         writes the tables and charts of the results into docs/performance.md
//! ```
//!
//! Each variable has a default:
//!
//! ```text
//! DOORWARD=FILE           the program to measure; target/release/doorward
//! RESULTS=FOLDER          where samples are appended; target/compare-results
//! ROUNDS=10               interleaved rounds
//! LONG_ROUNDS=3           rounds of the parts first and flood
//! SECONDS_EACH=1          length of a measurement with wrk
//! CONNECTIONS="8 32 64 512"   simultaneous connections of the part floor
//! TRANSPORTS="tcp unix"   LOCATIONS="bare generated registry"     cells of the part floor
//! KEEPALIVE=1024          idle connections that each nginx worker keeps to every service
//! OTHERS=10               most processor time of other programs in a round that counts, in percent of one core
//! FIRST_USERS=1000        users of the part first
//! FLOOD_SECONDS=10        length of a flood
//! USER_COUNTS="10 1000 100000 1000000"    GRANT_COUNTS="1 100 10000"    sizes of the part users
//! CONTESTANTS="NAME,NAME" limits the parts contestants, first and flood to contestants whose name contains one of these
//! SYSCALLS=1              counts system calls with strace, in the part floor
//! HEADERS_SERVICE=FILE    a program that answers `serve http-headers LISTEN` with the headers of doorward
//! DOCKER_AUTH=FILE        the program auth_server of docker_auth
//! ```
//!
//! Every server listens on loopback or on a unix socket. Servers are stopped by process id, also after Ctrl-C.

mod charts;
mod client;
mod contestants;
mod first;
mod flood;
mod floor;
mod machine;
mod nginx;
mod options;
mod process;
mod pull;
mod report;
mod samples;
mod services;
mod statistics;
mod tables;
mod tools;
mod user_counts;
mod world;
mod wrk;

use std::error::Error;
use std::process::ExitCode;

use crate::options::Options;
use crate::samples::Recorder;
use crate::world::World;

/// An error ends the program and is printed.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

const PARTS: [&str; 6] = ["floor", "contestants", "first", "flood", "pull", "users"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Fallible<()> {
    let options = Options::from_environment()?;
    let mut parts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if parts.is_empty() {
        parts = PARTS.to_vec();
    }
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(part) && **part != "report") {
        return Err(format!("unknown part {unknown}; valid are {} and report", PARTS.join(", ")).into());
    }
    for part in parts {
        if part == "report" {
            report::write(&options)?;
            continue;
        }
        eprintln!("== {part}");
        let world = World::new(&options)?;
        let mut recorder = Recorder::new(&options, part)?;
        match part {
            "floor" => floor::run(&world, &mut recorder)?,
            "contestants" => contestants::run(&world, &mut recorder)?,
            "first" => first::run(&world, &mut recorder)?,
            "flood" => flood::run(&world, &mut recorder)?,
            "pull" => pull::run(&world, &mut recorder)?,
            _ => user_counts::run(&world, &mut recorder)?,
        }
        println!("{}", tables::render(part, recorder.samples()));
        for note in recorder.notes() {
            println!("{note}");
        }
    }
    Ok(())
}
