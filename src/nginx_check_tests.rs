//! Tests of the rules: a protected site and a protected registry without findings, and one change for each rule.

use super::check;

const AUTH: &str = r#"
    location = /_doorward {
        internal;
        proxy_pass http://doorward/auth;
        proxy_pass_request_body off;
        proxy_pass_request_headers off;
        client_max_body_size 0;
        proxy_set_header Content-Length "";
        proxy_set_header Authorization $http_authorization;
        proxy_set_header X-Original-URI $request_uri;
        proxy_set_header X-Original-Method $request_method;
        proxy_set_header X-Original-Host $host;
        proxy_set_header X-Original-Content-Type "ct:$content_type";
        proxy_set_header X-Real-IP $remote_addr;
        proxy_buffer_size 32k;
        #auth
    }
"#;

const HEADERS: &str = r#"
        proxy_set_header Host $http_host;
        proxy_set_header Authorization "";
        proxy_set_header X-Auth-User $auth_user;
        proxy_set_header X-Auth-Groups $auth_groups;
        proxy_set_header X-Auth-By "";
        proxy_set_header X-Auth-Stale "";
"#;

/// Returns a site, with a place for lines at each level: `#http`, `#server`, `#auth`, `#location`.
fn site() -> String {
    format!(
        r"
http {{
upstream doorward {{ server 127.0.0.1:8000; }}
upstream app {{ server 127.0.0.1:3000; }}
#http
server {{
    listen 443 ssl;
    auth_request /_doorward;
    auth_request_set $auth_user $upstream_http_x_auth_user;
    auth_request_set $auth_groups $upstream_http_x_auth_groups;
    {AUTH}
    location / {{
        proxy_pass http://app;
        {HEADERS}
        #location
    }}
    #server
}}
}}
"
    )
}

/// Returns a registry, with the same places.
fn registry() -> String {
    format!(
        r"
http {{
upstream doorward {{ server 127.0.0.1:8000; }}
upstream registry {{ server 127.0.0.1:5000; }}
map $content_type $type {{ default application/octet-stream; }}
#http
server {{
    listen 443 ssl;
    client_max_body_size 0;
    {AUTH}
    location /v2/ {{
        auth_request /_doorward;
        auth_request_set $auth_user $upstream_http_x_auth_user;
        auth_request_set $auth_groups $upstream_http_x_auth_groups;
        proxy_pass http://registry;
        {HEADERS}
        proxy_set_header Content-Type $type;
        proxy_request_buffering off;
        proxy_hide_header WWW-Authenticate;
        #location
    }}
    location / {{ return 404; }}
    #server
}}
}}
"
    )
}

/// Returns the rules of all findings.
fn rules(text: &str) -> Vec<&'static str> {
    check(text, "x").findings.iter().map(|finding| finding.rule).collect()
}

/// Replaces a text that must be there.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in the configuration");
    text.replace(from, to)
}

fn assert_clean(text: &str) {
    let findings: Vec<String> = check(text, "x").findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{}\n{text}", findings.join("\n"));
}

#[test]
fn protected_site_and_registry_have_no_findings() {
    assert_clean(&site());
    assert_clean(&registry());
}

