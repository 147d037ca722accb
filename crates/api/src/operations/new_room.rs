//! Creating rooms.
use std::collections::BTreeSet;

use parlance_core::limits::{MAX_INVITATION_AGE, MAX_MEMBERS_PER_REQUEST};
use parlance_core::{
    Body, Chunk, Creation, Joining, NewRoom, RequestId, RoomId, RoomKind, Settings, Timestamp, UserId,
    Visibility,
};
use parlance_proto::{convert, v1};
use parlance_runtime::own_task::run_to_end;
use parlance_runtime::random;
use parlance_store::{Created, StoredRoom};

use super::consent::{Named, invited};
use super::invitations::{Of, may_be_new};
use super::invited::{About, Counting};
use super::parse;
use super::rooms::visibility;
use crate::gate::{Admitted, Permits};
use crate::turns::Turn;
use crate::{Api, Error};

impl Api {
    pub(crate) async fn create_room(
        &self,
        caller: &Admitted,
        request: v1::CreateRoomRequest,
    ) -> Result<v1::CreateRoomResponse, Error> {
        self.ensure_user(caller).await?;
        let kind = convert::room_kind_from(request.kind()).ok_or_else(|| {
            parse::field("kind", "must be ROOM_KIND_DIRECT, ROOM_KIND_GROUP or ROOM_KIND_CHANNEL")
        })?;
        if request.member_ids.len() > MAX_MEMBERS_PER_REQUEST {
            return Err(parse::field("member_ids", format!("must be at most {MAX_MEMBERS_PER_REQUEST}")));
        }
        let others: Vec<UserId> =
            request.member_ids.iter().map(|id| parse::user_id("member_ids", id)).collect::<Result<_, _>>()?;
        let (own_id, owner) = chosen(caller, kind, &request)?;
        let named: Vec<UserId> = others.iter().chain(&owner).cloned().collect();
        let all_exist = self.existing_users(caller, &named).await;
        let settings = settings(kind, request.settings.as_ref())?;
        let now = self.clock().now();
        let first = owner.as_ref().unwrap_or(&caller.user);
        let asked = others.iter().chain([first]).cloned().collect::<BTreeSet<_>>();
        let service = caller.service.as_ref();
        let (mut permits, mut counting) = (Permits::none(), Counting::default());
        let creation = if kind == RoomKind::Direct {
            let [other] = others.as_slice() else {
                return Err(parse::field("member_ids", "a direct room has exactly one other member"));
            };
            if *other == caller.user {
                return Err(parse::field("member_ids", "a direct room is between two people"));
            }
            let creation = Creation::direct(&caller.user, service, other, settings, random::nonce(), now);
            self.unless_there(&creation.info.id, all_exist).await?;
            creation
        } else {
            let request_id = match &own_id {
                Some(id) if request.request_id.is_empty() => id.as_str(),
                _ => &request.request_id,
            };
            let request_id = parse::request_id("request_id", request_id)?;
            let id = match &own_id {
                Some(id) => id.clone(),
                None => self.id_of_new_room(&caller.user, &request_id).await?,
            };
            self.unless_there(&id, all_exist).await?;
            let (creator, owner) = (&caller.user, owner.as_ref());
            let Named { added, invited } = if !self.takes_consent(caller) {
                Named { added: others.clone(), invited: Vec::new() }
            } else if self.store().room(&id).await?.is_some() {
                // A repeat invites nobody.
                Named::default()
            } else {
                let (named, taken, counted) = Box::pin(self.by_consent(caller, &others, &id)).await?;
                (permits, counting) = (taken, counted);
                named
            };
            let new = NewRoom { id, creator, service, owner, request: &request_id, kind, settings };
            let until = Timestamp(now.0 + MAX_INVITATION_AGE.as_millis() as u64);
            Creation::shared(new, &added, random::nonce(), now).inviting(&invited, until)
        };
        self.accept_creation(caller, &creation.info.id, &others).await?;
        self.charge_new_room(caller, &creation.info.id).await?;
        let invited = creation.append.chunk.events().iter().filter_map(invited).cloned();
        let invited: Vec<UserId> = invited.collect();
        let (room, is_repeat) = self
            .create_and_signal(creation, Of { users: invited.clone(), permits, counting })
            .await?
            .into_parts();
        let room = if is_repeat {
            self.check_repeat(&room, own_id.as_ref(), kind, &asked).await?;
            if caller.is_service {
                self.room_to_proto(&room)
            } else {
                // The room may have changed since, without the caller in it.
                let member = self.store().member(&room.info.id, &caller.user).await?;
                self.seen_by(&room, &member.ok_or(Error::RoomNotFound)?)
            }
        } else {
            self.room_to_proto(&room)
        };
        let invited_user_ids = match (is_repeat, self.takes_consent(caller)) {
            (true, true) => self.first_invited(&room.room_id).await?,
            _ => invited.iter().map(ToString::to_string).collect(),
        };
        Ok(v1::CreateRoomResponse { room: Some(room), is_repeat, invited_user_ids })
    }

