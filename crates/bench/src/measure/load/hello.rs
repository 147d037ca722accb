use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;

/// Connections opened concurrently.
pub(super) const AT_ONCE: usize = 64;

/// The hello; with `from`, it names a cursor for everything up to there.
pub(in crate::measure) fn hello(from: Option<&v1::Cursor>) -> v1::ClientFrame {
    let cursors = from.into_iter().cloned().collect();
    let operation = Some(Operation::Hello(v1::Hello { cursors, ..Default::default() }));
    v1::ClientFrame { request_id: "hello".to_owned(), operation, as_user: String::new() }
}
