use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Certificate;

/// Accepts TLS in front of a server without it. Stops when dropped.
#[derive(Debug)]
pub struct TlsProxy {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _end: DropGuard,
}

impl TlsProxy {
    /// Listens on `address` (port 0 for a free one) in front of `upstream`.
    ///
    /// # Errors
    /// The address is in use, or the certificate cannot be read.
    pub async fn start(address: &str, upstream: SocketAddr, certificate: &Certificate) -> io::Result<Self> {
        let chain = CertificateDer::from_pem_file(certificate.path()).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(certificate.key()).map_err(io::Error::other)?;
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], key))
            .map_err(io::Error::other)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (end, accepted) = (CancellationToken::new(), Arc::<AtomicUsize>::default());
        let (ended, counted) = (end.clone(), accepted.clone());
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, counted) = (acceptor.clone(), counted.clone());
                // Handshakes that fail are what some tests are about.
                let serving = async move {
                    let mut client = acceptor.accept(stream).await?;
                    counted.fetch_add(1, Ordering::Relaxed);
                    let mut server = TcpStream::connect(upstream).await?;
                    copy_bidirectional(&mut client, &mut server).await
                };
                let ended = ended.clone();
                tokio::spawn(async move { ended.run_until_cancelled(serving).await.map(drop) });
            }
        }));
        Ok(Self { address, accepted, _end: end.drop_guard() })
    }

    /// The listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many clients have completed the handshake.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}
