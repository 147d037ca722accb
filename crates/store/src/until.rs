/// The last seq that a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Of a member: the room's head when they were authorised.
    Head(u64),
    /// Of a former member: where they left.
    Left(u64),
}

impl Until {
    /// That seq.
    pub fn seq(self) -> u64 {
        match self {
            Self::Head(seq) | Self::Left(seq) => seq,
        }
    }
}