/// One line, where it is added, and the rule that reports it.
const ADDED_TO_SITE: [(&str, &str, &str); 56] = [
    (
        "#server",
        "location /open/ { auth_request off; proxy_pass http://app; }",
        "open-location-passes-raw-path",
    ),
    ("#server", "location /open/ { auth_request off; proxy_pass http://app/; }", "auth-request-off"),
    ("#server", "location ~ \\.css$ { auth_request off; proxy_pass http://app; }", "auth-request-off"),
    ("#location", "location /api/ { auth_request off; proxy_pass http://app; }", "auth-request-off"),
    ("#http", "server { listen 80; location / { proxy_pass http://127.0.0.1:3000; } }", "unguarded-upstream"),
    ("#http", "server { listen 80; location / { set $a app; proxy_pass http://$a; } }", "unguarded-upstream"),
    ("#http", "server { listen 80; location / { grpc_pass grpc://app; } }", "unguarded-upstream"),
    (
        "#http",
        "server { listen 80; location / { try_files /x @app; } location @app { proxy_pass http://app; } }",
        "unguarded-upstream",
    ),
    (
        "#http",
        "server { listen 80; location / { proxy_pass http://$http_x_pool; } }",
        "client-chooses-upstream",
    ),
    (
        "#http",
        "server { listen 80; location ~ ^/(?<to>.*)/ { proxy_pass http://$to; } }",
        "client-chooses-upstream",
    ),
    (
        "#http",
        "map $arg_a $pool { default web; b app; } server { listen 80; location / { proxy_pass http://$pool; } }",
        "client-chooses-upstream",
    ),
    (
        "#server",
        "error_page 401 = @login; location @login { auth_request off; proxy_pass http://app; }",
        "refused-request-continues",
    ),
    (
        "#server",
        "location = /x { error_page 418 = @x; return 418; } location /y/ { error_page 418 = @x; if ($arg_a) { return 418; } proxy_pass http://app; } location @x { auth_request off; proxy_pass http://app; }",
        "refused-request-continues",
    ),
    (
        "#server",
        "location /in/ { internal; auth_request off; proxy_pass http://app; } location /y/ { rewrite ^ /in$uri last; }",
        "rewrite-before-check",
    ),
    ("#server", "location /doorward/ { proxy_pass http://doorward/; }", "doorward-reachable"),
    ("#server", "location /admin/ { proxy_pass http://doorward:8001/; }", "doorward-reachable"),
    ("#location", "return 200;", "return-before-check"),
    ("#location", "if ($arg_a) { return 204; }", "return-before-check"),
    ("#location", "satisfy any; allow 10.0.0.0/8; deny all;", "satisfy-any"),
    ("#server", "satisfy any; auth_basic x;", "satisfy-any"),
    ("#server", "auth_delay 2s;", "auth-delay"),
    ("#server", "error_page 401 =200 /login.html;", "error-page-hides-refusal"),
    ("#server", "error_page 403 = @no; location @no { return 200; }", "error-page-hides-refusal"),
    ("#server", "error_page 502 =200 /down.html;", "error-page-admits"),
    ("#server", "error_page 503 = /down.html;", "error-page-admits"),
    ("#server", "proxy_intercept_errors on; error_page 403 =204 /no;", "error-page-admits"),
    ("#auth", "return 204;", "auth-location-answers-itself"),
    ("#auth", "rewrite ^ /x break;", "rewrite-in-auth-location"),
    ("#auth", "proxy_store on;", "auth-response-stored"),
    ("#http", "proxy_cache a;", "auth-cache-key"),
    ("#auth", "proxy_cache a; proxy_cache_key $http_authorization;", "auth-cache-key"),
    ("#location", "proxy_cache a; proxy_cache_key $request_uri;", "page-cache-without-user"),
    ("#auth", "set $x y;", "set-in-auth-location"),
    ("#auth", "proxy_set_header X-Forwarded-Uri $request_uri;", "conflicting-header"),
    ("#auth", "proxy_set_header X-Auth-Rewrite $http_x_a;", "client-value-in-subrequest"),
    ("#http", "underscores_in_headers on;", "underscores-in-headers"),
    (
        "#http",
        "server { listen 443 ssl default_server; underscores_in_headers on; return 444; }",
        "underscores-in-headers",
    ),
    ("#server", "ignore_invalid_headers off;", "invalid-headers-passed"),
    ("#server", "merge_slashes off;", "slashes-not-merged"),
    ("#http", "set_real_ip_from 0.0.0.0/0;", "real-ip-from-any-client"),
    ("#http", "set_real_ip_from ::/0;", "real-ip-from-any-client"),
    ("#http", "error_log /var/log/e debug;", "credentials-in-log"),
    ("#http", "log_format x $http_authorization;", "credentials-in-log"),
    ("#http", "ssl_protocols TLSv1 TLSv1.2;", "old-tls-version"),
    ("#server", "listen 80;", "http-beside-https"),
    ("#server", "location /static { alias /srv/static/; }", "alias-leaves-folder"),
    (
        "#server",
        "location /f/ { root /srv; } location ~ \\.pdf$ { auth_request off; root /srv; }",
        "unguarded-files",
    ),
    ("#location", "proxy_set_header X-Auth-Proxy-Secret s;", "proxy-secret-reaches-upstream"),
    ("#location", "proxy_set_header X-WebAuth-User $remote_user;", "identity-is-client-value"),
    (
        "#location",
        "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;",
        "upgrade-to-any-protocol",
    ),
    ("#location", "proxy_set_header X-Plan $upstream_http_x_plan;", "response-variable-in-request"),
    ("#location", "auth_request_set $plan $upstream_http_x_auth_fact_plan;", "auth-variable-empty"),
    (
        "#location",
        "auth_request_set $auth_user $http_x_auth_user; auth_request_set $auth_groups x;",
        "auth-variable-from-client",
    ),
    ("#server", "proxy_set_header X-Remote-User \"\";", "cleared-header-passed-on"),
    (
        "#server",
        "proxy_hide_header X-Auth-User; location /b/ { proxy_hide_header X; }",
        "hidden-headers-dropped",
    ),
    (
        "#server",
        "add_header X-Frame-Options DENY; location /b/ { add_header X y; }",
        "response-headers-dropped",
    ),
];

