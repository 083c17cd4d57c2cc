//! Config of a chain that sends passwords in every way, and config files with an error next to a secret.

use std::fs;
use std::path::Path;

use super::marks::secret;

/// Settings that all authenticators share.
const COMMON: &str = r#"unknown_user_statuses = [404]
username_pointer = "/name"
accepted_if = { "/active" = true }
groups = [{ pointer = "/groups" }]
timeout = "1s"
connect_timeout = "500ms"
max_response_bytes = "16KiB"
"#;

/// Returns the settings of the whole chain: the htpasswd file, one authenticator for each way at `service`,
/// one without a listener, and one with a TLS failure.
pub(super) fn text(dir: &Path, service: &str, unused: &str) -> String {
    let presentations = [
        ("basic", "", r#"headers = { Authorization = "Basic {basic}", X-User = "{username}" }"#),
        ("bearer", "", r#"headers = { Authorization = "Bearer {password}", X-User = "{username}" }"#),
        (
            "form",
            "",
            "headers = { X-User = \"{username}\" }\nform = { user = \"{username}\", password = \"{password}\" }",
        ),
        (
            "json",
            "",
            "headers = { X-User = \"{username}\" }\njson = { user = \"{username}\", password = \"{password}\" }",
        ),
        ("query", "?user={username}", r#"headers = { X-Token = "{password}", X-User = "{username}" }"#),
    ];
    let mut text = format!("htpasswd.file = \"{}\"\n\n", dir.join("htpasswd").display());
    text += "[[authenticator]]\ntype = \"htpasswd\"\nname = \"file\"\n";
    let mut add = |name: &str, url: &str, more: &str| {
        // A secret of the service itself, in a file.
        let key = dir.join("service-key").display().to_string();
        let more = more.replace("headers = {", &format!("headers = {{ X-Api-Key = \"{{file:{key}}}\","));
        text +=
            &format!("\n[[authenticator]]\ntype = \"http\"\nname = \"{name}\"\nurl = \"{url}\"\n{more}\n");
        text += COMMON;
    };
    for (name, query, more) in presentations {
        add(name, &format!("{service}/{name}{query}"), more);
    }
    add("gone", &format!("{unused}/gone"), presentations[0].2);
    let tls = service.replace("http://", "https://");
    add("tls", &format!("{tls}/basic"), &format!("{}\nfallback_for = [\"gone\"]", presentations[0].2));
    text
}

/// Returns invalid settings, each with a secret in a file that they name: the path and the text.
pub(super) fn faulty(dir: &Path, service: &str) -> Vec<(String, String)> {
    let file = |name: &str, content: String| {
        let path = dir.join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let http = |more: &str| {
        let basic = "headers = { Authorization = \"Basic {basic}\" }";
        format!("[[authenticator]]\ntype = \"http\"\nurl = \"{service}/basic\"\n{basic}\n{more}\n")
    };
    let key = |content: String| {
        let path = file(&format!("key-{}", content.len()), content);
        let basic = "headers = { Authorization = \"Basic {basic}\"";
        let text = http("").replace(basic, &format!("{basic}, X-Api-Key = \"{{file:{path}}}\""));
        (path, text)
    };
    let framed = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", secret("pem"));
    let (pem, junk) = (file("key.pem", framed), file("junk.pem", secret("junk")));
    let client = http(&format!("client_cert_file = \"{junk}\"\nclient_key_file = \"{pem}\""));
    let authority = http(&format!("ca_file = \"{junk}\""));
    vec![
        key(format!("{}\n{}\n", secret("one line"), secret("another line"))),
        key(secret("control") + "\u{7}"),
        (junk.clone(), client),
        (junk, authority),
    ]
}
