//! A connection whose peer is unknown.

use actix_http::Request;

use super::*;
use crate::config::layers::ConfigLayers;
use crate::metrics::{HashCheckLabel, Metrics};
use crate::server::components::Components;

const USERS: &str = "alice:$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK\n";

#[test]
fn request_from_an_unknown_peer_is_forbidden_by_every_path() {
    // The address of a peer is unknown if its connection is reset while it is accepted. No client can time that reliably,
    // so this test calls the service itself.
    let dir = tempfile::tempdir().unwrap();
    let htpasswd = dir.path().join("htpasswd");
    std::fs::write(&htpasswd, USERS).unwrap();
    let variable = ("DOORWARD_HTPASSWD".into(), htpasswd.into_os_string());
    let config = ConfigLayers::default().with_environment(std::iter::once(variable)).into_config().unwrap();
    let components =
        Components::build(&config, Clock::system(), Arc::new(Metrics::with_initial_series())).unwrap();
    let state = components.app_state;
    let statuses = actix_web::rt::System::new().block_on(async {
        let mut statuses = Vec::new();
        for (kind, path) in [
            (ListenerKind::Auth, "/auth"),
            (ListenerKind::Auth, "/auth/refused"),
            (ListenerKind::Auth, "/"),
            (ListenerKind::Public, "/token"),
            (ListenerKind::Public, "/jwks"),
            (ListenerKind::Admin, "/livez"),
            (ListenerKind::Admin, "/metrics"),
        ] {
            let service = service_factory(Arc::clone(&state), kind).new_service(AppConfig::default()).await;
            let mut request = Request::new();
            request.head_mut().uri = path.parse().unwrap();
            let response = service.unwrap().call(request).await.unwrap();
            statuses.push((path, response.status().as_u16()));
        }
        statuses
    });
    assert!(statuses.iter().all(|(_, status)| *status == 403), "{statuses:?}");
    assert_eq!(state.metrics.hash_checks.get_or_create(&HashCheckLabel { result: "rejected" }).get(), 0);
}
