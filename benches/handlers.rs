//! Measures nothing by itself: it holds four servers and a client for `benches/instructions.sh`, which runs each server
//! under callgrind and prints the figures. `/auth` is doorward's auth listener, built from the library as `doorward serve`
//! does it. The others are what it is compared with. `/empty` is an actix-web handler that does nothing. `/headers` is one
//! that only sends the headers of an answer to nginx. `/http-headers` sends them by actix-http alone: the least that a
//! server of these headers costs, with the parser and the limits of doorward.
//!
//! ```text
//! handlers serve auth|empty|headers|http-headers VARIABLE=VALUE...
//!                                                        prints its port and serves until SIGTERM; settings as variables
//! WORKERS=2 handlers serve http-headers LISTEN           the same on HOST:PORT or unix:/path, for a client such as wrk
//! handlers drive PORT /PATH N                            N requests of alice, one after the other, on one connection
//! handlers drive PORT /PATH N differing                  the same; no two requests in a row have the same header value
//! handlers drive PORT /PATH N as AUTHORIZATION           the same with other credentials, for a registry
//! handlers head PORT /PATH                               prints the sorted lines of a response head, without its date
//! handlers keys FILE N                                   writes a file of N API keys; prints one key of alice's without
//!                                                        a scope, and one with a scope
//! handlers token FILE SERVICE                            writes a signing key (ES256); prints a token of alice's
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command-line program")]

#[path = "storm/api_keys.rs"]
mod api_keys;
#[path = "storm/random.rs"]
mod random;

use std::convert::Infallible;
use std::error::Error;
use std::ffi::OsString;
use std::fs::Permissions;
use std::future::ready;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_http::{HttpService, Request, Response};
use actix_server::Server;
use actix_service::{ServiceFactoryExt, fn_service};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::rt::signal::unix::{SignalKind, signal};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use doorward::internals::{AccessEntry, Claims, MeasuredLimits, MeasuredService, SigningKeys, generate_key};

use crate::random::Random;

/// alice, with the password of `htpasswd.example`, as Basic credentials.
const ALICE: &str = "YWxpY2U6d29uZGVybGFuZA==";

/// The header of a configuration that can rewrite the URI of a registry request. The check of a scope requires it.
const REGISTRY: &str = "X-Auth-Rewrite: yes\r\n";

/// The header with the value of nginx's `$request_id`, which is sent back.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The other headers of an answer to alice.
const CONSTANT_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (HeaderName::from_static("x-auth-user"), HeaderValue::from_static("alice")),
    (HeaderName::from_static("x-auth-groups"), HeaderValue::from_static("")),
    (HeaderName::from_static("x-auth-by"), HeaderValue::from_static("htpasswd")),
    (HeaderName::from_static("x-auth-stale"), HeaderValue::from_static("")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// A response head is shorter than this.
const HEAD_MAX: usize = 4096;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["serve", what @ ("auth" | "empty" | "headers" | "http-headers"), arguments @ ..] => {
            serve(what, arguments)
        }
        ["drive", port, path, n] => drive(port, n, |_| request(path, 0)),
        ["drive", port, path, n, "differing"] => drive(port, n, |i| request(path, i)),
        ["drive", port, path, n, "as", authorization] => {
            drive(port, n, |_| subrequest(path, authorization, REGISTRY))
        }
        ["head", port, path] => head(port, path),
        ["keys", path, count] => keys(Path::new(path), count),
        ["token", path, service] => token(Path::new(path), service),
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
    for (name, value) in CONSTANT_HEADERS {
        response.headers_mut().insert(name, value);
    }
    if let Some(id) = request.headers().get(&X_REQUEST_ID) {
        response.headers_mut().insert(X_REQUEST_ID, id.clone());
    }
    response
}

