//! Generated requests to a registry, the same in each run. Half of them are written as a client writes them.
//! The others use known ways to bypass access control: encodings, dots, slashes, upper case, mounts in every
//! spelling, forms, odd methods, long names, absolute request lines and other hosts.
//!
//! ann can pull and push in `open/**` and pull in `base/**` ([`RULES`]). No request of ann may get access to
//! `secret/**`.

mod mutations;
mod vocabulary;

use crate::support::random::Random;
pub(crate) use vocabulary::{
    BASE_BLOB, BASE_MANIFEST, OWN_UPLOAD, SECRET_BLOB, SECRET_MANIFEST, THEIR_UPLOAD, manifest,
};

/// Permissions of ann. bob has access to `secret/**`, which shows that the repositories exist.
pub(crate) const RULES: &str = r#"
[[grant]]
users = ["ann"]
repositories = ["open/**"]
actions = ["pull", "push"]

[[grant]]
users = ["ann"]
repositories = ["base/**"]
actions = ["pull"]

[[grant]]
users = ["bob"]
repositories = ["secret/**"]
actions = ["pull"]
"#;

/// The host of an unmodified request.
pub(crate) const HOST: &str = "registry.test";

/// A placeholder for a byte that is not valid text.
pub(crate) const NO_TEXT: char = '\u{e000}';

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) user: &'static str,
    pub(crate) method: String,
    /// The raw target of the request line.
    pub(crate) target: String,
    hosts: Vec<String>,
    content_type: Option<String>,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<Vec<u8>>,
    chunked: bool,
    version: &'static str,
}

/// Returns the first `count` requests.
pub(crate) fn corpus(count: usize) -> impl Iterator<Item = Sample> {
    let mut random = Random::new();
    (0..count).map(move |_| Sample::make(&mut random))
}

fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match c {
            NO_TEXT => bytes.push(0xff),
            c => bytes.extend(c.to_string().bytes()),
        }
    }
    bytes
}

impl Sample {
    fn make(random: &mut Random) -> Self {
        let (method, target) = vocabulary::request(random);
        let is_write = matches!(&method[..], "POST" | "PUT" | "PATCH");
        let mut sample = Self {
            user: if random.below(20) == 0 { "-" } else { "ann" },
            body: is_write.then(|| vocabulary::body(random, &method, &target)),
            method,
            target,
            hosts: vec![HOST.to_owned()],
            content_type: is_write.then(|| "application/octet-stream".to_owned()),
            headers: Vec::new(),
            chunked: false,
            version: "1.1",
        };
        if is_write && sample.target.contains("/manifests/") {
            sample.content_type = Some("application/vnd.oci.image.manifest.v1+json".to_owned());
        }
        // Half of the requests stay unmodified. Most others have one mutation, so that a refusal has one
        // cause.
        for _ in 0..[0, 0, 0, 0, 1, 1, 1, 2][usize::try_from(random.below(8)).expect("a number below 8")] {
            mutations::bend(&mut sample, random);
        }
        sample
    }

    /// Returns the bytes to send with the user agent `agent`, and with the password of ann if ann sends the
    /// request.
    pub(crate) fn bytes(&self, agent: &str, authorization: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/{}\r\n", self.method, self.target, self.version);
        let mut header = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
        self.hosts.iter().for_each(|host| header("Host", host));
        header("User-Agent", agent);
        if self.user != "-" {
            header("Authorization", authorization);
        }
        self.headers.iter().for_each(|(name, value)| header(name, value));
        self.content_type.iter().for_each(|value| header("Content-Type", value));
        let body = self.body.as_deref().unwrap_or_default();
        let mut end = body.to_vec();
        if self.chunked {
            header("Transfer-Encoding", "chunked");
            let first =
                if body.is_empty() { Vec::new() } else { format!("{:x}\r\n", body.len()).into_bytes() };
            let between = if body.is_empty() { "0\r\n\r\n" } else { "\r\n0\r\n\r\n" };
            end = [&first[..], body, between.as_bytes()].concat();
        } else if self.body.is_some() {
            header("Content-Length", &body.len().to_string());
        }
        [bytes_of(&head), b"\r\n".to_vec(), end].concat()
    }

    /// Returns the URI, the host and the content type that nginx would pass to doorward. The result is
    /// approximate, which is enough for a test that calls doorward directly.
    pub(crate) fn question(&self) -> (String, String, String) {
        let behind = self.target.split_once("://").map(|(_, behind)| behind);
        let (host, uri) = match behind.filter(|_| !self.target.starts_with('/')) {
            Some(behind) => behind.split_at(behind.find('/').unwrap_or(behind.len())),
            None => (self.hosts.first().map_or("", String::as_str), &self.target[..]),
        };
        let content_type = self.content_type.clone().unwrap_or_default();
        (uri.to_owned(), host.to_lowercase(), content_type)
    }
}

/// Returns one of several values.
fn pick<'t, T: ?Sized>(random: &mut Random, of: &[&'t T]) -> &'t T {
    of[below(random, of.len())]
}

fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).expect("a small number")
}
