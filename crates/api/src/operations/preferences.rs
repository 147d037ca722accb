//! What users set for their rooms: pinned, muted, marked as unread.

use parlance_core::limits::MAX_PAGE_SIZE;
use parlance_core::{Cursors, Member, Timestamp};
use parlance_delivery::SharedFrame;
use parlance_proto::{convert, v1};
use parlance_runtime::own_task::run_to_end;
use parlance_store::{Preferences, PreferencesChange};

use super::parse;
use crate::gate::Admitted;
use crate::{Api, Error};

pub(super) fn preferences_to_proto(
    preferences: &Preferences,
    member: &Member,
    cursors: &Cursors,
    now: Timestamp,
) -> v1::RoomPreferences {
    let muted_until = preferences.muted(member, now);
    v1::RoomPreferences {
        pinned: preferences.is_pinned(member),
        muted: muted_until.is_some(),
        muted_until: muted_until.filter(|until| until.0 > 0).map(convert::timestamp),
        marked_unread: preferences.is_marked_unread(cursors),
    }
}

fn muting(
    request: &v1::SetRoomPreferencesRequest,
    head: u64,
    now: Timestamp,
) -> Result<Option<(u64, Timestamp)>, Error> {
    match (request.muted, &request.muted_until) {
        (None | Some(false), Some(_)) => Err(parse::field("muted_until", "only with `muted`")),
        (None, None) => Ok(None),
        (Some(false), None) => Ok(Some((0, Timestamp(0)))),
        (Some(true), None) => Ok(Some((head, Timestamp(0)))),
        (Some(true), Some(until)) => {
            let until = convert::timestamp_from(until).filter(|until| *until > now);
            let until = until.ok_or_else(|| parse::field("muted_until", "a time in the future"))?;
            Ok(Some((head, until)))
        }
    }
}

impl Api {
    pub(crate) async fn set_room_preferences(
        &self,
        caller: &Admitted,
        request: v1::SetRoomPreferencesRequest,
    ) -> Result<v1::SetRoomPreferencesResponse, Error> {
        let id = parse::room_id(&request.room_id)?;
        let now = self.clock().now();
        let access = self.access_as_member(&caller.user, &id).await?;
        access.active_member()?;
        let head = access.room.head().seq();
        let muted = muting(&request, head, now)?;
        let (store, cluster, user) = (self.parts.store.clone(), self.cluster.clone(), caller.user.clone());
        let changing = async move {
            let unread_at = match request.marked_unread {
                Some(true) => {
                    let row = store.user_room(&user, &id).await?.ok_or(Error::RoomNotFound)?;
                    Some(row.cursors.read.seq + 1)
                }
                Some(false) => Some(0),
                None => None,
            };
            let pinned_at = request.pinned.map(|pinned| if pinned { head } else { 0 });
            let change = PreferencesChange { hidden: None, pinned_at, muted, unread_at };
            if !store.set_preferences(&user, &id, change).await? {
                return Err(Error::RoomNotFound);
            }
            // Read after the change: another device may have changed something else meanwhile.
            let row = store.user_room(&user, &id).await?.ok_or(Error::RoomNotFound)?;
            let preferences = preferences_to_proto(&row.preferences, &row.member, &row.cursors, now);
            let changed = v1::RoomPreferencesChanged {
                room_id: id.as_str().to_owned(),
                preferences: Some(preferences),
            };
            let signal = v1::signal::Signal::RoomPreferences(changed);
            cluster.signal_user(&user, &SharedFrame::signal(signal)).await;
            Ok(v1::SetRoomPreferencesResponse { preferences: Some(preferences) })
        };
        run_to_end(self.tasks(), changing).await
    }

    pub(crate) async fn get_unread_total(
        &self,
        caller: &Admitted,
        request: v1::GetUnreadTotalRequest,
    ) -> Result<v1::GetUnreadTotalResponse, Error> {
        let unmuted_at = request.without_muted.then(|| self.clock().now());
        let _turn = self.costly_turn(caller).await?;
        let total = self.inbox.unread_total(&caller.user, unmuted_at).await?;
        let parlance_inbox::UnreadTotal { messages, rooms, is_partial, read } = total;
        // As many as for the pages of an inbox with these rooms, one of which was charged already.
        self.gate.charge(caller, read / MAX_PAGE_SIZE);
        Ok(v1::GetUnreadTotalResponse { unread_count: messages, unread_rooms: rooms, is_partial })
    }
}
