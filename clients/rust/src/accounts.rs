use parlance_proto::v1;
use parlance_proto::v1::user_service_client::UserServiceClient;

use crate::ClientError;
use crate::error::from_status;
use crate::random::random_number;
use crate::transport::{Address, Dialer, grpc_channel};

/// Creates a user on a server in local mode (or finds the one with that id) and returns
/// a token to sign in with. `address` is as for [`Dialer::new`](crate::transport::Dialer::new); an empty `name` is the id.
///
/// # Errors
/// The server's refusal, or that it could not be reached. A server with configured keys issues no tokens:
/// UNAUTHENTICATED, or a [`ClientError::Protocol`] if it answers without one.
pub async fn create_user(address: &str, user_id: &str, name: &str) -> Result<String, ClientError> {
    create_user_at(&Address::parse(address), user_id, name).await
}

impl Dialer {
    /// Like [`create_user`], at the address of this dialer and with its certificate.
    ///
    /// # Errors
    /// Likewise.
    pub async fn create_user(&self, user_id: &str, name: &str) -> Result<String, ClientError> {
        create_user_at(self.address(), user_id, name).await
    }
}

async fn create_user_at(address: &Address, user_id: &str, name: &str) -> Result<String, ClientError> {
    let channel = grpc_channel(address).await?;
    let request = v1::CreateUserRequest {
        user_id: user_id.to_owned(),
        name: name.to_owned(),
        request_id: format!("create-{:016x}", random_number()),
        ..Default::default()
    };
    let response = UserServiceClient::new(channel).create_user(request).await;
    let response = response.map_err(|status| from_status(&status))?.into_inner();
    if response.token.is_empty() {
        return Err(ClientError::Protocol("the server gives no tokens: it is not in local mode".to_owned()));
    }
    Ok(response.token)
}
