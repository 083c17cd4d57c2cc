//! Hosts to which redirects are followed.

use super::{EcrSetup, Reply};

/// A registry whose redirects are followed, either to these hosts or to the default ones.
struct FollowedRedirects(EcrSetup);

impl FollowedRedirects {
    fn start(hosts: &str) -> Self {
        let follow = |image: crate::support::nginx::Image| {
            let image = image.set("REDIRECTS", "follow");
            if hosts.is_empty() { image } else { image.set("REDIRECT_HOSTS", hosts) }
        };
        Self(EcrSetup::start(follow, |_| Reply::json("{}")))
    }

    /// Returns true if nginx follows the redirect itself. The response is 502 then, because no server at the resolved
    /// address has a certificate for that host. Otherwise the client gets the redirect.
    fn follows(&self, host: &str) -> bool {
        self.0.ecr.say(Reply::with("307 Go", &format!("Location: https://{host}/a?b\r\n"), ""));
        match self.0.get("/v2/a").status {
            502 => true,
            307 => false,
            other => panic!("{host}: {other}\n{}", self.0.nginx.log()),
        }
    }
}

#[test]
fn redirects_are_followed_only_to_s3_by_default() {
    let following = FollowedRedirects::start("");
    for host in [
        "prod-eu-central-1-starport-layer-bucket.s3.eu-central-1.amazonaws.com",
        "s3.eu-central-1.amazonaws.com",
        "b.s3.amazonaws.com",
        "s3.amazonaws.com",
        "b.s3-us-west-2.amazonaws.com",
        "b.s3.dualstack.us-east-1.amazonaws.com",
        "s3.dualstack.us-east-1.amazonaws.com",
        "b.s3-fips.us-gov-west-1.amazonaws.com",
        "b.s3-fips.dualstack.us-east-1.amazonaws.com",
        "b.with.dots.s3.ap-southeast-2.amazonaws.com",
        "b.s3.cn-north-1.amazonaws.com.cn",
    ] {
        assert!(following.follows(host), "{host}");
    }
    for host in [
        "amazonaws.com",
        "xamazonaws.com",
        "b.amazonaws.com",
        "b.s3.amazonaws.com.evil.test",
        "b.s3.amazonaws.org",
        "b.s3.amazonaws.com:8443",
        "xs3.amazonaws.com",
        "b.xs3.eu-central-1.amazonaws.com",
        "s3.evil.amazonaws.com",
        "b.s3.eu-central-1.evil.amazonaws.com",
        "b.s3-website-us-east-1.amazonaws.com",
        "b.s3-website.eu-central-1.amazonaws.com",
        "ec2-192-0-2-1.eu-central-1.compute.amazonaws.com",
        "x.execute-api.eu-central-1.amazonaws.com",
        "lb-1.eu-central-1.elb.amazonaws.com",
        "sts.eu-central-1.amazonaws.com",
        "api.ecr.eu-central-1.amazonaws.com",
        "b.s3.us-east-1.amazonaws.com.",
        "B.S3.us-east-1.amazonaws.com",
    ] {
        assert!(!following.follows(host), "{host}");
    }
}

#[test]
fn redirect_to_an_ip_address_localhost_or_bare_name_is_never_followed() {
    // Every kind of host that the setting accepts.
    let following = FollowedRedirects::start("*.store.test,*.internal.test,a.test:9000");
    for host in [
        "127.0.0.1",
        "127.1",
        "169.254.169.254",
        "[::1]",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "10.0.0.0x1",
        "localhost",
        "localhost:443",
        "x.localhost",
        "localhost.localdomain",
        "storage",
        "169.254.169.254.store.test.",
        "store.test",
    ] {
        assert!(!following.follows(host), "{host}");
    }
    for host in ["x.store.test", "localhost.store.test", "a.test:9000"] {
        assert!(following.follows(host), "{host}");
    }
}

#[test]
fn redirect_map_that_allows_every_host_allows_no_ip_address() {
    let every = "map $doorward_storage_host $doorward_storage_allowed { default yes; \"\" \"\"; }\n";
    // The map is included after the generated file, so that it replaces the generated one.
    let follow = |image: crate::support::nginx::Image| {
        image.set("REDIRECTS", "follow").file("etc/nginx/conf.d/zz.conf", every)
    };
    let following = FollowedRedirects(EcrSetup::start(follow, |_| Reply::json("{}")));
    assert!(following.follows("any.store.test"));
    for host in
        ["127.0.0.1", "169.254.169.254", "[::1]", "localhost", "x.localhost", "0x7f.0.0.0x1", "storage"]
    {
        assert!(!following.follows(host), "{host}");
    }
}
