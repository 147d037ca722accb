//! Each member sees the history as of a point in time: former members as of leaving; new
//! members from joining on.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1::event::Body;
use parlance_proto::v1::{self, HistoryVisibility, MemberStanding};
use parlance_tests::{Cluster, Conversation, Person, Server, for_each_door, fresh, refused, text_of};
use tonic::Code;

async fn edit(person: &Person, room: &str, seq: u64, text: &str) -> u64 {
    let (room_id, text, request_id) = (room.to_owned(), text.to_owned(), fresh("edit"));
    let request =
        v1::EditMessageRequest { room_id, seq, text, request_id, after_seq: None, ..Default::default() };
    person.chat().edit_message(request).await.unwrap().into_inner().outcome.unwrap().seq
}

async fn react(person: &Person, room: &str, seq: u64, emoji: &str) -> u64 {
    let (room_id, emoji, request_id) = (room.to_owned(), emoji.to_owned(), fresh("react"));
    let request = v1::AddReactionRequest { room_id, seq, emoji, request_id, after_seq: None };
    person.chat().add_reaction(request).await.unwrap().into_inner().outcome.unwrap().seq
}

async fn delete(person: &Person, room: &str, seq: u64) -> u64 {
    let (room_id, request_id) = (room.to_owned(), fresh("delete"));
    let request = v1::DeleteMessageRequest { room_id, seq, request_id, after_seq: None };
    person.chat().delete_message(request).await.unwrap().into_inner().outcome.unwrap().seq
}

async fn update(person: &Person, room: &str, change: v1::UpdateRoomRequest) -> u64 {
    let request = v1::UpdateRoomRequest { room_id: room.to_owned(), request_id: fresh("update"), ..change };
    person.rooms().update_room(request).await.unwrap().into_inner().outcome.unwrap().seq
}

fn titled(title: &str) -> v1::UpdateRoomRequest {
    v1::UpdateRoomRequest {
        title: Some(title.to_owned()),
        topic: Some(format!("about {title}")),
        ..Default::default()
    }
}

fn opened(visibility: HistoryVisibility) -> v1::UpdateRoomRequest {
    v1::UpdateRoomRequest { history_visibility: Some(visibility.into()), ..Default::default() }
}

fn message(event: &v1::Event) -> &v1::Message {
    match &event.body {
        Some(Body::Message(message)) => message,
        other => panic!("no message: {other:?}"),
    }
}

/// The visible form of a message: its text, whether it was deleted, how many emoji.
fn form(event: &v1::Event) -> (u64, &str, bool, usize) {
    let message = message(event);
    (event.seq, &message.text, message.deleted, message.reactions.len())
}

async fn listed(conversation: &mut Conversation, room: &str) -> Vec<v1::Event> {
    let request = v1::ListMessagesRequest { room_id: room.to_owned(), ..Default::default() };
    conversation.call(request).await.unwrap().messages
}

/// The messages of a page of all events.
async fn paged(conversation: &mut Conversation, room: &str) -> Vec<v1::Event> {
    let request = v1::ListEventsRequest { room_id: room.to_owned(), ..Default::default() };
    let events = conversation.call(request).await.unwrap().events;
    events.into_iter().filter(|event| matches!(event.body, Some(Body::Message(_)))).collect()
}

