//! Measures how many tokens one core signs and verifies in a second, for each kind of key, and the length of a token.
//!
//! ```text
//! cargo bench --bench tokens        needs openssl, which makes the RSA keys
//!
//! key            signs/s   ratio verifies/s   ratio  bytes
//! ES256            34000   1.000      11000   1.000  1040 1146 2118
//! ```
//!
//! The kinds take turns, so that a busy machine affects all of them, and the best round of each counts. The time is the
//! processor time of the thread.

#![allow(clippy::print_stdout, reason = "it is a command-line program")]

use std::error::Error;
use std::process::Command;
use std::time::{Duration, SystemTime};

use doorward::internals::{AccessEntry, Claims, SigningKeys, certify_key, generate_key};
use rustix::time::{ClockId, clock_gettime};

/// Rounds of each kind.
const ROUNDS: usize = 5;

/// Least processor time of a round.
const TURN: Duration = Duration::from_millis(400);

/// A time at which all tokens are valid.
const NOW: u64 = 1_700_000_000;

fn claims(repositories: usize) -> Claims {
    let access = |n: usize| AccessEntry {
        kind: "repository".into(),
        name: format!("some-team/application-{n}"),
        actions: vec!["pull".into(), "push".into()],
    };
    Claims {
        iss: "doorward".into(),
        sub: "alice".into(),
        aud: "registry.example.com".into(),
        exp: NOW + 900,
        nbf: NOW - 60,
        iat: NOW,
        jti: "00112233445566778899aabbccddeeff".into(),
        host: String::new(),
        access: (0..repositories).map(access).collect(),
        denied: Vec::new(),
    }
}

fn rsa(bits: u32) -> Result<SigningKeys, Box<dyn Error>> {
    let bits = format!("rsa_keygen_bits:{bits}");
    let made = Command::new("openssl").args(["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits]).output()?;
    Ok(SigningKeys::parse(certify_key(&made.stdout, SystemTime::now())?.pem.as_bytes())?)
}

/// Returns the processor time of this thread.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Returns how often the operation runs in a second.
fn rate(mut once: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let (start, mut count) = (own_time(), 0);
    loop {
        once()?;
        count += 1;
        let took = own_time().saturating_sub(start);
        if took >= TURN {
            return Ok(f64::from(count) / took.as_secs_f64());
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let ec = SigningKeys::parse(generate_key(SystemTime::now())?.pem.as_bytes())?;
    let kinds =
        [("ES256", ec), ("RS256-2048", rsa(2048)?), ("RS256-3072", rsa(3072)?), ("RS256-4096", rsa(4096)?)];
    let claims = [claims(0), claims(1), claims(10)];
    let mut best = [(0.0_f64, 0.0_f64); 4];
    for _ in 0..ROUNDS {
        for ((_, keys), best) in kinds.iter().zip(&mut best) {
            let token = keys.sign(&claims[1])?;
            best.0 = best.0.max(rate(|| Ok(keys.sign(&claims[1]).map(drop)?))?);
            best.1 = best.1.max(rate(|| Ok(keys.verify(&token, NOW).map(drop)?))?);
        }
    }
    println!("one core, with one repository of 23 characters; bytes of a token for 0, 1 and 10 of them");
    println!("{:12} {:>9} {:>7} {:>10} {:>7}  bytes", "key", "signs/s", "ratio", "verifies/s", "ratio");
    for ((name, keys), (signs, verifies)) in kinds.iter().zip(&best) {
        let bytes = claims.iter().map(|claims| keys.sign(claims).map(|token| token.len().to_string()));
        let bytes: Vec<String> = bytes.collect::<Result<_, _>>()?;
        let (sign_ratio, verify_ratio) = (signs / best[0].0, verifies / best[0].1);
        println!(
            "{name:12} {signs:9.0} {sign_ratio:7.3} {verifies:10.0} {verify_ratio:7.3}  {}",
            bytes.join(" ")
        );
    }
    Ok(())
}
