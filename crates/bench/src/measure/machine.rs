//! The environment of the figures.

use std::process::Command;

/// Describes the machine and the versions in one sentence.
pub(super) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = kilobytes.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let gibibytes = kilobytes.unwrap_or_default() / (1024 * 1024);
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores ({}), {gibibytes} GiB, Linux {}; parlance {} at {}, {}, built by {}; servers, clients and \
         counterparts share the cores; 200 bytes of text.",
        processor.unwrap_or("unknown").trim(),
        kernel.trim(),
        env!("CARGO_PKG_VERSION"),
        output("git", &["rev-parse", "--short", "HEAD"]),
        output("date", &["-I"]),
        output("rustc", &["--version"]),
    )
}

/// The output of a program, in one line.
fn output(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).output().map(|output| output.stdout);
    let said = String::from_utf8_lossy(&said.unwrap_or_default()).trim().to_owned();
    if said.is_empty() { "unknown".to_owned() } else { said }
}
