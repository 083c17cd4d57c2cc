//! Proxies that send no client address, or their own (nextcloud/server#8510, kubernetes/ingress-nginx#5547).

use super::{line, start};
use crate::support::client::{Address, Client, OF_DOORWARD, Request, ask, unix};
use crate::support::doorward::Doorward;

const NAMELESS: &str = "X-Real-IP missing in requests from the proxy";
const OWN: &str = "X-Real-IP always equal to the address of the proxy";

fn count(doorward: &Doorward, text: &str) -> usize {
    doorward.log().lines().filter(|line| line.contains(text)).count()
}

/// As many refusals as a guesser has.
fn refuse(client: &mut Client, address: Option<&str>, from: usize, to: usize) {
    for number in from..to {
        let request = Request::auth().basic("alice", &format!("guess-{number}"));
        client.ask(&address.into_iter().fold(request, |request, address| request.from(address)));
    }
}

#[test]
fn proxy_without_a_client_address_is_warned_about_once_field_c8() {
    // As Caddy and HAProxy ask: without any header of nginx's.
    for refused in [true, false] {
        let doorward = start(false, &[]);
        let mut client = doorward.client();
        if refused {
            refuse(&mut client, None, 0, 1);
        } else {
            assert_eq!(client.ask(&Request::auth().basic("alice", "wonderland")).status, 200);
        }
        let warning = line(&doorward, &[NAMELESS]);
        assert!(warning.contains("WARN") && warning.contains("proxy_set_header"), "{warning}");
        refuse(&mut client, None, 1, 20);
        assert_eq!(count(&doorward, NAMELESS), 1);
    }
}

#[test]
fn proxy_without_a_client_address_is_warned_about_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let at = unix(&dir.path().join("doorward.sock"));
    let doorward = start(false, &["--listen", "127.0.0.1:0", "--listen", &at]);
    ask(&Address::parse(&at), OF_DOORWARD, &Request::auth());
    line(&doorward, &[NAMELESS]);
}

#[test]
fn proxy_that_sends_its_own_address_is_warned_about_once_field_c8() {
    for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
        let doorward = start(false, &[]);
        let mut client = doorward.client();
        refuse(&mut client, Some(address), 0, 9);
        assert_eq!(count(&doorward, OWN), 0, "that can be somebody who tries it");
        refuse(&mut client, Some(address), 9, 30);
        let warning = line(&doorward, &[OWN]);
        assert!(warning.contains("address=127.0.0.1") && warning.contains("set_real_ip_from"), "{warning}");
        assert_eq!((count(&doorward, OWN), count(&doorward, NAMELESS)), (1, 0));
    }
}

#[test]
fn client_on_the_proxy_host_beside_others_causes_no_warning() {
    let doorward = start(false, &[]);
    let mut client = doorward.client();
    refuse(&mut client, Some("127.0.0.1"), 0, 5);
    refuse(&mut client, Some("192.0.2.1"), 5, 6);
    refuse(&mut client, Some("127.0.0.1"), 6, 60);
    line(&doorward, &["guess"].map(|_| "client=\"127.0.0.1\""));
    assert_eq!((count(&doorward, OWN), count(&doorward, NAMELESS)), (0, 0));
}

#[test]
fn untrusted_peer_causes_no_client_address_warning() {
    let doorward = start(false, &["--trusted-peers", "192.0.2.1"]);
    for _ in 0..20 {
        for request in [Request::auth(), Request::auth().from("127.0.0.1")] {
            assert!(doorward.client().try_ask(&request).is_err(), "the connection is closed unread");
        }
    }
    line(&doorward, &["untrusted peer"]);
    assert_eq!((count(&doorward, OWN), count(&doorward, NAMELESS)), (0, 0));
}
