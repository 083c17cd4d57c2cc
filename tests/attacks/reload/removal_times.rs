//! The time from a removal to the first refusal.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use super::{IN_FORCE_WITHIN, bound, file_systems, report};
use crate::support::client::{Client, Request};
use crate::support::doorward::{Doorward, doorward};
use crate::support::keys::Key;
use crate::support::random::Random;
use crate::support::scale::{is_full, scaled};
use crate::support::{PATIENCE, eventually};

const SERVICE: &str = "registry.test";

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    Htpasswd,
    /// Of which no `[[deny]]` names a group.
    Groups,
    Policy,
    ApiKeys,
    SigningKeys,
    UpstreamSecret,
}

const KINDS: [FileKind; 6] = [
    FileKind::Htpasswd,
    FileKind::Groups,
    FileKind::Policy,
    FileKind::ApiKeys,
    FileKind::SigningKeys,
    FileKind::UpstreamSecret,
];

/// A way of writing a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteMethod {
    /// Another file is renamed over it.
    Rename,
    /// The same, with the same size and an old date each time.
    RenameDated,
    /// It is removed, and written anew.
    Remove,
    /// It is truncated and written, in one piece.
    InPlace,
    /// It is appended to; only what takes something out writes it anew.
    Append,
}

/// How often: every so many milliseconds, or at random with so many at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Once,
    Every(u64),
    Within(u64),
}

impl FileKind {
    fn name(self) -> &'static str {
        match self {
            Self::Htpasswd => "htpasswd",
            Self::Groups => "groups",
            Self::Policy => "policy",
            Self::ApiKeys => "keys",
            Self::SigningKeys => "signing.pem",
            Self::UpstreamSecret => "upstream",
        }
    }

    /// Whether nothing of it is taken before it holds still, so that it may be told instead.
    fn is_strict(self) -> bool {
        matches!(self, Self::Policy | Self::UpstreamSecret)
    }

    /// A line that changes nothing of what it says, if there can be one.
    fn comment(self, n: usize) -> String {
        match self {
            Self::UpstreamSecret => String::new(),
            _ => format!("# {n:06}\n"),
        }
    }
}

/// What is asked for while files change.
struct RemovalSetup {
    doorward: Doorward,
    folder: PathBuf,
    _dir: TempDir,
    key: Key,
    /// The signing keys, with the one that signs first and without it.
    signing: [String; 2],
    token: String,
}

