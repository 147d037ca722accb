//! What everyone reads of a room, and of a stream.

use parlance_proto::v1::{self, Event, RoomKind};
use parlance_tests::{Door, Person};

use super::NO;
use super::stage::Stage;

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

fn messages(events: &[Event]) -> Vec<u64> {
    let messages = events.iter().filter(|event| matches!(event.body, Some(v1::event::Body::Message(_))));
    messages.map(|event| event.seq).collect()
}

#[tokio::test]
async fn everyone_reads_what_is_theirs_and_no_more() {
    let stage = Stage::set().await;
    let scene = stage.scene(RoomKind::Group).await;
    let room = &scene.room;
    let log = stage.person("owner").log(room).await;
    let head = log.last().unwrap().seq;
    assert_eq!(seqs(&log), (1..=head).collect::<Vec<_>>());
    // "banned", "newcomer" and "removed" were added in this order, by id.
    let visible = [
        ("outsider", None),
        ("invited", None),
        ("service", Some((1, head))),
        ("bob", Some((1, head))),
        ("muted", Some((1, head))),
        ("admin", Some((1, head))),
        ("owner", Some((1, head))),
        ("banned", Some((scene.added, scene.banned))),
        ("newcomer", Some((scene.added + 1, head))),
        ("removed", Some((scene.added + 2, scene.removed))),
    ];
    for server in [&stage.node, &stage.bridge] {
        for (name, visible) in visible {
            for door in parlance_tests::DOORS {
                if door == Door::Grpc && std::ptr::eq(server, &stage.bridge) {
                    continue;
                }
                let who = format!("{name} through {door}");
                let person = server.person_with(name, &stage.person(name).token);
                let mut stream = person.resume(door, &[]).await;
                let is_member = name != "service" && visible.is_some_and(|(_, to)| to == head);

                let inbox = stream.call(v1::ListInboxRequest::default()).await.unwrap();
                let ids: Vec<_> =
                    inbox.entries.iter().map(|entry| &entry.room.as_ref().unwrap().room_id).collect();
                assert_eq!(ids.contains(&room), is_member, "{who}: {ids:?}");
                let last = inbox.entries.iter().find_map(|entry| entry.last_message.as_ref());
                assert_eq!(last.map(|last| last.seq), is_member.then_some(head), "{who}");

                let request = v1::ListReceiptsRequest { room_id: room.clone(), ..Default::default() };
                let receipts = stream.call(request).await;
                let of = |receipts: v1::ListReceiptsResponse| -> Vec<String> {
                    receipts.receipts.into_iter().map(|receipt| receipt.user_id).collect()
                };
                let members = ["admin", "bob", "muted", "newcomer", "owner"].map(ToOwned::to_owned).to_vec();
                let is_told = is_member || name == "service";
                let expected = if is_told { Ok(members) } else { Err(NO.to_owned()) };
                assert_eq!(receipts.map(of).map_err(|failure| failure.reason), expected, "{who}");

                let request = v1::ListEventsRequest { room_id: room.clone(), ..Default::default() };
                let events = stream.call(request).await.map_err(|failure| failure.reason);
                let request = v1::ListMessagesRequest { room_id: room.clone(), ..Default::default() };
                let listed = stream.call(request).await.map_err(|failure| failure.reason);
                let Some((from, to)) = visible else {
                    assert_eq!(events.err().as_deref(), Some(NO), "{who}");
                    assert_eq!(listed.err().as_deref(), Some(NO), "{who}");
                    continue;
                };
                let expected: Vec<u64> = (from..=to).collect();
                let events = events.unwrap();
                assert_eq!((seqs(&events.events), events.head_seq), (expected.clone(), to), "{who}");
                let of_log = messages(&log);
                let of_log: Vec<_> = of_log.into_iter().filter(|seq| expected.contains(seq)).collect();
                assert_eq!(seqs(&listed.unwrap().messages), of_log, "{who}");
                if name == "service" {
                    // It reads any room, and is pushed those that it is in.
                    continue;
                }
                // And what a stream brings that goes on after nothing.
                let mut stream = person.resume(door, &[Person::cursor(room, 0)]).await;
                assert_eq!(seqs(&stream.events_up_to(room, to).await), expected, "{who}");
            }
        }
    }
}
