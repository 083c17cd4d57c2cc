//! Three servers in one binary, and a client for them. `instructions.sh` runs each under callgrind.
//!
//! `/auth` is doorward's, put together from the library as `serve` does it; `/empty` is an actix handler
//! that does nothing, and `/headers` one that only sends the headers that an answer to nginx has: what
//! they cost is actix's.
//!
//! ```text
//! handlers serve auth|empty|headers HTPASSWD [POLICY GROUPS]    prints its port and serves until SIGTERM
//! handlers serve keys HTPASSWD KEYS                            the same of /auth with a file of keys
//! handlers drive PORT /PATH N [differing]                      N requests, one after the other, over one connection
//! handlers drive PORT /PATH N as AUTHORIZATION                 the same with these credentials, and not alice's
//! ```
//!
//! Requests that differ do so in how `Basic` is written alone: the user, the password and the answer are
//! the same, but no worker's memo has seen the header.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for the command line")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use doorward::clock::Clock;
use doorward::config::layers::ConfigLayers;
use doorward::http::peer::Peer;
use doorward::http::service::{ListenerKind, service_factory};
use doorward::server::components::Components;

/// alice, with the password of `htpasswd.example`.
const ALICE: &str = "YWxpY2U6d29uZGVybGFuZA==";

/// What the configuration for a registry says of itself, for the scope of a key to be judged by.
const REGISTRY: &str = "X-Auth-Rewrite: yes\r\n";

/// A head is shorter than this.
const HEAD_MAX: usize = 4096;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["serve", first @ ("auth" | "empty" | "headers"), htpasswd] => serve(first, htpasswd, None, None),
        ["serve", "auth", htpasswd, policy, groups] => serve("auth", htpasswd, Some((policy, groups)), None),
        ["serve", "keys", htpasswd, keys] => serve("auth", htpasswd, None, Some(keys)),
        ["drive", port, path, n] => drive(port, n, |_| request(path, 0)),
        ["drive", port, path, n, "differing"] => drive(port, n, |i| request(path, i)),
        ["drive", port, path, n, "as", authorization] => {
            drive(port, n, |_| question(path, authorization, REGISTRY))
        }
        _ => {
            println!("handlers is run by benches/instructions.sh");
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("handlers: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn empty() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// The headers of `reply.rs`, all but one of them ready.
async fn headers(request: HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::OK);
    let names = ["x-auth-user", "x-auth-groups", "x-auth-by", "x-auth-stale", "cache-control"];
    let names = names.map(HeaderName::from_static);
    let values = ["alice", "", "htpasswd", "", "no-store"].map(HeaderValue::from_static);
    for (name, value) in names.into_iter().zip(values) {
        response.headers_mut().insert(name, value);
    }
    let name = HeaderName::from_static("x-request-id");
    if let Some(id) = request.headers().get(&name) {
        response.headers_mut().insert(name, id.clone());
    }
    response
}

/// Serves one of the three: what doorward serves, or an actix application of one route to compare with.
fn serve(
    what: &str,
    htpasswd: &str,
    policy: Option<(&str, &str)>,
    keys: Option<&str>,
) -> Result<(), Box<dyn Error>> {
    let variables = [("DOORWARD_HTPASSWD".into(), htpasswd.into())].into_iter();
    let variables = variables.chain(keys.map(|keys| ("DOORWARD_API_KEYS".into(), keys.into())));
    let layers = ConfigLayers::default().with_environment(variables);
    let mut settings = layers.into_config().map_err(|faults| format!("{faults:?}"))?;
    if let Some((policy, groups)) = policy {
        (settings.policy_file, settings.groups_file) = (Some(policy.into()), Some(groups.into()));
    }
    // Under callgrind a hash takes many times as long.
    settings.hash_wait_timeout = Duration::from_secs(60);
    // Without the thread that watches the files: its looks would be counted too.
    let Components { app_state: front, hash_pool: pool, .. } =
        Components::build(&settings, Clock::system(), Arc::default())?;
    let hasher = thread::spawn({
        let pool = Arc::clone(&pool);
        move || pool.run()
    });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let peers = settings.trusted_peers.clone();
    // The types of the three servers differ, and can't be written down.
    macro_rules! run {
        ($app:expr) => {
            HttpServer::new($app)
                .workers(1)
                .keep_alive(settings.keepalive_timeout)
                .client_request_timeout(settings.header_timeout)
                .client_disconnect_timeout(Duration::from_secs(1))
                .on_connect(move |connection, notes| {
                    if let Some(Ok(address)) = connection.downcast_ref().map(TcpStream::peer_addr) {
                        notes.insert(Peer::tcp(address, &peers));
                    }
                })
                .shutdown_timeout(1)
                .listen(listener)?
                .run()
        };
    }
    let runtime = actix_web::rt::System::new();
    runtime.block_on(async {
        match what {
            "empty" => run!(|| App::new().service(web::resource("/empty").to(empty))).await,
            "headers" => run!(|| App::new().service(web::resource("/headers").to(headers))).await,
            _ => run!(move || service_factory(Arc::clone(&front), ListenerKind::Auth)).await,
        }
    })?;
    pool.close();
    hasher.join().map_err(|_| "the hash thread panicked")?;
    Ok(())
}

/// Asks as nginx does with the snippet `doorward-auth.conf`. The answers must be 200 and without a body.
fn drive(port: &str, n: &str, request: impl Fn(u32) -> String) -> Result<(), Box<dyn Error>> {
    let (port, n): (u16, u32) = (port.parse()?, n.parse()?);
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", port))?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut buffer = [0; HEAD_MAX];
    for i in 0..n {
        connection.write_all(request(i).as_bytes())?;
        let mut used = 0;
        loop {
            let free = buffer.get_mut(used..).ok_or("a long head")?;
            match connection.read(free)? {
                0 => return Err("the server hung up".into()),
                read => used += read,
            }
            let head = buffer.get(..used).unwrap_or_default();
            if head.ends_with(b"\r\n\r\n") {
                if !head.starts_with(b"HTTP/1.1 200 ") {
                    return Err(String::from_utf8_lossy(head).into_owned().into());
                }
                break;
            }
        }
    }
    Ok(())
}

/// nginx's question, with `Basic` written in one of 960 ways.
fn request(path: &str, way: u32) -> String {
    let in_case =
        |(i, letter): (u32, char)| if way >> i & 1 == 0 { letter } else { letter.to_ascii_uppercase() };
    let basic: String = (0..).zip("basic".chars()).map(in_case).collect();
    let spaces = " ".repeat((way / 32 % 30) as usize + 1);
    question(path, &format!("{basic}{spaces}{ALICE}"), "")
}

/// The same with these credentials, and one header more.
fn question(path: &str, authorization: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: doorward\r\nAuthorization: {authorization}\r\n\
         X-Original-URI: /v2/library/alpine/manifests/latest\r\nX-Original-Method: GET\r\n\
         X-Original-Host: registry.example\r\nX-Original-Content-Type: ct:\r\nX-Real-IP: 192.0.2.7\r\n\
         X-Forwarded-Proto: https\r\nX-Request-ID: 0123456789abcdef0123456789abcdef\r\n{more}\r\n"
    )
}
