//! Reads a server's metrics in Prometheus' text form, as far as the books need it.

use std::collections::BTreeMap;

use crate::lake::manifest::Books;
use crate::report::Settled;

/// The books of one source, by outcome; `waiting` among them.
type Book = BTreeMap<String, u64>;

/// Checks, for each source, received + split = all outcomes + waiting. Answers with what is wrong,
/// which includes that there are no books.
pub(crate) fn faults_of_books(text: &str) -> Vec<String> {
    let books = books(text);
    if books.is_empty() {
        return vec!["the server shows no keelrow_events_total".to_owned()];
    }
    let mut faults = Vec::new();
    for (source, book) in books {
        let of = |outcome: &str| book.get(outcome).copied().unwrap_or(0);
        let came = of("received") + of("split");
        let went: u64 = book
            .iter()
            .filter(|(outcome, _)| !matches!(outcome.as_str(), "received" | "split"))
            .map(|(_, count)| *count)
            .sum();
        if came != went {
            faults.push(format!("the books of {source} do not balance: {book:?}"));
        }
    }
    faults
}

/// Holds the books of a server against those of all manifests, where it showed the same before and
/// after they were read and is the only writer: the sums of each outcome, and what was received. Also
/// that no event waits when no journal record does.
pub(crate) fn faults_against(
    before: &str,
    after: &str,
    lake: &Books,
    writers: usize,
) -> Vec<String> {
    let shown = books(before);
    let sum = |outcome: &str| -> u64 { shown.values().filter_map(|book| book.get(outcome)).sum() };
    let mut faults = Vec::new();
    let waiting = sum("waiting");
    if value(before, "keelrow_loader_lag_records") == Some(0) && waiting > 0 {
        faults.push(format!("{waiting} events wait and no record of the journal does"));
    }
    if books(after) != shown || writers != 1 {
        return faults;
    }
    for (outcome, in_lake) in [
        ("loaded", lake.loaded),
        ("duplicate", lake.duplicate),
        ("rejected", lake.rejected),
        ("dropped", lake.dropped),
        ("suppressed", lake.suppressed),
    ] {
        let shown = sum(outcome);
        if shown != in_lake {
            faults
                .push(format!("the server shows {shown} {outcome}, the manifests have {in_lake}"));
        }
    }
    let (come, settled) = (sum("received") + sum("split"), lake.received + lake.split);
    if come != settled + waiting {
        faults.push(format!(
            "the server shows {come} received and split, the manifests have {settled} and {waiting} wait"
        ));
    }
    faults
}

/// What became of events so far, over all sources; none if the server does not say.
pub(crate) fn settled(text: &str) -> Option<Settled> {
    let books = books(text);
    let mut sum = Settled::default();
    for (outcome, count) in books.values().flatten() {
        let settles = !matches!(outcome.as_str(), "received" | "split" | "waiting");
        sum.events += if settles { *count } else { 0 };
        sum.repeats += if outcome == "duplicate" { *count } else { 0 };
        sum.rejected += if outcome == "rejected" { *count } else { 0 };
    }
    (!books.is_empty()).then_some(sum)
}

/// The value of a metric without labels.
fn value(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

/// Events that are acknowledged and not settled; none if the server does not say.
pub(crate) fn waiting(text: &str) -> Option<u64> {
    let books = books(text);
    let waiting = books.values().filter_map(|book| book.get("waiting"));
    (!books.is_empty()).then(|| waiting.sum())
}

fn books(text: &str) -> BTreeMap<String, Book> {
    let mut books: BTreeMap<String, Book> = BTreeMap::new();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let Some((labels, value)) = rest.rsplit_once('}') else { continue };
        let outcome = match name {
            "keelrow_events_total" => label(labels, "outcome"),
            "keelrow_events_waiting" => Some("waiting".to_owned()),
            _ => continue,
        };
        let count = value.split_ascii_whitespace().next().and_then(|count| count.parse().ok());
        if let (Some(source), Some(outcome), Some(count)) =
            (label(labels, "source"), outcome, count)
        {
            books.entry(source).or_default().insert(outcome, count);
        }
    }
    books
}

/// The value of one label; escapes in it are left as they are.
fn label(labels: &str, name: &str) -> Option<String> {
    let mut rest = labels;
    loop {
        let (key, after) = rest.split_once("=\"")?;
        let mut escaped = false;
        let end = after.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        let (value, left) = after.split_at(end);
        if key.trim_start_matches(',') == name {
            return Some(value.to_owned());
        }
        rest = left.strip_prefix('"')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_are_held_against_the_manifests() {
        let shown = "keelrow_events_total{source=\"a\",outcome=\"received\"} 10\n\
            keelrow_events_total{source=\"a\",outcome=\"loaded\"} 7\n\
            keelrow_events_total{source=\"a\",outcome=\"dropped\"} 1\n\
            keelrow_events_waiting{source=\"a\"} 2\n\
            keelrow_loader_lag_records 2\n";
        let lake = Books { received: 8, loaded: 7, dropped: 1, ..Books::default() };
        assert_eq!(faults_against(shown, shown, &lake, 1), Vec::<String>::new());
        let idle = shown.replace("records 2", "records 0");
        assert_eq!(faults_against(&idle, &idle, &lake, 1).len(), 1);
        let other = Books { loaded: 6, rejected: 1, ..lake };
        assert_eq!(faults_against(shown, shown, &other, 1).len(), 2);
        // Another writer's batches, or a server at work: nothing can be said.
        assert_eq!(faults_against(shown, shown, &other, 2).len(), 0);
        assert_eq!(faults_against(shown, &idle.replace("} 7", "} 8"), &other, 1).len(), 0);
    }

    #[test]
    fn books_are_judged_by_source() {
        let right = "# TYPE keelrow_events counter\n\
            keelrow_events_total{source=\"a\",outcome=\"received\"} 10\n\
            keelrow_events_total{outcome=\"split\",source=\"a\"} 1\n\
            keelrow_events_total{source=\"a\",outcome=\"loaded\"} 7\n\
            keelrow_events_total{source=\"a\",outcome=\"duplicate\"} 1\n\
            keelrow_events_waiting{source=\"a\"} 3\n\
            keelrow_other{source=\"a\"} 99\n";
        assert_eq!(faults_of_books(right), Vec::<String>::new());
        let wrong = right.replace("} 7", "} 6");
        assert!(faults_of_books(&wrong)[0].contains("books of a"));
        assert_eq!(faults_of_books("").len(), 1);
        assert_eq!((waiting(right), waiting("")), (Some(3), None));
        assert_eq!(settled(right), Some(Settled { events: 8, repeats: 1, rejected: 0 }));
        assert_eq!(settled(""), None);
        assert_eq!(label("a=\"x\\\"y\",b=\"z\"", "b"), Some("z".to_owned()));
    }
}
