//! Reports.

use parlance_core::{
    Body, Entry, Event, Message, Reason, Report, ReportCategory, ReportId, ReportList, ReportOutcome,
    ReportPlace, ReportedMessage, RequestId, Resolution, RoomId, RoomIdKey, Text, Timestamp, Unknown, UserId,
};
use parlance_store::Created;
use tokio::task::JoinSet;

use super::fixture::{AnyStore, NOW, Node, group, unique, user};

fn later(millis: u64) -> Timestamp {
    Timestamp(NOW.0 + millis)
}

/// A report that `reporter` makes of `user`, unlike any other.
pub(crate) fn report(reporter: &UserId, user: &UserId, at: Timestamp) -> Report {
    let request = RequestId::parse(&format!("{:x}", unique())).unwrap();
    Report {
        id: ReportId::created(&RoomIdKey::new([7; RoomIdKey::BYTES]), reporter, &request),
        at,
        reporter: reporter.clone(),
        category: ReportCategory::Harassment,
        text: Reason::parse("look at this").unwrap(),
        user: user.clone(),
        message: None,
        resolution: None,
        for_app_only: false,
        reporter_erased: false,
        user_erased: false,
    }
}

/// The same of a message in `room`.
fn of_message(reporter: &UserId, user: &UserId, room: &RoomId, at: Timestamp) -> Report {
    let event = Event {
        seq: 7,
        at: NOW,
        actor: user.clone(),
        service: None,
        request: RequestId::parse("send").unwrap(),
        message_count: 3,
        deleted_count: 1,
        body: Body::Message(Message::plain(Text::parse("bad words").unwrap())),
        unknown: Unknown::default(),
    };
    let message = Some(ReportedMessage::of(room, &Entry { event, overlay: None }));
    Report { message, ..report(reporter, user, at) }
}

fn resolved(report: &Report, by: &UserId) -> Report {
    let note = Reason::parse("warned").unwrap();
    let (at, by, outcome) = (later(99), by.clone(), ReportOutcome::ActionTaken);
    Report { resolution: Some(Resolution { at, by, outcome, note }), ..report.clone() }
}

/// All reports of `list`, read in pages of `size`.
async fn listed(store: &AnyStore, list: &ReportList, size: usize) -> Vec<Report> {
    let (mut reports, mut after): (Vec<_>, Option<ReportPlace>) = (Vec::new(), None);
    loop {
        let page = store.reports(list, after.as_ref(), size).await.unwrap();
        assert!(page.reports.len() <= size);
        reports.extend(page.reports);
        after = page.next;
        if after.is_none() {
            return reports;
        }
    }
}

/// Whether `report` is among the latest of `list`, which other cases share.
async fn is_listed(store: &AnyStore, list: &ReportList, report: &Report) -> bool {
    listed(store, list, 100).await.contains(report)
}

pub(crate) async fn a_report_is_made_once(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let room = RoomId::parse(&format!("{tag:016x}-room")).unwrap();
    let first = of_message(&alice, &bob, &room, NOW);
    assert_eq!(store.report(&first.id).await.unwrap(), None);
    let mut devices = JoinSet::new();
    for device in 0..8 {
        let (store, report) = (store.clone(), Report { at: later(device), ..first.clone() });
        devices.spawn(async move { store.create_report(report, true).await.unwrap() });
    }
    let answers = devices.join_all().await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Created::New(_))).count(), 1);
    let stored = store.report(&first.id).await.unwrap().unwrap();
    for answer in answers {
        assert_eq!(answer.into_parts().0, stored);
    }
    for list in stored.lists() {
        assert_eq!(listed(&store, &list, 100).await.iter().filter(|one| one.id == first.id).count(), 1);
    }
}

pub(crate) async fn a_message_has_one_open_report_of_a_reporter(store: AnyStore) {
    let tag = unique();
    let (alice, bob, carol) = (user(tag, "alice"), user(tag, "bob"), user(tag, "carol"));
    let room = RoomId::parse(&format!("{tag:016x}-room")).unwrap();
    let create = async |report: Report, is_only| store.create_report(report, is_only).await.unwrap();
    let mut before: Option<Report> = None;
    // The second time there is one that was answered.
    for round in 0..2 {
        let mut devices = JoinSet::new();
        for device in 0..8 {
            let (store, report) =
                (store.clone(), of_message(&alice, &bob, &room, later(round * 10 + device)));
            devices.spawn(async move { store.create_report(report, true).await.unwrap() });
        }
        let answers = devices.join_all().await;
        let made: Vec<&Report> = answers
            .iter()
            .filter_map(|answer| match answer {
                Created::New(report) => Some(report),
                Created::Existing(_) => None,
            })
            .collect();
        let [made] = made.as_slice() else { panic!("{made:?}") };
        let made = (*made).clone();
        assert!(before.is_none_or(|before| before.id != made.id));
        for answer in answers {
            assert_eq!(answer.into_parts().0, made);
        }
        let list = ReportList::Room { room: room.clone(), is_open: true };
        assert_eq!(listed(&store, &list, 100).await, std::slice::from_ref(&made));
        assert!(store.replace_report(&made, &resolved(&made, &carol)).await.unwrap());
        before = Some(made);
    }
    // By others, of other messages, of no message, and where it need not be the only one.
    let open = of_message(&alice, &bob, &room, NOW);
    create(open.clone(), true).await;
    let mut other = of_message(&alice, &bob, &room, NOW);
    other.message.as_mut().unwrap().seq = 8;
    for (report, is_only) in [
        (of_message(&carol, &bob, &room, NOW), true),
        (other, true),
        (report(&alice, &bob, NOW), true),
        (of_message(&alice, &bob, &room, NOW), false),
    ] {
        assert_eq!(create(report.clone(), is_only).await, Created::New(report));
    }
    assert_eq!(create(open.clone(), true).await, Created::Existing(open), "a repeat");
}

