//! Reports of messages and users: who makes, sees and answers them, through every door.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::exported_item::Item;
use parlance_proto::v1::signal::Signal;
use parlance_proto::v1::{ErasedMessages, ReportCategory, ReportOutcome, ReportState};
use parlance_tests::{Conversation, DOORS, Person, Server, fresh, text_of};
use serde_json::json;

use crate::app::App;
use crate::erasure::delete;

pub(crate) fn report_of(room: &str, seq: u64) -> v1::ReportMessageRequest {
    v1::ReportMessageRequest {
        room_id: room.to_owned(),
        seq,
        category: ReportCategory::Harassment.into(),
        text: "this is too much".to_owned(),
        request_id: fresh("report"),
    }
}

fn report_of_user(user: &str) -> v1::ReportUserRequest {
    v1::ReportUserRequest { user_id: user.to_owned(), request_id: fresh("report"), ..Default::default() }
}

fn in_room(room: &str, state: ReportState) -> v1::ListReportsRequest {
    v1::ListReportsRequest { room_id: room.to_owned(), state: state.into(), ..Default::default() }
}

pub(crate) async fn listed(at: &mut Conversation, room: &str, state: ReportState) -> Vec<v1::Report> {
    at.call(in_room(room, state)).await.unwrap().reports
}

async fn ids(at: &mut Conversation, room: &str) -> Vec<String> {
    listed(at, room, ReportState::Open).await.into_iter().map(|report| report.report_id).collect()
}

pub(crate) fn answer(report: &str, outcome: ReportOutcome, note: &str) -> v1::ResolveReportRequest {
    v1::ResolveReportRequest {
        report_id: report.to_owned(),
        outcome: outcome.into(),
        note: note.to_owned(),
        request_id: fresh("answer"),
    }
}

/// Why a request is refused.
async fn refused<R: parlance_client::Request>(at: &mut Conversation, request: R) -> String
where
    R::Response: std::fmt::Debug,
{
    at.call(request).await.unwrap_err().reason
}

async fn set_role(owner: &Person, room: &str, user: &str, role: v1::Role) {
    let request = v1::SetRoleRequest {
        room_id: room.to_owned(),
        user_id: user.to_owned(),
        role: role.into(),
        request_id: fresh("role"),
        after_seq: None,
    };
    owner.rooms().set_role(request).await.unwrap();
}

/// The first `count` reports that `at` is told of.
async fn told(at: &mut Conversation, count: usize) -> Vec<(String, String)> {
    let mut told = Vec::new();
    while told.len() < count {
        if let Signal::ReportMade(made) = at.signal().await {
            told.push((made.room_id, made.report_id));
        }
    }
    // Each report is signalled in a task of its own.
    told.sort();
    told
}

