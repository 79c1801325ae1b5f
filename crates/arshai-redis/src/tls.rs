//! The TLS settings given to the client: one provider (ring), verified certificates, no process-wide default.

use std::{path::Path, sync::Arc};

use arshai_core::{Error, ErrorKind, Result};
use fred::types::config::TlsConfig;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Trusts the authorities of `ca_file`, or the system's when there is none.
pub(crate) fn client(ca_file: Option<&Path>) -> Result<TlsConfig> {
    let roots = match ca_file {
        Some(file) => authorities(file)?,
        None => system()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Internal, "TLS cannot be set up").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConfig::from(config))
}

fn authorities(file: &Path) -> Result<RootCertStore> {
    let bad = |message: &'static str| {
        Error::new(ErrorKind::Config, message)
            .with_context("setting", "ca_file")
            .with_context("file", file.display())
    };
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
        return Err(Error::new(
            ErrorKind::Config,
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
        let error = client(Some(Path::new("no-such-authority.pem"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("no-such-authority.pem"), "{error}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(client(Some(&file)).unwrap_err().kind(), ErrorKind::Config);
    }
}