pub(crate) async fn reports_are_listed_latest_first(store: AnyStore) {
    let tag = unique();
    let (alice, bob, carol) = (user(tag, "alice"), user(tag, "bob"), user(tag, "carol"));
    let room = RoomId::parse(&format!("{tag:016x}-room")).unwrap();
    let other = RoomId::parse(&format!("{tag:016x}-room2")).unwrap();
    let in_room = ReportList::Room { room: room.clone(), is_open: true };
    assert_eq!(listed(&store, &in_room, 3).await, []);
    let mut all = Vec::new();
    for number in 0..7 {
        // Two at the same time.
        let report = of_message(&alice, &bob, &room, later(number / 2));
        store.create_report(report.clone(), false).await.unwrap();
        all.push(report);
    }
    store.create_report(of_message(&carol, &bob, &other, later(1)), true).await.unwrap();
    store.create_report(report(&alice, &carol, later(2)), true).await.unwrap();
    all.sort_by_key(Report::place);
    all.reverse();
    for size in [1, 2, 7, 100] {
        assert_eq!(listed(&store, &in_room, size).await, all, "{size}");
    }
    let sizes = async |list| listed(&store, &list, 3).await.len();
    assert_eq!(sizes(ReportList::By(alice.clone())).await, 8);
    assert_eq!(sizes(ReportList::About(bob.clone())).await, 8);
    assert_eq!(sizes(ReportList::About(carol)).await, 1);
    assert_eq!(sizes(ReportList::About(alice.clone())).await, 0);
    for report in &all {
        assert!(is_listed(&store, &ReportList::All { is_open: true }, report).await);
    }
    let by = ReportList::By(alice);
    let count = async |since, limit| store.count_reports(&by, since, limit).await.unwrap();
    assert_eq!(count(NOW, 100).await, 8);
    assert_eq!(count(NOW, 5).await, 5);
    assert_eq!(count(later(2), 100).await, 4);
    assert_eq!(count(later(4), 100).await, 0);
}

pub(crate) async fn a_report_leaves_a_list_for_another(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let room = RoomId::parse(&format!("{tag:016x}-room")).unwrap();
    let open = of_message(&alice, &bob, &room, NOW);
    store.create_report(open.clone(), true).await.unwrap();
    let (done, other) = (resolved(&open, &bob), resolved(&open, &alice));
    assert!(store.replace_report(&open, &done).await.unwrap());
    assert!(store.replace_report(&open, &done).await.unwrap(), "a repeat");
    assert!(!store.replace_report(&open, &other).await.unwrap(), "it is another one now");
    assert_eq!(store.report(&open.id).await.unwrap(), Some(done.clone()));
    for is_open in [true, false] {
        let room = ReportList::Room { room: room.clone(), is_open };
        assert_eq!(is_listed(&store, &room, &done).await, !is_open);
        assert_eq!(is_listed(&store, &ReportList::All { is_open }, &done).await, !is_open);
    }
    assert!(!store.replace_report(&report(&alice, &bob, NOW), &open).await.unwrap(), "there is none");

    let erased = done.without_words_of(&bob).unwrap().without_words_of(&alice).unwrap();
    assert!(store.replace_report(&done, &erased).await.unwrap());
    assert_eq!(store.report(&open.id).await.unwrap(), Some(erased.clone()));
    for list in [ReportList::By(alice), ReportList::About(bob)] {
        assert_eq!(listed(&store, &list, 10).await, []);
    }
    assert!(is_listed(&store, &ReportList::Room { room, is_open: false }, &erased).await);
}

pub(crate) async fn of_concurrent_answers_one_is_kept(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let open = report(&alice, &bob, NOW);
    store.create_report(open.clone(), true).await.unwrap();
    let mut moderators = JoinSet::new();
    for number in 0..8 {
        let (store, open) = (store.clone(), open.clone());
        let done = resolved(&open, &user(tag, &number.to_string()));
        moderators.spawn(async move { (store.replace_report(&open, &done).await.unwrap(), done) });
    }
    let answers = moderators.join_all().await;
    let kept: Vec<_> = answers.into_iter().filter(|(kept, _)| *kept).map(|(_, done)| done).collect();
    let stored = store.report(&open.id).await.unwrap().unwrap();
    assert_eq!(kept, [stored]);
}

pub(crate) async fn reports_are_in_no_list_of_rooms_or_members(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let node = Node::create(&store, group(&alice, &[&bob])).await;
    store.create_report(of_message(&alice, &bob, node.id(), NOW), true).await.unwrap();
    let page = store.rooms_of(&alice, None, 10).await.unwrap();
    let rooms: Vec<_> = page.rows.iter().map(|row| &row.room).collect();
    assert_eq!((rooms, page.damaged.len()), (vec![node.id()], 0));
    assert_eq!(store.members(node.id(), None, 10).await.unwrap().len(), 2);
}