impl RemovalSetup {
    fn start(dir: TempDir) -> Self {
        let folder = dir.path().to_owned();
        let at = |name: &str| folder.join(name).display().to_string();
        let signing = |name: &str| {
            let made = doorward(&["signing-key", "init", "--signing-keys", &at(&format!("{name}/keys.pem"))]);
            assert_eq!(made.code, Some(0), "{made:?}");
            fs::read_to_string(at(&format!("{name}/keys.pem"))).unwrap()
        };
        ["one", "two"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
        let (one, two) = (signing("one"), signing("two"));
        let key = Key::new("keyed", "ci");
        let mut rig_files = Self::texts(&key, &[one.clone() + &two, two.clone()], false, 0);
        for (kind, text) in rig_files.drain(..) {
            fs::write(at(kind.name()), text).unwrap();
        }
        fs::write(at("proxy"), "0123456789abcdef0123456789abcdef\n").unwrap();
        let config = format!(
            "policy.file = \"{}\"\ngroups.file = \"{}\"\napi_keys.file = \"{}\"\nproxy_secret_file = \"{}\"\n\
             [token]\nsigning_keys = \"{}\"\nservice = \"{SERVICE}\"\nrealm = \"https://{SERVICE}/token\"\nlifetime = \"10m\"\n\
             [throttle]\nuser_failures = 1000000\nnetwork_failures = 1000000\n\
             [[upstream]]\nname = \"up\"\ntype = \"bearer\"\ntoken_file = \"{}\"\n",
            at("policy"),
            at("groups"),
            at("keys"),
            at("proxy"),
            at("signing.pem"),
            at("upstream"),
        );
        // The htpasswd file has the name that the other tests give it, in a folder of the file system that is tested.
        fs::write(at("doorward.toml"), config).unwrap();
        let own = tempfile::tempdir_in(&folder).unwrap();
        let config = at("doorward.toml");
        let htpasswd = at("htpasswd");
        let doorward = Doorward::start_in(own, &["--config", &config, "--htpasswd", &htpasswd]);
        let mut rig =
            Self { doorward, folder, _dir: dir, key, signing: [one + &two, two], token: String::new() };
        rig.token = rig.new_token();
        rig
    }

    /// What stands in each file; without what is taken out if `removed`. `n` makes it another text.
    fn texts(key: &Key, signing: &[String; 2], removed: bool, n: usize) -> Vec<(FileKind, String)> {
        KINDS.map(|kind| (kind, Self::text_of(kind, key, signing, removed, n))).into()
    }

    fn text_of(kind: FileKind, key: &Key, signing: &[String; 2], removed: bool, n: usize) -> String {
        let sha = |user: &str| format!("{user}:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
        let unless_removed = |text: String| if removed { String::new() } else { text };
        let deny = "[[deny]]\nusers = [\"ruled\"]\nrepositories = [\"r/policy\"]\nactions = [\"pull\"]\n";
        let comment = kind.comment(n);
        match kind {
            FileKind::Htpasswd => {
                let others: String = ["grouped", "ruled", "keyed"].iter().map(|user| sha(user)).collect();
                comment + &others + &unless_removed(sha("gone"))
            }
            FileKind::Groups => {
                format!("{comment}others: ruled\ndevs: keyed{}\n", if removed { "" } else { " grouped" })
            }
            FileKind::Policy => {
                let grants = "[[grant]]\ngroups = [\"devs\"]\nrepositories = [\"r/groups\"]\nactions = [\"pull\"]\n\
                    [[grant]]\nusers = [\"gone\", \"keyed\", \"ruled\"]\nrepositories = [\"r/**\"]\nactions = [\"pull\"]\n";
                comment + grants + if removed { deny } else { "" }
            }
            FileKind::ApiKeys => {
                let other = "{\"id\":\"0123456789\",\"hash\":\"sha256:".to_owned() + &"0".repeat(64);
                comment
                    + &other
                    + "\",\"owner\":\"keyed\",\"name\":\"other\"}\n"
                    + &unless_removed(key.line())
            }
            FileKind::SigningKeys => comment + &signing[usize::from(removed)],
            FileKind::UpstreamSecret => format!("{}{n:06}\n", if removed { "new" } else { "old" }),
        }
    }

    fn text(&self, kind: FileKind, removed: bool, n: usize) -> String {
        Self::text_of(kind, &self.key, &self.signing, removed, n)
    }

    fn new_token(&self) -> String {
        let scope = format!("/token?service={SERVICE}&scope=repository:r/tokens:pull");
        eventually("a token is given", || {
            let answer = self.doorward.ask(
                &Request::get(&scope)
                    .header("X-Original-Host", SERVICE)
                    .basic("keyed", "password")
                    .from("192.0.2.9"),
            );
            let told: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
            Some(told["token"].as_str()?.to_owned())
        })
    }

    /// A request that is allowed until what it depends on is taken out of the file.
    fn request(&self, kind: FileKind) -> Request {
        let request = Request::auth()
            .header("X-Original-Method", "GET")
            .header(
                "X-Original-URI",
                format!(
                    "/v2/r/{}/tags/list",
                    match kind {
                        FileKind::Groups => "groups",
                        FileKind::Policy => "policy",
                        FileKind::SigningKeys => "tokens",
                        FileKind::Htpasswd | FileKind::ApiKeys | FileKind::UpstreamSecret => "any",
                    }
                ),
            )
            .header("X-Original-Host", SERVICE)
            .header("X-Original-Content-Type", "ct:")
            .header("X-Auth-Rewrite", "yes")
            .header("X-Auth-Proxy-Secret", "0123456789abcdef0123456789abcdef")
            .from("192.0.2.1");
        match kind {
            FileKind::Htpasswd => request.basic("gone", "password"),
            FileKind::Groups => request.basic("grouped", "password"),
            FileKind::Policy => request.basic("ruled", "password"),
            FileKind::ApiKeys => request.header("Authorization", format!("Bearer {}", self.key.secret)),
            FileKind::SigningKeys => request.header("Authorization", format!("Bearer {}", self.token)),
            FileKind::UpstreamSecret => request.basic("keyed", "password"),
        }
    }

    /// Whether it is still allowed with what was there before the removal.
    fn is_allowed(client: &mut Client, kind: FileKind, request: &Request) -> bool {
        let answer = client.ask(request);
        let shown = answer.header("x-upstream-authorization").unwrap_or_default();
        match kind {
            FileKind::UpstreamSecret => {
                assert!(answer.status == 200, "{answer:?}");
                shown.starts_with("Bearer old")
            }
            _ => {
                assert!(matches!(answer.status, 200 | 401 | 403), "{kind:?}: {answer:?}");
                answer.status == 200
            }
        }
    }

    fn put(&self, kind: FileKind, method: WriteMethod, n: usize, removed: bool, first: bool) {
        let path = self.folder.join(kind.name());
        let text = self.text(kind, removed, n);
        let beside = path.with_extension("beside");
        match method {
            WriteMethod::Rename | WriteMethod::RenameDated => {
                let mut file = fs::File::create(&beside).unwrap();
                file.write_all(text.as_bytes()).unwrap();
                if method == WriteMethod::RenameDated {
                    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
                }
                fs::rename(&beside, &path).unwrap();
            }
            WriteMethod::Remove => {
                fs::remove_file(&path).unwrap();
                fs::write(&path, text).unwrap();
            }
            WriteMethod::Append if !first && kind != FileKind::UpstreamSecret => {
                append(&path, &kind.comment(n))
            }
            WriteMethod::InPlace | WriteMethod::Append => fs::write(&path, text).unwrap(),
        }
    }
}

fn append(path: &Path, text: &str) {
    fs::File::options().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// What came of one removal.
#[derive(Clone, Copy, Debug)]
enum RemovalResult {
    /// Refused after so long.
    Refused(Duration),
    /// Not refused, but told after so long.
    Reported(Duration),
}

impl RemovalSetup {
    /// Writes the file in one way, takes something out in the middle, and waits for the refusal.
    fn measure(&self, kind: FileKind, method: WriteMethod, pace: Pace, random: &mut Random) -> RemovalResult {
        let request = self.request(kind);
        let mut client = self.doorward.client();
        self.put(kind, WriteMethod::Rename, 0, false, true);
        eventually("it is allowed", || Self::is_allowed(&mut client, kind, &request).then_some(()));
        // What was written before may still come into force for a moment: a flush waits for that.
        let flush = Request::new("POST", "/flush").host("localhost");
        eventually("no change is pending", || (self.doorward.admin(&flush).status == 204).then_some(()));
        let phase = Duration::from_millis(600 + random.below(600));
        let mut waits: Vec<u64> = (0..1000).map(|_| random.below(1 << 32)).collect();
        let (removal, done) = (OnceLock::new(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let begin = Instant::now();
                for n in 1.. {
                    let is_time = begin.elapsed() >= phase;
                    let first = n == 1 || is_time && removal.get().is_none();
                    if is_time {
                        removal.get_or_init(Instant::now);
                    }
                    if pace != Pace::Once || first && is_time {
                        self.put(kind, method, n, is_time, first);
                    }
                    if done.load(Ordering::Acquire) {
                        return;
                    }
                    thread::sleep(Duration::from_millis(match pace {
                        Pace::Every(millis) => millis,
                        Pace::Within(millis) => waits.pop().unwrap_or(7) % millis,
                        Pace::Once => 5,
                    }));
                }
            });
            let found = self.await_refusal(&mut client, (kind, method, pace), &request, &removal);
            done.store(true, Ordering::Release);
            found
        })
    }

    fn await_refusal(
        &self,
        client: &mut Client,
        (kind, method, pace): (FileKind, WriteMethod, Pace),
        request: &Request,
        removal: &OnceLock<Instant>,
    ) -> RemovalResult {
        let mut told = None;
        loop {
            let is_allowed = Self::is_allowed(client, kind, request);
            let age = removal.get().map_or(Duration::ZERO, Instant::elapsed);
            if !is_allowed {
                assert!(
                    removal.get().is_some(),
                    "{kind:?} {method:?} {pace:?} is refused before it is taken out\n{}",
                    self.doorward.log()
                );
                return RemovalResult::Refused(age);
            }
            if told.is_none() && removal.get().is_some() {
                let is_told = self.doorward.ready().text().contains("keeps changing");
                told = is_told.then_some(age);
            }
            // What is told may yet come into force in time.
            if let Some(told) = told.filter(|_| age > IN_FORCE_WITHIN) {
                return RemovalResult::Reported(told);
            }
            assert!(age < PATIENCE, "{kind:?}: neither refused nor told\n{}", self.doorward.log());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

const SMALL: [(WriteMethod, Pace); 7] = [
    (WriteMethod::Rename, Pace::Every(20)),
    (WriteMethod::RenameDated, Pace::Every(150)),
    (WriteMethod::Rename, Pace::Within(100)),
    (WriteMethod::InPlace, Pace::Every(50)),
    (WriteMethod::Append, Pace::Every(50)),
    (WriteMethod::Rename, Pace::Once),
    (WriteMethod::InPlace, Pace::Once),
];

fn presentations() -> Vec<(WriteMethod, Pace)> {
    if !is_full() {
        return SMALL.into();
    }
    let every = |method, paces: &[u64]| {
        paces.iter().map(move |millis| (method, Pace::Every(*millis))).collect::<Vec<_>>()
    };
    let within = |method, paces: &[u64]| {
        paces.iter().map(move |millis| (method, Pace::Within(*millis))).collect::<Vec<_>>()
    };
    [
        every(WriteMethod::Rename, &[20, 50, 100, 150, 200, 300, 500, 1000]),
        within(WriteMethod::Rename, &[40, 100, 500, 1000]),
        every(WriteMethod::RenameDated, &[20, 50, 100, 150]),
        every(WriteMethod::Remove, &[20, 100, 300]),
        every(WriteMethod::InPlace, &[20, 50, 100, 150, 200, 300, 500]),
        within(WriteMethod::InPlace, &[100, 500]),
        every(WriteMethod::Append, &[20, 50, 100, 150, 200, 300, 500]),
        within(WriteMethod::Append, &[100, 500]),
        vec![(WriteMethod::Rename, Pace::Once), (WriteMethod::InPlace, Pace::Once)],
    ]
    .concat()
}

/// All ways of one kind of file, each so often: its lines of the table.
fn of_kind(kind: FileKind, system: &str, dir: TempDir, seed: usize) -> Vec<String> {
    let mut random = Random::new();
    for _ in 0..seed * 1000 {
        random.below(2);
    }
    let rig = RemovalSetup::start(dir);
    let mut lines = Vec::new();
    for (method, pace) in presentations() {
        let (mut worst, mut told) = (Duration::ZERO, None);
        for _ in 0..scaled(1, 4) {
            match rig.measure(kind, method, pace, &mut random) {
                RemovalResult::Refused(after) => worst = worst.max(after),
                RemovalResult::Reported(after) => {
                    let may_be =
                        kind.is_strict() && matches!(method, WriteMethod::InPlace | WriteMethod::Append);
                    assert!(may_be, "{system} {kind:?} {method:?} {pace:?}: told and not in force");
                    told = told.max(Some(after));
                }
            }
        }
        let line = format!(
            "{system} {kind:?} {method:?} {pace:?}: refused after {worst:.2?}, told after {told:.2?}"
        );
        assert!(worst.max(told.unwrap_or_default()) <= bound(), "{line}");
        lines.push(line);
    }
    lines
}

#[test]
fn removal_takes_effect_within_two_seconds_or_is_reported_for_each_way_of_writing_field_m1_m2() {
    let mut lines = Vec::new();
    for (system, dir) in file_systems() {
        let found: Vec<Vec<String>> = thread::scope(|scope| {
            let start = |(seed, kind)| {
                let own = tempfile::tempdir_in(dir.path()).unwrap();
                scope.spawn(move || of_kind(kind, system, own, seed))
            };
            let running: Vec<_> = KINDS.into_iter().enumerate().map(start).collect();
            running.into_iter().map(|one| one.join().expect("measured")).collect()
        });
        lines.extend(found.concat());
    }
    lines.iter().for_each(|line| report(line));
}

/// Of this many users, all but one stay.
fn large_file(others: usize, gone: bool, n: usize) -> String {
    let hash = ":{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";
    let mut text = String::with_capacity(others * 48);
    (0..others).for_each(|user| text += &format!("user-{user:07}{hash}"));
    text + &format!("# {n}\n") + &if gone { String::new() } else { format!("gone{hash}") }
}

#[test]
fn removal_from_a_large_file_under_constant_replacement_takes_effect_in_time_or_is_reported() {
    let count = scaled(20_000, 1_000_000);
    for (system, dir) in file_systems() {
        let path = |name: &str| dir.path().join(name);
        for (name, gone, n) in [("a", false, 0), ("b", false, 1), ("c", true, 2), ("d", true, 3)] {
            fs::write(path(name), large_file(count, gone, n)).unwrap();
        }
        fs::copy(path("a"), path("htpasswd")).unwrap();
        let own = tempfile::tempdir_in(dir.path()).unwrap();
        let htpasswd = path("htpasswd").display().to_string();
        let doorward = Doorward::start_in(own, &["--htpasswd", &htpasswd]);
        let request = Request::auth().basic("gone", "password").from("192.0.2.1");
        let mut client = doorward.client();
        assert_eq!(client.ask(&request).status, 200);
        let (removal, done) = (OnceLock::new(), AtomicBool::new(false));
        // A file that is there is put in its place, or writing it would take all the time there is.
        let put = |name: &str| {
            fs::hard_link(path(name), path("new")).unwrap();
            fs::rename(path("new"), path("htpasswd")).unwrap();
        };
        let (after, told) = thread::scope(|scope| {
            scope.spawn(|| {
                let begin = Instant::now();
                for n in 0.. {
                    let gone = begin.elapsed() >= Duration::from_millis(3300);
                    if gone {
                        removal.get_or_init(Instant::now);
                    }
                    put(match (gone, n % 2) {
                        (false, 0) => "a",
                        (false, _) => "b",
                        (true, 0) => "c",
                        (true, _) => "d",
                    });
                    if done.load(Ordering::Acquire) {
                        return;
                    }
                    thread::sleep(Duration::from_millis(70));
                }
            });
            let mut told = None;
            while client.ask(&request).status == 200 {
                let age = removal.get().map(Instant::elapsed);
                assert!(age.is_none_or(|age| age < PATIENCE), "{}", doorward.log());
                if told.is_none() && doorward.ready().text().contains("the last valid content is active") {
                    told = age;
                }
                thread::sleep(Duration::from_millis(5));
            }
            let after = removal.get().map(Instant::elapsed);
            done.store(true, Ordering::Release);
            (after.expect("refused before it was removed"), told)
        });
        let line = format!(
            "{system} htpasswd, {count} users, renamed every 70 ms: refused after {after:.2?}, told after {told:.2?}"
        );
        report(&line);
        assert!(told.unwrap_or(after) <= bound(), "{line}");
    }
}
