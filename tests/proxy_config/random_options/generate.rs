//! Random option sets from a seed: valid, nearly valid and hostile values of every option, for one server or several.

use std::fs;
use std::path::Path;

use crate::support::backend::Authority;
use crate::support::random::Random;

/// All options: those of all servers, and those of one.
const COMMON: [&str; 11] = [
    "auth",
    "public",
    "proxy_secret_file",
    "nginx_version",
    "resolver",
    "ipv6",
    "real_ip_from",
    "proxy_protocol",
    "scheme",
    "access_log",
    "file_checks",
];
const OF_SERVER: [&str; 18] = [
    "kind",
    "upstream",
    "server_name",
    "listen",
    "plain_http",
    "tls_certificate",
    "tls_key",
    "tokens",
    "push",
    "facts",
    "max_body_size",
    "body_with_any_method",
    "public_paths",
    "cors_origins",
    "upstream_ca",
    "redirects",
    "redirect_hosts",
    "include",
];

/// Values that no option or few accept.
const HOSTILE: [&str; 56] = [
    "",
    " ",
    "$host",
    "${host}",
    "$doorward_user",
    "a b",
    "a;b",
    "a; auth_request off",
    "a;\nauth_request off;",
    "x\nreturn 200;",
    "x\r\nauth_request off;",
    "}",
    "{",
    "} server { listen 1; }",
    "a{b}",
    "\"",
    "'",
    "\\",
    "a\"b",
    "a'b",
    "a\\",
    "a#b",
    "#",
    "ü.example.com",
    "例え.jp",
    "x\u{202e}y",
    "a\tb",
    "a\u{1b}[31m",
    "a\u{85}b",
    "%0a",
    "default",
    "_",
    "localhost",
    "hostnames",
    "volatile",
    "include",
    "~^.*$",
    "~",
    "*",
    "..",
    "/../",
    "/",
    "host:0",
    "host:65536",
    "host:-1",
    "host:080",
    "[::1]:80",
    "[::1",
    "::1",
    "[fe80::1%eth0]:80",
    "127.0.0.1:80 default_server",
    "unix:",
    "unix:relative",
    "0",
    "65536",
    "-1",
];

/// Versions from the oldest to the newest that is known.
const VERSIONS: [&str; 12] = [
    "1.18.0", "1.18", "1.19.3", "1.19.4", "1.20.2", "1.22.1", "1.22.1", "1.22.1", "1.23.0", "1.25.1",
    "1.27.3", "1.31.4",
];

/// Files that options can name.
pub(super) struct Files {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) authorities: String,
    secret: String,
    bad_secret: String,
    include: String,
    log: String,
}

impl Files {
    pub(super) fn make(folder: &Path, authority: &Authority) -> Self {
        let [certificate, key] = authority.pair("registry.test", 2099).files(folder);
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        Self {
            certificate: certificate.display().to_string(),
            key: key.display().to_string(),
            authorities: authority.file(folder).display().to_string(),
            secret: write("secret@+1", "0123456789abcdef#0123456789\n"),
            bad_secret: write("bad-secret", "0123456789abcdef\"; auth_request off; #\n"),
            include: write("own.conf", "# no location\n"),
            log: folder.join("access.log").display().to_string(),
        }
    }
}

/// The values of one option.
type Values = Vec<String>;
type Table = Vec<(&'static str, Values)>;

/// An option set.
#[derive(Clone, Debug)]
pub(super) struct OptionSet {
    pub(super) common: Table,
    /// More than one is written into the settings file.
    pub(super) servers: Vec<Table>,
    /// Whether the options of the only server are flags.
    has_flags: bool,
    certificate: (String, String, String),
}

/// Returns the names of all options.
pub(super) fn option_keys() -> impl Iterator<Item = &'static str> {
    COMMON.into_iter().chain(OF_SERVER)
}

