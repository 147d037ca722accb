use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ephemeral ports: a server that is restarted needs its port again, which meanwhile must not become that of
/// somebody's outgoing connection.
const FIRST: u16 = 12_000;
/// Ports of each of the tests that run at the same time.
const EACH: u16 = 1_500;
const SLOTS: u16 = 4;

/// A free port, as long as no other test takes it in between.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = std::process::id();
    let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").ok().and_then(|slot| slot.parse().ok());
    let slot = slot.unwrap_or((process % u32::from(SLOTS)) as u16) % SLOTS;
    // Ports of an ended connection are in use for a minute: each test begins elsewhere.
    let begin = (process.wrapping_mul(37) % u32::from(EACH)) as u16;
    let free = (0..EACH).find_map(|_| {
        let offset = (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % EACH;
        let port = FIRST + slot * EACH + offset;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    });
    free.expect("a free port")
}
