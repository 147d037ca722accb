//! What the attackers were told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// How often each of it was seen.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<String, u64>>>);

impl Seen {
    pub(crate) fn count(&self, what: impl Into<String>) {
        *self.0.lock().unwrap().entry(what.into()).or_default() += 1;
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.0.lock().unwrap();
        let all: Vec<_> = seen.iter().map(|(what, count)| format!("{what} {count}")).collect();
        f.write_str(&all.join(", "))
    }
}
