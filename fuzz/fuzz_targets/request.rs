//! Runs the check in `fuzz/checks/request.rs`. The model of a registry is here, because it needs a crate that doorward does not.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use regex::Regex;

/// The routes of the reference implementation, with its own, wider idea of a name. The first that fits
/// counts; a name takes as much as it can.
static ROUTES: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    const PART: &str = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
    const HOST: &str = "[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?";
    let name = format!("(?P<name>(?:{HOST}/)?{PART}(?:/{PART})*)");
    let digest = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
    let route = |kind, tail: &str| (kind, Regex::new(&format!("^/v2/{name}/{tail}$")).expect("a pattern"));
    vec![
        route("tags", "tags/list"),
        route("manifests", &format!("manifests/(?:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}|{digest})")),
        route("referrers", &format!("referrers/(?:{digest})")),
        route("blobs", &format!("blobs/(?:{digest})")),
        route("uploads", "blobs/uploads/"),
        route("upload", "blobs/uploads/[a-zA-Z0-9_.=-]+"),
    ]
});

/// Returns the kind of the route of a path, and the name in it.
fn route(path: &str) -> Option<(&'static str, &str)> {
    ROUTES.iter().find_map(|(kind, route)| Some((*kind, route.captures(path)?.name("name")?.as_str())))
}

fuzz_target!(|input: &str| doorward::fuzzing::request::run(input, route));
