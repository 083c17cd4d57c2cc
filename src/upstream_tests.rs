//! Which table a request gets, and who gets none.

use super::*;
use crate::clock::Clock;
use crate::permissions::read::repository;

fn table(name: &str, hosts: &[&str], repositories: &[&str]) -> Table {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, name).unwrap();
    let kept = file::start(path, file::Form::Bearer, Clock::manual().now()).unwrap().kind().kept();
    Table {
        name: name.into(),
        hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
        repositories: repositories.iter().map(|text| repository(text).unwrap()).collect(),
        anyone: false,
        source: Source::File(kept),
    }
}

fn chosen<'u>(upstreams: &'u Upstreams, host: &str, about: About<'_>) -> Option<&'u str> {
    upstreams.choose(&Permitted { host, about }).unwrap().map(|table| &*table.name)
}

#[test]
fn the_first_table_that_fits_gives_the_credentials() {
    let upstreams = Upstreams::new(vec![
        table("releases", &["a.test"], &["releases/**", "base"]),
        table("team", &["a.test", "*.b.test"], &["team/*"]),
        table("rest", &["a.test"], &[]),
    ]);
    assert!(upstreams.chooses());
    let of = |host, name| chosen(&upstreams, host, About::Repository(name));
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
fn a_ping_gets_what_its_host_has_and_a_catalog_only_what_is_for_all() {
    let narrow = Upstreams::new(vec![table("releases", &["a.test"], &["releases/**"])]);
    assert_eq!(chosen(&narrow, "a.test", About::Ping), Some("releases"));
    assert_eq!(chosen(&narrow, "a.test", About::Other), None);
    assert_eq!(chosen(&narrow, "c.test", About::Ping), None);
    let wide = Upstreams::new(vec![table("all", &[], &[])]);
    assert!(!wide.chooses());
    assert_eq!(chosen(&wide, "", About::Other), Some("all"));
}

#[test]
fn a_request_that_can_not_be_read_is_given_nothing_where_the_choice_depends_on_it() {
    let upstreams = Upstreams::new(vec![
        Table { source: Source::None, ..table("private", &["a.test"], &["private/**"]) },
        table("rest", &[], &[]),
    ]);
    let of = |host| upstreams.choose(&Permitted { host, about: About::Unclear("two readings") });
    assert_eq!(of("a.test").map(|_| ()), Err("two readings"));
    assert_eq!(of("b.test").unwrap().map(|table| &*table.name), Some("rest"));
    let wide_first = Upstreams::new(vec![table("all", &["a.test"], &[]), table("some", &[], &["x"])]);
    let unclear = Permitted { host: "a.test", about: About::Unclear("two readings") };
    assert_eq!(wide_first.choose(&unclear).unwrap().map(|table| &*table.name), Some("all"));
}

#[test]
fn a_ping_takes_the_first_that_has_any() {
    let none = Table { source: Source::None, ..table("none", &[], &["private/**"]) };
    let upstreams = Upstreams::new(vec![none, table("rest", &[], &[])]);
    assert_eq!(chosen(&upstreams, "a.test", About::Ping), Some("rest"));
    let upstreams = Upstreams::new(vec![Table { source: Source::None, ..table("none", &[], &[]) }]);
    assert_eq!(chosen(&upstreams, "a.test", About::Ping), Some("none"));
}

#[test]
fn a_table_shows_no_credentials() {
    assert!(!format!("{:?}", table("s3cret-token", &[], &[]).source_shown()).contains("Authorization("));
}

impl Table {
    fn source_shown(&self) -> String {
        let Source::File(kept) = &self.source else { return String::new() };
        format!("{kept:?}")
    }
}
