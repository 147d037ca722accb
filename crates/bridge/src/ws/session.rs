use futures::stream::BoxStream;
use parlance_delivery::Delivery;
use parlance_proto::v1::ClientFrame;
use tokio::sync::mpsc;
use tonic::Status;

/// The backend's deliveries.
pub(super) type Session = BoxStream<'static, Result<Delivery, Status>>;

/// Frames for the backend. Boxed, since a channel reserves 32 slots at once, and a
/// frame takes 300 bytes.
pub(super) type InboundSender = mpsc::Sender<Box<ClientFrame>>;
