//! The figures that the project holds itself to, each with what it must reach and what it aims at.

use super::super::figures::{Spread, cell};
use super::Compared;

/// One figure and its marks.
struct Mark {
    figure: String,
    measured: Option<Spread>,
    digits: usize,
    must: f64,
    aim: f64,
}

impl Mark {
    fn new(
        figure: impl Into<String>,
        measured: Option<Spread>,
        digits: usize,
        (must, aim): (f64, f64),
    ) -> Self {
        Self { figure: figure.into(), measured, digits, must, aim }
    }

    /// Whether the median reaches `mark`; more is better where the aim is more.
    fn reaches(&self, mark: f64) -> bool {
        let median = self.measured.map_or(f64::NAN, |spread| spread.median);
        if self.aim > self.must { median >= mark } else { median <= mark }
    }

    const fn or_better(&self) -> &'static str {
        if self.aim > self.must { "≥" } else { "≤" }
    }

    fn row(&self) -> String {
        let reached = match (self.reaches(self.aim), self.reaches(self.must)) {
            (true, _) => "aim",
            (_, true) => "must",
            _ => "missed",
        };
        let Self { figure, measured, digits, must, aim } = self;
        let than = self.or_better();
        format!(
            "| {figure} | {} | {than} {must} | {than} {aim} | {reached} |\n",
            cell(measured, *digits)
        )
    }
}

/// All figures that were measured, as markdown.
pub(super) fn table(compared: &Compared) -> String {
    let mut text = String::from(
        "| figure | median [min-max] | must | aim | reached |\n|---|---|---|---|---|\n",
    );
    for mark in marks(compared).iter().filter(|mark| mark.measured.is_some()) {
        text.push_str(&mark.row());
    }
    text
}

fn marks(compared: &Compared) -> Vec<Mark> {
    let mut marks = Vec::new();
    for row in &compared.shapes {
        match row.shape.as_str() {
            "single" => marks.push(Mark::new(
                "single event, events per CPU-second, of bare axum's",
                row.ratio,
                2,
                (0.45, 0.60),
            )),
            "batch50" => {
                let figure = "batch of 50, CPU us/event";
                marks.push(Mark::new(figure, row.ingest_us, 2, (5.0, 3.5)));
                let figure = "the same, multiple of `IgnoredAny`";
                marks.push(Mark::new(figure, row.multiple_of_ignored_any, 1, (6.0, 4.5)));
            }
            _ => marks.push(Mark::new(
                "batch of 50, gzip, CPU us/event",
                row.ingest_us,
                2,
                (6.5, 5.0),
            )),
        }
    }
    if let Some(synced) = &compared.synced {
        let figure = "single events/s at 64 clients, synced to disk, of those in memory";
        marks.push(Mark::new(figure, synced.ratio, 2, (0.65, 0.80)));
    }
    if let Some(acknowledged) = &compared.acknowledged {
        let figure = "ack p99 at half of the highest rate / bare sync of 64 KiB";
        marks.push(Mark::new(figure, acknowledged.ratio, 1, (20.0, 8.0)));
    }
    if let Some(sustained) = &compared.sustained {
        let figure = "whole product, events/s until loaded";
        marks.push(Mark::new(figure, sustained.highest, 0, (30_000.0, 60_000.0)));
        let figure = format!("resident memory at {:.0} events/s, MiB", sustained.rate);
        marks.push(Mark::new(figure, sustained.memory_mib, 0, (300.0, 150.0)));
    }
    for row in &compared.loader {
        let figure = format!(
            "loader, {}, {:.0} events a batch, events per CPU-second",
            row.profile, row.events
        );
        let marked =
            if row.events >= 30_000.0 { (80_000.0, 130_000.0) } else { (30_000.0, 45_000.0) };
        marks.push(Mark::new(figure, row.events_per_cpu_second, 0, marked));
    }
    marks.push(Mark::new("start to first accepted event, ms", compared.start_ms, 0, (100.0, 30.0)));
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_reached_from_its_own_side() {
        let of = |value, marks| Mark::new("x", Spread::of(&[value]), 1, marks).row();
        assert!(of(0.5, (0.45, 0.60)).ends_with("| ≥ 0.45 | ≥ 0.6 | must |\n"));
        assert!(of(0.7, (0.45, 0.60)).ends_with("| aim |\n"));
        assert!(of(6.0, (5.0, 3.5)).ends_with("| ≤ 5 | ≤ 3.5 | missed |\n"));
        assert!(of(3.5, (5.0, 3.5)).ends_with("| aim |\n"));
    }
}