/// Sends the headers of `/auth` by actix-http alone.
fn http_headers(request: &Request) -> Response<()> {
    let mut response = Response::with_body(StatusCode::OK, ());
    let headers = response.headers_mut();
    for (name, value) in CONSTANT_HEADERS {
        headers.append(name, value);
    }
    if let Some(id) = request.head().headers.get(&X_REQUEST_ID) {
        headers.append(X_REQUEST_ID, id.clone());
    }
    response
}

/// Runs one of the four servers. `arguments` are settings, and an address for `http-headers`.
fn serve(what: &str, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let listen = arguments.iter().find(|argument| !argument.contains('='));
    let variables = || {
        // Under callgrind a hash takes many times as long.
        let fixed = [("DOORWARD_HASH_WAIT_TIMEOUT", "60s"), ("DOORWARD_LIMITS_SHUTDOWN_TIMEOUT", "1s")];
        let workers = match (listen, std::env::var("WORKERS")) {
            (None, _) => Some("1".to_owned()),
            (Some(_), workers) => workers.ok(),
        };
        let workers = workers.map(|workers| ("DOORWARD_LIMITS_WORKERS".into(), workers.into()));
        let given = arguments.iter().filter_map(|pair| pair.split_once('=')).chain(fixed);
        given.map(|(name, value)| (name.into(), value.into())).chain(workers)
    };
    if what == "http-headers" {
        let limits = MeasuredLimits::from_variables(variables())?;
        return actix_web::rt::System::new().block_on(serve_http_headers(listen.copied(), limits));
    }
    if what == "auth" {
        return actix_web::rt::System::new().block_on(serve_auth(variables()));
    }
    let listener = listen_on_free_port()?;
    let limits = MeasuredLimits::from_variables(variables())?;
    // The types of the servers differ and cannot be named.
    macro_rules! app {
        ($app:expr) => {
            HttpServer::new($app)
                .workers(limits.workers)
                .max_connections(limits.connections_per_worker)
                .keep_alive(limits.keepalive_timeout)
                .client_request_timeout(limits.header_timeout)
                .client_disconnect_timeout(limits.disconnect_timeout)
                .shutdown_timeout(1)
                .listen(listener)?
                .run()
        };
    }
    actix_web::rt::System::new().block_on(async {
        match what {
            "empty" => app!(|| App::new().service(web::resource("/empty").to(empty))).await?,
            _ => app!(|| App::new().service(web::resource("/headers").to(headers))).await?,
        }
        Ok(())
    })
}

/// Returns a socket, and prints its port.
fn listen_on_free_port() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    Ok(listener)
}

/// Runs doorward's auth listener, without the thread that polls the files: its instructions would be counted too.
async fn serve_auth(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(), Box<dyn Error>> {
    let auth = Arc::new(MeasuredService::build(variables)?);
    // After the files are read, which takes most instructions.
    let listener = listen_on_free_port()?;
    let hasher = thread::spawn({
        let auth = Arc::clone(&auth);
        move || auth.run_hash_thread()
    });
    until_terminated(auth.serve(listener)?).await?;
    auth.close();
    hasher.join().map_err(|_| "the hash thread panicked")?;
    Ok(())
}

/// Runs the server of [`http_headers`], with the limits of the auth listener.
async fn serve_http_headers(listen: Option<&str>, limits: MeasuredLimits) -> Result<(), Box<dyn Error>> {
    let builder = Server::build()
        .workers(limits.workers)
        .max_concurrent_connections(limits.connections_per_worker)
        .shutdown_timeout(1)
        .disable_signals();
    let shutdown = builder.graceful_shutdown_signal();
    macro_rules! service {
        ($stream:ty) => {{
            let shutdown = shutdown.clone();
            HttpService::<$stream, _, ()>::build()
                .graceful_shutdown_signal(move || {
                    let shutdown = shutdown.clone();
                    async move { shutdown.notified().await }
                })
                .keep_alive(limits.keepalive_timeout)
                .client_request_timeout(limits.header_timeout)
                .client_disconnect_timeout(limits.disconnect_timeout)
                .h1(|request: Request| ready(Ok::<_, Infallible>(http_headers(&request))))
        }};
    }
    let server = if let Some(path) = listen.and_then(|listen| listen.strip_prefix("unix:")) {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o666))?;
        println!("{path}");
        builder.listen_uds("http-headers", listener, move || {
            fn_service(|stream: UnixStream| ready(Ok((stream, None)))).and_then(service!(UnixStream))
        })?
    } else {
        let listener = TcpListener::bind(listen.unwrap_or("127.0.0.1:0"))?;
        println!("{}", listener.local_addr()?.port());
        builder.listen("http-headers", listener, move || service!(TcpStream).tcp())?
    };
    until_terminated(server.run()).await?;
    if let Some(path) = listen.and_then(|listen| listen.strip_prefix("unix:")) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Runs the server until SIGTERM.
