//! Random changes of all files, compared with a model.
//!
//! doorward is killed and restarted during the test. Each answer must follow from a state of the files that was current
//! at most two seconds before.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::process::Signal;
use sha1::{Digest, Sha1};

use super::{bound, file_systems, report};
use crate::support::client::{Address, Answer, Client, OF_DOORWARD, Request};
use crate::support::doorward::{Doorward, doorward};
use crate::support::keys::Key;
use crate::support::random::Random;
use crate::support::scale::scaled;
use crate::support::{eventually, free_port};

const USERS: usize = 12;
const REPOSITORIES: usize = 4;
const SERVICE: &str = "registry.test";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The number of concurrent connections that send requests.
const ASKERS: usize = 4;

/// The time for which a file is not changed after it was written in place, if it must not be read half-written.
const LEFT_ALONE: Duration = Duration::from_millis(1500);

/// The minimum time for which a file must be empty or missing before it counts as emptied. A busy disk can take seconds
/// between truncating and writing a file. The file is empty then, and a reader cannot detect that more will follow.
const EMPTIED_AFTER: Duration = Duration::from_millis(600);

/// A fact that a file states. Its value is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    /// The version of a user's password, or 0 if the user has no line.
    Line(usize),
    /// 1 if a user is in the group of a repository.
    Member(usize, usize),
    /// 1 if there is a grant for a repository.
    Grant(usize),
    /// 1 if a repository is denied to a user.
    Deny(usize, usize),
    /// 1 if a user has an API key.
    ApiKey(usize),
    /// 1 if one of two signing keys is present.
    Signing(usize),
    /// The version of the credentials that the upstream receives.
    Upstream,
}

const FACTS: usize = 2 * USERS + 2 * USERS * REPOSITORIES + REPOSITORIES + 3;

impl Fact {
    fn index(self) -> usize {
        let pairs = USERS * REPOSITORIES;
        match self {
            Self::Line(user) => user,
            Self::ApiKey(user) => USERS + user,
            Self::Member(user, repository) => 2 * USERS + user * REPOSITORIES + repository,
            Self::Deny(user, repository) => 2 * USERS + pairs + user * REPOSITORIES + repository,
            Self::Grant(repository) => 2 * USERS + 2 * pairs + repository,
            Self::Signing(key) => 2 * USERS + 2 * pairs + REPOSITORIES + key,
            Self::Upstream => 2 * USERS + 2 * pairs + REPOSITORIES + 2,
        }
    }
}

/// A value, from the start of its first write until the end of the next value's last write.
#[derive(Clone, Copy, Debug)]
struct Value {
    value: usize,
    begin: Instant,
    /// The time at which the write of the value ended, if it did.
    written: Option<Instant>,
}

/// The current and former values of every fact.
struct History(RwLock<Vec<Vec<Value>>>);

impl History {
    fn new() -> Self {
        let now = Instant::now();
        let first = |index| {
            // Initially every fact except the denials is 1.
            let denials = Fact::Deny(0, 0).index()..Fact::Grant(0).index();
            let value = usize::from(!denials.contains(&index));
            vec![Value { value, begin: now, written: Some(now) }]
        };
        Self(RwLock::new((0..FACTS).map(first).collect()))
    }

    fn now(&self, fact: Fact) -> usize {
        self.0.read().unwrap()[fact.index()].last().unwrap().value
    }

    fn begin(&self, fact: Fact, value: usize) {
        let begin = Instant::now();
        self.0.write().unwrap()[fact.index()].push(Value { value, begin, written: None });
    }

    fn written(&self, fact: Fact) {
        self.0.write().unwrap()[fact.index()].last_mut().unwrap().written = Some(Instant::now());
    }

