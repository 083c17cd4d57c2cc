//! The chain of authenticators against the rest of the settings.

use std::time::Duration;

use super::authenticator::{Authenticator, Kind};
use super::{Fault, KeyOwners, Origin, Settings};
use crate::authn::chain::Covers;
use crate::authn::http::TURN;
use crate::policy::reload::GroupSource;

impl Settings {
    /// The chain: as the file has it, or the htpasswd file alone.
    pub(super) fn settle_chain(
        &mut self,
        given: Option<(Origin, Vec<Authenticator>)>,
        faults: &mut Vec<Fault>,
    ) {
        let Some((origin, chain)) = given else {
            let files = [(Kind::Htpasswd, self.htpasswd.is_some()), (Kind::Keys, self.keys.is_some())];
            let alone = |(kind, _)| {
                let name = if matches!(kind, Kind::Keys) { "keys" } else { "htpasswd" };
                Authenticator { name: name.into(), covers: Covers::default(), kind, origin: Origin::Nowhere }
            };
            self.authenticators = files.into_iter().filter(|(_, given)| *given).map(alone).collect();
            return;
        };
        for (key, kind, given) in
            [("htpasswd", Kind::Htpasswd, self.htpasswd.is_some()), ("keys", Kind::Keys, self.keys.is_some())]
        {
            let asks =
                |one: &Authenticator| std::mem::discriminant(&one.kind) == std::mem::discriminant(&kind);
            let what = match (chain.iter().any(asks), given) {
                (true, false) => format!("there is one of type {key}; set {key} = \"FILE\" too"),
                // A fault of a table may have cost the one that asks it.
                (false, true) if faults.is_empty() => {
                    format!(
                        "{key} is set, and nobody asks it; add an [[authenticator]] with type = \"{key}\""
                    )
                }
                _ => continue,
            };
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
    pub fn groups_known(&self) -> GroupSource {
        let named = self.services_name_groups();
        // The owner is one whom the file lets in, and of whom no service would be asked.
        let of_file = self.keys_owners == KeyOwners::Htpasswd
            && matches!(self.authenticators.first(), Some(Authenticator { kind: Kind::Htpasswd, .. }));
        match (self.groups.is_some() || named, named && self.keys.is_some() && !of_file) {
            (_, true) => GroupSource::PresentExceptForApiKeys,
            (true, false) => GroupSource::Present,
            (false, false) => GroupSource::Absent,
        }
    }

    /// Whether a service does.
    pub fn services_name_groups(&self) -> bool {
        let names = |one: &Authenticator| match &one.kind {
            Kind::Htpasswd | Kind::Keys => false,
            Kind::Http(spec) => !spec.reading.groups.is_empty(),
        };
        self.authenticators.iter().any(names)
    }

    /// The longest that a request may wait for the whole chain: whoever has a line in the htpasswd file
    /// gets no further than that, and others are not looked for there but at the end.
    pub fn longest_wait(&self) -> Duration {
        let call = |one: &Authenticator| match &one.kind {
            Kind::Htpasswd | Kind::Keys => Duration::ZERO,
            Kind::Http(spec) => spec.bounds.timeout + TURN,
        };
        let calls = |chain: &[Authenticator]| chain.iter().map(call).sum::<Duration>();
        let all = calls(&self.authenticators);
        let file = self.authenticators.iter().position(|one| matches!(one.kind, Kind::Htpasswd));
        file.and_then(|place| self.authenticators.get(..place))
            .map_or(all, |before| all.max(calls(before) + self.hash_wait))
    }
}
