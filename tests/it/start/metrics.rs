//! README's list of figures is the one of `/metrics` (N9).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::client::Request;
use crate::support::doorward::Doorward;
use crate::support::users;

#[test]
fn every_figure_is_in_the_readme_and_the_readme_names_no_other_field_n9() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let text = doorward.admin(&Request::get("/metrics").host("localhost")).text();
    let described = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE doorward_")?.split_once(' ')?;
        Some(if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
    };
    let figures: BTreeSet<String> = text.lines().filter_map(described).collect();
    assert!(figures.contains("verdicts_total"), "{text}");
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, section) = readme.split_once("**All figures** of `/metrics`").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let cells: Vec<&str> = rows.map(|row| row.split('|').nth(1).unwrap()).collect();
    let listed = cells.iter().flat_map(|cell| cell.split(", ")).map(|name| name.trim().trim_matches('`'));
    assert_eq!(listed.map(str::to_owned).collect::<BTreeSet<String>>(), figures);
    // What alerts are made of is there, too.
    let (_, alerts) = readme.split_once("**What to alert on:**").unwrap();
    let named = alerts.split("**All figures**").next().unwrap().split("doorward_").skip(1);
    for name in named.map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap()) {
        assert!(figures.contains(name), "{name}");
    }
}
