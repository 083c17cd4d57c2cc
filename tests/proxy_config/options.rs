//! Options that are required, unknown, renamed, or contradict each other.

use super::{assert_refused, assert_valid, ecr, files, site};
use crate::support::nginx::Image;
use crate::support::process;

#[test]
fn missing_option_is_named_with_an_example() {
    assert_valid(&site());
    assert_refused(&site().set("UPSTREAM", ""), &["upstream: missing", "such as registry:5000"]);
    assert_refused(&site().set("AUTH", ""), &["auth: missing", "unix:/run/doorward/doorward.sock"]);
    let said = [
        "tls_certificate: the file /etc/nginx/tls/tls.crt does not exist",
        "tls_key: the file /etc/nginx/tls/tls.key does not exist",
        "openssl req",
        "set plain_http",
    ];
    assert_refused(&site().set("PLAIN_HTTP", ""), &said);
    let all = process::run(Image::new().set("PLAIN_HTTP", "on").command()).stderr;
    assert!(all.contains("upstream: missing") && all.contains("auth: missing"), "{all}");
}

#[test]
fn unknown_or_renamed_variable_is_an_error_with_the_present_name() {
    assert_refused(
        &site().set("UPSTREAMS", "x:1"),
        &["NGX_DOORWARD_UPSTREAMS: unknown variable; did you mean \"NGX_DOORWARD_UPSTREAM\"?"],
    );
    assert_refused(
        &site().set("QQQ", "x"),
        &["NGX_DOORWARD_QQQ: unknown variable", "--help lists all options"],
    );
    for (old, new) in [
        ("BACKEND", "UPSTREAM"),
        ("BACKEND_CA", "UPSTREAM_CA"),
        ("SECRET_FILE", "PROXY_SECRET_FILE"),
        ("PROTO", "SCHEME"),
        ("SERVER_NAMES", "SERVER_NAME"),
    ] {
        let said = format!("NGX_DOORWARD_{old}: unknown variable; did you mean \"NGX_DOORWARD_{new}\"?");
        assert_refused(&site().set(old, "x:1"), &[&said]);
    }
    let image = site().settings_file("[proxy_config]\nproto = \"https\"\n");
    assert_refused(&image, &["doorward.toml:2:1: unknown key \"proto\"; did you mean \"scheme\"?"]);
    // An empty value is "not set" in a compose file. The name must exist nevertheless.
    assert_valid(&site().set("FACTS", "").set("SCHEME", ""));
}

