//! Creates rooms and appends to them.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use parlance_core::{Append, Chunk, Creation, RoomId};

use super::backoff::pause;
use super::error::{Attempts, is_conflict, store_error};
use super::invitations::StoredInvitations;
use super::limits::MAX_CONFLICTS;
use super::transaction::{Outcome, Transaction};
use super::{Dynamo, item, members, messages, rooms, units};
use crate::{AppendError, Created, StoreError, StoredRoom};

const CREATE: &str = "create_room";
const APPEND: &str = "append";

impl Dynamo {
    pub(super) async fn create(&self, creation: Creation) -> Result<Created<StoredRoom>, StoreError> {
        let Creation { info, append } = creation;
        let mut transaction = Transaction::new(append.chunk.nonce());
        transaction.create(
            &self.tables.messages,
            messages::chunk_item(&info.id, &append.chunk),
            messages::SEQ,
        )?;
        transaction.create(&self.tables.rooms, rooms::room_item(&info), rooms::ITEM)?;
        self.add_members(&mut transaction, &info.id, &append)?;
        if let Some(change) = &append.invitations {
            self.add_invitations(&mut transaction, &info.id, change, StoredInvitations::default())?;
        }
        if let Some(change) = &append.listing {
            self.add_listing(&mut transaction, change)?;
        }
        let id = info.id.clone();
        let new = StoredRoom { info, tail: append.chunk };
        let ended = self.commit(CREATE, &transaction).await?;
        if matches!(ended, Outcome::Done) {
            return Ok(Created::New(new));
        }
        match (self.stored_room(CREATE, &id).await?, ended) {
            // Identical: our own first attempt, whose answer was lost.
            (Some(stored), _) if stored == new => Ok(Created::New(stored)),
            (Some(stored), _) => Ok(Created::Existing(stored)),
            (None, Outcome::Unknown(error)) => Err(error),
            (None, _) => Err(StoreError::Damaged(format!("room {id} is neither there nor to be created"))),
        }
    }

    pub(super) async fn append_chunk(&self, room: &RoomId, append: Append) -> Result<(), AppendError> {
        let expected = append.expected.seq();
        // Only `create` starts a room.
        if expected == 0 || expected + 1 != append.chunk.first_seq() {
            return Err(AppendError::HeadMoved);
        }
        let has_rows = !append.members.is_empty() || !append.overlays.is_empty();
        let has_more = append.info.is_some() || append.invitations.is_some() || append.listing.is_some();
        let alone = !has_rows && !has_more;
        if alone { self.put_chunk(room, &append.chunk).await } else { self.put_all(room, &append).await }
    }

    /// Only messages: a single conditional write. The key acts as the fence, since every
    /// head is the end of a chunk.
    async fn put_chunk(&self, room: &RoomId, chunk: &Chunk) -> Result<(), AppendError> {
        let item = messages::chunk_item(room, chunk);
        let size = item::size(&item);
        let attempts = Attempts::default();
        for attempt in 0..MAX_CONFLICTS {
            let answer = self
                .client
                .put_item()
                .table_name(&self.tables.messages)
                .set_item(Some(item.clone()))
                .condition_expression("attribute_not_exists(#q)")
                .expression_attribute_names("#q", messages::SEQ)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .customize()
                .interceptor(attempts.clone())
                .send()
                .await;
            let error = match answer {
                Ok(answer) => {
                    units::written(APPEND, answer.consumed_capacity());
                    return Ok(());
                }
                Err(error) => error,
            };
            if let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
                units::refused(APPEND, size);
                // Ours: a retry has met our first attempt, whose answer was lost.
                let ours = messages::is_ours(failed.item(), chunk);
                return if ours { Ok(()) } else { Err(AppendError::HeadMoved) };
            }
            if !is_conflict(&error) {
                let unknown = attempts.outcome_unknown(&error);
                let error = store_error(APPEND, error);
                return Err(if unknown { AppendError::Unknown } else { error.into() });
            }
            pause(attempt).await;
        }
        Err(if attempts.unclear() { AppendError::Unknown } else { StoreError::Overloaded.into() })
    }

    /// Writes a chunk and everything that belongs to it in one transaction. Senders' read
    /// marks are left out, as for messages alone.
    async fn put_all(&self, room: &RoomId, append: &Append) -> Result<(), AppendError> {
        let mut transaction = Transaction::new(append.chunk.nonce());
        transaction.create(
            &self.tables.messages,
            messages::chunk_item(room, &append.chunk),
            messages::SEQ,
        )?;
        self.add_members(&mut transaction, room, append)?;
        for (seq, overlay) in &append.overlays {
            let item = messages::overlay_item(room, *seq, overlay);
            transaction.replace(&self.tables.messages, item, messages::CHANGED, append.expected.seq())?;
        }
        if let Some(change) = &append.invitations {
            let stored = self.stored_invitations(room, change.issued, change.requests).await?;
            self.add_invitations(&mut transaction, room, change, stored)?;
        }
        if let Some(change) = &append.listing {
            self.add_listing(&mut transaction, change)?;
        }
        if let Some(info) = &append.info {
            let key = rooms::room_key(room);
            transaction.change(&self.tables.rooms, key, rooms::ROOM, &rooms::changed(info))?;
        }
        match self.commit(APPEND, &transaction).await? {
            Outcome::Done => Ok(()),
            Outcome::Refused { first, .. } if messages::is_ours(first.as_ref(), &append.chunk) => Ok(()),
            Outcome::Refused { first: Some(_), .. } => Err(AppendError::HeadMoved),
            // The fence held, but the data next to the log is ahead of it, or missing.
            Outcome::Refused { first: None, what } => {
                let reason = format!("room {room} at {}: {what} do not fit the log", append.expected.seq());
                Err(StoreError::Damaged(reason).into())
            }
            Outcome::Unknown(_) => Err(AppendError::Unknown),
        }
    }

    fn add_members(
        &self,
        transaction: &mut Transaction,
        room: &RoomId,
        append: &Append,
    ) -> Result<(), StoreError> {
        for member in &append.members {
            let joined = append.joins.iter().rev().find(|(user, _)| *user == member.user);
            transaction.set(
                &self.tables.rooms,
                rooms::member_key(room, &member.user),
                [members::attributes(member), members::data_attributes(member)].concat(),
            )?;
            transaction.member_of(&self.tables.user_rooms, room, member, joined.map(|(_, mark)| *mark))?;
        }
        Ok(())
    }
}
