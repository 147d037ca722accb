/// Whether something was created or existed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created<T> {
    /// Created now.
    New(T),
    /// The existing one.
    Existing(T),
}

impl<T> Created<T> {
    /// Converts the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Created<U> {
        match self {
            Self::New(value) => Created::New(change(value)),
            Self::Existing(value) => Created::Existing(change(value)),
        }
    }

    /// The value, and whether it existed before.
    pub fn into_parts(self) -> (T, bool) {
        match self {
            Self::New(value) => (value, false),
            Self::Existing(value) => (value, true),
        }
    }
}
