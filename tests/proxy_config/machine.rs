//! Facts about the machine that the command uses: nginx, its modules, name servers, `/etc/hosts` and IPv6.

use std::fs;
use std::path::Path;

use super::{assert_refused, assert_valid, ecr, files, site};
use crate::support::mounted::{Mounts, unshare};
use crate::support::nginx::Image;
use crate::support::process::{self, Output};

/// Returns nginx with a program in its place that prints this version and these arguments of configure.
fn claims(image: Image, version: &str, built: &str) -> Image {
    let text = format!("echo 'nginx version: {version}' >&2\necho 'configure arguments: {built}' >&2\n");
    image.script("bin/nginx", &text);
    image
}

/// Runs the command with other system files. `None` if this user cannot mount them.
fn with_system_files(image: &Image, system: &[(&str, &str)]) -> Option<Output> {
    let mut mounts = Mounts::new(&unshare()?);
    for (number, (path, text)) in system.iter().enumerate() {
        let from = image.path(&format!("system-{number}"));
        fs::write(&from, text).unwrap();
        mounts.bind(&from, Path::new(path));
    }
    Some(process::run(mounts.wrap(image.command())))
}

const AUTH_REQUEST: &str = "--with-http_auth_request_module";

#[test]
fn nginx_without_a_required_module_or_version_is_refused_by_name() {
    let said = ["the installed nginx has no ngx_http_auth_request_module", "install a build with it"];
    assert_refused(&claims(site(), "nginx/1.28.0", "--with-http_ssl_module"), &said);
    assert_refused(
        &claims(site(), "nginx/1.16.1", AUTH_REQUEST),
        &["nginx 1.16.1 is too old; version 1.18.0 or newer is required"],
    );
    let behind = claims(site(), "nginx/1.28.0", AUTH_REQUEST).set("REAL_IP_FROM", "10.0.0.1");
    assert_refused(&behind, &["ngx_http_realip_module"]);
    let remote = claims(ecr(), "nginx/1.28.0", AUTH_REQUEST);
    assert_refused(&remote, &["ngx_http_ssl_module"]);
    let tls = claims(site().pair("DNS:a.test"), "nginx/1.28.0", AUTH_REQUEST).set("PLAIN_HTTP", "off");
    assert_refused(&tls, &["ngx_http_ssl_module"]);
    for strange in ["", "apache", "nginx/new"] {
        let said = ["nginx -V printed no version; set the version"];
        assert_refused(&claims(site(), strange, AUTH_REQUEST), &said);
    }
    // The version of another machine is an option. The installed nginx is then not used.
    let image = claims(site(), "nginx/1.16.1", "").set("NGINX_VERSION", "1.28.0");
    assert_eq!(process::run(image.command()).code, Some(0));
}

#[test]
fn nginx_that_cannot_be_run_is_refused_and_a_missing_one_is_version_1_18() {
    let image = site();
    fs::write(image.path("bin/nginx"), "no program").unwrap();
    assert_refused(&image, &["nginx -V cannot be run", "set the version"]);
    let image = site().pair("DNS:a.test").set("PLAIN_HTTP", "").set("SERVER_NAME", "a.test");
    let mut command = image.command();
    command.env("PATH", image.path("logs"));
    assert_eq!(process::run(command).code, Some(0));
    assert!(!image.written().contains("ssl_reject_handshake"), "{}", image.written());
}

#[test]
fn http_2_is_written_as_the_version_reads_it_and_only_if_nginx_has_the_module() {
    let modules = "--with-http_auth_request_module --with-http_ssl_module";
    for (version, has_module, http2) in [
        ("nginx/1.25.0", true, "listen 127.0.0.1:28080 ssl http2 default_server;"),
        ("nginx/1.25.1", true, "http2 on;"),
        ("openresty/1.27.1.2", true, "http2 on;"),
        ("nginx/1.25.1", false, "listen 127.0.0.1:28080 ssl default_server;"),
    ] {
        let module = if has_module { " --with-http_v2_module" } else { "" };
        let image = site().pair("DNS:a.test").set("PLAIN_HTTP", "");
        let image = claims(image, version, &format!("{modules}{module}"));
        let output = process::run(image.command());
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let text = image.written();
        assert!(text.contains(http2), "{http2}: {text}");
        assert_eq!(text.contains("http2"), has_module, "{text}");
    }
}

