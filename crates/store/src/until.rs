/// The last seq visible to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// For a member: the room's head when they were authorised.
    Head(u64),
    /// For a former member: where they left.
    Left(u64),
}

impl Until {
    /// The seq.
    pub fn seq(self) -> u64 {
        match self {
            Self::Head(seq) | Self::Left(seq) => seq,
        }
    }
}
