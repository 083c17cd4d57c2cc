//! Measures nothing by itself: it holds three servers and a client for `benches/instructions.sh`, which runs each server
//! under callgrind and prints the figures. `/auth` is doorward's service, built from the library as `doorward serve` does
//! it. `/empty` is an actix handler that does nothing. `/headers` is one that only sends the headers of an answer to nginx.
//!
//! ```text
//! handlers serve auth|empty|headers VARIABLE=VALUE...    prints its port and serves until SIGTERM; settings as variables
//! handlers drive PORT /PATH N                            N requests of alice, one after the other, on one connection
//! handlers drive PORT /PATH N differing                  the same; no two requests in a row have the same header value
//! handlers drive PORT /PATH N as AUTHORIZATION           the same with other credentials, for a registry
//! handlers keys FILE N                                   writes a file of N API keys; prints one key of alice's without
//!                                                        a scope, and one with a scope
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command-line program")]

#[path = "storm/api_keys.rs"]
mod api_keys;
#[path = "storm/random.rs"]
mod random;

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use doorward::internals::MeasuredService;

use crate::random::Random;

/// alice, with the password of `htpasswd.example`, as Basic credentials.
const ALICE: &str = "YWxpY2U6d29uZGVybGFuZA==";

/// The header of a configuration that can rewrite the URI of a registry request. The check of a scope requires it.
const REGISTRY: &str = "X-Auth-Rewrite: yes\r\n";

/// A response head is shorter than this.
const HEAD_MAX: usize = 4096;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["serve", what @ ("auth" | "empty" | "headers"), variables @ ..] => serve(what, variables),
        ["drive", port, path, n] => drive(port, n, |_| request(path, 0)),
        ["drive", port, path, n, "differing"] => drive(port, n, |i| request(path, i)),
        ["drive", port, path, n, "as", authorization] => {
            drive(port, n, |_| subrequest(path, authorization, REGISTRY))
        }
        ["keys", path, count] => keys(Path::new(path), count),
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

/// Sends the headers of `/auth`. Only the request id is not constant.
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

/// Runs one of the three servers.
fn serve(what: &str, variables: &[&str]) -> Result<(), Box<dyn Error>> {
    // Under callgrind a hash takes many times as long.
    let variables = variables.iter().copied().chain(["DOORWARD_HASH_WAIT_TIMEOUT=60s"]);
    let variables = variables.filter_map(|pair| pair.split_once('='));
    // Without the thread that polls the files: its instructions would be counted too.
    let auth = Arc::new(MeasuredService::build(variables.map(|(name, value)| (name.into(), value.into())))?);
    let hasher = thread::spawn({
        let auth = Arc::clone(&auth);
        move || auth.run_hash_thread()
    });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let [keepalive_timeout, header_timeout] = auth.timeouts();
    let (peers, front) = (Arc::clone(&auth), Arc::clone(&auth));
    // The types of the three servers differ and cannot be named.
    macro_rules! run {
        ($app:expr) => {
            HttpServer::new($app)
                .workers(1)
                .keep_alive(keepalive_timeout)
                .client_request_timeout(header_timeout)
                .client_disconnect_timeout(Duration::from_secs(1))
                .on_connect(move |connection, notes| {
                    if let Some(Ok(address)) = connection.downcast_ref().map(TcpStream::peer_addr) {
                        peers.record_peer(address, notes);
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
            _ => run!(move || front.service()).await,
        }
    })?;
    auth.close();
    hasher.join().map_err(|_| "the hash thread panicked")?;
    Ok(())
}

/// Sends what nginx sends with the snippet `doorward-auth.conf`. Every answer must be 200 without a body.
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
            let free = buffer.get_mut(used..).ok_or("a response head is too long")?;
            match connection.read(free)? {
                0 => return Err("the server closed the connection".into()),
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

/// nginx's subrequest, with `Basic` written in one of 960 ways.
fn request(path: &str, way: u32) -> String {
    let in_case =
        |(i, letter): (u32, char)| if way >> i & 1 == 0 { letter } else { letter.to_ascii_uppercase() };
    let basic: String = (0..).zip("basic".chars()).map(in_case).collect();
    let spaces = " ".repeat((way / 32 % 30) as usize + 1);
    subrequest(path, &format!("{basic}{spaces}{ALICE}"), "")
}

/// nginx's subrequest with these credentials and further header lines.
fn subrequest(path: &str, authorization: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: doorward\r\nAuthorization: {authorization}\r\n\
         X-Original-URI: /v2/library/alpine/manifests/latest\r\nX-Original-Method: GET\r\n\
         X-Original-Host: registry.example\r\nX-Original-Content-Type: ct:\r\nX-Real-IP: 192.0.2.7\r\n\
         X-Forwarded-Proto: https\r\nX-Request-ID: 0123456789abcdef0123456789abcdef\r\n{more}\r\n"
    )
}

fn keys(path: &Path, count: &str) -> Result<(), Box<dyn Error>> {
    let mut random = Random(1);
    let (plain, scoped) = (api_keys::new(&mut random, None), api_keys::new(&mut random, None));
    let lines = vec![
        api_keys::line(&plain, "alice", "plain", ""),
        api_keys::line(&scoped, "alice", "scoped", r#","scope":["pull:library/**"]"#),
    ];
    api_keys::write(path, lines, count.parse::<usize>()?.saturating_sub(2), &mut random)?;
    println!("{plain}\n{scoped}");
    Ok(())
}
