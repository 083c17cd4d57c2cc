//! The written files: all of them, or none after an error.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{assert_refused, assert_valid, ecr, files, site};
use crate::support::mounted::unshare;
use crate::support::nginx::Image;
use crate::support::process::{self, program};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn with_secret(image: Image, text: &[u8]) -> Image {
    let path = image.path("secret");
    fs::write(&path, text).unwrap();
    image.set("PROXY_SECRET_FILE", path.display().to_string())
}

#[test]
fn second_run_replaces_the_first_and_nothing_else() {
    let image = with_secret(site(), SECRET.as_bytes()).file("etc/nginx/conf.d/mine.conf", "# mine\n");
    assert_valid(&image);
    assert_eq!(files(&image), ["doorward.conf", "doorward.secret", "mine.conf"]);
    let mode = |name: &str| {
        let path = image.path("etc/nginx/conf.d").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("doorward.conf"), mode("doorward.secret")), (0o644, 0o600));
    assert!(!image.written().contains(SECRET));
    let image = image.set("PROXY_SECRET_FILE", "").set("UPSTREAM", "127.0.0.1:5001");
    let text = assert_valid(&image);
    assert!(text.contains("server 127.0.0.1:5001;") && !text.contains("127.0.0.1:5000"), "{text}");
    assert_eq!(files(&image), ["doorward.conf", "mine.conf"], "the secret is not used any more");
    assert_eq!(fs::read_to_string(image.path("etc/nginx/conf.d/mine.conf")).unwrap(), "# mine\n");
}

#[test]
fn proxy_secret_gets_mode_600_even_if_the_file_had_another() {
    for old in [0o666, 0o644, 0o640, 0o400] {
        let image = with_secret(site(), SECRET.as_bytes()).file("etc/nginx/conf.d/doorward.conf", "");
        let image = image.file("etc/nginx/conf.d/doorward.secret", "old");
        let set_mode = |name: &str, mode| {
            let path = image.path("etc/nginx/conf.d").join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set_mode("doorward.secret", old);
        // The configuration keeps its mode.
        set_mode("doorward.conf", 0o640);
        assert_valid(&image);
        let mode = |name: &str| {
            let path = image.path("etc/nginx/conf.d").join(name);
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("doorward.secret"), mode("doorward.conf")), (0o600, 0o640), "{old:o}");
        assert!(fs::read_to_string(image.path("etc/nginx/conf.d/doorward.secret")).unwrap().contains(SECRET));
    }
}

#[test]
fn refused_options_leave_the_earlier_configuration() {
    let image = site();
    let before = assert_valid(&image);
    let image = image.set("UPSTREAM", "$host:80");
    assert_eq!(process::run(image.command()).code, Some(1));
    assert_eq!(image.written().replace(&image.root().display().to_string(), ""), before);
}

#[test]
fn files_of_the_other_kind_of_output_are_refused() {
    let image = site();
    assert_valid(&image);
    let image = image.argument("--include-only");
    let output = process::run(image.command());
    assert_eq!(output.code, Some(1), "{output:?}");
    let said = "doorward.conf is left from an earlier run, without --include-only, and nginx would read it too; remove it";
    assert!(output.stderr.contains(said), "{}", output.stderr);
    assert_eq!(files(&image), ["doorward.conf"]);
    let image = site().file("etc/nginx/conf.d/doorward-http.conf", "");
    let output = process::run(image.command());
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("doorward-http.conf is left from an earlier run, with --include-only"));
    assert_eq!(files(&image), ["doorward-http.conf"]);
}

#[test]
fn missing_or_occupied_output_folder_is_refused() {
    for folder in ["etc/nginx/none", "etc/nginx/nginx.conf", "etc/nginx/nginx.conf/x"] {
        let image = with_secret(site(), SECRET.as_bytes());
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(["proxy-config", "nginx", "--output"]).arg(image.path(folder));
        for (name, value) in image.command().get_envs() {
            command.env(name, value.unwrap());
        }
        let output = process::run(command);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.starts_with("doorward: --output: /"), "{}", output.stderr);
        let reason =
            ["there is no such folder; create it with mkdir -p", "it is not a folder", "Not a directory"];
        assert!(reason.iter().any(|reason| output.stderr.contains(reason)), "{}", output.stderr);
    }
    // A folder in place of a file.
    for name in ["doorward.conf", "doorward.secret"] {
        let image = with_secret(site(), SECRET.as_bytes());
        fs::create_dir(image.path("etc/nginx/conf.d").join(name)).unwrap();
        let output = process::run(image.command());
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(&format!("{name}: it is a directory")), "{}", output.stderr);
        let others: Vec<String> = files(&image).into_iter().filter(|file| !file.starts_with('.')).collect();
        assert!(!others.contains(&"doorward.conf".to_owned()) || name == "doorward.conf", "{others:?}");
    }
}

