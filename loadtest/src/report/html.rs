//! The report as one HTML file: figures, plots and the profile, nothing fetched from anywhere.

use super::plot::{Plot, Series, escape, round_ticks, short};
use super::result::{RunReport, Step, run_text};
use crate::latency::Slice;
use crate::process::Sample;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#66707b;--line:#d8dee4;--page:#fff;--card:#f6f8fa;
--s0:#0b6bcb;--s1:#c2410c;--s2:#15803d;--s3:#7c3aed}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa5b1;--line:#30363d;--page:#0d1117;
--card:#161b22;--s0:#58a6ff;--s1:#f0883e;--s2:#3fb950;--s3:#bc8cff}}
body{margin:2rem auto;max-width:60rem;padding:0 1rem;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page)}
h1{font-size:1.5rem;margin:0}h2{font-size:1rem;margin:2rem 0 .25rem}small{color:var(--soft);font-weight:400}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:1.5rem 0}
.cards div{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.75rem}
.cards b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}.cards span{color:var(--soft);font-size:.8rem}
svg{width:100%;height:auto}.grid{stroke:var(--line)}.tick{fill:var(--soft);font-size:11px}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.legend{margin:0;font-size:.85rem;color:var(--soft)}
.legend span{margin-right:1.25rem}.legend i{display:inline-block;width:.8rem;height:.2rem;margin-right:.4rem;vertical-align:middle}
path.s0{stroke:var(--s0)}path.s1{stroke:var(--s1)}path.s2{stroke:var(--s2)}path.s3{stroke:var(--s3)}
i.s0{background:var(--s0)}i.s1{background:var(--s1)}i.s2{background:var(--s2)}i.s3{background:var(--s3)}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:1rem;overflow:auto;font-size:.8rem}
";

/// The whole page.
///
/// # Errors
/// When the profile cannot be written as TOML.
pub(crate) fn page(report: &RunReport) -> anyhow::Result<String> {
    let profile = toml::to_string_pretty(&report.profile)?;
    let title = format!("{} at {}", report.name, report.url);
    let machine = &report.machine;
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{}</h1><p>{}<br><small>{} · {} · {} × {} · Linux {} · seed {}</small></p>\n",
        escape(&title),
        escape(&title),
        escape(&report.profile.description),
        escape(&report.began),
        escape(&if report.cut_short {
            format!("{}, CUT SHORT by a signal", report.pace)
        } else {
            report.pace.clone()
        }),
        machine.processors,
        escape(&machine.processor),
        escape(&machine.kernel),
        report.seed,
    );
    page.push_str(&cards(report));
    for plot in plots(report) {
        page.push_str(&plot.html());
    }
    page.push_str(&format!(
        "<h2>Figures</h2><pre>{}</pre><h2>Profile</h2><pre>{}</pre><p><small>{}</small></p></body></html>\n",
        escape(&run_text(report)),
        escape(&profile),
        escape(&report.command),
    ));
    Ok(page)
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn cards(report: &RunReport) -> String {
    let outcome = &report.outcome;
    let ms = |micros: u64| format!("{} ms", short(micros as f64 / 1_000.0));
    let cpu = report.server_cpu_us_per_event;
    let figures = [
        (short(report.events_per_second), "events/s acknowledged"),
        (ms(outcome.latency.p50), "median, from due"),
        (ms(outcome.latency.p99), "p99, from due"),
        (outcome.counts.failed().to_string(), "requests failed"),
        (cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.2} us")), "server CPU per event"),
        (format!("{} MiB", outcome.server_rss_peak >> 20), "server memory, peak"),
    ];
    let mut html = String::from("<div class=\"cards\">");
    for (value, name) in figures {
        html.push_str(&format!("<div><b>{value}</b><span>{name}</span></div>"));
    }
    html.push_str("</div>\n");
    html
}

/// Points of a value over time.
type Points = Vec<(f64, f64)>;

const MARKS: [(f64, &str); 5] =
    [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];

