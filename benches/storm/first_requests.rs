//! Measures many simultaneous first requests of one user: they must cost one hash and its time.

use std::time::{Duration, Instant};

use crate::client::{Connection, basic, client, subrequest};
use crate::doorward::{Doorward, alice};
use crate::{Fallible, ms, quantile, ratio};

const AT_ONCE: usize = 1000;
const ROUNDS: usize = 5;

/// Runs the rounds and prints their figures.
pub(crate) fn run() -> Fallible<()> {
    let doorward = Doorward::start()?;
    let bob = subrequest(&basic("bob", "builder"), client(0));
    let (mut alone, mut all, mut hashes, mut answered) = (Vec::new(), Vec::new(), Vec::new(), 0);
    // The connections are open before the clock starts, as nginx keeps them open.
    let mut connections =
        (0..AT_ONCE).map(|_| Connection::open(doorward.port)).collect::<Fallible<Vec<_>>>()?;
    for _ in 0..ROUNDS {
        doorward.flush()?;
        alone.push(one(&mut connections, &bob)?);
        let before = doorward.metric("hash_checks_total")?;
        let (time, good) = at_once(&mut connections)?;
        all.push(time);
        answered += good;
        hashes.push(doorward.metric("hash_checks_total")? - before);
    }
    let (one, many) = (quantile(&mut alone, 0.5), quantile(&mut all, 0.5));
    println!("\n{AT_ONCE} simultaneous first requests of one user (bcrypt, cost 10), {ROUNDS} rounds");
    println!("  hashes in each round (target: 1)          {hashes:?}");
    println!("  answered with 200                         {answered} of {}", AT_ONCE * ROUNDS);
    println!("  one first request alone, median           {:.1} ms", ms(one));
    println!("  until the last one was answered, median   {:.1} ms", ms(many));
    println!("  ratio (target: 1.5 or less)               {:.2}", ratio(many, one));
    Ok(())
}

fn one(connections: &mut [Connection], request: &[u8]) -> Fallible<Duration> {
    let start = Instant::now();
    let answer = connections.first_mut().ok_or("no connection")?.ask(request)?;
    if answer.status == 200 { Ok(start.elapsed()) } else { Err(format!("bob gets {}", answer.status).into()) }
}

/// Sends all requests before the first answer: sending takes a few milliseconds, a hash about fifty.
fn at_once(connections: &mut [Connection]) -> Fallible<(Duration, usize)> {
    let requests: Vec<_> = (0..connections.len()).map(|n| subrequest(&alice(), client(n))).collect();
    let start = Instant::now();
    for (connection, request) in connections.iter_mut().zip(&requests) {
        connection.send(request)?;
    }
    let mut good = 0;
    for connection in connections {
        good += usize::from(connection.receive()?.status == 200);
    }
    Ok((start.elapsed(), good))
}
