//! nginx: what the templates get, and the templates.

mod build;
mod checks;
mod listeners;
mod template;
mod view;

pub(crate) use build::{ConfigurationPart, build};
pub(crate) use template::{render_http_part, render_server_part, render_whole};
pub(crate) use view::NginxView;
