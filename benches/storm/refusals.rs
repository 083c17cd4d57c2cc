//! Measures whether the time of a refusal reveals that a user or an API key exists.
//!
//! Each class gets the same number of refusals, in random order, on one connection, with nothing cached and nothing
//! throttled. For each class, the bench finds the threshold that separates it best from the class of unknown users, on one
//! half of the sample. It applies the threshold to the other half. 50 % correct is guessing; the target is at most 55 %.
//!
//! ```text
//! SAMPLES=2000    refusals of each class; with fewer than 1,000 the figures mean little
//! KEYS=100000     API keys in the file
//! ```

use std::fs;
use std::net::Ipv4Addr;
use std::time::Instant;

use crate::client::{Connection, basic, subrequest};
use crate::doorward::{Doorward, UNTHROTTLED};
use crate::random::Random;
use crate::{Fallible, api_keys, setting};

/// The target: the largest share of correct decisions, in percent.
const TARGET: f64 = 55.0;

const CRYPT: &str = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes the value of `Authorization` of one refusal.
type Credentials = Box<dyn Fn(&mut Random) -> String>;

/// A class of refusals; the first of a list is the unknown one.
struct Class {
    name: &'static str,
    credentials: Credentials,
}

/// Runs both parts and prints their figures.
pub(crate) fn run() -> Fallible<()> {
    let samples = setting("SAMPLES", 2000)?;
    users(samples)?;
    keys(samples, setting("KEYS", 100_000)?)
}

/// Returns htpasswd hashes of no password, one of each format, with low costs.
fn hashes(random: &mut Random) -> Vec<(&'static str, String)> {
    let mut text = |length| random.text(CRYPT, length);
    let bcrypt =
        |cost, text: &mut dyn FnMut(usize) -> String| format!("$2y${cost}${}.{}.", text(21), text(30));
    // The last character of a crypt(3) salt or digest holds two bits.
    vec![
        ("bcrypt, cost 7", bcrypt("07", &mut text)),
        ("bcrypt, cost 8", bcrypt("08", &mut text)),
        ("apr1", format!("$apr1${}${}/", text(8), text(21))),
        ("md5-crypt", format!("$1${}${}/", text(8), text(21))),
        ("sha256-crypt", format!("$5$rounds=1000${}${}/", text(16), text(42))),
        ("sha512-crypt", format!("$6$rounds=1000${}${}/", text(16), text(85))),
        ("yescrypt", format!("$y$j75${}/${}/", text(21), text(42))),
        ("argon2id", format!("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA${}", "A".repeat(43))),
        ("{SHA}", format!("{{SHA}}{}=", "A".repeat(27))),
        ("{SSHA}", format!("{{SSHA}}{}", "A".repeat(32))),
        ("invalid line", "$2y$08$cut".to_owned()),
        // Of the right length and alphabet, but no bytes have this digest.
        ("invalid sha256-crypt digest", format!("$5$rounds=1000${}${}z", text(16), text(42))),
        ("invalid yescrypt digest", format!("$y$j75${}/${}z", text(21), text(42))),
    ]
}

fn users(samples: usize) -> Fallible<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("htpasswd");
    let hashes = hashes(&mut Random(1));
    let lines = hashes.iter().enumerate().map(|(n, (_, hash))| format!("user{n}:{hash}\n"));
    fs::write(&path, lines.collect::<String>())?;
    let options: Vec<_> = UNTHROTTLED.iter().map(AsRef::as_ref).collect();
    let doorward = Doorward::with_users(&path, &options)?;
    let class = |name, user: String| Class {
        name,
        credentials: Box::new(move |random| {
            let length = 8 + random.below(12);
            basic(&user, &random.text(CRYPT, length))
        }),
    };
    let known = hashes.iter().enumerate().map(|(n, (name, _))| class(name, format!("user{n}")));
    let classes: Vec<_> = [class("unknown user", "stranger".into())].into_iter().chain(known).collect();
    measure(&doorward, &format!("\n{samples} wrong passwords of each class of user"), &classes, samples)
}

