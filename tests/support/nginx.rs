//! nginx with the configuration that `doorward proxy-config nginx` writes.

mod image;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::{self, Address, Answer, Client, OF_NGINX, Request};
use super::free_port;
use super::process::{Process, program};
pub(crate) use image::{Image, busybox};

/// Returns the folder of the repository with the shipped nginx files.
pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx")
}

/// Returns the nginx to test: the program in `NGINX`, or the installed one.
pub(crate) fn nginx() -> PathBuf {
    std::env::var_os("NGINX").map_or_else(|| program("nginx", "nginx"), PathBuf::from)
}

/// Kind of the protected service.
#[derive(Clone, Copy)]
pub(crate) enum Template {
    Registry,
    Site,
}

pub(crate) struct Nginx {
    // The field order matters: the process must end before its folder is removed.
    process: Process,
    image: Image,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// Starts nginx in front of `backend`. `auth` is the address of doorward, or `unix:` and a path.
    pub(crate) fn start(template: Template, auth: impl ToString, backend: SocketAddr) -> Self {
        Self::start_with(template, auth, backend, "")
    }

    /// Starts nginx with additional `lines` at http level, before the template.
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

    /// Starts nginx with the options of the image, on a free port of 127.0.0.1.
    pub(crate) fn of(image: Image) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], free_port())), image)
    }

    /// Starts nginx at this address, for tests that need the address earlier.
    pub(crate) fn at(address: SocketAddr, image: Image) -> Self {
        let image = image.set("LISTEN", address.to_string());
        let command = image.run();
        Self::run(image, command, address)
    }

    /// Starts nginx with an own server{} that listens at `address`.
    pub(crate) fn by_hand(image: Image, address: SocketAddr) -> Self {
        let command = image.run();
        Self::run(image, command, address)
    }

    /// Starts nginx with the written configuration after an `edit`, which lets it listen at `address`.
    pub(crate) fn edited(image: Image, address: SocketAddr, edit: impl Fn(&str) -> String) -> Self {
        let command = image.run();
        let text = edit(&image.written());
        let image = image.file("etc/nginx/conf.d/doorward.conf", &text);
        Self::run(image, command, address)
    }

    fn run(image: Image, command: Command, address: SocketAddr) -> Self {
        let mut process = Process::spawn(command, &image.path("log"));
        // Waits for a response of any kind. This path needs no call to doorward.
        process.ready("nginx answers", |log| {
            // If another program uses the port, its responses must not count.
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

    /// Sends one request over a new connection.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        client::ask(&Address::Tcp(self.address), OF_NGINX, request)
    }

    /// Sends one request from this address of 127.0.0.0/8, which is another client network.
    pub(crate) fn ask_from(&self, source: [u8; 4], request: &Request) -> Answer {
        Client::connect_from(Ipv4Addr::from(source), self.address, OF_NGINX)
            .unwrap_or_else(|error| panic!("{source:?} to {}: {error}", self.address))
            .ask(request)
    }

    /// Returns the error log of nginx.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Returns the folder of nginx.
    pub(crate) fn image(&self) -> &Image {
        &self.image
    }
}

/// Adds the credentials of alice.
pub(crate) fn alice(request: Request) -> Request {
    request.basic("alice", "wonderland")
}

/// Checks a refusal of the registry template: JSON with this code, which clients show to the user.
pub(crate) fn assert_json(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"), "{answer:?}");
    let text = answer.text();
    assert!(text.starts_with(&format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"")), "{text}");
    assert!(text.ends_with("}]}\n"), "{text}");
}

/// Checks that an ID is of nginx: the numbers of a connection and of the request on it.
pub(crate) fn assert_request_id(id: &str) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(
        id.split_once('-').is_some_and(|(connection, request)| is_number(connection) && is_number(request)),
        "{id}"
    );
}

/// Checks a 401 of the registry template: JSON, and the challenge of doorward exactly once.
pub(crate) fn assert_challenge(answer: &Answer) {
    assert_json(answer, 401, "UNAUTHORIZED");
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Basic realm=\"Registry\", charset=\"UTF-8\""), "{answer:?}");
}