#[test]
fn name_servers_of_the_machine_are_used_and_short_names_of_kubernetes_refused() {
    let cluster = |search: &str| format!("nameserver 10.96.0.10\nsearch {search}\noptions ndots:5\n");
    let image = site().set("AUTH", "doorward:8000");
    let short = cluster("shop.svc.cluster.local svc.cluster.local cluster.local");
    let Some(output) = with_system_files(&image, &[("/etc/resolv.conf", &short)]) else { return };
    assert_eq!(output.code, Some(1), "{output:?}");
    let said =
        "NGX_DOORWARD_AUTH: write the full name, doorward.shop.svc.cluster.local: the resolver of nginx";
    assert!(output.stderr.contains(said), "{}", output.stderr);
    assert_eq!(files(&image), Vec::<String>::new());
    let full = image.set("AUTH", "doorward.shop.svc.cluster.local:8000");
    assert_eq!(with_system_files(&full, &[("/etc/resolv.conf", &short)]).unwrap().code, Some(0));
    let other = format!("{}nameserver fe80::1%eth0\nnameserver fd00::53\n", cluster("example.com"));
    let image = site().set("AUTH", "doorward:8000");
    assert_eq!(with_system_files(&image, &[("/etc/resolv.conf", &other)]).unwrap().code, Some(0));
    let text = image.written();
    assert!(text.contains("resolver 10.96.0.10 [fd00::53] valid=2s"), "{text}");
}

#[test]
fn name_is_resolved_at_start_if_the_hosts_file_has_it_or_there_is_no_name_server() {
    let resolv = ("/etc/resolv.conf", "nameserver 127.0.0.11\n");
    let hosts = ("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 Registry # and more\n");
    let at = |name: &str| site().set("UPSTREAM", format!("{name}:5000"));
    for (name, system, is_static) in [
        ("localhost", &[resolv, hosts][..], true),
        ("registry", &[resolv, hosts], true),
        ("more", &[resolv, hosts], false),
        ("more", &[("/etc/resolv.conf", "search test\n"), hosts], true),
    ] {
        let image = at(name);
        let Some(output) = with_system_files(&image, system) else { return };
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let text = image.written();
        assert_eq!(text.contains(&format!("    server {name}:5000;\n")), is_static, "{text}");
        assert_eq!(text.contains("resolver "), !is_static, "{text}");
    }
}

#[test]
fn followed_redirects_need_a_name_server() {
    let image = ecr().set("RESOLVER", "").set("REDIRECTS", "follow");
    let Some(output) = with_system_files(&image, &[("/etc/resolv.conf", "search test\n")]) else { return };
    assert_eq!(output.code, Some(1), "{output:?}");
    let said = "NGX_DOORWARD_REDIRECTS: nginx must resolve names to follow redirects, but /etc/resolv.conf has no server; set resolver";
    assert!(output.stderr.contains(said), "{}", output.stderr);
}

#[test]
fn name_is_resolved_again_as_the_version_of_nginx_can() {
    let image = |version: &str| {
        let image = site().set("RESOLVER", "10.0.0.2").set("UPSTREAM", "app.test:80");
        image.set("NGINX_VERSION", version)
    };
    for (version, is_variable) in [("1.27.2", true), ("1.27.3", false)] {
        let image = image(version);
        assert_eq!(process::run(image.command()).code, Some(0));
        let text = image.written();
        assert_eq!(text.contains("default app.test:80;"), is_variable, "{text}");
        assert_eq!(text.contains("proxy_pass http://$doorward_upstream_at;"), is_variable, "{text}");
        assert_eq!(text.contains("server app.test:80 resolve max_fails=0;"), !is_variable, "{text}");
        assert_eq!(text.contains("zone doorward_upstream 64k;"), !is_variable, "{text}");
    }
}

#[test]
fn resolved_doorward_name_keeps_the_token_query() {
    // Before nginx 1.27.3 a variable holds the name. In this case nginx does not add the query itself.
    let image = site().set("KIND", "registry").set("TOKENS", "registry").set("RESOLVER", "127.0.0.1");
    let text = assert_valid(&image.set("AUTH", "doorward.test:8000").set("PUBLIC", "doorward.test:8002"));
    let line = text.lines().find(|line| line.contains("/token$is_args$args;"));
    assert!(line.is_some_and(|line| line.trim_start().starts_with("proxy_pass http://")), "{text}");
}

#[test]
fn listen_port_alone_includes_ipv6_if_available() {
    let written = |mode: &str, listen: &str| {
        let image = site().set("IPV6", mode).set("LISTEN", listen);
        assert_eq!(process::run(image.command()).code, Some(0));
        image.written()
    };
    // The file has no size that can be checked, so its text is read.
    let has_ipv6 = fs::read_to_string("/proc/net/if_inet6").is_ok_and(|text| !text.is_empty());
    let both = "    listen 28087 default_server;\n    listen [::]:28087 default_server;\n";
    for (mode, has_both) in [("", has_ipv6), ("auto", has_ipv6), ("on", true), ("off", false)] {
        let text = written(mode, "28087");
        assert_eq!(text.contains(both), has_both, "{mode}: {text}");
        let text = written(mode, "*:28087");
        assert_eq!(text.contains(both), has_both, "{mode}: {text}");
    }
    for listen in ["127.0.0.1:28087", "[::1]:28087"] {
        let text = written("on", listen);
        assert!(
            text.contains(&format!("    listen {listen} default_server;\n")) && !text.contains("[::]"),
            "{text}"
        );
    }
}
