use std::path::PathBuf;

/// A certificate, its key and whom it is shown to, each in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate chain.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The authorities that sign the certificates which clients must have.
    pub client_ca: Option<PathBuf>,
}
