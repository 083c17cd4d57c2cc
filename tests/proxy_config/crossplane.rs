//! doorward and crossplane, the parser of NGINX, read the same directives from every configuration of this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward::internals::{Statement, parse_statements};

use crate::support::process::{program, run};

/// The version that the test compares with.
const VERSION: &str = "0.5.8";

/// Returns a Python with crossplane. The first call installs it from PyPI into `target`.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/crossplane");
    let python = folder.join("bin/python");
    let has_crossplane = || {
        let mut command = Command::new(&python);
        command.args(["-c", &format!("import crossplane; assert crossplane.__version__ == '{VERSION}'")]);
        python.is_file() && run(command).code == Some(0)
    };
    if !has_crossplane() {
        let mut create = Command::new(program("python3", "python3"));
        create.args(["-m", "venv"]).arg(&folder);
        let created = run(create);
        assert_eq!(created.code, Some(0), "apt-get install python3-venv (Debian's package): {created:?}");
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", &format!("crossplane=={VERSION}")]);
        let installed = run(install);
        assert_eq!(installed.code, Some(0), "crossplane cannot be installed: {installed:?}");
    }
    python
}

/// Returns the files of all cases, of nginx/golden, and of the forms below, each in a file of its own.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    let mut folders = vec![root.join("tests/proxy_config/check"), root.join("nginx/golden")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "conf") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let mut current = (path.display().to_string(), String::new());
        for line in text.split_inclusive('\n') {
            let file = line.trim_end().strip_prefix("# configuration file ");
            if let Some(name) = file.and_then(|name| name.strip_suffix(':')) {
                texts.push(current);
                current = (format!("{}: {name}", path.display()), String::new());
            } else if !line.starts_with("nginx: ") {
                current.1.push_str(line);
            }
        }
        texts.push(current);
    }
    for (number, form) in FORMS.iter().enumerate() {
        texts.push((format!("form {number}"), (*form).to_owned()));
    }
    texts
}

/// Forms of the grammar.
const FORMS: [&str; 12] = [
    "a;b c;d{e f;}",
    "a  'b c'\t\"d e\"\n;\n",
    "a \"b\\\"c\" 'd\\'e' \\\"f;\n",
    "a b#c; # d { ; }\n#e;\nf;",
    "a ${b}c $d {e;}",
    "a '{' \"}\" ';' { b; }",
    "a \"b\nc\" d;\ne;",
    "a\r\n  b;\r\nc { d; }\r\n",
    "map $a $b { default 0; ~^/x\\.y$ 1; \"~^a{2}$\" 2; }",
    "if ($a ~* \"b\") { return 403; }",
    "log_format x '$a \"$b\"' '\\t$c';",
    "a '' \"\";",
];

/// Writes each directive with its line, its depth and its words, like `read_with_crossplane.py`.
fn flatten(statements: &[Statement], depth: usize, lines: &mut Vec<String>) {
    for statement in statements {
        let words: Vec<String> = statement.words.iter().map(|word| format!("{word:?}")).collect();
        lines.push(format!("{} {depth} {}", statement.line, words.join(" ")));
        if let Some(block) = &statement.block {
            flatten(block, depth + 1, lines);
        }
    }
}

#[test]
fn doorward_and_crossplane_read_the_same_directives() {
    let texts = texts();
    assert!(texts.len() > 100, "only {} files were found", texts.len());
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/read_with_crossplane.py"));
    for (number, (_, text)) in texts.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        fs::write(&path, text).unwrap();
        command.arg(path);
    }
    let output = run(command);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let mut theirs: Vec<Vec<&str>> = Vec::new();
    for line in output.stdout.lines() {
        match theirs.last_mut() {
            Some(last) if !line.starts_with("file ") => last.push(line),
            Some(_) | None => theirs.push(Vec::new()),
        }
    }
    assert_eq!(theirs.len(), texts.len(), "{}", output.stdout);
    let mut differences = Vec::new();
    for ((name, text), theirs) in texts.iter().zip(theirs) {
        let (mut ours, mut words_left) = (Vec::new(), usize::MAX);
        match parse_statements(text, &mut words_left) {
            Ok(statements) => flatten(&statements, 0, &mut ours),
            Err(error) => ours.push(format!("{}: {error}", error.line)),
        }
        for at in 0..ours.len().max(theirs.len()) {
            let (own, their) =
                (ours.get(at).map_or("", String::as_str), theirs.get(at).copied().unwrap_or(""));
            if own != their {
                differences.push(format!("{name}\n  doorward:   {own}\n  crossplane: {their}"));
                break;
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
