//! What the tokens of pages say, through every door: nothing of what is not on the pages.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1;
use parlance_tests::{DOORS, Server, fresh};

#[tokio::test]
async fn page_tokens_say_nothing_of_reports_that_are_not_shown() {
    let server = Server::start().await;
    let (owner, admin) = (server.person("owner").await, server.person("admin").await);
    let member = server.person("member").await;
    let room = owner.group(&[&admin, &member]).await;
    let role = v1::SetRoleRequest {
        room_id: room.clone(),
        user_id: admin.id.clone(),
        role: v1::Role::Admin.into(),
        request_id: fresh("role"),
        after_seq: None,
    };
    owner.rooms().set_role(role).await.unwrap();
    let (of_member, of_admin) = (member.say(&room, "x").await, admin.say(&room, "y").await);
    let later = [admin.say(&room, "z").await, member.say(&room, "w").await];
    for seq in [of_admin, of_member, later[0], later[1]] {
        let by = if [of_member, later[1]].contains(&seq) { &owner } else { &member };
        let report = v1::ReportMessageRequest {
            room_id: room.clone(),
            seq,
            request_id: fresh("report"),
            ..Default::default()
        };
        by.chat().report_message(report).await.unwrap();
    }
    for door in DOORS {
        let mut at = admin.connect(door).await;
        let (mut seqs, mut tokens, mut token) = (Vec::new(), 0, String::new());
        loop {
            let (room_id, page_token) = (room.clone(), token);
            let request = v1::ListReportsRequest { room_id, page_token, page_size: 1, ..Default::default() };
            let page = at.call(request).await.unwrap();
            assert_eq!(page.reports.len(), 1, "{door}: no page but with a report");
            seqs.extend(page.reports.iter().map(|report| report.seq));
            token = page.next_page_token;
            tokens += 1;
            if token.is_empty() {
                break;
            }
            let shown = page.reports[0].report_id.as_str();
            assert!(token.ends_with(shown), "{door}: {token} names {shown}");
        }
        assert_eq!((seqs, tokens), (vec![later[1], of_member], 2), "{door}");
    }
}

#[tokio::test]
async fn page_tokens_do_not_name_former_members() {
    let server = Server::start().await;
    let mut people = Vec::new();
    for name in ["alice", "bob", "carol", "dave", "erin"] {
        people.push(server.person(name).await);
    }
    let [alice, bob, carol, dave, erin] = people.as_slice() else { unreachable!() };
    let room = alice.group(&[bob, carol, dave]).await;
    for left in [bob, carol] {
        alice.remove(&room, left).await;
    }
    alice.add(&room, erin).await;
    for door in DOORS {
        let mut at = erin.connect(door).await;
        let (mut members, mut read, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let (room_id, page_token) = (room.clone(), token.clone());
            let page = at.call(v1::ListMembersRequest { room_id, page_token, page_size: 1 }).await.unwrap();
            let (room_id, page_token) = (room.clone(), token.clone());
            let receipts =
                at.call(v1::ListReceiptsRequest { room_id, page_token, page_size: 1 }).await.unwrap();
            assert_eq!(receipts.next_page_token, page.next_page_token, "{door}");
            members.extend(page.members.into_iter().map(|member| member.user_id));
            read.extend(receipts.receipts.into_iter().map(|receipt| receipt.user_id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
            assert_eq!(Some(&token), members.last(), "{door}: names whom they saw");
        }
        let expected = [alice, dave, erin].map(|person| person.id.clone());
        assert_eq!((members, read), (expected.to_vec(), expected.to_vec()), "{door}");
    }
}
