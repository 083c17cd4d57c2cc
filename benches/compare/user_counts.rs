//! Part `users`: requests a second of a cached user, with many users in the file and many grants in the policy.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::Fallible;
use crate::client::credentials;
use crate::nginx::{self, Endpoint, FILE, MANIFEST, POLICY_HEADERS};
use crate::process::Server;
use crate::samples::Recorder;
use crate::services::{self, PASSWORD, USER, check_answers};
use crate::tools;
use crate::world::World;
use crate::wrk::{self, Target};

pub(crate) const USERS: &str = "users";
pub(crate) const GRANTS: &str = "grants";

const CONNECTIONS: usize = 32;

/// doorward or nginx with a number of users or grants.
struct Sized {
    name: String,
    case: &'static str,
    port: u16,
    front: Server,
    service: Option<Server>,
}

pub(crate) fn run(world: &World, recorder: &mut Recorder) -> Fallible<()> {
    let hash = tools::hash(&["-s"], PASSWORD)?;
    let mut all = Vec::new();
    for count in &world.options.user_counts {
        let users = users(world, *count, &hash)?;
        all.push(doorward(world, USERS, &format!("doorward, {count} users"), &users, None)?);
        all.push(auth_basic(world, &format!("nginx auth_basic, {count} users"), &users)?);
    }
    let users = world.options.root.join("htpasswd.example");
    for count in &world.options.grant_counts {
        let name = format!("doorward, {count} grants");
        all.push(doorward(world, GRANTS, &name, &users, Some(*count))?);
    }
    for case in [USERS, GRANTS] {
        let path = if case == USERS { FILE } else { MANIFEST };
        let of_case = || all.iter().filter(|one| one.case == case);
        for one in of_case() {
            check_answers(one.port, path, USER, PASSWORD, true).map_err(|error| {
                one.service.as_ref().unwrap_or(&one.front).error(&format!("{}: {error}", one.name))
            })?;
        }
        let target = |one: &Sized| {
            let service = one.service.iter().flat_map(Server::processes).collect();
            Target { port: one.port, path, front: one.front.processes(), service }
        };
        let targets: Vec<_> = of_case().map(|one| (&*one.name, target(one))).collect();
        wrk::rounds(world, recorder, case, &targets, &credentials(USER, PASSWORD), CONNECTIONS)?;
    }
    Ok(())
}

/// Writes a file with this number of users. The known user is in the middle, so nginx reads half of it for each request.
/// All users have the same hash.
fn users(world: &World, count: usize, hash: &str) -> Fallible<PathBuf> {
    let path = world.path(&format!("users-{count}"));
    let mut file = BufWriter::new(File::create(&path)?);
    for at in 0..count {
        if at == count / 2 {
            writeln!(file, "{USER}:{hash}")?;
        } else {
            writeln!(file, "user-{at}:{hash}")?;
        }
    }
    file.flush()?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
    Ok(path)
}

fn doorward(
    world: &World,
    case: &'static str,
    name: &str,
    users: &std::path::Path,
    grants: Option<usize>,
) -> Fallible<Sized> {
    let port = world.port()?;
    let label = format!("doorward-{port}");
    let at = Endpoint::new(world, "unix", &label)?;
    let policy = match grants {
        Some(count) => Some(services::policy(world, count)?.to_string_lossy().into_owned()),
        None => None,
    };
    let arguments: Vec<&str> = policy.iter().flat_map(|policy| ["--policy", policy]).collect();
    let service = services::doorward(world, &label, &[&at], users, &arguments)?;
    let more = if grants.is_some() { POLICY_HEADERS } else { "" };
    let http = nginx::upstream(world, "service", &at) + &nginx::bare_server(port, "service", "/auth", more);
    let mut front = nginx::start(world, &format!("nginx-{port}"), &http)?;
    front.listens(&Endpoint::Tcp(port))?;
    Ok(Sized { name: name.to_owned(), case, port, front, service: Some(service) })
}

fn auth_basic(world: &World, name: &str, users: &std::path::Path) -> Fallible<Sized> {
    let port = world.port()?;
    let lines =
        format!("auth_basic Registry;\nauth_basic_user_file {};\nlocation = {FILE} {{ }}\n", users.display());
    let mut front = nginx::start(world, &format!("nginx-{port}"), &nginx::server(port, &lines))?;
    front.listens(&Endpoint::Tcp(port))?;
    Ok(Sized { name: name.to_owned(), case: USERS, port, front, service: None })
}
