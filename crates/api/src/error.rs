use std::time::Duration;

use parlance_core::limits::{MAX_INVITATIONS, MAX_JOIN_REQUESTS, MAX_LINKS};
use parlance_core::{Refusal, RoomId, Timestamp, UserId};
use parlance_identity::{Refused, TokenProblem};
use parlance_proto::convert;
use parlance_proto::error::Failure;
use parlance_store::StoreError;
use tonic::{Code, Status};

use crate::limits::{
    CONTENTION_AGAIN, DRAINING_AGAIN, KEYS_AGAIN, OVERLOAD_AGAIN, REGISTRY_AGAIN, SCREEN_AGAIN,
    SESSIONS_AGAIN, STORE_AGAIN,
};

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No `authorization`.
    #[error("no bearer token")]
    TokenMissing,
    /// The token is not one that this server accepts.
    #[error("the token is not valid: {0}")]
    TokenInvalid(TokenProblem),
    /// The token has expired.
    #[error("the token has expired")]
    TokenExpired,
    /// The token was revoked.
    #[error("the token was revoked")]
    TokenRevoked,
    /// The keys to verify the token with cannot be fetched.
    #[error("the keys of the tokens' issuer cannot be fetched at the moment")]
    KeysAway,
    /// The token's scope does not allow the operation.
    #[error("requires the service or admin scope")]
    NeedsScope,
    /// Only a service token may set this field.
    #[error("{0}: requires the service scope")]
    NeedsScopeFor(&'static str),
    /// The app chose an id that a room of another kind has.
    #[error("there is another room with this id")]
    RoomExists(RoomId),
    /// A field of the request is invalid: its path and the problem.
    #[error("{0}: {1}")]
    Field(String, String),
    /// No such room, or none that the caller may know of.
    #[error("no such room")]
    RoomNotFound,
    /// No such user.
    #[error("no such user: {0}")]
    UserNotFound(String),
    /// The caller is deactivated.
    #[error("the user is deactivated")]
    UserDeactivated,
    /// The caller is deleted.
    #[error("the user is deleted")]
    UserDeleted,
    /// The user in whose name the app calls is deactivated.
    #[error("the user is deactivated")]
    OtherDeactivated,
    /// The user in whose name the app calls, or whom it creates, was deleted.
    #[error("the user is deleted")]
    OtherDeleted,
    /// A sender of imported messages was deleted.
    #[error("{0} is deleted")]
    SenderDeleted(String),
    /// An import stopped after some messages.
    #[error("{error}")]
    Stopped {
        /// Why.
        error: Box<Error>,
        /// The number of messages of the room that were imported.
        imported: u64,
    },
    /// The room refused the command.
    #[error("{refusal}")]
    Refused {
        /// The room.
        room: RoomId,
        /// The reason.
        refusal: Refusal,
    },
    /// A request id was used for another report.
    #[error("the request id was used for another report")]
    RequestIdReused,
    /// No such report, or none that the caller may see.
    #[error("no such report")]
    ReportNotFound,
    /// Somebody else has answered the report.
    #[error("the report was answered already")]
    ReportResolved,
    /// The caller has made this many reports.
    #[error("{0} reports made already")]
    TooManyReports(usize),
    /// The screen refused the message.
    #[error("the message was refused")]
    MessageRefused,
    /// The screen could not decide about the message.
    #[error("the message cannot be checked at the moment")]
    ScreenAway,
    /// A frame arrived before `hello`.
    #[error("the first frame must be hello")]
    HelloRequired,
    /// A second `hello`.
    #[error("hello was already sent")]
    HelloRepeated,
    /// No `hello` arrived in time.
    #[error("no hello in time")]
    HelloTimeout,
    /// A frame without a known operation.
    #[error("the frame contains no known operation")]
    UnknownOperation,
    /// Too many operations.
    #[error("too many requests")]
    RateLimited(Duration),
    /// Too many tokens that are not valid came from the caller's address.
    #[error("too many tokens from this address were not valid")]
    TooManyFailedTokens(Duration),
    /// The user has this many rooms.
    #[error("has {0} rooms already")]
    TooManyRooms(u32),
    /// The caller blocks as many users as they may.
    #[error("blocks {0} users already")]
    TooManyBlocks(usize),
    /// A user whom the caller invites has as many invitations as they may.
    #[error("{user} has {most} invitations already")]
    TooManyInvitations {
        /// The user.
        user: UserId,
        /// The number.
        most: usize,
    },
    /// The caller asks to join as many rooms as they may.
    #[error("asks to join {0} rooms already")]
    TooManyJoinRequests(usize),
    /// The user has this many sessions on this node.
    #[error("has {0} sessions already")]
    TooManySessions(u32),
    /// The sessions of the user, or with `None` those of everyone on this node, would have more subscriptions to rooms.
    #[error("the rooms of all sessions are too many")]
    TooManySubscriptions(Option<usize>),
    /// The user has this many connections to this node.
    #[error("has {0} connections already")]
    TooManyConnections(usize),
    /// The user has this many streams of events on this node.
    #[error("has {0} streams of events already")]
    TooManyEventStreams(u32),
    /// Too many frames that could not be carried out.
    #[error("too many bad frames")]
    Abusive,
    /// The server is shutting down.
    #[error("the server is draining")]
    Draining,
    /// The operation took too long; a retry finds out whether it was committed.
    #[error("the operation took too long")]
    Timeout,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry cannot be reached, so presence is unknown.
    #[error("presence is unavailable at the moment")]
    RegistryAway,
    /// A refusal of a session, as defined by the contract.
    #[error("{}", .0.message)]
    Session(Failure),
    /// The change feed no longer reaches back to the cursor.
    #[error("the cursor is too old or belongs to another store; start again with STREAM_START_BEGINNING")]
    CursorExpired,
    /// This server's store has no change feed.
    #[error("this server has no change feed")]
    NoEvents,
    /// Other writers kept advancing the room's head; retries ran out.
    #[error("the room is busy")]
    Contention,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Missing => Self::TokenMissing,
            Refused::Expired => Self::TokenExpired,
            Refused::Revoked => Self::TokenRevoked,
            Refused::KeysAway => Self::KeysAway,
            Refused::Invalid(problem) => Self::TokenInvalid(problem),
        }
    }
}

