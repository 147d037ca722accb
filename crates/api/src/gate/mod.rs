//! The single entry point. Every call and every stream, on each transport, passes through, in this order: client
//! address, identity, rate limits, deadline, audit log, span, metrics.
//!
//! Operations take an [`Admitted`] caller, which only the gate creates, and a request with a row in [`calls`]: an
//! operation that bypasses the gate does not compile.

mod audit;
mod calls;
mod failed_tokens;
mod rate;
mod stream;

use std::ops::Deref;
use std::sync::Arc;

use futures::{FutureExt, Stream, StreamExt};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use parlance_core::{Caller, Clock, UserId};
use parlance_delivery::{Deliveries, Delivery};
use parlance_identity::{Auth, Live, ME, Refused};
use parlance_peers::settled_client;
use parlance_proto::error::Failure;
use tokio::time::{Instant, timeout};
use tonic::Status;
use tracing::{Instrument, Span};

use self::audit::Audited;
pub(crate) use self::calls::Call;
use self::calls::Operation;
use self::failed_tokens::FailedTokens;
pub(crate) use self::rate::{RateLimit, count};
use crate::Error;
use crate::limits::{HELLOS_BURST, OPERATION_TIMEOUT, OPERATIONS_BURST, PeopleLimits};

pub(crate) struct Gate {
    auth: Arc<Auth>,
    operations: RateLimit<UserId>,
    hellos: RateLimit<UserId>,
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

impl Gate {
    pub(crate) fn new(auth: Arc<Auth>, limits: &PeopleLimits, clock: Arc<dyn Clock>) -> Self {
        let operations = RateLimit::new("operations", limits.operations, OPERATIONS_BURST);
        let hellos = RateLimit::new("hellos", limits.hellos, HELLOS_BURST);
        Self { auth, operations, hellos, failed_tokens: FailedTokens::new(limits.failed_tokens), clock }
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Identifies the caller and their address from the headers of a request in which
    /// [`settle_client`](parlance_peers::settle_client) has resolved the client's address.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        // A header that is not text counts as an invalid token, not as a missing one.
        let authorization = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap_or(""));
        let client = settled_client(headers);
        if authorization.is_some() {
            self.failed_tokens.check(client).map_err(Error::TooManyFailedTokens)?;
        }
        let identified = self.auth.identify(authorization, self.clock.now()).await;
        if let Err(Refused::Invalid(_)) = &identified {
            self.failed_tokens.failed(client);
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
            return Err(Error::Field("as_user".to_owned(), "is whoever calls".to_owned()));
        }
        Ok(caller.acting_as(user))
    }

    pub(crate) fn check_rate(&self, caller: &Caller) -> Result<(), Error> {
        // Calls of the app itself are not charged to its users.
        self.operations.check(caller.subject()).map_err(Error::RateLimited)
    }

    /// The same for opening a session, which costs more than other operations.
    pub(crate) fn check_hello(&self, caller: &Caller) -> Result<(), Error> {
        self.check_rate(caller)?;
        self.hellos.check(caller.subject()).map_err(Error::RateLimited)
    }

    /// Drops the limiters of users and addresses that have not called for a while.
    pub(crate) fn trim(&self) {
        self.operations.trim();
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
        let audited = Audited::of(operation, &caller);
        let span = span_of(operation, &caller);
        let result = measured(operation, carry_out(Admitted(caller), request).instrument(span)).await;
        if let Some(audited) = audited {
            audited.log(&result);
        }
        result
    }

