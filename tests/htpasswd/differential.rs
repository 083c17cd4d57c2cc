//! Comparison of doorward, nginx, Apache and the crate htpasswd-verify on the same lines. Each difference is
//! listed in `differential/known_differences.rs`.
//!
//! The table of results is in `tests/compat/README.md`.

mod case;
mod damaged_hashes;
mod formats;
mod hash_tools;
mod known_differences;
mod line_shapes;
mod passwords;
mod report;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use self::case::{Case, LinePosition};
use self::hash_tools::Makers;
use crate::support::client::{Request, basic};
use crate::support::doorward::Doorward;
use crate::support::oracle::auth_basic::AuthBasic;
use crate::support::oracle::{OracleVerdict, htpasswd, verify_crate};
use crate::support::random::Random;

/// Minimum number of pairs of a line and a password.
const PAIRS_MIN: usize = 500;

/// A valid line that every file contains, because doorward does not start without one. Its hash format is the
/// fastest.
const WITNESS: &[u8] = b"witness:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";

/// Number of threads that check batches in parallel.
const WORKERS: usize = 4;

/// Sources of an expected result, besides doorward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Oracle {
    /// The tool that made the hash. The password is right exactly if the hash was made from it.
    Maker,
    Nginx,
    Htpasswd,
    Crate,
}

impl Oracle {
    const ALL: [Self; 4] = [Self::Maker, Self::Nginx, Self::Htpasswd, Self::Crate];

    fn name(self) -> &'static str {
        match self {
            Self::Maker => "the hash's maker",
            Self::Nginx => "nginx's auth_basic",
            Self::Htpasswd => "htpasswd -v",
            Self::Crate => "htpasswd-verify 0.3.0",
        }
    }
}

/// Results of all programs for one case.
struct Verdicts {
    case: Case,
    doorward: OracleVerdict,
    others: [(Oracle, OracleVerdict); 4],
}

/// Returns the file of a batch.
fn file(cases: &[&Case]) -> Vec<u8> {
    let text: Vec<u8> = cases.iter().flat_map(|case| case.text.clone()).collect();
    match cases[0].place {
        LinePosition::Top => [&text, WITNESS].concat(),
        _ => [WITNESS, &text].concat(),
    }
}

/// Returns the results of doorward and nginx for a batch.
fn ask_servers(nginx: &AuthBasic, name: &str, cases: &[&Case]) -> Vec<(OracleVerdict, OracleVerdict)> {
    let text = file(cases);
    nginx.file(name, &text);
    let folder = tempfile::tempdir().expect("a folder for doorward");
    std::fs::write(folder.path().join("htpasswd"), &text).unwrap();
    let flags = [
        "--htpasswd-insecure-formats",
        "plain",
        "--throttle-user-failures",
        "1000000",
        "--throttle-network-failures",
        "1000000",
    ];
    let doorward = Doorward::start_in(folder, &flags);
    let mut client = doorward.client();
    let ask = |(at, case): (usize, &&Case)| {
        let pair = [&case.user, &b":"[..], &case.password].concat();
        let request = Request::auth().header("Authorization", basic(pair)).from(&format!(
            "10.0.{}.{}",
            at / 256,
            at % 256
        ));
        let ours = match client.ask(&request).status {
            200 => OracleVerdict::Accepts,
            401 => OracleVerdict::Refuses,
            other => panic!("{}: {other}\n{}", case.what, doorward.log()),
        };
        (ours, nginx.ask(name, &case.user, &case.password))
    };
    cases.iter().enumerate().map(ask).collect()
}

/// Returns the result of `htpasswd -v` for a file with only the lines of this case. An unreadable line would
/// make a shared file unusable.
fn ask_htpasswd(folder: &std::path::Path, at: usize, case: &Case) -> OracleVerdict {
    let path = folder.join(at.to_string());
    std::fs::write(&path, &case.text).unwrap();
    htpasswd::ask(&path, &case.user, &case.password)
}

fn ask_all(cases: Vec<Case>) -> Vec<Verdicts> {
    let nginx = AuthBasic::start();
    let folder = tempfile::tempdir().expect("a folder for htpasswd files");
    let mut batches = BTreeMap::<String, Vec<usize>>::new();
    for (at, case) in cases.iter().enumerate() {
        batches.entry(case.batch()).or_default().push(at);
    }
    let batches: Vec<_> = batches.into_values().enumerate().collect();
    let (left, answers) = (Mutex::new(batches.iter()), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some((number, batch)) = { left.lock().unwrap().next() } {
            let of_batch: Vec<&Case> = batch.iter().map(|at| &cases[*at]).collect();
            let servers = ask_servers(&nginx, &number.to_string(), &of_batch);
            for (at, (ours, nginxs)) in batch.iter().zip(servers) {
                let htpasswds = ask_htpasswd(folder.path(), *at, &cases[*at]);
                answers.lock().unwrap().insert(*at, (ours, nginxs, htpasswds));
            }
        }
    };
    let questions: Vec<_> = cases.iter().map(|c| (&c.text[..], &c.user[..], &c.password[..])).collect();
    let crates = thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
        verify_crate::ask(&questions)
    });
    let answers = answers.into_inner().unwrap().into_values().zip(crates);
    let verdicts = |(case, ((doorward, nginx, htpasswd), of_crate)): (Case, _)| {
        // The expected result of the tool is unknown if the hash or the line was modified afterwards.
        let maker = match (case.shape.is_empty() && !case.damaged, case.is_right()) {
            (false, _) => OracleVerdict::Unaskable,
            (true, true) => OracleVerdict::Accepts,
            (true, false) => OracleVerdict::Refuses,
        };
        let others = [
            (Oracle::Maker, maker),
            (Oracle::Nginx, nginx),
            (Oracle::Htpasswd, htpasswd),
            (Oracle::Crate, of_crate),
        ];
        Verdicts { case, doorward, others }
    };
    cases.into_iter().zip(answers).map(verdicts).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "shown with --nocapture, for the documentation")]
fn every_disagreement_with_other_readers_has_a_known_cause() {
    let cases = Makers::run(|makers| {
        let mut random = Random::new();
        let mut cases = formats::cases(makers, &mut random);
        cases.extend(line_shapes::cases(makers, &mut random));
        cases.extend(damaged_hashes::cases(makers, &mut random));
        cases
    });
    assert!(cases.len() >= PAIRS_MIN, "only {} pairs", cases.len());
    let verdicts = ask_all(cases);
    let report = report::Report::of(&verdicts);
    println!("{}", report.markdown());
    report.assert_explained();
}
