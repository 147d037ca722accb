//! The report printed at the end of a run.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::check::Verdict;
use super::client::Counts;
use super::history::{ClientHistory, History, OpKind, Outcome};
use super::sinks::Tally;

/// Violations shown per rule.
const SHOWN: usize = 5;

pub(super) struct Report<'a> {
    pub(super) seed: u64,
    pub(super) schedule: u64,
    pub(super) plant: Option<&'static str>,
    pub(super) elapsed: Duration,
    pub(super) settled: Duration,
    pub(super) history: &'a History,
    pub(super) counts: &'a Counts,
    pub(super) verdict: &'a Verdict,
    /// What each sink of events has.
    pub(super) sinks: &'a [(&'static str, Tally)],
    /// What went wrong beside the promises, such as a node that ended by itself.
    pub(super) problems: &'a [String],
}

impl Report<'_> {
    pub(super) fn is_clean(&self) -> bool {
        self.verdict.total() == 0 && self.problems.is_empty()
    }

    pub(super) fn print(&self) {
        let plant = self.plant.map(|plant| format!(", planted: {plant}")).unwrap_or_default();
        println!("seed {}, schedule {:016x}{plant}", self.seed, self.schedule);
        self.print_faults();
        self.print_operations();
        self.print_times();
        if !self.sinks.is_empty() {
            println!("\nevents that left");
        }
        for (sink, Tally { events, repeats, disordered, missing, .. }) in self.sinks {
            println!(
                "  {events:>10}  {sink}; {repeats} repeats, {disordered} out of order, {missing} missing"
            );
        }
        println!("\nchecked");
        for (rule, count) in &self.verdict.checked {
            println!("  {count:>10}  {rule}");
        }
        for problem in self.problems {
            println!("\nPROBLEM: {problem}");
        }
        for (rule, (count, texts)) in &self.verdict.violations {
            println!("\nVIOLATED, {count} times: {rule}");
            for text in texts.iter().take(SHOWN) {
                println!("  {text}");
            }
        }
        let verdict = if self.is_clean() { "every promise held" } else { "promises were broken" };
        println!("\n{verdict} (seed {}, schedule {:016x})", self.seed, self.schedule);
    }

    fn print_times(&self) {
        let ops = self.history.clients.iter().flat_map(|client| &client.ops);
        let mut times: Vec<_> = ops
            .filter_map(|op| match (op.kind, &op.outcome) {
                (OpKind::Send, Outcome::Done(answer)) => Some(answer.at - op.first_sent),
                _ => None,
            })
            .collect();
        times.sort_unstable();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
        let longest = times.last().copied().unwrap_or_default();
        println!("\ntimes");
        println!(
            "  {:>7} ms  until a message was acknowledged, half of them; {} ms 99 of 100; {longest} ms the last",
            at(0.5),
            at(0.99)
        );
        println!("  {:>7} ms  until all was well once it was healed", self.settled.as_millis());
    }

    fn print_faults(&self) {
        let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
        for fault in &self.history.faults {
            *faults.entry(fault.name).or_default() += 1;
        }
        let seconds = self.elapsed.as_secs_f64();
        let total = self.history.faults.len();
        println!("\nfaults: {total} in {seconds:.0} s, {:.2} a second", total as f64 / seconds);
        for (name, count) in faults {
            println!("  {count:>10}  {name}");
        }
    }

    fn print_operations(&self) {
        let clients = &self.history.clients;
        let ops = || clients.iter().flat_map(|client| &client.ops);
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let acknowledged = load(&self.counts.acknowledged);
        println!("\noperations");
        let line = |count: u64, what: &str| println!("  {count:>10}  {what}");
        line(load(&self.counts.sent), "messages sent");
        line(acknowledged, "messages acknowledged");
        line(acknowledged / self.elapsed.as_secs().max(1), "of them a second");
        line(ops().map(|op| u64::from(op.attempts.saturating_sub(1))).sum(), "further attempts");
        line(ops().map(|op| op.repeats.len() as u64).sum(), "repeats of what was answered");
        line(ops().filter(|op| op.kind != OpKind::Send).count() as u64, "other changes and marks");
        line(sum(clients, |client| client.pages.len()), "pages read");
        line(load(&self.counts.delivered), "events delivered");
        line(load(&self.counts.gaps), "gaps named");
        line(load(&self.counts.sessions), "sessions");
        line(load(&self.counts.draining), "sessions told to leave a draining node");
        line(sum(clients, |client| client.failed_connects as usize), "tries to connect that failed");
        let mut refusals: BTreeMap<&str, u64> = BTreeMap::new();
        let mut unknown = 0;
        for op in ops() {
            match &op.outcome {
                Outcome::Refused { reason, .. } => *refusals.entry(reason).or_default() += 1,
                Outcome::Unknown => unknown += 1,
                Outcome::Open | Outcome::Done(_) => {}
            }
        }
        line(unknown, "given up, outcome unknown");
        for (reason, count) in refusals {
            println!("  {count:>10}  refused: {reason}");
        }
    }
}

fn sum(clients: &[ClientHistory], count: impl Fn(&ClientHistory) -> usize) -> u64 {
    clients.iter().map(count).sum::<usize>() as u64
}
