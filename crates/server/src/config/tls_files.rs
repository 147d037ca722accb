use std::path::PathBuf;

/// A certificate and its key, each in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Of this server, and those that vouch for it.
    pub certificate: PathBuf,
    /// Of the certificate.
    pub key: PathBuf,
}
