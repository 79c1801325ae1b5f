//! TLS for `redis-tls`: an authority of our own, a terminator in front of a server that has no TLS, and a client.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream as AsyncStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::dial::dial;

/// How long a client may take to greet.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The files of an authority that lives for one run of the service.
#[derive(Debug)]
pub(crate) struct Authority {
    /// What clients trust.
    pub(crate) ca: PathBuf,
    /// What the server shows.
    pub(crate) certificate: PathBuf,
    /// The server's key.
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Makes an authority and a certificate for `localhost` and 127.0.0.1, and forgets the authority's key.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let mut issuer = CertificateParams::default();
        issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        issuer.distinguished_name.push(DnType::CommonName, "arshai tests");
        let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut server = CertificateParams::new(names)?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        let certificate = server.signed_by(&key, &issuer)?;
        let files = Self {
            ca: folder.join("ca.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        };
        write(&files.ca, &issuer.pem(), 0o644)?;
        write(&files.certificate, &certificate.pem(), 0o644)?;
        write(&files.key, &key.serialize_pem(), 0o600)?;
        Ok(files)
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("protecting {}", path.display()))
}

/// A blocking TLS connection that trusts only the authority in `ca`.
pub(crate) fn connect(
    address: &str,
    ca: &Path,
    patience: Duration,
) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(ca).with_context(|| format!("reading {}", ca.display()))?;
    roots.add(authority).context("trusting the authority")?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let name = ServerName::try_from(host.to_owned()).context("the server's name")?;
    let session = ClientConnection::new(Arc::new(config), name).context("preparing TLS")?;
    Ok(StreamOwned::new(session, dial(address, patience)?))
}

/// `cargo xtask terminate-tls`: accepts TLS on one port of loopback and passes the plain bytes on to another.
pub(crate) fn terminate(listen: u16, to: u16, certificate: &Path, key: &Path) -> Result<()> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).context("reading the certificate")?],
            PrivateKeyDer::from_pem_file(key).context("reading the key")?,
        )?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", listen)).await.context("listening")?;
        loop {
            let (client, _) = listener.accept().await.context("accepting a connection")?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that cannot greet, or a server that is gone, ends this connection and no other.
                let Ok(Ok(mut client)) = timeout(HANDSHAKE, acceptor.accept(client)).await else { return };
                let Ok(mut server) = AsyncStream::connect(("127.0.0.1", to)).await else { return };
                let _ = server.set_nodelay(true).and_then(|()| client.get_ref().0.set_nodelay(true));
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::services::resp::Connection;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A terminator in front of a server that answers one connection; its port.
    fn terminated(authority: &Authority) -> u16 {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in server.incoming() {
                let mut stream = stream.unwrap();
                let mut buffer = [0; 64];
                if stream.read(&mut buffer).unwrap_or(0) > 0 {
                    stream.write_all(b"+PONG\r\n").unwrap();
                }
            }
        });
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap().port();
        drop(free);
        let (certificate, key) = (authority.certificate.clone(), authority.key.clone());
        std::thread::spawn(move || terminate(listen, to, &certificate, &key).unwrap());
        while TcpStream::connect(("127.0.0.1", listen)).is_err() {
            std::thread::yield_now();
        }
        listen
    }

    #[test]
    fn only_who_trusts_the_authority_gets_through() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(folder.path()).unwrap();
        let port = terminated(&authority);
        for host in ["localhost", "127.0.0.1"] {
            let stream = connect(&format!("{host}:{port}"), &authority.ca, PATIENCE).unwrap();
            assert_eq!(Connection::over(stream).call(&["PING"]).unwrap().text(), "PONG");
        }
        let stranger = tempfile::tempdir().unwrap();
        let stranger = Authority::create(stranger.path()).unwrap();
        let stream = connect(&format!("localhost:{port}"), &stranger.ca, PATIENCE).unwrap();
        assert!(Connection::over(stream).call(&["PING"]).is_err());
        let mode = fs::metadata(&authority.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
