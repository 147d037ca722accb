use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use axum::Router;
use h2::server::Builder;
use h2::{Error, Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::answer::answer;
use crate::first_bytes::Heard;
use crate::link::Link;

/// Of a peer that says nothing: when it is asked whether it is there, and how long it has to
/// answer.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// When it is asked, after it was last heard.
    pub after: Duration,
    /// How long it has to answer.
    pub timeout: Duration,
}

/// A connection whose ends have agreed on how they speak. Apart from serving it, so that
/// nothing of how it came about is held as long as it is there.
pub struct Connection<S> {
    link: Arc<Link<S>>,
    pings: Option<PingPong>,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Agrees with the peer on how to speak.
    ///
    /// # Errors
    /// What is wrong with what the peer says at first.
    pub async fn open(stream: S, builder: &Builder) -> Result<Self, Error> {
        let mut connection = builder.handshake(stream).await?;
        let pings = connection.ping_pong();
        Ok(Self { link: Link::new(connection), pings })
    }

    /// Serves it to its end.
    ///
    /// # Errors
    /// What broke it off.
    pub async fn serve(
        self,
        heard: Arc<Heard>,
        keep_alive: &KeepAlive,
        app: Router,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let Self { link, mut pings } = self;
        let mut shutdown = pin!(shutdown.cancelled_owned());
        let mut clock = pin!(sleep_until(Instant::now() + keep_alive.after));
        let (mut is_shut_down, mut is_asked) = (false, false);
        // Those of requests that are under way; what is left of them ends with the connection.
        let mut answers = JoinSet::new();
        let ended = loop {
            tokio::select! {
                biased;
                () = shutdown.as_mut(), if !is_shut_down => {
                    is_shut_down = true;
                    link.shut_down();
                }
                accepted = link.accept() => match accepted {
                    Some(Ok(accepted)) => {
                        answers.spawn(answer(accepted, app.clone(), link.count()));
                    }
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                },
                Some(ended) = answers.join_next(), if !answers.is_empty() => {
                    // Its stream is reset; the others go on.
                    if let Err(error) = ended {
                        tracing::error!(%error, "a request ended without an answer");
                    }
                }
                () = clock.as_mut() => {
                    let is_there = heard.take();
                    if is_asked && !is_there {
                        tracing::debug!("the peer does not answer a ping");
                        break Ok(());
                    }
                    is_asked = !is_there;
                    if let Some(pings) = pings.as_mut().filter(|_| is_asked)
                        && let Err(error) = ask(pings)
                    {
                        break Err(error);
                    }
                    let next = if is_asked { keep_alive.timeout } else { keep_alive.after };
                    clock.as_mut().reset(Instant::now() + next);
                }
            }
        };
        // Whatever is still under way ends with it.
        link.close();
        ended
    }
}

/// Sends a ping. That the peer is heard is answer enough.
fn ask(pings: &mut PingPong) -> Result<(), Error> {
    // The pong of the one before is taken, or none can follow it.
    let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
    pings.send_ping(Ping::opaque())
}