#[test]
fn output_folder_that_nginx_cannot_include_is_refused() {
    let run = |name: &str| {
        let image = with_secret(site(), SECRET.as_bytes());
        let folder = image.path("etc/nginx").join(name);
        fs::create_dir(&folder).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(["proxy-config", "nginx", "--output"]).arg(&folder);
        for (name, value) in image.command().get_envs() {
            command.env(name, value.unwrap());
        }
        (process::run(command), fs::read_dir(&folder).unwrap().count())
    };
    for name in ["a*", "a?", "[a]", "a$b", "a\"b", "a\\b", "a\nb"] {
        let (output, files) = run(name);
        assert_eq!((output.code, files), (Some(1), 0), "{name}: {output:?}");
        assert!(output.stderr.starts_with("doorward: --output: /"), "{}", output.stderr);
        assert!(output.stderr.contains("nginx cannot include a path with"), "{}", output.stderr);
    }
    for name in ["a b", "a{b}", "a;b", "a'b", "a#b", "\u{e4}"] {
        let (output, files) = run(name);
        assert_eq!((output.code, files), (Some(0), 2), "{name}: {output:?}");
    }
}

#[test]
fn secret_in_a_folder_with_unusual_characters_is_found_by_nginx() {
    let image = with_secret(site(), SECRET.as_bytes());
    let folder = image.path("etc/nginx/a b;{}'#\u{e4}");
    fs::create_dir(&folder).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(["proxy-config", "nginx", "--output"]).arg(&folder);
    for (name, value) in image.command().get_envs() {
        command.env(name, value.unwrap());
    }
    assert_eq!(process::run(command).code, Some(0));
    let own = format!("include \"{}/doorward.conf\";\n", folder.display());
    let text = fs::read_to_string(image.path("etc/nginx/nginx.conf")).unwrap();
    let image = image.file("etc/nginx/nginx.conf", &text.replace("include conf.d/*.conf;", &own));
    let mut check = Command::new(image.path("bin/nginx"));
    check.arg("-t").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = process::run(check);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

/// Runs the command in a mount namespace after `script`, whose first argument is the output folder. Prints `lost` if the
/// earlier configuration has changed.
fn after(script: &str, image: &Image) -> Option<process::Output> {
    let unshare = unshare()?;
    let command = image.command();
    let mut wrapped = Command::new(&unshare[0]);
    let script = format!(
        "{script}\nfolder=$1; shift\n\"$@\"; code=$?\ngrep -q 127.0.0.1:5000 \"$folder/doorward.conf\" || echo lost >&2\nls -A \"$folder\"; exit $code"
    );
    wrapped.args(&unshare[1..]).args(["sh", "-c", &script, "sh"]);
    wrapped.arg(image.path("etc/nginx/conf.d")).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap());
    }
    Some(process::run(wrapped))
}

#[test]
fn read_only_or_full_output_folder_keeps_the_earlier_files_pitfall_p44() {
    let read_only = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 99"#;
    // The file system has space for the earlier files, and not for new ones beside them.
    let full = r#"cp -a "$1" "$1.kept" && mount -t tmpfs -o size=64k none "$1" && cp -a "$1.kept/." "$1/" || exit 99
head -c 100000 /dev/zero >"$1/filler" 2>/dev/null"#;
    for (script, said) in [(read_only, "ead-only file system"), (full, "No space left")] {
        let image = with_secret(site(), SECRET.as_bytes());
        let before = assert_valid(&image);
        let image = image.set("UPSTREAM", "127.0.0.1:5001");
        let Some(output) = after(script, &image) else { return };
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(said) && !output.stderr.contains("lost"), "{}", output.stderr);
        let names: Vec<&str> = output.stdout.lines().filter(|name| *name != "filler").collect();
        assert_eq!(names, ["doorward.conf", "doorward.secret"], "no part of a new file");
        assert_eq!(image.written().replace(&image.root().display().to_string(), ""), before);
    }
}

#[test]
fn size_limit_of_files_leaves_no_part_of_a_file() {
    let image = site();
    let before = assert_valid(&image);
    let image = image.set("UPSTREAM", "127.0.0.1:5001");
    let command = image.command();
    let mut limited = Command::new(program("prlimit", "util-linux"));
    limited.args(["--fsize=8192", "sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap());
    }
    let output = process::run(limited);
    assert_ne!(output.code, Some(0), "{output:?}");
    assert_eq!(files(&image), ["doorward.conf"]);
    assert_eq!(image.written().replace(&image.root().display().to_string(), ""), before);
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let image = site();
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_doorward");
    command.args(["-c", &format!("exec {program} proxy-config nginx >/dev/full")]);
    for (name, value) in image.command().get_envs() {
        command.env(name, value.unwrap());
    }
    let output = process::run(command);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("the output cannot be written: No space left"), "{}", output.stderr);
}

