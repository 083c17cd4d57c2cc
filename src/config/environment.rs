//! The layer of the environment variables.

use std::ffi::OsString;

use super::reader::split_list;
use super::setting::{ConfigValue, LayerValues};
use super::unknown_setting::{NamePlace, SettingNames};
use super::{ConfigError, ConfigOrigin};

/// Returns the values of the variables that begin with the prefix of the settings, and the errors. Variables in `ignored`
/// are not settings.
pub(crate) fn read_variables(
    names: SettingNames,
    ignored: &[&str],
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> (LayerValues, Vec<ConfigError>) {
    let (mut layer, mut errors) = (LayerValues::new(), Vec::new());
    for (name, value) in variables {
        let Some((name, key)) =
            name.to_str().and_then(|name| Some((name, name.strip_prefix(names.variable_prefix)?)))
        else {
            continue;
        };
        let origin = ConfigOrigin::Variable(name.to_owned());
        let Some(text) = value.to_str() else {
            errors.push(ConfigError { origin, message: "the value is not UTF-8".into() });
            continue;
        };
        // Compose files write an empty value for "not set".
        if text.is_empty() || ignored.contains(&name) || is_injected_by_orchestrator(name, text) {
            continue;
        }
        match names.all().find(|setting| setting.variable_with_prefix(names.variable_prefix) == name) {
            Some(setting) => {
                let texts = if setting.is_list { split_list(text).collect() } else { vec![text] };
                let value = |text: &str| ConfigValue { text: text.to_owned(), origin: origin.clone() };
                // A list without a value is "not set" too: it must not hide the list of the file.
                if !texts.is_empty() {
                    layer.insert(setting.key, texts.into_iter().map(value).collect());
                }
            }
            None => {
                let message = names.unknown_message(&key.to_lowercase(), NamePlace::Environment);
                errors.push(ConfigError { origin, message });
            }
        }
    }
    (layer, errors)
}

/// Returns whether a variable is one that Kubernetes or Docker add to every container if a service is called doorward
/// or doorward-something. The administrator did not write it, so it must not prevent a start.
fn is_injected_by_orchestrator(name: &str, value: &str) -> bool {
    let is_url = value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
    let parts: Vec<&str> = name.split('_').collect();
    let service = parts.windows(2).any(|w| matches!(w, ["SERVICE", "HOST" | "PORT"]));
    let numbered = parts.windows(3).any(|w| {
        matches!(w, ["PORT", number, "TCP" | "UDP" | "SCTP"] if number.bytes().all(|b| b.is_ascii_digit()))
    });
    let bare = name.strip_prefix("NGX_").unwrap_or(name);
    let link = bare == "DOORWARD_NAME" || bare.starts_with("DOORWARD_ENV_");
    service || numbered || link || (is_url && parts.last() == Some(&"PORT"))
}