/// Fails if `at` is told of another one before somebody types.
async fn is_told_no_more(at: &mut Conversation) {
    loop {
        match at.signal().await {
            Signal::Typing(_) => return,
            Signal::ReportMade(made) => panic!("{made:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn moderators_are_told_of_reports_that_they_see() {
    let server = Server::start().await;
    for door in DOORS {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(fresh);
        let (alice, bob) = (server.person(&alice).await, server.person(&bob).await);
        let carol = server.person(&carol).await;
        let room = alice.group(&[&bob, &carol]).await;
        let of_bob = bob.say(&room, "bad words").await;
        let of_carol = carol.say(&room, "of an admin").await;
        set_role(&alice, &room, &carol.id, v1::Role::Admin).await;
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        let mut at_carol = carol.connect(door).await;

        let first = at_bob.call(report_of(&room, of_carol)).await.unwrap().report_id;
        let repeated = report_of(&room, of_bob);
        let second = at_carol.call(repeated.clone()).await.unwrap().report_id;
        assert!(at_carol.call(repeated).await.unwrap().is_repeat);
        // Of a user as such, which is for the app alone.
        at_bob.call(report_of_user(&carol.id)).await.unwrap();
        let third = at_alice.call(report_of(&room, of_bob)).await.unwrap().report_id;

        let expected = |ids: &[&String]| {
            let mut expected: Vec<_> = ids.iter().map(|id| (room.clone(), (*id).clone())).collect();
            expected.sort();
            expected
        };
        assert_eq!(told(&mut at_alice, 3).await, expected(&[&first, &second, &third]), "{door}");
        assert_eq!(told(&mut at_carol, 2).await, expected(&[&second, &third]), "not of oneself: {door}");
        let typing = v1::SendTypingRequest { room_id: room.clone() };
        at_alice.call(typing).await.unwrap();
        is_told_no_more(&mut at_bob).await;
        is_told_no_more(&mut at_carol).await;
    }
}

#[tokio::test]
async fn a_report_keeps_the_message_and_hides_who_reported() {
    let app = App::start().await;
    for door in DOORS {
        let room = app.alice.group(&[&app.bob]).await;
        let (mut at_alice, mut at_bob) = (app.alice.connect(door).await, app.bob.connect(door).await);
        let mut at_app = app.backend.connect(door).await;
        let bad = app.bob.say(&room, "bad words").await;
        let hers = app.alice.say(&room, "of the owner").await;
        let edit = |text: &str| v1::EditMessageRequest {
            room_id: room.clone(),
            seq: bad,
            text: text.to_owned(),
            request_id: fresh("edit"),
            ..Default::default()
        };
        at_bob.call(edit("worse words")).await.unwrap();
        let request = report_of(&room, bad);
        let made = at_alice.call(request.clone()).await.unwrap();
        assert!(!made.is_repeat);
        // After the first report: neither an edit nor the deletion changes it, nor does a repeat make another.
        at_bob.call(edit("nice words")).await.unwrap();
        let delete = v1::DeleteMessageRequest {
            room_id: room.clone(),
            seq: bad,
            request_id: fresh("delete"),
            after_seq: None,
        };
        at_bob.call(delete).await.unwrap();
        let again = at_alice.call(request.clone()).await.unwrap();
        assert_eq!((again.report_id.as_str(), again.is_repeat), (made.report_id.as_str(), true));
        let of_hers = at_bob.call(report_of(&room, hers)).await.unwrap().report_id;

        let reports = listed(&mut at_app, &room, ReportState::Open).await;
        assert_eq!(
            reports.iter().map(|report| &report.report_id).collect::<Vec<_>>(),
            [&of_hers, &made.report_id]
        );
        let report = &reports[1];
        let who = (report.reporter_id.as_str(), report.user_id.as_str());
        assert_eq!(
            (who, report.state(), report.category()),
            (("alice", "bob"), ReportState::Open, ReportCategory::Harassment)
        );
        assert_eq!(
            (report.room_id.as_str(), report.seq, report.text.as_str()),
            (room.as_str(), bad, "this is too much")
        );
        let message = report.message.as_ref().unwrap();
        assert_eq!((text_of(message), message.actor_id.as_str(), message.seq), ("worse words", "bob", bad));
        let Some(Body::Message(content)) = &message.body else { panic!("{message:?}") };
        assert!(content.edited_at.is_some() && !content.deleted);

        // The owner sees what is about others, and not by whom it is.
        let reports = listed(&mut at_alice, &room, ReportState::Open).await;
        let [report] = reports.as_slice() else { panic!("{reports:?}") };
        assert_eq!((report.report_id.as_str(), report.reporter_id.as_str()), (made.report_id.as_str(), ""));
        assert_eq!(text_of(report.message.as_ref().unwrap()), "worse words");

        assert_eq!(refused(&mut at_bob, in_room(&room, ReportState::Open)).await, "needs_role");
        assert_eq!(refused(&mut at_alice, in_room("", ReportState::Open)).await, "needs_scope");
        assert_eq!(refused(&mut at_alice, report_of(&room, bad)).await, "message_deleted");
        assert_eq!(refused(&mut at_alice, report_of(&room, hers)).await, "invalid_field");
        assert_eq!(refused(&mut at_alice, report_of(&room, 1)).await, "message_not_found");
        assert_eq!(refused(&mut at_alice, report_of(&room, 1_000)).await, "message_not_found");
        let other = v1::ReportMessageRequest { seq: hers, ..request.clone() };
        assert_eq!(refused(&mut at_alice, other).await, "request_id_reused");
        let unknown = v1::ReportMessageRequest { category: 1_000, ..report_of(&room, hers) };
        assert_eq!(refused(&mut at_bob, unknown).await, "invalid_field");
        let long = v1::ReportMessageRequest { text: "x".repeat(1_025), ..report_of(&room, hers) };
        assert_eq!(refused(&mut at_bob, long).await, "invalid_field");
    }
}

#[tokio::test]
async fn moderators_see_what_they_may_act_on_and_read() {
    let server = Server::start().await;
    let mut people = Vec::new();
    for name in ["owner", "admin", "peer", "member"] {
        people.push(server.person(name).await);
    }
    let [owner, admin, peer, member] = people.as_slice() else { unreachable!() };
    let room = owner.group(&[admin, member]).await;
    let early = member.say(&room, "before the peer").await;
    owner.add(&room, peer).await;
    for user in ["admin", "peer"] {
        set_role(owner, &room, user, v1::Role::Admin).await;
    }
    let mut made = Vec::new();
    let (of_member, of_admin) = (member.say(&room, "later").await, admin.say(&room, "of an admin").await);
    let of_owner = owner.say(&room, "of the owner").await;
    for (by, seq) in [(owner, early), (owner, of_member), (owner, of_admin), (member, of_owner)] {
        made.push(by.chat().report_message(report_of(&room, seq)).await.unwrap().into_inner().report_id);
    }
    let [early, by_member, by_admin, by_owner] = made.as_slice() else { unreachable!() };
    for door in DOORS {
        let seen = async |who: &Person| ids(&mut who.connect(door).await, &room).await;
        assert_eq!(seen(owner).await, [by_admin, by_member, early].map(Clone::clone));
        assert_eq!(seen(admin).await, [by_member, early].map(Clone::clone));
        assert_eq!(seen(peer).await, std::slice::from_ref(by_member), "{door}");
        // What they do not see, they cannot answer.
        for (who, report) in [(owner, by_owner), (admin, by_admin), (peer, early), (member, by_member)] {
            let request = answer(report, ReportOutcome::Dismissed, "");
            assert_eq!(refused(&mut who.connect(door).await, request).await, "report_not_found");
        }
    }
    // Only the app: reports of users, and those in direct rooms.
    let direct = v1::SendMessageRequest {
        target: Some(v1::send_message_request::Target::ToUser(member.id.clone())),
        ..Person::message("", "psst")
    };
    let sent = owner.chat().send_message(direct).await.unwrap().into_inner();
    member.chat().report_message(report_of(&sent.room_id, sent.seq)).await.unwrap();
    let user = member.users().report_user(report_of_user("admin")).await.unwrap().into_inner().report_id;
    let mut at_owner = owner.connect(Door::Grpc).await;
    assert_eq!(refused(&mut at_owner, in_room(&sent.room_id, ReportState::Open)).await, "direct_room");
    let request = answer(&user, ReportOutcome::Dismissed, "");
    assert_eq!(refused(&mut at_owner, request).await, "report_not_found");
    // A former member still reports what they may read, and reads no reports.
    owner.remove(&room, admin).await;
    // Whom every admin may ban now.
    assert_eq!(
        ids(&mut peer.connect(Door::Grpc).await, &room).await,
        [by_admin, by_member].map(Clone::clone)
    );
    let mut at_admin = admin.connect(Door::Grpc).await;
    assert_eq!(refused(&mut at_admin, in_room(&room, ReportState::Open)).await, "not_member");
    at_admin.call(report_of(&room, of_member)).await.unwrap();
    assert_eq!(ids(&mut at_owner, &room).await.len(), 4);
}

#[tokio::test]
async fn a_report_is_answered_once_and_the_app_has_the_last_word() {
    let app = App::start().await;
    for door in DOORS {
        let room = app.alice.group(&[&app.bob]).await;
        let (mut at_alice, mut at_bob) = (app.alice.connect(door).await, app.bob.connect(door).await);
        let mut at_app = app.backend.connect(door).await;
        let seq = app.bob.say(&room, "bad words").await;
        let id = at_alice.call(report_of(&room, seq)).await.unwrap().report_id;
        let request = answer(&id, ReportOutcome::ActionTaken, "warned");
        let report = at_alice.call(request.clone()).await.unwrap().report.unwrap();
        let resolution = report.resolution.clone().unwrap();
        let said = (resolution.user_id.as_str(), resolution.outcome(), resolution.note.as_str());
        assert_eq!(said, ("alice", ReportOutcome::ActionTaken, "warned"));
        assert_eq!((report.state(), report.reporter_id.as_str()), (ReportState::Resolved, ""));
        let again = v1::ResolveReportRequest { request_id: fresh("again"), ..request };
        assert_eq!(at_alice.call(again).await.unwrap().report.unwrap(), report, "a repeat");
        let request = answer(&id, ReportOutcome::Dismissed, "");
        assert_eq!(refused(&mut at_alice, request.clone()).await, "report_resolved");
        assert_eq!(refused(&mut at_bob, request.clone()).await, "report_not_found");
        let by_app = at_app.call(request.clone()).await.unwrap().report.unwrap();
        assert_eq!(by_app.resolution.clone().unwrap().user_id, "backend");
        assert_eq!(at_app.call(request).await.unwrap().report.unwrap(), by_app);
        assert_eq!(ids(&mut at_alice, &room).await, Vec::<String>::new());
        assert_eq!(listed(&mut at_app, &room, ReportState::Resolved).await, [by_app]);
        let mut unclear = answer(&id, ReportOutcome::Unspecified, "");
        assert_eq!(refused(&mut at_app, unclear.clone()).await, "invalid_field");
        unclear = answer("nothing", ReportOutcome::Dismissed, "");
        assert_eq!(refused(&mut at_app, unclear).await, "report_not_found");

        let about = at_alice.call(report_of_user("bob")).await.unwrap().report_id;
        let newest = &listed(&mut at_app, "", ReportState::Open).await[0];
        assert_eq!(
            (newest.report_id.as_str(), newest.user_id.as_str(), newest.seq),
            (about.as_str(), "bob", 0)
        );
        assert_eq!(newest.category(), ReportCategory::Unspecified);
        assert_eq!(refused(&mut at_alice, report_of_user("alice")).await, "invalid_field");
        assert_eq!(refused(&mut at_alice, report_of_user("nobody")).await, "user_not_found");
    }
}

#[tokio::test]
async fn reports_over_rest_are_paged() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let mut made = Vec::new();
    for number in 0..5 {
        let seq = app.bob.say(&room, &format!("{number} {}", "x".repeat(15_000))).await;
        let path = format!("/v1/rooms/{room}/messages/{seq}/report");
        let body = json!({"category": "REPORT_CATEGORY_SPAM", "requestId": fresh("report")});
        let (status, answer) = app.rest(Method::POST, &path, Some("alice"), Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        made.push(answer["reportId"].as_str().unwrap().to_owned());
    }
    made.reverse();
    for size in [1, 2, 5, 200] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let path =
                format!("/v1/reports?roomId={room}&pageSize={size}&pageToken={}", token.replace(' ', "%20"));
            let (status, page) = app.rest(Method::GET, &path, None, None).await;
            assert_eq!(status, 200, "{page}");
            let reports = page["reports"].as_array().cloned().unwrap_or_default();
            assert!(reports.len() <= size);
            seen.extend(reports.iter().map(|report| report["reportId"].as_str().unwrap().to_owned()));
            token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, made, "{size}");
    }
    let (status, _) = app.rest(Method::GET, "/v1/reports?pageToken=x", None, None).await;
    assert_eq!(status, 400);
    let path = format!("/v1/reports/{}/resolve", made[0]);
    let body = json!({"outcome": "REPORT_OUTCOME_DISMISSED"});
    let (status, answer) = app.rest(Method::POST, &path, None, Some(body)).await;
    assert_eq!((status, &answer["report"]["state"]), (200, &json!("REPORT_STATE_RESOLVED")));
}

#[tokio::test]
async fn reports_lose_the_words_of_deleted_users_and_are_exported_in_part() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let (his, hers) = (app.bob.say(&room, "of bob").await, app.alice.say(&room, "of alice").await);
    app.alice.chat().report_message(report_of(&room, his)).await.unwrap();
    app.bob.chat().report_message(report_of(&room, hers)).await.unwrap();
    let id = listed(&mut at_app, &room, ReportState::Open).await[1].report_id.clone();
    let warned = answer(&id, ReportOutcome::ActionTaken, "alice complained, see her ticket");
    let mut at_alice = app.alice.connect(Door::Grpc).await;
    at_alice.call(warned).await.unwrap();
    let exported = async |at: &mut Conversation, user: &str| {
        let export = v1::ExportUserRequest { user_id: user.to_owned(), page_token: String::new() };
        let items = at.call(export).await.unwrap().items;
        let reports = items.into_iter().filter_map(|item| match item.item {
            Some(Item::Report(report)) => Some(report),
            _ => None,
        });
        reports.collect::<Vec<_>>()
    };
    // The note is its author's.
    let reports = exported(&mut at_app, "alice").await;
    let [_, _, noted] = reports.as_slice() else { panic!("{reports:?}") };
    let note = noted.resolution.as_ref().unwrap().note.as_str();
    assert_eq!((noted.seq, note), (his, "alice complained, see her ticket"));
    assert_eq!((noted.reporter_id.as_str(), noted.text.as_str(), &noted.message), ("", "", &None));

    let reports = exported(&mut at_app, "bob").await;
    let [made, about] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!((made.reporter_id.as_str(), made.text.as_str(), made.seq), ("bob", "this is too much", hers));
    assert_eq!((&made.message, &made.resolution), (&None, &None), "nothing of others");
    assert_eq!((about.reporter_id.as_str(), about.text.as_str()), ("", ""));
    let answered = about.resolution.as_ref().unwrap();
    let said = (answered.outcome(), answered.user_id.as_str(), answered.note.as_str());
    assert_eq!(said, (ReportOutcome::ActionTaken, "", ""), "a note is for other moderators");
    assert_eq!(text_of(about.message.as_ref().unwrap()), "of bob");

    delete(&mut at_app, "bob", ErasedMessages::Keep).await;
    let mut reports = listed(&mut at_app, &room, ReportState::Open).await;
    reports.extend(listed(&mut at_app, &room, ReportState::Resolved).await);
    let [made, about] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!((made.text.as_str(), made.seq, made.reporter_id.as_str()), ("", hers, "bob"));
    assert_eq!(text_of(made.message.as_ref().unwrap()), "of alice", "whose account is there");
    assert_eq!((about.text.as_str(), about.seq, &about.message), ("this is too much", his, &None));
    // Nor does a later one keep a copy.
    app.alice.chat().report_message(report_of(&room, his)).await.unwrap();
    assert_eq!(listed(&mut at_app, &room, ReportState::Open).await[0].message, None);
}