#[test]
fn unusable_proxy_secret_is_refused_and_never_printed() {
    let fine: [&[u8]; 6] = [
        b"0123456789abcdef",
        b"0123456789abcdef\n",
        b"0123456789abcdef\r\n",
        b"0123456789abcdef\nfedcba9876543210\n",
        b"!#%&()*+,-./:<=>?@[]^_`|~",
        &[b'x'; 256],
    ];
    for text in fine {
        let image = with_secret(site(), text);
        assert!(assert_valid(&image).contains("    include \"") || image.written().contains("\ninclude \""));
        let secret = fs::read_to_string(image.path("etc/nginx/conf.d/doorward.secret")).unwrap();
        let line = text.split(|byte| byte.is_ascii_whitespace()).next().unwrap();
        let line = std::str::from_utf8(line).unwrap();
        assert!(secret.contains(&format!("\n    default \"{line}\";\n")), "{secret}");
    }
    let length = "the first line must have 16 to 256 characters, and has";
    let characters = "the first line must have visible ASCII characters, without quotes, backslashes";
    let bad: [(&[u8], &str); 14] = [
        (b"0123456789abcde", length),
        (&[b'x'; 257], length),
        (b"", length),
        (b"\n", length),
        (b"\n0123456789abcdef\n", length),
        (b"0123456789 abcdef", characters),
        (b"0123456789\0abcdef", characters),
        (b"0123456789abcdef\xc3\xa9", characters),
        (b"0123456789abcdef\"", characters),
        (b"0123456789abcdef'", characters),
        (b"0123456789abcdef\\", characters),
        (b"0123456789abcdef$x", characters),
        (b"0123456789abcdef;", characters),
        (b"0123456789abcdef{}", characters),
    ];
    for (text, said) in bad {
        let image = with_secret(site(), text);
        assert_refused(&image, &["NGX_DOORWARD_PROXY_SECRET_FILE: ", said, "openssl rand -hex 32"]);
        let output = process::run(image.command());
        assert!(!output.stderr.contains("0123456789"), "{}", output.stderr);
    }
}

#[test]
fn missing_or_strange_files_are_refused_by_option_and_path() {
    let missing = |option: &str| format!("NGX_DOORWARD_{option}: the file /no/such does not exist");
    /// An option, and nginx with everything else that it needs.
    type Case = (&'static str, fn() -> Image);
    let kinds: [Case; 4] = [
        ("PROXY_SECRET_FILE", site),
        ("UPSTREAM_CA", ecr),
        ("TLS_CERTIFICATE", || site().pair("DNS:a.test").set("PLAIN_HTTP", "")),
        ("TLS_KEY", || site().pair("DNS:a.test").set("PLAIN_HTTP", "")),
    ];
    for (option, image) in kinds {
        assert_refused(&image().set(option, "/no/such"), &[&missing(option)]);
        let folder = image();
        let path = folder.path("etc/nginx").display().to_string();
        let said = format!("NGX_DOORWARD_{option}: {path} is not a file");
        assert_refused(&folder.set(option, path), &[&said]);
        // A pipe without a writer must not block the command.
        let pipe = image();
        let path = pipe.path("pipe").display().to_string();
        let mut make = Command::new("mkfifo");
        make.arg(&path);
        assert_eq!(process::run(make).code, Some(0));
        assert_refused(&pipe.set(option, &path), &[&format!("NGX_DOORWARD_{option}: {path} is not a file")]);
        if option != "PROXY_SECRET_FILE" {
            let empty = image().file("empty", "");
            let path = empty.path("empty").display().to_string();
            assert_refused(&empty.set(option, &path), &[&format!("{option}: the file {path} is empty")]);
            if option != "UPSTREAM_CA" {
                let unchecked = image().set(option, "/no/such").set("FILE_CHECKS", "off");
                assert_eq!(process::run(unchecked.command()).code, Some(0));
            }
        }
    }
}

#[test]
fn file_that_this_user_cannot_read_is_refused() {
    let image = with_secret(site(), SECRET.as_bytes());
    fs::set_permissions(image.path("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = image.command();
    if rustix::process::geteuid().is_root() {
        // root can read every file, so another user runs the command and gets the folders.
        let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        open(image.root());
        open(&image.path("etc/nginx/conf.d"));
        let inner = image.command();
        command = Command::new(program("setpriv", "util-linux"));
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap());
        }
    }
    let output = process::run(command);
    assert_eq!(output.code, Some(1), "{output:?}");
    let said = "NGX_DOORWARD_PROXY_SECRET_FILE: the file /";
    assert!(output.stderr.contains(said) && output.stderr.contains("Permission denied"), "{}", output.stderr);
    assert_eq!(files(&image), Vec::<String>::new());
}
