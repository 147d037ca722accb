use futures::{StreamExt, TryStreamExt};
use parlance_cluster::SignalRoom;
use parlance_core::limits::{MAX_PAGE_SIZE, MAX_SIGNAL_MEMBERS};
use parlance_core::{Cursors, Mark, Member, Refusal, RoomId, Timestamp, UserId};
use parlance_delivery::SharedFrame;
use parlance_inbox::{InboxFilter, InboxOrder, InboxPlace, InboxQuery, InboxRow, unread};
use parlance_proto::{convert, v1};
use parlance_runtime::own_task::run_to_end;
use parlance_store::PreferencesChange;

use super::filtered::page_bytes;
use super::parse;
use super::preferences::preferences_to_proto;
use crate::gate::Admitted;
use crate::limits::MAX_PAGE_BYTES;
use crate::{Api, Error};

fn inbox_query(user: UserId, request: &v1::ListInboxRequest) -> Result<InboxQuery, Error> {
    let order = match parse::known("order", request.order)? {
        v1::InboxOrder::Unspecified | v1::InboxOrder::Room => InboxOrder::Room,
        v1::InboxOrder::Latest => InboxOrder::Latest,
    };
    let after = parse::page_token(&request.page_token, |token| InboxPlace::parse(order, token).ok_or(()))?;
    let kinds = request.kinds.iter().map(|kind| {
        let kind = v1::RoomKind::try_from(*kind).ok().and_then(convert::room_kind_from);
        kind.ok_or_else(|| parse::field("kinds", "a kind of room"))
    });
    let kinds = kinds.collect::<Result<_, _>>()?;
    Ok(InboxQuery {
        user,
        order,
        after,
        size: parse::page_size(request.page_size)?,
        include_hidden: request.include_hidden,
        include_archived: request.include_archived,
        filter: InboxFilter { unread_only: request.unread_only, pinned_only: request.pinned_only, kinds },
    })
}

impl Api {
    fn entry_to_proto(&self, row: InboxRow, active_at: Option<Timestamp>, now: Timestamp) -> v1::InboxEntry {
        let InboxRow { room, member, cursors, unread, hidden, preferences, last_message } = row;
        let peer = room.info.direct_pair.as_ref().map(|(a, b)| if *a == member.user { b } else { a });
        v1::InboxEntry {
            preferences: Some(preferences_to_proto(&preferences, &member, &cursors, now)),
            membership: Some(convert::member(&member)),
            last_message: last_message.map(|entry| convert::entry(room.info.id.as_str(), &entry)),
            unread_count: unread,
            read: Some(convert::read_mark(cursors.read)),
            delivered_seq: cursors.delivered,
            peer_id: peer.map(|peer| peer.as_str().to_owned()).unwrap_or_default(),
            hidden,
            room: Some(self.room_to_proto(&room)),
            active_at: active_at.map(convert::timestamp),
        }
    }

    pub(crate) async fn list_inbox(
        &self,
        caller: &Admitted,
        request: v1::ListInboxRequest,
    ) -> Result<v1::ListInboxResponse, Error> {
        let query = inbox_query(caller.user.clone(), &request)?;
        let now = self.clock().now();
        // Those in another order read no more than they list.
        let turn =
            if query.order == InboxOrder::Latest { Some(self.costly_turn(caller).await?) } else { None };
        let mut page = self.inbox.page(query).await?;
        // As many as for the largest pages that list them, one of which was charged already.
        self.gate.charge(caller, page.read / MAX_PAGE_SIZE);
        drop(turn);
        let (mut next, mut last) = (page.next, None);
        let mut entries: Vec<v1::InboxEntry> = Vec::new();
        let mut unreadable_room_ids: Vec<String> = page.damaged.iter().map(RoomId::to_string).collect();
        let mut bytes = 0;
        while let Some((place, row)) = page.rooms.next().await {
            let entry = match row {
                Ok(Some(row)) => self.entry_to_proto(row, place.active_at, now),
                Ok(None) => continue,
                Err(error) => {
                    unreadable_room_ids.push(super::left_out(&place.room, error.into())?);
                    continue;
                }
            };
            bytes += page_bytes(&entry);
            if bytes > MAX_PAGE_BYTES && last.is_some() {
                next = last;
                break;
            }
            entries.push(entry);
            last = Some(place);
        }
        let next_page_token = next.map(|next| next.to_string()).unwrap_or_default();
        let is_partial = page.is_partial;
        Ok(v1::ListInboxResponse { entries, next_page_token, unreadable_room_ids, is_partial })
    }

    pub(crate) async fn set_room_hidden(
        &self,
        caller: &Admitted,
        request: v1::SetRoomHiddenRequest,
    ) -> Result<v1::SetRoomHiddenResponse, Error> {
        let id = parse::room_id(&request.room_id)?;
        let access = self.access_as_member(&caller.user, &id).await?;
        access.last_member()?;
        // Any later message makes the room visible again.
        let at = if request.hidden { Mark::from(access.room.head()) } else { Mark::default() };
        let change = PreferencesChange { hidden: Some(at), ..Default::default() };
        let (store, cluster, user) = (self.parts.store.clone(), self.cluster.clone(), caller.user.clone());
        let hiding = async move {
            if !store.set_preferences(&user, &id, change).await? {
                return Err(Error::RoomNotFound);
            }
            let hidden = v1::RoomHidden { room_id: id.as_str().to_owned(), hidden: request.hidden };
            cluster.signal_user(&user, &SharedFrame::signal(v1::signal::Signal::RoomHidden(hidden))).await;
            Ok(v1::SetRoomHiddenResponse {})
        };
        run_to_end(self.tasks(), hiding).await
    }

