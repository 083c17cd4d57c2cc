//! The registry token protocol through nginx: `/token`, a registry that verifies tokens itself, and a registry behind
//! doorward.

mod conformance;
mod forwarded_requests;
mod own_configuration;
mod request_limits;
mod setup;
mod skopeo;
mod verifying_registry;
mod with_doorward;

use std::net::SocketAddr;

use crate::support::api::{Api, Call, Reply};
use crate::support::nginx::{Image, Nginx};

/// A string in the format of a token.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIifQ.c2lnbmF0dXJl";

/// Returns an nginx for a registry with the token mode `tokens` and the two listeners of doorward.
fn image(tokens: &str, (auth, public): (SocketAddr, SocketAddr), backend: SocketAddr) -> Image {
    Image::new()
        .set("KIND", "registry")
        .set("TOKENS", tokens)
        .set("AUTH", auth.to_string())
        .set("PUBLIC", public.to_string())
        .set("UPSTREAM", backend.to_string())
        .set("PLAIN_HTTP", "on")
}

/// nginx between a fake doorward and a fake registry. The fake doorward answers `/auth` with 200.
pub(crate) struct FakeServices {
    pub(crate) nginx: Nginx,
    doorward: Api,
    registry: Api,
}

impl FakeServices {
    pub(crate) fn start(tokens: &str, token: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(tokens, token, |image| image)
    }

    fn start_with(
        tokens: &str,
        token: impl Fn(&Call) -> Reply + Send + Sync + 'static,
        change: impl Fn(Image) -> Image,
    ) -> Self {
        let doorward = Api::start(move |call| match call.path() {
            "/token" => token(call),
            "/auth" => Reply::status(200),
            path => panic!("{path} is not doorward's"),
        });
        let registry = Api::start(|_| Reply::json("{}"));
        let nginx = Nginx::of(change(image(tokens, (doorward.address, doorward.address), registry.address)));
        Self { nginx, doorward, registry }
    }
}

/// Returns a response of doorward with a token.
pub(crate) fn token_reply() -> Reply {
    Reply::json(format!("{{\"token\":\"{TOKEN}\"}}")).with("Cache-Control", "no-store")
}