#[test]
fn variables_of_kubernetes_docker_and_compose_are_ignored_field_o10() {
    let links = [
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_PORT", "80"),
        ("SERVICE_PORT_HTTP", "80"),
        ("PORT", "tcp://10.0.0.1:80"),
        ("PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("PORT_80_TCP_ADDR", "10.0.0.1"),
        ("PORT_80_TCP_PORT", "80"),
        ("PORT_80_TCP_PROTO", "tcp"),
        ("METRICS_SERVICE_HOST", "10.0.0.1"),
        ("METRICS_PORT_9000_TCP_ADDR", "10.0.0.1"),
        ("METRICS_PORT", "tcp://10.0.0.1:9000"),
        ("NAME", "/doorward/ngx-doorward"),
        ("ENV_TZ", "UTC"),
    ];
    let compose = [("PUBLISH", "8443"), ("SUBNET", "172.31.255.0/28"), ("TLS_NAME", "registry.example.com")];
    let plain = assert_valid(&site());
    let image = links.iter().chain(&compose).fold(site(), |image, (name, value)| image.set(name, *value));
    assert_eq!(assert_valid(&image), plain);
    for similar in ["TLS_NAMES", "PUBLISHED", "PORTS", "PORT"] {
        assert_refused(&site().set(similar, "x"), &[&format!("NGX_DOORWARD_{similar}: unknown variable")]);
    }
}

#[test]
fn option_of_another_kind_is_refused_with_both_kinds() {
    let registry = || site().set("KIND", "registry");
    let authority = "/etc/ssl/cert.pem";
    for (name, value, kinds) in [
        ("TOKENS", "mixed", "registry"),
        ("PUSH", "on", "registry or ecr"),
        ("UPSTREAM_CA", authority, "ecr"),
        ("REDIRECTS", "follow", "ecr"),
        ("REDIRECT_HOSTS", "a.test", "ecr"),
    ] {
        let said = format!("NGX_DOORWARD_{name}: requires the kind {kinds}, not site; remove one of them");
        assert_refused(&site().set(name, value), &[&said]);
    }
    for (name, value) in [("UPSTREAM_CA", authority), ("REDIRECTS", "follow"), ("REDIRECT_HOSTS", "a.test")] {
        let said = format!("NGX_DOORWARD_{name}: requires the kind ecr, not registry");
        assert_refused(&registry().set(name, value), &[&said]);
    }
    for (name, value) in [("MAX_BODY_SIZE", "1g"), ("BODY_WITH_ANY_METHOD", "on"), ("PUBLIC_PATHS", "/a/")] {
        let said = format!("NGX_DOORWARD_{name}: requires the kind site, not registry");
        assert_refused(&registry().set(name, value), &[&said]);
        assert_valid(&site().set(name, value));
    }
    let said = "NGX_DOORWARD_FACTS: requires the kind registry or site, not ecr";
    assert_refused(&ecr().set("FACTS", "plan"), &[said]);
    let said = "NGX_DOORWARD_TOKENS: requires the kind registry, not ecr";
    assert_refused(&ecr().set("TOKENS", "registry").set("PUBLIC", "127.0.0.1:8002"), &[said]);
    let said = "NGX_DOORWARD_REDIRECT_HOSTS: has no effect without redirects = follow";
    assert_refused(&ecr().set("REDIRECT_HOSTS", "a.test"), &[said]);
    assert_refused(
        &ecr().set("PROXY_SECRET_FILE", ""),
        &["proxy_secret_file: missing: the kind ecr requires it"],
    );
}

#[test]
fn tokens_require_doorward_and_its_public_listener() {
    let registry = |tokens: &str| site().set("KIND", "registry").set("TOKENS", tokens);
    for tokens in ["mixed", "registry"] {
        let said = ["public: missing: tokens require", "public.listen", "127.0.0.1:8002"];
        assert_refused(&registry(tokens), &said);
        let said = "NGX_DOORWARD_AUTH: is another auth service, and only doorward issues tokens";
        let image = registry(tokens).set("PUBLIC", "127.0.0.1:8002");
        assert_refused(&image.set("AUTH", "http://127.0.0.1:8000/auth"), &[said]);
    }
    let unused = assert_valid(&registry("off").set("PUBLIC", "127.0.0.1:8002"));
    assert!(!unused.contains("8002"), "compose.yaml always names the address: {unused}");
    assert_refused(&registry("mixed").set("PUBLIC", "8002"), &["NGX_DOORWARD_PUBLIC: must have a port"]);
    let both = registry("registry").set("PUBLIC", "127.0.0.1:8002").set("FACTS", "plan");
    assert_refused(
        &both,
        &["NGX_DOORWARD_FACTS: requires an auth check, which tokens = registry does not run"],
    );
}

#[test]
fn each_token_mode_is_written_and_off_changes_nothing() {
    let registry = || site().set("KIND", "registry");
    for tokens in ["mixed", "registry"] {
        let image = registry().set("TOKENS", tokens).set("PUBLIC", "127.0.0.1:8002");
        let output = image.try_out();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let text = image.written();
        // Clients reach only the public listener at this location, and never the auth listener.
        let passed_on = text.lines().find(|line| line.contains("/token$is_args")).map(str::trim);
        assert_eq!(passed_on, Some("proxy_pass http://doorward_public/token$is_args$args;"), "{text}");
        assert!(text.contains("    server 127.0.0.1:8002;\n"), "{text}");
        let warned = output.stderr.contains("the registry must verify tokens itself");
        assert_eq!(warned, tokens == "registry", "{}", output.stderr);
        let location = text.split("location ^~ /v2/ {").nth(1).and_then(|rest| rest.split('}').next());
        let unchecked = location.expect("a location").contains("auth_request off;");
        assert_eq!(unchecked, tokens == "registry", "{text}");
    }
    let without = assert_valid(&registry());
    assert_eq!(assert_valid(&registry().set("TOKENS", "off")), without);
    assert!(!without.contains("location = /token"), "{without}");
}

#[test]
fn unrelated_environment_variables_change_nothing_pitfall_p45() {
    let written = assert_valid(&site());
    let image = site();
    let mut command = image.command();
    for name in ["host", "scheme", "request_uri", "doorward_status", "http_upgrade", "NGINX_ENVSUBST_FILTER"]
    {
        command.env(name, "evil");
    }
    assert_eq!(process::run(command).code, Some(0));
    assert_eq!(image.written().replace(&image.root().display().to_string(), ""), written);
}

#[test]
fn flag_has_priority_over_variable_and_variable_over_file() {
    let file =
        "[proxy_config]\nserver_name = \"file.test\"\nmax_body_size = \"1m\"\nbody_with_any_method = true\n";
    let image = site().settings_file(file).set("SERVER_NAME", "variable.test").set("MAX_BODY_SIZE", "2m");
    let text = assert_valid(&image.argument("--server-name").argument("flag.test"));
    assert!(text.contains("server_name flag.test;") && text.contains("client_max_body_size 2m;"), "{text}");
    assert!(!text.contains("if ($doorward_bad_body)"), "{text}");
    let image = site().argument("--kind").argument("sites");
    let output = process::run(image.command());
    assert_eq!(output.code, Some(2), "an error of usage: {output:?}");
    assert_eq!(output.stderr, "doorward: --kind: must be registry, site or ecr\n");
    assert_eq!(files(&image), Vec::<String>::new());
}

#[test]
fn several_servers_need_their_own_options_and_distinct_names() {
    let two = |more: &str| {
        let text = format!(
            "[proxy_config]\nauth = \"127.0.0.1:8000\"\nplain_http = true\nupstream = \"127.0.0.1:5000\"\nlisten = \"127.0.0.1:28080\"\n[[proxy_config.server]]\nkind = \"registry\"\nserver_name = [\"a.test\"]\n[[proxy_config.server]]\n{more}\n"
        );
        Image::new().settings_file(&text)
    };
    assert_valid(&two("server_name = [\"b.test\"]"));
    let said = ["server_name: two servers have the same name and address"];
    assert_refused(&two("server_name = [\"a.test\", \"b.test\"]"), &said);
    let image = two("server_name = [\"b.test\"]").set("KIND", "site");
    assert_refused(&image, &["NGX_DOORWARD_KIND: applies to one server, and the settings file has several"]);
    assert_refused(
        &two("auth = \"127.0.0.1:1\""),
        &["doorward.toml:10:1: auth: applies to all servers; write it in [proxy_config]"],
    );
    assert_refused(&two("kind = [\"site\"]"), &["doorward.toml:10:1: kind: must be one value, not a list"]);
    assert_refused(&two("server_name = []"), &["server_name: must have a name; _ is every name"]);
    assert_refused(
        &two("server_name = \"b.test\"\nlisten = \"127.0.0.1:28080\"\nplain_http = false\nfile_check = 1"),
        &["unknown key \"file_check\"; did you mean \"file_checks\"?"],
    );
}

#[test]
fn list_without_a_value_is_not_set() {
    let file = "[proxy_config]\nfacts = [\"plan\"]\n";
    let plan = "proxy_set_header X-Auth-Fact-plan ";
    for blank in ["", " ", ",", " , "] {
        let text = assert_valid(&site().settings_file(file).set("FACTS", blank));
        assert!(text.contains(plan), "{blank:?}: {text}");
    }
    let text = assert_valid(&site().settings_file(file).set("FACTS", "tier"));
    assert!(text.contains("X-Auth-Fact-tier") && !text.contains(plan), "{text}");
    let server = |name: &str| {
        format!(
            "[[proxy_config.server]]\nplain_http = true\nupstream = \"127.0.0.1:5000\"\nlisten = \"127.0.0.1:28080\"\nserver_name = \"{name}\"\nfacts = [\"plan\"]\n"
        )
    };
    let two = format!("[proxy_config]\nauth = \"127.0.0.1:8000\"\n{}{}", server("a.test"), server("b.test"));
    let image = Image::new().settings_file(&two).set("FACTS", " ");
    assert_eq!(
        assert_valid(&image).matches(plan).count(),
        2 * assert_valid(&site().set("FACTS", "plan")).matches(plan).count()
    );
    let said = "NGX_DOORWARD_FACTS: applies to one server, and the settings file has several";
    assert_refused(&Image::new().settings_file(&two).set("FACTS", "tier"), &[said]);
}

#[test]
fn list_is_read_from_a_flag_as_from_a_variable() {
    for list in ["plan,tier", "plan,,tier", " plan , tier,"] {
        let flag = assert_valid(&site().argument("--facts").argument(list));
        assert_eq!(flag, assert_valid(&site().set("FACTS", list)), "{list}");
        assert!(flag.contains("X-Auth-Fact-plan") && flag.contains("X-Auth-Fact-tier"), "{flag}");
    }
    for empty in ["", ",", " "] {
        let output = process::run(site().argument("--facts").argument(empty).command());
        assert_eq!(output.code, Some(2), "{empty:?}: {output:?}");
        assert!(
            output.stderr.starts_with("doorward: --facts: must be the name of a fact"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn table_of_servers_with_a_wrong_name_is_an_error_with_the_right_one() {
    let said = "unknown key \"servers\"; did you mean \"[[proxy_config.server]]\"?";
    for text in ["[proxy_config]\nservers = \"a\"\n", "[[proxy_config.servers]]\nkind = \"site\"\n"] {
        assert_refused(&site().settings_file(text), &[said]);
    }
}
