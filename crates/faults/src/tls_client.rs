use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::Certificate;

/// Sends bytes by TLS to a server with the certificate `trusted`, as a client with the certificate `own`, if any.
/// Returns all that is answered until the server hangs up.
///
/// # Errors
/// The handshake failed, also where the server refuses the client's certificate or the lack of one.
pub async fn exchange_by_tls(
    address: &str,
    trusted: &Certificate,
    own: Option<&Certificate>,
    bytes: &[u8],
) -> io::Result<Vec<u8>> {
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
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    // With TLS 1.3 a refusal comes after the client's side of the handshake.
    let sent = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    sent.map(|()| answer)
}
