use super::draft::Append;
use super::state::{Room, RoomInfo};
use crate::{
    Body, Chunk, Event, Head, Invitation, Invitations, InvitationsChange, Listed, Listing, ListingChange,
    Mark, Member, Nonce, RequestId, Role, RoomId, RoomKind, Settings, Timestamp, Unknown, UserId,
};

/// A room to be created: the only append at seq 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The room's data outside the log.
    pub info: RoomInfo,
    /// The first chunk, with the rows of the first members.
    pub append: Append,
}

/// The parameters of a new group or channel.
#[derive(Debug, Clone)]
pub struct NewRoom<'a> {
    /// The room's id: the same for the same creator and request.
    pub id: RoomId,
    /// The creator.
    pub creator: &'a UserId,
    /// The app's own backend, if it acts on behalf of the creator.
    pub service: Option<&'a UserId>,
    /// The owner; `None` for the creator. If it is set, the creator does not become a
    /// member.
    pub owner: Option<&'a UserId>,
    /// The request that created it.
    pub request: &'a RequestId,
    /// `Group` or `Channel`.
    pub kind: RoomKind,
    /// Title, topic and visibility.
    pub settings: Settings,
}

impl Creation {
    /// Creates the direct room of two users. The first to ask becomes its creator;
    /// otherwise both are equal.
    pub fn direct(
        creator: &UserId,
        service: Option<&UserId>,
        other: &UserId,
        settings: Settings,
        nonce: Nonce,
        now: Timestamp,
    ) -> Self {
        let id = RoomId::direct(creator, other);
        let (a, b) = if creator <= other { (creator, other) } else { (other, creator) };
        // Not the client's request id: the message sent together with this request has
        // that one.
        let request = RequestId::parse(id.as_str()).unwrap_or_else(|_| unreachable!("room ids are ids"));
        let members = [(creator.clone(), Role::Member), (other.clone(), Role::Member)];
        Self::new(
            RoomInfo {
                id,
                kind: RoomKind::Direct,
                settings,
                created_at: now,
                created_by: creator.clone(),
                floor: 1,
                epoch: 1,
                direct_pair: Some((a.clone(), b.clone())),
                deleted: false,
                imported: 0,
            },
            (request, service),
            &members,
            nonce,
        )
    }

    /// Creates a group or channel with `others` as its first members besides the owner.
    pub fn shared(new: NewRoom<'_>, others: &[UserId], nonce: Nonce, now: Timestamp) -> Self {
        let NewRoom { id, creator, service, owner, request, kind, settings } = new;
        let mut members = vec![(owner.unwrap_or(creator).clone(), Role::Owner)];
        for user in others {
            if !members.iter().any(|(known, _)| known == user) {
                members.push((user.clone(), Role::Member));
            }
        }
        Self::new(
            RoomInfo {
                id,
                kind,
                settings,
                created_at: now,
                created_by: creator.clone(),
                floor: 1,
                epoch: 1,
                direct_pair: None,
                deleted: false,
                imported: 0,
            },
            (request.clone(), service),
            &members,
            nonce,
        )
    }

    fn new(
        info: RoomInfo,
        (request, service): (RequestId, Option<&UserId>),
        members: &[(UserId, Role)],
        nonce: Nonce,
    ) -> Self {
        let event = |seq, body| Event {
            seq,
            at: info.created_at,
            actor: info.created_by.clone(),
            service: service.cloned(),
            request: request.clone(),
            message_count: 0,
            deleted_count: 0,
            body,
            unknown: Unknown::default(),
        };
        let mut events =
            vec![event(1, Body::RoomCreated { kind: info.kind, settings: info.settings.clone() })];
        let mut rows = Vec::with_capacity(members.len());
        for (seq, (user, role)) in (2..).zip(members) {
            events.push(event(seq, Body::MemberAdded { user: user.clone(), role: *role, link: None }));
            // Members from the beginning: the room's first event is visible to them, too.
            rows.push(Member::joined(user.clone(), *role, 1));
        }
        let joins = rows
            .iter()
            .map(|row| (row.user.clone(), Mark { seq: row.changed_at(), ..Mark::default() }))
            .collect();
        let chunk = Chunk::new(nonce, events, 0, members.len() as u64)
            .unwrap_or_else(|| unreachable!("the events rise from 1"));
        let listing = ListingChange::between(None, Listing::of(&info, members.len() as u64));
        let append = Append {
            expected: Head::none(),
            chunk,
            members: rows,
            overlays: Vec::new(),
            joins,
            sent: Vec::new(),
            info: None,
            invitations: None,
            listing,
        };
        Self { info, append }
    }

    /// The same room, with invitations of its creator to `users` until `until`.
    #[must_use]
    pub fn inviting(mut self, users: &[UserId], until: Timestamp) -> Self {
        if users.is_empty() {
            return self;
        }
        let (nonce, members) = (*self.append.chunk.nonce(), self.append.chunk.head().member_count());
        let mut events = self.append.chunk.into_events();
        let (mut all, mut lists) = (Invitations::default(), Vec::with_capacity(users.len()));
        for user in users {
            let Some(first) = events.first() else { break };
            let seq = first.seq + events.len() as u64;
            let invitation = Invitation { by: first.actor.clone(), at: first.at, until, seq };
            events.push(Event {
                seq,
                body: Body::MemberInvited { user: user.clone(), until },
                ..first.clone()
            });
            all.invite(user.clone(), invitation);
            lists.push((user.clone(), Some(Listed { seq, ..Listed::default() })));
        }
        self.append.chunk =
            Chunk::new(nonce, events, 0, members).unwrap_or_else(|| unreachable!("the events rise from 1"));
        self.append.invitations = Some(InvitationsChange { all, issued: true, requests: false, lists });
        self
    }

    /// The room after it has been stored.
    pub fn into_room(self) -> Room {
        let mut room = Room::load(self.info, &self.append.chunk);
        for row in self.append.members {
            room.members.insert(row.user.clone(), Some(row));
        }
        room
    }
}
