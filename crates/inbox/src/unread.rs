use parlance_core::{Head, Mark, RoomId, Unread};
use parlance_store::{Store, StoreError};

/// Messages of `room`, whose head is `head`, that come after `read` and are not deleted.
///
/// # Errors
/// Those of the store.
pub async fn unread(store: &dyn Store, room: &RoomId, head: Head, read: Mark) -> Result<u64, StoreError> {
    let unread = Unread::new(head, read);
    let deleted = match unread.deleted_in() {
        Some(range) => store.count_deleted(room, range).await?,
        None => 0,
    };
    Ok(unread.less_deleted(deleted))
}
