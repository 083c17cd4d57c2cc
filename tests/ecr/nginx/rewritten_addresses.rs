//! `Location` and `Link` become paths of the own host.

use super::{EcrSetup, Reply};

/// Text that the registry sends after its own name, and the path that the client gets.
const OWN: [(&str, &str); 10] = [
    ("/v2/a?b=//c", "/v2/a?b=//c"),
    ("//evil.test/a", "/evil.test/a"),
    ("///evil.test/a", "/evil.test/a"),
    ("/\\evil.test/a", "/evil.test/a"),
    ("\\evil.test/a", "/evil.test/a"),
    ("/\\/evil.test/a", "/evil.test/a"),
    ("/\t/evil.test/a", "/evil.test/a"),
    ("/ /evil.test/a", "/evil.test/a"),
    ("?a=b", "/?a=b"),
    ("/", "/"),
];

/// Addresses without the name of the registry.
const BARE: [(&str, &str); 6] = [
    ("/v2/relative", "/v2/relative"),
    ("//evil.test/a", "/evil.test/a"),
    ("/\\evil.test/a", "/evil.test/a"),
    ("\\\\evil.test/a", "/evil.test/a"),
    ("https://other.test//a", "https://other.test//a"),
    ("relative/path", "relative/path"),
];

/// Returns every case, with each spelling of the registry's name.
fn cases(setup: &EcrSetup) -> Vec<(String, &'static str)> {
    let (own, plain) = (setup.url(""), setup.url("").replace("https:", "http:"));
    let upper = own.replace("https://registry.ecr.test", "HTTPS://Registry.ECR.test");
    let named = [own, plain, upper].into_iter();
    let named = named.flat_map(|name| OWN.map(|(said, wanted)| (format!("{name}{said}"), wanted)));
    named.chain(BARE.map(|(said, wanted)| (said.to_owned(), wanted))).collect()
}

#[test]
fn location_of_an_upstream_registry_never_becomes_protocol_relative() {
    for redirects in ["pass", "follow"] {
        let setup = EcrSetup::start(|image| image.set("REDIRECTS", redirects), |_| Reply::json("{}"));
        for (said, wanted) in cases(&setup) {
            for status in ["307 Temporary Redirect", "202 Accepted", "201 Created", "302 Found"] {
                setup.ecr.say(Reply::with(status, &format!("Location: {said}\r\n"), ""));
                let answer = setup.get("/v2/a");
                assert_eq!(
                    answer.header("location"),
                    Some(wanted),
                    "{redirects} {status} {said}: {answer:?}"
                );
            }
        }
        setup.ecr.say(Reply::with("202 Accepted", "", ""));
        assert_eq!(setup.get("/v2/a").header("location"), None);
    }
}

#[test]
fn link_of_an_upstream_registry_never_becomes_protocol_relative() {
    let setup = EcrSetup::plain();
    for (said, wanted) in cases(&setup) {
        setup.ecr.say(Reply::with("200 OK", &format!("Link: <{said}>; rel=\"next\"\r\n"), "{}"));
        let answer = setup.get("/v2/a");
        assert_eq!(
            answer.header("link"),
            Some(&format!("<{wanted}>; rel=\"next\"")[..]),
            "{said}: {answer:?}"
        );
    }
}

#[test]
fn host_with_the_registry_name_as_prefix_is_not_rewritten() {
    let setup = EcrSetup::plain();
    let name = setup.url("");
    for said in [format!("{name}.evil.test/a"), format!("{name}@evil.test/a"), format!("{name}0/a")] {
        setup.ecr.say(Reply::with("307 Go", &format!("Location: {said}\r\n"), ""));
        assert_eq!(setup.get("/v2/a").header("location"), Some(&said[..]), "as the registry wrote it");
    }
}