impl From<parlance_rooms::Error> for Error {
    fn from(error: parlance_rooms::Error) -> Self {
        use parlance_rooms::Error as Room;
        match error {
            Room::RoomNotFound => Self::RoomNotFound,
            Room::UserNotFound(user) => Self::UserNotFound(user),
            Room::Refused { room, refusal } => Self::Refused { room, refusal },
            Room::Draining => Self::Draining,
            Room::Contention => Self::Contention,
            Room::Store(error) => Self::Store(error),
        }
    }
}

impl From<parlance_sessions::Error> for Error {
    fn from(error: parlance_sessions::Error) -> Self {
        use parlance_sessions::Error as Session;
        match error {
            Session::Field(field, description) => Self::Field(field, description),
            Session::HelloRequired => Self::HelloRequired,
            Session::HelloRepeated => Self::HelloRepeated,
            Session::HelloTimeout => Self::HelloTimeout,
            Session::UnknownOperation => Self::UnknownOperation,
            Session::TokenExpired => Self::TokenExpired,
            Session::TooManySessions(most) => Self::TooManySessions(most),
            Session::TooManySubscriptions(most) => Self::TooManySubscriptions(most),
            Session::Abusive => Self::Abusive,
            Session::Draining => Self::Draining,
            Session::Store(error) => Self::Store(error),
            Session::Operation(failure) => Self::Session(failure),
        }
    }
}

