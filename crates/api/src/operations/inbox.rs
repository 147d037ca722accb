use futures::{StreamExt, TryStreamExt};
use parlance_core::limits::MAX_SIGNAL_MEMBERS;
use parlance_core::{Body, Cursors, Mark, Member, Refusal, RoomId, SeqRange, UserId, unread};
use parlance_proto::{convert, v1};
use parlance_store::UserRoom;
use prost::Message as _;

use super::{Access, parse, signal};
use crate::auth::Caller;
use crate::cluster::SignalRoom;
use crate::limits::MAX_PAGE_BYTES;
use crate::operations::rooms::room_to_proto;
use crate::past::as_of;
use crate::{Api, Error};

/// Events at the end of a room among which its last message is looked for.
const LAST_MESSAGE_SCAN: usize = 50;

impl Api {
    pub(crate) async fn list_inbox(
        &self,
        caller: &Caller,
        request: v1::ListInboxRequest,
    ) -> Result<v1::ListInboxResponse, Error> {
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, RoomId::parse)?;
        let page = self.store().rooms_of(&caller.user, after.as_ref(), size).await?;
        let mut next_page_token = parse::next_page_token(&page, size, |last| last.room.as_str());
        let active = page.into_iter().filter(|room| room.member.is_active());
        let mut looked_up = futures::stream::iter(active)
            .map(|row| async {
                let room = row.room.clone();
                (room, self.inbox_entry(row).await)
            })
            .buffered(self.sizes().inbox_concurrency);
        let mut entries: Vec<v1::InboxEntry> = Vec::new();
        let mut unreadable_room_ids = Vec::new();
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

    async fn inbox_entry(&self, mut user_room: UserRoom) -> Result<Option<v1::InboxEntry>, Error> {
        let id = &user_room.room.clone();
        let Some(room) = self.store().room(id).await? else { return Ok(None) };
        let count = room.head().message_count();
        if user_room.cursors.read.seq < room.head().seq() {
            // The list need not know of one's own latest messages, nor of a removal that the head has.
            match self.store().user_room(&user_room.member.user, id).await? {
                Some(now) if now.member.is_active() => user_room = now,
                _ => return Ok(None),
            }
        }
        let cursors = user_room.cursors;
        let peer = room.info.direct_pair.as_ref().map(|(a, b)| {
            let peer = if *a == user_room.member.user { b } else { a };
            peer.as_str().to_owned()
        });
        let room_proto = room_to_proto(&room);
        let access = Access { room, member: Some(user_room.member) };
        let last_message = match access.visible()?.pop() {
            Some(range) => {
                let tail = self.store().read(id, range, LAST_MESSAGE_SCAN, true).await?;
                let tail = as_of(self.store(), id, access.until()?, tail).await?;
                tail.into_iter().rev().find(|entry| matches!(entry.event.body, Body::Message(_)))
            }
            None => None,
        };
        Ok(Some(v1::InboxEntry {
            room: Some(room_proto),
            membership: access.member.as_ref().map(convert::member),
            last_message: last_message.map(|entry| convert::entry(id.as_str(), &entry)),
            unread_count: unread(count, cursors.read),
            read: Some(convert::read_mark(cursors.read)),
            delivered_seq: cursors.delivered,
            peer_id: peer.unwrap_or_default(),
        }))
    }

    pub(crate) async fn mark_read(
        &self,
        caller: &Caller,
        request: v1::MarkReadRequest,
    ) -> Result<v1::MarkReadResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let access = self.markable(caller, &room, request.seq).await?;
        let head = access.room.head();
        let message_count = if request.seq == head.seq() {
            head.message_count()
        } else {
            let range = SeqRange { from: request.seq, to: request.seq };
            let entry = self.store().read(&room, range, 1, false).await?.pop();
            match entry {
                Some(entry) => entry.event.message_count,
                // Below the floor: nothing that is still there is read by it.
                None => 0,
            }
        };
        let to = Cursors { delivered: 0, read: Mark { seq: request.seq, message_count } };
        let cursors = self.advance(caller, &access, to).await?;
        Ok(v1::MarkReadResponse {
            read: Some(convert::read_mark(cursors.read)),
            unread_count: unread(head.message_count(), cursors.read),
        })
    }

    pub(crate) async fn acknowledge_delivery(
        &self,
        caller: &Caller,
        request: v1::AcknowledgeDeliveryRequest,
    ) -> Result<v1::AcknowledgeDeliveryResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let access = self.markable(caller, &room, request.seq).await?;
        let to = Cursors { delivered: request.seq, read: Mark::default() };
        let cursors = self.advance(caller, &access, to).await?;
        Ok(v1::AcknowledgeDeliveryResponse { delivered_seq: cursors.delivered })
    }

    pub(crate) async fn list_receipts(
        &self,
        caller: &Caller,
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
        })
    }

    /// The room, if the caller may move marks in it up to `seq`.
    async fn markable(&self, caller: &Caller, room: &RoomId, seq: u64) -> Result<Access, Error> {
        let seq = parse::seq(seq)?;
        let access = self.access(&caller.user, room).await?;
        access.active_member()?;
        let head = access.room.head().seq();
        if seq > head {
            let refusal = Refusal::SeqAhead { seq, head };
            return Err(Error::Refused { room: room.clone(), refusal });
        }
        Ok(access)
    }

    /// Moves the caller's cursors and tells the room what is new.
    async fn advance(&self, caller: &Caller, access: &Access, to: Cursors) -> Result<Cursors, Error> {
        let room = &access.room.info.id;
        let cursors = self.marks().advance(&caller.user, room, to).await?;
        let cursors = cursors.ok_or(Error::RoomNotFound)?;
        let receipt = v1::Receipt {
            room_id: room.as_str().to_owned(),
            user_id: caller.user.as_str().to_owned(),
            delivered_seq: if to.delivered == cursors.delivered { to.delivered } else { 0 },
            read_seq: if to.read.seq == cursors.read.seq { to.read.seq } else { 0 },
        };
        if receipt.delivered_seq != 0 || receipt.read_seq != 0 {
            let frame = signal(v1::signal::Signal::Receipt(receipt));
            self.cluster().signal(&[SignalRoom::from(&access.room)], &frame, &caller.user).await;
        }
        Ok(cursors)
    }
}
