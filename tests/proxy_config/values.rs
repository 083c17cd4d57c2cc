//! Values of single options that are refused, with the remedy.

use super::{assert_refused, assert_valid, ecr, site};

#[test]
fn invalid_address_is_refused_with_the_remedy() {
    for (value, said) in [
        ("registry", "must have a port: HOST:PORT"),
        ("app.example.com", "must have a port: HOST:PORT"),
        ("10.0.0.7", "must have a port: HOST:PORT"),
        ("registry:", "the port must be a number from 1 to 65535"),
        ("registry:0", "the port must be a number from 1 to 65535"),
        ("registry:65536", "the port must be a number from 1 to 65535"),
        ("registry:http", "the port must be a number from 1 to 65535"),
        ("registry:080", "the port must be a number from 1 to 65535"),
        (":5000", "the host must be"),
        ("-x:5000", "the host must be an address, or a name"),
        ("a..b:5000", "the host must be an address, or a name"),
        (".a:5000", "the host must be an address, or a name"),
        ("1.2.3:5000", "the host must be an IPv4 address or a name"),
        ("http://registry:5000", "without a scheme and a path"),
        ("https://registry:5000", "without a scheme and a path"),
        ("fd00::1:5000", "in brackets"),
        ("[fd00::g]:5000", "the brackets must contain an IPv6 address"),
        ("[fe80::1%eth0]:5000", "the brackets must contain an IPv6 address"),
        ("[]:5000", "the brackets must contain an IPv6 address"),
        ("unix:run/x.sock", "the path of a unix socket must begin with a slash"),
        ("unix:/run/x.sock:/auth", "the path of a unix socket can contain letters, digits"),
    ] {
        assert_refused(&site().set("UPSTREAM", value), &["NGX_DOORWARD_UPSTREAM: ", said]);
    }
    let registry = site().set("KIND", "registry").set("UPSTREAM", "registry.example.com");
    assert_refused(&registry, &["NGX_DOORWARD_UPSTREAM: must have a port: HOST:PORT"]);
    for value in ["127.0.0.1:1", "[::1]:65535", "unix:/run/x.sock", "localhost:5000"] {
        assert_valid(&site().set("UPSTREAM", value));
    }
    for (value, said) in [
        ("https://127.0.0.1/auth", "TLS to an auth service is not supported"),
        ("http://127.0.0.1:8000", "the URL must have the path of the auth check"),
        ("http://user@127.0.0.1/auth", "the host must be an address, or a name"),
        ("http://unix:/run/x.sock:/auth", "write a unix socket as unix:/path"),
        ("http:///auth", "the host must be"),
    ] {
        assert_refused(&site().set("AUTH", value), &["NGX_DOORWARD_AUTH: ", said]);
    }
    for value in ["http://127.0.0.1/auth", "http://[::1]:8000/a/b?c=d&e=%20", "unix:/run/x.sock"] {
        assert_valid(&site().set("AUTH", value));
    }
}

