//! How many reports there may be.

use parlance_core::{Caller, ReportId, ReportList};
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_store::ReportStore;

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
    let seq = say(&node.api, &room, "hello").await;
    for number in 0..MAX_REPORTS_A_DAY {
        let request = report(seq, &format!("r{number}"))(room.as_str());
        node.api.report_message(&caller("bob"), request).await.unwrap();
    }
    let one_more = report(seq, "more")(room.as_str());
    let refused: Failure =
        node.api.report_message(&caller("bob"), one_more.clone()).await.unwrap_err().into();
    assert_eq!(refused.reason, "too_many_reports");
    let person =
        v1::ReportUserRequest { user_id: "alice".into(), request_id: "u".into(), ..Default::default() };
    let refused: Failure = node.api.report_user(&caller("bob"), person.clone()).await.unwrap_err().into();
    assert_eq!((refused.reason.as_str(), refused.metadata.get("room_id")), ("too_many_reports", None));
    node.api.report_message(&caller("bob"), report(seq, "r7")(room.as_str())).await.unwrap();
    node.api.report_user(&caller("carol"), person.clone()).await.unwrap();
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
        node.store.create_report(other).await.unwrap();
    }
    let more = report(seq, "more")(room.as_str());
    let refused: Failure = node.api.report_message(&caller("bob"), more.clone()).await.unwrap_err().into();
    assert_eq!(refused.reason, "too_many_reports");
    assert_eq!(refused.metadata.get("room_id").map(String::as_str), Some(room.as_str()));
    let answer = v1::ResolveReportRequest {
        report_id: id,
        outcome: v1::ReportOutcome::Dismissed.into(),
        ..Default::default()
    };
    // Of alice, who owns the room: bob does not see it, and the app does.
    let refused: Failure = node.api.resolve_report(&caller("bob"), answer.clone()).await.unwrap_err().into();
    assert_eq!(refused.reason, "report_not_found");
    let backend = Caller { is_service: true, ..user_caller("backend") }.into();
    node.api.resolve_report(&backend, answer).await.unwrap();
    node.api.report_message(&caller("bob"), more).await.unwrap();
}
