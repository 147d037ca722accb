//! Configuration files, hosts, origins and headers of the PROXY protocol from mutated bytes.

use futures::FutureExt;
use parlance_fuzz::Target;

use crate::config::Options;
use crate::origin::{Origin, host_and_port};
use crate::proxy_header;

fn target<'t>(name: &'t str, seeds: Vec<Vec<u8>>, dictionary: &'t [&'t str]) -> Target<'t> {
    Target { name, crate_dir: env!("CARGO_MANIFEST_DIR"), seeds, dictionary, cost: 1 }
}

#[test]
fn fuzz_configuration() {
    // Every option of the example, switched on.
    let example = include_str!("../../../deploy/parlance.toml");
    let on = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
    let options: Vec<_> = example.lines().filter(on).map(|line| &line[1..]).collect();
    let mut seeds = vec![options.join("\n").into_bytes()];
    seeds.extend(options.iter().map(|option| option.as_bytes().to_vec()));
    let words = [
        "= 0\n",
        "= -1\n",
        "= 4294967296\n",
        "= []\n",
        "= ['a']\n",
        "'0.0.0.0:80'",
        "role = 'bridge'\n",
        "\"\"\"",
    ];
    target("configuration", seeds, &words).run(|input| {
        let text = String::from_utf8_lossy(input);
        let options = toml::from_str::<Options>(&text);
        let config = options.map_err(|_| "unreadable").map(|options| options.into_config(None));
        config.map(|config| match config {
            Ok(config) => {
                let effective = config.effective();
                let again = toml::from_str::<Options>(&effective);
                again.unwrap_or_else(|error| {
                    panic!("what is effective can be configured: {error}\n{effective}")
                });
                "valid".to_owned()
            }
            // Up to the value.
            Err(error) => format!("{error:#}").split(['"', '\'']).next().unwrap_or_default().to_owned(),
        })
    });
}

#[test]
fn fuzz_hosts_and_origins() {
    let seeds = ["https://app.example:8443", "http://[::1]:8080", "chat.example:80", "user@host", "a.b."];
    let words = ["://", "[", "]", ":", "@", "..", "%2f", "\u{0}", "xn--", ":99999", "::ffff:127.0.0.1"];
    target("hosts", seeds.map(|seed| seed.as_bytes().to_vec()).into(), &words).run(|input| {
        let text = String::from_utf8_lossy(input);
        let origin = text.parse::<Origin>().map(|origin| {
            assert_eq!(origin.to_string().parse(), Ok(origin), "an origin can be written");
        });
        let host = host_and_port(&text).map(|(host, port)| {
            assert!(!host.is_empty() && !host.contains(['/', '@', ' ']), "{host}");
            port.is_some()
        });
        (origin, host)
    });
}

#[test]
fn fuzz_proxy_headers() {
    let four =
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[198, 51, 100, 7, 10, 0, 0, 1, 0, 1, 0, 2]]
            .concat();
    let six = [b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".as_slice(), &[1; 36]].concat();
    let lines =
        ["PROXY TCP4 198.51.100.7 10.0.0.1 5000 443\r\n", "PROXY TCP6 ::1 ::2 1 2\r\n", "PROXY UNKNOWN\r\n"];
    let mut seeds = vec![four, six];
    seeds.extend(lines.map(|line| line.as_bytes().to_vec()));
    target("proxy-headers", seeds, &["\r\n", "PROXY ", "TCP4", "TCP6", " 65536", "::"]).run(|input| {
        let mut rest = input;
        let read = proxy_header::read(&mut rest).now_or_never().expect("nothing is waited for");
        read.map(|address| address.map(|address| address.is_ipv4())).map_err(|error| error.kind())
    });
}
