//! The driver's network operations.

use std::collections::VecDeque;
use std::future::pending;

use futures::future::BoxFuture;
use parlance_proto::v1::ClientFrame;
use tokio::time::{Instant, sleep_until};

use crate::ClientError;
use crate::transport::{Connection, Receiver, Sender};

/// What the driver does for the core on the network.
#[derive(Default)]
pub(super) struct Link {
    pub(super) token: Option<BoxFuture<'static, Result<String, String>>>,
    pub(super) connecting: Option<BoxFuture<'static, Result<Connection, ClientError>>>,
    /// The number of the connection.
    pub(super) number: u64,
    pub(super) sender: Option<Sender>,
    pub(super) receiver: Option<Receiver>,
    /// At most the calls in flight, hello and a probe.
    pub(super) unsent: VecDeque<ClientFrame>,
}

/// Waits until then; forever if `None`.
pub(super) async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => pending().await,
    }
}

/// Waits for the operation in progress, if there is one, and removes it when it is
/// done.
pub(super) async fn ready<T>(under_way: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(future) = under_way else { return pending().await };
    let result = future.await;
    *under_way = None;
    result
}

/// Sends the next frame once there is room; returns whether it was sent.
pub(super) async fn send(sender: &Option<Sender>, unsent: &mut VecDeque<ClientFrame>) -> bool {
    let Some(sender) = sender else { return pending().await };
    let Some(permit) = sender.reserve().await else { return false };
    if let Some(frame) = unsent.pop_front() {
        permit.send(frame);
    }
    true
}

pub(super) async fn receive(
    receiver: &mut Option<Receiver>,
) -> Result<Option<parlance_proto::v1::ServerFrame>, ClientError> {
    match receiver {
        Some(receiver) => receiver.recv().await,
        None => pending().await,
    }
}