    /// Returns the values of a fact that were current at some time between two moments.
    fn between(&self, fact: Fact, from: Instant, until: Instant) -> BTreeSet<usize> {
        let facts = self.0.read().unwrap();
        let values = &facts[fact.index()];
        let current = |(at, value): (usize, &Value)| {
            let over = values.get(at + 1).map(|next| next.written);
            let began = value.begin <= until;
            (began && over.is_none_or(|over| over.is_none_or(|over| over >= from))).then_some(value.value)
        };
        values.iter().enumerate().filter_map(current).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Htpasswd,
    Groups,
    Policy,
    ApiKeys,
    SigningKeys,
    Upstream,
}

const FILES: [(File, &str); 6] = [
    (File::Htpasswd, "htpasswd"),
    (File::Groups, "groups"),
    (File::Policy, "policy"),
    (File::ApiKeys, "keys"),
    (File::SigningKeys, "signing.pem"),
    (File::Upstream, "upstream"),
];

struct Model {
    folder: PathBuf,
    history: History,
    /// The intervals during which a file was incomplete.
    gaps: RwLock<Vec<(Instant, Option<Instant>)>>,
    keys: Vec<Key>,
    signing: [String; 2],
    /// One token for each of the signing keys.
    tokens: [String; 2],
}

fn password(user: usize, version: usize) -> String {
    format!("password-{version}-of-{user}")
}

fn yes(value: usize) -> bool {
    value == 1
}

impl Model {
    fn text(&self, file: File) -> String {
        let now = |fact| self.history.now(fact);
        let mut text = String::new();
        match file {
            File::Htpasswd => {
                for user in (0..USERS).filter(|user| now(Fact::Line(*user)) > 0) {
                    let hash = Sha1::digest(password(user, now(Fact::Line(user))));
                    text += &format!("u{user}:{{SHA}}{}\n", BASE64_STANDARD.encode(hash));
                }
                text + "always:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"
            }
            File::Groups => {
                for repository in 0..REPOSITORIES {
                    let is_member = |user: &usize| yes(now(Fact::Member(*user, repository)));
                    let members: String =
                        (0..USERS).filter(is_member).map(|user| format!(" u{user}")).collect();
                    text += &format!("g{repository}:{members}\n");
                }
                text + "all: always\n"
            }
            File::Policy => {
                text += "[[grant]]\ngroups = [\"all\"]\nrepositories = [\"**\"]\nactions = [\"pull\"]\n";
                for repository in (0..REPOSITORIES).filter(|repository| yes(now(Fact::Grant(*repository)))) {
                    text += &format!(
                        "[[grant]]\ngroups = [\"g{repository}\"]\nrepositories = [\"r{repository}\"]\nactions = [\"pull\"]\n"
                    );
                }
                // Denials come last, so that a truncated policy would permit too much.
                for (user, repository) in
                    (0..USERS).flat_map(|user| (0..REPOSITORIES).map(move |r| (user, r)))
                {
                    if yes(now(Fact::Deny(user, repository))) {
                        text += &format!(
                            "[[deny]]\nusers = [\"u{user}\"]\nrepositories = [\"r{repository}\"]\nactions = [\"pull\"]\n"
                        );
                    }
                }
                text
            }
            File::ApiKeys => {
                let there = (0..USERS).filter(|user| yes(now(Fact::ApiKey(*user))));
                there.map(|user| self.keys[user].line()).collect::<String>() + "# end\n"
            }
            File::SigningKeys => (0..2)
                .filter(|key| yes(now(Fact::Signing(*key))))
                .map(|key| self.signing[key].as_str())
                .collect(),
            File::Upstream => format!("token-{}\n", now(Fact::Upstream)),
        }
    }

    /// Chooses a random change of a file: the fact, and its new value.
    fn change(&self, file: File, random: &mut Random) -> (Fact, usize) {
        let mut below = |end: usize| random.below(end as u64) as usize;
        let (user, repository) = (below(USERS), below(REPOSITORIES));
        let toggled = |fact| (fact, 1 - self.history.now(fact));
        match file {
            File::Htpasswd => {
                let fact = Fact::Line(user);
                let versions = self.history.now(fact);
                // The user is removed, or gets a line with a password that was never used before.
                (fact, if versions > 0 && below(2) == 0 { 0 } else { 1 + below(1 << 20) })
            }
            File::Groups => toggled(Fact::Member(user, repository)),
            File::Policy if below(3) == 0 => toggled(Fact::Grant(repository)),
            File::Policy => toggled(Fact::Deny(user, repository)),
            File::ApiKeys => toggled(Fact::ApiKey(user)),
            File::SigningKeys => {
                let key = below(2);
                // At least one key must sign.
                let one = if yes(self.history.now(Fact::Signing(1 - key))) { key } else { 1 - key };
                toggled(Fact::Signing(one))
            }
            File::Upstream => (Fact::Upstream, self.history.now(Fact::Upstream) + 1),
        }
    }

