//! Links by which users join.

use std::collections::BTreeSet;

use parlance_core::{Action, Body, Link, LinkHash, Permission, Refusal, RoomId, RoomKind, SeqRange, UserId};
use parlance_proto::{convert, v1};
use parlance_runtime::random;
use parlance_store::{StoredRoom, UserState};
use ring::digest::{SHA256, digest};

use super::invitations::Of;
use super::parse;
use super::rooms::Asked;
use crate::gate::{Admitted, Permits};
use crate::limits::{MAX_SECRET_BYTES, SECRET_BYTES};
use crate::{Api, Error};

impl Api {
    pub(crate) async fn create_invitation_link(
        &self,
        caller: &Admitted,
        request: v1::CreateInvitationLinkRequest,
    ) -> Result<v1::CreateInvitationLinkResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let lasts = parse::link_age("duration", request.duration.as_ref())?;
        let max_uses = parse::link_uses("max_uses", request.max_uses)?;
        let secret = new_secret();
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let action = Action::CreateLink { hash: hash_of(&secret), lasts, max_uses };
        let turn = self.turns.take(&caller.user, &room).await;
        let permits = if self.is_repeat(caller, &asked, action.clone()).await? {
            Permits::none()
        } else {
            self.take_invitations(caller, 1)?
        };
        let of = Of { permits, ..Of::users(Vec::new()) };
        let outcome = self.change_invitations(Some(turn), caller, asked, action, of).await?;
        // The secret is answered in any case: it is nowhere else.
        let link = self.link_made_at(&room, outcome.seq).await.unwrap_or_else(|error| {
            tracing::debug!(%room, %error, "cannot read a link that was made");
            None
        });
        // That of a repeat is that of no link.
        let secret = if outcome.is_repeat { String::new() } else { secret };
        Ok(v1::CreateInvitationLinkResponse { outcome: Some(outcome), link, secret })
    }

    pub(crate) async fn revoke_invitation_link(
        &self,
        caller: &Admitted,
        request: v1::RevokeInvitationLinkRequest,
    ) -> Result<v1::RevokeInvitationLinkResponse, Error> {
        let link = parse::seq_of("link_seq", request.link_seq)?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::RevokeLink { link }).await?;
        Ok(v1::RevokeInvitationLinkResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn list_invitation_links(
        &self,
        caller: &Admitted,
        request: v1::ListInvitationLinksRequest,
    ) -> Result<v1::ListInvitationLinksResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let access = self.access(caller, &room).await?;
        self.may_invite(&access)?;
        let (all, now) = (self.store().issued(&room).await?, self.clock().now());
        let open: Vec<&Link> = all.links().filter(|link| link.is_open_at(now)).collect();
        let inviting = self.inviting_makers(&access.room, &open).await?;
        let links = open.into_iter().map(|link| v1::InvitationLink {
            suspended: !is_backed(link, &inviting),
            ..to_proto(&room, link)
        });
        Ok(v1::ListInvitationLinksResponse { links: links.collect() })
    }

    pub(crate) async fn get_invitation_link(
        &self,
        caller: &Admitted,
        request: v1::GetInvitationLinkRequest,
    ) -> Result<v1::GetInvitationLinkResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let hash = given_secret(&request.secret)?;
        // Only guesses are charged.
        let permits = self.take_invitations(caller, 1)?;
        let Some((stored, link)) = self.link_to(&room, &hash).await? else {
            permits.spend();
            return Err(link_invalid(&room));
        };
        Ok(v1::GetInvitationLinkResponse {
            room_id: room.to_string(),
            kind: convert::room_kind(stored.info.kind).into(),
            title: stored.info.settings.title.as_str().to_owned(),
            image_url: stored.info.settings.image.as_str().to_owned(),
            member_count: stored.head().member_count(),
            until: Some(convert::timestamp(link.until)),
        })
    }

    pub(crate) async fn join_by_link(
        &self,
        caller: &Admitted,
        request: v1::JoinByLinkRequest,
    ) -> Result<v1::JoinByLinkResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let hash = given_secret(&request.secret)?;
        let permits = self.take_invitations(caller, 1)?;
        let turn = Some(self.turns.take(&caller.user, &room).await);
        self.ensure_user(caller).await?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: None };
        let action = Action::JoinByLink { hash };
        // Guesses are charged, and count as no room that the caller joins.
        let seen = self.is_repeat(caller, &asked, action.clone()).await;
        if let Err(error) = &seen
            && is_no_link(error)
        {
            permits.spend();
            return Err(link_invalid(&room));
        }
        // Before what the room says to who has the secret.
        if !matches!(seen, Ok(true)) && self.is_suspended(caller, &room, &hash).await? {
            permits.spend();
            return Err(link_invalid(&room));
        }
        let turn = if seen? { turn } else { self.charge_joining(turn, caller, &room).await? };
        match self.change_in_turn(turn, caller, asked, action).await {
            Err(error) if is_no_link(&error) => Err(link_invalid(&room)),
            joined => Ok(v1::JoinByLinkResponse { outcome: Some(joined?) }),
        }
    }

    /// The link to `room` whose secret has `hash`, if one can be used.
    async fn link_to(&self, room: &RoomId, hash: &LinkHash) -> Result<Option<(StoredRoom, Link)>, Error> {
        let stored = self.store().room(room).await?;
        let leads_somewhere = |stored: &StoredRoom| {
            let info = &stored.info;
            !info.deleted && info.kind != RoomKind::Direct && stored.head().member_count() > 0
        };
        let Some(stored) = stored.filter(leads_somewhere) else { return Ok(None) };
        let all = self.store().issued(room).await?;
        let Some(link) = all.link_of(hash, self.clock().now()) else { return Ok(None) };
        let inviting = self.inviting_makers(&stored, &[link]).await?;
        Ok(is_backed(link, &inviting).then(|| (stored, link.clone())))
    }

    /// Whether nobody joins by the link to `room` whose secret has `hash` because whoever made it may do nothing at present.
    /// To members of the room a link makes no difference.
    async fn is_suspended(&self, caller: &Admitted, room: &RoomId, hash: &LinkHash) -> Result<bool, Error> {
        let all = self.store().issued(room).await?;
        let link = all.link_of(hash, self.clock().now()).filter(|link| !link.by_app);
        let Some(link) = link else { return Ok(false) };
        if self.may_act(&link.by).await? {
            return Ok(false);
        }
        let member = self.store().member(room, &caller.user).await?;
        Ok(!member.is_some_and(|member| member.is_active()))
    }

    /// Whether a user is neither deactivated nor deleted: rooms do not know that of their members.
    async fn may_act(&self, user: &UserId) -> Result<bool, Error> {
        if self.is_known(user) {
            return Ok(true);
        }
        let found = self.accounts().look_up(user).await?;
        Ok(found.is_none_or(|found| found.state == UserState::Active))
    }

    /// Those who made `links`, and may invite to `room` at present.
    async fn inviting_makers(&self, room: &StoredRoom, links: &[&Link]) -> Result<BTreeSet<UserId>, Error> {
        let makers: BTreeSet<UserId> = links.iter().map(|link| link.by.clone()).collect();
        let rows = self.store().members_by_id(&room.info.id, &Vec::from_iter(makers)).await?;
        let role = self.permissions_of(room).role_for(Permission::Invite);
        let mut inviting = BTreeSet::new();
        for row in rows.into_iter().filter(|row| row.is_active() && row.role >= role) {
            if self.may_act(&row.user).await? {
                inviting.insert(row.user);
            }
        }
        Ok(inviting)
    }

    /// The link as the event at `seq` made it.
    async fn link_made_at(&self, room: &RoomId, seq: u64) -> Result<Option<v1::InvitationLink>, Error> {
        let range = SeqRange { from: seq, to: seq };
        let entries = self.store().read(room, range, 1, false).await?;
        Ok(entries.first().and_then(|entry| match &entry.event.body {
            Body::LinkCreated { until, max_uses } => Some(v1::InvitationLink {
                room_id: room.to_string(),
                link_seq: seq,
                created_by: entry.event.actor.to_string(),
                at: Some(convert::timestamp(entry.event.at)),
                until: Some(convert::timestamp(*until)),
                max_uses: *max_uses,
                ..Default::default()
            }),
            _ => None,
        }))
    }
}

