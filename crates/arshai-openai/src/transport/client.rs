//! The HTTP client.

use std::{path::Path, sync::Arc, time::Duration};

use arshai_core::{Error, ErrorKind, Result};
use reqwest::{Client, Proxy, redirect};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::config::{Endpoint, OpenAiConfig};

const KEEPALIVE: Duration = Duration::from_secs(30);
const IDLE_CONNECTION: Duration = Duration::from_secs(60);

/// A client that follows no redirect, asks for no process-wide TLS provider and waits for no connection for ever.
pub(super) fn build(config: &OpenAiConfig, endpoint: &Endpoint) -> Result<Client> {
    let needs_roots = endpoint.is_https
        || config.proxy.as_ref().is_some_and(|proxy| proxy.expose().trim_start().starts_with("https"));
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls(config.ca_file.as_deref(), needs_roots)?)
        .redirect(redirect::Policy::none())
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(IDLE_CONNECTION)
        .tcp_keepalive(KEEPALIVE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .http2_adaptive_window(true)
        .user_agent(concat!("arshai/", env!("CARGO_PKG_VERSION")));
    if endpoint.is_loopback {
        builder = builder.no_proxy();
    } else if let Some(proxy) = &config.proxy {
        let proxy = Proxy::all(proxy.expose().trim())
            .map_err(|_| crate::config::bad("proxy", "it is not a URL such as http://proxy.example:3128"))?;
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| {
        Error::new(ErrorKind::Config, "the HTTP client cannot be set up")
            .with_operation("openai.config")
            .with_source(error.without_url())
    })
}

fn tls(ca_file: Option<&Path>, needs_roots: bool) -> Result<ClientConfig> {
    let roots = match ca_file {
        Some(file) => authorities(file)?,
        None if needs_roots => system()?,
        None => RootCertStore::empty(),
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("TLS cannot be set up").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn authorities(file: &Path) -> Result<RootCertStore> {
    let bad =
        |message: &'static str| crate::config::bad("ca_file", message).with_context("file", file.display());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(|error| bad("the file cannot be read").with_source(error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| bad("the file is not PEM").with_source(error))?;
        roots
            .add(certificate)
            .map_err(|error| bad("a certificate in the file cannot be an authority").with_source(error))?;
    }
    if roots.is_empty() {
        return Err(bad("the file holds no certificate"));
    }
    Ok(roots)
}

fn system() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // Single unreadable certificates of a system are usual; none at all is not.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(crate::config::bad(
            "ca_file",
            "this system has no certificate authorities: install them, or set ca_file",
        ));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let config = OpenAiConfig::default().with_ca_file("no-such-authority.pem");
        let error = build(&config, &Endpoint::new(&config).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("no-such-authority.pem"), "{error}");
    }

    #[test]
    fn no_provider_needs_to_be_installed_in_the_process() {
        let config = OpenAiConfig::new("http://127.0.0.1:1/v1");
        assert!(build(&config, &Endpoint::new(&config).unwrap()).is_ok());
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }

    #[test]
    fn a_proxy_is_not_shown() {
        let config = OpenAiConfig::new("http://models.example/v1").with_proxy("::hidden");
        let error = build(&config, &Endpoint::new(&config).unwrap()).unwrap_err();
        assert!(error.to_string().contains("proxy") && !error.to_string().contains("hidden"), "{error}");
    }
}
