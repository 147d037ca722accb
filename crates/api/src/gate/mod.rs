//! The single entry point of every call and every stream, on each transport. A call's client address and caller are
//! identified, the caller acts as another user if the call names one, is rate limited, and must not be deactivated. The
//! call then runs in a span, within a deadline, is counted, and written to the audit log. A stream is identified and
//! audited here; its hello and its frames are rate limited.
//!
//! Operations take an [`Admitted`] caller, which only the gate creates, and a request with a row in [`calls`]: an
//! operation that bypasses the gate does not compile.

mod audit;
mod calls;
mod failed_tokens;
mod rate;
mod shared_rate;
mod stream;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use futures::future::Either;
use futures::{FutureExt, Stream, StreamExt};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use parlance_core::{Caller, Clock, UserId};
use parlance_delivery::{Deliveries, Delivery};
use parlance_identity::{Auth, Live, ME, Refused};
use parlance_peers::{Peer, settled_client};
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_registry::Rates;
use tokio::time::{Instant, timeout};
use tonic::Status;
use tracing::{Instrument, Span};

use self::audit::Audited;
pub(crate) use self::calls::Call;
use self::calls::Operation;
use self::failed_tokens::FailedTokens;
pub(crate) use self::rate::{Permits, RateLimit, count};
pub(crate) use self::shared_rate::SharedRate;
pub(crate) use self::stream::Refresh;
use crate::Error;
use crate::accounts::Accounts;
use crate::limits::{HELLOS_BURST, LONGEST_DEBT, OPERATION_TIMEOUT, OPERATIONS_BURST, PeopleLimits};
use crate::turns::begin_in;

pub(crate) struct Gate {
    auth: Arc<Auth>,
    accounts: Arc<Accounts>,
    operations: RateLimit<UserId>,
    /// Calls before their bodies are read, by the same rate: those that cannot be decoded come to no operation.
    calls: RateLimit<UserId>,
    hellos: SharedRate<UserId>,
    failed_tokens: FailedTokens,
    clock: Arc<dyn Clock>,
}

/// A caller whose call has passed the gate.
pub(crate) struct Admitted(Caller);

impl Deref for Admitted {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl From<Admitted> for Caller {
    fn from(admitted: Admitted) -> Self {
        admitted.0
    }
}

#[cfg(test)]
impl From<Caller> for Admitted {
    fn from(caller: Caller) -> Self {
        Self(caller)
    }
}

/// Request extension with the caller, once identified by the headers.
#[derive(Clone)]
pub struct Identified(pub(crate) Caller);

impl Identified {
    /// The user whose token it is.
    pub fn user(&self) -> &str {
        self.0.subject().as_str()
    }

    /// Whether it is a token of the app's backend.
    pub fn is_service(&self) -> bool {
        self.0.is_service
    }
}

/// Records that the connection `peer` is of `caller`. The app's backend has as many as it needs.
pub(crate) fn claim(caller: &Caller, peer: &Peer) -> Result<(), Error> {
    if caller.is_service {
        peer.identify();
        return Ok(());
    }
    peer.identify_as(caller.subject().as_str()).map_err(Error::TooManyConnections)
}

impl Gate {
    pub(crate) fn new(
        auth: Arc<Auth>,
        accounts: Arc<Accounts>,
        limits: &PeopleLimits,
        rates: Option<&Arc<dyn Rates>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let operations = RateLimit::new("operations", limits.operations, OPERATIONS_BURST);
        let calls = RateLimit::new("calls", limits.operations, OPERATIONS_BURST);
        let hellos = SharedRate::new("hellos", limits.hellos, HELLOS_BURST, rates);
        Self {
            auth,
            accounts,
            operations,
            calls,
            hellos,
            failed_tokens: FailedTokens::new(limits.failed_tokens, rates),
            clock,
        }
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Identifies the caller and their address from the headers of a request in which
    /// [`settle_client`](parlance_peers::settle_client) has resolved the client's address.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        // A header that is not text counts as an invalid token, not as a missing one.
        let mut named = headers.get_all(AUTHORIZATION).iter();
        let authorization = named.next().map(|value| value.to_str().unwrap_or(""));
        if named.next().is_some() {
            // A proxy may look at another one.
            return Err(Error::Field("authorization".to_owned(), "must be given once".to_owned()));
        }
        self.identify_by(authorization, settled_client(headers)).await
    }

    /// Identifies the caller at the address `client` by the value of an `authorization` header.
    async fn identify_by(
        &self,
        authorization: Option<&str>,
        client: Option<IpAddr>,
    ) -> Result<Caller, Error> {
        if authorization.is_some() {
            self.failed_tokens.check(client).map_err(Error::TooManyFailedTokens)?;
        }
        let identified = self.auth.identify(authorization, self.clock.now()).await;
        if let Err(Refused::Invalid(_)) = &identified {
            self.failed_tokens.failed(client).await;
        }
        Ok(Caller { client, ..identified? })
    }