/// Whether who made `link` may invite: the app, or one of `inviting`.
fn is_backed(link: &Link, inviting: &BTreeSet<UserId>) -> bool {
    link.by_app || inviting.contains(&link.by)
}

/// From the generator of the operating system.
fn new_secret() -> String {
    format!("{:032x}", u128::from_be_bytes(random::bytes::<SECRET_BYTES>()))
}

/// Secrets are random, so one round of hashing is enough.
fn hash_of(secret: &str) -> LinkHash {
    let hash = digest(&SHA256, secret.as_bytes());
    let bytes = hash.as_ref().try_into();
    LinkHash::new(bytes.unwrap_or_else(|_| unreachable!("SHA-256 has this size")))
}

fn given_secret(secret: &str) -> Result<LinkHash, Error> {
    if secret.is_empty() || secret.len() > MAX_SECRET_BYTES {
        return Err(parse::field("secret", format!("must be 1 to {MAX_SECRET_BYTES} bytes")));
    }
    Ok(hash_of(secret))
}

/// Whether the answer is that of a wrong secret: guessing does not say which rooms there are.
fn is_no_link(error: &Error) -> bool {
    matches!(error, Error::RoomNotFound | Error::Refused { refusal: Refusal::LinkInvalid, .. })
}

fn link_invalid(room: &RoomId) -> Error {
    Error::Refused { room: room.clone(), refusal: Refusal::LinkInvalid }
}

fn to_proto(room: &RoomId, link: &Link) -> v1::InvitationLink {
    v1::InvitationLink {
        room_id: room.to_string(),
        link_seq: link.seq,
        created_by: link.by.to_string(),
        at: Some(convert::timestamp(link.at)),
        until: Some(convert::timestamp(link.until)),
        max_uses: link.max_uses,
        uses: link.uses,
        ..Default::default()
    }
}
