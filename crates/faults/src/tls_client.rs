use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore, crypto};

use crate::Certificate;

/// A client with TLS that resumes its sessions, as long as the server lets it.
pub struct TlsClient(TlsConnector);

impl TlsClient {
    /// A client with the certificate `own`, if any, of a server with the certificate `trusted`.
    ///
    /// # Errors
    /// A certificate is unusable.
    pub fn new(trusted: &Certificate, own: Option<&Certificate>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::from_pem_file(trusted.path()).map_err(io::Error::other)?;
        roots.add(trusted).map_err(io::Error::other)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        let config = match own {
            Some(own) => {
                let chain = CertificateDer::from_pem_file(own.path()).map_err(io::Error::other)?;
                let key = PrivateKeyDer::from_pem_file(own.key()).map_err(io::Error::other)?;
                builder.with_client_auth_cert(vec![chain], key).map_err(io::Error::other)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Sends bytes to a server. Returns all that is answered until the server hangs up, and whether a session was
    /// resumed.
    ///
    /// # Errors
    /// The handshake failed, also where the server refuses the client's certificate or the lack of one.
    pub async fn exchange(&self, address: &str, bytes: &[u8]) -> io::Result<(Vec<u8>, bool)> {
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let stream = TcpStream::connect(address).await?;
        let mut stream = self.0.connect(name, stream).await?;
        let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        // With TLS 1.3 a refusal comes after the client's side of the handshake.
        let sent = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        sent.map(|()| (answer, is_resumed))
    }
}

/// Sends bytes by TLS to a server with the certificate `trusted`, as a client with the certificate `own`, if any.
/// Returns all that is answered until the server hangs up.
///
/// # Errors
/// See [`TlsClient::exchange`].
pub async fn exchange_by_tls(
    address: &str,
    trusted: &Certificate,
    own: Option<&Certificate>,
    bytes: &[u8],
) -> io::Result<Vec<u8>> {
    let (answer, _) = TlsClient::new(trusted, own)?.exchange(address, bytes).await?;
    Ok(answer)
}
