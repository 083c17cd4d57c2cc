//! The README lists exactly the metrics that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::client::Request;
use crate::support::doorward::Doorward;
use crate::support::users;

#[test]
fn readme_lists_exactly_the_metrics_that_exist_field_n9() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let text = doorward.admin(&Request::get("/metrics").host("localhost")).text();
    let described = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE doorward_")?.split_once(' ')?;
        Some(if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
    };
    let shown: BTreeSet<String> = text.lines().filter_map(described).collect();
    assert!(shown.contains("verdicts_total"), "{text}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Metrics with labels are not exported before their first value.
    let source = fs::read_to_string(root.join("src/metrics.rs")).unwrap();
    let named = source.split(".register(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
    let registered: BTreeSet<&str> = named.filter_map(|rest| rest.split('"').next()).collect();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, section) = readme.split_once("**All metrics** of `/metrics`").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let cells: Vec<&str> = rows.map(|row| row.split('|').nth(1).unwrap()).collect();
    let listed = cells.iter().flat_map(|cell| cell.split(", ")).map(|name| name.trim().trim_matches('`'));
    let figures: BTreeSet<String> = listed.map(str::to_owned).collect();
    let bare = |name: &str| name.strip_suffix("_total").unwrap_or(name).to_owned();
    let registered: BTreeSet<String> = registered.into_iter().map(bare).collect();
    assert_eq!(figures.iter().map(|name| bare(name)).collect::<BTreeSet<String>>(), registered);
    assert!(shown.is_subset(&figures), "{:?}", shown.difference(&figures));
    // The metrics of the documented alerts exist too.
    let (_, alerts) = readme.split_once("**Alerts.**").unwrap();
    let named = alerts.split("**All metrics**").next().unwrap().split("doorward_").skip(1);
    for name in named.map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap()) {
        assert!(figures.contains(name), "{name}");
    }
}