impl From<Error> for Failure {
    /// The one place where errors become codes and reasons. `docs/errors.md` lists
    /// them.
    fn from(error: Error) -> Self {
        use Code::{
            DeadlineExceeded, FailedPrecondition, Internal, NotFound, PermissionDenied, ResourceExhausted,
            Unauthenticated, Unavailable,
        };
        let message = error.to_string();
        let failure = |code, reason| Self::new(code, reason, message.clone());
        match error {
            Error::TokenMissing => failure(Unauthenticated, "token_missing"),
            // Safe to return: claims are checked only after the signature.
            Error::TokenInvalid(problem) => {
                failure(Unauthenticated, "token_invalid").with("problem", problem)
            }
            Error::TokenExpired => failure(Unauthenticated, "token_expired"),
            Error::TokenRevoked => failure(Unauthenticated, "token_revoked"),
            Error::KeysAway => failure(Unavailable, "keys_unavailable").retry_after(KEYS_AGAIN),
            Error::NeedsScope | Error::NeedsScopeFor(_) => failure(PermissionDenied, "needs_scope"),
            Error::RoomExists(room) => failure(Code::AlreadyExists, "room_exists").with("room_id", room),
            Error::Field(field, description) => Self::field(field, description),
            Error::RoomNotFound => failure(NotFound, "room_not_found"),
            Error::UserNotFound(_) => failure(NotFound, "user_not_found"),
            Error::UserDeactivated => failure(Unauthenticated, "user_deactivated"),
            Error::UserDeleted => failure(Unauthenticated, "user_deleted"),
            Error::OtherDeactivated => failure(PermissionDenied, "user_deactivated"),
            Error::OtherDeleted => failure(PermissionDenied, "user_deleted"),
            Error::SenderDeleted(user) => failure(PermissionDenied, "user_deleted").with("user_id", user),
            Error::Stopped { error, imported } => Self::from(*error).with("imported", imported),
            Error::Refused { room, refusal } => refused(refusal, message).with("room_id", room),
            Error::RequestIdReused => failure(Code::AlreadyExists, "request_id_reused"),
            Error::ReportNotFound => failure(NotFound, "report_not_found"),
            Error::ReportResolved => failure(FailedPrecondition, "report_resolved"),
            Error::TooManyReports(limit) => {
                failure(ResourceExhausted, "too_many_reports").with("limit", limit)
            }
            Error::MessageRefused => failure(PermissionDenied, "message_refused"),
            Error::ScreenAway => failure(Unavailable, "screen_unavailable").retry_after(SCREEN_AGAIN),
            Error::HelloRequired => failure(FailedPrecondition, "hello_required"),
            Error::HelloRepeated => failure(FailedPrecondition, "hello_repeated"),
            Error::HelloTimeout => failure(DeadlineExceeded, "hello_timeout"),
            Error::UnknownOperation => failure(Code::InvalidArgument, "unknown_operation"),
            Error::RateLimited(delay) => failure(ResourceExhausted, "rate_limited").retry_after(delay),
            Error::TooManyFailedTokens(delay) => {
                failure(ResourceExhausted, "too_many_failed_tokens").retry_after(delay)
            }
            Error::TooManyRooms(most) => failure(ResourceExhausted, "too_many_rooms").with("limit", most),
            Error::TooManyBlocks(most) => failure(ResourceExhausted, "too_many_blocks").with("limit", most),
            Error::TooManyInvitations { user, most } => {
                failure(ResourceExhausted, "too_many_invitations").with("user_id", user).with("limit", most)
            }
            Error::TooManyJoinRequests(most) => {
                failure(ResourceExhausted, "too_many_join_requests").with("limit", most)
            }
            Error::TooManySessions(most) | Error::TooManyEventStreams(most) => {
                failure(ResourceExhausted, "too_many_sessions")
                    .with("limit", most)
                    .retry_after(SESSIONS_AGAIN)
            }
            Error::TooManySubscriptions(most) => {
                let failure =
                    failure(ResourceExhausted, "too_many_subscriptions").retry_after(SESSIONS_AGAIN);
                match most {
                    Some(most) => failure.with("limit", most),
                    None => failure,
                }
            }
            Error::TooManyConnections(most) => failure(ResourceExhausted, "too_many_connections")
                .with("limit", most)
                .retry_after(SESSIONS_AGAIN),
            Error::Abusive => failure(ResourceExhausted, "too_many_bad_frames"),
            Error::Draining => failure(Unavailable, "draining").retry_after(DRAINING_AGAIN),
            Error::Timeout => failure(DeadlineExceeded, "operation_timeout"),
            Error::RegistryAway => failure(Unavailable, "presence_unavailable").retry_after(REGISTRY_AGAIN),
            Error::Store(StoreError::Overloaded) => {
                failure(ResourceExhausted, "overloaded").retry_after(OVERLOAD_AGAIN)
            }
            // Details of the damage go to the log only.
            Error::Store(StoreError::Damaged(_)) => {
                Self::new(Internal, "internal", "stored data could not be read")
            }
            Error::Store(StoreError::Failed(_)) => {
                Self::new(Unavailable, "unavailable", "the server is failing")
            }
            Error::Store(StoreError::Unreachable(_) | StoreError::Refused(_)) => {
                Self::new(Unavailable, "unavailable", "the store cannot be used now").retry_after(STORE_AGAIN)
            }
            Error::Session(failure) => failure,
            Error::CursorExpired => failure(Code::OutOfRange, "cursor_expired"),
            Error::NoEvents => failure(Code::Unimplemented, "no_events"),
            Error::Contention => failure(Unavailable, "contention").retry_after(CONTENTION_AGAIN),
        }
    }
}

