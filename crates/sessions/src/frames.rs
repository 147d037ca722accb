//! Handling of the frames of a client.
use std::future::poll_fn;
use std::task::Poll;

use parlance_delivery::SharedFrame;
use parlance_peers::Charged;
use parlance_proto::error::Failure;
use parlance_proto::v1;
use tokio::task::unconstrained;
use tokio::time::Instant;
use tonic::Status;
use v1::client_frame::Operation;
use v1::server_frame::Frame;

use crate::acks::Taken;
use crate::error::Error;
use crate::limits::{BAD_FRAMES, MAX_FRAME_ID};
use crate::session::{Session, Stage};

impl Session {
    pub(crate) async fn frame(&mut self, frame: Box<Charged<v1::ClientFrame>>) -> Result<(), Status> {
        let Charged { value: frame, charge } = *frame;
        let v1::ClientFrame { mut request_id, as_user, operation } = frame;
        if charge.as_ref().is_some_and(|charge| charge.budget().is_full()) && self.open.is_some() {
            self.refuse_for_now(request_id, Failure::too_much_held());
            return Ok(());
        }
        let opens = matches!(operation, Some(Operation::Hello(_))) && self.open.is_none();
        if opens && let Err(failure) = self.operations.check_hello(&self.caller).await {
            if self.subscribe_only {
                return Err(failure.into());
            }
            self.refuse_for_now(request_id, failure);
            return Ok(());
        }
        let operation = match operation {
            _ if request_id.len() > MAX_FRAME_ID => {
                request_id.clear();
                let message = format!("must be at most {MAX_FRAME_ID} bytes");
                Err(Error::Field("request_id".into(), message))
            }
            None => Err(Error::UnknownOperation),
            // Who holds the token opens the session and keeps it open.
            Some(Operation::Hello(_) | Operation::Refresh(_)) if !as_user.is_empty() => {
                let message = "hello and refresh are the caller's own; name the user in other frames";
                Err(Error::Field("as_user".into(), message.into()))
            }
            Some(Operation::Hello(_)) if self.open.is_some() => Err(Error::HelloRepeated),
            // Boxed like all rare steps (docs/memory.md): the state would reserve space for it.
            Some(Operation::Hello(hello)) => match Box::pin(self.hello(hello)).await {
                Ok(()) => return Ok(()),
                // A stream that only listens cannot try again.
                Err(error) if self.subscribe_only => return Err(self.refusal(error)),
                Err(error) => Err(error),
            },
            Some(_) if self.open.is_none() => Err(Error::HelloRequired),
            Some(_) if self.stage == Stage::Leaving => Err(Error::Draining),
            Some(Operation::Refresh(refresh)) => {
                let result = Box::pin(self.refresh(refresh)).await;
                if let Err(refused) = &result {
                    self.pause_for(refused);
                }
                self.out.push_back(reply(request_id, result).into());
                return Ok(());
            }
            Some(operation) => Ok(operation),
        };
        match operation {
            Ok(operation) => {
                let acks = self.open.as_mut().and_then(|open| open.acks.as_mut());
                let first = match (&operation, acks) {
                    (Operation::AcknowledgeDelivery(request), Some(acks)) if as_user.is_empty() => match acks
                        .take(request)
                    {
                        Taken::Waits(response) => {
                            let result = self.operations.check_rate(&self.caller);
                            if let Err(refused) = &result {
                                self.pause_for(refused);
                            }
                            let result = result.map(|()| v1::reply::Result::AcknowledgeDelivery(response));
                            self.out.push_back(reply(request_id, result).into());
                            return Ok(());
                        }
                        Taken::First(first) => first,
                    },
                    _ => None,
                };
                let (operations, answers) = (self.operations.clone(), self.answers());
                let execution = operations.execute(self.caller.clone(), as_user, operation, answers);
                let large = charge.map(|charge| (charge, self.large.clone()));
                let mut answer = Box::pin(async move {
                    let _large = large;
                    let (result, reserved) = match execution.await {
                        Ok((reply, reserved)) => (Ok(reply), reserved),
                        Err(failure) => (Err(failure), None),
                    };
                    match (first, &result) {
                        (Some(first), Ok(v1::reply::Result::AcknowledgeDelivery(stored))) => {
                            first.stored(stored.delivered_seq);
                        }
                        (Some(first), _) => first.failed(),
                        (None, _) => {}
                    }
                    let refused = result.as_ref().err().filter(|error| error.retry_after.is_some()).cloned();
                    ((reply(request_id, result), reserved), refused)
                });
                // Polled once here, so that the operations of one client are queued in order.
                match unconstrained(poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx)))).await {
                    Poll::Ready((answered, refused)) => {
                        if let Some(refused) = refused {
                            self.pause_for(&refused);
                        }
                        self.answered(answered);
                    }
                    Poll::Pending => drop(self.in_flight.spawn(async move { answer.await.0 })),
                }
            }
            Err(error) => {
                self.out.push_back(reply(request_id, Err(self.operations.failure(error))).into());
                if self.bad_frames.take(BAD_FRAMES, Instant::now()).is_err() {
                    return Err(self.refusal(Error::Abusive));
                }
            }
        }
        Ok(())
    }

    /// Refuses a frame before it is looked at, and reads no others until it may be sent again.
    fn refuse_for_now(&mut self, mut request_id: String, failure: Failure) {
        request_id.truncate(request_id.floor_char_boundary(MAX_FRAME_ID));
        self.pause_for(&failure);
        self.out.push_back(reply(request_id, Err(failure)).into());
    }
}

fn reply(request_id: String, result: Result<v1::reply::Result, Failure>) -> SharedFrame {
    let result = result.unwrap_or_else(|error| v1::reply::Result::Error(error.into()));
    Frame::Reply(v1::Reply { request_id, result: Some(result) }).into()
}
