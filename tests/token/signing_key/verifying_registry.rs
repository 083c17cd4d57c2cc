//! A real registry that verifies tokens by itself, as `registry-auth.yml` has it.

use std::path::{Path, PathBuf};

use crate::support::client::{Answer, Request};
use crate::support::process::program;
use crate::support::registry::Registry;

/// The registries to test with: the machine's, which is 2.8, and where `REGISTRY3` names it, one of version 3.
#[expect(clippy::print_stderr, reason = "what was not tried is said")]
pub(super) fn registries() -> Vec<PathBuf> {
    let third = std::env::var_os("REGISTRY3").map(PathBuf::from);
    if third.is_none() {
        eprintln!("REGISTRY3 names no registry of version 3: tested with 2.8 alone");
    }
    [program("docker-registry", "docker-registry")].into_iter().chain(third).collect()
}

pub(super) struct VerifyingRegistry(Registry);

impl VerifyingRegistry {
    /// Starts `registry` with this text at the end of its configuration.
    pub(super) fn start(registry: &Path, auth: &str) -> Self {
        Self(Registry::start_program(registry, auth))
    }

    pub(super) fn ask(&self, request: Request, token: &str) -> Answer {
        let request = request.header("Authorization", format!("Bearer {token}"));
        self.0.ask(&request)
    }

    /// The status of `/v2/` with this token.
    pub(super) fn ping(&self, token: &str) -> u16 {
        self.ask(Request::get("/v2/"), token).status
    }

    /// Fails unless the token is refused as one that is no good. Registry 3 does not say so of one whose
    /// signature is wrong, and challenges as if there were none.
    pub(super) fn refuses(&self, what: &str, token: &str) {
        let answer = self.ask(Request::get("/v2/"), token);
        assert_eq!(answer.status, 401, "{what}: {answer:?}\n{}", self.0.tail());
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        let (realm, error) = challenge.split_once(",service=\"registry.test\"").unwrap_or_default();
        assert_eq!(realm, "Bearer realm=\"https://registry.test/token\"", "{what}: {challenge}");
        assert!(matches!(error, "" | ",error=\"invalid_token\""), "{what}: {challenge}");
    }

    pub(super) fn log(&self) -> String {
        self.0.log()
    }
}
