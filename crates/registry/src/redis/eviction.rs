use std::convert::Infallible;

use fred::types::Value;

use super::Shared;
use super::link::Link;
use crate::redis::limits::{ASK_POLICY_AGAIN, ASK_POLICY_EVERY};

impl Shared {
    /// Warns if Redis may evict registrations at runtime. They are refreshed, but until then nothing is published to
    /// the users registered there.
    pub(super) async fn watch_eviction(&self, link: &Link) -> Infallible {
        loop {
            let info = link.ask("INFO", &self.keys.nodes(), vec![Value::from("memory")]).await;
            let pause = match info.map(Value::into_string) {
                Ok(Some(info)) => {
                    self.set_warning(evicting_policy(&info).map(|policy| {
                        format!(
                            "redis evicts keys without an expiry (maxmemory-policy {policy}): set noeviction"
                        )
                    }));
                    ASK_POLICY_EVERY
                }
                Ok(None) => ASK_POLICY_AGAIN,
                Err(error) => {
                    tracing::debug!(%error, "cannot read redis' maxmemory-policy");
                    ASK_POLICY_AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn set_warning(&self, now: Option<String>) {
        let changed = self.warning.send_if_modified(|warning| {
            let changed = *warning != now;
            warning.clone_from(&now);
            changed
        });
        if let (true, Some(warning)) = (changed, now) {
            tracing::warn!("{warning}");
        }
    }
}

/// The policy by which Redis evicts keys that never expire, from `INFO memory`; `None` if it does not. The only
/// expiring keys are cleanup claims, which are repeated.
fn evicting_policy(info: &str) -> Option<&str> {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let policy = field("maxmemory_policy")?.trim();
    let is_limited = field("maxmemory").is_none_or(|bytes| bytes.trim() != "0");
    (is_limited && policy.starts_with("allkeys-")).then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_evict_registrations_are_found() {
        let check = |maxmemory: &str, policy: &str, expected: Option<&str>| {
            let info = format!("# Memory\r\n{maxmemory}maxmemory_policy:{policy}\r\nmem_clients:0\r\n");
            assert_eq!(evicting_policy(&info), expected, "{info}");
        };
        check("maxmemory:1048576\r\n", "allkeys-lru", Some("allkeys-lru"));
        check("maxmemory:1048576\r\n", "allkeys-random", Some("allkeys-random"));
        check("", "allkeys-lfu", Some("allkeys-lfu"));
        check("maxmemory:0\r\n", "allkeys-lru", None);
        check("maxmemory:1048576\r\n", "volatile-lru", None);
        check("maxmemory:1048576\r\n", "noeviction", None);
        assert_eq!(evicting_policy("# Memory\r\n"), None, "it does not say");
    }
}
