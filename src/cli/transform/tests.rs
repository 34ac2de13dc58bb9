use super::*;

/// A pack for the key `wk`, the name `web` and nobody; `two` is the name of two sources.
struct Known(Chain);

impl Chains for Known {
    fn chain(&mut self, sender: Sender<'_>) -> Result<&mut Chain, Unresolved> {
        match sender {
            Sender::WriteKey("wk") | Sender::Source("web") | Sender::Nobody => Ok(&mut self.0),
            Sender::WriteKey(_) => Err(Unresolved::UnknownKey),
            Sender::Source("two") => Err(Unresolved::Ambiguous),
            Sender::Source(_) => Err(Unresolved::UnknownSource),
        }
    }
}

/// Splits events named `two`, fails on those named `bad`.
struct Splitter;

impl Stage for Splitter {
    fn run(&mut self, events: &[String]) -> Vec<Result<Vec<String>, String>> {
        let one = |event: &String| match event {
            event if event.contains("\"two\"") => Ok(vec![event.clone(), event.clone()]),
            event if event.contains("\"bad\"") => Err("splitter: broke".to_owned()),
            event => Ok(vec![event.clone()]),
        };
        events.iter().map(one).collect()
    }
}

fn chain() -> Known {
    let text =
        "[[rule]]\ndetect = [\"email\"]\naction = \"redact\"\n[[drop]]\nevents = [\"gone\"]\n";
    let pack = Arc::new(Pack::compile("test", text).unwrap());
    let pseudonyms = Arc::new(Pseudonyms::new(&[1; 32], 1).unwrap());
    Known(vec![Box::new(Splitter), Box::new(PackStage::new(pack, pseudonyms))])
}

/// The output, the notes and what the command ended with.
fn transformed(input: &str, source: Option<&str>) -> (String, String, Result<u64, Error>) {
    let (mut output, mut notes) = (Vec::new(), Vec::new());
    let end = run(&mut input.as_bytes(), &mut output, &mut notes, source, &mut chain());
    (String::from_utf8(output).unwrap(), String::from_utf8(notes).unwrap(), end)
}

#[test]
fn each_line_gives_one_of_the_same_shape() {
    let input = r#"{"event":"a","m":"to a@b.de","n":1.10}

{"path":"/v1/track","writeKey":"wk","body":{"event":"a","m":"a@b.de"}}
{"path":"/v1/batch","writeKey":"wk","x":1,"body":{"batch":[{"event":"a","m":"a@b.de"},{"event":"gone"},{"event":"two"},7],"context":{"m":"a@b.de"},"sentAt":"2026-01-01T00:00:00Z"}}
{"event":"gone"}
{"event":"two","m":"a@b.de"}
"#;
    let expected = r#"{"event":"a","m":"to [email]","n":1.10}

{"path":"/v1/track","writeKey":"wk","body":{"event":"a","m":"[email]"}}
{"path":"/v1/batch","writeKey":"wk","x":1,"body":{"batch":[{"event":"a","m":"[email]"},null,[{"event":"two"},{"event":"two"}],null],"context":{"m":"[email]"},"sentAt":"2026-01-01T00:00:00Z"}}
null
[{"event":"two","m":"[email]"},{"event":"two","m":"[email]"}]
"#;
    let (output, notes, end) = transformed(input, None);
    assert_eq!((output.as_str(), notes.as_str()), (expected, ""));
    assert_eq!(end.unwrap(), 0);
}

#[test]
fn a_blank_line_stays_one() {
    let (output, notes, end) = transformed("\n{}\n \t\r\n\n{\"event\":\"bad\"}\n  ", None);
    assert_eq!(output, "\n{}\n\n\nnull\n\n");
    assert_eq!(notes, "line 5: splitter: broke\n");
    assert_eq!(end.unwrap(), 1);
}

#[test]
fn a_failed_event_is_null_and_noted_without_its_content() {
    let (output, notes, end) =
        transformed("{\"event\":\"bad\",\"m\":\"a@b.de\"}\n{}\n", Some("web"));
    assert_eq!(output, "null\n{}\n");
    assert_eq!(notes, "line 1: splitter: broke\n");
    assert_eq!(end.unwrap(), 1);
}

#[test]
fn a_line_at_fault_ends_with_its_number_and_exit_2() {
    let cases = [
        (
            "{}\n{\"path\":\"/\",\"writeKey\":\"no\",\"body\":{}}\n",
            None,
            "line 2: no source has this write key",
        ),
        ("{}\n", Some("two"), "line 1: several sources have this name; give the id"),
        ("{}\n", Some("no"), "line 1: no source has this id or name"),
        ("{}\n\n{\"a\":\n", None, "line 3: not an event or request in JSON"),
        ("[1]\n", None, "line 1: not an event or request in JSON"),
    ];
    for (input, source, why) in cases {
        let (output, _, end) = transformed(input, source);
        let error = end.unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_code()), (why, 2));
        // What came before is written as it was, blank lines and all.
        assert!(input.starts_with(&output), "{output}");
        let before = why.split([' ', ':']).nth(1).unwrap().parse::<usize>().unwrap() - 1;
        assert_eq!(output.lines().count(), before, "{output}");
    }
}
