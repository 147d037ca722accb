//! Member lists that decisions and deliveries depend on.
use std::collections::{BTreeMap, BTreeSet};

use parlance_core::{Member, RoomId, UserId};

use crate::{Store, StoreError};

/// The active members of `room`, page by page.
///
/// # Errors
/// Those of the store.
pub async fn active(
    store: &dyn Store,
    room: &RoomId,
    page_size: usize,
) -> Result<BTreeMap<UserId, Member>, StoreError> {
    let (mut members, mut after) = (BTreeMap::new(), None);
    loop {
        let page = store.members(room, after.as_ref(), page_size).await?;
        let is_last = page.len() < page_size;
        after = page.last().map(|last| last.user.clone());
        extend(&mut members, page);
        if is_last {
            return Ok(members);
        }
    }
}

/// Reads the rows of `changed`, whose membership has changed recently, again: a list may contain their earlier rows
/// if it was read while the change was half visible.
///
/// # Errors
/// Those of the store.
pub async fn settle(
    store: &dyn Store,
    room: &RoomId,
    members: &mut BTreeMap<UserId, Member>,
    changed: &BTreeSet<UserId>,
) -> Result<(), StoreError> {
    if changed.is_empty() {
        return Ok(());
    }
    let users: Vec<UserId> = changed.iter().cloned().collect();
    let rows = store.members_by_id(room, &users).await?;
    members.retain(|user, _| !changed.contains(user));
    extend(members, rows);
    Ok(())
}

fn extend(members: &mut BTreeMap<UserId, Member>, rows: Vec<Member>) {
    members.extend(rows.into_iter().filter(Member::is_active).map(|row| (row.user.clone(), row)));
}