    /// Changes files until `done` is set, and counts the changes. Returns the longest time during which a file was
    /// incomplete: the delay between truncating, or removing, and writing it.
    fn keep_changing(&self, changes: &AtomicUsize, done: &AtomicBool) -> Duration {
        let mut longest = Duration::ZERO;
        let mut random = Random::new();
        let mut left_alone = FILES.map(|_| Instant::now());
        while !done.load(Ordering::Acquire) {
            let at = random.below(FILES.len() as u64) as usize;
            let (file, name) = FILES[at];
            let may_be_cut = !matches!(file, File::Policy | File::Upstream);
            if Instant::now() < left_alone[at] {
                continue;
            }
            let (fact, value) = self.change(file, &mut random);
            self.history.begin(fact, value);
            let path = self.folder.join(name);
            let text = self.text(file);
            let begin = Instant::now();
            let way = random.below(10);
            if way <= 3 {
                self.gaps.write().unwrap().push((begin, None));
            }
            match way {
                0..3 => {
                    fs::write(&path, text).unwrap();
                    if !may_be_cut {
                        left_alone[at] = Instant::now() + LEFT_ALONE;
                    }
                }
                3 => {
                    fs::remove_file(&path).unwrap();
                    fs::write(&path, text).unwrap();
                    if !may_be_cut {
                        left_alone[at] = Instant::now() + LEFT_ALONE;
                    }
                }
                _ => {
                    fs::write(path.with_extension("beside"), text).unwrap();
                    fs::rename(path.with_extension("beside"), &path).unwrap();
                }
            }
            if let Some((_, end)) = self.gaps.write().unwrap().last_mut().filter(|_| way <= 3) {
                longest = longest.max(begin.elapsed());
                *end = Some(Instant::now());
            }
            self.history.written(fact);
            changes.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(random.below(120)));
        }
        longest
    }
}

/// The credentials of a request.
#[derive(Clone, Copy, Debug)]
enum PresentedCredential {
    Password(usize, usize),
    ApiKey(usize),
    /// A token from one of the signing keys, for a user that may pull everything.
    Token(usize),
    /// The password of a user that may always pull everything.
    Always,
}

impl Model {
    fn request(&self, presented: PresentedCredential, repository: usize) -> Request {
        let request = Request::auth()
            .header("X-Original-Method", "GET")
            .header("X-Original-URI", format!("/v2/r{repository}/tags/list"))
            .header("X-Original-Host", SERVICE)
            .header("X-Original-Content-Type", "ct:")
            .header("X-Auth-Rewrite", "yes")
            .header("X-Auth-Proxy-Secret", SECRET)
            .from("192.0.2.1");
        match presented {
            PresentedCredential::Password(user, version) => {
                request.basic(&format!("u{user}"), &password(user, version))
            }
            PresentedCredential::ApiKey(user) => {
                request.header("Authorization", format!("Bearer {}", self.keys[user].secret))
            }
            PresentedCredential::Token(key) => {
                request.header("Authorization", format!("Bearer {}", self.tokens[key]))
            }
            PresentedCredential::Always => request.basic("always", "password"),
        }
    }

    /// Returns the statuses that are possible in the states between two moments.
    fn possible(
        &self,
        presented: PresentedCredential,
        repository: usize,
        from: Instant,
        until: Instant,
    ) -> BTreeSet<u16> {
        let values = |fact| self.history.between(fact, from, until);
        let of_policy = |user: usize| {
            let (grants, denials) = (values(Fact::Grant(repository)), values(Fact::Deny(user, repository)));
            let members = values(Fact::Member(user, repository));
            let mut statuses = BTreeSet::new();
            if grants.contains(&1) && members.contains(&1) && denials.contains(&0) {
                statuses.insert(200);
            }
            if grants.contains(&0) || members.contains(&0) || denials.contains(&1) {
                statuses.insert(403);
            }
            statuses
        };
        let mut statuses = BTreeSet::new();
        match presented {
            PresentedCredential::Password(user, version) => {
                let lines = values(Fact::Line(user));
                if lines.contains(&version) && version > 0 {
                    statuses.extend(of_policy(user));
                }
                if lines.iter().any(|line| *line != version || *line == 0) {
                    statuses.insert(401);
                }
            }
            PresentedCredential::ApiKey(user) => {
                // The API key is valid only if its owner has an htpasswd line.
                let (lines, keys) = (values(Fact::Line(user)), values(Fact::ApiKey(user)));
                if keys.contains(&1) && lines.iter().any(|line| *line > 0) {
                    statuses.extend(of_policy(user));
                }
                if keys.contains(&0) || lines.contains(&0) {
                    statuses.insert(401);
                }
            }
            PresentedCredential::Token(key) => {
                let there = values(Fact::Signing(key));
                statuses.extend(there.into_iter().map(|there| if yes(there) { 200 } else { 401 }));
            }
            PresentedCredential::Always => drop(statuses.insert(200)),
        }
        statuses
    }

