//! The templates, in the folder `nginx/templates`.

use askama::Template;

use super::view::NginxView;
use crate::proxy_config::layout::indent_blocks;

#[derive(Template)]
#[template(path = "whole.conf")]
struct WholeTemplate<'v> {
    view: &'v NginxView,
}

#[derive(Template)]
#[template(path = "http_part.conf")]
struct HttpPartTemplate<'v> {
    view: &'v NginxView,
}

#[derive(Template)]
#[template(path = "server_part.conf")]
struct ServerPartTemplate<'v> {
    view: &'v NginxView,
}

/// Returns the whole configuration, to be included in `http`.
pub(crate) fn render_whole(view: &NginxView) -> Result<String, askama::Error> {
    Ok(indent_blocks(&WholeTemplate { view }.render()?))
}

/// Returns the part for `http`, for a server of the administrator.
pub(crate) fn render_http_part(view: &NginxView) -> Result<String, askama::Error> {
    Ok(indent_blocks(&HttpPartTemplate { view }.render()?))
}

/// Returns the part for a `server` of the administrator.
pub(crate) fn render_server_part(view: &NginxView) -> Result<String, askama::Error> {
    Ok(indent_blocks(&ServerPartTemplate { view }.render()?))
}