#[test]
fn each_unsafe_line_is_reported() {
    for (place, line, rule) in ADDED_TO_SITE {
        let found = rules(&replaced(&site(), place, line));
        assert!(found.contains(&rule), "{line}: {found:?}");
    }
}

/// A line of the site, its replacement, and the rule that reports it.
const CHANGED_IN_SITE: [(&str, &str, &str); 21] = [
    ("auth_request /_doorward;", "", "no-auth-request"),
    ("auth_request /_doorward;", "auth_request /other;", "auth-request-leads-elsewhere"),
    ("internal;", "", "auth-location-not-internal"),
    ("proxy_pass http://doorward/auth;", "", "auth-location-answers-itself"),
    ("proxy_pass http://doorward/auth;", "proxy_pass http://doorward;", "unknown-path-of-doorward"),
    ("proxy_pass http://doorward/auth;", "proxy_pass https://doorward/auth;", "auth-service-not-verified"),
    ("proxy_pass_request_body off;", "", "subrequest-body"),
    ("proxy_set_header Content-Length \"\";", "", "subrequest-body"),
    ("client_max_body_size 0;", "client_max_body_size 1k;", "subrequest-body-limit"),
    ("proxy_pass_request_headers off;", "", "client-headers-in-subrequest"),
    ("proxy_pass_request_headers off;", "", "conditional-headers-in-subrequest"),
    ("X-Original-URI $request_uri", "X-Original-URI $uri", "original-uri-not-request-uri"),
    ("X-Original-URI $request_uri", "X-Original-URI $http_x_original_uri", "client-value-in-subrequest"),
    ("X-Original-Method $request_method", "X-Original-Method GET", "original-method-constant"),
    ("X-Original-Host $host", "X-Original-Host $http_host", "original-host-from-header"),
    ("X-Real-IP $remote_addr", "X-Real-IP $http_x_real_ip", "client-chooses-address"),
    ("proxy_set_header X-Real-IP $remote_addr;", "", "no-client-address"),
    ("\"ct:$content_type\"", "$content_type", "content-type-without-prefix"),
    ("proxy_buffer_size 32k", "proxy_buffer_size 4k", "small-response-buffer"),
    ("proxy_set_header X-Auth-User $auth_user;", "", "identity-header-from-client"),
    ("proxy_set_header X-Auth-Stale \"\";", "", "identity-detail-from-client"),
];

#[test]
fn each_weakened_line_is_reported() {
    for (line, change, rule) in CHANGED_IN_SITE {
        let found = rules(&replaced(&site(), line, change));
        assert!(found.contains(&rule), "{line} -> {change}: {found:?}");
    }
}

