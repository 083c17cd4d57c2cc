//! A marketplace of images, from a name that is reserved to a purchase that is withdrawn, in both ways of
//! `examples/marketplace.toml` and `examples/marketplace-files.toml`: through nginx, to a real registry that
//! verifies tokens, by skopeo. Beside each grant stands who must not have it.

mod marketplace_service;
mod setup;

use std::fs;

use marketplace_service::Way;
use setup::{House, SERVICE, copy, init, token};

use crate::support::client::Request;
use crate::support::doorward::doorward;
use crate::support::eventually;
use crate::support::process::Output;
use crate::token::claims;

const WAYS: [Way; 2] = [Way::Asked, Way::Files];
/// What acme sells.
const PRO: &str = "camera/camera.pro";
const NOBODY: (&str, &str) = ("", "");

fn assert_done(output: &Output) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// His key is good, and this is not his.
fn assert_denied(output: &Output) {
    assert_ne!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("denied") || output.stderr.contains("unauthorized"), "{output:?}");
    assert!(!output.stderr.contains("invalid username/password"), "{output:?}");
}

/// His key is no good, or there is none.
fn assert_unknown(output: &Output, who: &str) {
    assert_ne!(output.code, Some(0), "{who}: {output:?}");
    assert!(output.stderr.contains("invalid username/password"), "{who}: {output:?}");
}

#[test]
fn reserved_name_is_pushed_only_by_its_owner() {
    for way in WAYS {
        let house = House::start(way);
        let (acme, zoe, carl) =
            (house.key("acme", "ci"), house.key("zoe", "ci"), house.key("carl", "server"));
        let (acme, zoe, carl) = (("acme", &acme[..]), ("zoe", &zoe[..]), ("carl", &carl[..]));
        assert_denied(&house.push(acme, "image", PRO));
        house.reserve("acme", "camera");
        assert_eq!(house.shop.reserve("zoe", "camera"), Err("it is taken"));
        assert!(house.shop.reserve("zoe", "camera.pro").is_err());
        house.reserve("zoe", "lens");
        assert_done(&house.push(acme, "image", PRO));
        assert_done(&house.push(acme, "image", "camera/camera.free"));
        assert_done(&house.push(zoe, "other", "lens/lens.one"));
        house.buy("carl", "camera.pro");
        // Neither another seller, nor who has bought it, nor anybody; and nothing that nobody has reserved.
        for who in [zoe, carl, NOBODY] {
            assert_denied(&house.push(who, "other", PRO));
            assert_denied(&house.push(who, "other", "camera/camera.new"));
            assert_denied(&house.push(who, "other", "free/free.one"));
        }
        for name in ["camera.pro/camera.pro", "camera.pro/a.b", "carl/camera.pro", "camera.pro"] {
            assert_denied(&house.push(carl, "other", name));
        }
        for name in ["lens/lens.one", "camera", "camera/pro", "camera/a.b/c", "acme/camera.pro"] {
            assert_denied(&house.push(acme, "other", name));
        }
        assert_done(&house.pull(acme, PRO));
        assert_denied(&house.pull(acme, "lens/lens.one"));
        assert_denied(&house.pull(zoe, PRO));
    }
}

#[test]
fn purchase_allows_pull_until_withdrawal() {
    for way in WAYS {
        let house = House::start(way);
        let (acme, carl) = (house.key("acme", "ci"), house.key("carl", "server"));
        let (acme, carl) = (("acme", &acme[..]), ("carl", &carl[..]));
        house.reserve("acme", "camera");
        assert_done(&house.push(acme, "image", PRO));
        assert_done(&house.push(acme, "other", "camera/camera.team"));
        // Carl can't, and so doorward has an answer about him when he buys.
        assert_denied(&house.pull(carl, PRO));
        house.buy("carl", "camera.pro");
        assert_done(&house.pull(carl, PRO));
        assert_denied(&house.pull(carl, "camera/camera.team"));
        assert_eq!(house.access(carl, &format!("repository:{PRO}:pull,push")), Ok(format!("{PRO}:pull")));
        // What others do changes nothing for him.
        house.buy("dora", "camera.team");
        assert_done(&house.pull(carl, PRO));
        assert_denied(&house.pull(NOBODY, PRO));
        for who in [acme, carl, NOBODY] {
            assert_eq!(house.access(who, "registry:catalog:*"), Ok(String::new()));
        }
        house.take_back("carl", "camera.pro");
        assert_denied(&house.pull(carl, PRO));
        assert_done(&house.pull(acme, PRO));
    }
}

