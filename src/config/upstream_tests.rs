//! The `[[upstream]]` tables: valid values, and the error of each invalid one.

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
    let (config, errors) = ConfigLayers::default()
        .with_environment(variables)
        .with_file(path.to_str().unwrap())
        .into_partial_config();
    let in_file = |error: &crate::config::ConfigError| {
        error.to_string().rsplit_once("doorward.toml:").unwrap_or_default().1.to_owned()
    };
    (config.upstreams, errors.iter().map(in_file).collect())
}

#[test]
fn each_upstream_type_is_read() {
    let (upstreams, errors) = read(
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
        allow_anonymous = true
        [[upstream]]
        type = "none"
        "#,
    );
    assert_eq!(errors, Vec::<String>::new());
    let names: Vec<&str> = upstreams.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["releases", "bearer", "file", "none"]);
    assert_eq!(upstreams[0].settings, UpstreamType::Basic("robot".into(), "/run/password".into()));
    assert_eq!(upstreams[1].settings, UpstreamType::Bearer("/run/token".into()));
    assert_eq!(upstreams[2].settings, UpstreamType::File("/run/whole".into()));
    assert!(upstreams[2].allow_anonymous && !upstreams[1].allow_anonymous && !upstreams[3].has_credentials());
}

#[test]
fn each_invalid_table_is_reported_with_line_and_remedy() {
    for (text, line, says) in [
        ("upstream = 1", 2, "[[upstream]]"),
        ("[[upstream]]\nname = \"x\"", 2, "type is missing"),
        ("[[upstream]]\ntype = \"basik\"", 3, "\"basic\""),
        ("[[upstream]]\ntype = \"basic\"\nusername = \"x\"", 2, "requires password_file"),
        ("[[upstream]]\ntype = \"basic\"\nusername = \"a:b\"\npassword_file = \"/x\"", 4, "no colon"),
        ("[[upstream]]\ntype = \"bearer\"", 2, "requires token_file"),
        (
            "[[upstream]]\ntype = \"bearer\"\ntoken = \"s3cret\"",
            4,
            "unknown key \"token\"; did you mean \"token_file\"?",
        ),
        ("[[upstream]]\ntype = \"none\"\nfile = \"/x\"", 4, "not a key of type none"),
        ("[[upstream]]\ntype = \"none\"\nhosts = [\"a b\"]", 4, "not a host name"),
        ("[[upstream]]\ntype = \"none\"\nhosts = []", 4, "delete the key"),
        ("[[upstream]]\ntype = \"none\"\nhosts = [\"https://a.test\"]", 4, "without scheme and port"),
        ("[[upstream]]\ntype = \"none\"\nhosts = [\"a.test:5000\"]", 4, "without scheme and port"),
        ("[[upstream]]\ntype = \"none\"\nrepositories = []", 4, "delete the key"),
        ("[[upstream]]\ntype = \"none\"\nrepositories = [\"home/{user}/*\"]", 4, "in the policy only"),
        (
            "[[upstream]]\ntype = \"none\"\n[[upstream]]\ntype = \"none\"",
            4,
            "two upstreams have the name none",
        ),
        ("[[upstream]]\ntype = \"none\"\n[[upstream]]\nname = \"x\"\ntype = \"none\"", 4, "never used"),
    ] {
        let (_, errors) = read(text);
        let is_reported =
            errors.iter().any(|error| error.starts_with(&format!("{line}:")) && error.contains(says));
        assert!(is_reported, "{text}: {errors:?}");
        assert!(errors.iter().all(|error| !error.contains("s3cret")), "{errors:?}");
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
        let (_, errors) = read_with(&format!("{listen}{table}"), &[]);
        let is_reported = |error: &String| {
            error.contains("upstream bearer has credentials") && error.contains("set proxy_secret_file")
        };
        assert!(errors.iter().any(is_reported), "{listen}: {errors:?}");
        let (_, errors) = read(&format!("{listen}{table}"));
        assert_eq!(errors, Vec::<String>::new());
        let (_, errors) = read_with(&format!("{listen}[[upstream]]\ntype = \"none\""), &[]);
        assert_eq!(errors, Vec::<String>::new(), "without credentials no secret is required");
    }
}

#[cfg(not(feature = "ecr"))]
#[test]
fn build_without_ecr_names_the_image_and_the_feature() {
    let (_, errors) = read("[[upstream]]\ntype = \"ecr\"");
    assert!(
        errors.iter().any(|error| error.contains("-ecr") && error.contains("--features ecr")),
        "{errors:?}"
    );
}

#[cfg(feature = "ecr")]
#[test]
fn ecr_account_is_read_and_invalid_values_are_reported() {
    let (upstreams, errors) = read(
        "[[upstream]]\ntype = \"ecr\"\nregion = \"eu-central-1\"\nrole_arn = \"arn:aws:iam::123456789012:role/x\"\nexternal_id = \"y\"",
    );
    assert_eq!(errors, Vec::<String>::new());
    let UpstreamType::Ecr(account) = &upstreams[0].settings else { panic!() };
    assert_eq!(account.region.as_deref(), Some("eu-central-1"));
    for (line, says) in [
        ("region = \"Frankfurt\"", "eu-central-1"),
        ("role_arn = \"x\"", "arn:aws:iam"),
        ("external_id = \"x\"", "requires role_arn"),
        ("endpoint = \"ftp://x\"", "https://"),
        ("endpoint = \"https://a:b@x\"", "https://"),
        ("endpoint = \"http://api.ecr.example.com\"", "https://"),
        ("token_file = \"/x\"", "not a key of type ecr"),
    ] {
        let (_, errors) = read(&format!("[[upstream]]\ntype = \"ecr\"\n{line}"));
        assert!(errors.iter().any(|error| error.contains(says)), "{line}: {errors:?}");
    }
}
