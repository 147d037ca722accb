use parlance_core::{Joining, Role, RoomKind};
use proptest::collection::vec;
use proptest::prelude::*;

/// The steps of a run. Nodes, users and so on are picked modulo their number.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) kind: RoomKind,
    /// Clock errors of the nodes, minutes.
    pub(crate) skews: Vec<i64>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A user makes a new request.
    Ask {
        node: usize,
        user: usize,
        what: What,
        /// How far behind the head the client is; `None` leaves `after` out.
        lag: Option<u64>,
    },
    /// A client retries an earlier request; the latest is 0.
    Retry { node: usize, op: usize },
    /// A node decides its pending requests, and appends.
    Work { node: usize, fate: Fate },
    /// A node reads back the result of an append.
    ReadBack { node: usize },
    /// A node drops the room, and its waiting clients get no answer.
    Forget { node: usize },
    /// A node begins to load the room afresh.
    ReadTail { node: usize },
    /// An abandoned write reaches the store after all.
    Land { write: usize },
    /// A hint arrives, in any order; `keep` leaves a second copy in flight.
    Hear { hint: usize, keep: bool },
    /// A hint is lost.
    Lose { hint: usize },
    /// A user marks the room read, up to this far behind the head.
    Read { user: usize, back: u64 },
    /// Time passes, milliseconds.
    Pass { ms: u64 },
    /// Retention trims everything older than a day.
    Retire,
}

/// The outcome of an append.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// The store answers.
    Answered,
    /// It is carried out, but the answer is lost.
    Unheard,
    /// It never arrives.
    Lost,
    /// It is still in flight when the node gives up.
    Delayed,
}

/// What a user requests. Messages are counted back from the latest; a few picks
/// beyond them are arbitrary seqs.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Send { reply: Option<u64> },
    Edit { message: u64 },
    Delete { message: u64 },
    React { message: u64, emoji: usize },
    Unreact { message: u64, emoji: usize },
    Add { users: Vec<usize> },
    Invite { user: usize },
    Accept,
    Decline,
    Revoke { user: usize },
    Remove { user: usize },
    Ban { user: usize },
    Unban { user: usize },
    SetRole { user: usize, role: Role },
    SetData { user: usize },
    Join,
    Leave,
    Retitle { title: usize },
    Show { all: bool },
    List { listed: bool },
    Open { joining: Joining },
    MakeLink { max_uses: u32 },
    RevokeLink,
    JoinByLink,
    Knock,
    Withdraw,
    Approve { user: usize },
    Reject { user: usize },
}

fn what() -> impl Strategy<Value = What> {
    let message = 0..8u64;
    let role = prop_oneof![Just(Role::Member), Just(Role::Admin), Just(Role::Owner)];
    prop_oneof![
        16 => proptest::option::weighted(0.2, message.clone()).prop_map(|reply| What::Send { reply }),
        3 => message.clone().prop_map(|message| What::Edit { message }),
        2 => message.clone().prop_map(|message| What::Delete { message }),
        4 => (message.clone(), 0..3usize).prop_map(|(message, emoji)| What::React { message, emoji }),
        3 => (message, 0..3usize).prop_map(|(message, emoji)| What::Unreact { message, emoji }),
        3 => vec(0..5usize, 1..4).prop_map(|users| What::Add { users }),
        1 => (0..5usize).prop_map(|user| match user {
            3 => What::Ban { user },
            4 => What::Unban { user: 3 },
            _ => What::Remove { user },
        }),
        3 => (0..5usize, role).prop_map(|(user, role)| What::SetRole { user, role }),
        2 => Just(What::Join),
        1 => Just(What::Leave),
        2 => (0..3usize).prop_map(|title| What::Retitle { title }),
        1 => any::<bool>().prop_map(|all| What::Show { all }),
        2 => proptest::bool::weighted(0.8).prop_map(|listed| What::List { listed }),
    ]
}