fn refused(refusal: Refusal, message: String) -> Failure {
    use Code::{FailedPrecondition, NotFound, OutOfRange, PermissionDenied, ResourceExhausted};
    let failure = |code, reason| Failure::new(code, reason, message.clone());
    match refusal {
        Refusal::NotMember => failure(PermissionDenied, "not_member"),
        Refusal::NeedsRole(role) => failure(PermissionDenied, "needs_role").with("role", role),
        Refusal::NeedsScope(scope) => failure(PermissionDenied, "needs_scope").with("scope", scope),
        Refusal::RoomDeleted => failure(NotFound, "room_deleted"),
        Refusal::Archived => failure(FailedPrecondition, "room_archived"),
        Refusal::Frozen => failure(FailedPrecondition, "room_frozen"),
        Refusal::Muted { until } => lasting(failure(PermissionDenied, "muted"), until),
        Refusal::SlowMode { wait } => failure(ResourceExhausted, "slow_mode").retry_after(wait),
        Refusal::BlankText => Failure::field("text", message),
        Refusal::DataTooLarge(_) => Failure::field("data", message),
        Refusal::NotSender => failure(PermissionDenied, "not_sender"),
        Refusal::DirectRoom => failure(FailedPrecondition, "direct_room"),
        Refusal::NotListable => Failure::field("listed", message),
        Refusal::NotJoinable => failure(PermissionDenied, "not_joinable"),
        Refusal::Removed => failure(PermissionDenied, "removed"),
        Refusal::Banned { until } => lasting(failure(PermissionDenied, "banned"), until),
        Refusal::TargetBanned(user) => failure(FailedPrecondition, "target_banned").with("user_id", user),
        Refusal::NotInvited => failure(PermissionDenied, "not_invited"),
        Refusal::LinkInvalid => failure(NotFound, "link_invalid"),
        Refusal::TooManyLinks(_) => failure(ResourceExhausted, "too_many_links").with("limit", MAX_LINKS),
        Refusal::ByRequest => failure(PermissionDenied, "by_request"),
        Refusal::NotByRequest => failure(FailedPrecondition, "not_by_request"),
        Refusal::RequestRejected { until } => {
            lasting(failure(PermissionDenied, "request_rejected"), Some(until))
        }
        Refusal::RequestWithdrawn { until } => {
            lasting(failure(PermissionDenied, "request_withdrawn"), Some(until))
        }
        Refusal::NoJoinRequest(user) => failure(NotFound, "join_request_not_found").with("user_id", user),
        Refusal::TooManyJoinRequests(_) => {
            failure(ResourceExhausted, "too_many_join_requests").with("limit", MAX_JOIN_REQUESTS)
        }
        Refusal::NotOpen => Failure::field("joining", message),
        Refusal::TooManyInvitations(_) => {
            failure(ResourceExhausted, "too_many_invitations").with("limit", MAX_INVITATIONS)
        }
        Refusal::ImportGap { imported, .. } => {
            failure(FailedPrecondition, "import_gap").with("imported", imported)
        }
        Refusal::NotAccepted(user) => failure(PermissionDenied, "not_accepted").with("user_id", user),
        Refusal::OwnerLeaves => failure(FailedPrecondition, "owner_leaves"),
        Refusal::TargetNotMember(user) => {
            failure(FailedPrecondition, "target_not_member").with("user_id", user)
        }
        Refusal::MessageNotFound(seq) => failure(NotFound, "message_not_found").with("seq", seq),
        Refusal::MessageDeleted(seq) => failure(FailedPrecondition, "message_deleted").with("seq", seq),
        Refusal::TooManyReactions => failure(ResourceExhausted, "too_many_reactions"),
        Refusal::RoomFull => failure(ResourceExhausted, "room_full"),
        Refusal::CursorAhead { head, .. } | Refusal::SeqAhead { head, .. } => {
            failure(OutOfRange, "cursor_ahead").with("head_seq", head)
        }
        Refusal::CatchUpFirst { head } => {
            failure(FailedPrecondition, "catch_up_first").with("head_seq", head)
        }
        Refusal::OutcomeUnknown { floor } => {
            failure(FailedPrecondition, "outcome_unknown").with("floor_seq", floor)
        }
        Refusal::RequestIdReused => failure(Code::AlreadyExists, "request_id_reused"),
    }
}

/// A failure of what ends at `until`, or does not.
fn lasting(failure: Failure, until: Option<Timestamp>) -> Failure {
    match until {
        Some(until) => failure.with("until", convert::timestamp(until)),
        None => failure,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}
