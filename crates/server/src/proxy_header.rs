//! The PROXY protocol, versions 1 and 2: a load balancer that forwards bytes says first for whom.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::io::{Error, ErrorKind, Result};
use std::net::IpAddr;

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::MAX_PROXY_HEADER;

/// The first bytes of version 2.
const SIGNATURE: &[u8] = v2::PROTOCOL_PREFIX;

/// Bytes of version 2 before the addresses; the last two are the length of what follows.
const FIXED: usize = 16; // format

/// Longest line of version 1.
const LINE: usize = 107; // format

/// Reads the header from a connection, and not a byte more. Returns the address of the client, if it names one: checks
/// by the load balancer itself do not.
///
/// # Errors
/// There is no header, or it is not valid.
pub(crate) async fn read(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>> {
    let mut header = vec![0; SIGNATURE.len()];
    io.read_exact(&mut header).await?;
    if header == SIGNATURE {
        read_rest(io, &mut header, FIXED).await?;
        let length = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
        if FIXED + length > MAX_PROXY_HEADER {
            return Err(invalid("it is too long"));
        }
        read_rest(io, &mut header, FIXED + length).await?;
        let parsed = v2::Header::try_from(header.as_slice()).map_err(|error| invalid(&error.to_string()))?;
        return Ok(match (parsed.command, parsed.addresses) {
            (v2::Command::Proxy, v2::Addresses::IPv4(of)) => Some(of.source_address.into()),
            (v2::Command::Proxy, v2::Addresses::IPv6(of)) => Some(of.source_address.into()),
            _ => None,
        });
    }
    // A line has no length. Byte by byte, since what follows it is for TLS or HTTP.
    while !header.ends_with(b"\r\n") {
        if header.len() >= LINE || !header.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
            return Err(invalid("it is of neither version"));
        }
        let length = header.len();
        read_rest(io, &mut header, length + 1).await?;
    }
    let parsed = v1::Header::try_from(header.as_slice()).map_err(|error| invalid(&error.to_string()))?;
    Ok(match parsed.addresses {
        v1::Addresses::Tcp4(of) => Some(of.source_address.into()),
        v1::Addresses::Tcp6(of) => Some(of.source_address.into()),
        v1::Addresses::Unknown => None,
    })
}

/// Reads until `header` has `length` bytes.
async fn read_rest(io: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>, length: usize) -> Result<()> {
    let begun = header.len();
    header.resize(length, 0);
    io.read_exact(&mut header[begun..]).await.map(drop)
}

fn invalid(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidData, problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of version 2 with this command, family and addresses.
    fn version_2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = (addresses.len() as u16).to_be_bytes();
        [SIGNATURE, &[0x20 | command, family], &length, addresses].concat()
    }

    /// `Ok`: the address that is read, after which "rest" is left.
    async fn check(header: &[u8], expected: std::result::Result<Option<&str>, ()>) {
        let bytes = [header, b"rest"].concat();
        let mut io = bytes.as_slice();
        let read = read(&mut io).await.map_err(drop);
        let expected = expected.map(|address| address.map(|address| address.parse().unwrap()));
        assert_eq!(read, expected, "{:?}", String::from_utf8_lossy(header));
        if expected.is_ok() {
            assert_eq!(io, b"rest");
        }
    }

    #[tokio::test]
    async fn both_versions_name_the_client() {
        check(b"PROXY TCP4 198.51.100.7 10.0.0.1 5000 443\r\n", Ok(Some("198.51.100.7"))).await;
        check(b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n", Ok(Some("2001:db8::7"))).await;
        check(b"PROXY UNKNOWN\r\n", Ok(None)).await;
        check(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Ok(None)).await;
        let of_four = [198, 51, 100, 7, 10, 0, 0, 1, 0x13, 0x88, 1, 0xbb];
        check(&version_2(1, 0x11, &of_four), Ok(Some("198.51.100.7"))).await;
        let mut of_six = [0; 36];
        of_six[..2].copy_from_slice(&[0x20, 1]);
        of_six[15] = 7;
        check(&version_2(1, 0x21, &of_six), Ok(Some("2001::7"))).await;
        // With further fields, here a checksum that nobody asked for; and a check of the proxy itself.
        let with_fields = [of_four.as_slice(), &[4, 0, 1, 0]].concat();
        check(&version_2(1, 0x11, &with_fields), Ok(Some("198.51.100.7"))).await;
        check(&version_2(0, 0, &[]), Ok(None)).await;
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
        for header in [
            b"GET / HTTP/1.1\r\nHost: chat.example\r\n\r\n".as_slice(),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
            b"PROXY TCP4 evil 10.0.0.1 5000 443\r\n",
            b"PROXY TCP4 198.51.100.7 10.0.0.1 5000\r\n",
            b"PROXY TCP5 198.51.100.7 10.0.0.1 5000 443\r\n",
            b"PROXY\r\nPROXY UNKNOWN\r\n",
            long.as_bytes(),
            &version_2(1, 0x11, &[1, 2, 3]),
            &version_2(7, 0x11, &[0; 12]),
            &version_2(1, 0x11, &[0; 9_000]),
            b"PROX",
            b"",
        ] {
            check(header, Err(())).await;
        }
    }
}