    /// The caller of a request: `identified`, or else by its headers.
    pub(crate) async fn identified(
        &self,
        identified: Option<Identified>,
        headers: &HeaderMap,
    ) -> Result<Caller, Error> {
        match identified {
            Some(Identified(caller)) => Ok(caller),
            None => self.identify(headers).await,
        }
    }

    /// Tracks a long-running call, which ends when the caller's token is revoked.
    pub(crate) fn begin(&self, caller: &Caller) -> Live {
        self.auth.revocations().begin(caller)
    }

    /// Like [`Self::identify`], but in local mode the very first call may have no token yet.
    pub(crate) async fn identify_or_first(&self, headers: &HeaderMap) -> Result<Option<Caller>, Error> {
        match self.identify(headers).await {
            Err(Error::TokenMissing) if self.auth.is_local() => Ok(None),
            caller => caller.map(Some),
        }
    }

    /// `caller` as the user whom its call names, where it names one. A refused attempt counts against the caller's
    /// rate, and is audited whatever the operation.
    pub(crate) fn acting_as<Q: Call>(
        &self,
        caller: Caller,
        as_user: Result<&str, Error>,
    ) -> Result<Caller, Error> {
        let name = match as_user {
            Ok("") => return Ok(caller),
            Ok(name) => name,
            Err(refused) => return Err(self.refused::<Q>(&caller, "", refused)),
        };
        Self::named(caller.clone(), name).map_err(|refused| self.refused::<Q>(&caller, name, refused))
    }

    /// The answer to a call that is refused because of the user whom it names.
    pub(crate) fn refused<Q: Call>(&self, caller: &Caller, named: &str, refused: Error) -> Error {
        let operation = Q::operation();
        let refused = self.check_rate(caller).err().unwrap_or(refused);
        count_failure(operation, &refused);
        if !matches!(refused, Error::RateLimited(_)) {
            Audited::acting(operation, caller, named).log::<()>(&Err(refused.clone()));
        }
        refused
    }

    fn named(caller: Caller, as_user: &str) -> Result<Caller, Error> {
        if !caller.is_service {
            return Err(Error::NeedsScope);
        }
        let user = UserId::parse_new(as_user);
        let user = user.map_err(|error| Error::Field("as_user".to_owned(), error.to_string()))?;
        if user.as_str() == ME {
            return Err(Error::Field("as_user".to_owned(), "must not be `me`".to_owned()));
        }
        Ok(caller.acting_as(user))
    }

    pub(crate) fn check_rate(&self, caller: &Caller) -> Result<(), Error> {
        // Calls of the app itself are not charged to its users.
        self.operations.check(caller.subject()).map_err(Error::RateLimited)
    }

    /// The same for a call whose body is not read yet.
    pub(crate) fn check_call(&self, caller: &Caller) -> Result<(), Error> {
        self.calls.check(caller.subject()).map_err(Error::RateLimited)
    }

    /// Counts `more` operations against the caller's rate, for a call whose cost shows only at its end. A user owes what the
    /// rate does not allow now; the app's backend, which reads for many users, does not.
    pub(crate) fn charge(&self, caller: &Caller, more: usize) {
        let longest = if is_weighed(caller) { LONGEST_DEBT } else { Duration::ZERO };
        self.operations.owe(caller.subject(), more, longest);
    }

    /// Refuses a caller who owes for other calls that have ended since this one was admitted.
    pub(crate) fn check_debt(&self, caller: &Caller) -> Result<(), Error> {
        self.operations.check_debt(caller.subject()).map_err(Error::RateLimited)
    }

    /// Counts the size of a frame of a user, once it was carried out. Returns how long no more may be read.
    pub(crate) fn weigh_frame(&self, user: &UserId, bytes: usize) -> Duration {
        self.operations.weigh(user, bytes)
    }

    /// Counts the size of a call, whose body was read: the next ones are refused before theirs are.
    pub(crate) fn weigh_call(&self, caller: &Caller, bytes: usize) {
        if is_weighed(caller) {
            self.calls.weigh(caller.subject(), bytes);
        }
    }

    /// Like [`Self::check_rate`] for opening a session, which costs more than other operations.
    pub(crate) async fn check_hello(&self, caller: &Caller) -> Result<(), Error> {
        self.check_rate(caller)?;
        self.hellos.check(caller.subject()).await.map_err(Error::RateLimited)
    }

    /// Drops the limiters of users and addresses that have not called for a while.
    pub(crate) fn trim(&self) {
        self.operations.trim();
        self.calls.trim();
        self.hellos.trim();
        self.failed_tokens.trim();
    }