async fn until_terminated(server: Server) -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        terminated.recv().await;
        handle.stop(true).await;
    });
    server.await
}

/// Sends what nginx sends with the snippet `doorward-auth.conf`. Every answer must be 200 without a body.
fn drive(port: &str, n: &str, request: impl Fn(u32) -> String) -> Result<(), Box<dyn Error>> {
    let n: u32 = n.parse()?;
    let mut connection = connect(port)?;
    let mut buffer = [0; HEAD_MAX];
    for i in 0..n {
        exchange(&mut connection, &request(i), &mut buffer)?;
    }
    Ok(())
}

fn connect(port: &str) -> Result<std::net::TcpStream, Box<dyn Error>> {
    let connection = std::net::TcpStream::connect(("127.0.0.1", port.parse()?))?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(Duration::from_secs(120)))?;
    Ok(connection)
}

/// Sends a request, and returns the head of the response.
fn exchange<'b>(
    connection: &mut std::net::TcpStream,
    request: &str,
    buffer: &'b mut [u8; HEAD_MAX],
) -> Result<&'b [u8], Box<dyn Error>> {
    connection.write_all(request.as_bytes())?;
    let mut used = 0;
    loop {
        let free = buffer.get_mut(used..).ok_or("a response head is too long")?;
        match connection.read(free)? {
            0 => return Err("the server closed the connection".into()),
            read => used += read,
        }
        if buffer.get(..used).unwrap_or_default().ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = buffer.get(..used).unwrap_or_default();
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(String::from_utf8_lossy(head).into_owned().into());
    }
    Ok(head)
}

/// Prints the lines of a response head except its date, sorted: actix-http sends them in any order.
fn head(port: &str, path: &str) -> Result<(), Box<dyn Error>> {
    let mut buffer = [0; HEAD_MAX];
    let head = exchange(&mut connect(port)?, &request(path, 0), &mut buffer)?;
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("date: ")).collect();
    lines.sort_unstable();
    println!("{}", lines.join("\n"));
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

/// Writes a signing key, and prints a token that permits the request of [`subrequest`] for a day.
fn token(path: &Path, service: &str) -> Result<(), Box<dyn Error>> {
    let now = SystemTime::now();
    let pem = generate_key(now)?.pem;
    std::fs::write(path, &pem)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let seconds = now.duration_since(UNIX_EPOCH)?.as_secs();
    let access = AccessEntry {
        kind: "repository".into(),
        name: "library/alpine".into(),
        actions: vec!["pull".into(), "push".into()],
    };
    let claims = Claims {
        iss: "doorward".into(),
        sub: "alice".into(),
        aud: service.into(),
        exp: seconds + 86_400,
        nbf: seconds - 60,
        iat: seconds,
        jti: "00112233445566778899aabbccddeeff".into(),
        host: "registry.example".into(),
        access: vec![access],
        denied: Vec::new(),
    };
    println!("{}", SigningKeys::parse(pem.as_bytes())?.sign(&claims)?);
    Ok(())
}
