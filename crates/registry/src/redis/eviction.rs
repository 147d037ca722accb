use std::convert::Infallible;

use fred::types::Value;

use super::Shared;
use super::link::Link;
use crate::redis::limits::{ASK_POLICY_AGAIN, ASK_POLICY_EVERY};

impl Shared {
    /// Warns if Redis may evict keys at runtime. Registrations are refreshed, but until then nothing is published to
    /// the users registered there; a rate that is evicted begins anew.
    pub(super) async fn watch_eviction(&self, link: &Link) -> Infallible {
        loop {
            let info = link.ask("INFO", &self.keys.nodes(), vec![Value::from("memory")]).await;
            let pause = match info.map(Value::into_string) {
                Ok(Some(info)) => {
                    self.set_warning(eviction(&info));
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

/// What Redis evicts according to `INFO memory`; `None` if nothing. Keys that expire are the rates shared by all nodes,
/// and cleanup claims, which are repeated.
fn eviction(info: &str) -> Option<String> {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let policy = field("maxmemory_policy")?.trim();
    let is_limited = field("maxmemory").is_none_or(|bytes| bytes.trim() != "0");
    let evicted = match policy {
        _ if !is_limited => return None,
        policy if policy.starts_with("allkeys-") => "keys without an expiry",
        policy if policy.starts_with("volatile-") => "keys that expire, such as rates",
        _ => return None,
    };
    Some(format!("redis evicts {evicted} (maxmemory-policy {policy}): set noeviction"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_evict_are_found() {
        let check = |maxmemory: &str, policy: &str, expected: Option<&str>| {
            let info = format!("# Memory\r\n{maxmemory}maxmemory_policy:{policy}\r\nmem_clients:0\r\n");
            let found = eviction(&info);
            assert_eq!(found.is_some(), expected.is_some(), "{info}");
            assert!(expected.iter().all(|said| found.as_ref().unwrap().contains(said)), "{found:?}");
        };
        check(
            "maxmemory:1048576\r\n",
            "allkeys-lru",
            Some("without an expiry (maxmemory-policy allkeys-lru)"),
        );
        check("maxmemory:1048576\r\n", "allkeys-random", Some("allkeys-random"));
        check("", "allkeys-lfu", Some("allkeys-lfu"));
        check("maxmemory:0\r\n", "allkeys-lru", None);
        check(
            "maxmemory:1048576\r\n",
            "volatile-lru",
            Some("that expire, such as rates (maxmemory-policy volatile-lru)"),
        );
        check("maxmemory:0\r\n", "volatile-ttl", None);
        check("maxmemory:1048576\r\n", "noeviction", None);
        assert_eq!(eviction("# Memory\r\n"), None, "it does not say");
    }
}
