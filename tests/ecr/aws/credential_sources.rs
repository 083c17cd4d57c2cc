//! Sources of AWS credentials, region and endpoint.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fake_aws::{
    SESSION_SECRET, Service, assert_token, everything, field, of, refused, secret_of, service, token,
};
use super::{Fetcher, SECRET, sigv4};
use crate::support::backend::Backend;

const ROLE: &str = "arn:aws:iam::123456789012:role/registry";

/// A file of this folder.
fn file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}

/// With this `~/.aws/config`, and this `~/.aws/credentials`.
fn profiles(fetcher: Fetcher, folder: &Path, config: &str, credentials: &str) -> Fetcher {
    fetcher
        .env("AWS_CONFIG_FILE", file(folder, "config", config).to_str().unwrap())
        .env("AWS_SHARED_CREDENTIALS_FILE", file(folder, "credentials", credentials).to_str().unwrap())
}

fn key(id: &str) -> String {
    format!("aws_access_key_id = {id}\naws_secret_access_key = {SECRET}\n")
}

fn services(aws: &Backend) -> Vec<Service> {
    aws.heard().iter().map(service).collect()
}

#[test]
fn access_key_in_the_environment_gets_a_token() {
    let aws = Backend::start(everything);
    let told = of(&aws, Fetcher::with_key()).fetch();
    assert_token(&told, "AKIDENV");
    assert!(told.ends_with("session none"), "{told}");
    assert_eq!(services(&aws), [Service::Ecr]);
    assert_eq!(aws.heard()[0].target, "/");
    assert_eq!(aws.heard()[0].header("host").unwrap(), aws.address.to_string().as_bytes());
}

#[test]
fn session_token_in_the_environment_is_signed() {
    let aws = Backend::start(everything);
    let fetcher = Fetcher::with_key()
        .env("AWS_SECRET_ACCESS_KEY", SESSION_SECRET)
        .env("AWS_SESSION_TOKEN", "the-session");
    assert_token(&of(&aws, fetcher).fetch(), "AKIDENV");
    assert_eq!(aws.heard()[0].header("x-amz-security-token"), Some(&b"the-session"[..]));
}

#[test]
fn configured_endpoint_has_priority_over_the_ecr_and_global_endpoint_variables() {
    let (named, ecr, any) =
        (Backend::start(everything), Backend::start(everything), Backend::start(everything));
    let url = |aws: &Backend| format!("http://{}", aws.address);
    let mut fetcher = Fetcher::with_key().env("AWS_ENDPOINT_URL", url(&any)).set("role_arn", ROLE);
    assert_token(&fetcher.fetch(), "ASIAAssumeRole");
    assert_eq!(services(&any), [Service::Sts, Service::Ecr]);
    fetcher = fetcher.env("AWS_ENDPOINT_URL_ECR", url(&ecr));
    assert_token(&fetcher.fetch(), "ASIAAssumeRole");
    assert_eq!((services(&any).len(), services(&ecr)), (3, vec![Service::Ecr]));
    // The setting is ECR's, not that of STS.
    fetcher = fetcher.set("endpoint", format!("{}/a/path", url(&named)));
    assert_token(&fetcher.fetch(), "ASIAAssumeRole");
    assert_eq!((services(&any).len(), services(&ecr).len(), services(&named)), (4, 1, vec![Service::Ecr]));
    assert_eq!(named.heard()[0].target, "/a/path");
}

#[test]
fn named_profile_has_priority_over_the_environment_and_has_no_fallback() {
    let (aws, dir) = (Backend::start(everything), tempfile::tempdir().unwrap());
    let credentials = format!("[default]\n{}[robot]\n{}", key("AKIDDEFAULT"), key("AKIDROBOT"));
    let fetcher = of(&aws, Fetcher::with_key());
    let fetcher = profiles(fetcher, dir.path(), "[profile empty]\nregion = eu-central-1\n", &credentials);
    assert_token(&fetcher.clone().set("profile", "robot").fetch(), "AKIDROBOT");
    assert_token(&fetcher.fetch(), "AKIDENV");
    let keyless = fetcher.clone().without("AWS_ACCESS_KEY_ID");
    assert_token(&keyless.fetch(), "AKIDDEFAULT");
    assert_token(&keyless.env("AWS_PROFILE", "robot").fetch(), "AKIDROBOT");
    let told = fetcher.clone().set("profile", "empty").fetch();
    assert_eq!(told, "credentials: no AWS credentials: the profile empty has none");
    let told = fetcher.set("profile", "nobody").fetch();
    assert!(told.starts_with("credentials: the AWS credentials cannot be obtained: the profile: "), "{told}");
    assert!(told.contains("`nobody` was not defined"), "{told}");
}

