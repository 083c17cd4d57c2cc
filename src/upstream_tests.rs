//! Which table a request gets, and who gets none.

use super::*;
use crate::clock::Clock;
use crate::permissions::parse::parse_repository_glob;

fn table(name: &str, hosts: &[&str], repositories: &[&str]) -> UpstreamEntry {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, name).unwrap();
    let kept = secret_file::start(path, secret_file::SecretFormat::BearerToken, Clock::manual().now())
        .unwrap()
        .target()
        .current();
    UpstreamEntry {
        name: name.into(),
        hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
        repositories: repositories.iter().map(|text| parse_repository_glob(text).unwrap()).collect(),
        is_anonymous_allowed: false,
        credential_source: CredentialSource::File(kept),
    }
}

fn selected<'u>(upstreams: &'u Upstreams, host: &str, about: UpstreamTarget<'_>) -> Option<&'u str> {
    upstreams.select(&PermittedRequest { host, target: about }).unwrap().map(|table| &*table.name)
}

#[test]
fn first_matching_upstream_is_selected() {
    let upstreams = Upstreams::new(vec![
        table("releases", &["a.test"], &["releases/**", "base"]),
        table("team", &["a.test", "*.b.test"], &["team/*"]),
        table("rest", &["a.test"], &[]),
    ]);
    assert!(upstreams.is_request_dependent());
    let of = |host, name| selected(&upstreams, host, UpstreamTarget::Repository(name));
    assert_eq!(of("a.test", "releases/app"), Some("releases"));
    assert_eq!(of("a.test", "base"), Some("releases"));
    assert_eq!(of("a.test", "team/app"), Some("team"));
    assert_eq!(of("x.b.test", "team/app"), Some("team"));
    assert_eq!(of("a.test", "team/app/more"), Some("rest"));
    assert_eq!(of("x.b.test", "releases/app"), None);
    assert_eq!(of("b.test", "team/app"), None, "*.b.test is what is below it");
    assert_eq!(of("c.test", "releases/app"), None);
}

#[test]
fn ping_gets_its_hosts_upstream_and_catalog_only_an_unrestricted_one() {
    let narrow = Upstreams::new(vec![table("releases", &["a.test"], &["releases/**"])]);
    assert_eq!(selected(&narrow, "a.test", UpstreamTarget::Ping), Some("releases"));
    assert_eq!(selected(&narrow, "a.test", UpstreamTarget::Other), None);
    assert_eq!(selected(&narrow, "c.test", UpstreamTarget::Ping), None);
    let wide = Upstreams::new(vec![table("all", &[], &[])]);
    assert!(!wide.is_request_dependent());
    assert_eq!(selected(&wide, "", UpstreamTarget::Other), Some("all"));
}

#[test]
fn ambiguous_request_is_an_error_if_the_selection_depends_on_it() {
    let upstreams = Upstreams::new(vec![
        UpstreamEntry {
            credential_source: CredentialSource::None,
            ..table("private", &["a.test"], &["private/**"])
        },
        table("rest", &[], &[]),
    ]);
    let of = |host| {
        upstreams.select(&PermittedRequest { host, target: UpstreamTarget::Ambiguous("two readings") })
    };
    assert_eq!(of("a.test").map(|_| ()), Err("two readings"));
    assert_eq!(of("b.test").unwrap().map(|table| &*table.name), Some("rest"));
    let wide_first = Upstreams::new(vec![table("all", &["a.test"], &[]), table("some", &[], &["x"])]);
    let unclear = PermittedRequest { host: "a.test", target: UpstreamTarget::Ambiguous("two readings") };
    assert_eq!(wide_first.select(&unclear).unwrap().map(|table| &*table.name), Some("all"));
}

#[test]
fn ping_selects_the_first_upstream_with_credentials() {
    let none =
        UpstreamEntry { credential_source: CredentialSource::None, ..table("none", &[], &["private/**"]) };
    let upstreams = Upstreams::new(vec![none, table("rest", &[], &[])]);
    assert_eq!(selected(&upstreams, "a.test", UpstreamTarget::Ping), Some("rest"));
    let upstreams = Upstreams::new(vec![UpstreamEntry {
        credential_source: CredentialSource::None,
        ..table("none", &[], &[])
    }]);
    assert_eq!(selected(&upstreams, "a.test", UpstreamTarget::Ping), Some("none"));
}

#[test]
fn upstream_debug_shows_no_credentials() {
    assert!(!format!("{:?}", table("s3cret-token", &[], &[]).credentials_debug()).contains("Authorization("));
}

impl UpstreamEntry {
    fn credentials_debug(&self) -> String {
        let CredentialSource::File(kept) = &self.credential_source else { return String::new() };
        format!("{kept:?}")
    }
}
