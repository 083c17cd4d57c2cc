//! Settings of the nginx container.

use std::fs;

use crate::support::client::{Request, tcp, unix};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Image, Nginx, alice, assert_challenge, busybox};
use crate::support::upstream::{Upstream, empty};
use crate::support::{eventually, users};

/// Returns a container with the required settings. No server listens at the addresses.
fn two() -> Image {
    Image::new()
        .set("UPSTREAM", "127.0.0.1:5000")
        .set("AUTH", "127.0.0.1:8000")
        .set("PLAIN_HTTP", "on")
        .set("LISTEN", "127.0.0.1:28080")
}

/// Returns the container with the shell of Debian and, if available, with that of Alpine.
fn each_shell(image: impl Fn() -> Image) -> Vec<Image> {
    let alpine = busybox().map(|busybox| image().on(&busybox));
    [Some(image()), alpine].into_iter().flatten().collect()
}

/// Checks that the container does not start and that its output contains all parts of `said`.
fn assert_refused(image: impl Fn() -> Image, said: &[&str]) {
    for image in each_shell(image) {
        let output = image.try_out();
        assert_ne!(output.code, Some(0), "{said:?}: {output:?}");
        for part in said {
            assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
        }
        assert!(!output.stderr.contains("test is successful"), "{}", output.stderr);
    }
}

/// Checks that the container would start. Returns the generated configuration.
fn assert_valid(image: impl Fn() -> Image) -> String {
    let mut written = String::new();
    for image in each_shell(image) {
        let output = image.try_out();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let text = fs::read_to_string(image.path("etc/nginx/conf.d/default.conf")).unwrap();
        written = text.replace(&image.root().display().to_string(), "");
        assert!(!written.contains("NGX_DOORWARD_CONF_"), "{written}");
    }
    written
}

#[test]
fn two_settings_protect_a_site() {
    for image in each_shell(Image::new) {
        let doorward = Doorward::start(&users::two(), &[]);
        let site = Upstream::start("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome");
        let nginx = Nginx::of(
            image
                .set("UPSTREAM", site.address.to_string())
                .set("AUTH", tcp(&doorward.address).to_string())
                .set("PLAIN_HTTP", "on"),
        );
        let answer = nginx.ask(&Request::get("/"));
        assert_eq!((answer.status, &answer.text()[..]), (401, "Authentication is required.\n"));
        assert_eq!(nginx.ask(&Request::get("/").basic("alice", "x")).status, 401);
        assert_eq!(site.received(), "");
        assert_eq!(nginx.ask(&alice(Request::get("/a%2Fb?c=%20"))).text(), "welcome");
        assert!(site.received().starts_with("GET /a%2Fb?c=%20 HTTP/1.1\r\n"), "{}", site.received());
        // nginx writes the log line after the response.
        let log = eventually("alice is in the log", || {
            let log = fs::read_to_string(nginx.image().path("var/log/nginx/access.log")).unwrap();
            log.contains(" \"alice\" [").then_some(log)
        });
        assert!(!log.contains("Basic"), "{log}");
    }
}

#[test]
fn registry_and_doorward_over_unix_sockets_work() {
    let dir = tempfile::tempdir().unwrap();
    let socket = unix(&dir.path().join("doorward.sock"));
    let _doorward = Doorward::start(&users::two(), &["--listen", &socket]);
    let registry = Upstream::start(&empty("200 OK"));
    let image = Image::new().set("KIND", "registry").set("AUTH", socket).set("PLAIN_HTTP", "on");
    let nginx = Nginx::of(image.set("UPSTREAM", registry.address.to_string()));
    assert_challenge(&nginx.ask(&Request::get("/v2/")));
    assert_eq!(nginx.ask(&alice(Request::get("/v2/"))).status, 200);
}

