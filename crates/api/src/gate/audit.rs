//! The audit log: decisions about other users, changes by the app's own backend, and attempts to act as somebody else.
//! Message contents are never recorded.

use std::net::IpAddr;

use parlance_core::{Caller, ReportId, RoomId, UserId};
use parlance_proto::error::Failure;

use super::calls::{About, Call, Class, Operation};
use crate::Error;

/// One call that has a line in the audit log, however it ends.
pub(super) struct Audited {
    operation: &'static Operation,
    user: UserId,
    service: Option<UserId>,
    /// Whom the caller tried to act as.
    as_user: Option<UserId>,
    /// The user, the room and the report that the call is about.
    about_user: Option<UserId>,
    about_room: Option<RoomId>,
    about_report: Option<ReportId>,
    client: Option<IpAddr>,
    is_service: bool,
    /// How it ended is in the log.
    is_logged: bool,
}

impl Audited {
    /// The call, if it is one that is audited.
    pub(super) fn of<Q: Call>(caller: &Caller, request: &Q) -> Option<Self> {
        let operation = Q::operation();
        let is_app = caller.is_app() && operation.class == Class::Change;
        let is_audited = operation.class == Class::Authority || is_app;
        is_audited.then(|| {
            let mut audited = Self::new(operation, caller, None);
            // Only valid ids: anything else may be of any length.
            let About { user_id, room_id, report_id } = request.about();
            audited.about_user = UserId::parse(user_id).ok();
            audited.about_room = RoomId::parse(room_id).ok();
            audited.about_report = ReportId::parse(report_id).ok();
            audited
        })
    }

    /// A call in the name of `as_user`, which is recorded if it may be a user's id.
    pub(super) fn acting(operation: &'static Operation, caller: &Caller, as_user: &str) -> Self {
        Self::new(operation, caller, UserId::parse(as_user).ok())
    }

    fn new(operation: &'static Operation, caller: &Caller, as_user: Option<UserId>) -> Self {
        Self {
            operation,
            as_user,
            about_user: None,
            about_room: None,
            about_report: None,
            is_logged: false,
            user: caller.user.clone(),
            service: caller.service.clone(),
            client: caller.client,
            is_service: caller.is_service,
        }
    }

    pub(super) fn log<T>(mut self, result: &Result<T, Error>) {
        self.is_logged = true;
        self.write(result.as_ref().err().map(|error| Failure::from(error.clone()).reason), None);
    }

    fn write(&self, refused: Option<String>, unfinished: Option<&str>) {
        let Self { operation, user, service, as_user, about_user, about_room, about_report, .. } = self;
        let Self { client, is_service, .. } = self;
        let service = service.as_ref().map(UserId::as_str);
        let as_user = as_user.as_ref().map(UserId::as_str);
        let about_user = about_user.as_ref().map(UserId::as_str);
        let about_room = about_room.as_ref().map(RoomId::as_str);
        let about_report = about_report.as_ref().map(ReportId::as_str);
        let client = client.map(tracing::field::display);
        tracing::info!(
            target: "parlance::audit",
            operation = operation.name,
            %user,
            service,
            as_user,
            about_user,
            about_room,
            about_report,
            client,
            is_service,
            refused,
            unfinished,
        );
    }
}

/// Logs a call whose caller vanished before its end. The call may still be carried out.
impl Drop for Audited {
    fn drop(&mut self) {
        if !self.is_logged {
            self.write(None, Some("caller_gone"));
        }
    }
}

#[cfg(test)]
mod tests {
    use parlance_proto::v1;

    use super::*;
    use crate::testing::user_caller;

    #[test]
    fn moderation_is_audited_and_messages_are_not() {
        let service = Caller { is_service: true, ..user_caller("alice") };
        let alice = user_caller("alice");
        assert!(Audited::of(&alice, &v1::BanMemberRequest::default()).is_some());
        assert!(Audited::of(&alice, &v1::SendMessageRequest::default()).is_none());
        assert!(Audited::of(&service, &v1::SendMessageRequest::default()).is_some());
        assert!(Audited::of(&service, &v1::ListRoomsRequest::default()).is_none());
    }

    #[test]
    fn what_a_call_is_about_is_named() {
        let (service, alice) = (Caller { is_service: true, ..user_caller("shop") }, user_caller("alice"));
        let id = |id: &str| id.to_owned();
        let resolve = v1::ResolveReportRequest { report_id: id("p1"), ..Default::default() };
        let audited = Audited::of(&alice, &resolve).unwrap();
        assert_eq!(audited.about_report.as_ref().map(ReportId::as_str), Some("p1"));
        let report = v1::ReportMessageRequest { room_id: id("r1"), ..Default::default() };
        let target = Some(v1::send_message_request::Target::RoomId(id("r1")));
        let send = v1::SendMessageRequest { target, ..Default::default() };
        for audited in [Audited::of(&service, &report), Audited::of(&service, &send)] {
            assert_eq!(audited.unwrap().about_room.as_ref().map(RoomId::as_str), Some("r1"));
        }
        let report = v1::ReportUserRequest { user_id: id("bob"), ..Default::default() };
        let audited = Audited::of(&service, &report).unwrap();
        assert_eq!(audited.about_user.as_ref().map(UserId::as_str), Some("bob"));
    }
}
