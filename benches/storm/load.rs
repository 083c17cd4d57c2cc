//! Right and wrong credentials through nginx, for a time, and every answer counted. For `faults.sh`,
//! which stops and kills doorward meanwhile.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Fallible;
use crate::client::{Answer, Connection, basic};
use crate::doorward::alice;

/// Connections of each kind.
const CONNECTIONS: u8 = 4;

/// Between two requests of one connection: enough of them, and the machine is not full.
const PACE: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Tally {
    answers: BTreeMap<String, usize>,
    longest: Duration,
    /// When the last answer came that was not 200, in milliseconds since 1970.
    trouble: u128,
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

/// What an answer was: its status, and whether an error told about itself in JSON.
fn name(answer: &Fallible<Answer>) -> String {
    match answer {
        Err(_) => "none".into(),
        Ok(answer) if answer.status < 300 => answer.status.to_string(),
        Ok(answer) => {
            let json = answer.header("content-type").starts_with("application/json")
                && answer.body.starts_with(b"{\"errors\":[{");
            format!("{}{}", answer.status, if json { "-json" } else { "-other" })
        }
    }
}

fn ask(from: Ipv4Addr, port: u16, path: &str, wrong: Option<u8>, until: Instant) -> Tally {
    let (mut tally, mut connection, mut n) = (Tally::default(), None, 0_usize);
    while Instant::now() < until {
        n += 1;
        let authorization = match wrong {
            None => alice(),
            Some(who) => basic(if n % 2 == 0 { "alice" } else { "bob" }, &format!("wrong-{who}-{n}")),
        };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n\r\n");
        let start = Instant::now();
        let answer = match connection.take().map_or_else(|| Connection::open_from(from, port), Ok) {
            Ok(mut open) => {
                let answer = open.ask(request.as_bytes());
                // After a failure, or if nginx says that it closes, the next request needs another.
                if answer.as_ref().is_ok_and(|answer| answer.header("connection") != "close") {
                    connection = Some(open);
                }
                answer
            }
            Err(error) => Err(error),
        };
        tally.longest = tally.longest.max(start.elapsed());
        if !answer.as_ref().is_ok_and(|answer| answer.status == 200) {
            tally.trouble = now();
        }
        *tally.answers.entry(name(&answer)).or_default() += 1;
        thread::sleep(PACE);
    }
    tally
}

/// Prints a line for each kind: `KIND ANSWER=COUNT ... longest_ms=N trouble_ms=N`.
pub(crate) fn run(port: &str, path: &str, seconds: &str) -> Fallible<()> {
    let (port, time) = (port.parse()?, Duration::from_secs(seconds.parse()?));
    let until = Instant::now() + time;
    thread::scope(|scope| {
        let connections = |wrong: bool| {
            let one = move |who: u8| {
                // Those who guess are in other networks than those who know.
                let from = Ipv4Addr::new(127, 0, if wrong { 2 } else { 1 }, who);
                scope.spawn(move || ask(from, port, path, wrong.then_some(who), until))
            };
            (1..=CONNECTIONS).map(one).collect::<Vec<_>>()
        };
        for (kind, connections) in [("valid", connections(false)), ("invalid", connections(true))] {
            let mut all = Tally::default();
            for connection in connections {
                let tally = connection.join().map_err(|_| "a connection panicked")?;
                for (name, count) in tally.answers {
                    *all.answers.entry(name).or_default() += count;
                }
                all.longest = all.longest.max(tally.longest);
                all.trouble = all.trouble.max(tally.trouble);
            }
            let counts: Vec<_> = all.answers.iter().map(|(name, count)| format!("{name}={count}")).collect();
            let (longest, trouble) = (all.longest.as_millis(), all.trouble);
            println!("{kind} {} longest_ms={longest} trouble_ms={trouble}", counts.join(" "));
        }
        Ok(())
    })
}
