use std::fmt;
use std::sync::Arc;

use anyhow::{Result, ensure};
use parlance_faults::Certificate;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore};

/// The trusted certificate.
pub(in crate::measure) struct Trust {
    connector: TlsConnector,
}

impl Trust {
    pub(in crate::measure) fn new(certificate: &Certificate) -> Result<Self> {
        let pem = std::fs::read(certificate.path())?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem)?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    pub(super) async fn connect(&self, socket: TcpStream) -> Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost")?;
        let stream = self.connector.connect(name, socket).await?;
        ensure!(stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3), "another version");
        Ok(stream)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}