    pub(crate) async fn mark_read(
        &self,
        caller: &Admitted,
        request: v1::MarkReadRequest,
    ) -> Result<v1::MarkReadResponse, Error> {
        let id = parse::room_id(&request.room_id)?;
        let room = self.markable(&caller.user, &id, request.seq).await?;
        let read = self.mark_up_to(&caller.user, &room, request.seq).await?;
        let cursors = self.advance(&caller.user, &room, Cursors { delivered: 0, read }).await?;
        Ok(v1::MarkReadResponse {
            read: Some(convert::read_mark(cursors.read)),
            unread_count: unread(self.store(), &id, room.head, cursors.read).await?,
        })
    }

    /// The mark for `room` read up to `seq`, or up to the user's own last message if that is
    /// later.
    async fn mark_up_to(&self, user: &UserId, room: &SignalRoom, seq: u64) -> Result<Mark, Error> {
        if seq == room.head.seq() {
            return Ok(Mark::from(room.head));
        }
        let feed = self.hub().feed(&room.room);
        if let Some((mark, own)) = feed.and_then(|feed| feed.sent_after(seq, user)) {
            return Ok(own.unwrap_or(mark));
        }
        let (before, row) = tokio::try_join!(
            self.store().events_before(&room.room, seq + 1, 1),
            self.store().user_room(user, &room.room)
        )?;
        let read = match before.last().filter(|event| event.seq == seq) {
            Some(event) => Mark::at(event),
            // Below the floor: everything that is still kept is unread, and nothing else.
            None => {
                let kept = self.store().chunks_after(&room.room, seq, 1).await?;
                let first = kept.first().and_then(|chunk| chunk.events().first());
                first.map_or(Mark { seq, ..Mark::default() }, |first| Mark::before(seq, first))
            }
        };
        let mut cursors = row.map(|row| row.cursors).unwrap_or_default();
        cursors.advance(Cursors { delivered: 0, read });
        Ok(cursors.read)
    }

    pub(crate) async fn acknowledge_delivery(
        &self,
        caller: &Admitted,
        request: v1::AcknowledgeDeliveryRequest,
    ) -> Result<v1::AcknowledgeDeliveryResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let cursors = self.acknowledge(&caller.user, &room, request.seq).await?;
        Ok(v1::AcknowledgeDeliveryResponse { delivered_seq: cursors.delivered })
    }

    /// Stores that `user` has received `room` up to `seq`. Of a deleted room its end is acknowledged, too, without
    /// a receipt.
    pub(crate) async fn acknowledge(&self, user: &UserId, room: &RoomId, seq: u64) -> Result<Cursors, Error> {
        let seq = parse::seq(seq)?;
        let to = Cursors { delivered: seq, read: Mark::default() };
        if let Some(known) = self.cluster.known_room(user, room, seq) {
            return self.advance(user, &known, to).await;
        }
        let access = self.access_as_member(user, room).await?;
        access.last_member()?;
        let known = within(SignalRoom::from(&access.room), seq)?;
        if !access.room.info.deleted {
            return self.advance(user, &known, to).await;
        }
        self.sessions.marks().advance_silently(user, room, to).await?.ok_or(Error::RoomNotFound)
    }

    pub(crate) async fn list_receipts(
        &self,
        caller: &Admitted,
        request: v1::ListReceiptsRequest,
    ) -> Result<v1::ListReceiptsResponse, Error> {
        let id = parse::room_id(&request.room_id)?;
        let access = self.access(caller, &id).await?;
        access.active_member()?;
        parse::page_size(request.page_size)?;
        if access.room.head().member_count() > MAX_SIGNAL_MEMBERS {
            return Ok(v1::ListReceiptsResponse::default());
        }
        let is_own_only = match &access.room.info.direct_pair {
            Some((one, other)) if !caller.is_service => {
                let peer = if *one == caller.user { other } else { one };
                self.cluster().has_block_between(one, other).await?
                    || self.cluster().hides_in(peer, &id).await
            }
            _ => false,
        };
        let is_shown = |member: &Member| member.is_active() && (!is_own_only || member.user == caller.user);
        let part = (request.page_token.as_str(), request.page_size);
        let (page, next_page_token) = self.members_page(caller, &id, part, is_shown).await?;
        let receipts = futures::stream::iter(page)
            .map(|member| self.receipt(&id, member))
            .buffered(self.sizes().inbox_concurrency)
            .try_collect()
            .await?;
        Ok(v1::ListReceiptsResponse { receipts, next_page_token })
    }

    async fn receipt(&self, room: &RoomId, member: Member) -> Result<v1::Receipt, Error> {
        let row = self.store().user_room(&member.user, room).await?;
        let cursors = row.map(|row| row.cursors).unwrap_or_default();
        Ok(v1::Receipt {
            room_id: room.as_str().to_owned(),
            user_id: member.user.as_str().to_owned(),
            delivered_seq: cursors.delivered,
            read_seq: cursors.read.seq,
            message_count: None,
        })
    }

    /// Returns the room if `user` may move marks in it up to `seq`.
    async fn markable(&self, user: &UserId, room: &RoomId, seq: u64) -> Result<SignalRoom, Error> {
        let seq = parse::seq(seq)?;
        within(self.room_of_member(user, room, seq).await?, seq)
    }

    async fn advance(&self, user: &UserId, room: &SignalRoom, to: Cursors) -> Result<Cursors, Error> {
        self.sessions.marks().advance_and_signal(user, room, to).await?.ok_or(Error::RoomNotFound)
    }
}

/// Refuses to move marks beyond the head of `room`.
fn within(room: SignalRoom, seq: u64) -> Result<SignalRoom, Error> {
    let head = room.head.seq();
    if seq <= head {
        return Ok(room);
    }
    Err(Error::Refused { room: room.room, refusal: Refusal::SeqAhead { seq, head } })
}
