//! The server that a command connects to as a client.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use parlance_client::transport::{ClientCertificate, Dialer, Door};
use parlance_client::{ClientError, Code};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};

/// Default address of a server.
pub(super) const LOCAL: &str = "127.0.0.1:8080";

/// Where the server is, and who connects.
#[derive(Args)]
pub(super) struct Remote {
    /// The server: host:port, or https://host
    #[arg(long, env = "PARLANCE_SERVER", value_name = "ADDRESS", default_value = LOCAL)]
    pub(super) server: String,

    /// File with your token, unless the server is in local mode
    #[arg(long, env = "PARLANCE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// File with a certificate, for servers that let in only clients with one (--tls-client-ca): PEM, with those
    /// between it and the authority
    #[arg(long, env = "PARLANCE_CLIENT_CERTIFICATE", value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,

    /// File with its key, PEM
    #[arg(long, env = "PARLANCE_CLIENT_KEY", value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

impl Remote {
    /// The token of the file; in local mode that of `user`, who is created if necessary.
    pub(super) async fn token(&self, user: &str) -> anyhow::Result<String> {
        let token = match &self.token_file {
            Some(file) => read(file)?.trim().to_owned(),
            None => self.sign_in(user).await?,
        };
        if token.is_empty() {
            bail!("the token file is empty");
        }
        Ok(token)
    }

    /// The server over the transport `door`.
    pub(super) fn dialer(&self, door: Door) -> anyhow::Result<Dialer> {
        let dialer = Dialer::new(door, &self.server);
        Ok(match self.own()? {
            Some((chain, key)) => dialer.with_certificate(ClientCertificate::from_pem(chain, key)),
            None => dialer,
        })
    }

    /// A connection for gRPC.
    pub(super) async fn channel(&self) -> anyhow::Result<Channel> {
        let server = &self.server;
        let is_tls = server.starts_with("https://");
        let address = if server.contains("://") { server.clone() } else { format!("http://{server}") };
        let mut endpoint =
            Endpoint::from_shared(address).with_context(|| format!("the address {server:?}"))?;
        if is_tls {
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some((chain, key)) = self.own()? {
                tls = tls.identity(Identity::from_pem(chain, key));
            }
            endpoint = endpoint.tls_config(tls)?;
        }
        endpoint.connect().await.with_context(|| format!("cannot connect to {server}"))
    }

    /// The client's certificate and its key.
    fn own(&self) -> anyhow::Result<Option<(String, String)>> {
        let files = self.client_certificate.as_ref().zip(self.client_key.as_ref());
        files.map(|(chain, key)| Ok((read(chain)?, read(key)?))).transpose()
    }

    async fn sign_in(&self, user: &str) -> anyhow::Result<String> {
        let server = &self.server;
        match self.dialer(Door::Grpc)?.create_user(user, "").await {
            Ok(token) => Ok(token),
            Err(ClientError::Protocol(_)) => {
                bail!("{server} does not issue tokens: pass yours with --token-file")
            }
            Err(error) if error.failure().is_some_and(|failure| failure.code == Code::Unauthenticated) => {
                bail!("{server} asks for a token: give yours with --token-file")
            }
            Err(error) => Err(self.cannot_connect(error)),
        }
    }

    /// The error, with a hint.
    pub(super) fn cannot_connect(&self, error: ClientError) -> anyhow::Error {
        let server = &self.server;
        let ClientError::Io(reason) = &error else { return error.into() };
        let is_tls = server.starts_with("https://");
        let hint = match reason {
            // The rustls error for an answer that is not TLS.
            reason if is_tls && reason.contains("InvalidContentType") => {
                "the server speaks no TLS there: use http://"
            }
            // Where a certificate is missing, some versions of TLS only end the connection.
            reason if is_tls && self.client_key.is_none() && is_broken(reason) => {
                "if the server wants a certificate, give one with --client-certificate and --client-key"
            }
            reason if reason.to_lowercase().contains("refused") => {
                "is the server running there? (parlance serve)"
            }
            _ if !is_tls => "if the server speaks TLS there, use https://",
            _ => return anyhow::Error::from(error).context(format!("cannot connect to {server}")),
        };
        anyhow::anyhow!("cannot connect to {server}: {reason}; {hint}")
    }
}

fn is_broken(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["certificaterequired", "connection closed", "broken pipe", "reset"]
        .iter()
        .any(|end| reason.contains(end))
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
