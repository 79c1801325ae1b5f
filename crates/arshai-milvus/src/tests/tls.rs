//! Encryption: the server's name and authority are verified, and the client can prove who it is.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use arshai_core::{Deadline, Effect, ErrorKind, vector::VectorStore as _};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};
use tokio_rustls::TlsAcceptor;

use super::canned::{Answer, Canned};
use crate::{
    MilvusConfig, MilvusStore, Tls,
    proto::{common::Status, milvus::ShowCollectionsResponse},
};

/// TLS in front of a canned server, for the name `db.example`, asking for a client's certificate of its own authority.
struct Terminator {
    server: Canned,
    address: SocketAddr,
    folder: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Terminator {
    async fn start(mutual: bool) -> Self {
        let server = Canned::start(|method, _, _| {
            let reply = ShowCollectionsResponse {
                status: Some(Status::default()),
                collection_names: vec!["c".into()],
            };
            match method {
                "ShowCollections" => Some(Answer::of(&reply)),
                "RenameCollection" => Some(Answer::of(&Status::default())),
                _ => None,
            }
        })
        .await;
        let authority = || {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let (ours, other) = (authority(), authority());
        let of = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &ours).unwrap(), key)
        };
        let (certificate, key) = of("db.example");
        let (client, client_key) = of("client");
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("ca.pem", ours.pem()),
            ("other.pem", other.pem()),
            ("client.pem", client.pem()),
            ("client.key", client_key.serialize_pem()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(ours.der().to_vec())).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, behind) = (listener.local_addr().unwrap(), server.address);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut front) = acceptor.accept(stream).await else { return };
                    let mut back = TcpStream::connect(behind).await.unwrap();
                    let _ended = copy_bidirectional(&mut front, &mut back).await;
                });
            }
        });
        Self { server, address, folder, task }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tls(&self, authority: &str, name: &str) -> Tls {
        Tls { ca_file: Some(self.file(authority)), server_name: Some(name.to_owned()), client: None }
    }

    async fn collections(&self, tls: Option<Tls>) -> arshai_core::Result<Vec<String>> {
        let mut config = MilvusConfig::from_url(&format!("milvus://{}", self.address)).unwrap();
        config.tls = tls;
        let store = MilvusStore::new(config).unwrap();
        Deadline::after(Duration::from_millis(800)).scope(store.collections()).await
    }

    /// The settings of a client whose words take so long to reach it.
    async fn far_away(&self, way: Duration) -> MilvusConfig {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("milvus://{}", listener.local_addr().unwrap());
        let server = self.address;
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(slow_way(near, TcpStream::connect(server).await.unwrap(), way));
            }
        });
        let mut config = MilvusConfig::from_url(&url).unwrap();
        config.tls = Some(self.tls("ca.pem", "db.example"));
        config
    }
}

async fn slow_way(near: TcpStream, far: TcpStream, way: Duration) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (near.into_split(), far.into_split());
    let (on_its_way, mut arriving) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let leave = async move {
        let mut buffer = vec![0; 1 << 14];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            on_its_way.send((Instant::now() + way, buffer[..read].to_vec())).unwrap();
        }
    };
    let arrive = async move {
        while let Some((at, bytes)) = arriving.recv().await {
            sleep_until(at).await;
            let _gone = to_server.write_all(&bytes).await;
        }
    };
    let back = async move {
        let _ended = copy(&mut from_server, &mut to_client).await;
    };
    tokio::join!(leave, arrive, back);
}

#[tokio::test]
async fn only_the_right_name_under_the_right_authority_is_talked_to() {
    let server = Terminator::start(false).await;
    assert_eq!(server.collections(Some(server.tls("ca.pem", "db.example"))).await.unwrap(), ["c"]);
    for (what, tls) in [
        ("a wrong name", Some(server.tls("ca.pem", "other.example"))),
        ("a wrong authority", Some(server.tls("other.pem", "db.example"))),
        ("the system's authorities", Some(Tls { server_name: Some("db.example".into()), ..Tls::default() })),
        ("no encryption", None),
    ] {
        let error = server.collections(tls).await.unwrap_err();
        match what {
            "no encryption" => {
                assert!(
                    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout),
                    "{what}: {error}"
                );
            }
            // No second attempt would mend it.
            _ => assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1), "{what}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_asks_who_the_client_is_gets_its_certificate() {
    let server = Terminator::start(true).await;
    let tls = server.tls("ca.pem", "db.example");
    let proof = Some((server.file("client.pem"), server.file("client.key")));
    assert_eq!(server.collections(Some(Tls { client: proof, ..tls.clone() })).await.unwrap(), ["c"]);
    let error = server.collections(Some(tls)).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_refused_by_name() {
    let mut config = MilvusConfig::from_url("milvuss://db.example").unwrap();
    config.tls = Some(Tls { ca_file: Some("no-such-authority.pem".into()), ..Tls::default() });
    let error = MilvusStore::new(config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("no-such-authority.pem"), "{error}");
}

#[tokio::test]
async fn a_write_sent_late_because_of_its_connection_has_all_of_its_time_to_be_answered() {
    let server = Terminator::start(false).await;
    // A second until there is a connection, and another one until the write is there.
    let mut config = server.far_away(Duration::from_secs(1)).await;
    config.attempt_timeout = Duration::from_millis(1_500);
    let client = MilvusStore::new(config).unwrap().client();
    client.rename_collection("a", "b").await.unwrap();
    assert_eq!(server.server.calls("RenameCollection"), 1);
}

#[tokio::test]
async fn a_refusal_in_tls_after_a_write_was_sent_does_not_say_that_it_did_not_happen() {
    let server = Terminator::start(true).await;
    // The client, who has no certificate, believes itself connected until the server has heard of that.
    let config = server.far_away(Duration::from_millis(300)).await;
    let client = MilvusStore::new(config).unwrap().client();
    let error = client.rename_collection("a", "b").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1), "{error}");
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
}
