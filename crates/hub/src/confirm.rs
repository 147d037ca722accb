use std::collections::BTreeSet;
use std::sync::Arc;

use parlance_core::{Member, UserId};
use parlance_runtime::map::HashMap;
use parlance_store::{Store, StoreError};
use tokio::sync::Mutex;

use crate::mailbox::Attach;
use crate::subscription::{Listeners, Subscription};
use crate::tail::Tail;

/// After a hole, confirms who is still a member: one session at a time reads the members' rows, on behalf of all.
#[derive(Default)]
pub(crate) struct Confirming(Mutex<()>);

impl Confirming {
    /// Reads the rows of all users whose membership may have changed in a hole: a removal there was not recorded, and
    /// messages must not be delivered in a form from after it.
    pub(crate) async fn confirm(&self, store: &dyn Store, tail: &Tail<Listeners>) -> Result<(), StoreError> {
        let _turn = self.0.lock().await;
        let (head, users) = {
            let state = tail.state();
            let Some(room) = state.ring.room else { return Ok(()) };
            let listeners = state.listeners.values();
            let unconfirmed = listeners.filter(|one| one.is_unconfirmed(state.ring.whole_from));
            let users: BTreeSet<UserId> = unconfirmed.map(|one| one.mailbox().user().clone()).collect();
            (room.head, users)
        };
        if users.is_empty() {
            return Ok(());
        }
        let asked: Vec<UserId> = users.iter().cloned().collect();
        let rows = store.members_by_id(tail.room(), &asked).await?;
        let rows: HashMap<UserId, Member> = rows.into_iter().map(|row| (row.user.clone(), row)).collect();
        let state = tail.state();
        let asked = |one: &&Arc<Subscription>| one.is_live() && users.contains(one.mailbox().user());
        for one in state.listeners.values().filter(asked) {
            if let Some(row) = rows.get(one.mailbox().user())
                && one.joined() < row.changed_at()
            {
                if row.is_active() {
                    let room = tail.room().clone();
                    one.mailbox().attach(Attach { room, joined: row.changed_at() });
                } else {
                    one.removed(row.changed_at());
                }
            }
            one.confirm(head);
        }
        Ok(())
    }
}
