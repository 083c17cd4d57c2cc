//! `doorward check` of the upstreams: whether their files can be used, and, with `--probe`, whether AWS gives
//! a token.

use std::sync::Arc;

use super::complain;
#[cfg(feature = "ecr")]
use super::say;
use crate::clock::Clock;
use crate::gate::onward::about;
use crate::gate::policy::registry;
use crate::gate::policy::rules::Asking;
use crate::metrics::Metrics;
use crate::rights::host::host;
use crate::server::upstreams::{Kept as Built, admin_token, secret};
use crate::settings::Settings;
use crate::settings::upstream::Upstream;
use crate::upstream::file::Kept;
use crate::upstream::{Permitted, Source, Table, Upstreams};

/// Says what is wrong with them. Whether all is well.
pub(super) fn run(settings: &Settings, ask: bool) -> bool {
    // A fault of one hides none of another.
    let mut well = true;
    for one in &settings.upstreams {
        let alone = Settings {
            upstreams: vec![one.clone()],
            proxy_secret_file: None,
            admin_token_file: None,
            ..settings.clone()
        };
        well &= check(&alone);
    }
    let clock = Clock::system();
    for fault in [secret(settings, &clock).err(), admin_token(settings, &clock).err()].into_iter().flatten() {
        complain(&fault.to_string());
        well = false;
    }
    well && (!ask || tokens(settings))
}

/// With which credentials a request would go on, where it is allowed; `None` where the settings say nothing of it.
pub(super) fn explain(settings: &Settings, asking: &Asking<'_>, is_identified: bool) -> Option<String> {
    if settings.upstreams.is_empty() {
        return None;
    }
    let table = |one: &Upstream| Table {
        name: Arc::clone(&one.name),
        hosts: one.hosts.clone(),
        repositories: one.repositories.clone(),
        anyone: one.anyone,
        // Nothing is read, nor given, to say which it would be.
        source: if one.has_credentials() { Source::File(Arc::new(Kept::empty())) } else { Source::None },
    };
    let upstreams = Upstreams::new(settings.upstreams.iter().map(table).collect());
    let host = host(asking.host).unwrap_or_default();
    let asked = registry::read(asking.method, asking.uri, asking.content_type);
    Some(match upstreams.choose(&Permitted { host: &host, about: about(&asked) }) {
        Ok(Some(table)) if !table.has_credentials() => format!("nothing, as upstream {} says", table.name),
        Ok(Some(table)) if is_identified || table.anyone => {
            format!("the credentials of upstream {}", table.name)
        }
        Ok(Some(table)) => format!("nothing, and is challenged: upstream {} is not for anyone", table.name),
        Ok(None) => "nothing: no [[upstream]] fits".to_owned(),
        Err(why) => format!("nothing, and is refused, since the choice can't be made: {why}"),
    })
}

fn check(settings: &Settings) -> bool {
    match Built::build(settings, &Clock::system(), &Arc::new(Metrics::default())) {
        Ok(_) => true,
        Err(fault) => {
            complain(&fault.to_string());
            false
        }
    }
}

#[cfg(not(feature = "ecr"))]
fn tokens(_: &Settings) -> bool {
    true
}

/// Fetches a token for each account, as serving would.
#[cfg(feature = "ecr")]
fn tokens(settings: &Settings) -> bool {
    let Ok(kept) = Built::build(settings, &Clock::system(), &Arc::new(Metrics::default())) else {
        return false;
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("AWS can't be asked: {error}"));
            return false;
        }
    };
    let mut well = true;
    for (account, lease) in kept.leases {
        let name = lease.name();
        let asked = crate::upstream::ecr::aws::Aws::new(account);
        match asked.and_then(|aws| runtime.block_on(aws.token())) {
            Ok(fetched) => {
                let life = std::time::Duration::from_secs(fetched.life.as_secs() / 60 * 60);
                say(&format!(
                    "upstream {name}: AWS gave a token that is good for {}",
                    humantime::format_duration(life)
                ));
            }
            Err(fault) => {
                say(&format!("upstream {name}: {fault}"));
                well = false;
            }
        }
    }
    well
}
