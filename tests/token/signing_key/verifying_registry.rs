//! A real registry that verifies tokens itself, configured by `registry-auth.yml`.

use std::path::{Path, PathBuf};

use crate::support::client::{Answer, Request};
use crate::support::process::program;
use crate::support::registry::Registry;

/// Returns the registries to test: the installed one (2.8), and a version 3 if `REGISTRY3` contains its path.
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
    /// Starts `registry` with `auth` appended to its configuration.
    pub(super) fn start(registry: &Path, auth: &str) -> Self {
        Self(Registry::start_program(registry, auth))
    }

    pub(super) fn ask(&self, request: Request, token: &str) -> Answer {
        let request = request.header("Authorization", format!("Bearer {token}"));
        self.0.ask(&request)
    }

    /// Returns the status of `/v2/` with this token.
    pub(super) fn ping(&self, token: &str) -> u16 {
        self.ask(Request::get("/v2/"), token).status
    }

    /// Checks that the token is refused as invalid. Registry 3 sends no error for a wrong signature, but challenges as
    /// if there were no token.
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
