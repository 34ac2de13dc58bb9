//! Reads a server's metrics in Prometheus' text form, as far as the books need it.

use std::collections::BTreeMap;

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
        assert_eq!(label("a=\"x\\\"y\",b=\"z\"", "b"), Some("z".to_owned()));
    }
}