/// Lines that look unsafe and are not.
const HARMLESS: [(&str, &str); 18] = [
    ("#server", "location = /healthz { auth_request off; proxy_pass http://app; }"),
    ("#server", "location /.well-known/acme-challenge/ { auth_request off; root /var/www; }"),
    ("#server", "location /old/ { return 403; }"),
    ("#server", "location = /favicon.ico { auth_request off; root /srv; }"),
    ("#http", "server { listen 80; return 301 https://$host$request_uri; }"),
    ("#http", "server { listen 80; location / { return 301 https://$host$request_uri; } }"),
    ("#http", "server { listen 443 ssl default_server; ssl_reject_handshake on; return 421; }"),
    ("#http", "server { listen 80; location / { proxy_pass http://other:80; } }"),
    ("#http", "server { listen 81; allow 127.0.0.1; deny all; location / { proxy_pass http://app; } }"),
    ("#http", "server { listen unix:/run/a.sock; location / { proxy_pass http://app; } }"),
    ("#location", "if ($request_method = OPTIONS) { return 204; }"),
    ("#location", "if ($http_user_agent = bad) { return 403; }"),
    ("#server", "error_page 401 @login; location @login { auth_request off; return 401; }"),
    ("#server", "error_page 502 503 = @down; location @down { auth_request off; return 503; }"),
    ("#server", "error_page 404 =200 /index.html;"),
    ("#http", "set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;"),
    ("#auth", "proxy_cache off; satisfy any; allow all;"),
    (
        "#server",
        "location = /token { auth_request off; proxy_pass http://127.0.0.1:8002/token$is_args$args; }",
    ),
];

#[test]
fn harmless_lines_are_not_reported() {
    for (place, line) in HARMLESS {
        assert_clean(&replaced(&site(), place, line));
    }
}

#[test]
fn registry_rules_report_what_breaks_a_push() {
    for (line, change, rule) in [
        ("client_max_body_size 0;\n    \n", "\n", "registry-body-limit"),
        ("proxy_request_buffering off;", "", "registry-uploads-buffered"),
        ("proxy_set_header Content-Type $type;", "", "registry-content-type"),
        ("proxy_hide_header WWW-Authenticate;", "", "registry-challenge-passed-on"),
        ("#location", "limit_req zone=a burst=10;", "request-limit-of-registry"),
        ("Host $http_host", "Host 1.dkr.ecr.eu-west-1.amazonaws.com", "registry-location-not-rewritten"),
        ("location / { return 404; }", "location / { proxy_pass http://registry; }", "unguarded-upstream"),
        ("proxy_pass http://registry", "proxy_pass https://registry", "upstream-not-verified"),
        ("#auth", "proxy_set_header X-Auth-Rewrite yes;", "mount-rewrite-not-used"),
    ] {
        let found = rules(&replaced(&registry(), line, change));
        assert!(found.contains(&rule), "{line} -> {change}: {found:?}");
    }
    let rewritten = replaced(&registry(), "#auth", "proxy_set_header X-Auth-Rewrite yes;");
    let rewritten = replaced(&rewritten, "http://registry;", "http://registry$to;");
    assert_clean(&replaced(&rewritten, "#location", "auth_request_set $to $upstream_http_x_upstream_uri;"));
}

#[test]
fn stream_servers_that_bypass_http_are_reported() {
    let with = |stream: &str| site() + stream;
    let found = rules(&with("stream { server { listen 5000; proxy_pass 127.0.0.1:3000; } }"));
    assert_eq!(found, ["stream-server"]);
    let found =
        rules(&with("stream { upstream d { server localhost:8000; } server { listen 1; proxy_pass d; } }"));
    assert_eq!(found, ["doorward-reachable"]);
    assert_clean(&with("stream { server { listen 127.0.0.1:5000; proxy_pass 127.0.0.1:3000; } }"));
    assert_clean(&with("stream { server { listen 25; proxy_pass mail:25; } }"));
}

