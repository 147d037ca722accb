use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use parlance_core::Caller;
use parlance_core::limits::MAX_PRESENCE_USERS;
use parlance_core::{DataChange, Member, RequestId, RoomKind, UserId};
use parlance_proto::{convert, v1};
use parlance_runtime::own_task::run_to_end;
use parlance_runtime::random;
use parlance_store::{UpdateError, User, UserChange, UserState};
use ring::digest::{SHA256, digest};

use super::filtered::fitting;
use super::only_the_app;
use super::parse;
use super::views::user_to_proto;
use crate::accounts::may_act;
use crate::claimed::first_profile;
use crate::gate::Admitted;
use crate::limits::{LOCAL_TOKEN, UNKNOWN_ID_COST};
use crate::{Api, Error};
use parlance_identity::ME;

impl Api {
    /// `caller` may be missing in local mode only.
    pub(crate) async fn create_user(
        &self,
        caller: Option<&Admitted>,
        request: v1::CreateUserRequest,
    ) -> Result<v1::CreateUserResponse, Error> {
        let id = if request.user_id.is_empty() {
            let caller = caller.map_or("", |caller| caller.user.as_str());
            let ending = if request.request_id.is_empty() {
                u32::from_be_bytes(random::bytes()).into()
            } else {
                ending_of(caller, &parse::request_id("request_id", &request.request_id)?)
            };
            made_up_id(&request.name, ending)
        } else {
            parse::new_user_id("user_id", &request.user_id)?
        };
        if id.as_str() == ME {
            return Err(parse::field("user_id", "stands for oneself"));
        }
        let name = if request.name.is_empty() { id.as_str() } else { &request.name };
        let name = parse::name(name)?;
        match caller {
            _ if self.auth().is_local() => {}
            None => return Err(Error::TokenMissing),
            Some(caller) if caller.is_service || caller.user == id => {}
            Some(_) => return Err(Error::NeedsScope),
        }
        let image = parse::image("image_url", &request.image_url)?;
        let data = parse::data("data", request.data.as_ref())?;
        let set = (!request.name.is_empty(), !request.image_url.is_empty());
        self.may_set_profile(caller.is_some_and(|caller| caller.is_service), set)?;
        let now = self.clock().now();
        let state = UserState::Active;
        let new = User { id, name, image, data, created_at: now, updated_at: now, state };
        let (user, is_repeat) =
            if request.update { self.upsert(new, &request).await? } else { self.store_user(new).await? };
        if user.state == UserState::Deleted {
            return Err(Error::OtherDeleted);
        }
        let token = self.auth().mint(&user.id, LOCAL_TOKEN, self.clock().now()).unwrap_or_default();
        Ok(v1::CreateUserResponse { user: Some(user_to_proto(&user)), token, is_repeat })
    }

    pub(crate) async fn get_user(
        &self,
        caller: &Admitted,
        request: v1::GetUserRequest,
    ) -> Result<v1::GetUserResponse, Error> {
        let id = parse::user_or_me(&caller.user, &request.user_id)?;
        if id == caller.user {
            self.ensure_user(caller).await?;
        } else if self.shown_profiles(caller, std::slice::from_ref(&id)).await? != [true] {
            return Err(Error::UserNotFound(id.to_string()));
        }
        let user = self.store().user(&id).await?.ok_or_else(|| Error::UserNotFound(id.to_string()))?;
        Ok(v1::GetUserResponse { user: Some(user_to_proto(&user)) })
    }

