//! Selection of an upstream table for a request.

use super::*;
use crate::clock::Clock;
use crate::permissions::parse::parse_repository_glob;

fn entry(name: &str, hosts: &[&str], repositories: &[&str]) -> UpstreamEntry {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, name).unwrap();
    let current = secret_file::start(path, secret_file::SecretFormat::BearerToken, Clock::manual().now())
        .unwrap()
        .target()
        .current();
    UpstreamEntry {
        name: name.into(),
        hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
        repositories: repositories.iter().map(|text| parse_repository_glob(text).unwrap()).collect(),
        is_anonymous_allowed: false,
        credential_source: CredentialSource::File(current),
    }
}

fn selected<'u>(upstreams: &'u Upstreams, host: &str, target: UpstreamTarget<'_>) -> Option<&'u str> {
    upstreams.select(&PermittedRequest { host, target }).unwrap().map(|entry| &*entry.name)
}

#[test]
fn first_matching_upstream_is_selected() {
    let upstreams = Upstreams::new(vec![
        entry("releases", &["a.test"], &["releases/**", "base"]),
        entry("team", &["a.test", "*.b.test"], &["team/*"]),
        entry("rest", &["a.test"], &[]),
    ]);
    assert!(upstreams.entry_of_every_request().is_none());
    let select = |host, name| selected(&upstreams, host, UpstreamTarget::Repository(name));
    assert_eq!(select("a.test", "releases/app"), Some("releases"));
    assert_eq!(select("a.test", "base"), Some("releases"));
    assert_eq!(select("a.test", "team/app"), Some("team"));
    assert_eq!(select("x.b.test", "team/app"), Some("team"));
    assert_eq!(select("a.test", "team/app/more"), Some("rest"));
    assert_eq!(select("x.b.test", "releases/app"), None);
    assert_eq!(select("b.test", "team/app"), None, "*.b.test does not match b.test");
    assert_eq!(select("c.test", "releases/app"), None);
}

#[test]
fn ping_gets_its_hosts_upstream_and_catalog_only_an_unrestricted_one() {
    let narrow = Upstreams::new(vec![entry("releases", &["a.test"], &["releases/**"])]);
    assert_eq!(selected(&narrow, "a.test", UpstreamTarget::Ping), Some("releases"));
    assert_eq!(selected(&narrow, "a.test", UpstreamTarget::Other), None);
    assert_eq!(selected(&narrow, "c.test", UpstreamTarget::Ping), None);
    let wide = Upstreams::new(vec![entry("all", &[], &[])]);
    assert!(wide.entry_of_every_request().is_some());
    assert_eq!(selected(&wide, "", UpstreamTarget::Other), Some("all"));
}

#[test]
fn ambiguous_request_is_an_error_if_the_selection_depends_on_it() {
    let upstreams = Upstreams::new(vec![
        UpstreamEntry {
            credential_source: CredentialSource::None,
            ..entry("private", &["a.test"], &["private/**"])
        },
        entry("rest", &[], &[]),
    ]);
    let select = |host| {
        upstreams.select(&PermittedRequest { host, target: UpstreamTarget::Ambiguous("two readings") })
    };
    assert_eq!(select("a.test").map(|_| ()), Err("two readings"));
    assert_eq!(select("b.test").unwrap().map(|entry| &*entry.name), Some("rest"));
    let wide_first = Upstreams::new(vec![entry("all", &["a.test"], &[]), entry("some", &[], &["x"])]);
    let ambiguous = PermittedRequest { host: "a.test", target: UpstreamTarget::Ambiguous("two readings") };
    assert_eq!(wide_first.select(&ambiguous).unwrap().map(|entry| &*entry.name), Some("all"));
}

#[test]
fn ping_selects_the_first_upstream_with_credentials() {
    let none =
        UpstreamEntry { credential_source: CredentialSource::None, ..entry("none", &[], &["private/**"]) };
    let upstreams = Upstreams::new(vec![none, entry("rest", &[], &[])]);
    assert_eq!(selected(&upstreams, "a.test", UpstreamTarget::Ping), Some("rest"));
    let upstreams = Upstreams::new(vec![UpstreamEntry {
        credential_source: CredentialSource::None,
        ..entry("none", &[], &[])
    }]);
    assert_eq!(selected(&upstreams, "a.test", UpstreamTarget::Ping), Some("none"));
}

#[test]
fn upstream_debug_shows_no_credentials() {
    assert!(!format!("{:?}", entry("s3cret-token", &[], &[]).credentials_debug()).contains("s3cret"));
}

impl UpstreamEntry {
    fn credentials_debug(&self) -> String {
        let CredentialSource::File(current) = &self.credential_source else { return String::new() };
        format!("{current:?}")
    }
}
