//! A start of the nginx container that must fail or warn.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::nginx::{Image, Nginx, busybox, shipped};
use crate::support::process::{self, Output};

/// The default.conf of the official image.
const WELCOME: &str = "server {\n    listen 127.0.0.1:28082;\n    server_name localhost;\n    location / {\n        root /usr/share/nginx/html;\n        index index.html;\n    }\n}\n";

fn ready() -> Image {
    Image::new()
        .file("etc/nginx/conf.d/default.conf", WELCOME)
        .set("UPSTREAM", "127.0.0.1:5000")
        .set("AUTH", "127.0.0.1:8000")
        .set("PLAIN_HTTP", "on")
        .set("LISTEN", "127.0.0.1:28083")
}

/// Runs the container after `change`, with the shells of Debian and of Alpine.
fn try_each(change: impl Fn(Image) -> Image) -> Vec<Output> {
    let alpine = busybox().map(|busybox| ready().on(&busybox));
    [Some(ready()), alpine].into_iter().flatten().map(|image| change(image).try_out()).collect()
}

fn assert_fails(change: impl Fn(Image) -> Image, said: &str) {
    for output in try_each(change) {
        assert_ne!(output.code, Some(0), "{output:?}");
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
}

fn written(image: &Image) -> String {
    fs::read_to_string(image.path("etc/nginx/conf.d/default.conf")).unwrap()
}

#[test]
fn welcome_page_is_replaced_and_a_second_start_works() {
    let image = ready();
    for _ in 0..2 {
        let output = image.try_out();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert!(!output.stderr.contains("99-doorward-check.sh"), "no warning: {}", output.stderr);
        assert!(!written(&image).contains("usr/share"));
    }
}

#[test]
fn unwritable_conf_d_fails_the_start_pitfall_p44() {
    // A folder in place of the file replaces a read-only file system, because root can write to every other file.
    let blocked = |image: Image| {
        let file = image.path("etc/nginx/conf.d/default.conf");
        fs::remove_file(&file).unwrap();
        fs::create_dir(file).unwrap();
        image
    };
    assert_fails(blocked, "put a tmpfs on /etc/nginx/conf.d");
}

#[test]
fn missing_configuration_fails_the_start_pitfall_p44() {
    let silent = |image: Image| {
        image.script("entrypoint.d/20-envsubst-on-templates.sh", "exit 0\n");
        image
    };
    assert_fails(silent, "nginx would not run the protected configuration of this start");
    let elsewhere = |image: Image| {
        let folder = image.path("elsewhere");
        fs::create_dir(&folder).unwrap();
        image.environment("NGINX_ENVSUBST_OUTPUT_DIR", folder.display().to_string())
    };
    assert_fails(elsewhere, "nginx would not run the protected configuration of this start");
    // One that is left from an earlier start, with other settings.
    let image = ready();
    assert_eq!(image.try_out().code, Some(0));
    let old = written(&image);
    let output = silent(image.set("UPSTREAM", "127.0.0.1:5001")).try_out();
    assert_ne!(output.code, Some(0));
    assert!(old.contains("upstream=127.0.0.1:5000 "), "{old}");
}

#[test]
fn missing_mount_is_named() {
    let without = |path: &'static str| {
        move |image: Image| {
            fs::remove_dir_all(image.path(path)).unwrap();
            image
        }
    };
    assert_fails(without("etc/nginx/doorward"), "mount nginx/snippets at /etc/nginx/doorward");
    assert_fails(without("etc/nginx/templates"), "mount nginx/templates at /etc/nginx/templates");
}

#[test]
fn image_that_does_not_source_the_script_starts_nothing() {
    let mode = |image: Image, mode| {
        let script = image.path("entrypoint.d/18-doorward.envsh");
        fs::set_permissions(script, fs::Permissions::from_mode(mode)).unwrap();
        image
    };
    assert_fails(|image| mode(image, 0o644), "18-doorward.envsh was not sourced");
    // nginx does not accept the raw template either, in case the check is missing too.
    let alone = |image: Image| {
        fs::remove_file(image.path("entrypoint.d/99-doorward-check.sh")).unwrap();
        mode(image, 0o644)
    };
    for output in try_each(alone) {
        assert_ne!(output.code, Some(0), "{output:?}");
    }
}

#[test]
fn command_that_bypasses_the_entrypoint_finds_no_valid_configuration_pitfall_p44() {
    let text = fs::read_to_string(shipped().join("unconfigured.conf")).unwrap();
    let image = ready().file("etc/nginx/conf.d/default.conf", &text);
    let output = process::run(image.run(&["sh", "-c", "nginx -t"]));
    assert_ne!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("the protected configuration was not written"), "{}", output.stderr);
    // By the entrypoint it is replaced like any other.
    assert_eq!(image.try_out().code, Some(0));
}

