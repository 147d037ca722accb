use std::path::PathBuf;

use tempfile::TempDir;

/// A certificate and its key, in files.
#[derive(Debug)]
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    /// Creates a self-signed one for this machine.
    ///
    /// # Errors
    /// The files cannot be created.
    pub fn new() -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("parlance-tls-").tempdir()?;
        let certificate = Self { folder };
        certificate.renew()?;
        Ok(certificate)
    }

    /// One that exists, PEM.
    pub(crate) fn with(certificate: &str, key: &str) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("parlance-tls-").tempdir()?;
        let files = Self { folder };
        std::fs::write(files.key(), key)?;
        std::fs::write(files.path(), certificate)?;
        Ok(files)
    }

    /// Replaces it by another self-signed one with another key.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn renew(&self) -> std::io::Result<()> {
        let names = ["localhost", "127.0.0.1"].map(String::from);
        let made = rcgen::generate_simple_self_signed(names).map_err(std::io::Error::other)?;
        std::fs::write(self.key(), made.signing_key.serialize_pem())?;
        std::fs::write(self.path(), made.cert.pem())
    }

    /// The certificate, PEM.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// Its key, PEM.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}
