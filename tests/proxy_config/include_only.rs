//! `--include-only`: two files for a server{} of the administrator.

use std::fs;

use super::{assert_refused, ecr, files, site};
use crate::support::nginx::Image;
use crate::support::process;

fn include_only(image: Image) -> Image {
    image.argument("--include-only")
}

fn text(image: &Image, name: &str) -> String {
    let output = process::run(image.command());
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    fs::read_to_string(image.path("etc/nginx/conf.d").join(name)).unwrap()
}

#[test]
fn two_files_without_a_server_are_written() {
    let image = include_only(site());
    let server = text(&image, "doorward-server.inc");
    assert_eq!(files(&image), ["doorward-http.conf", "doorward-server.inc"]);
    for absent in ["server {", "listen", "server_name", "ssl_certificate"] {
        assert!(!server.lines().any(|line| line.trim_start().starts_with(absent)), "{absent}: {server}");
    }
    assert!(server.contains("\nauth_request /_doorward;\n"), "{server}");
    let http = text(&image, "doorward-http.conf");
    assert!(http.contains("upstream doorward {") && !http.contains("server {\n    listen"), "{http}");
    // The administrator sets the certificate in the own server, so none is needed here.
    let image = include_only(site()).set("PLAIN_HTTP", "").set("UPSTREAM", "");
    let server = text(&image, "doorward-server.inc");
    assert!(!server.contains("doorward_upstream;"), "{server}");
}

#[test]
fn check_of_one_of_the_two_files_names_the_output_of_nginx() {
    let image = include_only(ecr());
    text(&image, "doorward-http.conf");
    for name in ["doorward-http.conf", "doorward-server.inc"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(["proxy-config", "--check"]).arg(image.path("etc/nginx/conf.d").join(name));
        let output = process::run(command);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            output.stdout.contains("so nothing was checked; check the output of `nginx -T`"),
            "{output:?}"
        );
        assert!(!output.stdout.contains("error: "), "{output:?}");
    }
}

#[test]
fn several_servers_or_standard_output_are_refused() {
    let table =
        "[[proxy_config.server]]\nserver_name = [\"a.test\"]\n[[proxy_config.server]]\nkind = \"registry\"\n";
    let several =
        format!("[proxy_config]\nauth = \"127.0.0.1:8000\"\nupstream = \"127.0.0.1:5000\"\n{table}");
    let image = include_only(Image::new().settings_file(&several));
    let said = [
        "include-only writes one server, and nginx can read one such output only",
        "write all servers without --include-only",
    ];
    assert_refused(&image, &said);
    let image = site();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(["proxy-config", "nginx", "--include-only"]);
    for (name, value) in image.command().get_envs() {
        command.env(name, value.unwrap());
    }
    let output = process::run(command);
    assert_eq!((output.code, &output.stdout[..]), (Some(1), ""), "{output:?}");
    assert!(output.stderr.contains("include-only writes two files; set --output DIR"), "{}", output.stderr);
}

#[test]
fn remote_registry_has_certificate_authorities_in_an_own_server_too() {
    assert_refused(&include_only(ecr()).set("UPSTREAM", ""), &["upstream: missing"]);
    let image = include_only(ecr());
    let authority = image.path("ca.pem").display().to_string();
    let server = text(&image, "doorward-server.inc");
    assert!(server.contains(&format!("proxy_ssl_trusted_certificate {authority};")), "{server}");
    // Those of the system are found.
    if std::path::Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        let server = text(&include_only(ecr()).set("UPSTREAM_CA", ""), "doorward-server.inc");
        assert!(
            server.contains("proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;"),
            "{server}"
        );
    }
    assert_refused(&include_only(ecr()).set("UPSTREAM_CA", "/no/such"), &["UPSTREAM_CA: the file /no/such"]);
}