    /// Opens the stream that `request` asks for. It ends when the caller's token is revoked.
    ///
    /// Its hello counts against the rate, because that is the expensive part; each of its frames is a call of its own.
    pub(crate) fn open<Q: Call, S: Stream<Item = Result<Delivery, Status>> + Send + 'static>(
        &self,
        caller: Caller,
        request: Q,
        open: impl FnOnce(Admitted, Q) -> S,
    ) -> Deliveries {
        let operation = Q::operation();
        let (live, span) = (self.begin(&caller), span_of(operation, &caller));
        if let Some(audited) = Audited::of(operation, &caller) {
            audited.log::<()>(&Ok(()));
        }
        operation.meters().succeeded.increment(1);
        stream::revocable(open(Admitted(caller), request), live, span).boxed()
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Mutex;
    use std::time::Duration;

    use http::HeaderValue;
    use parlance_core::SystemClock;
    use parlance_faults::fixture::user;
    use parlance_proto::v1;

    use super::*;
    use crate::testing::user_caller;

    fn gate(operations: Option<NonZeroU32>) -> Gate {
        let limits = PeopleLimits { operations, hellos: operations, ..PeopleLimits::NONE };
        Gate::new(Arc::new(Auth::local(b"test")), &limits, Arc::new(SystemClock))
    }

    fn alice() -> Caller {
        user_caller("alice")
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_in_time_whatever_it_waits_for() {
        let request = v1::GetRoomRequest::default();
        let gate = gate(None);
        let never = gate.pass(alice(), request, |_, _| std::future::pending::<Result<(), Error>>());
        let ended = timeout(OPERATION_TIMEOUT + Duration::from_secs(1), never).await.expect("it ends");
        assert_eq!(ended, Err(Error::Timeout));
    }

    #[tokio::test]
    async fn limits_come_before_the_operation() {
        let gate = gate(NonZeroU32::new(1));
        let mut carried_out = 0;
        for _ in 0..5 {
            let passed = gate.pass(alice(), v1::GetRoomRequest::default(), |caller, _| {
                carried_out += 1;
                let user = caller.user.clone();
                async move { Ok(user) }
            });
            let passed = passed.await;
            assert!(matches!(passed, Ok(_) | Err(Error::RateLimited(_))), "{passed:?}");
        }
        assert_eq!(carried_out, 2, "a burst of twice the rate");
    }

    #[test]
    fn hellos_have_a_rate_of_their_own() {
        let limits = PeopleLimits { hellos: NonZeroU32::new(1), ..PeopleLimits::NONE };
        let gate = Gate::new(Arc::new(Auth::local(b"test")), &limits, Arc::new(SystemClock));
        let passed = (0..100).filter(|_| gate.check_hello(&alice()).is_ok()).count();
        assert!((HELLOS_BURST.get() as usize..60).contains(&passed), "{passed}");
        assert_eq!(gate.check_hello(&user_caller("bob")), Ok(()));
        assert_eq!(gate.check_rate(&alice()), Ok(()));
    }

    #[tokio::test]
    async fn tokens_of_an_address_are_refused_after_many_that_are_not_valid() {
        let limits = PeopleLimits { failed_tokens: NonZeroU32::new(1), ..PeopleLimits::NONE };
        let auth = Arc::new(Auth::local(b"test"));
        let gate = Gate::new(auth.clone(), &limits, Arc::new(SystemClock));
        let headers = |address: &str, token: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", address.parse().unwrap());
            headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            headers
        };
        let good = auth.mint(&user("alice"), Duration::from_secs(60), SystemClock.now()).unwrap();
        let mut refused = None;
        for _ in 0..1_000 {
            refused = gate.identify(&headers("192.0.2.1", "nonsense")).await.err();
            if matches!(refused, Some(Error::TooManyFailedTokens(_))) {
                break;
            }
        }
        assert!(matches!(refused, Some(Error::TooManyFailedTokens(_))), "{refused:?}");
        assert!(
            gate.identify(&headers("192.0.2.1", &good)).await.is_err(),
            "nothing from there is looked at"
        );
        assert!(gate.identify(&headers("192.0.2.2", &good)).await.is_ok());
    }

    #[test]
    fn the_app_alone_acts_as_others() {
        let gate = gate(None);
        let service = Caller { is_service: true, is_admin: true, ..alice() };
        let acting = |caller, user| gate.acting_as::<v1::BanMemberRequest>(caller, Ok(user));
        assert_eq!(acting(alice(), "bob"), Err(Error::NeedsScope));
        assert_eq!(acting(alice(), ""), Ok(alice()));
        assert!(matches!(acting(service.clone(), "a/b"), Err(Error::Field(field, _)) if field == "as_user"));
        let as_bob = acting(service, "bob").unwrap();
        assert_eq!((as_bob.user.as_str(), as_bob.service.as_ref()), ("bob", Some(&user("alice"))));
        assert!(!as_bob.is_service && !as_bob.is_admin, "with the rights of bob");
        assert_eq!(acting(as_bob, "carol"), Err(Error::NeedsScope));
    }

    #[test]
    fn a_user_who_may_not_be_acted_as_counts_against_the_rate() {
        let gate = gate(NonZeroU32::new(1));
        let acting = || gate.acting_as::<v1::GetRoomRequest>(alice(), Ok("bob"));
        let limited = (0..5).filter(|_| matches!(acting(), Err(Error::RateLimited(_)))).count();
        assert_eq!(limited, 3, "after a burst of twice the rate");
    }

    /// The fields of each line of the audit log.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    /// One line's fields.
    #[derive(Default)]
    struct Fields(String);

    impl tracing::field::Visit for Fields {
        fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
            self.0 += &format!("{}={value:?} ", field.name());
        }
    }

    impl tracing::Subscriber for Lines {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target() == "parlance::audit"
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            self.0.lock().unwrap().push(fields.0);
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[tokio::test]
    async fn every_audited_call_has_one_line_though_its_caller_goes() {
        let lines = Lines::default();
        let _logging = tracing::subscriber::set_default(lines.clone());
        let line = |number: usize| lines.0.lock().unwrap().get(number).cloned().unwrap_or_default();
        let gate = gate(None);
        let ban = v1::BanMemberRequest::default;
        let ended = gate.pass(alice(), ban(), |_, _| async { Ok(()) });
        assert_eq!(ended.now_or_never(), Some(Ok(())));
        assert_eq!(line(0), "operation=\"BanMember\" user=alice is_service=false ");
        let gone = gate.pass(alice(), ban(), |_, _| std::future::pending::<Result<(), Error>>());
        assert_eq!(gone.now_or_never(), None);
        assert!(line(1).ends_with("unfinished=\"caller_gone\" "), "that is no refusal: {}", line(1));
    }

    #[test]
    fn whoever_may_not_act_as_others_is_audited_whatever_they_asked_for() {
        let lines = Lines::default();
        let _logging = tracing::subscriber::set_default(lines.clone());
        let gate = gate(None);
        for as_user in [Ok("bob"), Ok("no id\n"), Err(Error::NeedsScope)] {
            gate.acting_as::<v1::SendMessageRequest>(alice(), as_user).unwrap_err();
        }
        let line = |named: &str| {
            format!("operation=\"SendMessage\" user=alice {named}is_service=false refused=\"needs_scope\" ")
        };
        assert_eq!(*lines.0.lock().unwrap(), [line("as_user=\"bob\" "), line(""), line("")]);
    }

    #[tokio::test]
    async fn only_the_first_call_in_local_mode_has_no_token() {
        let local = gate(None);
        let mut headers = HeaderMap::new();
        assert_eq!(local.identify(&headers).await, Err(Error::TokenMissing));
        assert_eq!(local.identify_or_first(&headers).await, Ok(None));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer nonsense"));
        assert!(local.identify_or_first(&headers).await.is_err());
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").unwrap());
        assert!(matches!(local.identify_or_first(&headers).await, Err(Error::TokenInvalid(_))));
    }
}
