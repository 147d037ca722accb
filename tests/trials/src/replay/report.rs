//! The results of a replay, as a table and as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::plan::Plan;
use super::run::Latencies;
use super::unsendable::{Reason, Unsendable};
use super::verifier::Tally;

/// Lines of each kind listed in the table; the JSON has all.
const NAMED: usize = 3;

#[derive(Debug)]
pub(super) struct Report {
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    /// Messages received on all streams.
    pub(super) streams: Tally,
    /// Messages read back, each room forward and backward.
    pub(super) history: Tally,
    pub(super) unread_wrong: u64,
    pub(super) latencies: Latencies,
    /// From the first step to the last acknowledgement.
    pub(super) elapsed: Duration,
    pub(super) restarts: u64,
    pub(super) reconnects: u64,
    pub(super) problems: Vec<String>,
    pub(super) problem_count: u64,
}

impl Report {
    /// Whether all checks passed.
    pub(super) fn is_clean(&self, plan: &Plan) -> bool {
        self.acknowledged == plan.messages()
            && self.adds_up(plan)
            && self.streams.is_clean()
            && self.history.is_clean()
            && self.unread_wrong == 0
            && self.problem_count == 0
    }

    /// Every line read was sent, or could not be sent, or has no message.
    fn adds_up(&self, plan: &Plan) -> bool {
        self.sent + plan.unsendable.len() as u64 + plan.other_lines == plan.lines
    }

    #[rustfmt::skip]
    pub(super) fn print(&self, plan: &Plan) {
        let both = |count: fn(&Tally) -> u64| {
            let (streams, history) = (count(&self.streams), count(&self.history));
            let of = if streams + history > 0 { format!("  ({streams} on streams, {history} in history)") } else { String::new() };
            format!("{}{of}", streams + history)
        };
        let lines = format!(
            "{} = {} sent + {} unsendable + {} others{}",
            plan.lines, self.sent, plan.unsendable.len(), plan.other_lines,
            if self.adds_up(plan) { "" } else { "  DOES NOT ADD UP" },
        );
        let rate = self.acknowledged as f64 / self.elapsed.as_secs_f64();
        let row = |name: &str, value: String| println!("{name:<24} {value}");
        row("rooms", plan.rooms.len().to_string());
        row("users", plan.users.len().to_string());
        row("lines read", lines);
        row("messages sent", self.sent.to_string());
        row("acknowledged", self.acknowledged.to_string());
        row("delivered", format!("{} to all streams, {} read back", self.streams.delivered, self.history.delivered));
        row("lost", both(|tally| tally.lost));
        row("duplicated", both(|tally| tally.duplicated));
        row("out of order", both(|tally| tally.out_of_order));
        row("unread counts wrong", self.unread_wrong.to_string());
        row("altered", both(|tally| tally.altered));
        row("to a non-member", both(|tally| tally.uninvited));
        row("other problems", self.problem_count.to_string());
        row("unsendable", plan.unsendable.len().to_string());
        for (reason, lines) in by_reason(plan) {
            let named: Vec<_> = lines.iter().take(NAMED).map(|line| place(plan, line)).collect();
            let more = if lines.len() > NAMED { ", ..." } else { "" };
            row(&format!("  {reason}"), format!("{}  ({}{more})", lines.len(), named.join(", ")));
        }
        row("ack latency", latency(&self.latencies.acknowledged));
        row("delivery latency", latency(&self.latencies.delivered));
        row("messages a second", format!("{rate:.0}  ({:.1} s)", self.elapsed.as_secs_f64()));
        row("server restarts", format!("{}  ({} reconnects)", self.restarts, self.reconnects));
        for problem in &self.problems {
            println!("problem: {problem}");
        }
        println!("{}", if self.is_clean(plan) { "all clean" } else { "NOT CLEAN" });
    }

    pub(super) fn to_json(&self, plan: &Plan) -> Value {
        let unsendable: BTreeMap<_, Vec<_>> = by_reason(plan)
            .into_iter()
            .map(|(reason, lines)| (reason.to_string(), lines.iter().map(|line| place(plan, line)).collect()))
            .collect();
        json!({
            "clean": self.is_clean(plan),
            "rooms": plan.rooms.len(),
            "users": plan.users.len(),
            "lines": plan.lines,
            "non_message_lines": plan.other_lines,
            "unsendable": unsendable,
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "delivered": self.streams.delivered,
            "read_back": self.history.delivered,
            "lost": self.streams.lost + self.history.lost,
            "duplicated": self.streams.duplicated + self.history.duplicated,
            "out_of_order": self.streams.out_of_order + self.history.out_of_order,
            "unread_wrong": self.unread_wrong,
            "altered": self.streams.altered + self.history.altered,
            "uninvited": self.streams.uninvited + self.history.uninvited,
            "problems": self.problems,
            "problem_count": self.problem_count,
            "ack_latency_us": quantiles(&self.latencies.acknowledged),
            "delivery_latency_us": quantiles(&self.latencies.delivered),
            "seconds": self.elapsed.as_secs_f64(),
            "restarts": self.restarts,
            "reconnects": self.reconnects,
        })
    }
}

fn by_reason(plan: &Plan) -> BTreeMap<Reason, Vec<&Unsendable>> {
    let mut by_reason: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in &plan.unsendable {
        by_reason.entry(line.reason).or_default().push(line);
    }
    by_reason
}

/// `file:line`.
fn place(plan: &Plan, unsendable: &Unsendable) -> String {
    format!("{}:{}", plan.rooms[unsendable.room].file, unsendable.line)
}

fn latency(histogram: &Histogram<u64>) -> String {
    let milliseconds = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    format!("p50 {:.2} ms, p99 {:.2} ms", milliseconds(0.5), milliseconds(0.99))
}

fn quantiles(histogram: &Histogram<u64>) -> Value {
    let [p50, p99] = [0.5, 0.99].map(|quantile| histogram.value_at_quantile(quantile));
    json!({ "p50": p50, "p99": p99, "max": histogram.max() })
}
