//! The common setup of tests on a [`ControlledStore`](crate::ControlledStore).

use std::future::Future;
use std::time::Duration;

use parlance_core::{
    Creation, NewRoom, RequestId, RoomId, RoomKind, Settings, Timestamp, Title, Topic, UserId, Visibility,
};

/// Longer than any operation that a test waits for.
const DEADLINE: Duration = Duration::from_secs(20);

/// A user with this id.
///
/// # Panics
/// If it is not a valid id.
pub fn user(id: &str) -> UserId {
    UserId::parse(id).expect("an id")
}

/// A group of alice and bob; its id depends on `request`.
///
/// # Panics
/// If `request` is not a valid id.
pub fn group(request: &str) -> Creation {
    let settings = Settings {
        title: Title::default(),
        topic: Topic::default(),
        visibility: Visibility::SinceJoined,
        ..Settings::default()
    };
    let request = RequestId::parse(request).expect("an id");
    let (creator, others) = (user("alice"), [user("bob")]);
    let id = RoomId::created_unkeyed(&creator, &request);
    let new = NewRoom {
        id,
        creator: &creator,
        service: None,
        owner: None,
        request: &request,
        kind: RoomKind::Group,
        settings,
    };
    Creation::shared(new, &others, [1; 16], Timestamp(1))
}

/// Awaits `future`.
///
/// # Panics
/// If it takes longer than 20 s.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("within 20 s")
}