pub(super) fn get<'t>(table: &'t [(&'static str, Values)], key: &str) -> Option<&'t Values> {
    table.iter().find(|(known, _)| *known == key).map(|(_, values)| values)
}

/// Replaces the values of an option.
pub(super) fn put(table: &mut Table, key: &'static str, values: &[&str]) {
    table.retain(|(known, _)| *known != key);
    table.push((key, values.iter().map(|value| (*value).to_owned()).collect()));
}

struct Generator<'f> {
    random: Random,
    files: &'f Files,
}

impl Generator<'_> {
    fn one_of<'v>(&mut self, values: &[&'v str]) -> &'v str {
        values[self.random.below(values.len() as u64) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn some(&mut self, most: u64, mut make: impl FnMut(&mut Self) -> String) -> Values {
        let mut values: Values = (0..=self.random.below(most)).map(|_| make(self)).collect();
        values.sort();
        values.dedup();
        values
    }

    fn label(&mut self) -> String {
        let length = if self.chance(10) { 63 } else { 1 + self.random.below(12) as usize };
        self.random.letters(length)
    }

    fn name(&mut self) -> String {
        let labels = 1 + self.random.below(3);
        let name: Vec<String> = (0..labels).map(|_| self.label()).collect();
        name.join(self.one_of(&[".", ".", "_.x-", "-."])) + self.one_of(&[".test", ".example.com", ".a_b.c"])
    }

    fn port(&mut self) -> u64 {
        1 + self.random.below(65_535)
    }

    fn address(&mut self) -> String {
        let port = self.port();
        match self.random.below(6) {
            0 => format!("unix:/run/{}/x@1.sock", self.label()),
            1 => format!("127.0.0.{}:{port}", 1 + self.random.below(200)),
            2 => format!("[fd00::{port:x}]:{port}"),
            3 => format!("localhost:{port}"),
            _ => format!("{}:{port}", self.name()),
        }
    }

    /// Returns valid values of an option.
    fn valid(&mut self, key: &str, kind: &str) -> Values {
        let one = |text: &str| vec![text.to_owned()];
        let switch = self.one_of(&["on", "off", "true", "false"]);
        match key {
            "auth" if self.chance(25) => {
                let path = self.one_of(&["/", "/auth", "/a/b?c=%20&d=~,@:+", "//"]);
                vec![format!("http://127.0.0.1:{}{path}", self.port())]
            }
            "upstream" if kind == "ecr" => {
                let (name, port) = (self.name(), self.port());
                vec![if self.chance(50) { name } else { format!("{name}:{port}") }]
            }
            "auth" | "public" | "upstream" => vec![self.address()],
            "proxy_secret_file" => one(&self.files.secret),
            "nginx_version" => one(self.one_of(&VERSIONS)),
            "resolver" => self
                .some(3, |this| this.one_of(&["127.0.0.1", "10.0.0.2", "fd00::53", "[fd00::54]"]).to_owned()),
            "ipv6" => one(self.one_of(&["auto", "on", "off"])),
            "real_ip_from" => {
                let networks = ["10.0.0.0/8", "192.0.2.1", "10.1.2.3/9", "fd00::/8", "::1", "fd00::7/65"];
                self.some(3, |this| this.one_of(&networks).to_owned())
            }
            "scheme" => one(self.one_of(&["http", "https"])),
            "access_log" => one(&self.files.log),
            "server_name" if self.chance(15) => one("_"),
            "server_name" => {
                self.some(3, |this| this.one_of(&["", "", "*."]).to_owned() + &this.name().to_lowercase())
            }
            "listen" => {
                let port = 33_000 + self.random.below(4);
                vec![
                    self.one_of(&["", "*:", "127.0.0.1:", "[::1]:", "0.0.0.0:", "[::]:"]).to_owned()
                        + &port.to_string(),
                ]
            }
            "tls_certificate" => one(&self.files.certificate),
            "tls_key" => one(&self.files.key),
            "tokens" => one(self.one_of(&["off", "mixed", "registry"])),
            "facts" => self.some(4, |this| format!("f-{}", this.random.letters(20).to_lowercase())),
            "max_body_size" => one(self.one_of(&["0", "1", "100m", "8589934591G", "9999999999", "20k"])),
            "public_paths" => self.some(3, |this| format!("/{}/~.x_-/", this.label())),
            "cors_origins" => self.some(3, |this| {
                let host = this.name().replace('_', "-").replace("--", "-").to_lowercase();
                let host = host.replace("-.", ".").replace(".-", ".");
                format!("https://{host}{}", this.one_of(&["", ":443", ":8443"]))
            }),
            "upstream_ca" => one(&self.files.authorities),
            "redirects" => one(self.one_of(&["pass", "follow"])),
            "redirect_hosts" => self.some(3, |this| {
                this.one_of(&["", "*."]).to_owned() + this.one_of(&["s3.test", "a.b-c.test:9000"])
            }),
            "include" => vec![self.files.include.clone(), "/nonexistent/*.conf".to_owned()],
            "kind" => one(kind),
            // A switch.
            _ => one(switch),
        }
    }

    /// Returns a value that is nearly valid, or hostile.
    fn bad(&mut self, key: &str, kind: &str) -> Values {
        let mut values = self.valid(key, kind);
        let hostile = self.one_of(&HOSTILE).to_owned();
        let at = self.random.below(values.len() as u64) as usize;
        let value = &mut values[at];
        match self.random.below(7) {
            0 => *value = hostile,
            1 => value.push_str(&hostile),
            2 => *value = hostile + value,
            3 => {
                // Values are not ASCII alone, so this is a place between two characters.
                let cut =
                    value.char_indices().map(|(at, _)| at).nth(value.chars().count() / 2).unwrap_or_default();
                value.insert_str(cut, &hostile);
            }
            4 => *value = value.repeat(60),
            5 if key == "proxy_secret_file" => *value = self.files.bad_secret.clone(),
            5 => *value = "y".repeat(1 + self.random.below(5000) as usize),
            _ => value.push_str(["/x", ".", ",", ":", "-", "*"][self.random.below(6) as usize]),
        }
        values
    }

    fn value(&mut self, key: &'static str, kind: &str, percent: u64) -> (&'static str, Values) {
        let is_bad = self.chance(percent);
        (key, if is_bad { self.bad(key, kind) } else { self.valid(key, kind) })
    }

    /// Returns the options of a server. Options of other kinds are rare if the set is meant to be valid.
    fn server(&mut self, percent: u64) -> Table {
        let kind = self.one_of(&["registry", "site", "ecr"]);
        let mut table = Table::new();
        for key in OF_SERVER {
            let suits = match key {
                "tokens" => kind == "registry" && self.chance(40),
                "push" => kind != "site",
                "upstream_ca" => kind == "ecr",
                "redirects" | "redirect_hosts" => kind == "ecr" && self.chance(40),
                "facts" => kind != "ecr",
                "max_body_size" | "body_with_any_method" | "public_paths" => kind == "site",
                _ => true,
            };
            let is_required =
                matches!(key, "kind" | "upstream" | "tls_certificate" | "tls_key" | "upstream_ca");
            let is_given = (suits && (is_required || self.chance(60))) || self.chance(percent / 10);
            if is_given {
                table.push(self.value(key, kind, if key == "kind" { percent / 4 } else { percent }));
            }
        }
        if get(&table, "redirect_hosts").is_some() && percent == 0 {
            put(&mut table, "redirects", &["follow"]);
        }
        if get(&table, "tokens").is_some_and(|values| values[0] == "registry") && percent == 0 {
            table.retain(|(key, _)| *key != "facts");
        }
        table
    }
}

