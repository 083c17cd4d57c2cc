//! Values that would inject configuration into nginx, in every option.

use super::{assert_refused, site};
use crate::support::nginx::Image;
use crate::support::process;

/// Returns the variables of all options, from the help.
fn variables() -> Vec<String> {
    let mut help = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"));
    help.args(["proxy-config", "nginx", "--help"]);
    let help = process::run(help).stdout;
    let names = help.split("[env: NGX_DOORWARD_").skip(1).filter_map(|rest| rest.split(']').next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() >= 29, "{names:?}");
    names
}

/// Returns nginx with the options without which the option is an error of another kind.
fn image_for(option: &str) -> Image {
    match option {
        "TOKENS" | "PUBLIC" => site().set("KIND", "registry").set("TOKENS", "mixed"),
        "UPSTREAM_CA" | "REDIRECTS" => super::ecr(),
        "REDIRECT_HOSTS" => super::ecr().set("REDIRECTS", "follow"),
        "TLS_CERTIFICATE" | "TLS_KEY" => site().pair("DNS:a.test").set("PLAIN_HTTP", ""),
        _ => site(),
    }
}

#[test]
fn value_that_would_inject_configuration_is_refused_in_every_option_cve_2025_24514_and_cve_2026_1580() {
    let whole = [
        ";",
        "a;b:80",
        "a{b:80",
        "a}:80",
        "a b:80",
        "a\nb:80",
        "a\rb:80",
        "a\"b:80",
        "a'b:80",
        "$host:80",
        "${host}:80",
        "a\\b:80",
        "#",
        "/a b/",
        "/a;b/",
        "/a\nb/",
        "/$host/",
        "/a{b/",
        "/a}/",
        "/a\"b/",
        "/a'b/",
        "/a\\b/",
        "/a#b/",
        "https://a;b",
        "https://$host",
        "https://a\"b",
        "http://a:80/;",
        "http://a:80/$host",
        "http://a:80/a b",
        "http://$host:80/a",
        "unix:/a;b",
        "unix:/$host",
        "a\u{7f}:80",
        "\u{e9}:80",
        "/\u{e9}/",
    ];
    for option in variables() {
        let mut image = image_for(&option);
        for value in whole {
            image = image.set(&option, value);
            let said = assert_refused(&image, &[&format!("NGX_DOORWARD_{option}: ")]);
            assert!(said.lines().all(|line| line.starts_with("doorward: ")), "{said}");
        }
    }
}

#[test]
fn value_of_10_000_characters_is_refused_in_every_option() {
    for option in variables() {
        let mut image = image_for(&option);
        for value in [
            "a".repeat(10_000),
            "1".repeat(10_000),
            format!("/{}/", "a".repeat(9_998)),
            format!("unix:/{}", "a".repeat(9_994)),
            format!("https://{}.test", "a".repeat(9_987)),
            format!("http://{}:80/a", "a.".repeat(4_990)),
            format!("{}:80", "a.b".repeat(3_332)),
        ] {
            image = image.set(&option, value);
            let said = assert_refused(&image, &[&format!("NGX_DOORWARD_{option}: ")]);
            assert!(said.len() < 2_000, "the value is not repeated: {} bytes", said.len());
        }
    }
}

#[test]
fn nul_and_escapes_in_the_settings_file_are_refused_at_their_place() {
    for option in variables() {
        let key = option.to_lowercase();
        let mut image = image_for(&option).settings_file("").set(&option, "");
        for text in
            ["a\\u0000b:80", "/a\\u0000b/", "https://a\\u0000b", "a\\nb:80", "/a\\u001b[31m/", "\\u202e:80"]
        {
            image = image.file("doorward.toml", &format!("[proxy_config]\n{key} = \"{text}\"\n"));
            let place = format!("doorward.toml:2:{}: {key}: ", key.len() + 4);
            let said = assert_refused(&image, &[&place]);
            assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said}");
        }
    }
}

#[test]
fn settings_file_of_another_shape_is_refused_at_its_place() {
    for (text, said) in [
        ("proxy_config = 1\n", "doorward.toml:1:1: proxy_config: must be a table"),
        ("[proxy_config]\nserver = 1\n", "doorward.toml:2:1: proxy_config.server: must be a list of tables"),
        ("[proxy_config]\nserver = [1]\n", "proxy_config.server: must be a table: [[proxy_config.server]]"),
        (
            "[proxy_config]\nlisten = 1.5\n",
            "proxy_config: listen: must be a string, a whole number, true, false",
        ),
        ("[proxy_config]\nlisten = {a = 1}\n", "proxy_config: listen: must be a string"),
        ("[proxy_config]\nlisten = 0x50\n", "proxy_config: listen: must be a string"),
        ("[proxy_config]\nfacts = [[\"a\"]]\n", "proxy_config: facts: must be a string"),
        (
            "[proxy_config]\nauths = \"a:1\"\n",
            "doorward.toml:2:1: unknown key \"auths\"; did you mean \"auth\"?",
        ),
        ("[proxy_config\n", "doorward.toml:1:"),
    ] {
        assert_refused(&site().settings_file(text), &[said]);
    }
    let missing = site().argument("--config").argument("/no/such.toml");
    assert_refused(&missing, &["the settings file cannot be read: the file does not exist"]);
}
