//! Part `floor`: doorward against the least that nginx needs for a subrequest, over the same transport and from the same
//! location.

use std::process::{Command, Stdio};

use crate::Fallible;
use crate::client::credentials;
use crate::nginx::{self, Endpoint, FILE, Generated};
use crate::process::{Server, signal};
use crate::samples::Recorder;
use crate::services::{self, PASSWORD, USER, check_answers};
use crate::world::World;
use crate::wrk::{self, Target};

/// The contestant to which the others are compared.
pub(crate) const FLOOR: &str = "return 204";
/// The same contestant a second time. Its ratio shows the noise.
pub(crate) const CONTROL: &str = "return 204 again";
pub(crate) const HEADERS: &str = "headers service";
pub(crate) const DOORWARD: &str = "doorward";
const SAME_WORKERS: &str = "return 204 in the same nginx";
const OPEN: &str = "no subrequest";

/// Grants of the policy in the location `registry`.
const GRANTS: usize = 10;

/// Connections with which system calls are counted.
const SYSCALL_CONNECTIONS: usize = 64;

/// The services behind nginx, each on both transports.
struct Services {
    empty: Server,
    plain: Server,
    with_policy: Server,
    headers: Vec<Server>,
}

/// Addresses of the services over one transport.
struct Addresses {
    empty: Endpoint,
    plain: Endpoint,
    with_policy: Endpoint,
    headers: Endpoint,
}

impl Addresses {
    fn new(world: &World, transport: &str) -> Fallible<Self> {
        Ok(Self {
            empty: Endpoint::new(world, transport, "empty")?,
            plain: Endpoint::new(world, transport, "plain")?,
            with_policy: Endpoint::new(world, transport, "with-policy")?,
            headers: Endpoint::new(world, transport, "headers")?,
        })
    }
}

/// A contestant in one location over one transport.
struct Route<'a> {
    contestant: &'static str,
    port: u16,
    service: Option<&'a Server>,
}

pub(crate) fn run(world: &World, recorder: &mut Recorder) -> Fallible<()> {
    let (tcp, unix) = (Addresses::new(world, "tcp")?, Addresses::new(world, "unix")?);
    let users = world.options.root.join("htpasswd.example");
    let policy = services::policy(world, GRANTS)?;
    let mut headers = Vec::new();
    match &world.options.headers_service {
        Some(program) => {
            for (label, at) in [("headers-tcp", &tcp.headers), ("headers-unix", &unix.headers)] {
                headers.push(services::headers_service(world, label, program, at)?);
            }
        }
        None => recorder.note(format!("{HEADERS}: skipped, HEADERS_SERVICE is not set."))?,
    }
    let services = Services {
        empty: services::empty_service(world, "empty", &[&tcp.empty, &unix.empty])?,
        plain: services::doorward(world, "plain", &[&tcp.plain, &unix.plain], &users, &[])?,
        with_policy: services::doorward(
            world,
            "with-policy",
            &[&tcp.with_policy, &unix.with_policy],
            &users,
            &["--policy", &policy.to_string_lossy()],
        )?,
        headers,
    };
    for location in &world.options.locations {
        run_location(world, recorder, location, &services, &[("tcp", &tcp), ("unix", &unix)])?;
    }
    Ok(())
}