    /// Sends this number of requests and returns the errors.
    fn keep_asking(
        &self,
        address: &Address,
        seed: usize,
        left: &AtomicUsize,
        until_changed: &AtomicBool,
    ) -> RequestCounts {
        let mut random = Random::new();
        for _ in 0..seed * 1000 {
            random.below(2);
        }
        let mut counts = RequestCounts::default();
        let mut client: Option<Client> = None;
        loop {
            let none_left =
                left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err();
            if none_left && until_changed.load(Ordering::Acquire) {
                return counts;
            }
            let user = random.below(USERS as u64) as usize;
            let repository = random.below(REPOSITORIES as u64) as usize;
            let presented = match random.below(8) {
                0 => PresentedCredential::Always,
                1 => PresentedCredential::Token(random.below(2) as usize),
                2 | 3 => PresentedCredential::ApiKey(user),
                4 => PresentedCredential::Password(user, 1),
                _ => PresentedCredential::Password(user, self.history.now(Fact::Line(user))),
            };
            let request = self.request(presented, repository);
            let begin = Instant::now();
            let connected = client.take().or_else(|| Client::connect(address, OF_DOORWARD).ok());
            let Some(mut connection) = connected else {
                // doorward is restarting.
                thread::sleep(Duration::from_millis(2));
                counts.unanswered += 1;
                continue;
            };
            let Ok(answer) = connection.try_ask(&request) else {
                counts.unanswered += 1;
                continue;
            };
            client = Some(connection);
            self.judge(presented, repository, begin, &answer, &mut counts);
        }
    }

    fn judge(
        &self,
        presented: PresentedCredential,
        repository: usize,
        begin: Instant,
        answer: &Answer,
        counts: &mut RequestCounts,
    ) {
        let (from, until) = (begin.checked_sub(bound()).unwrap_or(begin), Instant::now());
        counts.answered += 1;
        counts.admitted += usize::from(answer.status == 200);
        let possible = self.possible(presented, repository, from, until);
        let upstream = |value: &usize| {
            answer.header("x-upstream-authorization") == Some(&format!("Bearer token-{value}"))
        };
        let upstream_fits =
            answer.status != 200 || self.history.between(Fact::Upstream, from, until).iter().any(upstream);
        if possible.contains(&answer.status) && upstream_fits {
            return;
        }
        let emptied = |(begin, end): &(Instant, Option<Instant>)| {
            let end = end.unwrap_or(until);
            end.saturating_duration_since(*begin) >= EMPTIED_AFTER && *begin <= until && end >= from
        };
        match answer.status {
            200 => counts.wrongly_admitted += 1,
            _ if self.gaps.read().unwrap().iter().any(emptied) => {
                counts.refused_by_empty += 1;
                return;
            }
            _ => counts.wrongly_refused += 1,
        }
        if counts.examples.len() < 5 {
            counts.examples.push(format!("{presented:?} r{repository}: {answer:?}, and not {possible:?}"));
        }
    }
}

#[derive(Debug, Default)]
struct RequestCounts {
    answered: usize,
    admitted: usize,
    unanswered: usize,
    wrongly_admitted: usize,
    wrongly_refused: usize,
    /// The number of requests that were refused while a file was empty for so long that it counted as emptied.
    refused_by_empty: usize,
    examples: Vec<String>,
}

fn signing_key(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    fs::create_dir(&path).unwrap();
    let path = path.join("keys.pem");
    let made = doorward(&["signing-key", "init", "--signing-keys", path.to_str().unwrap()]);
    assert_eq!(made.code, Some(0), "{made:?}");
    fs::read_to_string(path).unwrap()
}

/// Returns a token of the user that may pull everything, signed with the first key in the file.
fn token(address: &Address, is_other: impl Fn(&str) -> bool) -> String {
    let scopes: String = (0..REPOSITORIES).map(|r| format!("&scope=repository:r{r}:pull")).collect();
    let request = Request::get(&format!("/token?service={SERVICE}{scopes}"))
        .header("X-Original-Host", SERVICE)
        .basic("always", "password")
        .from("192.0.2.9");
    eventually("a token is given by the key", || {
        let answer = Client::connect(address, OF_DOORWARD).ok()?.try_ask(&request).ok()?;
        let told: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        Some(told["token"].as_str()?.to_owned()).filter(|token| is_other(token))
    })
}

