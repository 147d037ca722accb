use std::io;
use std::net::TcpListener;

use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

/// A server on its own threads, unaffected by the test's runtime; a blocking request does not block the test. Stops
/// when dropped.
#[derive(Debug)]
pub(super) struct Worker(CancellationToken);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Worker {
    /// Runs `serve` on `listener` until the worker is dropped.
    pub(super) fn start<F: Future<Output = ()>>(
        name: &str,
        listener: TcpListener,
        serve: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build()?;
        let end = CancellationToken::new();
        let ended = end.clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                // Connections are cut off when the runtime stops.
                ended.run_until_cancelled(serve(listener)).await;
            });
            runtime.shutdown_background();
        })?;
        Ok(Self(end))
    }
}