/// Measures all cells of one location with an nginx of its own.
fn run_location(
    world: &World,
    recorder: &mut Recorder,
    location: &str,
    services: &Services,
    transports: &[(&str, &Addresses)],
) -> Fallible<()> {
    let generated = match location {
        "generated" => Some(Generated::new(world, "site")?),
        "registry" => Some(Generated::new(world, "registry")?),
        _ => None,
    };
    let path = generated.as_ref().map_or(FILE, Generated::path);
    let mut http = generated.as_ref().map(|generated| generated.http.clone()).unwrap_or_default();
    let mut routes = Vec::new();
    let inner = world.port()?;
    http += &format!("server {{ listen 127.0.0.1:{inner} reuseport; location / {{ return 204; }} }}\n");
    for (at, (transport, addresses)) in transports.iter().enumerate() {
        let (doorward, doorward_at) = match location {
            "registry" => (&services.with_policy, &addresses.with_policy),
            _ => (&services.plain, &addresses.plain),
        };
        let inner = Endpoint::Tcp(inner);
        let mut all = vec![
            (FLOOR, Some(&addresses.empty), Some(&services.empty)),
            (CONTROL, Some(&addresses.empty), Some(&services.empty)),
            (DOORWARD, Some(doorward_at), Some(doorward)),
            (SAME_WORKERS, Some(&inner), None),
            (OPEN, None, None),
        ];
        if let Some(service) = services.headers.get(at) {
            all.insert(2, (HEADERS, Some(&addresses.headers), Some(service)));
        }
        for (contestant, upstream, service) in all {
            let port = world.port()?;
            let name = format!("service_{port}");
            http += &match (upstream, &generated) {
                (None, None) => nginx::open_server(port),
                (None, Some(_)) => {
                    nginx::server(port, &format!("location = {path} {{ try_files {FILE} =404; }}\n"))
                }
                (Some(at), None) => {
                    nginx::upstream(world, &name, at) + &nginx::bare_server(port, &name, "/auth", "")
                }
                (Some(at), Some(generated)) => {
                    nginx::upstream(world, &name, at) + &generated.server(world, port, &name, "/auth")?
                }
            };
            routes.push((*transport, Route { contestant, port, service }));
        }
    }
    let mut front = nginx::start(world, &format!("front-{location}"), &http)?;
    for (_, route) in &routes {
        front.listens(&Endpoint::Tcp(route.port))?;
        let checks = route.contestant == DOORWARD;
        check_answers(route.port, path, USER, PASSWORD, checks)
            .map_err(|error| front.error(&format!("{location}, {}: {error}", route.contestant)))?;
    }
    let authorization = credentials(USER, PASSWORD);
    for transport in &world.options.transports {
        let targets = || {
            let over = routes.iter().filter(|(over, _)| over == transport);
            let target = |route: &Route| {
                let service = route.service.map(|service| service.processes());
                Target {
                    port: route.port,
                    path,
                    front: front.processes(),
                    service: service.unwrap_or_default(),
                }
            };
            over.map(|(_, route)| (route.contestant, target(route))).collect::<Vec<_>>()
        };
        for connections in &world.options.connections {
            let case = format!("{location} {transport} {connections}");
            wrk::rounds(world, recorder, &case, &targets(), &authorization, *connections)?;
        }
        if world.options.counts_syscalls {
            for (contestant, target) in targets() {
                count_syscalls(world, recorder, &format!("{location} {transport}"), contestant, &target)?;
            }
        }
    }
    Ok(())
}

/// Counts the system calls of nginx and of the service for each request. strace slows both down, so this is a run of its
/// own, and its rate is not recorded.
fn count_syscalls(
    world: &World,
    recorder: &mut Recorder,
    case: &str,
    contestant: &str,
    target: &Target,
) -> Fallible<()> {
    let mut traces = Vec::new();
    for (metric, processes) in [("syscalls_front", &target.front), ("syscalls_service", &target.service)] {
        if processes.is_empty() {
            continue;
        }
        let file = world.path(&format!("{metric}.strace"));
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-o"]).arg(&file);
        for pid in processes {
            command.arg("-p").arg(pid.to_string());
        }
        let Ok(child) = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn() else {
            return recorder.note("System calls: skipped, there is no strace.".to_owned());
        };
        traces.push((metric, file, child));
    }
    // A request that is not traced would make the figure smaller.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let measured = wrk::measure(target, &credentials(USER, PASSWORD), SYSCALL_CONNECTIONS, 2);
    for (metric, file, mut child) in traces {
        signal("-INT", child.id());
        child.wait()?;
        let text = std::fs::read_to_string(file)?;
        let total = text.lines().find(|line| line.trim_end().ends_with(" total")).unwrap_or_default();
        let calls: f64 =
            total.split_whitespace().nth(3).and_then(|word| word.parse().ok()).unwrap_or_default();
        if let (Ok(measured), true) = (&measured, calls > 0.0) {
            recorder.sample(case, contestant, 0, metric, calls / measured.requests)?;
        }
    }
    measured.map(|_| ())
}
