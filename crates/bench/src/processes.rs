//! Other processes, their descendants, and their total processor time.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

/// The unit of the times in `/proc`: `USER_HZ` is 100 wherever Linux runs.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// User and system time of a process and all its descendants so far, including those that
/// have exited.
pub(crate) fn cpu(root: u32) -> Result<Duration> {
    let family = family(root)?;
    ensure!(!family.is_empty(), "a server has ended");
    Ok(TICK * family.iter().map(|member| member.ticks).sum())
}

/// One process of a family.
pub(crate) struct Member {
    pub(crate) pid: u32,
    parent: u32,
    ticks: u32,
}

/// The process and its descendants, parents before children.
pub(crate) fn family(root: u32) -> Result<Vec<Member>> {
    let mut strangers = Vec::new();
    for entry in Path::new("/proc").read_dir()? {
        // A process that has exited has no times any more; they are included in its parent's.
        let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
        strangers.extend(member(&stat));
    }
    let mut family: Vec<_> = strangers.extract_if(.., |process| process.pid == root).collect();
    let mut next = 0;
    while let Some(parent) = family.get(next).map(|member| member.pid) {
        family.extend(strangers.extract_if(.., |process| process.parent == parent));
        next += 1;
    }
    Ok(family)
}

/// One line of `/proc/PID/stat`, as proc(5) numbers its fields: 4 is the parent, 14 to 17 the
/// ticks, user and system, of the process itself and of children that it has waited for.
fn member(stat: &str) -> Option<Member> {
    let (pid, rest) = stat.split_once(" (")?;
    // The name is in parentheses and may contain some itself; field 3 follows it.
    let fields: Vec<_> = rest.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u32>().ok()).sum::<Option<u32>>()?;
    Some(Member { pid: pid.parse().ok()?, parent: fields.get(1)?.parse().ok()?, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_any_name() {
        let stat = "42 (a) b (c) S 7 1 1 0 -1 64 9 9 9 9 10 20 3 4 20 0 1 0 99 0 0";
        let member = member(stat).unwrap();
        assert_eq!((member.pid, member.parent, member.ticks), (42, 7, 37));
    }

    #[test]
    fn time_passes_while_something_is_done() {
        let own = std::process::id();
        let before = cpu(own).unwrap();
        while cpu(own).unwrap() == before {}
        assert!(cpu(u32::MAX).is_err());
    }
}
