//! `doorward proxy-config`: typed options in, a complete configuration of a proxy out.
//!
//! Each value is parsed into a type that only holds safe values (`value`). The options are checked against each other
//! (`nginx::build`), and the templates in the folder `nginx/templates` write the result. An escaper (`escape`) writes
//! every value.

mod escape;
pub(crate) mod explain;
pub(crate) mod files;
mod layout;
pub(crate) mod machine;
pub(crate) mod nginx;
pub(crate) mod options;
pub(crate) mod read;
pub(crate) mod secret;
pub(crate) mod value;
pub(crate) mod version;