#[test]
fn invalid_value_is_refused_with_the_valid_ones() {
    for (name, value, said) in [
        ("KIND", "Registry", "must be registry, site or ecr"),
        ("KIND", "ecr2", "must be registry, site or ecr"),
        ("TOKENS", "yes", "must be off, mixed or registry"),
        ("PUSH", "yes", "must be on or off"),
        ("REDIRECTS", "on", "must be pass or follow"),
        ("PLAIN_HTTP", "yes", "must be on or off"),
        ("FILE_CHECKS", "1", "must be on or off"),
        ("PROXY_PROTOCOL", "yes", "must be on or off"),
        ("IPV6", "yes", "must be auto, on or off"),
        ("SCHEME", "spdy", "must be http or https"),
        ("NGINX_VERSION", "new", "must be a version such as 1.22.1"),
        ("NGINX_VERSION", "1.17.10", "is too old; version 1.18.0 or newer is required"),
        ("LISTEN", "localhost:80", "must be PORT or ADDRESS:PORT"),
        ("LISTEN", ":80", "must be PORT or ADDRESS:PORT"),
        ("LISTEN", "[::g]:80", "must be PORT or ADDRESS:PORT"),
        ("LISTEN", "99999", "the port must be a number from 1 to 65535"),
        ("SERVER_NAME", "~^.*$", "must be a host name such as registry.example.com"),
        ("SERVER_NAME", "a.test b.test", "must be a host name such as registry.example.com"),
        ("SERVER_NAME", "-a.test", "must be a host name such as registry.example.com"),
        ("SERVER_NAME", "*._", "must be a host name such as registry.example.com"),
        ("SERVER_NAME", "*", "must be a host name such as registry.example.com"),
        ("REAL_IP_FROM", "balancer", "must be an address or a network"),
        (
            "REAL_IP_FROM",
            "10.0.0.0/8,0.0.0.0/0",
            "value 2 of 2: with this network every client can set its own address",
        ),
        ("REAL_IP_FROM", "::/0", "every client can set its own address"),
        ("RESOLVER", "dns.example", "must be the address of a DNS server"),
        ("RESOLVER", "10.0.0.2:0", "must be the address of a DNS server"),
        ("RESOLVER", "fe80::1%eth0", "must be the address of a DNS server"),
        ("MAX_BODY_SIZE", "1.5g", "must be a size such as 100m"),
        ("MAX_BODY_SIZE", "100mb", "must be a size such as 100m"),
        ("MAX_BODY_SIZE", "-1", "must be a size such as 100m"),
        ("MAX_BODY_SIZE", "m", "must be a size such as 100m"),
        ("MAX_BODY_SIZE", "99999999999", "must be a size such as 100m"),
        // More than 64 bits, which nginx does not read.
        ("MAX_BODY_SIZE", "8589934592g", "must be a size such as 100m"),
        ("FACTS", "plan,tier,plan", "has a value twice"),
        ("SERVER_NAME", "A.test,a.test", "has a value twice"),
        ("PUBLIC_PATHS", "/a/,/a/", "has a value twice"),
        ("BODY_WITH_ANY_METHOD", "yes", "must be on or off"),
        ("FACTS", "Plan", "1 to 32 lower-case letters, digits and hyphens"),
        ("FACTS", "plan customer", "1 to 32 lower-case letters, digits and hyphens"),
        ("FACTS", "plan,x;y", "value 2 of 2: must be the name of a fact"),
        ("FACTS", "-plan", "must be the name of a fact"),
        ("FACTS", "a23456789012345678901234567890123", "must be the name of a fact"),
        ("PUBLIC_PATHS", "/", "must begin and end with a slash"),
        ("PUBLIC_PATHS", "/a", "must begin and end with a slash"),
        ("PUBLIC_PATHS", "/a/../", "must begin and end with a slash"),
        ("PUBLIC_PATHS", "/%2e%2e/", "must begin and end with a slash"),
        ("CORS_ORIGINS", "*", "must be one origin such as https://ui.example.com"),
        ("CORS_ORIGINS", "null", "must be one origin such as https://ui.example.com"),
        ("CORS_ORIGINS", "https://*.example.com", "must be one origin such as https://ui.example.com"),
        ("CORS_ORIGINS", "https://a.test/x", "must be one origin such as https://ui.example.com"),
        ("ACCESS_LOG", "syslog:server=a", "must begin with a slash"),
        ("INCLUDE", "own.conf", "must begin with a slash"),
        ("INCLUDE", "/etc/nginx/*/a.conf", "can contain letters, digits and"),
        ("INCLUDE", "/etc/nginx/own/", "must be a file"),
        ("UPSTREAM_CA", "ca.pem", "must begin with a slash"),
        ("UPSTREAM_CA", "/x;y", "can contain letters, digits and"),
        ("TLS_CERTIFICATE", "tls.crt", "must begin with a slash"),
        ("PROXY_SECRET_FILE", "secret", "must begin with a slash"),
    ] {
        assert_refused(&site().set(name, value), &[&format!("NGX_DOORWARD_{name}: "), said]);
    }
}

#[test]
fn valid_values_are_written_as_nginx_reads_them() {
    let image = site()
        .set("SERVER_NAME", "registry.example.com, *.Example.com")
        .set("KIND", "registry")
        .set("REAL_IP_FROM", "10.0.0.0/8,fd00::/8,192.0.2.1")
        .set("SCHEME", "https")
        .set("LISTEN", "28081")
        .set("RESOLVER", "10.0.0.2,[fd00::53]:5353,fd00::54")
        .set("UPSTREAM", "app.test:80");
    let written = assert_valid(&image);
    for line in [
        "    client_max_body_size 0;",
        "    server_name registry.example.com *.example.com;",
        "    listen 28081;",
        "    set_real_ip_from fd00::/8;",
        "    set_real_ip_from 192.0.2.1/32;",
        "    real_ip_header X-Forwarded-For;",
        "    proxy_set_header X-Forwarded-Proto https;",
        "resolver 10.0.0.2 [fd00::53]:5353 [fd00::54] valid=2s",
    ] {
        assert!(written.contains(line), "{line}: {written}");
    }
    assert!(assert_valid(&site()).contains("    client_max_body_size 100m;\n"), "a site has a limit");
    let facts = assert_valid(&site().set("FACTS", "plan,customer-id"));
    for line in [
        "auth_request_set $doorward_fact_customer_id $upstream_http_x_auth_fact_customer_id;",
        "proxy_set_header X-Auth-Fact-customer-id $doorward_fact_customer_id;",
        "proxy_hide_header X-Auth-Fact-plan;",
    ] {
        assert!(facts.contains(&format!("    {line}\n")), "{line}: {facts}");
    }
    let balancer = site().set("PROXY_PROTOCOL", "on");
    assert_refused(&balancer, &["NGX_DOORWARD_PROXY_PROTOCOL: requires real_ip_from"]);
    let text = assert_valid(&balancer.set("REAL_IP_FROM", "10.0.0.7"));
    assert!(text.contains("listen 127.0.0.1:28080 proxy_protocol default_server;"), "{text}");
    assert!(text.contains("    real_ip_header proxy_protocol;\n"), "{text}");
}