#[test]
fn region_is_taken_from_environment_profile_or_instance() {
    let (aws, dir) = (Backend::start(everything), tempfile::tempdir().unwrap());
    let fetcher = of(&aws, Fetcher::with_key().without("DOORWARD_TEST_region"));
    let told = fetcher.fetch();
    assert!(told.starts_with("region: the AWS region is not known: set region, AWS_REGION"), "{told}");
    assert_token(&fetcher.clone().env("AWS_REGION", "eu-central-1").fetch(), "AKIDENV");
    let config = "[default]\nregion = eu-central-1\n";
    assert_token(&profiles(fetcher.clone(), dir.path(), config, "").fetch(), "AKIDENV");
    let instance = fetcher
        .clone()
        .without("AWS_EC2_METADATA_DISABLED")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", aws.address));
    assert_token(&instance.fetch(), "AKIDENV");
    let told = fetcher.env("AWS_REGION", "eu.evil.example/").fetch();
    assert!(told.starts_with("settings: the region"), "{told}");
}

#[test]
fn profile_assumes_its_role_with_the_key_of_its_source_profile() {
    let (aws, dir) = (Backend::start(everything), tempfile::tempdir().unwrap());
    let config = format!("[profile role]\nrole_arn = {ROLE}\nsource_profile = robot\nexternal_id = ours\n");
    let credentials = format!("[robot]\n{}", key("AKIDROBOT"));
    let fetcher = profiles(of(&aws, Fetcher::new()), dir.path(), &config, &credentials);
    let told = fetcher.set("profile", "role").fetch();
    assert_token(&told, "ASIAAssumeRole");
    let session: u64 = told.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&session), "{told}");
    assert_eq!(services(&aws), [Service::Sts, Service::Ecr]);
    assert_eq!(field(&aws.heard()[0], "RoleArn").as_deref(), Some(ROLE));
    assert_eq!(field(&aws.heard()[0], "ExternalId").as_deref(), Some("ours"));
}

#[test]
fn configured_role_is_assumed_with_any_credential_source() {
    let aws = Backend::start(everything);
    let fetcher = of(&aws, Fetcher::with_key()).set("role_arn", ROLE).set("external_id", "ours");
    assert_token(&fetcher.fetch(), "ASIAAssumeRole");
    let assumed = &aws.heard()[0];
    assert_eq!(field(assumed, "RoleArn").as_deref(), Some(ROLE));
    assert_eq!(field(assumed, "ExternalId").as_deref(), Some("ours"));
    assert_eq!(field(assumed, "RoleSessionName").as_deref(), Some("doorward"));
}

#[test]
fn credential_process_is_not_run_and_the_error_names_the_alternative() {
    let (aws, dir) = (Backend::start(everything), tempfile::tempdir().unwrap());
    let ran = dir.path().join("ran");
    let config = format!("[default]\ncredential_process = touch {}\n", ran.display());
    let path = std::env::var("PATH").unwrap();
    let told = profiles(of(&aws, Fetcher::new().env("PATH", path)), dir.path(), &config, "").fetch();
    assert!(told.contains("credential_process, which doorward does not run"), "{told}");
    assert!(!ran.exists() && aws.heard().is_empty());
}

#[test]
fn web_identity_token_file_gets_a_token_and_a_missing_file_is_named() {
    let (aws, dir) = (Backend::start(everything), tempfile::tempdir().unwrap());
    let identity = file(dir.path(), "token", "a.web.identity");
    let fetcher = of(&aws, Fetcher::new()).env("AWS_ROLE_ARN", ROLE);
    let there = fetcher.clone().env("AWS_WEB_IDENTITY_TOKEN_FILE", identity.to_str().unwrap());
    assert_token(&there.fetch(), "ASIAAssumeRoleWithWebIdentity");
    assert_eq!(field(&aws.heard()[0], "WebIdentityToken").as_deref(), Some("a.web.identity"));
    let told = fetcher.env("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token").fetch();
    assert!(told.contains("the file of AWS_WEB_IDENTITY_TOKEN_FILE"), "{told}");
    let told = there.without("AWS_ROLE_ARN").fetch();
    assert!(told.contains("AWS_ROLE_ARN is missing"), "{told}");
}

