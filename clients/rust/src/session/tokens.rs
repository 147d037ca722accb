use async_trait::async_trait;

/// Provides the token that a session signs in with, before every connection, and a new one in time before it expires.
#[async_trait]
pub trait TokenProvider: Send + Sync + 'static {
    /// The token to sign in with. `refused` means that the server did not accept the last
    /// one, or that it is about to expire: a cached token is useless then. If the fresh one
    /// is refused too, another one is requested some seconds later; if that is refused as
    /// well, the session ends. Before an expiry nothing is repeated: the connection ends
    /// with its token, and another one is made.
    ///
    /// # Errors
    /// There is temporarily no token; the session retries later, as it does after 30
    /// seconds without an answer.
    async fn token(&self, refused: bool) -> Result<String, String>;
}

/// A fixed token.
pub(super) struct FixedToken(pub(super) String);

#[async_trait]
impl TokenProvider for FixedToken {
    async fn token(&self, _: bool) -> Result<String, String> {
        Ok(self.0.clone())
    }
}
