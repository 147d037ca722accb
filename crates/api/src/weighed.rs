//! Frames of a session, which count against their user's rate by their size, too.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use parlance_core::{Caller, UserId};
use parlance_peers::Charged;
use parlance_proto::v1::ClientFrame;
use parlance_sessions::Inbound;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use crate::Api;
use crate::gate::is_weighed;

/// A frame, and the bytes in which it was received.
pub type Received = (Charged<ClientFrame>, usize);

/// Frames of a user. After large ones no more are read until the user is within their rate again.
struct Weighed {
    inbound: BoxStream<'static, Result<Received, Status>>,
    api: Arc<Api>,
    user: UserId,
    /// The bytes of the last frame. They count once it has been carried out, so that no frame is refused for its size.
    bytes: usize,
    /// Boxed: most sessions never wait.
    paused: Option<Pin<Box<Sleep>>>,
}

/// The frames of `caller`, without their sizes.
pub(crate) fn weighed(
    api: &Arc<Api>,
    caller: &Caller,
    inbound: impl Stream<Item = Result<Received, Status>> + Send + 'static,
) -> Inbound {
    if !is_weighed(caller) {
        return inbound.map(|received| Ok(received?.0)).boxed();
    }
    let (api, user) = (api.clone(), caller.subject().clone());
    Weighed { inbound: inbound.boxed(), api, user, bytes: 0, paused: None }.boxed()
}

impl Weighed {
    /// Counts the last frame. Returns how long no more may be read.
    fn weigh(&mut self) -> Duration {
        self.api.gate.weigh_frame(&self.user, std::mem::take(&mut self.bytes))
    }
}

impl Stream for Weighed {
    type Item = Result<Charged<ClientFrame>, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let wait = self.weigh();
        if !wait.is_zero() {
            self.paused = Some(Box::pin(sleep(wait)));
        }
        if let Some(paused) = &mut self.paused {
            ready!(paused.as_mut().poll(cx));
            self.paused = None;
        }
        let received = ready!(self.inbound.poll_next_unpin(cx));
        Poll::Ready(received.map(|received| {
            let (frame, bytes) = received?;
            self.bytes = bytes;
            Ok(frame)
        }))
    }
}

impl Drop for Weighed {
    fn drop(&mut self) {
        self.weigh();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use futures::stream;
    use parlance_proto::server::user_service_server::UserService;
    use parlance_proto::v1;
    use tokio::time::Instant;
    use tonic::Request;

    use super::*;
    use crate::services::{Identified, Services};
    use crate::testing::{TestNode, user_caller};
    use crate::{Error, Parts, PeopleLimits};

    /// Ten operations a second, and twenty at once.
    async fn node() -> TestNode {
        let limits = PeopleLimits { operations: NonZeroU32::new(10), ..PeopleLimits::NONE };
        TestNode::with_group_from(|parts| Parts { limits, ..parts }).await.0
    }

    fn frames(bytes: usize, count: usize) -> impl Stream<Item = Result<Received, Status>> {
        stream::iter((0..count).map(move |_| Ok((ClientFrame::default().into(), bytes))))
    }

    /// After how many tenths of a second each frame is read.
    async fn read_after(inbound: &mut Inbound) -> Vec<u128> {
        let (begun, mut after) = (Instant::now(), Vec::new());
        while inbound.next().await.is_some() {
            after.push(begun.elapsed().as_millis().div_ceil(100));
        }
        after
    }

    #[tokio::test(start_paused = true)]
    async fn large_frames_are_read_as_slowly_as_many_small_ones() {
        let node = node().await;
        let alice = user_caller("alice");
        // Each counts as seven more.
        let mut large = weighed(&node.api, &alice, frames(64 * 1024, 6));
        assert_eq!(read_after(&mut large).await, [0, 0, 0, 2, 9, 16]);
        // Nobody escapes by closing the session.
        let mut closed = weighed(&node.api, &alice, frames(64 * 1024, 1));
        assert!(closed.next().await.is_some());
        drop(closed);
        assert!(matches!(node.api.gate.check_rate(&alice), Err(Error::RateLimited(_))));
        let mut of_another = weighed(&node.api, &user_caller("bob"), frames(8 * 1024, 100));
        assert_eq!(
            read_after(&mut of_another).await,
            [0; 100],
            "what is not larger counts by its number alone"
        );
        let app = Caller { is_service: true, ..alice };
        assert_eq!(read_after(&mut weighed(&node.api, &app, frames(64 * 1024, 100))).await, [0; 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_large_calls_no_further_bodies_are_read() {
        let node = node().await;
        let (services, alice) = (Services::new(node.api.clone()), user_caller("alice"));
        let call = |bytes: &'static str| {
            let mut request = Request::new(v1::GetUserRequest { user_id: "me".to_owned() });
            request.extensions_mut().insert(Identified(alice.clone()));
            request.metadata_mut().insert("parlance-body-bytes", bytes.parse().unwrap());
            services.get_user(request)
        };
        call("131072").await.unwrap();
        assert_eq!(node.api.gate.check_call(&alice), Ok(()));
        call("131072").await.unwrap();
        assert!(matches!(node.api.gate.check_call(&alice), Err(Error::RateLimited(_))));
        call("99999999999999999999").await.unwrap();
        call("-1").await.unwrap();
    }
}
