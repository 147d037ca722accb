/// Whether something was created or had been there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created<T> {
    /// Created now.
    New(T),
    /// It was there; this is it.
    Existing(T),
}

impl<T> Created<T> {
    /// The same with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Created<U> {
        match self {
            Self::New(value) => Created::New(change(value)),
            Self::Existing(value) => Created::Existing(change(value)),
        }
    }

    /// The value, and whether it had been there.
    pub fn into_parts(self) -> (T, bool) {
        match self {
            Self::New(value) => (value, false),
            Self::Existing(value) => (value, true),
        }
    }
}
