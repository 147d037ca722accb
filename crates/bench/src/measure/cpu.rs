//! Processor time of other processes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// Linux tells times in hundredths of a second, whatever it counts in.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of a process so far, its ended threads included.
pub(super) fn of(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    // The name of the program stands in brackets and may hold anything.
    let fields = stat.rsplit_once(')').context("no process")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_while_something_is_done() {
        let own = std::process::id();
        let before = of(own).unwrap();
        let mut sum = 0_u64;
        while of(own).unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(of(u32::MAX).is_err());
    }
}
