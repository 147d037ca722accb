//! `StreamEvents`: all events of all rooms, for the app's other services.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use parlance_core::Caller;
use parlance_identity::Live;
use parlance_proto::events::v1::{EventContent, StreamEventsRequest, StreamEventsResponse, StreamStart};
use parlance_store::feed::ChangeFeed;
use parlance_stream::event::Content;
use parlance_stream::log::StoreLog;
use parlance_stream::tail::{Batch, Cursor, From as Begin, Tail, TailError};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::event_streams::Place;
use crate::gate::Admitted;
use crate::limits::EVENTS_HEARTBEAT;
use crate::{Api, Error};

/// The response stream of a call.
pub(crate) type Events = BoxStream<'static, Result<StreamEventsResponse, Status>>;

impl Api {
    /// Opens a stream of events.
    pub(crate) async fn stream_events(
        &self,
        caller: &Admitted,
        request: StreamEventsRequest,
        feed: Option<Arc<dyn ChangeFeed>>,
    ) -> Result<Events, Error> {
        if !caller.is_service && !self.auth().is_local() {
            return Err(Error::NeedsScope);
        }
        let from = match StreamStart::try_from(request.start) {
            Ok(StreamStart::Unspecified) => Begin::Now,
            Ok(StreamStart::Beginning) => Begin::Beginning,
            Err(_) => return Err(unknown("start")),
        };
        // The default is the widest: a value of a later version may mean less.
        let content = match EventContent::try_from(request.content) {
            Ok(EventContent::Unspecified) => Content::Full,
            Ok(EventContent::Ids) => Content::Ids,
            Err(_) => return Err(unknown("content")),
        };
        let cursor = match request.cursor.as_str() {
            "" => None,
            text => {
                let cursor = text.parse::<Cursor>();
                Some(cursor.map_err(|error| Error::Field("cursor".to_owned(), error.to_string()))?)
            }
        };
        let feed = feed.ok_or(Error::NoEvents)?;
        let place = self.event_streams.open(&caller.user)?;
        let log = Arc::new(StoreLog(self.parts.store.clone()));
        let tail = Tail::open(feed, log, cursor, from, content).await?;
        let caller: &Caller = caller;
        let ends = Ends {
            at: Instant::now() + caller.remaining(self.clock().now()),
            draining: self.departure.token(),
            live: self.gate.begin(caller),
            _place: place,
        };
        Ok(stream::unfold(Some((tail, ends)), |open| async move {
            let (mut tail, mut ends) = open?;
            match ends.next(&mut tail).await {
                Ok(batch) => Some((Ok(response(batch)), Some((tail, ends)))),
                Err(error) => Some((Err(error.into()), None)),
            }
        })
        .boxed())
    }
}

fn unknown(field: &str) -> Error {
    Error::Field(field.to_owned(), "is unknown to this server".to_owned())
}

/// Conditions that end a stream.
struct Ends {
    /// When the token expires.
    at: Instant,
    draining: CancellationToken,
    /// Whether the token was revoked.
    live: Live,
    _place: Place,
}

impl Ends {
    async fn next(&mut self, tail: &mut Tail) -> Result<Batch, Error> {
        tokio::select! {
            biased;
            () = self.draining.cancelled() => Err(Error::Draining),
            () = sleep_until(self.at) => Err(Error::TokenExpired),
            () = self.live.revoked() => Err(Error::TokenRevoked),
            batch = tail.next(EVENTS_HEARTBEAT) => Ok(batch?),
        }
    }
}

impl From<TailError> for Error {
    fn from(error: TailError) -> Self {
        match error {
            TailError::Expired => Self::CursorExpired,
            TailError::Store(error) => Self::Store(error),
        }
    }
}

fn response(batch: Batch) -> StreamEventsResponse {
    StreamEventsResponse { events: batch.events, cursor: batch.cursor.to_string(), resync: batch.resync }
}