#[test]
fn api_key_is_accepted_until_revocation_or_expiry() {
    for way in WAYS {
        let house = House::start(way);
        let acme = house.key("acme", "ci");
        house.reserve("acme", "camera");
        assert_done(&house.push(("acme", &acme), "image", PRO));
        house.buy("carl", "camera.pro");
        let over = house.shop.key("carl", "over", &[], true);
        let (server, laptop) = (house.key("carl", "server"), house.key("carl", "laptop"));
        for key in [&server, &laptop] {
            assert_done(&house.log_in(("carl", key)));
            assert_done(&house.pull(("carl", key), PRO));
        }
        let last = if server.ends_with('x') { "y" } else { "x" };
        let wrong = format!("{}{last}", &server[..server.len() - 1]);
        for who in [("carl", &over), ("carl", &wrong), ("carl", &acme), ("acme", &server)] {
            let which = format!("{way:?}: {who:?}");
            assert_unknown(&house.log_in((who.0, who.1)), &which);
            assert_unknown(&house.pull((who.0, who.1), PRO), &which);
        }
        for who in [("carl", "a password"), ("carl", ""), ("nobody", &server[..])] {
            assert_eq!(house.access(who, &format!("repository:{PRO}:pull")), Err(401), "{way:?}: {who:?}");
        }
        house.revoke(&server);
        let which = format!("{way:?}, revoked");
        assert_unknown(&house.log_in(("carl", &server)), &which);
        assert_unknown(&house.pull(("carl", &server), PRO), &which);
        assert_done(&house.pull(("carl", &laptop), PRO));
    }
}

#[test]
fn issued_token_is_valid_until_expiry_after_a_withdrawal_and_no_new_one_is_issued() {
    for way in WAYS {
        let house = House::start(way);
        let (acme, carl) = (house.key("acme", "ci"), house.key("carl", "server"));
        house.reserve("acme", "camera");
        assert_done(&house.push(("acme", &acme), "image", PRO));
        house.buy("carl", "camera.pro");
        let scope = format!("repository:{PRO}:pull");
        let out = token(&house.ask(("carl", &carl), &scope));
        let said = claims(&out);
        let time = |name: &str| said[name].as_u64().unwrap();
        assert_eq!((time("exp") - time("iat"), &said["aud"]), (60, &SERVICE.into()));
        house.take_back("carl", "camera.pro");
        assert_eq!(house.access(("carl", &carl), &scope), Ok(String::new()));
        house.revoke(&carl);
        assert_eq!(house.access(("carl", &carl), &scope), Err(401));
        let manifest = Request::get(&format!("/v2/{PRO}/manifests/one"))
            .header("Accept", "application/vnd.oci.image.manifest.v1+json");
        let shown = house.nginx.ask(&manifest.clone().header("Authorization", format!("Bearer {out}")));
        assert_eq!(shown.status, 200, "{shown:?}");
        // The key itself is nothing to the registry, in no way.
        for by in [
            manifest.clone().basic("carl", &carl),
            manifest.header("Authorization", format!("Bearer {carl}")),
        ] {
            assert_eq!(house.nginx.ask(&by).status, 401);
        }
    }
}

#[test]
fn purchase_during_a_call_takes_effect() {
    let house = House::start(Way::Asked);
    let carl = house.key("carl", "server");
    let scope = format!("repository:{PRO}:pull");
    house.shop.shut();
    std::thread::scope(|threads| {
        let before = threads.spawn(|| house.access(("carl", &carl), &scope));
        house.shop.somebody_waits();
        house.buy("carl", "camera.pro");
        house.shop.open();
        assert_eq!(before.join().unwrap(), Ok(String::new()), "as it was when he asked");
    });
    assert_eq!(house.access(("carl", &carl), &scope), Ok(format!("{PRO}:pull")));
}

#[test]
fn purchase_without_a_flush_takes_effect_after_the_cache_ttl() {
    let house = House::start_with(Way::Asked, &[], |text| {
        text.replace("\ntrusted_for = \"1m\"", "\ntrusted_for = \"1s\"")
    });
    let (carl, scope) = (house.key("carl", "server"), format!("repository:{PRO}:pull"));
    assert_eq!(house.access(("carl", &carl), &scope), Ok(String::new()));
    house.shop.sell("carl", "camera.pro");
    eventually("it counts", || {
        house.access(("carl", &carl), &scope).is_ok_and(|access| !access.is_empty()).then_some(())
    });
    house.shop.revoke(&carl);
    eventually("the key is refused", || (house.access(("carl", &carl), &scope) == Err(401)).then_some(()));
}

