//! Part `pull`: the time of a pull of an image through nginx, with and without authentication.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::Fallible;
use crate::client::credentials;
use crate::nginx::{self, Endpoint};
use crate::process::Server;
use crate::samples::Recorder;
use crate::services::{self, PASSWORD, USER, check_answers};
use crate::tools;
use crate::world::{World, output};

/// The set-up to which the others are compared.
pub(crate) const OPEN: &str = "no authentication";

const LAYERS: &str = "20";
const LAYER_BYTES: &str = "262144";
const REPOSITORY: &str = "library/app";
const SERVICE: &str = "registry.bench";
/// Grants of the policy.
const GRANTS: usize = 10;

/// nginx in front of the registry, and doorward if there is one.
struct SetUp {
    name: &'static str,
    port: u16,
    _nginx: Server,
    _doorward: Option<Server>,
}

pub(crate) fn run(world: &World, recorder: &mut Recorder) -> Fallible<()> {
    let registry_port = world.port()?;
    let _registry = registry(world, recorder, registry_port)?;
    push(world, registry_port)?;
    let set_ups = [
        open(world, registry_port)?,
        doorward(world, registry_port, "Basic", None)?,
        doorward(world, registry_port, "ES256 tokens", Some("ES256"))?,
        doorward(world, registry_port, "RS256 tokens", Some("RS256"))?,
    ];
    let mut clients = Vec::new();
    for (name, program) in [("skopeo", tools::installed("skopeo")), ("crane", tools::go_tool(world, "crane"))]
    {
        match program {
            Ok(program) => clients.push((name, program)),
            Err(reason) => recorder.note(format!("{name}: skipped, {reason}."))?,
        }
    }
    for (client, program) in &clients {
        // The first pull of each set-up hashes the password and fills the page cache.
        for set_up in &set_ups {
            pull(world, client, program, set_up)?;
        }
        for round in 0..world.options.rounds {
            for at in 0..set_ups.len() {
                let Some(set_up) = set_ups.get((at + round) % set_ups.len()) else { continue };
                let seconds = pull(world, client, program, set_up)?;
                recorder.sample(client, set_up.name, round, "seconds", seconds)?;
            }
        }
    }
    Ok(())
}

