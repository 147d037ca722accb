use std::io;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use crate::Certificate;

/// An authority that signs certificates of clients.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Creates one.
    ///
    /// # Errors
    /// Its file cannot be written.
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("parlance-ca-").tempdir()?;
        let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        let authority = Self { folder, issuer: Issuer::new(params, key) };
        std::fs::write(authority.path(), certificate.pem())?;
        Ok(authority)
    }

    /// A certificate of a client.
    ///
    /// # Errors
    /// Its files cannot be written.
    pub fn issue(&self) -> io::Result<Certificate> {
        let mut params = CertificateParams::new(["client".to_owned()]).map_err(io::Error::other)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let made = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        Certificate::with(&made.pem(), &key.serialize_pem())
    }

    /// Its own certificate, PEM.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }
}