    pub(crate) async fn list_users(
        &self,
        caller: &Admitted,
        request: v1::ListUsersRequest,
    ) -> Result<v1::ListUsersResponse, Error> {
        if !self.is_open_to_all() {
            only_the_app(caller)?;
        }
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, UserId::parse)?;
        let users = self.store().users(after.as_ref(), size).await?;
        let mut next_page_token = parse::next_page_token(&users, size, |last| last.id.as_str());
        let mut users: Vec<v1::User> = users.iter().map(user_to_proto).collect();
        let fitting = fitting(&users);
        if fitting < users.len() {
            users.truncate(fitting);
            next_page_token = users.last().map(|last| last.user_id.clone()).unwrap_or_default();
        }
        Ok(v1::ListUsersResponse { users, next_page_token })
    }

    pub(crate) async fn update_user(
        &self,
        caller: &Admitted,
        request: v1::UpdateUserRequest,
    ) -> Result<v1::UpdateUserResponse, Error> {
        let id = parse::user_or_me(&caller.user, &request.user_id)?;
        if id != caller.user {
            only_the_app(caller)?;
        }
        if id == caller.user {
            self.ensure_user(caller).await?;
        }
        let change = UserChange {
            name: request.name.as_deref().map(parse::name).transpose()?,
            image: request.image_url.as_deref().map(|url| parse::image("image_url", url)).transpose()?,
            data: parse::data_change(request.data.as_ref(), request.unset_data)?,
            state: None,
        };
        self.may_set_profile(caller.is_service, (change.name.is_some(), change.image.is_some()))?;
        let user = if change.is_empty() {
            self.store().user(&id).await?
        } else {
            self.change_user(id.clone(), change).await?
        };
        let user = user.ok_or_else(|| Error::UserNotFound(id.to_string()))?;
        Ok(v1::UpdateUserResponse { user: Some(user_to_proto(&user)) })
    }

    /// Refuses a user who sets their own name or image where only the app does.
    fn may_set_profile(&self, is_app: bool, (name, image): (bool, bool)) -> Result<(), Error> {
        match (name, image) {
            _ if is_app || self.parts.profiles.own_changes => Ok(()),
            (true, _) => Err(Error::NeedsScopeFor("name")),
            (_, true) => Err(Error::NeedsScopeFor("image_url")),
            _ => Ok(()),
        }
    }

    /// Creates a user, or updates the existing one with the fields that `request` sets.
    async fn upsert(&self, new: User, request: &v1::CreateUserRequest) -> Result<(User, bool), Error> {
        let change = UserChange {
            name: (!request.name.is_empty()).then(|| new.name.clone()),
            image: (!request.image_url.is_empty()).then(|| new.image.clone()),
            data: DataChange { set: new.data.clone(), unset: Vec::new() },
            state: None,
        };
        let id = new.id.clone();
        let (user, is_repeat) = self.store_user(new).await?;
        if !is_repeat || change.is_empty() || user.state == UserState::Deleted {
            return Ok((user, is_repeat));
        }
        let user = self.change_user(id, change).await?;
        Ok((user.ok_or(Error::UserNotFound(request.user_id.clone()))?, is_repeat))
    }

    pub(crate) async fn get_users(
        &self,
        caller: &Admitted,
        request: v1::GetUsersRequest,
    ) -> Result<v1::GetUsersResponse, Error> {
        if request.user_ids.len() > MAX_PRESENCE_USERS {
            return Err(parse::field("user_ids", format!("must be at most {MAX_PRESENCE_USERS}")));
        }
        let ids = request.user_ids.iter().map(|id| parse::user_or_me(&caller.user, id));
        let ids: Vec<UserId> = ids.collect::<Result<_, _>>()?;
        let shown = self.shown_profiles(caller, &ids).await?;
        let ids: Vec<UserId> =
            ids.into_iter().zip(shown).filter_map(|(id, shown)| shown.then_some(id)).collect();
        let found = self.users_of(&ids).await?;
        let users = ids.iter().filter_map(|id| found.get(id)).map(user_to_proto).collect();
        Ok(v1::GetUsersResponse { users })
    }

    /// The existing users among `ids`.
    async fn users_of(&self, ids: &[UserId]) -> Result<BTreeMap<UserId, User>, Error> {
        let found = self.store().users_by_id(ids).await?;
        Ok(found.into_iter().map(|user| (user.id.clone(), user)).collect())
    }

    /// `members` of a room of this kind, with their names and pictures as they are now. The caller is one of them, or
    /// the app.
    pub(super) async fn with_profiles(
        &self,
        caller: &Caller,
        kind: RoomKind,
        members: &[Member],
    ) -> Result<Vec<v1::Member>, Error> {
        let mut ids: Vec<UserId> = members.iter().map(|member| member.user.clone()).collect();
        // Members of a group or channel see each other. Beginning a direct room shows nothing of the other one.
        if kind == RoomKind::Direct {
            let mut shown = self.shown_profiles(caller, &ids).await?.into_iter();
            ids.retain(|_| shown.next() == Some(true));
        }
        let found = self.users_of(&ids).await?;
        let with_profile = |member: &Member| {
            let mut seen = convert::member(member);
            if let Some(user) = found.get(&member.user) {
                seen.display_name = user.name.as_str().to_owned();
                seen.image_url = user.image.as_str().to_owned();
            }
            seen
        };
        Ok(members.iter().map(with_profile).collect())
    }

    /// Changes a profile, and announces the change even if the caller is dropped.
    async fn change_user(&self, id: UserId, change: UserChange) -> Result<Option<User>, Error> {
        let (store, profiles, now) = (self.parts.store.clone(), self.profiles().clone(), self.clock().now());
        let renaming = async move {
            let user = store.update_user(&id, change, now).await.map_err(not_updated)?;
            if user.is_some() {
                profiles.changed(&id);
            }
            Ok(user)
        };
        run_to_end(self.tasks(), renaming).await
    }

    pub(crate) async fn get_presence(
        &self,
        caller: &Admitted,
        request: v1::GetPresenceRequest,
    ) -> Result<v1::GetPresenceResponse, Error> {
        if request.user_ids.len() > MAX_PRESENCE_USERS {
            return Err(parse::field("user_ids", format!("must be at most {MAX_PRESENCE_USERS}")));
        }
        let users: Vec<UserId> =
            request.user_ids.iter().map(|id| parse::user_id("user_ids", id)).collect::<Result<_, _>>()?;
        let online = self.registry().online(&users).await.map_err(|_| Error::RegistryAway)?;
        let hidden = self.blockers(caller, &users).await?;
        // Most of a long list are offline, and those have nothing to hide.
        let online = users.iter().zip(online).zip(hidden).filter(|((_, online), hidden)| *online && !hidden);
        let online: Vec<UserId> = online.map(|((user, _), _)| user.clone()).collect();
        let shown = self.shown_presence(caller, &online).await?;
        let online: BTreeSet<UserId> =
            online.into_iter().zip(shown).filter_map(|(user, shown)| shown.then_some(user)).collect();
        let presences = users
            .into_iter()
            .map(|user| v1::Presence { online: online.contains(&user), user_id: user.as_str().to_owned() });
        Ok(v1::GetPresenceResponse { presences: presences.collect() })
    }

    /// Whether all users may list and search users.
    pub(super) fn is_open_to_all(&self) -> bool {
        self.auth().is_local() && self.parts.profiles.are_open()
    }

    /// Creates the user on the first call with a valid token: the app's own backend decides who exists.
    pub(crate) async fn ensure_user(&self, caller: &Caller) -> Result<(), Error> {
        if caller.profile.is_some() {
            self.accounts().check(caller).await?;
        }
        if self.is_known(&caller.user) {
            return Ok(());
        }
        let since = self.accounts().changes();
        let user = match self.accounts().look_up(&caller.user).await? {
            Some(user) => user,
            None => self.store_user(first_profile(caller, self.clock().now())?).await?.0,
        };
        may_act(&user, caller)?;
        if user.state == UserState::Active {
            self.accounts().remember(&caller.user, since);
        }
        Ok(())
    }

    /// Refuses ids of unknown users, naming the first one. Looks up a few at a time. An unknown id is charged: nobody is
    /// to find out many by trying.
    pub(crate) async fn existing_users(&self, caller: &Caller, ids: &[UserId]) -> Result<(), Error> {
        let found: Result<(), Error> = futures::stream::iter(ids.to_vec())
            .map(|id| async move { self.existing_user(&id).await })
            .buffered(self.sizes().inbox_concurrency)
            .try_collect()
            .await;
        if matches!(found, Err(Error::UserNotFound(_))) {
            self.gate.charge(caller, UNKNOWN_ID_COST);
        }
        found
    }

    /// Refuses the id of a user who is unknown or deleted.
    async fn existing_user(&self, id: &UserId) -> Result<(), Error> {
        if self.is_known(id) {
            return Ok(());
        }
        match self.accounts().look_up(id).await? {
            Some(user) if user.state != UserState::Deleted => Ok(()),
            _ => Err(Error::UserNotFound(id.to_string())),
        }
    }

    async fn store_user(&self, user: User) -> Result<(User, bool), Error> {
        Ok(self.store().create_user(user).await?.into_parts())
    }
}

pub(super) fn not_updated(error: UpdateError) -> Error {
    match error {
        UpdateError::DataTooLarge(error) => parse::field("data", error),
        UpdateError::Store(error) => error.into(),
    }
}

/// The suffix of the id that the server generates for the request `id` of `caller`: the same for each
/// repeat.
fn ending_of(caller: &str, id: &RequestId) -> u64 {
    let asked = digest(&SHA256, format!("created user\0{caller}\0{}", id.as_str()).as_bytes());
    asked.as_ref().iter().take(6).fold(0, |ending, byte| ending << 8 | u64::from(*byte))
}

/// Generates an id in which people recognise the user: `alice-3f9a1c20`.
fn made_up_id(name: &str, ending: u64) -> UserId {
    let letters = name.chars().filter(char::is_ascii_alphanumeric).take(24);
    let mut id: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    if id.is_empty() {
        id.push_str("user");
    }
    id.push_str(&format!("-{ending:08x}"));
    UserId::parse(&id).unwrap_or_else(|error| unreachable!("{id}: {error}"))
}