impl OptionSet {
    /// Returns the option set with this number.
    pub(super) fn random(number: u64, files: &Files) -> Self {
        let random = Random::seeded(number);
        let mut generator = Generator { random, files };
        // The percentage of bad values: none in half of the sets.
        let percent = [0, 0, 0, 3, 8, 30][generator.random.below(6) as usize];
        let count = [1, 1, 1, 2, 3, 5][generator.random.below(6) as usize];
        let mut servers: Vec<Table> = (0..count).map(|_| generator.server(percent)).collect();
        if percent == 0 && count > 1 {
            // Equal ports would make most sets contradict themselves.
            for (port, server) in (34_000..).zip(&mut servers) {
                if generator.chance(70) {
                    put(server, "listen", &[&format!("{port}")]);
                }
            }
        }
        let has_tokens =
            servers.iter().any(|table| get(table, "tokens").is_some_and(|values| values[0] != "off"));
        let has_ecr = servers.iter().any(|table| get(table, "kind").is_some_and(|values| values[0] == "ecr"));
        let mut common = Table::new();
        for key in COMMON {
            let is_given = match key {
                "auth" | "access_log" | "nginx_version" => true,
                "public" => has_tokens || generator.chance(percent / 10),
                "proxy_secret_file" => has_ecr || generator.chance(30),
                "scheme" | "resolver" => percent == 0 || generator.chance(40),
                "proxy_protocol" => generator.chance(20),
                _ => generator.chance(40),
            };
            if is_given {
                common.push(generator.value(key, "site", percent));
            }
        }
        if percent == 0 {
            put(&mut common, "scheme", &["https"]);
            if has_tokens {
                put(&mut common, "auth", &["127.0.0.1:8000"]);
            }
            if get(&common, "proxy_protocol").is_some() && get(&common, "real_ip_from").is_none() {
                put(&mut common, "real_ip_from", &["127.0.0.0/8"]);
            }
        }
        let certificate = (files.certificate.clone(), files.key.clone(), files.authorities.clone());
        let has_flags = count == 1 && generator.chance(50);
        Self { common, servers, has_flags, certificate }
    }