/// Starts the registry behind all set-ups. It checks nothing itself.
fn registry(world: &World, recorder: &mut Recorder, port: u16) -> Fallible<Server> {
    let program = match tools::go_tool(world, "registry") {
        Ok(program) => program,
        Err(reason) => {
            recorder.note(format!("registry 3: {reason}. The image is in registry 2.8."))?;
            tools::installed("docker-registry")?
        }
    };
    let text = format!(
        "version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {:?}}}}}
http: {{addr: \"127.0.0.1:{port}\", secret: of-a-benchmark, relativeurls: true}}
",
        world.path("storage")
    );
    let file = world.write("registry.yml", &text)?;
    let mut command = Command::new(program);
    command.arg("serve").arg(file).env("OTEL_TRACES_EXPORTER", "none").env_remove("REGISTRY");
    let mut server = Server::start(world, "registry", &mut command)?;
    server.listens(&Endpoint::Tcp(port))?;
    Ok(server)
}

/// Creates the image and pushes it to the registry itself.
fn push(world: &World, port: u16) -> Fallible<()> {
    let image = world.path("image");
    output(
        Command::new("python3")
            .arg(world.options.root.join("tests/clients/image.py"))
            .arg(&image)
            .args([LAYERS, LAYER_BYTES]),
    )?;
    output(
        Command::new("skopeo")
            .args(["--insecure-policy", "copy", "-q", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:one", image.display()))
            .arg(format!("docker://127.0.0.1:{port}/{REPOSITORY}:one")),
    )?;
    Ok(())
}

fn open(world: &World, registry_port: u16) -> Fallible<SetUp> {
    let port = world.port()?;
    // As the configuration of doorward, without the check. It writes a log too.
    let lines = format!(
        "access_log {log};
client_max_body_size 0;
location /v2/ {{
    proxy_pass http://registry;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_set_header Host $http_host;
    proxy_request_buffering off;
    proxy_buffering off;
    proxy_buffer_size 64k;
    proxy_buffers 4 64k;
    proxy_busy_buffers_size 128k;
}}
",
        log = world.path("open.access.log").display()
    );
    let http =
        nginx::upstream(world, "registry", &Endpoint::Tcp(registry_port)) + &nginx::server(port, &lines);
    let mut server = nginx::start(world, "open", &http)?;
    server.listens(&Endpoint::Tcp(port))?;
    Ok(SetUp { name: OPEN, port, _nginx: server, _doorward: None })
}

/// Starts doorward, with tokens of this algorithm if there is one, and nginx with the generated configuration.
fn doorward(
    world: &World,
    registry_port: u16,
    name: &'static str,
    algorithm: Option<&str>,
) -> Fallible<SetUp> {
    let label = algorithm.unwrap_or("basic");
    let port = world.port()?;
    let (auth, public) = (Endpoint::new(world, "tcp", label)?, Endpoint::new(world, "tcp", label)?);
    let policy = services::policy(world, GRANTS)?.to_string_lossy().into_owned();
    let realm = format!("http://127.0.0.1:{port}/token");
    let public_at = public.to_string();
    let mut arguments = vec!["--policy", &policy];
    let keys;
    if let Some(algorithm) = algorithm {
        keys = signing_keys(world, algorithm, &realm)?.to_string_lossy().into_owned();
        arguments.extend([
            "--public-listen",
            &public_at,
            "--token-signing-keys",
            &keys,
            "--token-service",
            SERVICE,
        ]);
        arguments.extend(["--token-realm", &realm, "--token-challenge", "bearer"]);
    }
    let users = world.options.root.join("htpasswd.example");
    let service = services::doorward(world, &format!("doorward-{label}"), &[&auth], &users, &arguments)?;

    let folder = world.path(&format!("configuration-{label}"));
    fs::create_dir_all(&folder)?;
    let mut command = Command::new(&world.options.doorward);
    command
        .args(["proxy-config", "nginx", "--kind", "registry", "--plain-http", "on"])
        .env_remove("DOORWARD_CONFIG");
    command.arg("--output").arg(&folder).arg("--listen").arg(format!("127.0.0.1:{port}"));
    command.arg("--upstream").arg(format!("127.0.0.1:{registry_port}")).arg("--auth").arg(auth.to_string());
    command.arg("--access-log").arg(world.path(&format!("{label}.access.log")));
    if algorithm.is_some() {
        command.args(["--tokens", "mixed"]).arg("--public").arg(public_at.clone());
    }
    output(&mut command)?;
    let http = format!("include {};\n", folder.join("doorward.conf").display());
    let mut server = nginx::start(world, &format!("nginx-{label}"), &http)?;
    server.listens(&Endpoint::Tcp(port))?;
    if algorithm.is_none() {
        check_answers(port, "/v2/", USER, PASSWORD, true)
            .map_err(|error| service.error(&format!("{name}: {error}")))?;
    } else {
        let path = format!("/token?service={SERVICE}&scope=repository:{REPOSITORY}:pull");
        let mut client = crate::client::Client::new(port, std::time::Duration::from_secs(30));
        for (password, expected) in [(PASSWORD, 200), ("wrong", 401)] {
            let status = client.get(&path, &crate::client::basic(USER, password))?;
            if status != expected {
                return Err(service.error(&format!("{name}: a token request was answered with {status}")));
            }
        }
    }
    Ok(SetUp { name, port, _nginx: server, _doorward: Some(service) })
}

/// Creates signing keys: a new key for ES256, and an RSA key with 3072 bits for RS256.
fn signing_keys(world: &World, algorithm: &str, realm: &str) -> Fallible<PathBuf> {
    let folder = world.path(&format!("keys-{algorithm}"));
    fs::create_dir_all(&folder)?;
    let keys = folder.join("keys.pem");
    let mut command = Command::new(&world.options.doorward);
    command.args(["signing-key", "init", "--algorithm", algorithm, "--service", SERVICE, "--realm", realm]);
    command.arg("--signing-keys").arg(&keys);
    if algorithm == "RS256" {
        let key = world.path("rsa.pem");
        output(
            Command::new("openssl")
                .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-out"])
                .arg(&key),
        )?;
        command.arg("--private-key").arg(key);
    }
    output(&mut command)?;
    Ok(keys)
}

/// Pulls the image into an empty folder, and returns the seconds.
fn pull(world: &World, client: &str, program: &Path, set_up: &SetUp) -> Fallible<f64> {
    let source = format!("127.0.0.1:{}/{REPOSITORY}:one", set_up.port);
    let to = world.path("pulled");
    // The folder of the pull before.
    let _ = fs::remove_dir_all(&to);
    let mut command = Command::new(program);
    command.env("HOME", world.folder());
    if client == "skopeo" {
        command.args(["--insecure-policy", "copy", "-q", "--src-tls-verify=false"]);
        if set_up.name != OPEN {
            command.arg(format!("--src-creds={USER}:{PASSWORD}"));
        }
        command.arg(format!("docker://{source}")).arg(format!("oci:{}:one", to.display()));
    } else {
        let folder = world.path(&format!("client-{}", set_up.port));
        fs::create_dir_all(&folder)?;
        let encoded = credentials(USER, PASSWORD);
        let encoded = encoded.trim_start_matches("Basic ");
        let host = format!("127.0.0.1:{}", set_up.port);
        let login = match set_up.name {
            OPEN => "{}".to_owned(),
            _ => format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"{encoded}\"}}}}}}"),
        };
        fs::write(folder.join("config.json"), login)?;
        command.env("DOCKER_CONFIG", folder);
        command.args(["--insecure", "pull", "--format", "oci"]).arg(source).arg(&to);
    }
    let start = Instant::now();
    output(&mut command).map_err(|error| format!("{client}, {}: {error}", set_up.name))?;
    let seconds = start.elapsed().as_secs_f64();
    let blobs = fs::read_dir(to.join("blobs/sha256"))?.count();
    // The layers, the configuration and the manifest.
    if blobs < 22 { Err(format!("{client} has pulled {blobs} blobs of 22").into()) } else { Ok(seconds) }
}
