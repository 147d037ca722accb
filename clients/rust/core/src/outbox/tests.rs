use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn outbox(calls: CallId) -> Outbox {
    let mut outbox = Outbox::new("session".to_owned());
    for id in 0..calls {
        outbox.push(Origin::Call(id), Operation::GetUser(v1::GetUserRequest::default()), String::new());
    }
    outbox
}

fn send(outbox: &mut Outbox) -> Vec<CallId> {
    let rooms = Rooms::new([]);
    let mut sent = Vec::new();
    while let Some((origin, frame)) = outbox.next_frame(usize::MAX, &rooms) {
        let Origin::Call(id) = origin else { panic!() };
        assert_eq!(frame.request_id, id.to_string());
        outbox.sent(origin, SECOND);
        sent.push(id);
    }
    sent
}

fn reply(outbox: &mut Outbox, id: CallId, result: Answer) -> Option<(Origin, Result<Answer, Error>)> {
    let reply = v1::Reply { request_id: id.to_string(), result: Some(result) };
    outbox.answered(SECOND, reply, &mut Rooms::new([]), &mut Random::new(1))
}

fn refuse(outbox: &mut Outbox, id: CallId, failure: Failure) -> Option<String> {
    let error = v1::Error {
        code: failure.code.into(),
        reason: failure.reason,
        retry_delay: failure.retry_after.map(|delay| delay.try_into().unwrap()),
        ..Default::default()
    };
    let (answered, result) = reply(outbox, id, Answer::Error(error))?;
    assert_eq!(answered, Origin::Call(id));
    Some(result.unwrap_err().failure().unwrap().reason.clone())
}

fn done() -> Answer {
    Answer::GetUser(v1::GetUserResponse::default())
}

#[test]
fn unanswered_calls_are_sent_again_in_order() {
    let mut outbox = outbox(4);
    assert_eq!(send(&mut outbox), [0, 1, 2, 3]);
    assert_eq!(reply(&mut outbox, 1, done()), Some((Origin::Call(1), Ok(done()))));
    assert_eq!(reply(&mut outbox, 1, done()), None);
    outbox.cancel(Origin::Call(3));
    outbox.reconnected();
    assert_eq!(send(&mut outbox), [0, 2]);
}

#[test]
fn only_passing_refusals_are_repeated() {
    let mut outbox = outbox(5);
    send(&mut outbox);
    assert_eq!(refuse(&mut outbox, 3, Failure::new(Code::DeadlineExceeded, "operation_timeout", "")), None);
    outbox.wake(SECOND * 2);
    assert_eq!(send(&mut outbox), [3]);
    let limit = || Failure::new(Code::ResourceExhausted, "rate_limited", "");
    let delay = SECOND * 3;
    assert_eq!(refuse(&mut outbox, 0, Failure { retry_after: Some(delay), ..limit() }), None);
    assert_eq!(refuse(&mut outbox, 1, limit()).unwrap(), "rate_limited");
    let catch_up = Failure::new(Code::FailedPrecondition, "catch_up_first", "");
    assert_eq!(refuse(&mut outbox, 2, catch_up).unwrap(), "catch_up_first");

    // A wait of hours is the caller's to decide on, and what it waits for is known.
    let slow = Failure {
        retry_after: Some(SECOND * 7_200),
        ..Failure::new(Code::ResourceExhausted, "slow_mode", "")
    };
    assert_eq!(refuse(&mut outbox, 4, slow).unwrap(), "slow_mode");

    // Neither a new connection nor a shorter delay makes it ready.
    outbox.reconnected();
    assert_eq!(send(&mut outbox), [3]);
    outbox.wake(SECOND * 3);
    assert_eq!(send(&mut outbox), [0; 0]);
    let due = outbox.next_due().unwrap();
    assert!((delay..delay * 2).contains(&(due - SECOND)));
    outbox.wake(due);
    assert_eq!(send(&mut outbox), [0]);
}

#[test]
fn abandoned_calls_take_no_place_even_while_they_are_delayed() {
    let mut outbox = outbox(3);
    let rooms = Rooms::new([]);
    let (id, _) = outbox.next_frame(1, &rooms).unwrap();
    outbox.sent(id, SECOND);
    assert_eq!(outbox.next_frame(1, &rooms), None);
    let busy = Failure { retry_after: Some(SECOND * 60), ..Failure::new(Code::Unavailable, "busy", "") };
    assert_eq!(refuse(&mut outbox, 0, busy), None);
    let (id, _) = outbox.next_frame(1, &rooms).unwrap();
    outbox.sent(id, SECOND);
    outbox.cancel(id);
    assert_eq!(outbox.next_frame(1, &rooms).unwrap().0, Origin::Call(2));
    outbox.cancel(Origin::Call(0));
    assert_eq!(outbox.next_due(), None);
}

