//! All limits of the domain, each with its reason.

use std::time::Duration;

/// Largest text of a message, bytes. Four pages of prose; a message stays below a
/// quarter of a chunk.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Largest id, bytes. Fits a UUID, an e-mail address and the subjects that the common
/// identity services issue.
pub const MAX_ID_BYTES: usize = 64;

/// Largest display name or room title, bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// How many times as long a character of a name may become by folding: keys of stores have 1 KiB at most.
pub(crate) const FOLDED_GROWTH: usize = 3;

/// Largest room topic, bytes.
pub const MAX_TOPIC_BYTES: usize = 1024;

/// Largest app data on one user, room, member or message, bytes: enough for an order or a poll, and small
/// compared with a text.
pub const MAX_DATA_BYTES: usize = 4 * 1024;

/// Largest name of an app-defined kind of message, bytes.
pub const MAX_CUSTOM_KIND_BYTES: usize = 48;

/// Largest image URL, bytes: what browsers and proxies accept.
pub const MAX_IMAGE_URL_BYTES: usize = 2048;

/// Largest emoji, bytes: family and flag sequences take up to 28.
pub const MAX_EMOJI_BYTES: usize = 32;

/// Largest frame or request from a client, bytes: a hello with 2,000 cursors of about 60 bytes each. This
/// bounds what one connection can make the server buffer.
pub const MAX_FRAME_BYTES: usize = 128 * 1024;

/// Bytes of a call of `StreamEvents`: its cursor has a position in each shard of the feed, which take up to 256 KiB.
pub const MAX_CURSOR_CALL_BYTES: usize = 384 * 1024;

/// Cursors in one hello.
pub const MAX_CURSORS: usize = 2_000;

/// Members added by one request. Each takes two items besides the chunk, and a DynamoDB transaction holds
/// 100 in all.
pub const MAX_MEMBERS_PER_REQUEST: usize = 40;

/// Items that one append may write besides its chunk, for the same reason.
pub const MAX_ITEMS_PER_APPEND: usize = 90;

/// Invitations to one room that wait for an answer. They are one row, which each of them rewrites: at most 18 KB.
pub const MAX_INVITATIONS: usize = 100;

/// Longest time for which an invitation can be accepted, and the usual one: 30 days.
pub const MAX_INVITATION_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Time within which inviting the same users again changes nothing, milliseconds: 10 minutes. Each invitation is an event
/// for all members, and a signal.
pub const REINVITE_MS: u64 = 10 * 60 * 1000;

/// Links to one room that can be used, in the same row: some 120 bytes each.
pub const MAX_LINKS: usize = 20;

/// Longest time for which one can join by a link, and the usual one: as for invitations.
pub const MAX_LINK_AGE: Duration = MAX_INVITATION_AGE;

/// Requests to join one room that wait for an answer; and as many that have ended. They are a row of their own, which each
/// of them and each answer rewrites: some 60 bytes for each.
pub const MAX_JOIN_REQUESTS: usize = 100;

/// Largest note of a user who asks to join, bytes: a few sentences. It is in the user's own list alone.
pub const MAX_JOIN_NOTE_BYTES: usize = 300;

/// How long a request to join waits for an answer: as an invitation does.
pub const JOIN_REQUEST_AGE: Duration = MAX_INVITATION_AGE;

/// How long a user who was rejected, or withdraws too often, may not ask again: a day. Otherwise they would fill the room's
/// log with requests.
pub const REJECTION_AGE: Duration = Duration::from_secs(24 * 3600);

/// Requests to one room that a user withdraws within [`REJECTION_AGE`] of one another before they may not ask again: more
/// than somebody who changes their mind.
pub const MAX_WITHDRAWALS: u32 = 3;

/// Members of one room.
pub const MAX_MEMBERS: u64 = 100_000;

/// Intervals kept for one member; beyond that, the oldest is dropped and no longer readable.
pub const MAX_INTERVALS: usize = 64;

/// Events in one chunk.
pub const MAX_CHUNK_EVENTS: usize = 256;

/// Text in one chunk, bytes: a chunk is one DynamoDB item, which holds at most 400 KB.
pub const MAX_CHUNK_BYTES: usize = 256 * 1024;

/// Reactions on one message, counted per user and emoji.
pub const MAX_REACTIONS: usize = 1_000;

/// Different emoji on one message.
pub const MAX_EMOJI_KINDS: usize = 32;

/// Requests that a room remembers in memory to recognise repeats: about 350 bytes
/// each, so 1.4 MB for the busiest room.
pub const MAX_RECENT_REQUESTS: usize = 4_096;