#[test]
fn known_users_stay_admitted_during_an_outage_and_flushed_users_do_not() {
    let mut house = House::start(Way::Asked);
    let (carl, dora) = (house.key("carl", "server"), house.key("dora", "server"));
    house.buy("carl", "camera.pro");
    let scope = format!("repository:{PRO}:pull");
    assert_eq!(house.access(("carl", &carl), &scope), Ok(format!("{PRO}:pull")));
    house.service.go();
    assert_eq!(house.access(("carl", &carl), &scope), Ok(format!("{PRO}:pull")));
    assert_eq!(house.access(("dora", &dora), &scope), Err(503));
    house.tell("carl");
    assert_eq!(house.access(("carl", &carl), &scope), Err(503));
    house.service.come();
    eventually("it is back", || {
        house.access(("carl", &carl), &scope).ok().filter(|access| !access.is_empty())
    });
}

#[test]
fn account_above_the_group_limit_is_unavailable_and_others_are_not() {
    let house = House::start(Way::Asked);
    let (carl, dora) = (house.key("carl", "server"), house.key("dora", "server"));
    house.shop.sell("carl", "camera.pro");
    (0..65).for_each(|number| house.shop.sell("dora", &format!("camera.{number}")));
    for _ in 0..4 {
        assert_eq!(house.access(("dora", &dora), "repository:camera/camera.1:pull"), Err(503));
    }
    let given = house.access(("carl", &carl), &format!("repository:{PRO}:pull"));
    assert_eq!(given, Ok(format!("{PRO}:pull")));
}

#[test]
fn invalid_files_change_nothing_and_are_reported() {
    let house = House::start(Way::Files);
    let carl = house.key("carl", "server");
    house.buy("carl", "camera.pro");
    let scope = format!("repository:{PRO}:pull");
    let many: String = (0..65).map(|n| format!("camera.{n}: carl\n")).collect();
    for bad in ["camera.pro carl\n", &many] {
        house.put("groups", bad);
        eventually("it is told", || house.doorward.ready().text().contains("degraded").then_some(()));
        assert_eq!(house.access(("carl", &carl), &scope), Ok(format!("{PRO}:pull")));
        house.tell("carl");
        eventually("it is well", || (house.doorward.ready().text() == "ready\n").then_some(()));
    }
    // A scope makes a key less, and never more.
    house.reserve("carl", "lens");
    let narrow = house.shop.key("carl", "narrow", &["pull:**"], false);
    let wide = house.shop.key("carl", "wide", &["pull,push:camera/**"], false);
    house.tell("carl");
    let both = |key: &str, name: &str| house.access(("carl", key), &format!("repository:{name}:pull,push"));
    assert_eq!(both(&carl, "lens/lens.one"), Ok("lens/lens.one:pull,push".into()));
    assert_eq!(both(&narrow, "lens/lens.one"), Ok("lens/lens.one:pull".into()));
    assert_eq!(both(&wide, PRO), Ok(format!("{PRO}:pull")));
    assert_eq!(both(&wide, "lens/lens.one"), Ok(String::new()));
}

#[test]
fn marketplace_examples_pass_check_and_policy_expectations() {
    const EXPECTED: &str = "\
        acme push camera/camera.pro groups=camera allow\n\
        acme push camera/camera.pro groups=lens deny\n\
        acme push camera/camera groups=camera deny\n\
        acme delete camera/camera.pro groups=camera deny\n\
        carl pull camera/camera.pro groups=camera.pro allow\n\
        carl push camera/camera.pro groups=camera.pro deny\n\
        carl push camera.pro/camera.pro groups=camera.pro deny\n\
        carl push camera.pro/a.b groups=camera.pro deny\n\
        carl pull camera/camera.team groups=camera.pro deny\n\
        carl catalog groups=camera.pro deny\n\
        camera push camera/camera.pro deny\n\
        - pull camera/camera.pro deny\n";
    for way in WAYS {
        let dir = tempfile::tempdir().unwrap();
        let settings = copy(way, dir.path(), "http://127.0.0.1:9");
        init(dir.path(), "https://registry.example.com/token");
        let expected = dir.path().join("expected");
        fs::write(&expected, EXPECTED.replace("        ", "")).unwrap();
        let output = doorward(&["check", "--config", &settings, "--expect", expected.to_str().unwrap()]);
        assert_eq!(output.code, Some(0), "{way:?}: {output:?}");
        let spoilt = fs::read_to_string(&settings).unwrap().replace("\nexpires = ", "\nexpire = ");
        fs::write(&settings, spoilt).unwrap();
        let output = doorward(&["check", "--config", &settings]);
        assert!(output.code == Some(1) && output.stderr.contains("expire"), "{way:?}: {output:?}");
    }
}
