//! Requests to become a member of a room.

use parlance_core::{Action, JoinRequest, RoomId, UserId};
use parlance_proto::v1;

use super::invitations::Of;
use super::invited::{AskedFor, Counting, request_to_proto};
use super::rooms::Asked;
use super::{left_out, parse};
use crate::gate::{Admitted, Permits};
use crate::limits::{INVITED_PAGES, NOTES_FOR_ONE};
use crate::{Api, Error};

/// A room of a user's list, and their request to join it that stands.
type OwnRequest = (RoomId, Result<Option<v1::JoinRequest>, Error>);

impl Api {
    pub(crate) async fn request_to_join(
        &self,
        caller: &Admitted,
        request: v1::RequestToJoinRequest,
    ) -> Result<v1::RequestToJoinResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let action = Action::Request { note: parse::join_note(&request.note)? };
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: None };
        let mut turn = Some(self.turns.take(&caller.user, &room).await);
        self.ensure_user(caller).await?;
        let mut counting = Counting::default();
        let permits = if self.is_repeat(caller, &asked, action.clone()).await? {
            Permits::none()
        } else {
            let permits = self.take_invitations(caller, 1)?;
            let asking;
            (counting, asking) = self.check_requests_of(caller, &room).await?;
            // Who is invited becomes a member at once, others once somebody approves.
            turn = self.charge_asking(turn, caller, &room, asking).await?;
            permits
        };
        let of = Of { users: vec![caller.user.clone()], permits, counting };
        self.change_invitations(turn, caller, asked, action, of).await?;
        Ok(v1::RequestToJoinResponse {})
    }

    pub(crate) async fn withdraw_join_request(
        &self,
        caller: &Admitted,
        request: v1::WithdrawJoinRequestRequest,
    ) -> Result<v1::WithdrawJoinRequestResponse, Error> {
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: None };
        let of = Of::users(vec![caller.user.clone()]);
        self.change_invitations(None, caller, asked, Action::Withdraw, of).await?;
        Ok(v1::WithdrawJoinRequestResponse {})
    }

    pub(crate) async fn answer_join_request(
        &self,
        caller: &Admitted,
        request: v1::AnswerJoinRequestRequest,
    ) -> Result<v1::AnswerJoinRequestResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let user = parse::user_id("user_id", &request.user_id)?;
        let answer = parse::known("answer", request.answer)?;
        let turn = self.turns.take(&caller.user, &room).await;
        let action = match answer {
            v1::JoinRequestAnswer::Approve => Action::Approve { user: user.clone() },
            v1::JoinRequestAnswer::Reject => Action::Reject { user: user.clone() },
            v1::JoinRequestAnswer::Unspecified => {
                return Err(parse::field("answer", "must be to approve or to reject"));
            }
        };
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        // The room first: who may not approve does not learn who exists. An account that is being deleted has requests yet.
        if answer == v1::JoinRequestAnswer::Approve && !self.is_repeat(caller, &asked, action.clone()).await?
        {
            self.existing_users(caller, std::slice::from_ref(&user)).await?;
        }
        let of = Of::users(vec![user]);
        let outcome = self.change_invitations(Some(turn), caller, asked, action, of).await?;
        Ok(v1::AnswerJoinRequestResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn list_join_requests(
        &self,
        caller: &Admitted,
        request: v1::ListJoinRequestsRequest,
    ) -> Result<v1::ListJoinRequestsResponse, Error> {
        if request.room_id.is_empty() {
            return self.list_own_requests(caller, &request).await;
        }
        let room = parse::room_id(&request.room_id)?;
        self.may_invite(&self.access(caller, &room).await?)?;
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, UserId::parse)?;
        let (all, now) = (self.store().invitations(&room).await?, self.clock().now());
        let rest = all.requests_at(now).filter(|(user, _)| after.as_ref().is_none_or(|after| *user > after));
        let page: Vec<(UserId, JoinRequest)> =
            rest.take(size).map(|(user, asked)| (user.clone(), asked.clone())).collect();
        let users: Vec<UserId> = page.iter().map(|(user, _)| user.clone()).collect();
        // Notes are in the lists of those who wrote them.
        let lists = self.store().listed_with(&room, &users).await?;
        self.gate.charge(caller, users.len() / NOTES_FOR_ONE);
        let requests = page.iter().map(|(user, asked)| request_to_proto(&room, user, asked, lists.get(user)));
        let requests: Vec<v1::JoinRequest> = requests.collect();
        let next_page_token = parse::next_page_token(&requests, size, |last| &last.user_id);
        Ok(v1::ListJoinRequestsResponse { requests, next_page_token, unreadable_room_ids: Vec::new() })
    }

    async fn list_own_requests(
        &self,
        caller: &Admitted,
        request: &v1::ListJoinRequestsRequest,
    ) -> Result<v1::ListJoinRequestsResponse, Error> {
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, RoomId::parse)?;
        let (found, last) = self.own_requests(caller, after.as_ref(), size).await?;
        let (mut requests, mut unreadable_room_ids) = (Vec::new(), Vec::new());
        for (room, asked) in found {
            match asked {
                Ok(asked) => requests.extend(asked),
                Err(error) => unreadable_room_ids.push(left_out(&room, error)?),
            }
        }
        let next_page_token = last.map(|last| last.to_string()).unwrap_or_default();
        Ok(v1::ListJoinRequestsResponse { requests, next_page_token, unreadable_room_ids })
    }

    /// What has become of the requests of the caller, as a page of their list says, and where the next page begins.
    async fn own_requests(
        &self,
        caller: &Admitted,
        after: Option<&RoomId>,
        size: usize,
    ) -> Result<(Vec<OwnRequest>, Option<RoomId>), Error> {
        let listed = self.store().invited_to(&caller.user, after, size).await?;
        self.charge_look_up(caller, listed.len());
        let last = listed.last().filter(|_| listed.len() == size).map(|last| last.room.clone());
        let found = self.look_up_all(&caller.user, listed).await?.into_iter().map(|(room, found)| {
            let stands = |asked: AskedFor| asked.stands.then_some(asked.request);
            (room, found.map(|found| found.request.and_then(stands)).map_err(Error::from))
        });
        Ok((found.collect(), last))
    }

    /// Returns how many other rooms the caller asks to join; one to `room` does not count, since asking again changes
    /// nothing. Fails if they are many already. Two nodes that check at the same time may exceed the limit by a few.
    async fn check_requests_of(&self, caller: &Admitted, room: &RoomId) -> Result<(Counting, usize), Error> {
        let counting = self.count_invited(std::slice::from_ref(&caller.user)).await;
        let (most, size) = (self.sizes().join_requests, self.sizes().invitations);
        let (mut open, mut after) = (0, None);
        for _ in 0..INVITED_PAGES {
            let (found, last) = self.own_requests(caller, after.as_ref(), size).await?;
            let waits = |(other, asked): &OwnRequest| {
                let asked = asked.as_ref().ok().and_then(Option::as_ref);
                other != room && asked.is_some_and(|asked| !asked.rejected)
            };
            open += found.iter().filter(|found| waits(found)).count();
            match last {
                _ if open >= most => return Err(Error::TooManyJoinRequests(most)),
                None => break,
                last => after = last,
            }
        }
        Ok((counting, open))
    }
}
