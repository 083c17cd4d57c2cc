//! The chain of authenticators against the rest of the settings.

use std::time::Duration;

use super::authenticator::{Authenticator, Kind};
use super::{Fault, Origin, Settings};
use crate::authn::chain::Covers;
use crate::authn::http::TURN;

impl Settings {
    /// The chain: as the file has it, or the htpasswd file alone.
    pub(super) fn settle_chain(
        &mut self,
        given: Option<(Origin, Vec<Authenticator>)>,
        faults: &mut Vec<Fault>,
    ) {
        let Some((origin, chain)) = given else {
            let alone = Authenticator {
                name: "htpasswd".into(),
                covers: Covers::default(),
                kind: Kind::Htpasswd,
                origin: Origin::Nowhere,
            };
            self.authenticators = self.htpasswd.iter().map(|_| alone.clone()).collect();
            return;
        };
        let asked = chain.iter().any(|one| matches!(one.kind, Kind::Htpasswd));
        let what = match (asked, &self.htpasswd) {
            (true, None) => "there is one of type htpasswd; set htpasswd = \"FILE\" too",
            // A fault of a table may have cost the one that asks it.
            (false, Some(_)) if faults.is_empty() => {
                "htpasswd is set, and nobody asks it; add an [[authenticator]] with type = \"htpasswd\""
            }
            _ => "",
        };
        if !what.is_empty() {
            faults.push(Fault { origin: origin.clone(), what: format!("authenticator: {what}") });
        }
        self.authenticators = chain;
        let longest = self.longest_wait();
        if longest >= self.proxy_read_timeout
            && self.authenticators.iter().any(|one| matches!(one.kind, Kind::Http(_)))
        {
            let show = humantime::format_duration;
            let what = format!(
                "authenticator: a request may wait for {} (each timeout of the chain and half a second, and hash.wait), and nginx gives up after {}: make them shorter, or proxy_read_timeout longer, here and in nginx",
                show(longest),
                show(self.proxy_read_timeout)
            );
            faults.push(Fault { origin, what });
        }
    }

    /// Whether anybody says who is in which group.
    pub fn knows_groups(&self) -> bool {
        self.groups.is_some() || self.services_name_groups()
    }

    /// Whether a service does.
    pub fn services_name_groups(&self) -> bool {
        let names = |one: &Authenticator| match &one.kind {
            Kind::Htpasswd => false,
            Kind::Http(spec) => !spec.reading.groups.is_empty(),
        };
        self.authenticators.iter().any(names)
    }

    /// The longest that a request may wait for the whole chain: whoever has a line in the htpasswd file
    /// gets no further than that, and others are not looked for there but at the end.
    pub fn longest_wait(&self) -> Duration {
        let call = |one: &Authenticator| match &one.kind {
            Kind::Htpasswd => Duration::ZERO,
            Kind::Http(spec) => spec.bounds.timeout + TURN,
        };
        let calls = |chain: &[Authenticator]| chain.iter().map(call).sum::<Duration>();
        let all = calls(&self.authenticators);
        let file = self.authenticators.iter().position(|one| matches!(one.kind, Kind::Htpasswd));
        file.and_then(|place| self.authenticators.get(..place))
            .map_or(all, |before| all.max(calls(before) + self.hash_wait))
    }
}