/// The same, with invitations, links and requests.
fn what_by_invitation() -> impl Strategy<Value = What> {
    let joining = prop_oneof![
        1 => Just(Joining::Usual),
        4 => Just(Joining::ByRequest),
        1 => Just(Joining::ByInvitation),
    ];
    prop_oneof![
        30 => what(),
        4 => (2..5usize).prop_map(|user| What::Invite { user }),
        4 => Just(What::Accept),
        1 => Just(What::Decline),
        1 => (2..5usize).prop_map(|user| What::Revoke { user }),
        3 => (1..3u32).prop_map(|max_uses| What::MakeLink { max_uses }),
        1 => Just(What::RevokeLink),
        6 => Just(What::JoinByLink),
        2 => joining.prop_map(|joining| What::Open { joining }),
        5 => Just(What::Knock),
        1 => Just(What::Withdraw),
        2 => (2..5usize).prop_map(|user| What::Approve { user }),
        1 => (2..5usize).prop_map(|user| What::Reject { user }),
    ]
}

/// The same as the first, with data of members.
fn what_with_data() -> impl Strategy<Value = What> {
    prop_oneof![4 => what(), 1 => (0..5usize).prop_map(|user| What::SetData { user })]
}

fn step(what: impl Strategy<Value = What> + 'static) -> impl Strategy<Value = Step> {
    let node = 0..12usize;
    // Mostly the initial members of the room.
    let user = prop_oneof![6 => 0..2usize, 3 => Just(2), 2 => 3..5usize];
    let lag = prop_oneof![3 => Just(None), 4 => Just(Some(0)), 3 => (0..40u64).prop_map(Some)];
    // Mostly short; sometimes longer than a minute, the repeat window, or a day.
    let ms = prop_oneof![
        16 => 0..5_000u64,
        4 => 5_000..70_000u64,
        2 => 60_000..1_200_000u64,
        2 => Just(90_000_000u64)
    ];
    let fate = prop_oneof![
        6 => Just(Fate::Answered),
        1 => Just(Fate::Unheard),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Delayed),
    ];
    prop_oneof![
        16 => (node.clone(), user, what, lag)
            .prop_map(|(node, user, what, lag)| Step::Ask { node, user, what, lag }),
        6 => (node.clone(), 0..10usize).prop_map(|(node, op)| Step::Retry { node, op }),
        18 => (node.clone(), fate).prop_map(|(node, fate)| Step::Work { node, fate }),
        6 => node.clone().prop_map(|node| Step::ReadBack { node }),
        1 => node.clone().prop_map(|node| Step::Forget { node }),
        4 => node.prop_map(|node| Step::ReadTail { node }),
        3 => (0..4usize).prop_map(|write| Step::Land { write }),
        12 => (0..8usize, proptest::bool::weighted(0.2)).prop_map(|(hint, keep)| Step::Hear { hint, keep }),
        4 => (0..8usize).prop_map(|hint| Step::Lose { hint }),
        2 => (0..5usize, 0..12u64).prop_map(|(user, back)| Step::Read { user, back }),
        2 => ms.prop_map(|ms| Step::Pass { ms }),
        2 => Just(Step::Retire),
    ]
}

pub(crate) fn scripts() -> impl Strategy<Value = Script> {
    of_steps(step(what()))
}

/// Scripts in which users are invited, too.
pub(crate) fn scripts_with_invitations() -> impl Strategy<Value = Script> {
    of_steps(step(what_by_invitation()))
}

/// Scripts in which members have data, too.
pub(crate) fn scripts_with_data() -> impl Strategy<Value = Script> {
    of_steps(step(what_with_data()))
}

fn of_steps(step: impl Strategy<Value = Step> + 'static) -> impl Strategy<Value = Script> {
    let kind = prop_oneof![
        1 => Just(RoomKind::Direct),
        3 => Just(RoomKind::Group),
        3 => Just(RoomKind::Channel),
    ];
    (kind, vec(-3..4i64, 2..5), vec(step, 40..160)).prop_map(|(kind, skews, steps)| Script {
        kind,
        skews,
        steps,
    })
}
