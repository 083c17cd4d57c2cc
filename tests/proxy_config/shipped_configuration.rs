//! The shipped nginx configuration: the check reports nothing, and each removed protection is found.

use crate::support::doorward::command;
use crate::support::nginx::Image;
use crate::support::process::run_with_input;

/// Returns the output of `nginx -T` of an image.
fn dump(nginx: &Image) -> String {
    let output = nginx.dump();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("# configuration file "), "{output:?}");
    output.stdout
}

fn check(dump: &str) -> (Option<i32>, String) {
    let mut command = command();
    command.args(["proxy-config", "--check", "-"]);
    let output = run_with_input(command, dump.as_bytes());
    (output.code, output.stdout)
}

fn image(settings: &[(&str, &str)]) -> Image {
    let base =
        Image::new().set("PLAIN_HTTP", "on").set("LISTEN", "127.0.0.1:1").set("AUTH", "127.0.0.1:8000");
    // A remote registry requires the proxy secret.
    let secret = base.path("secret").display().to_string();
    let base = match settings.contains(&("KIND", "ecr")) {
        true => base.file("secret", "0123456789abcdef0123456789abcdef\n").set("PROXY_SECRET_FILE", secret),
        false => base,
    };
    settings.iter().fold(base, |image, (name, value)| image.set(name, *value))
}

#[test]
fn configuration_of_every_kind_has_no_findings() {
    let registry = ("KIND", "registry");
    let upstream = ("UPSTREAM", "127.0.0.1:5000");
    let ecr = [
        ("KIND", "ecr"),
        ("UPSTREAM", "123456789012.dkr.ecr.eu-central-1.amazonaws.com"),
        ("RESOLVER", "127.0.0.1"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [&ecr[..], more].concat();
    let public = ("PUBLIC", "127.0.0.1:8002");
    for settings in [
        vec![("KIND", "site"), upstream],
        vec![("KIND", "site"), upstream, ("FACTS", "plan,customer-id"), ("BODY_WITH_ANY_METHOD", "on")],
        vec![("KIND", "site"), upstream, ("AUTH", "http://127.0.0.1:9000/check")],
        vec![("KIND", "site"), upstream, ("AUTH", "unix:/run/doorward/doorward.sock")],
        vec![("KIND", "site"), upstream, ("SCHEME", "https"), ("REAL_IP_FROM", "10.0.0.0/8,192.0.2.1")],
        vec![registry, upstream],
        vec![registry, upstream, ("TOKENS", "mixed"), public],
        vec![registry, upstream, ("TOKENS", "registry"), public],
        with(&[]),
        with(&[("PUSH", "on")]),
        with(&[("REDIRECTS", "follow")]),
    ] {
        let (code, output) = check(&dump(&image(&settings)));
        assert!(code == Some(0) && output.starts_with("-: no findings in "), "{settings:?}: {output}");
    }
}

/// The directives of one line whose removal the check reports. The others have an equal default here.
const GUARDS: [&str; 16] = [
    "    internal;",
    "internal;",
    "auth_request /_doorward;",
    "proxy_pass_request_body off;",
    "proxy_pass_request_headers off;",
    "proxy_set_header Content-Length \"\";",
    "proxy_set_header Authorization $http_authorization;",
    "proxy_set_header X-Original-URI $request_uri;",
    "proxy_set_header X-Original-Method $request_method;",
    "proxy_set_header X-Real-IP $remote_addr;",
    "proxy_set_header X-Auth-User \"\";",
    "proxy_set_header X-Auth-Groups \"\";",
    "proxy_set_header Authorization \"\";",
    "proxy_set_header Content-Type $doorward_content_type;",
    "proxy_request_buffering off;",
    "client_max_body_size 0;",
];

#[test]
fn removed_protections_are_found() {
    let dump = dump(&image(&[("KIND", "registry"), ("UPSTREAM", "127.0.0.1:5000")]));
    for guard in GUARDS {
        let removed: String = dump
            .lines()
            .filter(|line| line.split(" #").next().unwrap().trim() != guard.trim())
            .map(|line| format!("{line}\n"))
            .collect();
        assert_ne!(removed.lines().count(), dump.lines().count(), "{guard} is not in the configuration");
        let (_, output) = check(&removed);
        assert!(!output.contains("no findings"), "without `{guard}`: {output}");
    }
}
