//! The effective options, in the form of the configuration file.

use std::fmt::Write;
use std::num::NonZeroU32;
use std::path::Path;

use parlance_api::{Additions, PeopleLimits, ProfileRules, ShownTo};

use crate::limits::MIB;

use super::permissions;
use super::{Config, Identity, Keys, Node, RedisConfig, Role, StoreConfig};

impl Config {
    /// The effective options, defaults included, as a configuration file. Secrets are replaced by `***`.
    pub fn effective(&self) -> String {
        let mut out = Lines(String::new());
        match &self.role {
            Role::Node(node) => out.text("role", if node.serves_browsers { "all" } else { "api" }),
            Role::Bridge(nodes) => {
                out.text("role", "bridge");
                out.list("api-url", nodes.iter().map(|node| format!("http://{node}")));
            }
            Role::Worker(_) => {}
        }
        if let Role::Worker(worker) = &self.role {
            out.text("role", "worker");
            out.text("store", "dynamodb");
            out.text("table-prefix", &worker.table_prefix);
            out.outlets(worker.webhooks.as_deref(), worker.kafka.as_deref());
        }
        out.text("listen", &self.listen.to_string());
        out.text("admin-listen", &self.admin_listen.to_string());
        out.list("allowed-origins", self.allowed_origins.iter().map(ToString::to_string));
        out.list("image-origin", self.image_origins.sources().into_iter());
        if let Some(tls) = &self.tls {
            out.path("tls-certificate", &tls.certificate);
            out.path("tls-key", &tls.key);
            if let Some(authorities) = &tls.client_ca {
                out.path("tls-client-ca", authorities);
            }
        }
        if let Role::Node(node) = &self.role {
            out.node(node);
        }
        out.number("max-connections", self.max_connections);
        out.list("trusted-proxies", self.trusted_proxies.networks().iter().map(ToString::to_string));
        out.text("proxy-protocol", if self.proxy_protocol { "on" } else { "off" });
        out.number("anonymous-rate", self.anonymous_rate.map_or(0, NonZeroU32::get));
        out.number("hsts-seconds", self.hsts_seconds);
        out.number("drain-seconds", self.drain.as_secs());
        out.number("watchdog-seconds", self.watchdog.map_or(0, NonZeroU32::get));
        out.text("log", &self.log);
        out.0
    }
}

struct Lines(String);

impl Lines {
    fn node(&mut self, node: &Node) {
        if let Some(address) = node.edge_listen {
            self.text("edge-listen", &address.to_string());
        }
        self.path("data-dir", &node.data_dir);
        match &node.store {
            StoreConfig::Embedded { sync } => {
                self.text("store", "embedded");
                self.text("sync", if *sync { "on" } else { "off" });
            }
            StoreConfig::Dynamodb { table_prefix } => {
                self.text("store", "dynamodb");
                self.text("table-prefix", table_prefix);
            }
        }
        if let Some(RedisConfig { url, prefix, shards, isolation }) = &node.redis {
            self.text("redis", &without_secrets(url));
            self.text("redis-prefix", prefix);
            if let Some(shards) = shards {
                self.number("redis-shards", shards);
            }
            self.number("isolation-seconds", isolation.as_secs());
        }
        if let Identity::Keys(keys) = &node.identity {
            self.keys(keys);
        }
        self.outlets(node.webhooks.as_deref(), node.kafka.as_deref());
        let PeopleLimits {
            operations,
            hellos,
            sessions,
            subscriptions,
            new_rooms,
            invitations,
            rooms,
            failed_tokens,
        } = node.limits;
        for (name, limit) in [
            ("user-rate", operations),
            ("hello-rate", hellos),
            ("user-sessions", sessions),
            ("user-subscriptions", subscriptions),
            ("new-room-rate", new_rooms),
            ("invitation-rate", invitations),
            ("user-rooms", rooms),
            ("failed-token-rate", failed_tokens),
        ] {
            self.number(name, limit.map_or(0, NonZeroU32::get));
        }
        self.number("room-memory-mib", node.room_memory / MIB);
        let ProfileRules { all_search, own_changes, profiles, presence } = node.profiles;
        for (name, is_on) in [("user-search", all_search), ("own-profile", own_changes)] {
            self.text(name, if is_on { "on" } else { "off" });
        }
        for (name, shown) in [("profiles", profiles), ("presence", presence)] {
            let shown = match shown {
                ShownTo::Everyone => "everyone",
                ShownTo::SharedRooms => "shared-rooms",
            };
            self.text(name, shown);
        }
        let additions = match node.additions {
            Additions::Direct => "direct",
            Additions::Invite => "invite",
        };
        self.text("additions", additions);
        self.list("default-permissions", permissions::names(node.permissions).into_iter());
    }

    fn outlets(&mut self, webhooks: Option<&Path>, kafka: Option<&Path>) {
        for (name, file) in [("webhooks", webhooks), ("kafka", kafka)] {
            if let Some(file) = file {
                self.path(name, file);
            }
        }
    }