fn start(folder: &Path) -> (Model, Doorward, Address) {
    let signing = [signing_key(folder, "one"), signing_key(folder, "two")];
    let keys = (0..USERS).map(|user| Key::new(&format!("u{user}"), "ci")).collect();
    let mut world = Model {
        folder: folder.to_owned(),
        history: History::new(),
        gaps: RwLock::default(),
        keys,
        signing,
        tokens: Default::default(),
    };
    for (file, name) in FILES {
        fs::write(folder.join(name), world.text(file)).unwrap();
    }
    let at = |name: &str| folder.join(name).display().to_string();
    fs::write(at("proxy"), format!("{SECRET}\n")).unwrap();
    let config = format!(
        "policy.file = \"{}\"\ngroups.file = \"{}\"\napi_keys.file = \"{}\"\nproxy_secret_file = \"{}\"\n\
         [token]\nsigning_keys = \"{}\"\nservice = \"{SERVICE}\"\nrealm = \"https://{SERVICE}/token\"\nlifetime = \"1h\"\n\
         [throttle]\nuser_failures = 1000000\nnetwork_failures = 1000000\n\
         [[upstream]]\nname = \"up\"\ntype = \"bearer\"\ntoken_file = \"{}\"\n",
        at("policy"),
        at("groups"),
        at("keys"),
        at("proxy"),
        at("signing.pem"),
        at("upstream"),
    );
    fs::write(at("doorward.toml"), config).unwrap();
    let own = tempfile::tempdir_in(folder).unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let flags = ["--config", &at("doorward.toml"), "--htpasswd", &at("htpasswd"), "--listen", &listen];
    let doorward = Doorward::start_in(own, &flags);
    let address = doorward.address.clone();
    world.tokens[0] = token(&doorward.public, |_| true);
    fs::write(at("signing.pem"), world.signing[1].clone() + &world.signing[0]).unwrap();
    let header = |token: &str| token.split('.').next().unwrap_or_default().to_owned();
    let first = header(&world.tokens[0]);
    world.tokens[1] = token(&doorward.public, |token| header(token) != first);
    (world, doorward, address)
}

#[test]
fn random_file_changes_and_restarts_cause_no_wrong_admission_or_refusal() {
    let (requests, changes, restarts) = (scaled(15_000, 1_000_000), scaled(150, 1000), scaled(2, 20));
    for (system, dir) in file_systems() {
        let (world, mut doorward, address) = start(dir.path());
        let (left, changed) = (AtomicUsize::new(requests), AtomicUsize::new(0));
        let (all_changed, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let (counts, longest): (Vec<RequestCounts>, Duration) = thread::scope(|scope| {
            let changing = scope.spawn(|| world.keep_changing(&changed, &done));
            let (world, address, left, all_changed) = (&world, &address, &left, &all_changed);
            let asking: Vec<_> = (0..ASKERS)
                .map(|seed| scope.spawn(move || world.keep_asking(address, seed, left, all_changed)))
                .collect();
            for n in 1..=restarts {
                let reached = changes * n / (restarts + 1);
                eventually_long(|| changed.load(Ordering::SeqCst) >= reached);
                if n % 2 == 0 {
                    doorward.kill();
                } else {
                    doorward.signal(Signal::TERM);
                }
                doorward.wait();
                doorward.start_again();
            }
            eventually_long(|| changed.load(Ordering::SeqCst) >= changes);
            all_changed.store(true, Ordering::Release);
            let counts = asking.into_iter().map(|one| one.join().expect("asked")).collect();
            done.store(true, Ordering::Release);
            (counts, changing.join().expect("changed"))
        });
        let sum = |of: fn(&RequestCounts) -> usize| counts.iter().map(of).sum::<usize>();
        let line = format!(
            "{system}: {} requests, of which {} admitted; {} changes, {restarts} restarts: wrong admissions {}, wrong refusals {}; {} without an answer; a file was not whole for {longest:.2?} at most, {} refused by that",
            sum(|a| a.answered),
            sum(|a| a.admitted),
            changed.load(Ordering::SeqCst),
            sum(|a| a.wrongly_admitted),
            sum(|a| a.wrongly_refused),
            sum(|a| a.unanswered),
            sum(|a| a.refused_by_empty),
        );
        report(&line);
        let examples: Vec<&String> = counts.iter().flat_map(|counts| &counts.examples).collect();
        assert_eq!(
            sum(|a| a.wrongly_admitted) + sum(|a| a.wrongly_refused),
            0,
            "{line}\n{examples:#?}\n{}",
            doorward.log()
        );
        let counts = sum(|a| a.answered) + sum(|a| a.unanswered);
        assert!(counts >= requests && sum(|a| a.admitted) > requests / 10, "{line}");
    }
}

/// Waits without a limit of its own. The requests and the changes have limits.
fn eventually_long(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::sleep(Duration::from_millis(20));
    }
}