#[test]
fn a_restored_room_takes_what_was_sent_to_it_before() {
    let mut outbox = Outbox::new("session".to_owned());
    let target = Some(v1::send_message_request::Target::RoomId("r".to_owned()));
    let message = v1::SendMessageRequest { target, after_seq: Some(26), ..Default::default() };
    outbox.push(Origin::Call(0), Operation::SendMessage(message), String::new());
    let refusal = |reason: &str, head: u64| {
        let metadata = [("room_id", "r".to_owned()), ("head_seq", head.to_string())]
            .map(|(key, value)| (key.to_owned(), value));
        let code = Code::OutOfRange.into();
        Answer::Error(v1::Error {
            code,
            reason: reason.to_owned(),
            metadata: metadata.into(),
            ..Default::default()
        })
    };
    let rooms = Rooms::new([]);
    let next = |outbox: &mut Outbox| {
        let (id, frame) = outbox.next_frame(1, &rooms).unwrap();
        outbox.sent(id, SECOND);
        match frame.operation.unwrap() {
            Operation::SendMessage(message) => message.after_seq,
            Operation::ListEvents(_) => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(next(&mut outbox), Some(26));
    assert_eq!(reply(&mut outbox, 0, refusal("cursor_ahead", 6)), None);
    assert_eq!(next(&mut outbox), Some(6));
    // The room is restored once more while it is paged.
    assert_eq!(reply(&mut outbox, 0, refusal("catch_up_first", 400)), None);
    assert_eq!(next(&mut outbox), None);
    assert_eq!(reply(&mut outbox, 0, refusal("cursor_ahead", 6)), None);
    assert_eq!(next(&mut outbox), Some(6));
    // A refusal without new information is permanent.
    assert!(reply(&mut outbox, 0, refusal("cursor_ahead", 6)).is_some());
}

#[test]
fn a_call_that_the_server_hangs_up_over_is_found_and_fails() {
    let mut outbox = outbox(3);
    assert_eq!(send(&mut outbox), [0, 1, 2]);
    assert_eq!(outbox.blame(), None);
    // One at a time from now on: 0 is answered, so 1 is the responsible one.
    outbox.reconnected();
    assert_eq!(send(&mut outbox)[..1], [0]);
    outbox.reconnected();
    let rooms = Rooms::new([]);
    let next = |outbox: &mut Outbox| {
        let (id, _) = outbox.next_frame(usize::MAX, &rooms)?;
        outbox.sent(id, SECOND);
        let Origin::Call(id) = id else { panic!() };
        Some(id)
    };
    assert_eq!((next(&mut outbox), next(&mut outbox)), (Some(0), None));
    assert!(reply(&mut outbox, 0, done()).is_some());
    assert_eq!((next(&mut outbox), next(&mut outbox)), (Some(1), None));
    assert_eq!(outbox.blame(), None);
    outbox.reconnected();
    assert_eq!(next(&mut outbox), Some(1));
    assert_eq!(outbox.blame(), Some(Origin::Call(1)));
    outbox.reconnected();
    assert_eq!(next(&mut outbox), Some(2));
    assert!(reply(&mut outbox, 2, done()).is_some());
    assert!(outbox.is_empty());
}

#[test]
fn a_call_as_a_user_is_searched_for_as_that_user() {
    let mut outbox = Outbox::new("session".to_owned());
    let mut rooms = Rooms::new([]);
    rooms.learn_direct("alice", "the backend's own");
    rooms.learn_head("the backend's own", 99);
    let target = Some(v1::send_message_request::Target::ToUser("alice".to_owned()));
    let message = v1::SendMessageRequest { target, client_message_id: "m".to_owned(), ..Default::default() };
    let known = v1::SendMessageRequest { after_seq: Some(10), ..message.clone() };
    let next = |outbox: &mut Outbox| {
        let (origin, frame) = outbox.next_frame(usize::MAX, &rooms).unwrap();
        outbox.sent(origin, SECOND);
        assert_eq!(frame.as_user, "bob");
        frame.operation.unwrap()
    };
    outbox.push(Origin::Call(0), Operation::SendMessage(message.clone()), "bob".to_owned());
    assert_eq!(next(&mut outbox), Operation::SendMessage(message));
    outbox.push(Origin::Call(1), Operation::SendMessage(known.clone()), "bob".to_owned());
    assert_eq!(next(&mut outbox), Operation::SendMessage(known));

    let metadata = [("room_id", "r"), ("head_seq", "300")];
    let error = v1::Error {
        code: Code::FailedPrecondition.into(),
        reason: "catch_up_first".to_owned(),
        metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..Default::default()
    };
    assert_eq!(reply(&mut outbox, 1, Answer::Error(error)), None);
    assert!(matches!(next(&mut outbox), Operation::ListEvents(_)));
    let event = |seq, actor: &str| v1::Event {
        room_id: "r".to_owned(),
        seq,
        actor_id: actor.to_owned(),
        request_id: "m".to_owned(),
        ..Default::default()
    };
    let events = vec![event(20, "alice"), event(21, "bob")];
    let page = v1::ListEventsResponse { events, ..Default::default() };
    let answer = reply(&mut outbox, 1, Answer::ListEvents(page));
    let Some((_, Ok(Answer::SendMessage(found)))) = answer else { panic!("{answer:?}") };
    assert_eq!((found.seq, found.is_repeat), (21, true));
}
