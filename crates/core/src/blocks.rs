use std::collections::BTreeMap;

use crate::limits::MAX_BLOCKS;
use crate::{Timestamp, UserId};

/// Whom one user blocks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocks(BTreeMap<UserId, Timestamp>);

/// The user blocks as many as they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("blocks {MAX_BLOCKS} users already")]
pub struct TooManyBlocks;

impl Blocks {
    /// Whether `user` is blocked.
    pub fn contains(&self, user: &UserId) -> bool {
        self.0.contains_key(user)
    }

    /// Since when `user` is blocked.
    pub fn since(&self, user: &UserId) -> Option<Timestamp> {
        self.0.get(user).copied()
    }

    /// Whether nobody is blocked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those who are blocked, by ascending id, and since when.
    pub fn iter(&self) -> impl Iterator<Item = (&UserId, Timestamp)> {
        self.0.iter().map(|(user, since)| (user, *since))
    }

    /// Blocks `user` since `since`, or with `None` no longer. Returns whether that changes anything.
    ///
    /// # Errors
    /// If too many are blocked already; nothing changes then.
    pub fn set(&mut self, user: &UserId, since: Option<Timestamp>) -> Result<bool, TooManyBlocks> {
        match since {
            None => Ok(self.0.remove(user).is_some()),
            Some(_) if self.contains(user) => Ok(false),
            Some(_) if self.0.len() >= MAX_BLOCKS => Err(TooManyBlocks),
            Some(since) => Ok(self.0.insert(user.clone(), since).is_none()),
        }
    }
}

impl FromIterator<(UserId, Timestamp)> for Blocks {
    fn from_iter<I: IntoIterator<Item = (UserId, Timestamp)>>(blocks: I) -> Self {
        Self(blocks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    #[test]
    fn a_block_keeps_its_time_and_the_number_is_bounded() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.set(&user("bob"), Some(Timestamp(1))), Ok(true));
        assert_eq!(blocks.set(&user("bob"), Some(Timestamp(2))), Ok(false));
        assert_eq!(blocks.iter().collect::<Vec<_>>(), [(&user("bob"), Timestamp(1))]);
        assert_eq!(blocks.set(&user("cat"), None), Ok(false));
        for number in 1..MAX_BLOCKS {
            assert_eq!(blocks.set(&user(&format!("u{number}")), Some(Timestamp(1))), Ok(true));
        }
        assert_eq!(blocks.set(&user("cat"), Some(Timestamp(1))), Err(TooManyBlocks));
        assert_eq!(blocks.set(&user("bob"), Some(Timestamp(1))), Ok(false), "who is blocked already");
        assert_eq!(blocks.set(&user("bob"), None), Ok(true));
        assert_eq!(blocks.set(&user("cat"), Some(Timestamp(1))), Ok(true));
    }
}