#[test]
fn nginx_without_a_required_module_or_version_fails_the_start_by_name() {
    let claims = |version: &'static str, built: &'static str| {
        move |image: Image| {
            let text = format!("echo 'nginx version: nginx/{version}' >&2\necho '{built}' >&2\n");
            image.script("bin/nginx", &text);
            image
        }
    };
    let module = "configure arguments: --with-http_auth_request_module";
    assert_fails(
        claims("1.28.0", "configure arguments: --with-http_ssl_module"),
        "ngx_http_auth_request_module",
    );
    assert_fails(claims("1.16.1", module), "nginx 1.18 or newer is required");
    // The modules that `nginx -V` does not list.
    assert_fails(claims("1.28.0", module), "nginx would not run the protected configuration of this start");
    let behind = |image: Image| claims("1.28.0", module)(image).set("REAL_IP_FROM", "10.0.0.1");
    assert_fails(behind, "ngx_http_realip_module");
}

#[test]
fn invalid_nginx_configuration_fails_the_start_with_the_error_of_nginx() {
    let broken = |image: Image| image.file("etc/nginx/conf.d/mine.conf", "no_such_directive on;\n");
    assert_fails(broken, "unknown directive \"no_such_directive\"");
}

#[test]
fn unprotected_server_is_warned_about() {
    let open = [
        (
            "open.test",
            "server { listen 127.0.0.1:28084; server_name open.test; location / { root /srv; } }\n",
        ),
        (
            "off.test",
            "server {\n  server_name off.test; # auth_request /x;\n  listen 127.0.0.1:28084;\n  auth_request off;\n}\n",
        ),
        (
            "deep.test",
            "server { listen 127.0.0.1:28084; server_name deep.test; location /a { auth_request /x; } location = /x { return 200; } }\n",
        ),
        (
            "quoted.test",
            "server { listen 127.0.0.1:28084; server_name quoted.test; set $a \"} include doorward/doorward-protect.conf; {\"; location / { return 200 'a\\'}'; } }\n",
        ),
    ];
    for (name, text) in open {
        for output in try_each(|image| image.file("etc/nginx/conf.d/mine.conf", text)) {
            assert_eq!(output.code, Some(0), "{}", output.stderr);
            let warning = format!("warning: the server {name} of ");
            assert_eq!(output.stderr.matches(&warning).count(), 1, "{name}: {}", output.stderr);
            assert!(output.stderr.contains("conf.d/mine.conf is not protected"), "{}", output.stderr);
        }
    }
    let fine = [
        "server { listen 127.0.0.1:28084; return 301 https://$host${request_uri}; }\n",
        "server { listen 127.0.0.1:28084; location = /x { return 204; } auth_request /x; location / { root /srv; } }\n",
        "server\n{\n  listen 127.0.0.1:28084;\n  include doorward/doorward-registry.conf;\n}\n",
        "# server { }\nupstream other { server 127.0.0.1:1; }\nmap $uri $b { \"~^/a{2}\" \"{\"; default '#'; }\n",
    ];
    for text in fine {
        for output in try_each(|image| image.file("etc/nginx/conf.d/mine.conf", text)) {
            assert_eq!(output.code, Some(0), "{}", output.stderr);
            assert!(!output.stderr.contains("warning"), "{text}: {}", output.stderr);
        }
    }
}

#[test]
fn health_check_reports_whether_nginx_listens_without_curl() {
    let healthy = |nginx: &Nginx, shell: &[&str]| {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(shipped().join("health.sh"));
        command.env("NGX_DOORWARD_ROOT", nginx.image().root());
        process::run(command)
    };
    let busybox = busybox().map(|path| path.display().to_string());
    let alpine = busybox.as_deref().map(|busybox| vec![busybox, "sh"]);
    for shell in [Some(vec!["sh"]), alpine].into_iter().flatten() {
        let mut nginx = Nginx::of(ready());
        assert_eq!(healthy(&nginx, &shell).code, Some(0));
        nginx.stop();
        let output = healthy(&nginx, &shell);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains("nginx does not listen on port"), "{}", output.stderr);
        let file = nginx.image().path("etc/nginx/conf.d/default.conf");
        fs::write(file, WELCOME).unwrap();
        assert_eq!(healthy(&nginx, &shell).code, Some(1));
    }
}
