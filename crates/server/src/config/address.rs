//! Parsing of listening addresses.

use std::net::{SocketAddr, ToSocketAddrs};

use serde::{Deserialize, Deserializer, de};

/// Parses `ADDRESS:PORT` or `NAME:PORT`. For a name with several addresses, uses the first IPv4 one, like examples
/// and most clients.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wanted = "want ADDRESS:PORT, such as 127.0.0.1:8080";
    let Some((name, port)) = text.rsplit_once(':') else {
        return Err(match text.parse::<u16>() {
            Ok(port) => format!("want ADDRESS:PORT, such as 127.0.0.1:{port}"),
            Err(_) => wanted.to_owned(),
        });
    };
    if name.is_empty() || name.contains(':') || port.parse::<u16>().is_err() {
        return Err(wanted.to_owned());
    }
    let found = text.to_socket_addrs().map_err(|error| format!("cannot resolve {name}: {error}"))?;
    let found: Vec<_> = found.collect();
    let chosen = found.iter().find(|address| address.is_ipv4()).or(found.first()).copied();
    chosen.ok_or_else(|| format!("{name} has no address"))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(source)?;
    parse(&text).map(Some).map_err(|error| de::Error::custom(format!("{text:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_names() {
        assert_eq!(parse("[::1]:80").unwrap().to_string(), "[::1]:80");
        assert_eq!(parse("localhost:8081").unwrap().to_string(), "127.0.0.1:8081");
    }

    #[test]
    fn usage_error_names_the_expected_form() {
        assert!(parse("26081").unwrap_err().ends_with("127.0.0.1:26081"));
        for wrong in ["", "localhost", ":8080", "::1:8080", "127.0.0.1:http", "127.0.0.1:70000"] {
            assert!(parse(wrong).unwrap_err().contains("127.0.0.1:8080"), "{wrong}");
        }
        assert!(parse("nowhere.invalid:80").unwrap_err().contains("cannot resolve nowhere.invalid"));
    }
}
