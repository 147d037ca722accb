use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use http::HeaderValue;
use parlance_core::SystemClock;
use parlance_faults::ControlledStore;
use parlance_faults::fixture::user;
use parlance_proto::v1;

use super::*;
use crate::testing::user_caller;

fn gate(operations: Option<NonZeroU32>) -> Gate {
    let limits = PeopleLimits { operations, hellos: operations, ..PeopleLimits::NONE };
    of(Arc::new(Auth::local(b"test")), &limits)
}

/// A gate for which alice is an active user.
fn of(auth: Arc<Auth>, limits: &PeopleLimits) -> Gate {
    let store = ControlledStore::open(tempfile::tempdir().unwrap().path()).unwrap();
    let accounts = Arc::new(Accounts::new(Arc::new(store), 10));
    accounts.remember(&user("alice"), 0);
    Gate::new(auth, accounts, limits, None, Arc::new(SystemClock))
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

#[tokio::test]
async fn hellos_have_a_rate_of_their_own() {
    let limits = PeopleLimits { hellos: NonZeroU32::new(1), ..PeopleLimits::NONE };
    let gate = of(Arc::new(Auth::local(b"test")), &limits);
    let mut passed = 0;
    for _ in 0..100 {
        passed += usize::from(gate.check_hello(&alice()).await.is_ok());
    }
    assert!((HELLOS_BURST.get() as usize..60).contains(&passed), "{passed}");
    assert_eq!(gate.check_hello(&user_caller("bob")).await, Ok(()));
    assert_eq!(gate.check_rate(&alice()), Ok(()));
}

#[tokio::test]
async fn tokens_of_an_address_are_refused_after_many_that_are_not_valid() {
    let limits = PeopleLimits { failed_tokens: NonZeroU32::new(1), ..PeopleLimits::NONE };
    let auth = Arc::new(Auth::local(b"test"));
    let gate = of(auth.clone(), &limits);
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
    assert!(gate.identify(&headers("192.0.2.1", &good)).await.is_err(), "nothing from there is looked at");
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
async fn audit_line_is_written_when_caller_disconnects() {
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
fn refused_as_user_is_audited_for_every_operation() {
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

#[tokio::test(start_paused = true)]
async fn what_a_call_has_cost_is_owed() {
    let app = Caller { is_service: true, ..alice() };
    // The first burst is of ten.
    for (caller, more, passed) in [
        (alice(), 0, [10, 5, 10]),
        (alice(), 4, [6, 5, 10]),
        (alice(), 20, [0, 0, 5]),
        (alice(), 1_000, [0, 0, 0]),
        (app, 1_000, [1, 5, 10]),
    ] {
        let gate = gate(NonZeroU32::new(5));
        gate.charge(&caller, more);
        assert_eq!(gate.check_debt(&caller).is_err(), passed[1] == 0, "{more}");
        let mut seen = [0; 3];
        for (seen, pause) in seen.iter_mut().zip([1, 2, 0]) {
            *seen = (0..20).filter(|_| gate.check_rate(&caller).is_ok()).count();
            tokio::time::advance(Duration::from_secs(pause)).await;
        }
        assert_eq!(seen, passed, "{more}");
    }
}
