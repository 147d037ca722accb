mod authority;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::{Accept, TlsAcceptor};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::authority::is_authority;
use crate::config::TlsFiles;
use crate::limits::CERTIFICATE_LOOK_EVERY;

/// Protocols offered with ALPN, so that clients know before the first byte.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The server's certificate and those that it asks clients for, in their current form.
pub(crate) struct Tls(ArcSwap<ServerConfig>);

/// The contents of the files.
#[derive(PartialEq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files now, and again whenever they change, until `end`.
    pub(crate) async fn follow(
        files: &TlsFiles,
        end: CancellationToken,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Arc<Self>> {
        let pem = Pem::read(files).await?;
        let tls = Arc::new(Self(ArcSwap::from_pointee(pem.config(files)?)));
        let (following, files) = (tls.clone(), files.clone());
        tasks.spawn(end.run_until_cancelled_owned(async move { following.renew(&files, pem).await }));
        Ok(tls)
    }

    async fn renew(&self, files: &TlsFiles, mut known: Pem) {
        let mut look = interval(CERTIFICATE_LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut problem = None;
        loop {
            look.tick().await;
            // If they are unreadable or invalid, for example while one of two files is
            // being replaced, the current certificate is kept.
            let found = self.renewed(files, &mut known).await.err().map(|error| format!("{error:#}"));
            // Once, not at every look.
            if let Some(error) = found.as_ref().filter(|_| found != problem) {
                tracing::warn!("keeping the current certificate: {error}");
            }
            problem = found;
        }
    }

    async fn renewed(&self, files: &TlsFiles, known: &mut Pem) -> anyhow::Result<()> {
        let pem = Pem::read(files).await?;
        if pem != *known {
            self.0.store(Arc::new(pem.config(files)?));
            tracing::info!("reloaded the certificate for new connections");
            *known = pem;
        }
        Ok(())
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
        let client_ca = match &files.client_ca {
            Some(path) => Some(read(path).await?),
            None => None,
        };
        Ok(Self { certificate: read(&files.certificate).await?, key: read(&files.key).await?, client_ca })
    }

    fn config(&self, files: &TlsFiles) -> anyhow::Result<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(pem), Some(path)) => {
                let authorities =
                    authorities(pem).with_context(|| format!("tls-client-ca {}", path.display()))?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
            _ => builder.with_no_client_auth(),
        };
        let own = || -> anyhow::Result<_> {
            let chain = certificates(&self.certificate)?;
            let key = PrivateKeyDer::from_pem_slice(&self.key).context("contains no private key")?;
            builder.with_single_cert(chain, key).context("key and certificate do not match")
        };
        let mut config = own().with_context(|| named(files))?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        if self.client_ca.is_some() {
            // A resumed session is not asked for its certificate again, which may have expired since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().context("no PEM")?;
    ensure!(!found.is_empty(), "contains no certificate");
    Ok(found)
}

fn authorities(pem: &[u8]) -> anyhow::Result<RootCertStore> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(pem)? {
        ensure!(is_authority(&certificate), "contains a certificate that is none of an authority (CA:TRUE)");
        authorities.add(certificate).context("contains a certificate that is none of an authority")?;
    }
    Ok(authorities)
}

/// Checks that the files are usable.
pub(crate) async fn check(files: &TlsFiles) -> anyhow::Result<()> {
    Pem::read(files).await?.config(files).map(drop)
}

fn named(files: &TlsFiles) -> String {
    format!("tls-certificate {} and tls-key {}", files.certificate.display(), files.key.display())
}
