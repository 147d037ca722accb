//! Plots each figure relative to its goal.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::figure::{Goal, Measured};
use super::series::number;

const WIDTH: u32 = 900;
const ROW: u32 = 26;
const LABEL: u32 = 520;

/// A bar of length 1 meets the goal exactly; longer is better, whatever the direction of
/// the goal. Longer bars than the scale are cut off.
const SCALE: f64 = 2.5;

pub(super) fn svg(measured: &[Measured]) -> Result<String> {
    let mut text = String::new();
    draw(measured, &mut text).map_err(|error| anyhow!("{error}"))?;
    Ok(text)
}

/// The score of a figure: 1 meets the goal, 2 is twice as good.
fn score(measured: &Measured) -> Option<f64> {
    let value = measured.value();
    match measured.goal {
        Goal::AtLeast(goal) => Some(value / goal),
        Goal::AtMost(goal) => Some(goal / value),
        Goal::Reported => None,
    }
    .filter(|score| score.is_finite())
}

fn draw(measured: &[Measured], text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let rows: Vec<_> = measured.iter().filter_map(|measured| Some((measured, score(measured)?))).collect();
    let height = ROW * (rows.len() as u32 + 2);
    let area = SVGBackend::with_string(text, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let font = |color: &RGBColor| ("sans-serif", 13).into_font().color(color);
    let bars = f64::from(WIDTH - LABEL - 20);
    let x = |score: f64| LABEL as i32 + (score.min(SCALE) / SCALE * bars) as i32;
    for (row, (measured, score)) in rows.iter().enumerate() {
        let top = (ROW * (row as u32 + 1)) as i32;
        let label = format!("{}  {}: {}", measured.id, measured.measure, number(measured.value()));
        area.draw(&Text::new(label, (10, top + 5), font(&BLACK)))?;
        let color = if *score >= 1.0 { RGBColor(46, 125, 80) } else { RGBColor(190, 80, 50) };
        let bar = [(x(0.0), top + 3), (x(*score), top + ROW as i32 - 5)];
        area.draw(&Rectangle::new(bar, color.filled()))?;
    }
    let goal = x(1.0);
    area.draw(&PathElement::new(vec![(goal, 18), (goal, height as i32 - ROW as i32 + 4)], BLACK))?;
    area.draw(&Text::new("goal", (goal - 14, 3), font(&BLACK)))?;
    area.present()?;
    Ok(())
}
