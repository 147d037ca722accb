use futures::{StreamExt, TryStreamExt};
use parlance_cluster::SignalRoom;
use parlance_core::limits::MAX_SIGNAL_MEMBERS;
use parlance_core::{Body, Cursors, Entry, Head, Mark, Member, Refusal, RoomId, Unread, UserId};
use parlance_delivery::SharedFrame;
use parlance_proto::{convert, v1};
use parlance_runtime::own_task::run_to_end;
use parlance_store::UserRoom;
use parlance_store::past::as_of;
use prost::Message as _;

use super::views::room_to_proto;
use super::{Access, parse};
use crate::gate::Admitted;
use crate::limits::MAX_PAGE_BYTES;
use crate::{Api, Error};

/// Events at the end of a room among which its last message is looked for.
const LAST_MESSAGE_SCAN: usize = 50;

impl Api {
    pub(crate) async fn list_inbox(
        &self,
        caller: &Admitted,
        request: v1::ListInboxRequest,
    ) -> Result<v1::ListInboxResponse, Error> {
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, RoomId::parse)?;
        let page = self.store().rooms_of(&caller.user, after.as_ref(), size).await?;
        let mut next_page_token = page.next.map(|next| next.to_string()).unwrap_or_default();
        let active = page.rows.into_iter().filter(|room| room.member.is_active());
        let mut looked_up = futures::stream::iter(active)
            .map(|row| async {
                let room = row.room.clone();
                (room, self.inbox_entry(row, request.include_hidden).await)
            })
            .buffered(self.sizes().inbox_concurrency);
        let mut entries: Vec<v1::InboxEntry> = Vec::new();
        let mut unreadable_room_ids: Vec<String> = page.damaged.iter().map(RoomId::to_string).collect();
        let mut bytes = 0;
        while let Some((room, entry)) = looked_up.next().await {
            let entry = match entry {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(error) => {
                    unreadable_room_ids.push(super::left_out(&room, error)?);
                    continue;
                }
            };
            bytes += entry.encoded_len();
            if bytes > MAX_PAGE_BYTES
                && let Some(last) = entries.last()
            {
                next_page_token = last.room.as_ref().map(|room| room.room_id.clone()).unwrap_or_default();
                break;
            }
            entries.push(entry);
        }
        Ok(v1::ListInboxResponse { entries, next_page_token, unreadable_room_ids })
    }

    async fn inbox_entry(
        &self,
        user_room: UserRoom,
        include_hidden: bool,
    ) -> Result<Option<v1::InboxEntry>, Error> {
        let id = &user_room.room.clone();
        let Some(room) = self.store().room(id).await? else { return Ok(None) };
        let mut row = user_room;
        if row.cursors.read.seq < room.head().seq() {
            // The list need not know of one's own latest messages. And it is older than the room:
            // they may have been removed before what is in it now.
            row = self.store().user_room(&row.member.user, id).await?.unwrap_or(row);
        }
        let hidden = row.is_hidden(room.head());
        if hidden && !include_hidden {
            return Ok(None);
        }
        let member = row.member.as_of(room.head().seq());
        let Some(member) = member.filter(Member::is_active) else { return Ok(None) };
        let cursors = row.cursors;
        let unread_count = self.unread(id, room.head(), cursors.read).await?;
        let peer = room.info.direct_pair.as_ref().map(|(a, b)| {
            let peer = if *a == member.user { b } else { a };
            peer.as_str().to_owned()
        });
        let room_proto = room_to_proto(&room);
        let access = Access { room, member: Some(member) };
        let last_message = self.last_message(id, &access).await?;
        Ok(Some(v1::InboxEntry {
            room: Some(room_proto),
            membership: access.member.as_ref().map(convert::member),
            last_message: last_message.map(|entry| convert::entry(id.as_str(), &entry)),
            unread_count,
            read: Some(convert::read_mark(cursors.read)),
            delivered_seq: cursors.delivered,
            peer_id: peer.unwrap_or_default(),
            hidden,
        }))
    }

    /// The last message that is visible, if it is among the last [`LAST_MESSAGE_SCAN`] visible events.
    async fn last_message(&self, id: &RoomId, access: &Access) -> Result<Option<Entry>, Error> {
        let mut left = LAST_MESSAGE_SCAN;
        for range in access.visible()?.into_iter().rev() {
            let tail = self.store().read(id, range, left, true).await?;
            left = left.saturating_sub(tail.len());
            let tail = as_of(self.store(), id, access.until()?, tail).await?;
            let last = tail.into_iter().rev().find(|entry| matches!(entry.event.body, Body::Message(_)));
            if last.is_some() || left == 0 {
                return Ok(last);
            }
        }
        Ok(None)
    }

    pub(crate) async fn set_room_hidden(
        &self,
        caller: &Admitted,
        request: v1::SetRoomHiddenRequest,
    ) -> Result<v1::SetRoomHiddenResponse, Error> {
        let id = parse::room_id(&request.room_id)?;
        let access = self.access(&caller.user, &id).await?;
        access.active_member()?;
        // Whatever message comes after this one shows the room again.
        let at = if request.hidden { Mark::from(access.room.head()) } else { Mark::default() };
        let (store, cluster, user) = (self.parts.store.clone(), self.cluster.clone(), caller.user.clone());
        let hiding = async move {
            if !store.set_hidden(&user, &id, at).await? {
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
            unread_count: self.unread(&id, room.head, cursors.read).await?,
        })
    }

    /// The mark of who has read `room` up to `seq`, or up to a message of their own behind that.
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
            // Below the floor: all that is still there is unread, and no more than that.
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

    /// Messages after `read` that are not deleted.
    async fn unread(&self, room: &RoomId, head: Head, read: Mark) -> Result<u64, Error> {
        let unread = Unread::new(head, read);
        let deleted = match unread.deleted_in() {
            Some(range) => self.store().count_deleted(room, range).await?,
            None => 0,
        };
        Ok(unread.less_deleted(deleted))
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

    /// Stores that `user` has received `room` up to `seq`.
    pub(crate) async fn acknowledge(&self, user: &UserId, room: &RoomId, seq: u64) -> Result<Cursors, Error> {
        let room = self.markable(user, room, seq).await?;
        self.advance(user, &room, Cursors { delivered: seq, read: Mark::default() }).await
    }

    pub(crate) async fn list_receipts(
        &self,
        caller: &Admitted,
        request: v1::ListReceiptsRequest,
    ) -> Result<v1::ListReceiptsResponse, Error> {
        let id = parse::room_id(&request.room_id)?;
        let access = self.access(&caller.user, &id).await?;
        access.active_member()?;
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, UserId::parse)?;
        if access.room.head().member_count() > MAX_SIGNAL_MEMBERS {
            return Ok(v1::ListReceiptsResponse::default());
        }
        let page = self.store().members(&id, after.as_ref(), size).await?;
        let next_page_token = parse::next_page_token(&page, size, |last| last.user.as_str());
        let active = page.into_iter().filter(Member::is_active);
        let receipts = futures::stream::iter(active)
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

    /// The room, if `user` may move marks in it up to `seq`.
    async fn markable(&self, user: &UserId, room: &RoomId, seq: u64) -> Result<SignalRoom, Error> {
        let seq = parse::seq(seq)?;
        let room = self.room_of_member(user, room, seq).await?;
        let head = room.head.seq();
        if seq > head {
            let refusal = Refusal::SeqAhead { seq, head };
            return Err(Error::Refused { room: room.room, refusal });
        }
        Ok(room)
    }

    async fn advance(&self, user: &UserId, room: &SignalRoom, to: Cursors) -> Result<Cursors, Error> {
        self.sessions.marks().advance_and_signal(user, room, to).await?.ok_or(Error::RoomNotFound)
    }
}
