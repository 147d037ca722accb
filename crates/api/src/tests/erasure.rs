//! A deletion, and what its user has begun before.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parlance_core::{Caller, SeqRange, Timestamp, UserId};
use parlance_proto::v1;
use parlance_store::{StoreError, User, UserState};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use v1::send_message_request::Target;

use crate::testing::{TestNode, hello_to, soon, user, user_caller};
use crate::{Api, EndSessions, Error, Parts};

/// Deletes alice and her messages.
async fn delete(api: &Api) {
    let app = Caller { is_service: true, ..user_caller("backend") }.into();
    let mut request = v1::DeleteUserRequest {
        user_id: "alice".to_owned(),
        messages: v1::ErasedMessages::Remove.into(),
        ..Default::default()
    };
    loop {
        request.page_token = api.delete_user(&app, request.clone()).await.unwrap().next_page_token;
        if request.page_token.is_empty() {
            return;
        }
    }
}

/// A room that she creates behind the walk would be missed.
#[tokio::test]
async fn what_a_user_has_begun_before_is_removed_too() {
    let (node, room) = TestNode::with_group().await;
    let api = &node.api;
    let ((begun, has_begun), (go_on, goes_on)) = (oneshot::channel(), oneshot::channel());
    let first = v1::SendMessageRequest {
        text: "secret".to_owned(),
        client_message_id: "secret".to_owned(),
        target: Some(Target::RoomId(room.to_string())),
        ..Default::default()
    };
    let sending = api.gate.pass(user_caller("alice"), first, |caller, request| async move {
        begun.send(()).unwrap();
        goes_on.await.unwrap();
        api.send_message(&caller, request).await
    });
    let deleting = async {
        has_begun.await.unwrap();
        let mut deleting = Box::pin(delete(api));
        let waits = timeout(Duration::from_millis(200), &mut deleting).await.is_err();
        go_on.send(()).unwrap();
        if waits {
            deleting.await;
        }
    };
    let (sent, ()) = soon(async { tokio::join!(sending, deleting) }).await;
    let sent = sent.unwrap();
    let range = SeqRange { from: sent.seq, to: sent.seq };
    let entries = api.store().read(&room, range, 1, false).await.unwrap();
    assert!(entries[0].overlay.as_ref().is_some_and(|overlay| overlay.deleted));
}

/// Other nodes, which take five seconds to read that a user was deleted.
struct Others;

impl EndSessions for Others {
    fn end<'a>(&'a self, _: &'a UserId) -> BoxFuture<'a, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }

    fn longest(&self) -> Duration {
        Duration::from_secs(5)
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_other_nodes_are_waited_for() {
    let (node, _) =
        TestNode::with_group_from(|parts| Parts { end_sessions: Some(Arc::new(Others)), ..parts }).await;
    let mut alice =
        User { state: UserState::Deleted, ..node.api.store().user(&user("alice")).await.unwrap().unwrap() };
    let (begun, mut page_token, mut calls) = (Instant::now(), String::new(), 1);
    alice.updated_at = node.api.clock().now();
    while let Some(next) = node.api.settle(&alice, &page_token).await.unwrap() {
        (page_token, calls) = (next, calls + 1);
    }
    assert_eq!((begun.elapsed().as_secs(), calls), (28, 6));
    assert!(node.api.settle(&alice, "waiting-never").await.is_err());
    // Long ago.
    alice.updated_at = Timestamp(alice.updated_at.0 - 100_000);
    let begun = Instant::now();
    assert_eq!(node.api.settle(&alice, "").await.unwrap(), None);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// It ends with the time of an operation, and what it has begun may be committed for a while.
#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_waited_for_as_long_as_it_may_last() {
    let (node, _) = TestNode::with_group().await;
    let alice = node.api.store().user(&user("alice")).await.unwrap().unwrap();
    let (begun, has_begun) = oneshot::channel();
    let request = v1::GetRoomRequest::default();
    let hanging = node.api.gate.pass(user_caller("alice"), request, |_, _| async move {
        begun.send(()).unwrap();
        std::future::pending::<Result<(), Error>>().await
    });
    let settling = async {
        has_begun.await.unwrap();
        let (begun, mut page_token, mut calls) = (Instant::now(), String::new(), 1);
        while let Some(next) = node.api.settle(&alice, &page_token).await.unwrap() {
            (page_token, calls) = (next, calls + 1);
        }
        (begun.elapsed().as_secs(), calls)
    };
    let (hung, settled) = tokio::join!(hanging, settling);
    assert_eq!((hung, settled), (Err(Error::Timeout), (23, 5)));
}

#[tokio::test]
async fn a_deleted_user_has_no_authority_left() {
    let (node, _) = TestNode::with_group().await;
    let alice = Caller { is_service: true, ..user_caller("alice") };
    let as_bob = alice.clone().acting_as(user("bob"));
    let check = async || {
        let mut checked = Vec::new();
        for caller in [&alice, &as_bob] {
            checked.push(node.api.accounts().check(caller).await);
        }
        checked.push(node.api.ensure_user(&alice).await);
        checked
    };
    let app = Caller { is_service: true, ..user_caller("backend") }.into();
    assert_eq!(check().await, [Ok(()), Ok(()), Ok(())]);
    let request = v1::DeactivateUserRequest { user_id: "alice".to_owned(), ..Default::default() };
    node.api.deactivate_user(&app, request).await.unwrap();
    assert_eq!(check().await, [Ok(()), Ok(()), Ok(())], "the backend is no person");
    delete(&node.api).await;
    assert_eq!(check().await, [Err(Error::UserDeleted), Err(Error::UserDeleted), Err(Error::UserDeleted)]);
}

#[tokio::test]
async fn who_is_deleted_gets_no_data_again() {
    let (node, _) = TestNode::with_group().await;
    let hello = hello_to("bob", "hello");
    let room_id = node.api.send_message(&user_caller("alice").into(), hello).await.unwrap().room_id;
    delete(&node.api).await;
    let app = Caller { is_service: true, ..user_caller("backend") }.into();
    let data = prost_types::Struct {
        fields: [(
            "x".to_owned(),
            prost_types::Value { kind: Some(prost_types::value::Kind::BoolValue(true)) },
        )]
        .into(),
    };
    let request = v1::UpdateMemberRequest {
        room_id,
        user_id: "alice".to_owned(),
        data: Some(data),
        request_id: "late".to_owned(),
        ..Default::default()
    };
    assert_eq!(node.api.update_member(&app, request).await, Err(Error::OtherDeleted));
}
