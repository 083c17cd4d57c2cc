//! An authenticator that calls a service over HTTP: the request carries the user name and the password, and the
//! settings say what the response means.

pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod json_template;
pub(crate) mod request_template;
pub(crate) mod response;
pub(crate) mod template;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use zeroize::Zeroizing;

use self::call::{CallLimits, call};
use self::client::TlsFiles;
use self::request_template::RequestTemplate;
use self::response::ResponseRules;
use super::Credentials;
use super::remote::client::{
    ClientBuildError, PendingCall, RemoteClient, RemoteClientSpec, RemoteResponse, SpecFile, UnencodableValue,
};

/// The settings that only HTTP authenticators have.
#[derive(Clone, Debug)]
pub(crate) struct HttpSpec {
    /// The request that is sent.
    pub(crate) request: RequestTemplate,
    /// The meaning of each response.
    pub(crate) response_rules: ResponseRules,
    /// The limits of a call.
    pub(crate) call_limits: CallLimits,
    /// The trusted authorities and the client certificate.
    pub(crate) tls: TlsFiles,
}

impl RemoteClientSpec for HttpSpec {
    fn build(
        &self,
        name: &Arc<str>,
        connections_max: usize,
    ) -> Result<Box<dyn RemoteClient>, ClientBuildError> {
        let (connect_timeout, is_https) = (self.call_limits.connect_timeout, self.request.url.is_https());
        Ok(Box::new(HttpClient {
            name: Arc::clone(name),
            client: client::build_client(&self.tls, is_https, connect_timeout, connections_max)?,
            request: self.request.resolve_secrets(&mut |path| client::read_secret(path))?,
            response_rules: self.response_rules.clone(),
            call_limits: self.call_limits,
        }))
    }

    fn has_groups(&self) -> bool {
        !self.response_rules.groups.is_empty()
    }

    fn fact_names(&self) -> Vec<Arc<str>> {
        self.response_rules.facts.iter().map(|(name, _)| Arc::clone(name)).collect()
    }

    fn files(&self) -> Vec<SpecFile> {
        let mut files = Vec::new();
        let mut add = |path: &Path, is_secret| files.push(SpecFile { path: path.to_owned(), is_secret });
        if let Some(path) = &self.tls.ca_file {
            add(path, false);
        }
        if let Some((certificate, key)) = &self.tls.client_cert {
            add(certificate, false);
            add(key, true);
        }
        // Only the paths are collected; no file is read.
        let _ = self.request.resolve_secrets(&mut |path| {
            add(path, true);
            Ok::<_, Infallible>(Zeroizing::default())
        });
        files
    }

    fn unencrypted_host(&self) -> Option<&str> {
        let url = &self.request.url;
        (!url.is_https() && !url.is_loopback()).then(|| url.host())
    }
}

/// The client of one HTTP authenticator.
struct HttpClient {
    /// The name of the authenticator.
    name: Arc<str>,
    client: Client,
    /// The request, with the secrets of the files in it.
    request: RequestTemplate,
    response_rules: ResponseRules,
    call_limits: CallLimits,
}

impl RemoteClient for HttpClient {
    fn prepare<'c>(
        &'c self,
        credentials: &'c Credentials,
        time_limit: Duration,
    ) -> Result<PendingCall<'c>, UnencodableValue> {
        let request = self.request.render(credentials)?;
        Ok(Box::pin(async move {
            let response = call(&self.client, request, self.call_limits, time_limit).await?;
            let outcome = self.response_rules.evaluate(&response, credentials, &self.name)?;
            Ok(RemoteResponse { outcome, summary: response.status.as_u16().to_string() })
        }))
    }
}