    /// Runs `carry_out` on `request` for `caller`.
    pub(crate) async fn pass<Q: Call, T, F: Future<Output = Result<T, Error>>>(
        &self,
        caller: Caller,
        request: Q,
        carry_out: impl FnOnce(Admitted, Q) -> F,
    ) -> Result<T, Error> {
        let operation = Q::operation();
        if let Err(refused) = self.check_rate(&caller) {
            count_failure(operation, &refused);
            return Err(refused);
        }
        let audited = Audited::of(&caller, &request);
        let span = span_of(operation, &caller);
        let call = self.accounts.begin(&caller);
        let carried_out = match self.accounts.turn(&caller) {
            None => Either::Left(carry_out(Admitted(caller), request)),
            Some(turn) => Either::Right(Box::pin(async move {
                let turn = turn.await?;
                begin_in(turn, Box::pin(carry_out(Admitted(caller), request))).await
            })),
        };
        let result = measured(operation, carried_out.instrument(span)).await;
        // What a call that took too long has begun may go on.
        if !matches!(result, Err(Error::Timeout)) {
            call.ended();
        }
        if let Some(audited) = audited {
            audited.log(&result);
        }
        result
    }

    /// Opens the stream that `request` asks for, with its number. It ends when the caller's token is revoked.
    ///
    /// Its hello counts against the rate, because that is the expensive part; each of its frames is a call of its own.
    pub(crate) fn open<Q: Call, S: Stream<Item = Result<Delivery, Status>> + Send + 'static>(
        &self,
        caller: Caller,
        request: Q,
        refresh: Refresh,
        open: impl FnOnce(Admitted, Q, u64) -> S,
    ) -> Deliveries {
        let operation = Q::operation();
        let (live, span) = (self.begin(&caller), span_of(operation, &caller));
        if let Some(audited) = Audited::of(&caller, &request) {
            audited.log::<()>(&Ok(()));
        }
        operation.meters().succeeded.increment(1);
        let number = live.number();
        stream::revocable(open(Admitted(caller), request, number), live, span, refresh).boxed()
    }

    /// The caller of the stream `number` of `caller`, by the token that they were sent: from now on the stream ends
    /// when that one is revoked.
    pub(crate) async fn refresh(
        &self,
        caller: &Caller,
        number: u64,
        refresh: v1::Refresh,
    ) -> Result<Caller, Error> {
        let identify = |caller: Admitted, refresh: v1::Refresh| async move {
            let bearer = format!("Bearer {}", refresh.token);
            let fresh = self.identify_by(Some(&bearer), caller.client).await?;
            if fresh.user != caller.user {
                return Err(Error::Field("refresh.token".to_owned(), "is another user's".to_owned()));
            }
            // The new token may have less authority: an app's backend may act whatever its user's state is.
            self.accounts.check(&fresh).await?;
            if !self.auth.revocations().renew(number, &fresh) {
                return Err(Error::TokenRevoked);
            }
            Ok(fresh)
        };
        self.pass(caller.clone(), refresh, identify).await
    }

    /// Like [`Self::pass`], for a call that may have no caller yet: see [`Self::identify_or_first`].
    pub(crate) async fn pass_first<Q: Call, T, F: Future<Output = Result<T, Error>>>(
        &self,
        caller: Option<Caller>,
        request: Q,
        carry_out: impl FnOnce(Option<Admitted>, Q) -> F,
    ) -> Result<T, Error> {
        match caller {
            Some(caller) => {
                self.pass(caller, request, |caller, request| carry_out(Some(caller), request)).await
            }
            None => measured(Q::operation(), carry_out(None, request)).await,
        }
    }
}

/// Whether what the caller sends counts by its size. That of the app's own backend does not: it imports whole histories.
pub(crate) fn is_weighed(caller: &Caller) -> bool {
    !caller.is_service && caller.service.is_none()
}

fn span_of(operation: &Operation, caller: &Caller) -> Span {
    tracing::debug_span!(
        "call",
        operation = operation.name,
        user = %caller.user,
        client = caller.client.map(tracing::field::display),
    )
}

/// Runs `carrying_out` with a deadline and counts the result. Not an `async fn`, whose future would hold
/// `carrying_out` twice.
fn measured<T>(
    operation: &'static Operation,
    carrying_out: impl Future<Output = Result<T, Error>>,
) -> impl Future<Output = Result<T, Error>> {
    let begun = Instant::now();
    timeout(OPERATION_TIMEOUT, carrying_out).map(move |ended| {
        let result = ended.unwrap_or(Err(Error::Timeout));
        operation.meters().seconds.record(begun.elapsed());
        match &result {
            Ok(_) => operation.meters().succeeded.increment(1),
            Err(error) => count_failure(operation, error),
        }
        result
    })
}

fn count_failure(operation: &Operation, error: &Error) {
    let reason = Failure::from(error.clone()).reason;
    metrics::counter!("parlance_calls_total", "operation" => operation.name, "code" => reason).increment(1);
}
