//! Converts between invitations, links and requests to join, and their records.

use std::collections::BTreeMap;

use parlance_core::{
    Invitation, Invitations, JoinRequest, Link, LinkHash, Listed, Reason, RequestEnd, RoomId, Timestamp,
    UserId,
};
use parlance_proto::storage::v1::{
    InvitationLinkRecord, InvitationRecord, InvitationsRecord, InvitedRecord, JoinRequestRecord,
    JoinRequestsRecord,
};
use prost::Message;

use crate::StoreError;
use crate::record::damaged;

fn link_record(link: &Link) -> InvitationLinkRecord {
    InvitationLinkRecord {
        seq: link.seq,
        secret_hash: link.hash.bytes().to_vec().into(),
        created_by: link.by.as_str().to_owned(),
        at_ms: link.at.0,
        until_ms: link.until.0,
        max_uses: link.max_uses,
        uses: link.uses,
        by_app: link.by_app,
    }
}

fn link(record: InvitationLinkRecord) -> Option<Link> {
    Some(Link {
        seq: record.seq,
        hash: LinkHash::new(record.secret_hash.as_ref().try_into().ok()?),
        by: UserId::parse(&record.created_by).ok()?,
        at: Timestamp(record.at_ms),
        until: Timestamp(record.until_ms),
        max_uses: record.max_uses,
        uses: record.uses,
        by_app: record.by_app,
    })
}

fn request_record((user, request): (&UserId, &JoinRequest)) -> JoinRequestRecord {
    JoinRequestRecord {
        user_id: user.as_str().to_owned(),
        at_ms: request.at.0,
        until_ms: request.until.0,
        seq: request.seq,
        rejected: request.is_rejected(),
        withdrawn: request.ended == Some(RequestEnd::Withdrawn),
        withdrawals: request.withdrawals,
    }
}

fn request(record: JoinRequestRecord) -> Option<(UserId, JoinRequest)> {
    let (at, until) = (Timestamp(record.at_ms), Timestamp(record.until_ms));
    let ended = match (record.rejected, record.withdrawn) {
        (true, _) => Some(RequestEnd::Rejected),
        (false, true) => Some(RequestEnd::Withdrawn),
        (false, false) => None,
    };
    let request = JoinRequest { at, until, seq: record.seq, ended, withdrawals: record.withdrawals };
    Some((UserId::parse(&record.user_id).ok()?, request))
}

/// Without the requests to join, see [`encode_requests`].
pub(crate) fn encode_invitations(invitations: &Invitations) -> Vec<u8> {
    let record = |(user, invitation): (&UserId, &Invitation)| InvitationRecord {
        user_id: user.as_str().to_owned(),
        invited_by: invitation.by.as_str().to_owned(),
        at_ms: invitation.at.0,
        until_ms: invitation.until.0,
        seq: invitation.seq,
    };
    InvitationsRecord {
        invitations: invitations.iter().map(record).collect(),
        changed_seq: invitations.changed_at(),
        links: invitations.links().map(link_record).collect(),
    }
    .encode_to_vec()
}

pub(crate) fn encode_requests(invitations: &Invitations) -> Vec<u8> {
    let (requests, changed_seq) =
        (invitations.requests().map(request_record).collect(), invitations.changed_at());
    JoinRequestsRecord { requests, changed_seq }.encode_to_vec()
}

pub(crate) fn decode_invitations(room: &RoomId, bytes: &[u8]) -> Result<Invitations, StoreError> {
    let read = || {
        let record = InvitationsRecord::decode(bytes).ok()?;
        let invitation = |record: InvitationRecord| {
            let invitation = Invitation {
                by: UserId::parse(&record.invited_by).ok()?,
                at: Timestamp(record.at_ms),
                until: Timestamp(record.until_ms),
                seq: record.seq,
            };
            Some((UserId::parse(&record.user_id).ok()?, invitation))
        };
        let all: Option<BTreeMap<_, _>> = record.invitations.into_iter().map(invitation).collect();
        let links: Option<Vec<_>> = record.links.into_iter().map(link).collect();
        Some(Invitations::new(record.changed_seq, all?).with_links(links?))
    };
    read().ok_or_else(|| damaged("the invitations", format_args!("room {room}")))
}

/// `invitations` with the requests to join of `bytes`.
pub(crate) fn decode_requests(
    room: &RoomId,
    bytes: &[u8],
    invitations: Invitations,
) -> Result<Invitations, StoreError> {
    let read = || {
        let record = JoinRequestsRecord::decode(bytes).ok()?;
        let requests: Option<BTreeMap<_, _>> = record.requests.into_iter().map(request).collect();
        Some(invitations.with_requests(record.changed_seq, requests?))
    };
    read().ok_or_else(|| damaged("the requests to join", format_args!("room {room}")))
}

pub(crate) fn encode_invited(listed: &Listed) -> Vec<u8> {
    InvitedRecord { seq: listed.seq, note: listed.note.as_str().to_owned() }.encode_to_vec()
}

pub(crate) fn decode_invited(user: &UserId, bytes: &[u8]) -> Result<Listed, StoreError> {
    let record = InvitedRecord::decode(bytes).map_err(|_| damaged("the invitations", user))?;
    Ok(Listed { seq: record.seq, note: Reason::stored(&record.note) })
}