#[test]
fn container_credentials_endpoint_gets_a_token() {
    let (aws, dir) = (Backend::start(everything), tempfile::tempdir().unwrap());
    let fetcher = of(&aws, Fetcher::new())
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{}/v1/credentials", aws.address));
    let with = |name, value: &str| fetcher.clone().env(name, value).fetch();
    let pod = file(dir.path(), "token", "pod-token");
    assert_token(&with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", pod.to_str().unwrap()), "ASIACONTAINER");
    assert_eq!(aws.heard()[0].target, "/v1/credentials");
    assert_eq!(aws.heard()[0].header("authorization"), Some(&b"pod-token"[..]));
    // A token that is no header's value: the SDK's own error tells it.
    let bad = file(dir.path(), "bad", &format!("{SECRET}\n"));
    let told = with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", bad.to_str().unwrap());
    assert!(
        told.starts_with("credentials: ") && told.contains("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        "{told}"
    );
    // Only loopback and AWS's own addresses are asked without TLS.
    let told = with("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/credentials");
    assert!(told.contains("AWS_CONTAINER_CREDENTIALS_FULL_URI"), "{told}");
}

#[test]
fn instance_role_gets_a_token() {
    let aws = Backend::start(everything);
    let fetcher = of(&aws, Fetcher::new())
        .without("AWS_EC2_METADATA_DISABLED")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", aws.address));
    let told = fetcher.fetch();
    assert_token(&told, "ASIAINSTANCE");
    assert!(!told.ends_with("none"), "{told}");
}

#[test]
fn missing_credentials_are_an_error_that_lists_the_sources() {
    let aws = Backend::start(everything);
    let fetcher = of(&aws, Fetcher::new());
    for fetcher in [fetcher.clone(), fetcher.clone().set("role_arn", ROLE)] {
        let told = fetcher.fetch();
        assert!(told.starts_with("credentials: no AWS credentials: none in the environment"), "{told}");
        assert!(told.contains("is disabled (AWS_EC2_METADATA_DISABLED)"), "{told}");
    }
    assert_eq!(aws.requests(), 0);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = fetcher
        .without("AWS_EC2_METADATA_DISABLED")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{closed}"))
        .fetch();
    assert!(told.contains("the instance's metadata service: cannot connect"), "{told}");
    assert!(told.contains("hop limit of 2"), "{told}");
}

#[test]
fn sso_profile_is_refused_by_name() {
    let (aws, dir) = (Backend::start(everything), tempfile::tempdir().unwrap());
    let config = "[default]\nsso_session = dev\nsso_account_id = 1\nsso_role_name = r\n[sso-session dev]\nsso_region = eu-central-1\nsso_start_url = https://d.awsapps.com/start\n";
    let told = profiles(of(&aws, Fetcher::new()), dir.path(), config, "").fetch();
    assert!(told.contains("IAM Identity Center (SSO)"), "{told}");
}

#[test]
fn renewed_access_key_is_used_for_the_next_token() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials");
    let (calls, renewed) = (AtomicUsize::new(0), path.clone());
    let aws = Backend::start(move |heard| {
        let key = sigv4::signer(heard, secret_of(heard), "eu-central-1", "ecr");
        if calls.fetch_add(1, Ordering::Relaxed) > 0 {
            return token(&key, 0);
        }
        fs::write(&renewed, format!("[default]\n{}", super::credential_sources::key("AKIDNEW"))).unwrap();
        refused("ExpiredTokenException", 0)
    });
    let fetcher =
        profiles(of(&aws, Fetcher::new()), dir.path(), "", &format!("[default]\n{}", key("AKIDOLD")));
    let told = fetcher.fetch_times(2);
    assert!(
        told[0]
            .starts_with("rejected: ECR rejected the call: 400 ExpiredTokenException; the credentials have"),
        "{told:?}"
    );
    assert_token(&told[1], "AKIDNEW");
    assert_eq!(aws.requests(), 2);
}