/// The rules for doorward do not apply to other auth services.
#[test]
fn other_auth_service_is_checked_by_general_rules_only() {
    let oauth2_proxy = r#"
server {
    location /oauth2/ { proxy_pass http://127.0.0.1:4180; proxy_set_header Host $host; }
    location = /oauth2/auth {
        proxy_pass http://127.0.0.1:4180;
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-Uri $request_uri;
        proxy_set_header Content-Length "";
        proxy_pass_request_body off;
    }
    location / {
        auth_request /oauth2/auth;
        error_page 401 =403 /oauth2/sign_in;
        auth_request_set $user $upstream_http_x_auth_request_user;
        proxy_set_header X-User $user;
        proxy_pass http://backend/;
    }
}
"#;
    assert_clean(oauth2_proxy);
    let open = replaced(
        oauth2_proxy,
        "auth_request /oauth2/auth;",
        "auth_request /oauth2/auth; location /a/ { auth_request off; proxy_pass http://backend/; }",
    );
    assert!(rules(&open).contains(&"auth-request-off"));
    let cached =
        replaced(oauth2_proxy, "proxy_pass_request_body off;", "proxy_pass_request_body off; proxy_cache a;");
    assert_eq!(rules(&cached), ["auth-cache-key"]);
}

#[test]
fn findings_name_the_file_and_line_of_the_include() {
    let dump = "# configuration file /e/nginx.conf:\ninclude conf.d/*.conf;\n\n# configuration file /e/conf.d/a.conf:\nmerge_slashes off;\nserver { include auth; }\n# configuration file /e/auth:\nauth_request /x;\n";
    let report = check(dump, "-");
    let places: Vec<(&str, usize)> = report.findings.iter().map(|f| (&f.file[..], f.line)).collect();
    assert_eq!(places, [("/e/auth", 1), ("/e/conf.d/a.conf", 1)]);
    assert!(report.notes.is_empty(), "{:?}", report.notes);
}

#[test]
fn errors_of_several_files_are_sorted() {
    let report = check("# configuration file /e/b:\na\n# configuration file /e/a:\n}\n", "-");
    let files: Vec<&str> = report.findings.iter().map(|finding| &finding.file[..]).collect();
    assert_eq!(files, ["/e/a", "/e/b"]);
}

/// Returns the rules of a configuration with one text replaced.
fn rules_with(text: &str, from: &str, to: &str) -> Vec<&'static str> {
    rules(&replaced(text, from, to))
}

#[test]
fn server_of_this_nginx_that_admits_every_subrequest_is_reported() {
    let backup = |server: &str, line: &str| {
        let with_line =
            replaced(&site(), "{ server 127.0.0.1:8000; }", &format!("{{ server 127.0.0.1:8000; {line} }}"));
        replaced(&with_line, "#http", server)
    };
    let by_path = "server { listen 8099; location /x { return 404; } location / { return 200 ok; } }";
    assert_eq!(rules(&backup(by_path, "server [::1]:8099 backup;")), ["auth-server-admits"]);
    let by_socket = "server { listen unix:/run/up.sock; return 204; }";
    assert_eq!(rules(&backup(by_socket, "server unix:/run/up.sock backup;")), ["auth-server-admits"]);
    let direct = replaced(&site(), "http://doorward/auth", "http://127.0.0.1:8099/auth");
    assert!(rules_with(&direct, "#http", by_path).contains(&"auth-server-admits"));
    // Other paths, refusals, other ports and other machines.
    let refusing = "server { listen 8099; location /x { return 200; } location / { return 503; } }";
    assert_clean(&backup(refusing, "server 127.0.0.1:8099 backup;"));
    assert_clean(&backup(by_path, "server 127.0.0.1:8098 backup;"));
    assert_clean(&backup(by_path, "server doorward2:8099 backup;"));
}

#[test]
fn passwords_to_a_public_address_without_tls_are_reported() {
    let found = rules_with(&site(), "server 127.0.0.1:8000;", "server [2001:db8::1]:8000;");
    assert_eq!(found, ["auth-service-without-tls"]);
    let found = rules_with(&registry(), "http://doorward/auth", "http://doorward.example.com/auth");
    assert_eq!(found, ["auth-service-without-tls"]);
    for address in ["10.0.0.7:8000", "[fd00::7]:8000", "doorward.auth.svc.cluster.local:8000"] {
        assert_clean(&replaced(&site(), "server 127.0.0.1:8000;", &format!("server {address};")));
    }
    let tls = "https://203.0.113.40/auth; proxy_ssl_verify on";
    assert!(rules_with(&site(), "http://doorward/auth", tls).is_empty());
}