    /// Returns the settings file.
    pub(super) fn toml(&self) -> String {
        let mut text = String::from("[proxy_config]\n");
        let mut write = |table: &Table| {
            for (key, values) in table {
                let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
                let value = match &quoted[..] {
                    [one] => one.clone(),
                    all => format!("[{}]", all.join(", ")),
                };
                text.push_str(&format!("{key} = {value}\n"));
            }
            text.push_str("\n[[proxy_config.server]]\n");
        };
        write(&self.common);
        let servers: &[Table] = if self.has_flags { &[] } else { &self.servers };
        servers.iter().for_each(&mut write);
        text.trim_end_matches("\n[[proxy_config.server]]\n").to_owned() + "\n"
    }

    /// Returns all values of an option. A flag can have several values in one text.
    pub(super) fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        let tables = self.servers.iter().chain([&self.common]);
        tables
            .filter_map(move |table| get(table, key))
            .flatten()
            .flat_map(|text| text.split(','))
            .map(str::trim)
    }

    /// Returns the flags.
    pub(super) fn flags(&self) -> Vec<String> {
        let table = self.servers.first().filter(|_| self.has_flags);
        let flag = |(key, values): &(&'static str, Values)| {
            let name = format!("--{}", key.replace('_', "-"));
            values.iter().map(|value| format!("{name}={value}")).collect::<Vec<_>>()
        };
        table.into_iter().flatten().flat_map(flag).collect()
    }

    /// Returns an accepted option set with plain values in place of all values that are not a choice.
    pub(super) fn plain_twin(&self) -> Self {
        let mut twin = self.clone();
        let (certificate, key, authorities) = &self.certificate;
        let mut number = 0;
        for (option, values) in twin.common.iter_mut().chain(twin.servers.iter_mut().flatten()) {
            // A flag and a list can have several values in one text.
            let is_list = matches!(
                *option,
                "resolver"
                    | "real_ip_from"
                    | "server_name"
                    | "facts"
                    | "public_paths"
                    | "cors_origins"
                    | "redirect_hosts"
                    | "include"
            );
            if is_list && self.has_flags && OF_SERVER.contains(option) {
                let parts =
                    values.iter().flat_map(|value| value.split(',')).map(|part| part.trim().to_owned());
                // Nothing between two commas is no value.
                *values = parts.filter(|part| !part.is_empty()).collect();
            }
            for value in values {
                number += 1;
                let plain = match *option {
                    "auth" | "public" | "upstream" => plain_address(value),
                    "resolver" => format!("127.0.0.{}", number % 250 + 1),
                    "real_ip_from" => format!("10.0.0.{}", number % 250 + 1),
                    "access_log" => "/var/log/x".to_owned(),
                    "server_name" if value == "_" => "_".to_owned(),
                    "server_name" => format!("n{number}.test"),
                    "tls_certificate" => certificate.clone(),
                    "tls_key" => key.clone(),
                    "upstream_ca" => authorities.clone(),
                    "facts" => format!("f{number}"),
                    "max_body_size" => "1m".to_owned(),
                    "public_paths" => format!("/p{number}/"),
                    "cors_origins" => {
                        format!("{}://c{number}.test", value.split(':').next().unwrap_or_default())
                    }
                    "redirect_hosts" if value.starts_with('*') => format!("*.r{number}.test"),
                    "redirect_hosts" => format!("r{number}.test"),
                    "include" => format!("/x{number}/*.conf"),
                    _ => continue,
                };
                *value = plain;
            }
        }
        twin
    }
}

/// Returns an address of the same kind.
fn plain_address(text: &str) -> String {
    let bare = text.strip_prefix("http://");
    let address = bare.unwrap_or(text).split('/').next().unwrap_or_default();
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let plain = match host {
        _ if text.starts_with("unix:") => return "unix:/x".to_owned(),
        "localhost" => "localhost:1",
        _ if host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok() => "127.0.0.1:1",
        _ => "name.test:1",
    };
    if bare.is_some() { format!("http://{plain}/auth") } else { plain.to_owned() }
}

/// Returns a basic string of TOML.
fn quote(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}
