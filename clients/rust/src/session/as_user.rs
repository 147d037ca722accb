//! Calls of an app's backend in the name of its users.

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;

use super::{Message, Session, response_of};
use crate::{ClientError, Code, Failure, Request};

/// A user that an app's backend acts as, see [`Session::as_user`]. Calls have the rights of that user and no others, and are
/// retried like those of the session.
#[derive(Debug, Clone)]
pub struct AsUser {
    session: Session,
    user_id: String,
}

impl Session {
    /// Acts as a user: for an app's backend, whose token has the `service` scope. The user need not exist yet. The updates of
    /// this session stay those of the backend.
    pub fn as_user(&self, user_id: impl Into<String>) -> AsUser {
        AsUser { session: self.clone(), user_id: user_id.into() }
    }
}

impl AsUser {
    /// The user.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// Like [`Session::send_message`], in the user's name.
    ///
    /// # Errors
    /// As for [`AsUser::call`].
    pub async fn send_message(&self, message: Message) -> Result<v1::SendMessageResponse, ClientError> {
        self.call(v1::SendMessageRequest::from(message)).await
    }

    /// Like [`Session::call`], in the user's name.
    ///
    /// # Errors
    /// As for [`Session::call`]. Besides, `needs_scope` if the token lacks the scope, and `invalid_field` if the id is not valid.
    pub async fn call<R: Request>(&self, request: R) -> Result<R::Response, ClientError> {
        response_of::<R>(self.operate(request.into_operation()).await?)
    }

    /// Like [`Session::operate`], in the user's name.
    ///
    /// # Errors
    /// As for [`AsUser::call`].
    pub async fn operate(&self, operation: Operation) -> Result<Answer, ClientError> {
        if self.user_id.is_empty() {
            // In the contract that is the backend itself, with more rights.
            let message = "as_user: there is no user to act as";
            return Err(Failure::new(Code::InvalidArgument, "invalid_field", message).into());
        }
        self.session.operate_as(self.user_id.clone(), operation).await
    }
}
