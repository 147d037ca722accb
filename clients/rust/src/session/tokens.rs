use async_trait::async_trait;

/// Gives a session the token that it signs in with, before every connection.
#[async_trait]
pub trait TokenProvider: Send + Sync + 'static {
    /// The token to sign in with now. `refused` says that the server did not take the last
    /// one: then a cached token is of no use. If the fresh one is refused too, another one is
    /// asked for some seconds later; the session ends where that is refused as well.
    ///
    /// # Errors
    /// There is none to be had for now, and why; the session tries again later. The same
    /// holds after 30 seconds without one.
    async fn token(&self, refused: bool) -> Result<String, String>;
}

/// A token that stays as it is.
pub(super) struct FixedToken(pub(super) String);

#[async_trait]
impl TokenProvider for FixedToken {
    async fn token(&self, _: bool) -> Result<String, String> {
        Ok(self.0.clone())
    }
}