/// Alice and bob chat, bob is removed, and alice changes everything. All answers to bob at
/// `bob`, possibly another node, are as before.
async fn changes_after_removal_are_not_seen(alice: &Person, bob: &Person) {
    let room = alice.group(&[bob]).await;
    update(alice, &room, titled("before")).await;
    let twice = alice.say(&room, "one").await;
    let once = alice.say(&room, "sent").await;
    let gone = alice.say(&room, "to be deleted").await;
    let kept = alice.say(&room, "as it was").await;
    edit(alice, &room, twice, "two").await;
    react(alice, &room, kept, "👍").await;
    let removed = alice.remove(&room, bob).await;
    edit(alice, &room, twice, "three").await;
    edit(alice, &room, once, "changed").await;
    react(alice, &room, once, "👀").await;
    delete(alice, &room, gone).await;
    update(alice, &room, titled("after")).await;

    let expected = [
        (twice, "two", false, 0),
        (once, "sent", false, 0),
        (gone, "", true, 0),
        (kept, "as it was", false, 1),
    ];
    for_each_door(async |door| {
        let mut at_bob = bob.resume(door, &[Person::cursor(&room, 0)]).await;
        let pushed = at_bob.events_up_to(&room, removed).await;
        let pushed: Vec<_> =
            pushed.into_iter().filter(|event| matches!(event.body, Some(Body::Message(_)))).collect();
        let (listed, paged) = (listed(&mut at_bob, &room).await, paged(&mut at_bob, &room).await);
        for (how, events) in [("pushed", &pushed), ("listed", &listed), ("paged", &paged)] {
            assert_eq!(events.iter().map(form).collect::<Vec<_>>(), expected, "{how}");
            assert!(events.iter().all(|event| message(event).changed_seq <= removed), "{how}: {events:?}");
        }
        for expected in expected {
            let request = v1::GetMessageRequest { room_id: room.clone(), seq: expected.0 };
            let event = at_bob.call(request).await.unwrap().message.unwrap();
            assert_eq!(form(&event), expected);
        }
        let request = v1::ListRoomsRequest { include_left: true, ..Default::default() };
        let rooms = at_bob.call(request).await.unwrap().rooms;
        let settings = rooms.iter().find(|known| known.room_id == room).unwrap().settings.clone().unwrap();
        assert_eq!((&*settings.title, &*settings.topic), ("before", "about before"));
    })
    .await;
    // For a member it is as it is now.
    let now: Vec<_> = alice.log(&room).await;
    let now: Vec<_> =
        now.iter().filter(|event| matches!(event.body, Some(Body::Message(_)))).map(form).collect();
    assert_eq!(now[..2], [(twice, "three", false, 0), (once, "changed", false, 1)]);

    // And for a member who returned.
    alice.add(&room, bob).await;
    let again = bob.log(&room).await;
    let again: Vec<_> =
        again.iter().filter(|event| matches!(event.body, Some(Body::Message(_)))).map(form).collect();
    assert_eq!(again[..2], [(twice, "three", false, 0), (once, "changed", false, 1)]);
}

#[tokio::test]
async fn removed_member_sees_messages_as_they_were() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    changes_after_removal_are_not_seen(&alice, &bob).await;
}

#[tokio::test]
async fn removed_member_sees_messages_as_they_were_on_every_node() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.person(0, "alice"), cluster.person(1, "bob"));
    for person in [&alice, &bob] {
        person.users().get_user(v1::GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    }
    changes_after_removal_are_not_seen(&alice, &bob).await;
}

#[tokio::test]
async fn title_of_a_channel_is_that_of_leaving() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.channel().await;
    update(&alice, &room, titled("before")).await;
    alice.add(&room, &bob).await;
    alice.remove(&room, &bob).await;
    update(&alice, &room, titled("after")).await;
    for_each_door(async |door| {
        let mut at_bob = bob.connect(door).await;
        let answer = at_bob.call(v1::GetRoomRequest { room_id: room.clone() }).await.unwrap();
        assert_eq!(answer.room.unwrap().settings.unwrap().title, "before");
        assert_eq!(answer.membership.unwrap().standing(), MemberStanding::Removed);
    })
    .await;
}

