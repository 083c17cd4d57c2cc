//! The configurations in `nginx/golden`: the command writes them again, and nginx accepts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::nginx::Image;
use crate::support::process;

/// Set this variable to write the files again after a change of a template.
const UPDATE: &str = "DOORWARD_TEST_UPDATE_GOLDEN";

const NAMES: [&str; 6] =
    ["ecr", "registry", "registry-tokens-mixed", "registry-tokens-registry", "site", "site-and-registry"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx/golden")
}

/// Returns the configuration that the command writes from the settings NAME.toml, on any machine.
fn generate(name: &str) -> String {
    let image = Image::new().file("secret", "0123456789abcdef0123456789abcdef\n");
    let output = image.path("etc/nginx/conf.d");
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(["proxy-config", "nginx", "--output"]).arg(&output).env_clear();
    command.arg("--config").arg(folder().join(format!("{name}.toml")));
    if name == "ecr" {
        // The secret of the settings is on no machine.
        command.env("NGX_DOORWARD_PROXY_SECRET_FILE", image.path("secret"));
    }
    let said = process::run(command);
    assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
    image.written().replace(&output.display().to_string(), "/etc/nginx/conf.d")
}

#[test]
fn each_golden_configuration_is_written_again() {
    for name in NAMES {
        let path = folder().join(format!("{name}.conf"));
        let generated = generate(name);
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&path, &generated).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        let lines = golden.lines().zip(generated.lines()).enumerate();
        let difference = lines.clone().find(|(_, (golden, generated))| golden != generated);
        let difference = difference
            .map(|(at, (golden, generated))| format!("{}: {golden}\n     now: {generated}", at + 1));
        assert!(
            golden == generated,
            "nginx/golden/{name}.conf differs from the output of the command, at line {}\nReview the change, then update the files: {UPDATE}=1 cargo test --test it proxy_config::golden",
            difference.unwrap_or_else(|| "the end".into())
        );
    }
    let mut present: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .collect();
    present.sort();
    assert_eq!(present, NAMES);
}

#[test]
fn nginx_accepts_each_golden_configuration() {
    for name in NAMES {
        let image = Image::new().pair("DNS:registry.example.com");
        let root = image.root().display().to_string();
        let golden = fs::read_to_string(folder().join(format!("{name}.conf"))).unwrap();
        assert!(golden.contains("auth_request /_doorward;"), "{name}");
        // The paths of the files below the folder of the test, and ports that any user can use.
        let text = golden
            .replace("/etc/nginx/tls/", &format!("{root}/etc/nginx/tls/"))
            .replace("/etc/ssl/certs/ca-certificates.crt", &format!("{root}/etc/nginx/tls/tls.crt"))
            .replace("/var/log/nginx/", &format!("{root}/var/log/nginx/"))
            .replace("/etc/nginx/conf.d/", &format!("{root}/etc/nginx/conf.d/"));
        let text: String = text
            .lines()
            .map(|line| match line.trim().strip_prefix("listen ") {
                Some(rest) if rest.starts_with("[::]:") => format!("listen 127.0.0.2:2{}\n", &rest[5..]),
                Some(rest) => format!("listen 127.0.0.1:2{rest}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        let secret = "map \"\" $doorward_proxy_secret {\n    default \"x\";\n}\n";
        let image = image.file("etc/nginx/conf.d/doorward.conf", &text);
        let image = image.file("etc/nginx/conf.d/doorward.secret", secret);
        let mut check = Command::new(image.path("bin/nginx"));
        check.arg("-t").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let output = process::run(check);
        assert_eq!(output.code, Some(0), "{name}: {}", output.stderr);
        assert!(!output.stderr.contains("[warn]"), "{name}: {}", output.stderr);
    }
}
