//! Compares the parser of registry requests with a model of a registry. An accepted request is for the repository on which
//! the registry acts, and it mounts from the named repository only.
//!
//! The input's lines: method, URI, content type.

use std::borrow::Cow;

use crate::permissions::host::normalize_host;
use crate::request::endpoint::RegistryTarget;
use crate::request::registry::{RegistryRequest, parse_request};
use crate::request::site;

/// Go's `url.ParseQuery` and `FormValue`: the first of several values is used, and a value that cannot be decoded is skipped.
fn form_value<'q>(query: &'q str, key: &str) -> Option<Cow<'q, str>> {
    let decode = |text: &'q str| {
        let whole = text.split('%').skip(1).all(|rest| {
            rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        });
        whole.then(|| form_urlencoded::parse(text.as_bytes()).next().map(|(key, _)| key).unwrap_or_default())
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(name), Some(value)) = (decode(name), decode(value))
            && name == key
        {
            return Some(value);
        }
    }
    None
}

fn query(uri: &str) -> &str {
    uri.split_once('?').map_or("", |(_, query)| query)
}

fn check(asked: &RegistryRequest<'_>, method: &str, uri: &str, route: Route) {
    // A malformed reference is refused, whatever it was read as.
    if asked.malformed_reference.is_some() {
        return;
    }
    let path = uri.split('?').next().unwrap_or_default();
    assert!(!path.contains('%') && !path.contains("//"), "the path is the one that is routed");
    assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")));
    let found = route(path);
    match asked.target {
        RegistryTarget::Ping => assert_eq!((path, found), ("/v2/", None)),
        RegistryTarget::Catalog => assert_eq!((path, found), ("/v2/_catalog", None)),
        RegistryTarget::Repository(name) => assert_eq!(found.map(|(_, name)| name), Some(name), "{path}"),
    }
    // The sources that the registry would mount, for this URI and for each URI that can replace it.
    let mounts = |uri: &str| {
        let starts = found.is_some_and(|(kind, _)| kind == "uploads") && method == "POST";
        let query = query(uri);
        let both = form_value(query, "mount").filter(|m| !m.is_empty()).and(form_value(query, "from"));
        both.filter(|from| starts && !from.is_empty()).map(Cow::into_owned)
    };
    let source = asked.mount_source.as_ref().map(|source| source.repository.clone());
    assert_eq!(mounts(uri), source);
    assert_eq!(mounts(&asked.stripped_uri()), source);
    assert_eq!(mounts(&asked.uri_without_mount()), None);
    for uri in [asked.stripped_uri(), asked.uri_without_mount()] {
        assert_eq!(form_value(query(&uri), "ns"), None);
        assert_eq!(uri.split('?').next(), Some(path));
    }
    if asked.mount_source.is_none() {
        assert_eq!(form_value(query(&asked.stripped_uri()), "mount"), None, "some mount without a source");
    }
}

/// Returns the kind of a path, and the name in it, as a registry routes it.
pub type Route = for<'p> fn(&'p str) -> Option<(&'static str, &'p str)>;

/// Runs the check with one input of the fuzzer, and the model of a registry.
pub fn run(input: &str, route: Route) {
    let mut lines = input.splitn(3, '\n');
    let (Some(method), Some(uri)) = (lines.next(), lines.next()) else { return };
    let content_type = lines.next().unwrap_or_default();
    if let Ok(asked) = parse_request(method, uri, content_type) {
        check(&asked, method, uri, route);
    }
    if let Ok(segments) = site::parse_path_segments(uri) {
        // Nothing that a site could take for a way up, or for another way to write a slash.
        assert!(segments.iter().all(|segment| !matches!(&**segment, "." | "..")));
        assert!(segments.iter().all(|segment| !segment.contains(['/', '\\', ';', '\0'])));
        assert!(segments.iter().rev().skip(1).all(|segment| !segment.is_empty()));
        assert_eq!(segments.len(), uri.split('?').next().unwrap_or_default().matches('/').count());
    }
    if let Ok(host) = normalize_host(uri) {
        assert_eq!(normalize_host(&host), Ok(Cow::Borrowed(&*host)), "what is canonical stays so");
    }
}
