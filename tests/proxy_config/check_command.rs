//! The command line of the check: exit status, input, errors, bounds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::test_folder::{TestFolder, run_bare};

const SUBREQUEST: &str = "location = /_doorward { internal; proxy_pass http://doorward:8000/auth; proxy_pass_request_body off; proxy_pass_request_headers off; client_max_body_size 0; proxy_set_header Content-Length \"\"; proxy_set_header Authorization $http_authorization; proxy_set_header X-Original-URI $request_uri; proxy_set_header X-Original-Method $request_method; proxy_set_header X-Original-Host $host; proxy_set_header X-Real-IP $remote_addr; }";

/// Returns a server that is protected, with additional lines.
fn server(lines: &str) -> String {
    format!(
        "server {{\n{SUBREQUEST}\nauth_request /_doorward;\nlocation / {{ proxy_pass http://app; proxy_set_header X-Auth-User \"\"; proxy_set_header X-Auth-Groups \"\"; proxy_set_header X-Auth-By \"\"; proxy_set_header X-Auth-Stale \"\"; proxy_set_header Authorization \"\"; }}\n{lines}\n}}\n"
    )
}

fn check(content: &str) -> (Option<i32>, String) {
    let folder = TestFolder::of(content);
    let output = run_bare(&["proxy-config", "--check", &folder.name()]);
    assert_eq!(output.stderr, "", "{output:?}");
    (output.code, output.stdout.replace(&folder.name(), "FILE"))
}

#[test]
fn exit_status_is_1_for_errors_only() {
    let (code, output) = check(&server(""));
    assert_eq!((code, &output[..]), (Some(0), "FILE: no findings in 1 file\n"));
    let (code, output) = check(&server("auth_delay 1s;"));
    assert_eq!(code, Some(0), "{output}");
    assert!(output.starts_with("FILE:5: warning: auth_delay"), "{output}");
    let (code, output) = check(&server("merge_slashes off;"));
    assert_eq!(code, Some(1), "{output}");
    assert!(output.starts_with("FILE:5: error: ") && output.contains("; remove the line"), "{output}");
}

#[test]
fn input_of_stdin_is_read() {
    let folder = TestFolder::of("");
    let mut command = crate::support::doorward::command();
    command.args(["proxy-config", "--check", "-"]);
    let output = crate::support::process::run_with_input(command, server("").as_bytes());
    assert_eq!((output.code, &output.stdout[..]), (Some(0), "-: no findings in 1 file\n"), "{output:?}");
    let missing = format!("{}.missing", folder.name());
    let output = run_bare(&["proxy-config", "--check", &missing]);
    assert_eq!(output.code, Some(1));
    assert_eq!(output.stderr, format!("doorward: {missing}: the file does not exist\n"));
    let file = crate::support::test_folder::TestFolder::of("");
    let folder = std::path::Path::new(&file.name()).parent().unwrap().display().to_string();
    let output = run_bare(&["proxy-config", "--check", &folder]);
    assert_eq!(output.code, Some(1));
    assert_eq!(
        output.stderr,
        format!("doorward: {folder}: the file cannot be read: Is a directory (os error 21)\n")
    );
}

#[test]
fn pipe_is_read_and_a_pipe_without_a_writer_ends_after_the_time_limit() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let mut make = std::process::Command::new("mkfifo");
    make.arg(&pipe);
    assert_eq!(crate::support::process::run(make).code, Some(0));
    let name = pipe.display().to_string();
    let writer = std::thread::spawn(move || fs::write(pipe, server("")).unwrap());
    let output = run_bare(&["proxy-config", "--check", &name]);
    writer.join().unwrap();
    assert_eq!((output.code, output.stdout), (Some(0), format!("{name}: no findings in 1 file\n")));
    let output = run_bare(&["proxy-config", "--check", &name]);
    assert_eq!((output.code, &output.stdout[..]), (Some(1), ""), "{output:?}");
    let said = format!("doorward: {name}: no end of the input within 30 s; if it is a pipe");
    assert!(output.stderr.starts_with(&said), "{}", output.stderr);
}

#[test]
fn part_of_a_configuration_is_not_checked_by_itself() {
    for part in [
        "",
        "# nothing\n",
        "auth_request /a;",
        "upstream a { server 127.0.0.1:80; }",
        "events { }\ninclude a.conf;",
    ] {
        let (code, output) = check(part);
        assert_eq!(code, Some(1), "{part}: {output}");
        let said = "note: FILE is a part of a configuration, without http{} and server{}, so nothing was checked; check the output of `nginx -T`\n";
        assert!(output.ends_with(said) && !output.contains("error: "), "{part}: {output}");
    }
    // The output of `nginx -T` is a whole configuration.
    let (code, output) = check("# configuration file /e/nginx.conf:\nevents { }\n");
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("error: no location has `auth_request`"), "{output}");
}

