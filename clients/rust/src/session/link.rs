//! What the driver does on the network, and waits for.

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
    /// The connection, by its number.
    pub(super) number: u64,
    pub(super) sender: Option<Sender>,
    pub(super) receiver: Option<Receiver>,
    /// At most what may be in flight, hello and a probe.
    pub(super) unsent: VecDeque<ClientFrame>,
}

/// Waits until then; for ever without a then.
pub(super) async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => pending().await,
    }
}

/// Waits for what is under way, if anything is, and takes it away then.
pub(super) async fn ready<T>(under_way: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(future) = under_way else { return pending().await };
    let result = future.await;
    *under_way = None;
    result
}

/// Passes the next frame on once there is a place for it; returns whether there was.
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
