//! The htpasswd reader of nginx: `auth_basic` with `auth_basic_user_file`.

use std::fs;
use std::net::SocketAddr;

use tempfile::TempDir;

use super::OracleVerdict;
use crate::support::client::{Address, Request, ask, basic};
use crate::support::free_port;
use crate::support::nginx::{Nginx, Template};

/// Headers that nginx sends with a small file or an error page.
const HEADERS: &[&str] = &[
    "accept-ranges",
    "connection",
    "content-length",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "server",
    "www-authenticate",
];

/// An nginx that reads the name of the htpasswd file from the request.
pub(crate) struct AuthBasic {
    nginx: Nginx,
    files: TempDir,
    address: Address,
}

impl AuthBasic {
    pub(crate) fn start() -> Self {
        let files = tempfile::tempdir().expect("a folder for htpasswd files");
        fs::write(files.path().join("page"), "page\n").unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let at = files.path().display();
        let server = format!(
            "    server {{\n        listen {address};\n        root \"{at}\";\n        auth_basic oracle;\n        auth_basic_user_file \"{at}/$arg_file\";\n    }}\n"
        );
        // The other server, of the template, receives no requests.
        let unused = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let nginx = Nginx::start_with(Template::Site, unused, unused, &server);
        Self { nginx, files, address: Address::Tcp(address) }
    }

    /// Writes `text` as the htpasswd file `name`.
    pub(crate) fn file(&self, name: &str, text: &[u8]) {
        fs::write(self.files.path().join(name), text).unwrap();
    }

    pub(crate) fn ask(&self, file: &str, user: &[u8], password: &[u8]) -> OracleVerdict {
        let request = Request::get(&format!("/page?file={file}"))
            .header("Authorization", basic([user, b":", password].concat()));
        match ask(&self.address, HEADERS, &request).status {
            200 => OracleVerdict::Accepts,
            401 => OracleVerdict::Refuses,
            500 => OracleVerdict::Fails,
            other => panic!("nginx says {other}; its log:\n{}", self.nginx.log()),
        }
    }
}
