//! The result of a run: the measured figures with everything needed to make them again.

use serde::{Deserialize, Serialize};

use crate::drive::Outcome;
use crate::latency::Percentiles;
use crate::process::Machine;
use crate::profile::Profile;

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunReport {
    /// Version of this harness.
    pub(crate) loadtest: String,
    /// When it began.
    pub(crate) began: String,
    /// The command line, as typed.
    pub(crate) command: String,
    /// The machine.
    pub(crate) machine: Machine,
    /// The server.
    pub(crate) url: String,
    /// What it says of itself at /version.
    pub(crate) server: Option<serde_json::Value>,
    /// Name of the profile.
    pub(crate) name: String,
    /// The profile with every change of the command line.
    pub(crate) profile: Profile,
    /// Seed of the traffic.
    pub(crate) seed: u64,
    /// How fast requests came: open or closed.
    pub(crate) pace: String,
    /// Whether a signal ended it before its time.
    #[serde(default)]
    pub(crate) cut_short: bool,
    /// Events a second that were asked for; none in a closed loop.
    pub(crate) events_due_per_second: Option<f64>,
    /// Events a second that were acknowledged.
    pub(crate) events_per_second: f64,
    /// The server's processor time for each of them, microseconds.
    pub(crate) server_cpu_us_per_event: Option<f64>,
    /// Everything measured.
    pub(crate) outcome: Outcome,
    /// What of it was loaded, and what was left out as repeats, as far as the server told.
    #[serde(default)]
    pub(crate) settled: Option<Settled>,
    /// The steps of a ramp, if it was one; the outcome is that of the highest sustained step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<Step>,
}

/// Events that reached their place while a run went on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settled {
    /// All of them, whatever became of them.
    pub(crate) events: u64,
    /// Those that were left out, as the lake had them.
    pub(crate) repeats: u64,
    /// Those that are in `rejected`; an id the lake has with other content is.
    pub(crate) rejected: u64,
}

impl Settled {
    /// What came since `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            events: self.events.saturating_sub(before.events),
            repeats: self.repeats.saturating_sub(before.repeats),
            rejected: self.rejected.saturating_sub(before.rejected),
        }
    }

    /// Whether the lake had nearly all ids of what was sent.
    pub(crate) const fn known(self) -> bool {
        self.events > 0 && self.repeats + self.rejected >= self.events / 10 * 9
    }
}

/// One step of a ramp.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Events a second that were asked for.
    pub(crate) rate: f64,
    /// Events a second that were acknowledged.
    pub(crate) reached: f64,
    /// Median latency, microseconds.
    pub(crate) p50: u64,
    /// 99 % of the latencies are at most this, microseconds.
    pub(crate) p99: u64,
    /// Share of requests that failed.
    pub(crate) failed: f64,
    /// The server's processor time for each event, microseconds.
    pub(crate) server_cpu_us_per_event: Option<f64>,
    /// Why it was not sustained; none if it was.
    pub(crate) why_not: Option<String>,
}

/// The run for a terminal.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn run_text(report: &RunReport) -> String {
    let outcome = &report.outcome;
    let counts = &outcome.counts;
    let mut text = format!(
        "{}: {}\n{} at {}\n\n",
        report.name, report.profile.description, report.pace, report.url
    );
    if report.cut_short {
        text.push_str(&format!("CUT SHORT by a signal after {:.1} s\n\n", outcome.seconds));
    }
    let mut row = |name: &str, value: String| text.push_str(&format!("{name:<24}{value}\n"));
    if let Some(due) = report.events_due_per_second {
        row("events due", format!("{due:.0}/s"));
    }
    row(
        "events acknowledged",
        format!(
            "{:.0}/s, {} in {:.1} s",
            report.events_per_second, counts.events_taken, outcome.seconds
        ),
    );
    for (name, times) in [
        ("latency (from due)", &outcome.latency),
        ("on the wire", &outcome.accepted),
        ("late to send", &outcome.lag),
        ("refused, on the wire", &outcome.refused),
        ("broken, on the wire", &outcome.broken),
    ] {
        // Refusals and failures have a line where there are any.
        if times.count > 0 || !name.contains(',') {
            row(name, times_text(times));
        }
    }
    row("requests", format!("{}, {} MB", counts.requests, counts.bytes / 1_000_000));
    let refused: Vec<String> =
        counts.refused.iter().map(|(status, count)| format!("{status}: {count}")).collect();
    row("refused", if refused.is_empty() { "0".to_owned() } else { refused.join(", ") });
    row("broken, timed out", format!("{}, {}", counts.broken, counts.timed_out));
    row("retries, given up", format!("{}, {}", counts.retries, counts.given_up));
    row("duplicates, cut short", format!("{}, {}", counts.duplicates, counts.cut));
    row("abandoned", counts.abandoned.to_string());
    row("wrong answers", counts.unexpected.to_string());
    row("seed", report.seed.to_string());
    if let Some(settled) = report.settled {
        let Settled { events, repeats, rejected } = settled;
        row("repeats, rejected", format!("{repeats}, {rejected} of {events} settled"));
    }
    if let Some(cpu) = report.server_cpu_us_per_event {
        row("server CPU", format!("{cpu:.2} us per event"));
        let last = outcome.server.last().map_or(0, |sample| sample.rss);
        row(
            "server memory",
            format!(
                "{:.0} MiB, peak {:.0} MiB",
                last as f64 / 1048576.0,
                outcome.server_rss_peak as f64 / 1048576.0
            ),
        );
    }
    row("generator CPU", format!("{:.2} cores", outcome.generator_cpu));
    if !report.steps.is_empty() {
        text.push('\n');
        text.push_str(&steps_text(&report.steps));
    }
    if report.settled.is_some_and(Settled::known) {
        text.push_str(
            "\nREPEATS: nearly none of these events was loaded, since the lake has their ids: this seed was\n\
             sent before. The figures are those of repeats: take another --seed, or none.\n",
        );
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn times_text(times: &Percentiles) -> String {
    let ms = |micros: u64| micros as f64 / 1_000.0;
    format!(
        "p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
        ms(times.p50),
        ms(times.p90),
        ms(times.p99),
        ms(times.p999),
        ms(times.max)
    )
}

/// A ramp's steps as a markdown table.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn steps_text(steps: &[Step]) -> String {
    let mut text = String::from(
        "| events/s due | acknowledged | p50 ms | p99 ms | failed | CPU us/event | sustained |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for step in steps {
        let cpu =
            step.server_cpu_us_per_event.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.2}"));
        text.push_str(&format!(
            "| {:.0} | {:.0} | {:.2} | {:.2} | {:.2} % | {cpu} | {} |\n",
            step.rate,
            step.reached,
            step.p50 as f64 / 1_000.0,
            step.p99 as f64 / 1_000.0,
            step.failed * 100.0,
            step.why_not.as_deref().unwrap_or("yes"),
        ));
    }
    let best = steps.iter().filter(|step| step.why_not.is_none()).map(|step| step.rate);
    match best.reduce(f64::max) {
        Some(best) => text.push_str(&format!("\nhighest sustained rate: {best:.0} events/s\n")),
        None => text.push_str("\nno rate was sustained\n"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lake_that_had_nearly_all_is_told_of() {
        let settled = |events, repeats, rejected| Settled { events, repeats, rejected };
        assert!(settled(1_000, 150, 950).since(settled(500, 100, 500)).known());
        assert!(settled(100, 0, 90).known() && settled(100, 95, 0).known());
        for fine in [settled(0, 0, 0), settled(100, 1, 2), settled(100, 40, 40)] {
            assert!(!fine.known(), "{fine:?}");
        }
    }
}
