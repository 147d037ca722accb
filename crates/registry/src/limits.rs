//! Limits of the registry, each with its reason.

/// Channels announced by one beat: some 60 kB in a fleet where each node writes to as many large rooms within a
/// second. With more they take turns: of 10,000, each is announced every 10 seconds.
pub(crate) const MAX_ANNOUNCED: usize = 1_000;

/// Numbers remembered beyond a missing one. Envelopes of one node overtake each other by a few at most; beyond this
/// the missing one counts as lost.
pub(crate) const MAX_AHEAD: usize = 4_096;

/// Beats, one a second, after which an unused stream or a node that has ended is forgotten: longer than nodes are
/// usually cut off.
pub(crate) const IDLE_BEATS: u32 = 600;
