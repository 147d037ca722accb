//! Users as others find them, and whether they may do anything.

use parlance_core::{FoldedName, UserId};
use parlance_identity::Auth;
use parlance_proto::v1;
use parlance_runtime::own_task::run_to_end;
use parlance_store::{NamePlace, StoreError, User, UserChange, UserState};

use super::filtered::fitting;
use super::only_the_app;
use super::parse::{self, TOKEN_SPACE};
use super::users::not_updated;
use super::views::user_to_proto;
use crate::accounts::EndSessions;
use crate::gate::Admitted;
use crate::{Api, Error};

impl Api {
    pub(crate) async fn search_users(
        &self,
        caller: &Admitted,
        request: v1::SearchUsersRequest,
    ) -> Result<v1::SearchUsersResponse, Error> {
        if !self.parts.profiles.all_search && !self.is_open_to_all() {
            only_the_app(caller)?;
        }
        let prefix = parse::name_prefix("name_prefix", &request.name_prefix)?;
        let size = parse::page_size(request.page_size)?;
        let after = place_of(&request.page_token)?;
        if after.as_ref().is_some_and(|after| !after.name.as_str().starts_with(prefix.as_str())) {
            return Err(parse::field("page_token", "is of another search"));
        }
        let found = self.store().find_users(&prefix, after.as_ref(), size).await?;
        let token = |place: NamePlace| format!("{}{TOKEN_SPACE}{}", place.user, place.name.as_str());
        let (mut users, mut next) = (found.users.iter().map(user_to_proto).collect::<Vec<_>>(), found.next);
        let fitting = fitting(&users);
        if fitting < users.len() {
            users.truncate(fitting);
            let place =
                |user: &User| NamePlace { name: FoldedName::of(user.name.as_str()), user: user.id.clone() };
            next = found.users.get(fitting - 1).map(place);
        }
        Ok(v1::SearchUsersResponse { users, next_page_token: next.map(token).unwrap_or_default() })
    }

    pub(crate) async fn deactivate_user(
        &self,
        caller: &Admitted,
        request: v1::DeactivateUserRequest,
    ) -> Result<v1::DeactivateUserResponse, Error> {
        let user = self.set_state(caller, &request.user_id, UserState::Deactivated).await?;
        Ok(v1::DeactivateUserResponse { user: Some(user_to_proto(&user)) })
    }

    pub(crate) async fn reactivate_user(
        &self,
        caller: &Admitted,
        request: v1::ReactivateUserRequest,
    ) -> Result<v1::ReactivateUserResponse, Error> {
        let user = self.set_state(caller, &request.user_id, UserState::Active).await?;
        Ok(v1::ReactivateUserResponse { user: Some(user_to_proto(&user)) })
    }

    async fn set_state(&self, caller: &Admitted, user: &str, state: UserState) -> Result<User, Error> {
        only_the_app(caller)?;
        let id = parse::user_id("user_id", user)?;
        let change = UserChange { state: Some(state), ..UserChange::default() };
        self.change_state(id, change).await
    }

    /// Changes a user's state, has all nodes read it again, and ends the sessions of a user who may not act; even if the
    /// caller is dropped.
    pub(super) async fn change_state(&self, id: UserId, change: UserChange) -> Result<User, Error> {
        let (store, profiles, now) = (self.parts.store.clone(), self.profiles().clone(), self.clock().now());
        let (auth, others) = (self.parts.auth.clone(), self.parts.end_sessions.clone());
        let changing = async move {
            let user = store.update_user(&id, change, now).await.map_err(not_updated)?;
            let user = user.ok_or_else(|| Error::UserNotFound(id.to_string()))?;
            profiles.changed(&id);
            if user.state != UserState::Active {
                // Also if they were so before: the call that changed it may have failed here.
                end_sessions(&auth, others.as_deref(), &id).await?;
            }
            Ok(user)
        };
        run_to_end(self.tasks(), changing).await
    }

    /// Ends the sessions of a user who may not act, on all nodes.
    pub(super) async fn end_sessions(&self, id: &UserId) -> Result<(), Error> {
        Ok(end_sessions(self.auth(), self.parts.end_sessions.as_deref(), id).await?)
    }
}

async fn end_sessions(auth: &Auth, others: Option<&dyn EndSessions>, id: &UserId) -> Result<(), StoreError> {
    auth.revocations().end_user(id);
    match others {
        Some(others) => others.end(id).await,
        None => Ok(()),
    }
}

fn place_of(token: &str) -> Result<Option<NamePlace>, Error> {
    parse::page_token(token, |token| {
        let (user, name) = token.split_once(TOKEN_SPACE).ok_or(())?;
        let user = UserId::parse(user).map_err(drop)?;
        Ok::<_, ()>(NamePlace { name: FoldedName::stored(name), user })
    })
}
