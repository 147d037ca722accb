//! How many reports there may be.

use parlance_core::{Caller, ReportId, ReportList, Timestamp};
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_store::ReportStore;

use crate::gate::Admitted;
use crate::limits::{MAX_OPEN_REPORTS, MAX_REPORTS_A_DAY};
use crate::testing::{TestNode, caller, say, user, user_caller};

fn report(seq: u64, request: &str) -> impl Fn(&str) -> v1::ReportMessageRequest {
    move |room| v1::ReportMessageRequest {
        room_id: room.to_owned(),
        seq,
        request_id: request.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_user_makes_a_bounded_number_of_reports_a_day() {
    let (node, room) = TestNode::with_group().await;
    let mut seq = 0;
    for number in 0..MAX_REPORTS_A_DAY {
        seq = say(&node.api, &room, &format!("hello {number}")).await;
        let request = report(seq, &format!("r{number}"))(room.as_str());
        node.api.report_message(&caller("bob"), request).await.unwrap();
    }
    let last = seq;
    seq = say(&node.api, &room, "hello").await;
    let one_more = report(seq, "more")(room.as_str());
    let refused: Failure =
        node.api.report_message(&caller("bob"), one_more.clone()).await.unwrap_err().into();
    assert_eq!(refused.reason, "too_many_reports");
    let person =
        v1::ReportUserRequest { user_id: "alice".into(), request_id: "u".into(), ..Default::default() };
    let refused: Failure = node.api.report_user(&caller("bob"), person.clone()).await.unwrap_err().into();
    assert_eq!((refused.reason.as_str(), refused.metadata.get("room_id")), ("too_many_reports", None));
    let last_request = format!("r{}", MAX_REPORTS_A_DAY - 1);
    node.api.report_message(&caller("bob"), report(last, &last_request)(room.as_str())).await.unwrap();
    node.api.report_user(&caller("carol"), person.clone()).await.unwrap();
}

/// Otherwise a few accounts fill the list of a room with one message.
#[tokio::test]
async fn a_user_has_one_open_report_of_a_message() {
    let (node, room) = TestNode::with_group().await;
    let seq = say(&node.api, &room, "hello").await;
    let other = say(&node.api, &room, "hello again").await;
    let reports = async |by: &str, seq, id: &str| {
        let made = node.api.report_message(&caller(by), report(seq, id)(room.as_str())).await.unwrap();
        (made.report_id, made.is_repeat)
    };
    let (first, _) = reports("bob", seq, "first").await;
    for number in 0..5 {
        reports("bob", other, &format!("other{number}")).await;
        assert_eq!(reports("bob", seq, &format!("again{number}")).await, (first.clone(), true));
    }
    let list = ReportList::Room { room: room.clone(), is_open: true };
    assert_eq!(node.store.reports(&list, None, 10).await.unwrap().reports.len(), 2);
    // Once it is answered, there may be something new to say.
    let answer = v1::ResolveReportRequest {
        report_id: first.clone(),
        outcome: v1::ReportOutcome::Dismissed.into(),
        ..Default::default()
    };
    let backend = Caller { is_service: true, ..user_caller("backend") }.into();
    node.api.resolve_report(&backend, answer).await.unwrap();
    assert!(!reports("bob", seq, "new").await.1);
    assert_eq!(reports("bob", seq, "first").await, (first, true), "the same request");
}

/// Two devices, or nodes, of one user.
#[tokio::test]
async fn reports_of_a_message_at_once_are_one() {
    let (node, room) = TestNode::with_group().await;
    let seq = say(&node.api, &room, "hello").await;
    let (api, other) = (node.api.clone(), report(seq, "other")(room.as_str()));
    let reporting = async move {
        assert!(!api.report_message(&caller("bob"), other).await.unwrap().is_repeat);
    };
    *node.store.before_report.lock().unwrap() = Some(Box::pin(reporting));
    let made = node.api.report_message(&caller("bob"), report(seq, "one")(room.as_str())).await.unwrap();
    let list = ReportList::Room { room, is_open: true };
    let reports = node.store.reports(&list, None, 10).await.unwrap().reports;
    let ids: Vec<&str> = reports.iter().map(|report| report.id.as_str()).collect();
    assert_eq!((ids, made.is_repeat), (vec![made.report_id.as_str()], true));
}

#[tokio::test]
async fn a_room_has_a_bounded_number_of_open_reports() {
    let (node, room) = TestNode::with_group().await;
    let seq = say(&node.api, &room, "hello").await;
    let first = report(seq, "first")(room.as_str());
    let id = node.api.report_message(&caller("bob"), first).await.unwrap().report_id;
    let list = ReportList::Room { room: room.clone(), is_open: true };
    let stored = node.store.reports(&list, None, 1).await.unwrap().reports.remove(0);
    assert_eq!(stored.id.as_str(), id);
    for number in 1..MAX_OPEN_REPORTS {
        let mut other = stored.clone();
        other.id = ReportId::parse(&format!("p{number:032x}")).unwrap();
        other.reporter = user(&format!("u{number}"));
        node.store.create_report(other, false).await.unwrap();
    }
    // The next one is for the app: nobody keeps others from reporting.
    let in_room = async || node.store.count_reports(&list, Timestamp::default(), 1_000).await.unwrap();
    let seq = say(&node.api, &room, "hello again").await;
    let more = report(seq, "more")(room.as_str());
    let more = node.api.report_message(&caller("bob"), more).await.unwrap().report_id;
    assert_eq!(in_room().await, MAX_OPEN_REPORTS);
    let all = v1::ListReportsRequest { page_size: 1, ..Default::default() };
    let backend: Admitted = Caller { is_service: true, ..user_caller("backend") }.into();
    let shown = node.api.list_reports(&backend, all).await.unwrap().reports;
    assert_eq!(shown[0].report_id, more);
    let answer = v1::ResolveReportRequest {
        report_id: id,
        outcome: v1::ReportOutcome::Dismissed.into(),
        ..Default::default()
    };
    // Of alice, who owns the room: bob does not see it, and the app does.
    let refused: Failure = node.api.resolve_report(&caller("bob"), answer.clone()).await.unwrap_err().into();
    assert_eq!(refused.reason, "report_not_found");
    node.api.resolve_report(&backend, answer).await.unwrap();
    let seq = say(&node.api, &room, "and again").await;
    node.api.report_message(&caller("bob"), report(seq, "next")(room.as_str())).await.unwrap();
    assert_eq!(in_room().await, MAX_OPEN_REPORTS);
    // Moderators do not answer what they do not see.
    let answer = v1::ResolveReportRequest {
        report_id: more,
        outcome: v1::ReportOutcome::Dismissed.into(),
        ..Default::default()
    };
    let made = node.api.resolve_report(&caller("alice"), answer.clone()).await.unwrap_err();
    assert_eq!(Failure::from(made).reason, "report_not_found");
    node.api.resolve_report(&backend, answer).await.unwrap();
}

/// As on another node, which carries out a call of someone who is being deleted.
#[tokio::test]
async fn a_report_that_is_made_while_an_account_is_deleted_keeps_none_of_its_words() {
    for who in ["alice", "bob"] {
        let (node, room) = TestNode::with_group().await;
        let seq = say(&node.api, &room, "hello").await;
        let api = node.api.clone();
        let delete = v1::DeleteUserRequest { user_id: who.to_owned(), ..Default::default() };
        let deleting = async move {
            let backend = Caller { is_service: true, is_admin: true, ..user_caller("backend") }.into();
            api.delete_user(&backend, delete).await.unwrap();
        };
        *node.store.before_report.lock().unwrap() = Some(Box::pin(deleting));
        let made = node.api.report_message(&caller("bob"), report(seq, "r")(room.as_str())).await.unwrap();
        let id = ReportId::parse(&made.report_id).unwrap();
        let stored = node.store.report(&id).await.unwrap().unwrap();
        assert_eq!(stored.without_words_of(&user(who)), None, "{who}");
    }
}