#[test]
fn remote_registry_needs_a_name_with_a_domain() {
    for (upstream, line) in [
        ("registry.ecr.test", "\"registry.ecr.test $upstream_http_link\""),
        ("REGISTRY.ecr.test:8443", "\"registry.ecr.test:8443 $upstream_http_link\""),
        ("registry.ecr.test:443", "proxy_set_header Host registry.ecr.test;"),
        ("registry.ecr.test:8443", "proxy_ssl_name registry.ecr.test;"),
        ("registry.ecr.test", "keepalive_timeout 15s;"),
    ] {
        let version = ecr().set("UPSTREAM", upstream).set("NGINX_VERSION", "1.27.3");
        let output = crate::support::process::run(version.command());
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert!(version.written().contains(line), "{line}: {}", version.written());
        assert_valid(&ecr().set("UPSTREAM", upstream));
    }
    for (upstream, said) in [
        ("", "upstream: missing"),
        ("https://registry.ecr.test", "without a scheme and a path"),
        ("registry.ecr.test/v2", "NGX_DOORWARD_UPSTREAM: must have a port"),
        ("registry.ecr.test:443/v2", "NGX_DOORWARD_UPSTREAM: the port must be a number"),
        ("unix:/run/x", "for a registry without TLS, use the kind registry"),
        ("[::1]:443", "for a registry without TLS, use the kind registry"),
        ("127.0.0.1:443", "for a registry without TLS, use the kind registry"),
        ("registry:443", "must be the name of a remote registry"),
        ("a;b.test", "NGX_DOORWARD_UPSTREAM: "),
    ] {
        assert_refused(&ecr().set("UPSTREAM", upstream), &[said]);
    }
}

#[test]
fn redirect_hosts_must_be_names_and_not_a_wildcard_for_all() {
    let follow = |hosts: &str| ecr().set("REDIRECTS", "follow").set("REDIRECT_HOSTS", hosts);
    let text = assert_valid(&follow("*.S3.test,a-b.test:9000"));
    let wanted = "    \"~^([a-z0-9-]+\\.)+s3\\.test$\" yes;\n    \"~^a-b\\.test:9000$\" yes;\n";
    assert!(text.contains(wanted), "{text}");
    for bad in ["*", "*.", "a.*.test", "*a.test", "a..b", ".a", "-a", "a.test;b", "a_b.test", "a.test."] {
        assert_refused(&follow(bad), &["NGX_DOORWARD_REDIRECT_HOSTS: must be a host or *.DOMAIN"]);
    }
    for (bad, said) in [
        ("*.com", "matches a whole top-level domain; write *.DOMAIN with two labels or more"),
        ("a.test:70000", "the port must be a number from 1 to 65535"),
        ("127.0.0.1", "is an address or this machine; write the name that the certificate contains"),
        ("169.254.169.254", "is an address or this machine"),
        ("10.0.0.7:9000", "is an address or this machine"),
        ("a.0x7f", "is an address or this machine"),
        ("x.localhost:9000", "is an address or this machine"),
        ("*.localdomain.localhost", "is an address or this machine"),
        ("localhost", "must have a domain"),
        ("minio:9000", "must have a domain; write the name that the certificate contains"),
    ] {
        assert_refused(&follow(bad), &["NGX_DOORWARD_REDIRECT_HOSTS: ", said]);
    }
}

#[test]
fn web_page_over_https_requires_a_service_over_https() {
    let origin = || site().set("CORS_ORIGINS", "https://ui.example.com");
    assert_refused(
        &origin(),
        &["NGX_DOORWARD_CORS_ORIGINS: a browser sends no request", "set scheme = https"],
    );
    let text = assert_valid(&origin().set("SCHEME", "https"));
    assert!(text.contains("\"~^https://ui\\.example\\.com$\" $http_origin;"), "{text}");
}
