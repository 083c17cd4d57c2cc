//! The tables of upstreams: what can be set, and how each fault is told.

use super::*;
use crate::config::layers::ConfigLayers;

fn read(text: &str) -> (Vec<UpstreamConfig>, Vec<String>) {
    read_with(text, &[("DOORWARD_PROXY_SECRET_FILE", "/run/secret")])
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> (Vec<UpstreamConfig>, Vec<String>) {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("doorward.toml");
    std::fs::write(&path, format!("htpasswd.file = \"x\"\n{text}")).unwrap();
    let (settings, faults) = ConfigLayers::default()
        .with_environment(variables)
        .with_file(path.to_str().unwrap())
        .into_partial_config();
    let told = |fault: &crate::config::ConfigError| {
        fault.to_string().rsplit_once("doorward.toml:").unwrap_or_default().1.to_owned()
    };
    (settings.upstreams, faults.iter().map(told).collect())
}

#[test]
fn each_upstream_type_is_read() {
    let (upstreams, faults) = read(
        r#"
        [[upstream]]
        name = "releases"
        hosts = ["Registry.example.com", "*.example.org"]
        repositories = ["releases/**"]
        type = "basic"
        username = "robot"
        password_file = "/run/password"
        [[upstream]]
        hosts = ["other.example.com"]
        type = "bearer"
        token_file = "/run/token"
        [[upstream]]
        hosts = ["third.example.com"]
        type = "file"
        file = "/run/whole"
        anyone = true
        [[upstream]]
        type = "none"
        "#,
    );
    assert_eq!(faults, Vec::<String>::new());
    let names: Vec<&str> = upstreams.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["releases", "bearer", "file", "none"]);
    assert_eq!(upstreams[0].kind, UpstreamType::Basic("robot".into(), "/run/password".into()));
    assert_eq!(upstreams[1].kind, UpstreamType::Bearer("/run/token".into()));
    assert_eq!(upstreams[2].kind, UpstreamType::File("/run/whole".into()));
    assert!(upstreams[2].allow_anonymous && !upstreams[1].allow_anonymous && !upstreams[3].has_credentials());
}

#[test]
fn each_invalid_table_is_reported_with_line_and_remedy() {
    for (text, line, says) in [
        ("upstream = 1", 2, "[[upstream]]"),
        ("[[upstream]]\nname = \"x\"", 2, "type is missing"),
        ("[[upstream]]\ntype = \"basik\"", 3, "\"basic\""),
        ("[[upstream]]\ntype = \"basic\"\nusername = \"x\"", 2, "needs password_file"),
        ("[[upstream]]\ntype = \"basic\"\nusername = \"a:b\"\npassword_file = \"/x\"", 4, "no colon"),
        ("[[upstream]]\ntype = \"bearer\"", 2, "needs token_file"),
        (
            "[[upstream]]\ntype = \"bearer\"\ntoken = \"s3cret\"",
            4,
            "token: there is no such key; you may mean token_file",
        ),
        ("[[upstream]]\ntype = \"none\"\nfile = \"/x\"", 4, "no key of type none"),
        ("[[upstream]]\ntype = \"none\"\nhosts = [\"a b\"]", 4, "not a host name"),
        ("[[upstream]]\ntype = \"none\"\nhosts = []", 4, "leave it out"),
        ("[[upstream]]\ntype = \"none\"\nhosts = [\"https://a.test\"]", 4, "without scheme and port"),
        ("[[upstream]]\ntype = \"none\"\nhosts = [\"a.test:5000\"]", 4, "without scheme and port"),
        ("[[upstream]]\ntype = \"none\"\nrepositories = []", 4, "leave it out"),
        ("[[upstream]]\ntype = \"none\"\nrepositories = [\"home/{user}/*\"]", 4, "for the policy"),
        ("[[upstream]]\ntype = \"none\"\n[[upstream]]\ntype = \"none\"", 4, "two upstreams called none"),
        ("[[upstream]]\ntype = \"none\"\n[[upstream]]\nname = \"x\"\ntype = \"none\"", 4, "no request comes"),
    ] {
        let (_, faults) = read(text);
        let told = faults.iter().any(|fault| fault.starts_with(&format!("{line}:")) && fault.contains(says));
        assert!(told, "{text}: {faults:?}");
        assert!(faults.iter().all(|fault| !fault.contains("s3cret")), "{faults:?}");
    }
}

#[test]
fn upstream_credentials_require_the_proxy_secret_on_every_listener_field_c7() {
    let table = "[[upstream]]\ntype = \"bearer\"\ntoken_file = \"/x\"\n";
    for listen in [
        "",
        "listen = [\"unix:/run/doorward.sock\"]\n",
        "listen = [\"systemd:doorward\"]\n",
        "listen = [\"0.0.0.0:8000\"]\ntrusted_peers = [\"10.0.0.0/8\"]\n",
    ] {
        let (_, faults) = read_with(&format!("{listen}{table}"), &[]);
        let told = |fault: &String| {
            fault.contains("upstream bearer has credentials") && fault.contains("set proxy_secret_file")
        };
        assert!(faults.iter().any(told), "{listen}: {faults:?}");
        let (_, faults) = read(&format!("{listen}{table}"));
        assert_eq!(faults, Vec::<String>::new());
        let (_, faults) = read_with(&format!("{listen}[[upstream]]\ntype = \"none\""), &[]);
        assert_eq!(faults, Vec::<String>::new(), "there is nothing to protect");
    }
}

#[cfg(not(feature = "ecr"))]
#[test]
fn without_the_feature_it_is_said_what_to_take_instead() {
    let (_, faults) = read("[[upstream]]\ntype = \"ecr\"");
    assert!(
        faults.iter().any(|fault| fault.contains("-ecr") && fault.contains("--features ecr")),
        "{faults:?}"
    );
}

#[cfg(feature = "ecr")]
#[test]
fn ecr_account_is_read_and_invalid_values_are_reported() {
    let (upstreams, faults) = read(
        "[[upstream]]\ntype = \"ecr\"\nregion = \"eu-central-1\"\nrole_arn = \"arn:aws:iam::123456789012:role/x\"\nexternal_id = \"y\"",
    );
    assert_eq!(faults, Vec::<String>::new());
    let UpstreamType::Ecr(account) = &upstreams[0].kind else { panic!() };
    assert_eq!(account.region.as_deref(), Some("eu-central-1"));
    for (line, says) in [
        ("region = \"Frankfurt\"", "eu-central-1"),
        ("role_arn = \"x\"", "arn:aws:iam"),
        ("external_id = \"x\"", "set role_arn too"),
        ("endpoint = \"ftp://x\"", "https://"),
        ("endpoint = \"https://a:b@x\"", "https://"),
        ("endpoint = \"http://api.ecr.example.com\"", "https://"),
        ("token_file = \"/x\"", "no key of type ecr"),
    ] {
        let (_, faults) = read(&format!("[[upstream]]\ntype = \"ecr\"\n{line}"));
        assert!(faults.iter().any(|fault| fault.contains(says)), "{line}: {faults:?}");
    }
}