#[test]
fn registry_refusal_without_challenge_is_reported() {
    let rule = "registry-refusal-without-challenge";
    for pages in [
        "error_page 401 403 https://sso.example/;",
        "error_page 401 /login; location = /login { return 303 https://sso.example/; }",
        "error_page 401 = @login; location @login { proxy_pass http://sso:80; }",
        "error_page 401 =403 /no.html;",
    ] {
        assert_eq!(rules_with(&registry(), "#server", pages), [rule], "{pages}");
    }
    for pages in [
        "error_page 401 @login; location @login { return 401; }",
        "error_page 401 =401 /login.html;",
        "error_page 403 =302 https://sso.example/;",
    ] {
        assert_clean(&replaced(&registry(), "#server", pages));
    }
    assert_clean(&replaced(&site(), "#location", "error_page 401 =302 https://sso.example/;"));
}

#[test]
fn redirect_to_another_host_before_the_check_is_reported() {
    for line in [
        "return 307 https://files.example/$uri?key=1;",
        "return https://files.example/?key=1;",
        "return 302 $to;",
        "rewrite ^/f/(.*)$ https://files.example/$1?key=1 redirect;",
    ] {
        let map = replaced(&site(), "#http", "map $uri $to { /f/a https://files.example/a?key=1; }");
        let location = format!("location /f/ {{ auth_request /_doorward; {line} }}");
        assert_eq!(rules_with(&map, "#server", &location), ["redirect-before-check"], "{line}");
    }
    for location in [
        "location /f/ { auth_request /_doorward; return 301 https://$host$request_uri; }",
        "location = / { auth_request /_doorward; return 302 /start/; }",
        "location /docs/ { return 301 https://docs.example/; }",
        "location /f/ { try_files /none @to; } location @to { return 302 https://files.example/?key=1; }",
    ] {
        assert_clean(&replaced(&site(), "#server", location));
    }
}

#[test]
fn files_before_a_protected_fallback_are_reported() {
    let open_site = replaced(&site(), "auth_request /_doorward;", "");
    let app = replaced(&open_site, "location / {", "location @app { auth_request /_doorward;");
    for location in [
        "location / { root /srv; try_files $uri $uri/ @app; }",
        "location /docs/ { alias /srv/docs/; try_files $uri @app; }",
        "location /docs/ { root /srv; error_page 404 = @app; }",
    ] {
        assert_eq!(rules_with(&app, "#server", location), ["unguarded-files"], "{location}");
    }
    for location in [
        "location / { root /srv; try_files /none @app; }",
        "location /assets/ { root /srv; try_files $uri @app; }",
        "location / { auth_request off; root /srv; try_files $uri @app; }",
        "location / { auth_request /_doorward; root /srv; try_files $uri @app; }",
    ] {
        assert_clean(&replaced(&app, "#server", location));
    }
}

#[test]
fn decoded_path_for_doorward_is_an_error() {
    let decoded = replaced(&site(), "X-Original-URI $request_uri", "X-Original-URI $path");
    for set in ["set $path /mirror$document_uri;", "if ($uri ~ ^(.*)$) { set $path $1; }"] {
        assert_eq!(rules_with(&decoded, "#location", set), ["original-uri-decoded"], "{set}");
    }
    let captured = replaced(&decoded, "location / {", "location ~ ^(?<path>/.*)$ {");
    assert_eq!(rules(&captured), ["original-uri-decoded"]);
    assert_clean(&replaced(&decoded, "#location", "set $path $request_uri;"));
}

