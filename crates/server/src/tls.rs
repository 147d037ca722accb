use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::{Accept, TlsAcceptor};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::TlsFiles;
use crate::limits::CERTIFICATE_LOOK_EVERY;

/// Protocols offered with ALPN, so that clients know before the first byte.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The server's certificate, in its current form.
pub(crate) struct Tls(ArcSwap<ServerConfig>);

/// The contents of the files.
#[derive(PartialEq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files now, and again whenever they change, until `end`.
    pub(crate) async fn follow(
        files: &TlsFiles,
        end: CancellationToken,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Arc<Self>> {
        let pem = Pem::read(files).await?;
        let tls = Arc::new(Self(ArcSwap::from_pointee(pem.config().with_context(|| named(files))?)));
        let (following, files) = (tls.clone(), files.clone());
        tasks.spawn(end.run_until_cancelled_owned(async move { following.renew(&files, pem).await }));
        Ok(tls)
    }

    async fn renew(&self, files: &TlsFiles, mut known: Pem) {
        let mut look = interval(CERTIFICATE_LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            // If they are unreadable or invalid, for example while one of two files is
            // being replaced, the current certificate is kept.
            let pem = match Pem::read(files).await {
                Ok(pem) if pem == known => continue,
                Ok(pem) => pem,
                Err(error) => {
                    tracing::warn!("keeping the current certificate: {error:#}");
                    continue;
                }
            };
            match pem.config() {
                Ok(config) => {
                    self.0.store(Arc::new(config));
                    tracing::info!("reloaded the certificate for new connections");
                    known = pem;
                }
                Err(error) => tracing::warn!("keeping the current certificate: {}: {error:#}", named(files)),
            }
        }
    }

    /// Performs the handshake with a peer.
    pub(crate) fn accept(&self, stream: TcpStream) -> Accept<TcpStream> {
        TlsAcceptor::from(self.0.load_full()).accept(stream)
    }
}

impl Pem {
    async fn read(files: &TlsFiles) -> anyhow::Result<Self> {
        let read = async |path: &Path| {
            tokio::fs::read(path).await.with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Self { certificate: read(&files.certificate).await?, key: read(&files.key).await? })
    }

    fn config(&self) -> anyhow::Result<ServerConfig> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<_, _>>().context("no PEM")?;
        ensure!(!chain.is_empty(), "contains no certificate");
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("contains no private key")?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("key and certificate do not match")?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(config)
    }
}

/// Checks that the files are usable.
pub(crate) async fn check(files: &TlsFiles) -> anyhow::Result<()> {
    Pem::read(files).await?.config().with_context(|| named(files)).map(drop)
}

fn named(files: &TlsFiles) -> String {
    format!("tls-certificate {} and tls-key {}", files.certificate.display(), files.key.display())
}
