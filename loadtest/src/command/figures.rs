//! Figures of several rounds, as they are counted and shown.

/// Threads whose name begins so belong to the loader, not to taking events in.
pub(crate) const LOADER: &str = "loader";

/// Median, lowest and highest of some figures.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Spread {
    /// The middle one; of an even number the lower middle.
    pub(crate) median: f64,
    /// The lowest.
    pub(crate) min: f64,
    /// The highest.
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `values`; none of no values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len().saturating_sub(1) / 2;
        Some(Self { median: *sorted.get(middle)?, min: *sorted.first()?, max: *sorted.last()? })
    }

    /// `median [min-max]`.
    pub(crate) fn text(&self, digits: usize) -> String {
        let Self { median, min, max } = self;
        format!("{median:.digits$} [{min:.digits$}-{max:.digits$}]")
    }
}

/// CPU for one of so many events, microseconds.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a round stay below 2^53")]
pub(crate) fn us_each(ns: u64, events: u64) -> f64 {
    ns as f64 / 1_000.0 / events.max(1) as f64
}

/// A figure's cell in a table.
pub(crate) fn cell(spread: &Option<Spread>, digits: usize) -> String {
    spread.as_ref().map_or_else(|| "-".to_owned(), |spread| spread.text(digits))
}

/// Bytes in MiB.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// The spread of one figure of all rounds; a figure that is 0 was not measured.
pub(crate) fn spread<T>(rounds: &[T], each: impl Fn(&T) -> f64) -> Option<Spread> {
    let values: Vec<f64> = rounds.iter().map(each).filter(|value| *value > 0.0).collect();
    Spread::of(&values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_and_ends() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]).unwrap().text(1), "2.0 [1.0-3.0]");
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.0);
        assert!(Spread::of(&[]).is_none());
    }
}