#[test]
fn missing_setting_is_named() {
    let without = |name: &'static str| move || two().set(name, "");
    assert_valid(two);
    assert_refused(
        without("UPSTREAM"),
        &["NGX_DOORWARD_UPSTREAM is not set", "NGX_DOORWARD_UPSTREAM=registry:5000"],
    );
    assert_refused(without("AUTH"), &["NGX_DOORWARD_AUTH is not set", "unix:/run/doorward/doorward.sock"]);
    assert_refused(
        without("PLAIN_HTTP"),
        &["/etc/nginx/tls/tls.crt", "openssl req", "NGX_DOORWARD_PLAIN_HTTP=on"],
    );
}

#[test]
fn unknown_or_renamed_setting_is_an_error_and_kubernetes_variables_are_ignored() {
    let said = ["unknown setting NGX_DOORWARD_UPSTREAMS", "TOKENS UPSTREAM UPSTREAM_CA"];
    assert_refused(|| two().set("UPSTREAMS", "x:1"), &said);
    for (old, new) in
        [("BACKEND", "UPSTREAM"), ("BACKEND_CA", "UPSTREAM_CA"), ("SECRET_FILE", "PROXY_SECRET_FILE")]
    {
        let said = format!("NGX_DOORWARD_{old} was renamed to NGX_DOORWARD_{new}");
        assert_refused(|| two().set(old, "x:1"), &[&said]);
    }
    let links = || two().set("SERVICE_HOST", "10.0.0.1").set("PORT", "tcp://10.0.0.1:80");
    assert_valid(|| links().set("PORT_80_TCP_ADDR", "10.0.0.1"));
    // The settings of compose.yaml, as `env_file: .env` passes them (O10). A similar name is an error.
    let compose = || two().set("PUBLISH", "8443").set("SUBNET", "172.31.255.0/28");
    assert_valid(|| compose().set("TLS_NAME", "registry.example.com"));
    assert_refused(|| compose().set("TLS_NAMES", "x"), &["unknown setting NGX_DOORWARD_TLS_NAMES"]);
}

#[test]
fn value_that_would_inject_configuration_is_refused_as_in_ingress_nginx_cve_2025_24514_and_cve_2026_1580() {
    let harmful =
        ["a;b:80", "a{b:80", "a}:80", "a b:80", "a\nb:80", "a\"b:80", "a'b:80", "$host:80", "a\\b:80"];
    for name in ["UPSTREAM", "AUTH", "SERVER_NAME", "LISTEN", "REAL_IP_FROM", "RESOLVER", "KIND", "PROTO"] {
        for value in harmful {
            assert_refused(|| two().set(name, value), &[&format!("NGX_DOORWARD_{name}")]);
        }
    }
    for path in ["/a b", "/a;b", "/a\nb", "/$host", "/a{b", "/a\"b", "/a'b", "/a\\b", "/a#b"] {
        let value = format!("http://127.0.0.1:8000{path}");
        assert_refused(|| two().set("AUTH", &value), &["NGX_DOORWARD_AUTH", "a path can contain letters"]);
    }
}