    /// Refuses people who do not exist, unless the room is there already: one of its members may have been deleted since.
    async fn unless_there(&self, room: &RoomId, all_exist: Result<(), Error>) -> Result<(), Error> {
        match all_exist {
            Err(unknown) if self.store().room(room).await?.is_none() => Err(unknown),
            _ => Ok(()),
        }
    }

    /// Creates a room, and signals to those who are invited that they are, even if the caller is dropped. Spends the
    /// permits unless the room is there already.
    async fn create_and_signal(
        &self,
        creation: Creation,
        Of { users: invited, permits, counting }: Of,
    ) -> Result<Created<StoredRoom>, Error> {
        if invited.is_empty() {
            return Ok(self.rooms().create(creation).await?);
        }
        let (rooms, signals) = (self.rooms.clone(), self.invitation_signals());
        let id = creation.info.id.clone();
        let creating = async move {
            let created = rooms.create(creation).await;
            drop(counting);
            if may_be_new(&created, |created| matches!(created, Created::Existing(_))) {
                permits.spend();
                signals.send(&id, &invited, About::Invitations).await;
            }
            created
        };
        Ok(run_to_end(self.tasks(), creating).await?)
    }

    /// Charges the caller with the new room `id`, unless it is there already.
    async fn charge_new_room(&self, caller: &Admitted, id: &RoomId) -> Result<(), Error> {
        let quota = &self.room_quota;
        if !quota.is_limited() || caller.is_app() || self.store().room(id).await?.is_some() {
            return Ok(());
        }
        quota.create(self.store(), caller).await
    }

    /// A turn in the direct room `room`, if it is not known here to be there: whoever creates it is charged.
    pub(super) async fn charge_direct_room(
        &self,
        turn: Option<Turn>,
        caller: &Admitted,
        room: &RoomId,
    ) -> Result<Option<Turn>, Error> {
        if !self.room_quota.is_limited() || caller.is_app() || self.room_quota.knows(room) {
            return Ok(turn);
        }
        let turn = match turn {
            Some(turn) => turn,
            None => self.turns.take(&caller.user, room).await,
        };
        self.charge_new_room(caller, room).await?;
        Ok(Some(turn))
    }

    /// Refuses a request that found an existing `room`, unless it is a repeat of the request that
    /// created it.
    async fn check_repeat(
        &self,
        room: &StoredRoom,
        own_id: Option<&RoomId>,
        kind: RoomKind,
        members: &BTreeSet<UserId>,
    ) -> Result<(), Error> {
        let id = room.info.id.clone();
        let refused = |refusal| Error::Refused { room: id.clone(), refusal };
        if room.info.deleted {
            return Err(refused(parlance_core::Refusal::RoomDeleted));
        }
        match own_id {
            // The caller created the room.
            Some(_) if room.info.kind == kind => Ok(()),
            Some(id) => Err(Error::RoomExists(id.clone())),
            None if kind == RoomKind::Direct || self.was_created_as(room, kind, members).await? => Ok(()),
            None => Err(refused(parlance_core::Refusal::RequestIdReused)),
        }
    }

