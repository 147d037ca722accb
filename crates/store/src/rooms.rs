//! Lists of rooms that decisions and deliveries depend on.
use futures::{Stream, StreamExt, TryStreamExt, stream};
use parlance_core::{RoomId, UserId};

use crate::{Store, StoreError, UserRoom};

/// The rooms in which `user` is a member, by id. Pages are read as rooms are taken; rows that cannot be read are left
/// out.
///
/// # Errors
/// Those of the store.
pub fn active<'a>(
    store: &'a dyn Store,
    user: &'a UserId,
    page_size: usize,
) -> impl Stream<Item = Result<UserRoom, StoreError>> + Send + 'a {
    active_after(store, user, None, page_size)
}

/// Like [`active`], those after `after`.
///
/// # Errors
/// Those of the store.
pub fn active_after<'a>(
    store: &'a dyn Store,
    user: &'a UserId,
    after: Option<RoomId>,
    page_size: usize,
) -> impl Stream<Item = Result<UserRoom, StoreError>> + Send + 'a {
    let pages = stream::try_unfold(Some(after), move |from| async move {
        let Some(after) = from else { return Ok::<_, StoreError>(None) };
        let page = store.rooms_of(user, after.as_ref(), page_size).await?;
        Ok(Some((stream::iter(page.rows).map(Ok), page.next.map(Some))))
    });
    pages.try_flatten().try_filter(|row| std::future::ready(row.member.is_active()))
}