#[test]
fn regex_location_that_takes_protected_files_is_reported() {
    let open_site = replaced(&site(), "auth_request /_doorward;", "root /srv;");
    let files = replaced(&open_site, "location / {", "location = /app { auth_request /_doorward;");
    let with_admin = |lines: &str, admin: &str| {
        let admin = format!("location /admin/ {{ auth_request /_doorward; {admin} }} {lines}");
        replaced(&files, "#server", &admin)
    };
    for regex in [
        "location ~ \\.php$ { fastcgi_pass 127.0.0.1:9000; }",
        "location ~* ^/(Admin|shop)/.*\\.cgi { scgi_pass unix:/run/cgi.sock; }",
    ] {
        assert_eq!(rules(&with_admin(regex, "")), ["regex-takes-protected-path"], "{regex}");
    }
    let php = "location ~ \\.php$ { fastcgi_pass 127.0.0.1:9000; }";
    for regex in [
        "location ~ ^/(ping|status)$ { fastcgi_pass 127.0.0.1:9000; }",
        "location ~ ^/shop/ { fastcgi_pass 127.0.0.1:9000; }",
        "location ~ \\.php$ { root /other; fastcgi_pass 127.0.0.1:9000; }",
        "location / { try_files $uri =404; }",
    ] {
        assert_clean(&with_admin(regex, ""));
    }
    let copied = rules(&with_admin(php, php));
    assert!(!copied.contains(&"regex-takes-protected-path"), "{copied:?}");
}

#[test]
fn small_buffer_is_reported_at_the_auth_location() {
    let text = replaced(&site(), "proxy_buffer_size 32k;", "");
    let line_of = |text: &str, part: &str| text.lines().position(|line| line.contains(part)).unwrap() + 1;
    for (place, part) in [("#http", "location = /_doorward"), ("#auth", "proxy_buffer_size 4k")] {
        let text = replaced(&text, place, "proxy_buffer_size 4k;");
        let lines: Vec<usize> = check(&text, "x").findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [line_of(&text, part)], "{place}");
    }
}

/// Returns the site with this name, and a registry with another name at an address.
fn site_and_registry(site_name: &str, listen: &str) -> String {
    let site = replaced(&site(), "listen 443 ssl;", &format!("listen 443 ssl; server_name {site_name};"));
    let registry = registry();
    let server = registry.split("#http").nth(1).unwrap().trim_end().trim_end_matches('}');
    let server = replaced(server, "listen 443 ssl;", &format!("{listen} server_name registry.test;"));
    let more = "upstream registry { server 127.0.0.1:5000; }\nmap $content_type $type { default application/octet-stream; }";
    replaced(&site, "#http", &format!("#first\n{more}")).trim_end().trim_end_matches('}').to_owned()
        + &server
        + "}\n"
}

#[test]
fn unknown_names_must_not_reach_one_of_several_protected_servers() {
    let rule = "unknown-names-answered";
    let refusing = |listen: &str| format!("server {{ listen {listen}; return 421; }}");
    for name in ["site.test", "site.test *.site.test"] {
        let text = site_and_registry(name, "listen 443 ssl;");
        assert_eq!(rules(&text), [rule]);
        // The last server of the address can be the default one.
        assert_eq!(rules(&site_and_registry(name, "listen 443 ssl default_server;")), [rule]);
        // Each address has a default server.
        assert_eq!(rules(&site_and_registry(name, "listen 8443 ssl;")), [rule, rule]);
        for default in
            ["443 ssl default_server", "*:443 ssl default_server", "0.0.0.0:443 default_server ssl"]
        {
            let closed = text.trim_end().trim_end_matches('}').to_owned();
            assert_clean(&(closed + &refusing(default) + "\n}\n"));
        }
        assert_clean(&replaced(&text, "#first", &refusing("443 ssl")));
        for other in ["80 default_server", "127.0.0.1:443 ssl default_server"] {
            assert_eq!(rules(&replaced(&text, "#first", &refusing(other))), [rule]);
        }
    }
    for name in ["_", "site.test _", "\"\"", "~^.*$"] {
        assert_clean(&site_and_registry(name, "listen 443 ssl;"));
    }
    // One service: every name means it.
    assert_clean(&replaced(&site(), "listen 443 ssl;", "listen 443 ssl; server_name site.test;"));
    assert_clean(&site_and_registry("registry.test", "listen 8443 ssl;"));
}
