//! nginx with the template and snippets that ship, its configuration written by the scripts that ship
//! for the official image. The image itself is not needed: a folder stands in for its root.

mod image;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::{self, Address, Answer, Client, OF_NGINX, Request};
use super::free_port;
use super::process::{Process, program};
pub(crate) use image::{Image, busybox};

/// The folder of the repository that holds what ships.
pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx")
}

/// The nginx to test: the one that `NGINX` names, or the machine's.
pub(crate) fn nginx() -> PathBuf {
    std::env::var_os("NGINX").map_or_else(|| program("nginx", "nginx"), PathBuf::from)
}

/// What is guarded.
#[derive(Clone, Copy)]
pub(crate) enum Template {
    Registry,
    Site,
}

pub(crate) struct Nginx {
    // In this order: the process goes before its folder does.
    process: Process,
    image: Image,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// Starts it in front of `backend`, with doorward at `auth` (an address, or `unix:` and a path).
    pub(crate) fn start(template: Template, auth: impl ToString, backend: SocketAddr) -> Self {
        Self::start_with(template, auth, backend, "")
    }

    /// The same with `lines` of somebody's own at http level, ahead of the template.
    pub(crate) fn start_with(
        template: Template,
        auth: impl ToString,
        backend: SocketAddr,
        lines: &str,
    ) -> Self {
        let kind = match template {
            Template::Registry => "registry",
            Template::Site => "site",
        };
        let image = Image::with(lines)
            .set("KIND", kind)
            .set("AUTH", auth.to_string())
            .set("UPSTREAM", backend.to_string())
            .set("PLAIN_HTTP", "on");
        Self::of(image)
    }

    /// Starts it as the image's settings say, on a free port of 127.0.0.1.
    pub(crate) fn of(image: Image) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], free_port())), image)
    }

    /// The same where others have to know the address before.
    pub(crate) fn at(address: SocketAddr, image: Image) -> Self {
        let image = image.set("LISTEN", address.to_string());
        let command = image.run(&["nginx"]);
        Self::run(image, command, address)
    }

    /// Starts it without the entrypoint's scripts, by the nginx.conf that is there: by hand.
    pub(crate) fn by_hand(image: Image, address: SocketAddr) -> Self {
        let command = image.run(&["sh", "-c", "exec nginx"]);
        Self::run(image, command, address)
    }

    fn run(image: Image, command: Command, address: SocketAddr) -> Self {
        let mut process = Process::spawn(command, &image.path("log"));
        // An answer, of any kind: the entrypoint's check opens the port too, and closes it again. Nothing
        // is asked of doorward for this path.
        process.ready("nginx answers", |log| {
            // Another program has the port, and its answers are not nginx's.
            assert!(!log.contains("Address already in use"), "{log}");
            let mut client = Client::connect(&Address::Tcp(address), OF_NGINX).ok()?;
            client.try_ask(&Request::get("/_doorward")).ok().map(|_| ())
        });
        Self { process, image, address }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&Address::Tcp(self.address), OF_NGINX)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.address, self.process.tail()))
    }

    /// One request over a connection of its own.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        client::ask(&Address::Tcp(self.address), OF_NGINX, request)
    }

    /// The same from another client network: an address of 127.0.0.0/8.
    pub(crate) fn ask_from(&self, source: [u8; 4], request: &Request) -> Answer {
        Client::connect_from(Ipv4Addr::from(source), self.address, OF_NGINX)
            .unwrap_or_else(|error| panic!("{source:?} to {}: {error}", self.address))
            .ask(request)
    }

    /// What the scripts said, and nginx's error log.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    /// The folder that stands in for the image's root.
    pub(crate) fn image(&self) -> &Image {
        &self.image
    }
}

/// As alice.
pub(crate) fn alice(request: Request) -> Request {
    request.basic("alice", "wonderland")
}

/// A refusal of the registry template: JSON with this code, which a client shows in its own words.
pub(crate) fn assert_json(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"), "{answer:?}");
    let text = answer.text();
    assert!(text.starts_with(&format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"")), "{text}");
    assert!(text.ends_with("}]}\n"), "{text}");
}

/// A 401 of the registry template: JSON, and doorward's challenge, once.
pub(crate) fn assert_challenge(answer: &Answer) {
    assert_json(answer, 401, "UNAUTHORIZED");
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Basic realm=\"Registry\", charset=\"UTF-8\""), "{answer:?}");
}
