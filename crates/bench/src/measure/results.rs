//! The results compared with their goals: as Markdown, JSON and a plot.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::figure::Measured;
use super::plot;
use super::series::{Series, number};

pub(super) use super::figure::Goal;

/// All figures of a run, and the absolute values behind them.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) measured: Vec<Measured>,
    details: Vec<(u8, String, Series)>,
}

impl Results {
    /// Records a figure with a goal, and prints it.
    pub(super) fn add(&mut self, id: u8, measure: impl Into<String>, goal: Goal, rounds: Series) {
        let measured = Measured { id, measure: measure.into(), goal, rounds };
        println!("{}", line(&measured));
        self.measured.push(measured);
    }

    /// Records the absolute values behind a figure.
    pub(super) fn detail(&mut self, id: u8, what: impl Into<String>, rounds: Series) {
        let what = what.into();
        println!("    {what}: {rounds}");
        self.details.push((id, what, rounds));
    }

    /// Writes `latest.md`, `latest.json` and `latest.svg` into `folder`.
    pub(super) fn write(&mut self, folder: &Path, machine: &str) -> Result<()> {
        self.measured.sort_by_key(|measured| measured.id);
        self.details.sort_by_key(|(id, ..)| *id);
        std::fs::create_dir_all(folder)?;
        let path = |name: &str| folder.join(name);
        let json = Value::Array(self.measured.iter().map(as_json).collect());
        std::fs::write(path("latest.json"), format!("{json:#}\n"))?;
        std::fs::write(path("latest.md"), self.markdown(machine))?;
        std::fs::write(path("latest.svg"), plot::svg(&self.measured).context("cannot draw")?)?;
        println!("\nwritten to {}", folder.display());
        Ok(())
    }

    fn markdown(&self, machine: &str) -> String {
        let mut text = format!(
            "# Results\n\n{machine}\n\nMedian of the rounds, and in brackets the lowest and the highest.\n\n"
        );
        text.push_str("| # | measure | value | goal | met |\n|---|---|---|---|---|\n");
        for measured in &self.measured {
            let goal = measured
                .goal
                .bound()
                .map_or_else(String::new, |bound| format!("{} {}", measured.goal.sign(), number(bound)));
            let met =
                measured.goal.is_met(measured.value()).map_or("", |met| if met { "yes" } else { "**no**" });
            let _ = writeln!(
                text,
                "| {} | {} | {} | {goal} | {met} |",
                measured.id, measured.measure, measured.rounds
            );
        }
        text.push_str("\n## What they are made of\n\n| # | | |\n|---|---|---|\n");
        for (id, what, rounds) in &self.details {
            let _ = writeln!(text, "| {id} | {what} | {rounds} |");
        }
        text
    }
}

fn line(measured: &Measured) -> String {
    let Measured { id, measure, goal, rounds } = measured;
    match (goal.bound(), goal.is_met(measured.value())) {
        (Some(bound), Some(met)) => {
            let met = if met { "met" } else { "MISSED" };
            format!("{id:>2}  {measure}: {rounds}   goal {} {}: {met}", goal.sign(), number(bound))
        }
        _ => format!("{id:>2}  {measure}: {rounds}"),
    }
}

fn as_json(measured: &Measured) -> Value {
    json!({
        "id": measured.id,
        "measure": measured.measure,
        "value": measured.value(),
        "goal": measured.goal.bound().map(|bound| format!("{} {}", measured.goal.sign(), number(bound))),
        "met": measured.goal.is_met(measured.value()),
        "rounds": measured.rounds.values(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_are_written() {
        let mut results = Results::default();
        results.add(1, "this against that", Goal::AtMost(1.25), Series::from_iter([1.5, 1.2, 1.1]));
        results.detail(1, "this", Series::from_iter([15.0]));
        let folder = tempfile::tempdir().unwrap();
        results.write(folder.path(), "a machine").unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let json: Value = serde_json::from_str(&read("latest.json")).unwrap();
        assert_eq!(json[0]["rounds"], json!([1.1, 1.2, 1.5]));
        assert_eq!((&json[0]["value"], &json[0]["met"]), (&json!(1.2), &json!(true)));
        assert!(read("latest.md").contains("| 1 | this against that | 1.20 [1.10-1.50] | <= 1.25 | yes |"));
        assert!(read("latest.svg").contains("<svg"));
    }
}