/// Events that are searched for so many requests, among messages that were imported. A node that takes over a room
/// looks no further back, however many were imported within the time in which a request is recognised.
pub const MAX_REPEAT_SEARCH: u64 = 16 * MAX_RECENT_REQUESTS as u64;

/// How long a request without `after_seq` is recognised, milliseconds: 15 minutes.
pub const REPEAT_WINDOW_MS: u64 = 15 * 60 * 1000;

/// Longest time between two messages of one member that a room may ask for, seconds: 6 hours. It is looked
/// for in the requests that a room remembers, so in a busier room at most [`MAX_RECENT_REQUESTS`] back.
pub const MAX_SLOW_MODE: u32 = 6 * 3600;

/// Maximum number of a member's own events among those remembered of a room in slow mode, if these do not reach back
/// over the whole interval. Anyone with more waits as if they had sent a message right before them.
pub const MAX_OWN_EVENTS_IN_SLOW_MODE: u64 = 512;

/// Maximum number of users that one user blocks.
pub const MAX_BLOCKS: usize = 1_000;

/// Longest ban or mute that ends by itself: ten years.
pub const MAX_SANCTION: Duration = FOR_EVER;

/// Maximum error of a node's clock, milliseconds: half of the tolerance for tokens. Beyond it the node is
/// not ready, and its clock readings are corrected.
pub const MAX_CLOCK_OFFSET_MS: u64 = 30_000;

/// Measurement error up to which a clock comparison is useful, milliseconds: small compared with
/// [`MAX_CLOCK_OFFSET_MS`].
pub const MAX_CLOCK_TOLERANCE_MS: u64 = 5_000;

/// Events that a request with `after_seq` is checked against. Past it the client pages
/// first.
pub const MAX_REPEAT_CHECK: u64 = MAX_RECENT_REQUESTS as u64;

/// How much of a room is kept in memory; evicted rows are read again when needed.
#[derive(Debug, Clone, Copy)]
pub struct RoomSizes {
    /// Members.
    pub members: usize,
    /// Messages, for edits, deletes and reactions.
    pub messages: usize,
}

impl RoomSizes {
    /// Values for production.
    pub const PRODUCTION: Self = Self { members: 4_096, messages: 256 };

    /// For tests and simulation: rows are evicted constantly.
    pub const SMALL: Self = Self { members: 3, messages: 3 };
}

/// Approximate sizes of what a loaded room holds, with their share of the maps, in bytes: of 2,000 rooms with 200
/// messages each, 630 bytes of resident memory per message were given back when the rooms were unloaded.
pub const REQUEST_BYTES: usize = 350;
/// A loaded message.
pub const MESSAGE_BYTES: usize = 280;
/// A loaded membership.
pub const MEMBER_BYTES: usize = 300;
/// A loaded invitation, link or request to join, smaller than a membership.
pub const INVITATION_BYTES: usize = 200;

/// Default and largest size of a page.
pub const PAGE_SIZE: usize = 50;
/// Largest size of a page.
pub const MAX_PAGE_SIZE: usize = 200;

/// Unread messages of one room up to which deleted ones are subtracted: one inbox entry makes the store
/// read at most this many present forms. Above it, deleted messages are counted as well.
pub const MAX_UNREAD_EXACT: u64 = 10_000;

/// Events pushed for one room on hello; earlier ones are announced as a gap for the client to page
/// through.
pub const MAX_CATCH_UP: u64 = 10_000;

/// Members up to which a room gets presence, typing and receipts.
pub const MAX_SIGNAL_MEMBERS: u64 = 256;

/// Users whose presence one request asks for.
pub const MAX_PRESENCE_USERS: usize = 100;

/// Members up to which the nodes of a room's members are looked up one by one for each chunk; in larger
/// rooms, nodes with sessions in the room subscribe to the room itself.
pub const MAX_LOOKUP_MEMBERS: u64 = 256;

/// Members up to which both ways are used. One chunk adds far fewer members than the difference, so every
/// node that used lookups while the room was small keeps receiving hints while it grows.
pub const MAX_OVERLAP_MEMBERS: u64 = 512;

/// Default clock skew allowed when validating tokens, seconds.
pub const CLOCK_SKEW: u64 = 60;

/// Longer than any session. Instants further in the future cannot be represented.
pub const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Longest `jti` of a token that can be revoked by it, bytes: UUIDs and hashes are shorter.
pub const MAX_TOKEN_ID_BYTES: usize = 256;