#[tokio::test]
async fn changes_of_messages_from_before_one_joined_come_without_content() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let [alice, bob, carol] = [fresh("alice"), fresh("bob"), fresh("carol")];
        let (alice, bob, carol) =
            (server.person(&alice).await, server.person(&bob).await, server.person(&carol).await);
        let room = alice.group(&[&carol]).await;
        let hidden = alice.say(&room, "not for bob").await;
        let joined = alice.add(&room, &bob).await;
        let shown = alice.say(&room, "for bob").await;
        // A connected member, one that receives it live, and one who catches up.
        let (mut at_carol, mut at_bob) = (carol.connect(door).await, bob.connect(door).await);
        at_bob.events_up_to(&room, shown).await;
        at_carol.events_up_to(&room, shown).await;
        let edited = edit(&alice, &room, hidden, "still not for bob").await;
        react(&alice, &room, hidden, "👀").await;
        edit(&alice, &room, shown, "and this is").await;
        let last = react(&alice, &room, shown, "👍").await;

        let contents = |events: Vec<v1::Event>| -> Vec<String> {
            let content = |event: &v1::Event| match &event.body {
                Some(Body::MessageEdited(edited)) => edited.text.clone(),
                Some(Body::ReactionAdded(added)) => added.emoji.clone(),
                other => panic!("no change of a message: {other:?}"),
            };
            events.iter().filter(|event| event.seq >= edited).map(content).collect()
        };
        let blank = ["", "", "and this is", "👍"];
        let whole = ["still not for bob", "👀", "and this is", "👍"];
        assert_eq!(contents(at_carol.events_up_to(&room, last).await), whole);
        assert_eq!(contents(at_bob.events_up_to(&room, last).await), blank);
        let mut again = bob.resume(door, &[Person::cursor(&room, shown)]).await;
        assert_eq!(contents(again.events_up_to(&room, last).await), blank);
        assert_eq!(contents(bob.log(&room).await), blank);
        assert_eq!(contents(carol.log(&room).await), whole);

        // An earlier member also sees what was said then.
        let seen = alice.remove(&room, &carol).await;
        let unseen = alice.say(&room, "not for carol").await;
        alice.add(&room, &carol).await;
        let mut at_carol = carol.connect(door).await;
        let head = edit(&alice, &room, unseen, "still not for carol").await;
        let head = edit(&alice, &room, hidden, "for carol").await.max(head);
        let of = |events: Vec<v1::Event>| -> Vec<String> {
            let events = events.into_iter().filter(|event| event.seq > seen);
            let text = |event: v1::Event| match event.body {
                Some(Body::MessageEdited(edited)) => Some(edited.text),
                _ => None,
            };
            events.filter_map(text).collect()
        };
        assert_eq!(of(at_carol.events_up_to(&room, head).await), ["", "for carol"]);
        assert_eq!(of(carol.log(&room).await), ["", "for carol"]);
        // A reply reveals the seq of the original message, but no more.
        let reply = v1::SendMessageRequest { reply_to_seq: hidden, ..Person::message(&room, "an answer") };
        let reply = alice.chat().send_message(reply).await.unwrap().into_inner().seq;
        let seen = bob.log(&room).await.into_iter().find(|event| event.seq == reply).unwrap();
        assert_eq!((text_of(&seen), message(&seen).reply_to_seq), ("an answer", hidden));
        assert!(joined < reply);
    })
    .await;
}

#[tokio::test]
async fn opening_the_past_does_not_open_it_to_those_who_have_left() {
    let server = Server::start().await;
    let (alice, bob, carol) =
        (server.person("alice").await, server.person("bob").await, server.person("carol").await);
    let room = alice.group(&[]).await;
    let before = alice.say(&room, "before bob").await;
    let joined = alice.add(&room, &bob).await;
    alice.add(&room, &carol).await;
    alice.remove(&room, &bob).await;
    update(&alice, &room, opened(HistoryVisibility::All)).await;
    for_each_door(async |door| {
        let (mut at_bob, mut at_carol) = (bob.connect(door).await, carol.connect(door).await);
        let request = v1::GetMessageRequest { room_id: room.clone(), seq: before };
        let not_found = (Code::NotFound, "message_not_found".to_owned());
        assert_eq!(refused(at_bob.call(request.clone()).await), not_found);
        assert_eq!(at_carol.call(request).await.unwrap().message.unwrap().seq, before);
    })
    .await;
    assert_eq!(bob.log(&room).await[0].seq, joined);
}