fn keys(samples: usize, count: usize) -> Fallible<()> {
    let mut random = Random(2);
    let dir = tempfile::tempdir()?;
    let (users, path) = (dir.path().join("htpasswd"), dir.path().join("keys"));
    fs::write(&users, format!("alice:$2y$04${}\n", ".".repeat(53)))?;
    let [plain, scoped, expired, invalid] = [(); 4].map(|()| api_keys::new(&mut random, None));
    let lines = vec![
        api_keys::line(&plain, "alice", "plain", ""),
        api_keys::line(&scoped, "alice", "scoped", r#","scope":["pull:library/**"]"#),
        api_keys::line(&expired, "alice", "expired", r#","expires":"2020-01-01T00:00:00Z""#),
        api_keys::line(&invalid, "alice", "invalid", r#","expire":"2099-01-01T00:00:00Z""#),
    ];
    api_keys::write(&path, lines, count, &mut random)?;
    let options = ["--api-keys".as_ref(), path.as_os_str(), "--api-keys-owners=any".as_ref()];
    let options: Vec<_> = UNTHROTTLED.iter().map(AsRef::as_ref).chain(options).collect();
    let doorward = Doorward::with_users(&users, &options)?;
    for bearer in [false, true] {
        let class = |name, id: Option<&str>| {
            let id = id.map(str::to_owned);
            let credentials = move |random: &mut Random| {
                let key = api_keys::new(random, id.as_deref());
                if bearer { format!("Bearer {key}") } else { basic("alice", &key) }
            };
            Class { name, credentials: Box::new(credentials) }
        };
        let classes = [
            class("unknown id", None),
            class("known id, another secret", Some(api_keys::id(&plain))),
            class("the same with a scope", Some(api_keys::id(&scoped))),
            class("the same, expired", Some(api_keys::id(&expired))),
            class("the same, an invalid line", Some(api_keys::id(&invalid))),
        ];
        let how = if bearer { "a bearer" } else { "alice's password" };
        let title = format!("\n{samples} wrong API keys of each class, as {how}, beside {count} keys");
        measure(&doorward, &title, &classes, samples)?;
    }
    Ok(())
}

/// Takes the samples and prints how well each class can be distinguished from the first one.
fn measure(doorward: &Doorward, title: &str, classes: &[Class], samples: usize) -> Fallible<()> {
    let mut random = Random(u64::from(doorward.pid()));
    let mut order: Vec<usize> = (0..classes.len() * samples).map(|n| n % classes.len()).collect();
    random.shuffle(&mut order);
    let mut seconds = vec![Vec::with_capacity(samples); classes.len()];
    let mut connection = Connection::open(doorward.port)?;
    for n in order {
        let (Some(class), Some(seconds)) = (classes.get(n), seconds.get_mut(n)) else { continue };
        let client = Ipv4Addr::from(0x0a00_0000 + u32::try_from(random.below(1 << 24))?);
        let request = subrequest(&(class.credentials)(&mut random), client);
        let begin = Instant::now();
        let answer = connection.ask(&request)?;
        seconds.push(begin.elapsed().as_secs_f64());
        if answer.status != 401 {
            return Err(format!("{} gets {}", class.name, answer.status).into());
        }
    }
    println!("{title}");
    println!(
        "  {:30} {:>9} {:>15}  {:>17}  at most {TARGET} %",
        "class", "median us", "us from unknown", "told from unknown"
    );
    let unknown = seconds.first().cloned().unwrap_or_default();
    for (class, sample) in classes.iter().zip(&seconds) {
        let (median, base) = (median(sample) * 1e6, median(&unknown) * 1e6);
        let share = accuracy(&unknown, sample);
        let verdict = if share <= TARGET { "yes" } else { "NO" };
        println!("  {:30} {median:9.1} {:15.1}  {share:15.1} %  {verdict}", class.name, median - base);
    }
    Ok(())
}

fn median(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Returns the share in percent that the best threshold of the first halves classifies correctly in the second halves.
fn accuracy(unknown: &[f64], known: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (unknown.split_at(unknown.len() / 2), known.split_at(known.len() / 2));
    let mut marked: Vec<(f64, i64)> = a.iter().map(|x| (*x, 1)).chain(b.iter().map(|x| (*x, -1))).collect();
    marked.sort_unstable_by(|x, y| x.0.total_cmp(&y.0));
    // The number of samples of `a` minus those of `b` up to each value. The best threshold is where it is largest.
    let (mut balance, mut most, mut threshold, mut a_is_low) = (0_i64, 0, 0.0, true);
    for (value, mark) in marked {
        balance += mark;
        if balance.abs() > most {
            (most, threshold, a_is_low) = (balance.abs(), value, balance > 0);
        }
    }
    let (low, high) = if a_is_low { (a_rest, b_rest) } else { (b_rest, a_rest) };
    let right =
        low.iter().filter(|x| **x <= threshold).count() + high.iter().filter(|x| **x > threshold).count();
    100.0 * right as f64 / (low.len() + high.len()).max(1) as f64
}
