//! `examples/marketplace.toml` and `examples/marketplace-files.toml`.

mod marketplace_service;
mod setup;

use std::fs;

use marketplace_service::Integration;
use setup::{MarketplaceSetup, SERVICE, copy, init, token};

use crate::support::client::Request;
use crate::support::doorward::doorward;
use crate::support::eventually;
use crate::support::process::Output;
use crate::token::claims;

const INTEGRATIONS: [Integration; 2] = [Integration::Requests, Integration::Files];
/// What acme sells.
const PRO: &str = "camera/camera.pro";
const NOBODY: (&str, &str) = ("", "");

fn assert_succeeded(output: &Output) {
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
    for integration in INTEGRATIONS {
        let setup = MarketplaceSetup::start(integration);
        let (acme, zoe, carl) =
            (setup.key("acme", "ci"), setup.key("zoe", "ci"), setup.key("carl", "server"));
        let (acme, zoe, carl) = (("acme", &acme[..]), ("zoe", &zoe[..]), ("carl", &carl[..]));
        assert_denied(&setup.push(acme, "image", PRO));
        setup.reserve("acme", "camera");
        assert_eq!(setup.marketplace.reserve("zoe", "camera"), Err("it is taken"));
        assert!(setup.marketplace.reserve("zoe", "camera.pro").is_err());
        setup.reserve("zoe", "lens");
        assert_succeeded(&setup.push(acme, "image", PRO));
        assert_succeeded(&setup.push(acme, "image", "camera/camera.free"));
        assert_succeeded(&setup.push(zoe, "other", "lens/lens.one"));
        setup.buy("carl", "camera.pro");
        // Neither another seller, nor who has bought it, nor anybody; and nothing that nobody has reserved.
        for who in [zoe, carl, NOBODY] {
            assert_denied(&setup.push(who, "other", PRO));
            assert_denied(&setup.push(who, "other", "camera/camera.new"));
            assert_denied(&setup.push(who, "other", "free/free.one"));
        }
        for name in ["camera.pro/camera.pro", "camera.pro/a.b", "carl/camera.pro", "camera.pro"] {
            assert_denied(&setup.push(carl, "other", name));
        }
        for name in ["lens/lens.one", "camera", "camera/pro", "camera/a.b/c", "acme/camera.pro"] {
            assert_denied(&setup.push(acme, "other", name));
        }
        assert_succeeded(&setup.pull(acme, PRO));
        assert_denied(&setup.pull(acme, "lens/lens.one"));
        assert_denied(&setup.pull(zoe, PRO));
    }
}

#[test]
fn purchase_allows_pull_until_withdrawal() {
    for integration in INTEGRATIONS {
        let setup = MarketplaceSetup::start(integration);
        let (acme, carl) = (setup.key("acme", "ci"), setup.key("carl", "server"));
        let (acme, carl) = (("acme", &acme[..]), ("carl", &carl[..]));
        setup.reserve("acme", "camera");
        assert_succeeded(&setup.push(acme, "image", PRO));
        assert_succeeded(&setup.push(acme, "other", "camera/camera.team"));
        // Carl can't, and so doorward has an answer about him when he buys.
        assert_denied(&setup.pull(carl, PRO));
        setup.buy("carl", "camera.pro");
        assert_succeeded(&setup.pull(carl, PRO));
        assert_denied(&setup.pull(carl, "camera/camera.team"));
        assert_eq!(setup.access(carl, &format!("repository:{PRO}:pull,push")), Ok(format!("{PRO}:pull")));
        // What others do changes nothing for him.
        setup.buy("dora", "camera.team");
        assert_succeeded(&setup.pull(carl, PRO));
        assert_denied(&setup.pull(NOBODY, PRO));
        for who in [acme, carl, NOBODY] {
            assert_eq!(setup.access(who, "registry:catalog:*"), Ok(String::new()));
        }
        setup.take_back("carl", "camera.pro");
        assert_denied(&setup.pull(carl, PRO));
        assert_succeeded(&setup.pull(acme, PRO));
    }
}

