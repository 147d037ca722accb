//! `parlance-sim`: runs seeds, and shows failing ones.
#![allow(clippy::print_stdout, reason = "a command line tool prints")]

use std::process::ExitCode;

use clap::Parser;
use parlance_sim::{Kind, run};

/// Runs whole nodes under simulated time, network and storage, one run for each seed.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Number of seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// A room that grows to 600 members, instead of everyday traffic.
    #[arg(long)]
    growth: bool,
    /// Tiny pages and caches, callers that disconnect, and all checks.
    #[arg(long, conflicts_with = "growth")]
    wide: bool,
    /// Show the full trace.
    #[arg(long)]
    trace: bool,
    /// Run each seed twice and compare.
    #[arg(long)]
    twice: bool,
    /// Continue after a failure.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (kind, flag) = match (args.growth, args.wide) {
        (true, _) => (Kind::Growth, " --growth"),
        (_, true) => (Kind::Wide, " --wide"),
        _ => (Kind::Everyday, ""),
    };
    let mut failed = 0;
    for seed in args.from..args.from + args.seeds {
        let report = match run(seed, kind, args.trace) {
            Ok(report) => report,
            Err(error) => {
                println!("no runtime: {error}");
                return ExitCode::FAILURE;
            }
        };
        for line in &report.trace {
            println!("{line}");
        }
        let again = args.twice.then(|| run(seed, kind, false).map(|again| again.hash));
        let differs = matches!(again, Some(Ok(hash)) if hash != report.hash);
        if differs {
            println!("seed {seed}: two runs differ");
        }
        if differs || !report.violations.is_empty() {
            failed += 1;
            println!("seed {seed} fails; cargo run -p parlance-sim -- --from {seed} --seeds 1 --trace{flag}");
            for violation in &report.violations {
                println!("  {violation}");
            }
            if !args.keep_going {
                return ExitCode::FAILURE;
            }
        }
        if args.trace {
            println!("seed {seed}: {:016x} {:?}", report.hash, report.size);
        }
    }
    println!("{} of {} seeds fail", failed, args.seeds);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
