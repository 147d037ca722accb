use std::pin::Pin;
use std::sync::Arc;

use parlance_core::RoomId;
use parlance_hub::{Hub, Listening, Mailbox, RoomState};
use parlance_store::StoreError;

use crate::cursor::Cursor;

/// A subscription, with the room's state.
pub(crate) type Subscribed = (Listening, RoomState);

/// A subscription that was begun. `None` if there is no such room.
pub(crate) type Subscribing = Pin<Box<dyn Future<Output = Result<Option<Subscribed>, StoreError>> + Send>>;

/// Subscribes to a room, and reads its state at least as far as the client knows it.
pub(crate) async fn subscribe(
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    room: RoomId,
    cursor: Option<Cursor>,
) -> Result<Option<Subscribed>, StoreError> {
    let Some((listening, mut state)) = hub.subscribe(&room, &mailbox).await? else { return Ok(None) };
    // The client knows more than has reached this node.
    if cursor.is_some_and(|cursor| cursor.seq > state.head) {
        hub.refresh(listening.feed()).await?;
        state = listening.feed().known().unwrap_or(state);
    }
    // Making a client discard its data requires a fresh read of the store.
    if cursor.is_some_and(|cursor| cursor.seq > state.head)
        && let Some(stored) = hub.stored_head(&room).await?
    {
        state.head = state.head.max(stored);
    }
    Ok(Some((listening, state)))
}
