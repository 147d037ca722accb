use fred::types::Value;
use ring::digest;

/// A script that Redis executes atomically.
#[derive(Debug)]
pub(super) struct Script {
    /// The label in metrics.
    pub(super) name: &'static str,
    pub(super) body: &'static str,
    pub(super) hash: String,
    /// Whether it may take longer than other commands, because nobody waits for it.
    pub(super) patient: bool,
}

impl Script {
    fn new(name: &'static str, body: &'static str, patient: bool) -> Self {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, body.as_bytes());
        let hash = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name, body, hash, patient }
    }
}

/// All scripts.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) change: Script,
    pub(super) lookup: Script,
    pub(super) lease: Script,
    pub(super) sweep: Script,
    pub(super) take: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            change: Script::new("change", include_str!("lua/change.lua"), true),
            lookup: Script::new("lookup", include_str!("lua/lookup.lua"), false),
            lease: Script::new("lease", include_str!("lua/lease.lua"), true),
            sweep: Script::new("sweep", include_str!("lua/sweep.lua"), true),
            take: Script::new("take", include_str!("lua/take.lua"), false),
        }
    }
}

/// The strings returned by a script.
pub(super) fn strings(value: Value) -> Vec<String> {
    value.into_array().into_iter().map(|value| value.into_string().unwrap_or_default()).collect()
}