#[test]
fn api_key_is_accepted_until_revocation_or_expiry() {
    for integration in INTEGRATIONS {
        let setup = MarketplaceSetup::start(integration);
        let acme = setup.key("acme", "ci");
        setup.reserve("acme", "camera");
        assert_succeeded(&setup.push(("acme", &acme), "image", PRO));
        setup.buy("carl", "camera.pro");
        let over = setup.marketplace.key("carl", "over", &[], true);
        let (server, laptop) = (setup.key("carl", "server"), setup.key("carl", "laptop"));
        for key in [&server, &laptop] {
            assert_succeeded(&setup.log_in(("carl", key)));
            assert_succeeded(&setup.pull(("carl", key), PRO));
        }
        let last = if server.ends_with('x') { "y" } else { "x" };
        let wrong = format!("{}{last}", &server[..server.len() - 1]);
        for who in [("carl", &over), ("carl", &wrong), ("carl", &acme), ("acme", &server)] {
            let which = format!("{integration:?}: {who:?}");
            assert_unknown(&setup.log_in((who.0, who.1)), &which);
            assert_unknown(&setup.pull((who.0, who.1), PRO), &which);
        }
        for who in [("carl", "a password"), ("carl", ""), ("nobody", &server[..])] {
            assert_eq!(
                setup.access(who, &format!("repository:{PRO}:pull")),
                Err(401),
                "{integration:?}: {who:?}"
            );
        }
        setup.revoke(&server);
        let which = format!("{integration:?}, revoked");
        assert_unknown(&setup.log_in(("carl", &server)), &which);
        assert_unknown(&setup.pull(("carl", &server), PRO), &which);
        assert_succeeded(&setup.pull(("carl", &laptop), PRO));
    }
}

#[test]
fn issued_token_is_valid_until_expiry_after_a_withdrawal_and_no_new_one_is_issued() {
    for integration in INTEGRATIONS {
        let setup = MarketplaceSetup::start(integration);
        let (acme, carl) = (setup.key("acme", "ci"), setup.key("carl", "server"));
        setup.reserve("acme", "camera");
        assert_succeeded(&setup.push(("acme", &acme), "image", PRO));
        setup.buy("carl", "camera.pro");
        let scope = format!("repository:{PRO}:pull");
        let out = token(&setup.ask(("carl", &carl), &scope));
        let said = claims(&out);
        let time = |name: &str| said[name].as_u64().unwrap();
        assert_eq!((time("exp") - time("iat"), &said["aud"]), (60, &SERVICE.into()));
        setup.take_back("carl", "camera.pro");
        assert_eq!(setup.access(("carl", &carl), &scope), Ok(String::new()));
        setup.revoke(&carl);
        assert_eq!(setup.access(("carl", &carl), &scope), Err(401));
        let manifest = Request::get(&format!("/v2/{PRO}/manifests/one"))
            .header("Accept", "application/vnd.oci.image.manifest.v1+json");
        let shown = setup.nginx.ask(&manifest.clone().header("Authorization", format!("Bearer {out}")));
        assert_eq!(shown.status, 200, "{shown:?}");
        // The key itself is nothing to the registry, in no way.
        for by in [
            manifest.clone().basic("carl", &carl),
            manifest.header("Authorization", format!("Bearer {carl}")),
        ] {
            assert_eq!(setup.nginx.ask(&by).status, 401);
        }
    }
}

#[test]
fn purchase_during_a_call_takes_effect() {
    let setup = MarketplaceSetup::start(Integration::Requests);
    let carl = setup.key("carl", "server");
    let scope = format!("repository:{PRO}:pull");
    setup.marketplace.shut();
    std::thread::scope(|threads| {
        let before = threads.spawn(|| setup.access(("carl", &carl), &scope));
        setup.marketplace.somebody_waits();
        setup.buy("carl", "camera.pro");
        setup.marketplace.open();
        assert_eq!(before.join().unwrap(), Ok(String::new()), "as it was when he asked");
    });
    assert_eq!(setup.access(("carl", &carl), &scope), Ok(format!("{PRO}:pull")));
}

