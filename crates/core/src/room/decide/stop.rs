use crate::room::command::Refusal;
use crate::room::decision::Need;

/// Why a command cannot be decided, for now or at all.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Data must be loaded first.
    Need(Need),
    Refused(Refusal),
}

impl From<Need> for Stop {
    fn from(need: Need) -> Self {
        Self::Need(need)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