#[tokio::test]
async fn removed_member_cannot_rejoin_and_one_who_left_can() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let denied = |reason: &str| (Code::PermissionDenied, reason.to_owned());
    for_each_door(async |door| {
        let room = alice.channel().await;
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        let join =
            || v1::JoinRoomRequest { room_id: room.clone(), request_id: fresh("join"), after_seq: None };
        let leave =
            v1::LeaveRoomRequest { room_id: room.clone(), request_id: fresh("leave"), after_seq: None };
        let ban = || {
            let (user_id, request_id) = (bob.id.clone(), fresh("ban"));
            v1::BanMemberRequest { room_id: room.clone(), user_id, request_id, ..Default::default() }
        };
        let unban = || {
            let (user_id, request_id) = (bob.id.clone(), fresh("unban"));
            v1::UnbanMemberRequest { room_id: room.clone(), user_id, request_id, after_seq: None }
        };
        let add = || {
            let (user_ids, request_id) = (vec![bob.id.clone()], fresh("add"));
            v1::AddMembersRequest { room_id: room.clone(), user_ids, request_id, after_seq: None }
        };
        at_bob.call(join()).await.unwrap();
        at_bob.call(leave).await.unwrap();
        at_bob.call(join()).await.unwrap();
        assert_eq!(refused(at_bob.call(ban()).await), denied("needs_role"));
        alice.remove(&room, &bob).await;
        assert_eq!(refused(at_bob.call(join()).await), denied("removed"));
        at_alice.call(add()).await.unwrap();
        alice.say(&room, "welcome back").await;

        let banned = at_alice.call(ban()).await.unwrap().outcome.unwrap();
        assert_eq!(banned.last_seq, banned.seq + 1, "removed, and banned");
        let events = alice.log(&room).await;
        assert!(matches!(&events.last().unwrap().body, Some(Body::MemberBanned(b)) if b.user_id == bob.id));
        assert_eq!(bob.log(&room).await.last().unwrap().seq, banned.seq, "the removal is the last they see");
        assert_eq!(refused(at_bob.call(join()).await), denied("banned"));
        let target = (Code::FailedPrecondition, "target_banned".to_owned());
        assert_eq!(refused(at_alice.call(add()).await), target);
        assert_eq!(at_alice.call(ban()).await.unwrap().outcome.unwrap().seq, 0, "nothing to change");
        at_alice.call(unban()).await.unwrap();
        at_bob.call(join()).await.unwrap();
        alice.say(&room, "welcome back").await;
    })
    .await;
}

#[tokio::test]
async fn presence_of_a_removed_member_is_not_signalled_to_the_room() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let [alice, bob, carol] = [fresh("alice"), fresh("bob"), fresh("carol")];
        let (alice, bob, carol) =
            (server.person(&alice).await, server.person(&bob).await, server.person(&carol).await);
        let (shared, other) = (alice.group(&[&bob]).await, carol.group(&[&bob]).await);
        let (mut at_alice, mut at_carol) = (alice.connect(door).await, carol.connect(door).await);
        let mut at_bob = bob.connect(door).await;
        let came = v1::signal::Signal::Presence(v1::Presence { user_id: bob.id.clone(), online: true });
        assert_eq!(at_alice.signal().await, came);
        assert_eq!(at_carol.signal().await, came);
        let removed = alice.remove(&shared, &bob).await;
        at_bob.events_up_to(&shared, removed).await;
        drop(at_bob);
        let went = v1::signal::Signal::Presence(v1::Presence { user_id: bob.id.clone(), online: false });
        assert_eq!(at_carol.signal().await, went);
        // Sent to all at the same time: alice must receive something later first.
        let marker = alice.group(&[&carol]).await;
        at_alice.call(v1::SendTypingRequest { room_id: marker.clone() }).await.unwrap();
        let dan = server.person(&fresh("dan")).await;
        alice.add(&marker, &dan).await;
        let mut at_dan = dan.connect(door).await;
        at_dan.call(v1::SendTypingRequest { room_id: marker }).await.unwrap();
        let next = at_alice.signal().await;
        assert!(!matches!(&next, v1::signal::Signal::Presence(gone) if gone.user_id == bob.id), "{next:?}");
        drop(other);
    })
    .await;
}
