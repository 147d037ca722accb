use futures::stream::BoxStream;
use parlance_delivery::Delivery;
use tokio::sync::mpsc;
use tonic::Status;

use crate::backend::Received;

/// The backend's deliveries.
pub(super) type Session = BoxStream<'static, Result<Delivery, Status>>;

/// Frames for the backend.
pub(super) type InboundSender = mpsc::Sender<Received>;
