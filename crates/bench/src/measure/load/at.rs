use anyhow::Result;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::trust::Trust;

/// The address of a server, and the trusted certificate; without one, it does not use
/// TLS.
#[derive(Debug, Clone, Copy)]
pub(in crate::measure) struct At<'a> {
    pub(in crate::measure) address: &'a str,
    pub(in crate::measure) trust: Option<&'a Trust>,
}

/// A connection to it.
pub(super) type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl At<'_> {
    pub(super) async fn connect(self) -> Result<Socket> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        Ok(match self.trust {
            None => Either::Left(socket),
            Some(trust) => Either::Right(Box::new(trust.connect(socket).await?)),
        })
    }
}

impl<'a> From<&'a str> for At<'a> {
    fn from(address: &'a str) -> Self {
        Self { address, trust: None }
    }
}
