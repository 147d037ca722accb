use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use fred::error::{Error, ErrorKind};
use parlance_core::Backoff;
use parlance_runtime::random;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::Shared;
use super::cause::{Cause, Failure};
use super::inbox::Inbox;
use super::link::{Lifeline, Link, Task};
use super::options::ConnectError;
use super::registrations::{refresh, write_all, write_continuously};
use crate::redis::limits::{HELD_LONG, LINK_BACKOFF};
use crate::{Health, Notice};

/// A link with everything in place.
struct Recovered {
    link: Arc<Link>,
    lifeline: Lifeline,
    heard: watch::Receiver<u64>,
    _inbox: Task,
}

impl Shared {
    /// Keeps this node registered in Redis, until it is closed.
    pub(super) async fn keep(self: Arc<Self>, first_try: oneshot::Sender<Result<(), ConnectError>>) {
        let mut first_try = Some(first_try);
        let mut ever_held = false;
        let mut tries = Tries::default();
        // Leases of nodes that crashed have ended by then.
        let refused_from = Instant::now() + self.options.lease + self.options.heartbeat;
        while !self.closing.is_cancelled() {
            match Box::pin(self.recover(&mut ever_held)).await {
                Ok(recovered) => {
                    self.connect(&recovered.link);
                    // A node that was not registered before has missed nothing.
                    match first_try.take() {
                        Some(tried) => drop(tried.send(Ok(()))),
                        None => self.notices.missed(),
                    }
                    if self.swept.swap(false, Ordering::SeqCst) {
                        self.notices.send(Notice::Swept);
                    }
                    let since = Instant::now();
                    let cause = Box::pin(self.serve(recovered)).await;
                    self.disconnect();
                    let Some(cause) = cause else { return };
                    cause.count();
                    tracing::warn!(cause = cause.as_str(), "lost redis, reconnecting");
                    tries.lost_after(since.elapsed());
                }
                Err(failure) => {
                    // Some changes may have been confirmed before it failed.
                    self.disconnect();
                    match (failure, first_try.take()) {
                        (Failure::Refused(error), Some(tried)) if Instant::now() >= refused_from => {
                            return drop(tried.send(Err(error)));
                        }
                        (Failure::Refused(error), Some(tried)) => {
                            tracing::info!(%error, "waiting for the leases of other nodes to end");
                            first_try = Some(tried);
                        }
                        (failure, tried) => {
                            failure.log(tries.failed);
                            drop(tried.map(|tried| tried.send(Ok(()))));
                        }
                    }
                }
            }
            tokio::select! {
                () = self.closing.cancelled() => {}
                () = tokio::time::sleep(tries.next_delay(self.options.heartbeat)) => {}
            }
        }
    }

    async fn recover(self: &Arc<Self>, ever_held: &mut bool) -> Result<Recovered, Failure> {
        let (link, mut lifeline) = Link::open(&self.servers, &self.options).await?;
        let wiped = tokio::select! {
            biased;
            () = self.closing.cancelled() => return Err(Error::new_canceled().into()),
            cause = lifeline.broken() => return Err(Failure::Lost(cause)),
            claimed = self.claim_prefix(&link) => claimed?,
        };
        let (inbox, heard) = Inbox::new(Arc::clone(self));
        let inbox = Task(tokio::spawn(inbox.sort(link.messages())));
        tokio::select! {
            biased;
            () = self.closing.cancelled() => return Err(Error::new_canceled().into()),
            cause = lifeline.broken() => return Err(Failure::Lost(cause)),
            done = self.put_in_place(&link, heard.clone(), ever_held, wiped) => done?,
        }
        Ok(Recovered { link: Arc::new(link), lifeline, heard, _inbox: inbox })
    }

