//! `doorward proxy-config`, which writes and checks the configuration of nginx.

mod bad_input;
mod browser;
mod check_cases;
mod check_command;
mod cors;
mod crossplane;
mod golden;
mod include_only;
mod machine;
mod malformed_requests;
mod options;
mod output;
mod random_options;
mod shipped_configuration;
mod started;
mod values;

use std::fs;

use crate::support::nginx::Image;
use crate::support::process;

/// Returns nginx with the required options. No server listens at the addresses.
fn site() -> Image {
    Image::new()
        .set("UPSTREAM", "127.0.0.1:5000")
        .set("AUTH", "127.0.0.1:8000")
        .set("PLAIN_HTTP", "on")
        .set("LISTEN", "127.0.0.1:28080")
}

/// Returns nginx for a remote registry, with a proxy secret and certificate authorities.
fn ecr() -> Image {
    let image = site().file("secret", "0123456789abcdef0123456789abcdef\n");
    let secret = image.path("secret").display().to_string();
    let authority = crate::support::backend::Authority::new("Test Authority").file(image.root());
    image
        .set("KIND", "ecr")
        .set("UPSTREAM", "registry.ecr.test")
        .set("UPSTREAM_CA", authority.display().to_string())
        .set("PROXY_SECRET_FILE", secret)
        .set("RESOLVER", "127.0.0.1")
}

/// Returns the names of the files that the command has written.
fn files(image: &Image) -> Vec<String> {
    let entries =
        fs::read_dir(image.path("etc/nginx/conf.d")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Checks that the command fails, writes nothing, and prints all parts of `said`. Returns its messages.
fn assert_refused(image: &Image, said: &[&str]) -> String {
    let output = process::run(image.command());
    assert_eq!(output.code, Some(1), "{said:?}: {output:?}");
    for part in said {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
    assert_eq!((files(image), &output.stdout[..]), (Vec::new(), ""), "{said:?}");
    output.stderr
}

/// Checks that the command succeeds and that nginx accepts the result. Returns the configuration without the path of the
/// folder.
fn assert_valid(image: &Image) -> String {
    let output = image.try_out();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    image.written().replace(&image.root().display().to_string(), "")
}
