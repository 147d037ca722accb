use futures::stream::BoxStream;
use parlance_delivery::Delivery;
use parlance_proto::v1::ClientFrame;
use tokio::sync::mpsc;
use tonic::Status;

/// What the backend pushes.
pub(super) type Session = BoxStream<'static, Result<Delivery, Status>>;

/// To the backend. Boxed, since a channel reserves 32 places at once, and a frame is
/// 300 bytes.
pub(super) type InboundSender = mpsc::Sender<Box<ClientFrame>>;