    /// Subscribes this node, registers it, and waits for its own heartbeat, in that order: any node that finds it can
    /// reach it.
    async fn put_in_place(
        &self,
        link: &Link,
        mut heard: watch::Receiver<u64>,
        ever_held: &mut bool,
        wiped: bool,
    ) -> Result<(), Failure> {
        let channels = vec![self.keys.node_channel(&self.node), self.keys.beats_channel()];
        link.listen(channels, Vec::new()).await?;
        // A node that cannot publish lets its lease end, so that others read the store for its writes.
        self.send_beat(link).await?;
        // Even if this fails Redis may have executed it.
        self.take_lease(link, std::mem::replace(ever_held, true), wiped).await?;
        let beat = self.send_beat(link).await?;
        let hear = tokio::time::timeout(self.options.unheard, heard.wait_for(|heard| *heard >= beat));
        if !matches!(hear.await, Ok(Ok(_))) {
            return Err(Error::new(ErrorKind::Timeout, "what is published does not arrive").into());
        }
        loop {
            // There may be a million of them; the lease has to last.
            let mut renewals = tokio::time::interval(self.options.heartbeat);
            let renewing = async {
                loop {
                    renewals.tick().await;
                    if !self.renew(link).await? {
                        return Err::<(), _>(Error::new(ErrorKind::Unknown, "the lease is lost already"));
                    }
                }
            };
            let telling = async {
                write_all(&self.rooms, |batch| self.write_rooms(link, batch)).await?;
                write_all(&self.users, |batch| self.write_users(link, batch)).await
            };
            tokio::select! {
                lost = renewing => lost?,
                told = telling => told?,
            }
            // From here on, opening a session or following a room waits for confirmation.
            if self.rooms.connect() {
                if self.users.connect() {
                    return Ok(());
                }
                self.rooms.disconnect();
            }
        }
    }

    fn connect(&self, link: &Arc<Link>) {
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(link));
        self.set_health(Health::Connected);
    }

    /// Serves a link until it is lost. Returns no cause if this node is closed.
    async fn serve(&self, mut recovered: Recovered) -> Option<Cause> {
        let link = &recovered.link;
        let pause = self.options.command_timeout;
        let missed = || self.missed.store(true, Ordering::SeqCst);
        tokio::select! {
            biased;
            () = self.closing.cancelled() => {}
            cause = recovered.lifeline.broken() => return Some(cause),
            cause = self.beat(link, recovered.heard) => return Some(cause),
            never = write_continuously(&self.users, |batch| self.write_users(link, batch), pause, missed) => match never {},
            never = write_continuously(&self.rooms, |batch| self.write_rooms(link, batch), pause, missed) => match never {},
            never = refresh(&self.users, self.options.refresh) => match never {},
            never = refresh(&self.rooms, self.options.refresh) => match never {},
            never = self.sweep(link) => match never {},
            never = self.watch_eviction(link) => match never {},
        }
        self.users.clear();
        let leaving = async {
            write_all(&self.users, |batch| self.write_users(link, batch)).await?;
            // Announces what was published since the last one and may be lost.
            self.send_beat(link).await?;
            self.leave(link).await
        };
        // Otherwise others clean up once the lease has ended.
        match tokio::time::timeout(self.options.lease, leaving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not deregister from redis"),
            Err(_) => tracing::warn!("deregistering from redis timed out"),
        }
        None
    }
}

/// Consecutive attempts to get a link, and the delay before the next one.
#[derive(Debug, Default)]
struct Tries {
    failed: u32,
}

impl Tries {
    /// A link was lost after lasting for `time`.
    fn lost_after(&mut self, time: Duration) {
        if time > HELD_LONG {
            self.failed = 0;
        }
    }

    /// At most `longest`: after a heartbeat a newcomer may take the prefix.
    fn next_delay(&mut self, longest: Duration) -> Duration {
        self.failed += 1;
        let longest = LINK_BACKOFF.longest.min(longest);
        Backoff { longest, ..LINK_BACKOFF }.jittered(self.failed, random::bits())
    }
}