#[test]
fn malformed_input_is_an_error_with_its_line() {
    for (content, expected) in [
        ("server {\n  listen 80;\n", "FILE:3: error: the file ends inside the block of line 1"),
        ("a;\n}\n", "FILE:2: error: unexpected `}`"),
        ("a;\n;\n", "FILE:2: error: unexpected `;`"),
        ("a\nb", "FILE:2: error: the file ends inside a directive"),
        ("a 'b;\n", "FILE:1: error: this quoted text has no end"),
        ("a 'b'c;\n", "FILE:1: error: text directly after a closing quote"),
        ("x_by_lua_block {\n { \n", "FILE:1: error: this block of Lua has no end"),
        ("\u{feff}a;\n", "FILE:1: error: the file starts with a byte order mark"),
        ("server { }", "FILE:1: error: no location has `auth_request`"),
    ] {
        let (code, output) = check(content);
        assert_eq!(code, Some(1), "{content:?}: {output}");
        assert!(output.starts_with(expected), "{content:?}: {output}");
    }
}

#[test]
fn bounds_are_errors() {
    let deep = "a {\n".repeat(40) + &"}\n".repeat(40);
    let (code, output) = check(&deep);
    assert_eq!(code, Some(1));
    assert!(output.contains(":33: error: more than 32 nested blocks"), "{output}");
    let endless = "# configuration file /e/nginx.conf:\ninclude a;\n# configuration file /e/a:\ninclude a;\n";
    let (code, output) = check(endless);
    assert_eq!(code, Some(1));
    assert!(output.starts_with("/e/a:1: error: more than 64 levels"), "{output}");
    let doubled = (0..30)
        .map(|n| format!("# configuration file /e/{n}:\na;\ninclude {0};\ninclude {0};\n", n + 1))
        .collect::<String>();
    let (code, output) = check(&format!("{doubled}# configuration file /e/30:\nb;\n"));
    assert_eq!(code, Some(1));
    assert!(output.contains("more than 20000 files are included"), "{output}");
}

#[test]
fn missing_include_is_reported_as_not_checked() {
    let (code, output) = check(&server("include guard.conf;"));
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("note: FILE:5: guard.conf is not part of the input"), "{output}");
}

#[test]
fn finding_in_a_file_that_two_servers_include_is_listed_once() {
    let main = "# configuration file /e/nginx.conf:\nhttp {\nserver { listen 80; include s.conf; }\nserver { listen 81; include s.conf; }\n}\n";
    let (code, output) = check(&format!(
        "{main}# configuration file /e/s.conf:\n{}",
        server("auth_delay 1s;").trim_start_matches("server {\n").trim_end_matches("}\n")
    ));
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(output.matches("warning:").count(), 1, "{output}");
    assert!(output.starts_with("/e/s.conf:4: warning: "), "{output}");
}

#[test]
fn control_characters_of_the_input_are_escaped() {
    let (_, output) =
        check(&server("location /a\u{1b}[31m\u{202e} { auth_request off; proxy_pass http://app; }"));
    assert!(output.contains("\\u{1b}[31m\\u{202e}"), "{output}");
    assert!(!output.contains('\u{1b}') && !output.contains('\u{202e}'), "{output}");
}

/// Returns the names of the rules in the source code.
fn rule_names() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths: Vec<PathBuf> = vec![root.join("nginx_check.rs")];
    let folder = fs::read_dir(root.join("nginx_check/rules")).unwrap();
    paths.extend(folder.map(|entry| entry.unwrap().path()));
    let mut names = BTreeSet::new();
    for path in paths {
        let text = fs::read_to_string(path).unwrap();
        for start in ["Rule::error(", "Rule::warning("] {
            let definitions = text.split(start).skip(1);
            names.extend(definitions.map(|rest| rest.split('"').nth(1).unwrap().to_owned()));
        }
    }
    names
}

#[test]
fn readme_of_nginx_lists_exactly_the_rules() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx/README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Checking a configuration\n").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<String> = rows.map(|row| row.split('`').next().unwrap().to_owned()).collect();
    let names = rule_names();
    assert!(names.len() > 50, "only {} rules were found", names.len());
    assert_eq!(listed, names);
}
