//! The policy examples of the README.

use std::fs;

use crate::support::doorward::doorward;

/// Returns the fenced code blocks after the mark of an example, up to the next mark or heading.
fn blocks(readme: &str, name: &str) -> Vec<String> {
    let (_, behind) = readme.split_once(&format!("<!-- example: {name} -->")).expect("the example is there");
    let end =
        ["<!-- example:", "\n## "].iter().filter_map(|mark| behind.find(mark)).min().unwrap_or(behind.len());
    let parts = behind[..end].split("```").skip(1).step_by(2);
    parts.map(|block| block.split_once('\n').expect("a language and a text").1.to_owned()).collect()
}

#[test]
fn every_policy_example_of_the_readme_meets_its_expectations() {
    let readme = include_str!("../../README.md");
    let names: Vec<&str> = readme
        .split("<!-- example: ")
        .skip(1)
        .map(|part| part.split_once(" -->").expect("the mark's end").0)
        .collect();
    assert_eq!(names, ["team", "site"]);
    for name in names {
        let [policy, groups, expect] = &blocks(readme, name)[..] else { panic!("{name} has three blocks") };
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (policy, groups) = (file("policy.toml", policy), file("groups", groups));
        let check = |expect: &str| {
            let expect = file("expect", expect);
            doorward(&["check", "--policy", &policy, "--groups", &groups, "--expect", &expect])
        };
        let output = check(expect);
        assert_eq!(output.code, Some(0), "{name}: {output:?}");
        // The expectations do not hold by accident: each inverted line fails.
        let turned =
            expect.replace(" allow\n", " X\n").replace(" deny\n", " allow\n").replace(" X\n", " deny\n");
        let output = check(&turned);
        assert!(output.stdout.contains("as expected: 0;"), "{name}: {output:?}");
    }
}
