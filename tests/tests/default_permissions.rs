//! Permissions of rooms that have not set their own, by kind.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1;
use parlance_tests::{Person, for_each_door, fresh};
use v1::Role::{Admin, Member, Owner};

use crate::app::App;

fn roles(permissions: Option<v1::RoomPermissions>) -> [v1::Role; 6] {
    let all = permissions.unwrap();
    [all.post(), all.react(), all.invite(), all.edit_settings(), all.delete_messages(), all.mention_all()]
}

#[tokio::test]
async fn a_kind_of_room_has_permissions_of_its_own_which_clients_see() {
    let app = App::start_with(&[
        "--default-permissions",
        "channel.post=admin,channel.delete_messages=owner,group.invite=member,group.mention_all=member",
    ])
    .await;
    for_each_door(async |door| {
        let (alice, bob) = (&app.alice, &app.bob);
        let mut at_alice = alice.connect(door).await;
        let mut at_bob = bob.connect(door).await;
        let create = v1::CreateRoomRequest {
            kind: v1::RoomKind::Channel.into(),
            request_id: fresh("channel"),
            ..Default::default()
        };
        let channel = at_alice.call(create).await.unwrap().room.unwrap();
        let expected = [Admin, Member, Admin, Admin, Owner, Admin];
        assert_eq!(roles(channel.effective_permissions), expected);
        assert_eq!(channel.settings.unwrap().permissions, None, "it has none of its own");
        let join = v1::JoinRoomRequest {
            room_id: channel.room_id.clone(),
            request_id: fresh("join"),
            after_seq: None,
        };
        at_bob.call(join).await.unwrap();
        let seq = at_alice.call(Person::message(&channel.room_id, "news")).await.unwrap().seq;
        let refused = at_bob.call(Person::message(&channel.room_id, "and I?")).await.unwrap_err();
        assert_eq!(refused.reason, "needs_role");
        let react = v1::AddReactionRequest {
            room_id: channel.room_id.clone(),
            seq,
            emoji: "👍".to_owned(),
            request_id: fresh("react"),
            after_seq: None,
        };
        at_bob.call(react).await.unwrap();

        let permit = v1::UpdateRoomRequest {
            room_id: channel.room_id.clone(),
            permissions: Some(v1::RoomPermissions { post: Member.into(), ..Default::default() }),
            request_id: fresh("permit"),
            ..Default::default()
        };
        at_alice.call(permit).await.unwrap();
        at_bob.call(Person::message(&channel.room_id, "now")).await.unwrap();
        let get = v1::GetRoomRequest { room_id: channel.room_id.clone() };
        let seen = at_bob.call(get).await.unwrap().room.unwrap();
        assert_eq!(roles(seen.effective_permissions), [Member, Member, Admin, Admin, Owner, Admin]);

        // Back to what the kind has.
        let unset =
            |permissions: &[v1::RoomPermission], set: Option<v1::RoomPermissions>| v1::UpdateRoomRequest {
                room_id: channel.room_id.clone(),
                unset_permissions: permissions.iter().map(|&permission| permission.into()).collect(),
                permissions: set,
                request_id: fresh("unset"),
                ..Default::default()
            };
        let post = v1::RoomPermission::Post;
        assert_eq!(at_bob.call(unset(&[post], None)).await.unwrap_err().reason, "needs_role");
        let set = v1::RoomPermissions { post: Admin.into(), ..Default::default() };
        for wrong in [unset(&[post], Some(set)), unset(&[v1::RoomPermission::Unspecified], None)] {
            assert_eq!(at_alice.call(wrong).await.unwrap_err().reason, "invalid_field");
        }
        at_alice.call(unset(&[post, v1::RoomPermission::React], None)).await.unwrap();
        let get = v1::GetRoomRequest { room_id: channel.room_id.clone() };
        let seen = at_bob.call(get).await.unwrap().room.unwrap();
        assert_eq!(roles(seen.effective_permissions), expected);
        assert_eq!(seen.settings.unwrap().permissions, None);
        let refused = at_bob.call(Person::message(&channel.room_id, "and I?")).await.unwrap_err();
        assert_eq!(refused.reason, "needs_role");

        let group = alice.group(&[bob]).await;
        let inbox = at_bob.call(v1::ListInboxRequest::default()).await.unwrap();
        let room = |entry: v1::InboxEntry| entry.room.unwrap();
        let listed = inbox.entries.into_iter().map(room).find(|room| room.room_id == group).unwrap();
        assert_eq!(roles(listed.effective_permissions), [Member, Member, Member, Admin, Admin, Member]);
        let to_all = v1::SendMessageRequest { mention_all: true, ..Person::message(&group, "lunch, all?") };
        let seq = at_bob.call(to_all).await.unwrap().seq;
        let get = v1::GetMessageRequest { room_id: group.clone(), seq };
        let seen = at_alice.call(get).await.unwrap().message.unwrap();
        assert!(matches!(seen.body, Some(v1::event::Body::Message(message)) if message.mentions_all));
        let to_all =
            v1::SendMessageRequest { mention_all: true, ..Person::message(&channel.room_id, "all?") };
        assert_eq!(at_bob.call(to_all).await.unwrap_err().reason, "needs_role");
        // Any member may invite: so bob may see who is invited.
        at_bob.call(v1::ListRoomInvitationsRequest { room_id: group, ..Default::default() }).await.unwrap();

        let server = at_bob.call(v1::GetServerRequest::default()).await.unwrap();
        let defaults = server.default_permissions.unwrap();
        assert_eq!(roles(defaults.channel), expected);
        assert_eq!(roles(defaults.group), [Member, Member, Member, Admin, Admin, Member]);
    })
    .await;
}
