//! Facts about the machine: the installed nginx, name resolution and IPv6.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use super::version::NginxVersion;

/// Size limit of a system file. `/etc/hosts` of ad blockers has a few megabytes.
const SYSTEM_FILE_BYTES_MAX: u64 = 16 << 20;

/// The machine on which the command runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// The text of `/etc/resolv.conf`.
    pub(crate) resolv_conf: String,
    /// The text of `/etc/hosts`.
    pub(crate) hosts: String,
    /// The text of `/proc/net/if_inet6`: a line for each IPv6 address.
    pub(crate) ipv6_addresses: String,
}

impl Machine {
    /// Reads the files. A file that cannot be read is empty.
    pub(crate) fn read() -> Self {
        let read = |path: &str| read_text(Path::new(path)).unwrap_or_default();
        Self {
            resolv_conf: read("/etc/resolv.conf"),
            hosts: read("/etc/hosts"),
            ipv6_addresses: read("/proc/net/if_inet6"),
        }
    }

    /// Returns the DNS servers. nginx does not support an address with a zone, such as fe80::1%eth0.
    pub(crate) fn resolvers(&self) -> Vec<IpAddr> {
        let words = self.resolv_conf.lines().map(str::split_ascii_whitespace);
        words
            .filter_map(
                |mut words| {
                    if words.next() == Some("nameserver") { words.next()?.parse().ok() } else { None }
                },
            )
            .collect()
    }

    /// Returns the domain that Kubernetes adds to a short name, if the command runs there. The resolver of nginx does
    /// not add it.
    pub(crate) fn kubernetes_domain(&self) -> Option<&str> {
        let mut lines = self.resolv_conf.lines().rev().map(str::split_ascii_whitespace);
        let mut words = lines.find_map(|mut words| (words.next() == Some("search")).then_some(words))?;
        words.next().filter(|domain| domain.contains(".svc."))
    }

    /// Returns whether `/etc/hosts` lists a name. The resolver of nginx does not read this file.
    pub(crate) fn has_static_name(&self, name: &str) -> bool {
        let names = self.hosts.lines().flat_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            line.split_ascii_whitespace().skip(1)
        });
        names.into_iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Returns whether the machine has an IPv6 address of any kind.
    pub(crate) fn has_ipv6(&self) -> bool {
        !self.ipv6_addresses.trim().is_empty()
    }

    /// Returns whether the machine has a global IPv6 address (scope 00), and so can reach others.
    pub(crate) fn has_global_ipv6(&self) -> bool {
        self.ipv6_addresses.lines().any(|line| line.split_ascii_whitespace().nth(3) == Some("00"))
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SYSTEM_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The nginx for which the configuration is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NginxBuild {
    /// The version.
    pub(crate) version: NginxVersion,
    /// Whether it has the module for HTTP/2.
    pub(crate) has_http2: bool,
}

impl NginxBuild {
    /// Returns a build with every module.
    pub(crate) fn with_version(version: NginxVersion) -> Self {
        Self { version, has_http2: true }
    }
}

/// A module of nginx that a configuration needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NginxModule {
    /// The name, such as `auth_request`.
    pub(crate) name: &'static str,
    /// Whether nginx has it unless it is built without it.
    pub(crate) is_default: bool,
}

impl NginxModule {
    /// Returns whether a build has the module, by the output of `nginx -V`.
    fn is_in(self, build: &str) -> bool {
        let option = if self.is_default { "--without-http" } else { "--with-http" };
        build.contains(&format!("{option}_{}_module", self.name)) != self.is_default
    }
}

/// Returns the installed nginx, after a check of its modules. `None` if nginx is not installed.
pub(crate) fn installed_nginx(modules: &[NginxModule]) -> Result<Option<NginxBuild>, String> {
    let output = match Command::new("nginx").arg("-V").output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("nginx -V cannot be run: {error}; set the version")),
    };
    let text = String::from_utf8_lossy(&output.stderr);
    let unknown = || "nginx -V printed no version; set the version".to_owned();
    let version = NginxVersion::from_output(&text).ok_or_else(unknown)?.check_supported()?;
    for module in modules {
        if !module.is_in(&text) {
            return Err(format!(
                "the installed nginx has no ngx_http_{}_module, which is required; install a build with it (Debian: nginx)",
                module.name
            ));
        }
    }
    Ok(Some(NginxBuild { version, has_http2: NginxModule { name: "v2", is_default: false }.is_in(&text) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_in_the_build() {
        let light = "configure arguments: --with-http_auth_request_module --without-http_limit_req_module";
        let module = |name, is_default| NginxModule { name, is_default };
        assert!(module("auth_request", false).is_in(light) && !module("ssl", false).is_in(light));
        assert!(module("map", true).is_in(light) && !module("limit_req", true).is_in(light));
    }

    #[test]
    fn resolvers_and_static_names_are_read() {
        let machine = Machine {
            resolv_conf: "# x\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver fd00::53\nsearch shop.svc.cluster.local svc.cluster.local\n".into(),
            hosts: "127.0.0.1 localhost\n10.0.0.9 Registry other # ghost\n".into(),
            ipv6_addresses: "00000000000000000000000000000001 01 80 10 80 lo\n".into(),
        };
        assert_eq!(machine.resolvers(), ["10.0.0.2".parse::<IpAddr>().unwrap(), "fd00::53".parse().unwrap()]);
        assert_eq!(machine.kubernetes_domain(), Some("shop.svc.cluster.local"));
        assert!(machine.has_static_name("registry") && machine.has_static_name("other"));
        assert!(!machine.has_static_name("ghost") && !machine.has_static_name("10.0.0.9"));
        assert!(machine.has_ipv6() && !machine.has_global_ipv6());
        assert!(!Machine::default().has_ipv6() && Machine::default().resolvers().is_empty());
    }
}
