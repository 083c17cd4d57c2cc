//! Fetches of ECR tokens from AWS: every source of credentials, every response of AWS, and a clock that is wrong. A
//! fake AWS on loopback verifies the signatures.
//!
//! The AWS SDK reads the environment of the process, which all tests of one process share. So each fetch runs in a
//! process of its own: this test program, started for the single test [`child_process_prints_the_fetched_tokens`].

mod credential_sources;
mod failures;
mod fake_aws;
mod sigv4;
mod wrong_clock;

use std::collections::HashMap;
use std::io::Write;
use std::process::Command;

use doorward::internals::{AwsAccount, CallError, EcrError, EcrTokenClient};

use crate::support::process;

/// The secret access key. It must not appear in any output.
const SECRET: &str = "wJalrXUtnFEMI-SECRET-bPxRfiCYEXAMPLEKEY";

/// The prefix of the environment variables that configure the account for the child process.
const ACCOUNT: &str = "DOORWARD_TEST_";

/// The environment variables of a process that fetches tokens.
#[derive(Clone)]
struct Fetcher(HashMap<String, String>);

impl Fetcher {
    /// Returns an environment with the region eu-central-1, without AWS configuration files and without a metadata
    /// service.
    fn new() -> Self {
        Self(HashMap::new())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/nonexistent/config")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
            .set("region", "eu-central-1")
    }

    /// Returns an environment with an access key.
    fn with_key() -> Self {
        Self::new().env("AWS_ACCESS_KEY_ID", "AKIDENV").env("AWS_SECRET_ACCESS_KEY", SECRET)
    }

    fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.0.insert(name.to_owned(), value.as_ref().to_owned());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Sets a setting of the account.
    fn set(self, name: &str, value: impl AsRef<str>) -> Self {
        self.env(&format!("{ACCOUNT}{name}"), value)
    }

    /// Fetches one token.
    fn fetch(&self) -> String {
        let [one] = &self.fetch_times(1)[..] else { panic!("one token") };
        one.clone()
    }

    /// Fetches `times` tokens in sequence with the same [`Aws`].
    fn fetch_times(&self, times: usize) -> Vec<String> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let (_, module) = module_path!().split_once("::").unwrap();
        command.args([
            "--exact",
            &format!("{module}::child_process_prints_the_fetched_tokens"),
            "--ignored",
            "--nocapture",
        ]);
        command.env_clear().envs(&self.0).env(format!("{ACCOUNT}times"), times.to_string());
        let output = process::run(command);
        let text = output.stdout;
        for text in [&text, &output.stderr] {
            assert!(!text.contains(SECRET), "{text}");
        }
        let told: Vec<String> =
            text.lines().filter_map(|line| Some(line.split_once("told: ")?.1.to_owned())).collect();
        assert_eq!(told.len(), times, "{text}");
        for line in &told {
            assert!(line.len() < 600 && !line.chars().any(char::is_control), "{line:?}");
        }
        told
    }
}

/// Returns a name for the variant of an error.
fn kind(error: &EcrError) -> &'static str {
    match error {
        EcrError::InvalidSetting(_) | EcrError::SigningFailed | EcrError::FetchPanicked => "settings",
        EcrError::TlsSetupFailed(_)
        | EcrError::CallFailed(_, CallError::TlsHandshakeFailed(_) | CallError::TlsClosed(_)) => "tls",
        EcrError::NoCredentials(_) | EcrError::CredentialSourceFailed(_) => "credentials",
        EcrError::UnknownRegion => "region",
        EcrError::Rejected { .. } => "rejected",
        EcrError::Failed { .. } => "failed",
        EcrError::RetryLater { .. } => "throttled",
        EcrError::TimedOut(_)
        | EcrError::CallFailed(_, CallError::Timeout(_) | CallError::ConnectTimeout(_)) => "timeout",
        EcrError::InvalidResponse(_) | EcrError::CallFailed(_, CallError::ResponseTooLarge(_)) => "answer",
        EcrError::CallFailed(..) => "connect",
    }
}

/// The process that the other tests start.
#[tokio::test]
#[ignore = "the other tests start it, each with an environment of its own"]
async fn child_process_prints_the_fetched_tokens() {
    let setting = |name: &str| std::env::var(format!("{ACCOUNT}{name}")).ok();
    let account = AwsAccount {
        region: setting("region"),
        profile: setting("profile"),
        role_arn: setting("role_arn"),
        external_id: setting("external_id"),
        endpoint: setting("endpoint"),
    };
    let times: usize = setting("times").map_or(0, |times| times.parse().unwrap());
    let tell = |told: String| writeln!(std::io::stdout(), "told: {told}").unwrap();
    let aws = match EcrTokenClient::new(account) {
        Ok(aws) => aws,
        Err(fault) => return (0..times).for_each(|_| tell(format!("{}: {fault}", kind(&fault)))),
    };
    for _ in 0..times {
        tell(match aws.fetch_token().await {
            Ok(fetched) => {
                let session =
                    fetched.credentials_lifetime.map_or("none".to_owned(), |s| s.as_secs().to_string());
                format!(
                    "token {} for {} session {session}",
                    fetched.token.as_str(),
                    fetched.lifetime.as_secs()
                )
            }
            Err(fault) => match fault.retry_after() {
                Some(after) => format!("{} ({} s): {fault}", kind(&fault), after.as_secs()),
                None => format!("{}: {fault}", kind(&fault)),
            },
        });
    }
}
