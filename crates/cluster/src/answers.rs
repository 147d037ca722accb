//! Who has answered in direct rooms that others have begun, as far as this node has looked.

use parlance_core::{RoomId, UserId};
use parlance_runtime::map::Map;

use crate::limits::KNOWN_ANSWERS;

/// Direct rooms, and users who have answered there. That does not change any more.
#[derive(Default)]
pub(crate) struct Answers(pub(crate) Map<(RoomId, UserId), ()>);

impl Answers {
    /// Evicts a part of an oversized cache.
    pub(crate) fn trim(&self) {
        self.0.evict(KNOWN_ANSWERS);
    }
}