#[expect(clippy::cast_precision_loss, reason = "for people to look at")]
fn plots(report: &RunReport) -> Vec<Plot<'static>> {
    let outcome = &report.outcome;
    let slices = &outcome.slices;
    let of = |each: &dyn Fn(&Slice) -> f64| {
        slices.iter().map(|slice| (slice.at, each(slice))).collect::<Points>()
    };
    let end = slices.last().map_or(0.0, |slice| slice.at + slice.seconds);
    let seconds = round_ticks(end, " s");
    // What was still on its way at the end is no rate.
    let whole = slices.iter().filter(|slice| slice.at + slice.seconds <= outcome.seconds + 1e-6);
    let whole: Vec<&Slice> = whole.collect();
    let rated = |each: &dyn Fn(&Slice) -> f64| {
        whole.iter().map(|slice| (slice.at, each(slice))).collect::<Points>()
    };
    let mut rate = vec![line("acknowledged", rated(&|slice| slice.events as f64 / slice.seconds))];
    if let Some(due) = report.events_due_per_second {
        rate.push(line("due", rated(&|_| due)));
    }
    let (memory, cpu) = server(&outcome.server);
    let nines = |share: f64| -(1.0 - share).max(1e-6).log10();
    let curve = outcome.latency.curve.iter().map(|(share, us)| (nines(*share), *us as f64 / 1e3));
    let marks = MARKS.iter().map(|(share, text)| (nines(*share), (*text).to_owned())).collect();
    let latency = vec![
        line("p50", of(&|slice| slice.p50 as f64 / 1e3)),
        line("p99", of(&|slice| slice.p99 as f64 / 1e3)),
        line("max", of(&|slice| slice.max as f64 / 1e3)),
    ];
    let failed = vec![line("failed", of(&|slice| slice.failed as f64 / slice.seconds))];
    let plot = |title, unit, logarithmic, series| Plot {
        title,
        unit,
        ticks: seconds.clone(),
        logarithmic,
        series,
    };
    let mut all = ramp(&report.steps);
    all.extend([
        plot("Latency over time", "ms, from the moment a request was due", true, latency),
        Plot {
            ticks: marks,
            ..plot("Percentiles", "ms", true, vec![line("latency", curve.collect())])
        },
        plot("Rate", "events/s", false, rate),
        plot("Refused and failed", "requests/s", false, failed),
        plot("Server memory", "MiB resident", false, vec![line("memory", memory)]),
        plot("Server processor", "cores", false, vec![line("cores", cpu)]),
    ]);
    all
}

/// A ramp's steps by the rate that was due; nothing for a run at one rate.
#[expect(clippy::cast_precision_loss, reason = "for people to look at")]
fn ramp(steps: &[Step]) -> Vec<Plot<'static>> {
    let of = |each: &dyn Fn(&Step) -> f64| {
        steps.iter().map(|step| (step.rate, each(step))).collect::<Points>()
    };
    let end = steps.iter().map(|step| step.rate).fold(0.0, f64::max);
    let plot = |title, unit, logarithmic, series| Plot {
        title,
        unit,
        ticks: round_ticks(end, "/s"),
        logarithmic,
        series,
    };
    let reached =
        vec![line("acknowledged", of(&|step| step.reached)), line("due", of(&|step| step.rate))];
    let latency = vec![
        line("p50", of(&|step| step.p50 as f64 / 1e3)),
        line("p99", of(&|step| step.p99 as f64 / 1e3)),
    ];
    vec![
        plot("Ramp: rate", "events/s acknowledged, by the rate due", false, reached),
        plot("Ramp: latency", "ms, by the rate due", true, latency),
    ]
}

const fn line(name: &'static str, points: Points) -> Series<'static> {
    Series { name, points }
}

/// Memory in MiB and processor use in cores over time.
#[expect(clippy::cast_precision_loss, reason = "for people to look at")]
fn server(samples: &[Sample]) -> (Points, Points) {
    let memory = samples.iter().map(|sample| (sample.at, sample.rss as f64 / 1_048_576.0));
    let cpu = samples.iter().zip(samples.iter().skip(1)).map(|(first, last)| {
        let spent = last.cpu_ns.saturating_sub(first.cpu_ns) as f64 / 1e9;
        (last.at, spent / (last.at - first.at).max(1e-3))
    });
    (memory.collect(), cpu.collect())
}