#[test]
fn purchase_without_a_flush_takes_effect_after_the_cache_ttl() {
    let setup = MarketplaceSetup::start_with(Integration::Requests, &[], |text| {
        text.replace("\ncache_ttl = \"1m\"", "\ncache_ttl = \"1s\"")
    });
    let (carl, scope) = (setup.key("carl", "server"), format!("repository:{PRO}:pull"));
    assert_eq!(setup.access(("carl", &carl), &scope), Ok(String::new()));
    setup.marketplace.sell("carl", "camera.pro");
    eventually("it counts", || {
        setup.access(("carl", &carl), &scope).is_ok_and(|access| !access.is_empty()).then_some(())
    });
    setup.marketplace.revoke(&carl);
    eventually("the key is refused", || (setup.access(("carl", &carl), &scope) == Err(401)).then_some(()));
}

#[test]
fn known_users_stay_admitted_during_an_outage_and_flushed_users_do_not() {
    let mut setup = MarketplaceSetup::start(Integration::Requests);
    let (carl, dora) = (setup.key("carl", "server"), setup.key("dora", "server"));
    setup.buy("carl", "camera.pro");
    let scope = format!("repository:{PRO}:pull");
    assert_eq!(setup.access(("carl", &carl), &scope), Ok(format!("{PRO}:pull")));
    setup.service.go();
    assert_eq!(setup.access(("carl", &carl), &scope), Ok(format!("{PRO}:pull")));
    assert_eq!(setup.access(("dora", &dora), &scope), Err(503));
    setup.tell("carl");
    assert_eq!(setup.access(("carl", &carl), &scope), Err(503));
    setup.service.come();
    eventually("it is back", || {
        setup.access(("carl", &carl), &scope).ok().filter(|access| !access.is_empty())
    });
}

#[test]
fn account_above_the_group_limit_is_unavailable_and_others_are_not() {
    let setup = MarketplaceSetup::start(Integration::Requests);
    let (carl, dora) = (setup.key("carl", "server"), setup.key("dora", "server"));
    setup.marketplace.sell("carl", "camera.pro");
    (0..65).for_each(|number| setup.marketplace.sell("dora", &format!("camera.{number}")));
    for _ in 0..4 {
        assert_eq!(setup.access(("dora", &dora), "repository:camera/camera.1:pull"), Err(503));
    }
    let given = setup.access(("carl", &carl), &format!("repository:{PRO}:pull"));
    assert_eq!(given, Ok(format!("{PRO}:pull")));
}

#[test]
fn invalid_files_change_nothing_and_are_reported() {
    let setup = MarketplaceSetup::start(Integration::Files);
    let carl = setup.key("carl", "server");
    setup.buy("carl", "camera.pro");
    let scope = format!("repository:{PRO}:pull");
    let many: String = (0..65).map(|n| format!("camera.{n}: carl\n")).collect();
    for bad in ["camera.pro carl\n", &many] {
        setup.put("groups", bad);
        eventually("it is told", || setup.doorward.ready().text().contains("degraded").then_some(()));
        assert_eq!(setup.access(("carl", &carl), &scope), Ok(format!("{PRO}:pull")));
        setup.tell("carl");
        eventually("it is well", || (setup.doorward.ready().text() == "ready\n").then_some(()));
    }
    // A scope makes a key less, and never more.
    setup.reserve("carl", "lens");
    let narrow = setup.marketplace.key("carl", "narrow", &["pull:**"], false);
    let wide = setup.marketplace.key("carl", "wide", &["pull,push:camera/**"], false);
    setup.tell("carl");
    let both = |key: &str, name: &str| setup.access(("carl", key), &format!("repository:{name}:pull,push"));
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
    for integration in INTEGRATIONS {
        let dir = tempfile::tempdir().unwrap();
        let settings = copy(integration, dir.path(), "http://127.0.0.1:9");
        init(dir.path(), "https://registry.example.com/token");
        let expected = dir.path().join("expected");
        fs::write(&expected, EXPECTED.replace("        ", "")).unwrap();
        let output = doorward(&["check", "--config", &settings, "--expect", expected.to_str().unwrap()]);
        assert_eq!(output.code, Some(0), "{integration:?}: {output:?}");
        let spoilt = fs::read_to_string(&settings).unwrap().replace("\nlifetime = ", "\nlifetim = ");
        fs::write(&settings, spoilt).unwrap();
        let output = doorward(&["check", "--config", &settings]);
        assert!(output.code == Some(1) && output.stderr.contains("lifetim"), "{integration:?}: {output:?}");
    }
}