#[test]
fn invalid_address_is_refused_with_the_remedy() {
    for (value, said) in [
        ("registry", "has no port; write host:port"),
        ("registry:", "must end in a port between 1 and 65535"),
        ("registry:0", "must end in a port between 1 and 65535"),
        ("registry:65536", "must end in a port between 1 and 65535"),
        ("registry:http", "must end in a port between 1 and 65535"),
        (":5000", "is not host:port"),
        ("-x:5000", "is not host:port"),
        ("http://registry:5000", "remove the scheme and the path"),
        ("https://registry:5000", "remove the scheme and the path"),
        ("fd00::1:5000", "in brackets"),
        ("[fd00::g]:5000", "must contain an IPv6 address"),
        ("[]:5000", "must contain an IPv6 address"),
        ("unix:run/x.sock", "must begin with a slash"),
        ("unix:/run/x.sock:/auth", "the path of a socket"),
    ] {
        assert_refused(|| two().set("UPSTREAM", value), &["NGX_DOORWARD_UPSTREAM=", said]);
    }
    for value in ["127.0.0.1:1", "[::1]:65535", "unix:/run/x.sock", "localhost:5000"] {
        assert_valid(|| two().set("UPSTREAM", value));
    }
    for (value, said) in [
        ("https://127.0.0.1/auth", "TLS is not supported"),
        ("http://127.0.0.1:8000", "has no path"),
        ("http://user@127.0.0.1/auth", "is not host:port"),
        ("http://unix:/run/x.sock:/auth", "write a unix socket as unix:/path"),
        ("http:///auth", "is not host:port"),
    ] {
        assert_refused(|| two().set("AUTH", value), &["NGX_DOORWARD_AUTH=", said]);
    }
    for value in ["http://127.0.0.1/auth", "http://[::1]:8000/a/b?c=d&e=%20", "unix:/run/x.sock"] {
        assert_valid(|| two().set("AUTH", value));
    }
}

#[test]
fn invalid_value_is_refused_with_the_remedy() {
    for (name, value, said) in [
        ("KIND", "registries", "is not one of: registry site"),
        ("PLAIN_HTTP", "yes", "is not one of: on off"),
        ("PROTO", "spdy", "is not one of: http https"),
        ("LISTEN", "localhost:80", "is not PORT or ADDRESS:PORT"),
        ("LISTEN", "99999", "must end in a port between"),
        ("SERVER_NAME", "~^.*$", "separate names by commas"),
        ("REAL_IP_FROM", "balancer", "is not a list of addresses"),
        ("REAL_IP_FROM", "10.0.0.0/8,0.0.0.0/0", "every client can set its own address"),
        ("RESOLVER", "dns.example", "is not a list of addresses"),
        ("MAX_BODY_SIZE", "1.5g", "is not a size, like 100m"),
        ("MAX_BODY_SIZE", "100mb", "is not a size, like 100m"),
        ("MAX_BODY_SIZE", "-1", "is not a size, like 100m"),
        ("MAX_BODY_SIZE", "m", "is not a size, like 100m"),
        ("BODY_WITH_ANY_METHOD", "yes", "is not one of: on off"),
        ("FACTS", "Plan", "lower-case letters, digits and hyphens"),
        ("FACTS", "plan customer", "separate facts by commas"),
        ("FACTS", "plan,x;y", "separate facts by commas"),
        ("FACTS", "-plan", "-plan is not the name of a fact"),
        ("FACTS", "a23456789012345678901234567890123", "is not the name of a fact"),
    ] {
        assert_refused(|| two().set(name, value), &[&format!("NGX_DOORWARD_{name}="), said]);
    }
    let all = || {
        let names = two().set("SERVER_NAME", "registry.example.com,*.example.com").set("KIND", "registry");
        names
            .set("REAL_IP_FROM", "10.0.0.0/8,fd00::/8,192.0.2.1")
            .set("PROTO", "https")
            .set("LISTEN", "28081")
            .set("RESOLVER", "10.0.0.2,[fd00::53]:5353")
            .set("UPSTREAM", "app.test:80")
    };
    for (name, value) in [("MAX_BODY_SIZE", "1g"), ("BODY_WITH_ANY_METHOD", "on")] {
        let said = format!("NGX_DOORWARD_{name} requires NGX_DOORWARD_KIND=site, and it is registry");
        assert_refused(|| two().set("KIND", "registry").set(name, value), &[&said]);
        assert_valid(|| two().set(name, value));
    }
    assert!(assert_valid(two).contains("    client_max_body_size 100m;\n"), "a site has a limit");
    let facts = assert_valid(|| two().set("FACTS", "plan,customer-id"));
    for line in [
        "auth_request_set $doorward_fact_customer_id $upstream_http_x_auth_fact_customer_id;",
        "proxy_set_header X-Auth-Fact-customer-id $doorward_fact_customer_id;",
        "proxy_hide_header X-Auth-Fact-plan;",
    ] {
        assert!(facts.contains(&format!("        {line}\n")), "{line}: {facts}");
    }
    let said = "NGX_DOORWARD_FACTS requires NGX_DOORWARD_KIND=registry or site, and it is ecr";
    assert_refused(|| two().set("KIND", "ecr").set("FACTS", "plan"), &[said]);
    let written = assert_valid(all);
    for line in [
        "    client_max_body_size 0;\n",
        "    server_name registry.example.com *.example.com;\n",
        "    listen 28081;\n",
        "    set_real_ip_from fd00::/8;\n",
        "    default https;\n",
        "resolver 10.0.0.2 [fd00::53]:5353 valid=2s",
    ] {
        assert!(written.contains(line), "{line}: {written}");
    }
}

