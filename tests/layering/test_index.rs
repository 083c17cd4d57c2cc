//! The index of `tests/README.md` lists exactly the test files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{files, root};

/// Folders of `tests` that are not groups of the test program.
const OTHER_FOLDERS: [&str; 5] = ["clients", "compat", "conformance", "fixtures", "image"];

/// Returns the table rows `| `name` | words |` of a text: the name, and the number of words in its description.
fn rows(text: &str) -> Vec<(String, usize)> {
    let row = |line: &str| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((name.to_owned(), rest.split('|').next()?.split_whitespace().count()))
    };
    text.lines().filter_map(row).collect()
}

/// Returns the paths below `tests` of the files of the test program, each with a flag for files that contain tests.
fn test_files() -> BTreeMap<String, bool> {
    let folder = root().join("tests");
    let name = |path: &std::path::Path| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
    let has_test = |path: &std::path::Path| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().any(|line| {
            let line = line.trim();
            line == "#[test]" || line.starts_with("#[tokio::test")
        }) && !text.contains("\n#[ignore")
    };
    let all = files(&folder, ".rs").into_iter().map(|path| (name(&path), has_test(&path)));
    all.filter(|(name, _)| !OTHER_FOLDERS.iter().any(|other| name.starts_with(&format!("{other}/"))))
        .collect()
}

#[test]
fn readme_of_the_tests_lists_exactly_the_files_with_tests() {
    let readme = fs::read_to_string(root().join("tests/README.md")).unwrap();
    let (_, index) = readme.split_once("\n## Index\n").expect("tests/README.md has no section Index");
    let listed = rows(index.split("\n## ").next().unwrap());
    for (name, words) in &listed {
        assert!(*words > 0, "tests/README.md has no description of {name}");
    }
    let listed_names: BTreeSet<String> = listed.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(listed_names.len(), listed.len(), "a file is listed twice");
    let present: BTreeSet<String> =
        test_files().into_iter().filter(|(_, has_test)| *has_test).map(|(name, _)| name).collect();
    assert!(present.len() > 100, "only {} test files were found", present.len());
    let missing: Vec<&String> = present.difference(&listed_names).collect();
    let stale: Vec<&String> = listed_names.difference(&present).collect();
    assert!(missing.is_empty(), "not in the index of tests/README.md: {missing:?}");
    assert!(stale.is_empty(), "in the index of tests/README.md, but without tests or missing: {stale:?}");
}

#[test]
fn readme_of_the_tests_lists_exactly_the_groups_of_the_test_program() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let readme = read("tests/README.md");
    let (_, groups) = readme.split_once("\n## Groups\n").expect("tests/README.md has no section Groups");
    let listed: BTreeSet<String> = rows(groups.split("\n## ").next().unwrap())
        .into_iter()
        .map(|(name, _)| name.trim_end_matches('/').to_owned())
        .collect();
    let program = read("tests/main.rs");
    let modules: BTreeSet<String> = program
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, modules);
    let folders = fs::read_dir(root().join("tests")).unwrap().map(|entry| entry.unwrap());
    let folders: BTreeSet<String> = folders
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !OTHER_FOLDERS.contains(&&name[..]))
        .collect();
    assert_eq!(folders, modules, "each folder of tests must be a group or one of {OTHER_FOLDERS:?}");
    for folder in OTHER_FOLDERS {
        assert!(readme.contains(&format!("`{folder}/`")), "tests/README.md does not list {folder}/");
    }
}