    /// Whether `room` was created with this kind and these members. As in other repeats, texts and
    /// settings are not compared.
    async fn was_created_as(
        &self,
        room: &StoredRoom,
        kind: RoomKind,
        members: &BTreeSet<UserId>,
    ) -> Result<bool, Error> {
        if room.info.kind != kind {
            return Ok(false);
        }
        let stored;
        let first = if room.tail.first_seq() == 1 {
            &room.tail
        } else {
            stored = self.store().chunk(&room.info.id, 1).await?;
            // If the first event is no longer kept, the repeat gets the benefit of the doubt.
            let Some(first) = &stored else { return Ok(true) };
            first
        };
        let created = first.events().first().map(|event| &event.request);
        let added = first.events().iter().filter(|event| Some(&event.request) == created);
        let added: BTreeSet<UserId> = added
            .filter_map(|event| match &event.body {
                Body::MemberAdded { user, .. } | Body::MemberInvited { user, .. } => Some(user.clone()),
                _ => None,
            })
            .collect();
        Ok(added == *members)
    }

    /// Whom the creation of `room` invited, if its first event is still kept.
    async fn first_invited(&self, room: &str) -> Result<Vec<String>, Error> {
        let first = self.store().chunk(&parse::room_id(room)?, 1).await?;
        let events = first.iter().flat_map(Chunk::events);
        Ok(events.filter_map(invited).map(ToString::to_string).collect())
    }

    /// The id for the group or channel that `creator` asks for in `request`. For a repeat, the id of
    /// the room created before.
    async fn id_of_new_room(&self, creator: &UserId, request: &RequestId) -> Result<RoomId, Error> {
        let ids = self.room_ids();
        if ids.some_unkeyed {
            let unkeyed = RoomId::created_unkeyed(creator, request);
            if self.store().room(&unkeyed).await?.is_some() {
                return Ok(unkeyed);
            }
        }
        Ok(RoomId::created(&ids.key, creator, request))
    }
}

/// Fields that only the app may set: the id and the owner.
fn chosen(
    caller: &Admitted,
    kind: RoomKind,
    request: &v1::CreateRoomRequest,
) -> Result<(Option<RoomId>, Option<UserId>), Error> {
    let (id, owner) = (&request.room_id, &request.owner_id);
    if !id.is_empty() && !caller.is_app() {
        return Err(Error::NeedsScopeFor("room_id"));
    }
    // When acting as a user, the app has only that user's permissions.
    if !owner.is_empty() && !caller.is_service {
        return Err(Error::NeedsScopeFor("owner_id"));
    }
    if kind == RoomKind::Direct && !(id.is_empty() && owner.is_empty()) {
        let field = if id.is_empty() { "owner_id" } else { "room_id" };
        return Err(parse::field(field, "a direct room has none of its own"));
    }
    let id = if id.is_empty() { None } else { Some(RoomId::parse_own(id)) };
    let id = id.transpose().map_err(|error| parse::field("room_id", error))?;
    let owner = if owner.is_empty() { None } else { Some(parse::user_id("owner_id", owner)?) };
    Ok((id, owner))
}

fn settings(kind: RoomKind, settings: Option<&v1::RoomSettings>) -> Result<Settings, Error> {
    let empty = v1::RoomSettings::default();
    let given = settings.unwrap_or(&empty);
    let usual = match kind {
        RoomKind::Channel => Visibility::All,
        RoomKind::Direct | RoomKind::Group => Visibility::SinceJoined,
    };
    if kind == RoomKind::Direct && *given != empty {
        return Err(parse::field("settings", "a direct room has none"));
    }
    if kind != RoomKind::Channel && given.listed {
        return Err(parse::field("settings.listed", "only channels are in the directory"));
    }
    let joining = parse::joining("settings.joining", given.joining)?;
    if kind != RoomKind::Channel && joining == Joining::Open {
        return Err(parse::field("settings.joining", "a group is not open to everyone"));
    }
    let visibility = match given.history_visibility {
        0 => usual,
        _ => visibility("settings.history_visibility", given.history_visibility())?,
    };
    let permissions = given.permissions.as_ref();
    Ok(Settings {
        title: parse::title("settings.title", &given.title)?,
        topic: parse::topic("settings.topic", &given.topic)?,
        visibility,
        image: parse::image("settings.image_url", &given.image_url)?,
        data: parse::data("settings.data", given.data.as_ref())?,
        permissions: permissions
            .map(|permissions| parse::permissions("settings.permissions", permissions))
            .transpose()?
            .unwrap_or_default(),
        frozen: given.frozen,
        archived: given.archived,
        slow_mode: parse::slow_mode("settings.slow_mode_seconds", given.slow_mode_seconds)?,
        listed: given.listed,
        joining,
    })
}
