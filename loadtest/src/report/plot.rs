//! Line plots as inline SVG: no script, no font, no file beside the page. Colours come from the
//! page's custom properties, so that one drawing serves light and dark.

/// One line of a plot.
#[derive(Debug)]
pub(super) struct Series<'a> {
    /// What it is called in the legend.
    pub(super) name: &'a str,
    /// Its points, ordered by x.
    pub(super) points: Vec<(f64, f64)>,
}

/// One plot.
#[derive(Debug)]
pub(super) struct Plot<'a> {
    /// What is shown.
    pub(super) title: &'a str,
    /// Unit of the y axis.
    pub(super) unit: &'a str,
    /// Labels of the x axis: place and text.
    pub(super) ticks: Vec<(f64, String)>,
    /// Whether y grows by factors.
    pub(super) logarithmic: bool,
    /// The lines; at most four have a colour.
    pub(super) series: Vec<Series<'a>>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;

impl Plot<'_> {
    /// The plot as HTML: a heading, a legend, the drawing. Empty without points.
    pub(super) fn html(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        if points().count() == 0 {
            return String::new();
        }
        let xs = (
            points().map(|point| point.0).fold(f64::INFINITY, f64::min),
            points().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max),
        );
        let top = points().map(|point| point.1).fold(0.0, f64::max);
        let low = points().map(|point| point.1).filter(|y| *y > 0.0).fold(f64::INFINITY, f64::min);
        let axis = Axis::new(self.logarithmic && low.is_finite(), low, top);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(self.title)
        );
        for (value, label) in axis.ticks() {
            let y = axis.place(value);
            svg.push_str(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
            ));
        }
        let across = |x: f64| place_x(x, xs);
        for (x, label) in self.ticks.iter().filter(|tick| tick.0 >= xs.0 && tick.0 <= xs.1) {
            let (x, y) = (across(*x), HEIGHT - 6.0);
            let label = escape(label);
            svg.push_str(&format!(
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>"
            ));
        }
        for (number, series) in self.series.iter().enumerate() {
            let mut path = String::new();
            for (index, (x, y)) in series.points.iter().enumerate() {
                let verb = if index == 0 { 'M' } else { 'L' };
                path.push_str(&format!("{verb}{:.1} {:.1}", across(*x), axis.place(*y)));
            }
            svg.push_str(&format!("<path class=\"line s{number}\" d=\"{path}\"/>"));
        }
        svg.push_str("</svg>");
        format!(
            "<section><h2>{} <small>{}</small></h2><p class=\"legend\">{}</p>{svg}</section>\n",
            escape(self.title),
            escape(self.unit),
            self.legend()
        )
    }

    fn legend(&self) -> String {
        let mut text = String::new();
        for (number, series) in self.series.iter().enumerate() {
            let name = escape(series.name);
            text.push_str(&format!("<span><i class=\"s{number}\"></i>{name}</span>"));
        }
        text
    }
}

fn place_x(x: f64, (low, high): (f64, f64)) -> f64 {
    LEFT + (x - low) / (high - low).max(f64::MIN_POSITIVE) * (WIDTH - LEFT - RIGHT)
}

struct Axis {
    logarithmic: bool,
    low: f64,
    high: f64,
}

impl Axis {
    fn new(logarithmic: bool, low: f64, high: f64) -> Self {
        if logarithmic {
            let (low, high) = (low.log10().floor(), high.log10().ceil());
            return Self { logarithmic, low, high: high.max(low + 1.0) };
        }
        // A line of zeros lies on the floor of a plot, not of a plot of nothing.
        Self { logarithmic, low: 0.0, high: if high > 0.0 { round_up(high) } else { 1.0 } }
    }

    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(1e-9).log10() } else { value };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        TOP + (1.0 - share) * (HEIGHT - TOP - BOTTOM)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        let value = |step: u32| match self.logarithmic {
            true => 10_f64.powf(self.low + f64::from(step)),
            false => self.high / 4.0 * f64::from(step),
        };
        let steps = if self.logarithmic { self.high - self.low } else { 4.0 };
        (0..=12_u32)
            .filter(|step| f64::from(*step) <= steps)
            .map(|step| (value(step), short(value(step))))
            .collect()
    }
}

/// Round labels for an x axis from 0 to `end`, six at most, each with `unit` behind it.
pub(super) fn round_ticks(end: f64, unit: &str) -> Vec<(f64, String)> {
    let least = (end / 6.0).max(1e-9);
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|step| *step >= least).unwrap_or(least);
    (0..=6_u32)
        .map(|number| f64::from(number) * step)
        .filter(|at| *at <= end)
        .map(|at| (at, format!("{}{unit}", short(at))))
        .collect()
}

/// The next 1, 2, 4 or 8 times a power of ten: a quarter of it is a round number.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let factors = [1.0, 2.0, 4.0, 8.0, 10.0];
    factors.iter().map(|factor| factor * power).find(|top| *top >= value).unwrap_or(10.0 * power)
}

/// A number in few characters.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.1}M", value / 1e6),
        size if size >= 1e4 => format!("{:.0}k", value / 1e3),
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 1.0 => trim(format!("{value:.1}")),
        size if size >= 0.1 => trim(format!("{value:.2}")),
        _ => trim(format!("{value:.3}")),
    }
}

fn trim(text: String) -> String {
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// Text for HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_axes_round() {
        let rows =
            [(0.0, "0"), (1_234_567.0, "1.2M"), (12_345.0, "12k"), (1.50, "1.5"), (0.02, "0.02")];
        for (value, expected) in rows {
            assert_eq!(short(value), expected);
        }
        for (value, expected) in [(7.0, 8.0), (81.0, 100.0), (0.0011, 0.002)] {
            assert!((round_up(value) / expected - 1.0).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn ticks_are_round() {
        let labels = |end| {
            let ticks = round_ticks(end, " s");
            ticks.into_iter().map(|tick| tick.1).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(labels(10.6), "0 s, 2 s, 4 s, 6 s, 8 s, 10 s");
        assert_eq!(labels(60.0), "0 s, 10 s, 20 s, 30 s, 40 s, 50 s, 60 s");
        assert_eq!(labels(1.0), "0 s, 0.2 s, 0.4 s, 0.6 s, 0.8 s, 1 s");
    }

    #[test]
    fn points_stay_inside_the_drawing() {
        for logarithmic in [false, true] {
            let points = vec![(0.0, 0.5), (1.0, 2_000.0), (2.0, 0.0)];
            let plot = Plot {
                title: "a < b",
                unit: "ms",
                ticks: vec![(1.0, "1 s".to_owned())],
                logarithmic,
                series: vec![Series { name: "p50", points }],
            };
            let html = plot.html();
            assert!(html.contains("a &lt; b") && html.contains("1 s"));
            let path = html.split("d=\"").nth(1).unwrap().split('"').next().unwrap();
            for pair in path.split(['M', 'L']).skip(1) {
                let (x, y) = pair.split_once(' ').unwrap();
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                assert!((0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y), "{pair}");
            }
        }
        let empty = Plot { title: "", unit: "", ticks: vec![], logarithmic: false, series: vec![] };
        assert_eq!(empty.html(), "");
    }
}