#[test]
fn unrelated_environment_variables_change_nothing_pitfall_p45() {
    let written = assert_valid(two);
    let hostile = || {
        let names = ["host", "scheme", "request_uri", "doorward_status", "http_upgrade"];
        names.iter().fold(two(), |image, name| image.environment(name, "evil"))
    };
    assert_eq!(assert_valid(hostile), written);
    // A user's own filter is combined with that of doorward, so that the user's own templates work.
    let own = || hostile().environment("NGINX_ENVSUBST_FILTER", "^MINE_").environment("MINE_NAME", "hello");
    let image = own().file("etc/nginx/templates/mine.inc.template", "# ${MINE_NAME} $host\n");
    assert_eq!(image.try_out().code, Some(0));
    assert_eq!(fs::read_to_string(image.path("etc/nginx/conf.d/mine.inc")).unwrap(), "# hello $host\n");
}

#[test]
fn short_name_in_kubernetes_is_refused_with_the_full_name() {
    let cluster = |resolve: &'static str| {
        let text = format!("nameserver 10.96.0.10\nsearch {resolve}\noptions ndots:5\n");
        move || two().file("etc/resolv.conf", &text).set("AUTH", "doorward:8000")
    };
    let said = ["NGX_DOORWARD_AUTH: write the full name, doorward.shop.svc.cluster.local"];
    assert_refused(cluster("shop.svc.cluster.local svc.cluster.local cluster.local"), &said);
    let written = assert_valid(cluster("example.com"));
    assert!(written.contains("resolver 10.96.0.10 valid=2s"), "{written}");
}

#[test]
fn name_in_the_hosts_file_is_resolved_at_start() {
    let resolver = "nameserver 127.0.0.11\n";
    let image = || {
        let names = "127.0.0.1 localhost\n127.0.0.1 Localhost.Localdomain # and more\n";
        let image = two().file("etc/resolv.conf", resolver).file("etc/hosts", names);
        image.set("UPSTREAM", "localhost:5000")
    };
    let written = assert_valid(image);
    assert!(written.contains("    server localhost:5000;\n") && !written.contains("resolver "), "{written}");
    let written = assert_valid(|| image().set("UPSTREAM", "more:5000"));
    assert!(written.contains("resolver 127.0.0.11 valid=2s"), "a comment is no name: {written}");
}

#[test]
fn listen_port_alone_includes_ipv6_if_available() {
    let written = assert_valid(|| two().set("LISTEN", "28087"));
    // The file has no size that can be checked, so its text is read.
    let any = fs::read_to_string("/proc/net/if_inet6").is_ok_and(|text| !text.is_empty());
    assert_eq!(written.contains("    listen 28087;\n    listen [::]:28087;\n"), any, "{written}");
    for listen in ["127.0.0.1:28087", "*:28087"] {
        let written = assert_valid(|| two().set("LISTEN", listen));
        assert!(
            written.contains(&format!("    listen {listen};\n")) && !written.contains("[::]"),
            "{written}"
        );
    }
}
