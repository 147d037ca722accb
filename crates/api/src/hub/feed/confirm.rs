use std::collections::BTreeSet;
use std::sync::Arc;

use parlance_core::{Member, UserId};
use parlance_store::Store;

use super::Feed;
use crate::Error;
use crate::hub::{Attach, Subscription};
use crate::map::HashMap;

impl Feed {
    /// Reads the rows of all users whose membership may have changed in a hole: a removal there
    /// was noted by nobody, and messages must not come in a form from after it.
    pub(super) async fn confirm_members(&self, store: &dyn Store) -> Result<(), Error> {
        let _turn = self.confirming.lock().await;
        let (head, users) = {
            let state = self.state();
            let Some(room) = state.room else { return Ok(()) };
            let listeners = state.listeners.values();
            let unconfirmed = listeners.filter(|one| one.is_unconfirmed(state.whole_from));
            let users: BTreeSet<UserId> = unconfirmed.map(|one| one.mailbox().user().clone()).collect();
            (room.head, users)
        };
        if users.is_empty() {
            return Ok(());
        }
        let asked: Vec<UserId> = users.iter().cloned().collect();
        let rows = store.members_by_id(&self.room, &asked).await?;
        let rows: HashMap<UserId, Member> = rows.into_iter().map(|row| (row.user.clone(), row)).collect();
        let state = self.state();
        let asked = |one: &&Arc<Subscription>| one.is_live() && users.contains(one.mailbox().user());
        for one in state.listeners.values().filter(asked) {
            if let Some(row) = rows.get(one.mailbox().user())
                && one.joined() < row.changed_at()
            {
                if row.is_active() {
                    let room = self.room.clone();
                    one.mailbox().attach(Attach { room, joined: row.changed_at() });
                } else {
                    one.set_removed_at(row.changed_at());
                }
            }
            one.confirm(head);
        }
        Ok(())
    }
}