    fn keys(&mut self, keys: &Keys) {
        for (name, files) in [("jwt-secret-file", &keys.secrets), ("jwt-public-key", &keys.public_keys)] {
            if !files.is_empty() {
                self.list(name, files.iter().map(|file| file.to_string_lossy().into_owned()));
            }
        }
        let jwks = keys.jwks.as_ref().map(ToString::to_string);
        for (name, value) in [
            ("jwt-jwks-url", &jwks),
            ("jwt-audience", &keys.audience),
            ("jwt-issuer", &keys.issuer),
            ("jwt-scope-claim", &keys.scope_claim),
        ] {
            if let Some(value) = value {
                self.text(name, value);
            }
        }
        self.number("jwt-skew-seconds", keys.skew);
        if let Some(lifetime) = keys.max_lifetime {
            self.number("jwt-max-lifetime-seconds", lifetime);
        }
        self.text("jwt-profile-claims", if keys.profile_claims { "on" } else { "off" });
    }

    fn line(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name} = {value}");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.line(name, &quoted(value));
    }

    fn path(&mut self, name: &str, value: &Path) {
        self.text(name, &value.to_string_lossy());
    }

    fn number(&mut self, name: &str, value: impl ToString) {
        self.line(name, &value.to_string());
    }

    fn list(&mut self, name: &str, values: impl Iterator<Item = String>) {
        let values: Vec<_> = values.map(|value| quoted(&value)).collect();
        self.line(name, &format!("[{}]", values.join(", ")));
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The URL without passwords: before the host, and in the query, for sentinels.
fn without_secrets(url: &str) -> String {
    let (url, query) = url.split_once('?').map_or((url, None), |(url, query)| (url, Some(query)));
    let mut shown = match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => {
            let credentials = url.get(scheme.len() + 3..at).unwrap_or_default();
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***{}", &url[at..])
        }
        _ => url.to_owned(),
    };
    if let Some(query) = query {
        let shown_pair = |pair: &str| match pair.split_once('=') {
            Some((name, _)) if name.to_lowercase().contains("password") => format!("{name}=***"),
            _ => pair.to_owned(),
        };
        let pairs: Vec<_> = query.split('&').map(shown_pair).collect();
        shown = format!("{shown}?{}", pairs.join("&"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Options;

    fn read(file: &str) -> Config {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        Options::default().into_config(Some(path.path())).unwrap()
    }

    #[test]
    fn printed_configuration_is_equivalent() {
        let cluster = "role = 'api'\nstore = 'dynamodb'\ntable-prefix = 'x_'\nredis = 'redis://host:1'\n\
            redis-shards = 3\njwt-public-key = 'a \"key\".pem'\njwt-issuer = 'i\\j'\nuser-rate = 0\n\
            edge-listen = '127.0.0.1:1'\ntls-certificate = 'c'\ntls-key = 'k'\ntls-client-ca = 'ca'\nwatchdog-seconds = 0\nisolation-seconds = 20";
        let bridge =
            "role = 'bridge'\napi-url = ['http://a:1', 'http://b:2']\nallowed-origins = ['https://c.d']";
        for file in [
            "",
            "webhooks = 'hooks.toml'\nkafka = 'topic.toml'",
            "jwt-secret-file = ['a', 'b']\njwt-public-key = 'c'\njwt-jwks-url = 'https://id.example/keys'\n\
             jwt-audience = 'chat'\njwt-skew-seconds = 5\njwt-max-lifetime-seconds = 3600\njwt-scope-claim = 'realm_access.roles'\n\
             jwt-profile-claims = 'on'",
            "user-rate = 0\nuser-rooms = 7\nhello-rate = 0\nfailed-token-rate = 0",
            "user-search = 'on'\nown-profile = 'off'",
            "profiles = 'shared-rooms'\npresence = 'everyone'",
            "default-permissions = ['channel.post=admin', 'group.invite=member']",
            "image-origin = ['https:', 'http://127.0.0.1:8000']",
            "room-memory-mib = 7\nsync = 'off'\nlog = 'debug'\nmax-connections = 5\ntrusted-proxies = ['10.0.0.0/8', '::1']",
            cluster,
            bridge,
            "role = 'worker'\nstore = 'dynamodb'\nkafka = 'topic.toml'",
        ] {
            let config = read(file);
            let again = read(&config.effective());
            assert_eq!(format!("{again:?}"), format!("{config:?}"), "{file}");
        }
    }

    #[test]
    fn passwords_are_not_printed() {
        let check = |url: &str, shown: &str| assert_eq!(without_secrets(url), shown);
        check("redis://host:1", "redis://host:1");
        check("rediss://user:pass@host:1/0", "rediss://user:***@host:1/0");
        check("redis://:p@ss@host", "redis://:***@host");
        check("redis://pass@host", "redis://pass:***@host");
        check(
            "redis-sentinel://a:1?sentinelServiceName=m&sentinelPassword=pw&node=b:1",
            "redis-sentinel://a:1?sentinelServiceName=m&sentinelPassword=***&node=b:1",
        );
    }
}
