//! Reads whose cost shows only at their end.

use parlance_core::{Caller, UserId};

use crate::turns::Turn;
use crate::{Api, Error};

impl Api {
    /// The user's turn for a costly read, of which they have one at a time. The cost is known and charged only at its end:
    /// several at once would all be made before the first is charged. Refused while the user owes for earlier ones.
    pub(super) async fn costly_turn(&self, caller: &Caller) -> Result<Turn<UserId>, Error> {
        let turn = self.costly.take_for(caller.user.clone()).await;
        self.gate.check_debt(caller)?;
        Ok(turn)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use futures::FutureExt;

    use super::*;
    use crate::testing::{TestNode, caller};
    use crate::{Parts, PeopleLimits};

    #[tokio::test(start_paused = true)]
    async fn reads_that_arrive_together_are_charged_one_by_one() {
        let limits = PeopleLimits { operations: NonZeroU32::new(10), ..PeopleLimits::NONE };
        let (node, _) = TestNode::with_group_from(|parts| Parts { limits, ..parts }).await;
        let (api, alice, bob) = (&node.api, caller("alice"), caller("bob"));
        let first = api.costly_turn(&alice).await.unwrap();
        let mut second = Box::pin(api.costly_turn(&alice));
        let mut third = Box::pin(api.costly_turn(&alice));
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        drop(api.costly_turn(&bob).await.unwrap());
        api.gate.charge(&alice, 15);
        drop(first);
        drop(second.await.unwrap());
        api.gate.charge(&alice, 50);
        assert!(matches!(third.await, Err(Error::RateLimited(_))));
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        api.costly_turn(&alice).await.unwrap();
    }
}
