//! Size and form of source files.

use std::fs;

use super::{Source, assert_none, example, files, root, sources};

/// The number of lines above which a file is listed for review.
const FILE_ADVISORY: usize = 600;

/// The number of lines that a function must not reach.
const FUNCTION_MAX: usize = 100;

#[test]
fn every_file_starts_with_a_module_comment() {
    let mut broken = Vec::new();
    for folder in ["src", "tests"] {
        let found = files(&root().join(folder), ".rs");
        assert!(found.len() > 10, "only {} files of {folder} were found", found.len());
        for path in found {
            let text = fs::read_to_string(&path).unwrap();
            let first = text.lines().next().unwrap_or_default();
            if first.strip_prefix("//! ").is_none_or(|rest| rest.len() < 5) {
                broken.push(path.display().to_string());
            }
        }
    }
    assert_none("a file must start with a //! comment", &broken);
}

/// A long file can be a sign of two topics in one file. The test only lists it.
#[test]
#[expect(clippy::print_stderr, reason = "a hint in the test output")]
fn long_files_are_listed_for_review() {
    let mut listed = 0;
    for folder in ["src", "tests"] {
        for path in files(&root().join(folder), ".rs") {
            listed += 1;
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > FILE_ADVISORY {
                eprintln!("{} has {lines} lines; consider splitting it", path.display());
            }
        }
    }
    assert!(listed > 100, "only {listed} files were found");
}

/// Returns the name, first line and number of lines of each function. A function starts at a line with `fn` and ends at
/// the brace with the same indentation, as rustfmt formats it.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let words = line.trim_start();
        let head = ["pub ", "pub(crate) ", "pub(super) ", "async ", "const "]
            .iter()
            .fold(words, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
        let Some(name) = head.strip_prefix("fn ") else { continue };
        let indent = &line[..line.len() - words.len()];
        let end = format!("{indent}}}");
        let whole =
            |last: &str| last == end || last.ends_with(';') && last.starts_with(&format!("{indent})"));
        let one_line = line.ends_with('}') || line.ends_with(';');
        let length =
            if one_line { 1 } else { lines[at..].iter().position(|line| whole(line)).map_or(0, |n| n + 1) };
        let name = name.split(['(', '<']).next().unwrap_or_default();
        found.push((name.to_owned(), at + 1, length));
    }
    found
}

#[test]
fn every_function_is_within_the_line_limit() {
    let long = format!("impl X {{\n    pub fn long() {{\n{}    }}\n}}\n", "        x();\n".repeat(80));
    assert_eq!(functions(&example("x.rs", &long)), [("long".to_owned(), 2, 82)]);
    let mut count = 0;
    let mut broken = Vec::new();
    for source in sources() {
        for (name, line, length) in functions(&source) {
            count += 1;
            assert!(length > 0, "src/{}:{line}: the end of {name} was not found", source.name);
            if length >= FUNCTION_MAX {
                broken.push(format!("src/{}:{line}: {name} has {length} lines", source.name));
            }
        }
    }
    assert!(count > 150, "only {count} functions were found");
    assert_none(&format!("a function must have fewer than {FUNCTION_MAX} lines"), &broken);
}

#[test]
fn code_outside_tests_has_no_panicking_call() {
    let panics = |line: &str| {
        [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("]
            .iter()
            .any(|word| line.contains(word))
    };
    assert_eq!(example("x.rs", "let a = b.unwrap();").lines(panics).len(), 1);
    assert!(example("x.rs", "#[cfg(test)]\nmod tests {\n    a.unwrap();\n}\n").lines(panics).is_empty());
    let broken: Vec<String> = sources().iter().flat_map(|source| source.lines(panics)).collect();
    assert_none("code outside tests must not panic", &broken);
}

#[test]
fn unit_test_files_are_beside_the_file_that_they_test() {
    let tests = files(&root().join("src"), "_tests.rs");
    assert!(!tests.is_empty());
    for path in tests {
        let name = path.file_name().unwrap().to_str().unwrap();
        let subject = path.with_file_name(name.replace("_tests.rs", ".rs"));
        let text =
            fs::read_to_string(&subject).unwrap_or_else(|error| panic!("{}: {error}", subject.display()));
        assert!(
            text.contains(&format!("#[path = \"{name}\"]")),
            "{} does not include {name}",
            subject.display()
        );
        let some = fs::read_to_string(&path).unwrap();
        assert!(some.contains("#[test]") || some.contains("#[tokio::test"), "{name} has no test");
    }
}

#[test]
fn no_file_contains_a_home_directory_path() {
    // The text is assembled, because otherwise this file would contain it.
    let places = ["home", "root", "Users"].map(|name| format!("/{name}/"));
    let mut looked = 0;
    for folder in ["src", "tests", "nginx"] {
        for path in files(&root().join(folder), "") {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            looked += 1;
            for place in &places {
                assert!(!text.contains(place), "{} names {place}", path.display());
            }
        }
    }
    assert!(looked > 40, "only {looked} files were found");
}

#[test]
fn dockerfile_creates_every_target_file_of_the_manifest() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let (manifest, image) = (read("Cargo.toml"), read("Dockerfile"));
    let targets: Vec<&str> =
        manifest.split("\n[[").skip(1).filter(|table| !table.starts_with("bin]]")).collect();
    assert!(targets.len() >= 3, "{targets:?}");
    for table in targets {
        let value = |key: &str| {
            table.lines().find_map(|line| line.strip_prefix(key)).map(|text| text.trim_matches('"'))
        };
        let named = || value("name = \"").map(|name| format!("benches/{name}.rs"));
        let path = value("path = \"").map(str::to_owned).or_else(named).unwrap();
        assert!(image.contains(&format!(" {path}")), "the Dockerfile does not create {path}");
    }
}
