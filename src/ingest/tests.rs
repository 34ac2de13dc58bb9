//! The pipeline on a journal in a temporary folder, with a fixed clock.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::*;
use crate::clock::{Fixed, Timestamp};
use crate::config;
use crate::event::enrich::EventType;
use crate::event::time::Moment;
use crate::journal::disk::{Log, Options};
use crate::journal::{Item, Position};
use crate::limits::Budget;
use crate::record::{self, FrameKind, View};
use crate::transform::Pack;

const SOURCES: &str = r#"
[[source]]
name = "web"
environment = "prod"
platform = "web"
schema = "web_prod"
write_key = "wk-web"
transforms = []
[[source]]
name = "slow"
environment = "prod"
write_key = "wk-slow"
transforms = []
rate_limit = "3/s"
"#;

struct Bench {
    ingest: Ingest,
    journal: Arc<dyn Journal>,
    in_flight: Budget,
    books: Books,
    clock: Arc<Fixed>,
    noting: Arc<Noting>,
    _folder: tempfile::TempDir,
}

fn bench() -> Bench {
    bench_within(Limits {
        event_bytes_max: 4_096,
        batch_events_max: 10,
        rejected_bytes_max: 256,
        group_bytes_max: 64 * 1024,
        clock_guard: ClockGuard {
            max_future: Duration::from_secs(86_400),
            min: Timestamp::from_micros(0),
        },
    })
}

fn bench_within(limits: Limits) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Fixed::at(Moment::parse("2026-11-21T10:00:00Z").unwrap().at));
    let config =
        config::parse(SOURCES, "keelrow.toml".as_ref(), &config::Environment::new()).unwrap();
    let sources = Sources::new(&config.sources);
    let options = Options {
        segment_bytes: 1 << 20,
        max_bytes: 16 << 20,
        ..Options::new(folder.path().join("journal"), "node")
    };
    let clock_service: Arc<dyn Clock> = Arc::<Fixed>::clone(&clock);
    let others = Arc::new(Fixed::at(Timestamp::default()));
    let log = Log::open(options, Arc::clone(&clock_service), others).unwrap();
    let journal: Arc<dyn Journal> = Arc::new(log);
    let books = Books::new();
    let noting = Arc::new(Noting {
        clock: Arc::clone(&clock),
        threads: std::sync::Mutex::default(),
        panics: AtomicUsize::new(0),
    });
    let services = Services {
        clock: Arc::<Noting>::clone(&noting) as Arc<dyn Clock>,
        ids: Arc::<Fixed>::clone(&clock) as Arc<dyn IdSource>,
        journal: Arc::clone(&journal),
        pseudonyms: Pseudonyms::new(b"0123456789abcdef0123456789abcdef", 1).unwrap(),
        limits,
        scripts: script::Limits::default(),
        rates: RateLimits::new(clock_service, sources.list()),
        books: books.clone(),
        counts: Arc::default(),
    };
    let chains = sources.list().iter().map(|s| (s.id.clone(), Arc::default())).collect();
    let ingest = Ingest::new(
        services,
        Live { sources: Arc::new(sources), chains, suppression: Suppression::default() },
        2,
    )
    .unwrap();
    let in_flight = Budget::new(16 << 20);
    Bench { ingest, journal, in_flight, books, clock, noting, _folder: folder }
}

impl Bench {
    async fn post(&self, key: &str, form: Form, body: &str) -> Result<u32, Refusal> {
        let source = self.ingest.live().sources.by_write_key(key).cloned();
        let credential = source.map_or(Credential::InBody { origin: None }, Credential::Known);
        let submission = Submission {
            credential,
            form,
            body: Bytes::copy_from_slice(body.as_bytes()),
            client_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
            deadline: Duration::from_secs(5),
            permit: self.in_flight.take(body.len()).unwrap(),
        };
        self.ingest.submit(submission).await.map(|accepted| accepted.events)
    }

    /// Puts transformations of `web_prod` in force.
    fn transform(&self, stages: Vec<Stage>) {
        let sources = Arc::clone(&self.ingest.live().sources);
        let chains = Chains::from_iter([("web_prod".to_owned(), Arc::new(Chain::new(stages)))]);
        self.ingest.reload(Live { sources, chains, suppression: Suppression::default() });
    }

    /// The last rejected event: why, its names, and its payload.
    fn rejected(&self) -> (record::Rejection, String) {
        let mut reader = self.journal.reader(Position::ZERO).unwrap();
        let mut last = None;
        while let Some(item) = reader.next().unwrap() {
            let Item::Frame(frame) = item else { panic!("damaged") };
            let View::Event(event) = record::read(frame.payload).unwrap() else { continue };
            let payload = String::from_utf8(event.payload.to_vec()).unwrap();
            last = event.rejection.clone().map(|rejection| (rejection, payload)).or(last);
        }
        last.unwrap()
    }

    /// What is in the journal: the payload, or the reason of a rejection.
    fn records(&self) -> Vec<(FrameKind, String, Json)> {
        let mut reader = self.journal.reader(Position::ZERO).unwrap();
        let mut records = Vec::new();
        while let Some(item) = reader.next().unwrap() {
            let Item::Frame(frame) = item else { panic!("damaged") };
            let kind = FrameKind::from_byte(frame.kind).unwrap();
            let View::Event(event) = record::read(frame.payload).unwrap() else { continue };
            let reason = event.rejection.clone().map_or_else(String::new, |r| r.reason);
            let payload = serde_json::from_slice(event.payload).unwrap();
            records.push((kind, reason, payload));
        }
        records
    }
}

#[tokio::test]
async fn a_single_event_is_enriched_and_durable() {
    let bench = bench();
    let body = r#"{"userId":"u","event":"e","type":"page","properties":{"n":1.10,"n":2}}"#;
    assert_eq!(bench.post("wk-web", Form::Single(EventType::Track), body).await, Ok(1));
    let records = bench.records();
    let want = json!({
        "userId": "u", "event": "e", "type": "track",
        "properties": serde_json::from_str::<Json>(r#"{"n":1.10}"#).unwrap(),
        "messageId": "00000000-0000-4000-8000-000000000001",
        "rudderId": crate::event::id::rudder_id("u", "").to_string(),
        "request_ip": "203.0.113.9",
        "receivedAt": "2026-11-21T10:00:00.000Z",
        "originalTimestamp": "2026-11-21T10:00:00.000Z",
        "sentAt": "2026-11-21T10:00:00.000Z",
        "timestamp": "2026-11-21T10:00:00.000Z",
    });
    assert_eq!(records, [(FrameKind::Event, String::new(), want)]);
    assert_eq!(bench.books.of("web_prod").balance().waiting(), 1);
}

#[tokio::test]
async fn a_large_body_is_worked_on_aside_and_comes_to_the_same() {
    let bench = bench();
    let body = r#"{"userId":"u","event":"e","messageId":"m"}"#;
    let large = " ".repeat(INLINE_BYTES_MAX) + body;
    for body in [body, &large] {
        let form = Form::Single(EventType::Track);
        assert_eq!(bench.post("wk-web", form, body).await, Ok(1));
    }
    let records = bench.records();
    assert_eq!((records.len(), &records[0]), (2, &records[1]));
    assert_eq!(bench.post("wk-web", Form::Batch, &large).await, Err(Refusal::EmptyBatch));
    assert_eq!(bench.in_flight.used(), 0);
}

#[tokio::test]
async fn a_batch_is_judged_event_by_event() {
    let bench = bench();
    let large = format!(r#"{{"type":"track","userId":"u","x":"{}"}}"#, "y".repeat(5_000));
    let body = format!(
        r#"{{"batch":[{{"type":"track","userId":"u","event":"good"}},
        {{"type":"track","event":"no ids"}},17,{{"userId":"u"}},{{"type":"record"}},{large}]}}"#
    );
    assert_eq!(bench.post("wk-web", Form::Batch, &body).await, Ok(6));
    let reasons: Vec<String> = bench.records().into_iter().map(|(_, reason, _)| reason).collect();
    let want = ["", "no_ids", "not_an_object", "unknown_type", "unknown_type", "too_large"];
    assert_eq!(reasons, want);
    let payload = &bench.records()[1].2;
    assert_eq!(payload, &json!({"type": "track", "event": "no ids"}));
}

#[tokio::test]
async fn a_batch_with_nothing_good_is_refused_and_leaves_nothing() {
    let bench = bench();
    let cases = [
        (r#"{"batch":[{"type":"track"},5]}"#, Err(Refusal::NoIds)),
        (r#"{"batch":[5,{"type":"track"}]}"#, Err(Refusal::NotAnObject)),
        (r#"{"batch":7}"#, Err(Refusal::NotAnObject)),
        (r#"{"batch":[]}"#, Err(Refusal::EmptyBatch)),
        (r#"{"batch":null}"#, Err(Refusal::EmptyBatch)),
        (r#"[{"batch":[1]}]"#, Err(Refusal::EmptyBatch)),
        (r#"{"batch":[{"userId":"u"}"#, Err(Refusal::InvalidJson)),
        ("", Err(Refusal::InvalidJson)),
        (r#"{"batch":[1,2,3,4,5,6,7,8,9,10,11]}"#, Err(Refusal::TooManyEvents)),
    ];
    for (body, want) in cases {
        assert_eq!(bench.post("wk-web", Form::Batch, body).await, want, "{body}");
    }
    assert_eq!(bench.post("wk-web", Form::Import, r#"{"batch":[]}"#).await, Ok(0));
    assert!(bench.records().is_empty());
    assert_eq!(bench.books.of("web_prod").balance().waiting(), 0);
}

#[tokio::test]
async fn the_write_key_may_be_in_the_body() {
    let bench = bench();
    let form = Form::Batch;
    let body = |key: &str| format!(r#"{{"batch":[{{"userId":"u","type":"track"}}]{key}}}"#);
    assert_eq!(bench.post("", form, &body(r#","writeKey":"wk-web""#)).await, Ok(1));
    let unknown = bench.post("", form, &body(r#","writeKey":"nope""#)).await;
    assert_eq!(unknown, Err(Refusal::UnknownKey));
    assert_eq!(bench.post("", form, &body("")).await, Err(Refusal::NoKeyInHeader));
    assert_eq!(bench.post("", form, "not json").await, Err(Refusal::NoKeyInHeader));
}

#[tokio::test]
async fn a_source_is_held_to_its_rate() {
    let bench = bench();
    let body = r#"{"batch":[{"userId":"u","type":"track"},{"userId":"u","type":"track"}]}"#;
    assert_eq!(bench.post("wk-slow", Form::Batch, body).await, Ok(2));
    let refused = bench.post("wk-slow", Form::Batch, body).await;
    assert!(matches!(refused, Err(Refusal::RateLimited { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_batch_cannot_blow_up_in_the_journal() {
    let bench = bench();
    let shared = "z".repeat(3_000);
    let event = r#"{"userId":"u","type":"track"}"#;
    let many = [event; 10].join(",");
    let body = format!(r#"{{"context":{{"z":"{shared}"}},"batch":[{many}]}}"#);
    assert_eq!(bench.post("wk-web", Form::Batch, &body).await, Ok(10));
    let context = format!(r#"{{"z":"{shared}","y":"{shared}"}}"#);
    let body = format!(r#"{{"context":{context},"batch":[{event}]}}"#);
    assert_eq!(bench.post("wk-web", Form::Batch, &body).await, Ok(1));
    assert_eq!(bench.records()[10].1, "too_large");
}

#[tokio::test]
async fn copies_of_a_context_have_a_limit() {
    let bench = bench();
    let members: Vec<String> = (0..40_000).map(|n| format!("\"k{n}\":0")).collect();
    let event = r#"{"userId":"u","type":"track"}"#;
    let body = |events: usize| {
        let many = vec![event; events].join(",");
        format!(r#"{{"context":{{{}}},"batch":[{many}]}}"#, members.join(","))
    };
    // 40,000 members are too large for an event here, so the events are refused one by one.
    assert_eq!(bench.post("wk-web", Form::Batch, &body(9)).await, Ok(9));
    let members = vec![members.join(","); 2].join(",").replace("k1", "j1");
    let many = [event; 10].join(",");
    let body = format!(
        r#"{{"context":{{"a":{{{members}}},"b":[{}0]}},"batch":[{many}]}}"#,
        "0,".repeat(600_000)
    );
    assert_eq!(bench.post("wk-web", Form::Batch, &body).await, Err(Refusal::TooLarge));
}

#[tokio::test]
async fn work_ends_with_the_clients_patience() {
    let bench = bench();
    let event = r#"{"userId":"u","type":"track"}"#;
    bench.clock.advance(Duration::from_secs(6));
    let body = format!(r#"{{"batch":[{event},{event}]}}"#);
    assert_eq!(bench.post("wk-web", Form::Batch, &body).await, Err(Refusal::AckTimeout));
    assert!(bench.records().is_empty());
}

#[tokio::test]
async fn the_clock_is_looked_at_for_the_bytes_that_are_worked_on() {
    // A few small events, and what each of them becomes with the batch's own members.
    let bench = bench();
    let event = r#"{"userId":"u","type":"track"}"#;
    let events = [event; 8].join(",");
    let context = format!(r#""context":{{"x":"{}"}},"#, "y".repeat(3_000));
    let looks = async |context: String| {
        bench.noting.threads.lock().unwrap().clear();
        let body = format!(r#"{{{context}"batch":[{events}]}}"#);
        assert_eq!(bench.post("wk-web", Form::Batch, &body).await, Ok(8));
        bench.noting.threads.lock().unwrap().len()
    };
    let few = looks(String::new()).await;
    assert_eq!(looks(context).await, few + 2);
}

#[tokio::test]
async fn an_event_has_a_limit() {
    let bench = bench();
    let event = |bytes: usize| format!(r#"{{"userId":"u","x":"{}"}}"#, "y".repeat(bytes - 21));
    let form = Form::Single(EventType::Track);
    assert_eq!(event(4_096).len(), 4_096);
    assert_eq!(bench.post("wk-web", form, &event(4_096)).await, Ok(1));
    assert_eq!(bench.post("wk-web", form, &event(4_097)).await, Err(Refusal::TooLarge));
    assert_eq!(bench.records().len(), 1);
}

#[tokio::test]
async fn a_request_has_a_limit_in_the_journal() {
    let bench = bench();
    let event = format!(r#"{{"userId":"u","type":"track","x":"{}"}}"#, "y".repeat(3_900));
    let shared = format!(r#""integrations":{{"a":"{}"}}"#, "z".repeat(100));
    let body = |events: usize| {
        let many = vec![event.as_str(); events].join(",");
        format!(r#"{{{shared},"batch":[{many}]}}"#)
    };
    assert_eq!(bench.post("wk-web", Form::Batch, &body(7)).await, Ok(7));
    let limits = Limits { group_bytes_max: 16 * 1024, ..bench.ingest.services.limits };
    let tight = bench_within(limits);
    assert_eq!(tight.post("wk-web", Form::Batch, &body(7)).await, Err(Refusal::TooLarge));
    assert!(tight.records().is_empty());
}

#[tokio::test]
async fn a_large_rejected_payload_keeps_its_shape_only() {
    let bench = bench();
    for (bytes, kept) in [(100, true), (400, false)] {
        let text = "y".repeat(bytes);
        let good = r#"{"type":"track","userId":"u"}"#;
        let body = format!(r#"{{"batch":[{good},{{"type":"track","x":"{text}"}}]}}"#);
        assert_eq!(bench.post("wk-web", Form::Batch, &body).await, Ok(2));
        let (_, reason, payload) = bench.records().pop().unwrap();
        assert_eq!(reason, "no_ids");
        assert_eq!(payload.to_string().contains("yyyy"), kept, "{payload}");
    }
}

/// A pack that takes addresses out, and a script that does what it says.
fn stages(script: Option<&str>) -> Vec<Stage> {
    let pack = Pack::compile("pii", Pack::builtin_text("pii").unwrap()).unwrap();
    let script = script.map(|text| script::Script::load("s.js", text, &|_: &str| None).unwrap());
    let script = script.map(|script| Stage::Script(Arc::new(script)));
    [Stage::Pack(Arc::new(pack))].into_iter().chain(script).collect()
}

/// reason, id, type, event, user id, anonymous id.
fn told(rejection: &record::Rejection) -> [&str; 6] {
    let record::Rejection { reason, message_id, r#type, event, user_id, anonymous_id, .. } =
        rejection;
    [reason, message_id, r#type, event, user_id, anonymous_id].map(String::as_str)
}

#[tokio::test]
async fn an_event_that_is_too_large_is_named_as_its_transformations_leave_it() {
    let bench = bench();
    let text = "y".repeat(5_000);
    let body = format!(
        r#"{{"batch":[{{"type":"track","event":"to kim@example.org","userId":"kim@example.org",
        "anonymousId":"a-1","messageId":"m-1","properties":{{"mail":"kim@example.org","x":"{text}"}}}}]}}"#
    );
    let pseudonyms = Pseudonyms::new(b"0123456789abcdef0123456789abcdef", 1).unwrap();
    let kim = pseudonyms.of("kim@example.org");
    bench.transform(stages(None));
    assert_eq!(bench.post("wk-web", Form::Batch, &body).await, Ok(1));
    let (rejection, payload) = bench.rejected();
    assert_eq!(told(&rejection), ["too_large", "m-1", "track", "to [email]", &kim, "a-1"]);
    assert!(!payload.contains("yyyy") && !payload.contains("kim"), "{payload}");

    // What is too long itself is left out.
    let long = body.replace("to kim@example.org", &"e".repeat(300));
    assert_eq!(bench.post("wk-web", Form::Batch, &long).await, Ok(1));
    assert_eq!(told(&bench.rejected().0), ["too_large", "m-1", "track", "", &kim, "a-1"]);

    // What a script might have taken out is not told.
    bench.transform(stages(Some("export const transformEvent = (event) => event;")));
    assert_eq!(bench.post("wk-web", Form::Batch, &body).await, Ok(1));
    let (rejection, payload) = bench.rejected();
    let (id, kim, anonymous) = (pseudonyms.of("m-1"), pseudonyms.of(&kim), pseudonyms.of("a-1"));
    assert_eq!(told(&rejection), ["too_large", &id, "track", "", &kim, &anonymous]);
    assert!(!payload.contains("yyyy") && !payload.contains("kim"), "{payload}");
    assert!(!payload.contains("m-1"), "{payload}");
}

#[tokio::test]
async fn an_event_that_a_script_makes_too_large_is_named() {
    let bench = bench();
    let script = "export const transformEvent = (event) =>
        ({ ...event, event: 'renamed', x: 'y'.repeat(5000) });";
    bench.transform(stages(Some(script)));
    let event = r#"{"event":"e","userId":"u","anonymousId":"a","messageId":"m-1"}"#;
    assert_eq!(bench.post("wk-web", Form::Single(EventType::Track), event).await, Ok(1));
    let (rejection, payload) = bench.rejected();
    assert_eq!(told(&rejection), ["too_large", "m-1", "track", "renamed", "u", "a"]);
    assert!(!payload.contains("yyyy"), "{payload}");
}

/// A clock that notes on which threads it is asked how late it is: the work on a batch asks. It may
/// panic then, a few times.
#[derive(Debug)]
struct Noting {
    clock: Arc<Fixed>,
    threads: std::sync::Mutex<Vec<std::thread::ThreadId>>,
    panics: AtomicUsize,
}

impl Clock for Noting {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        let left = |left: usize| left.checked_sub(1);
        if self.panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
            panic!("as a fault of the program would");
        }
        self.threads.lock().unwrap().push(std::thread::current().id());
        self.clock.elapsed()
    }
}

#[tokio::test]
async fn large_bodies_are_worked_on_beside_the_threads_that_serve() {
    let bench = bench();
    // White space is in the body, not in the event.
    for (bytes, beside) in [(100, false), (INLINE_BYTES_MAX, true)] {
        bench.noting.threads.lock().unwrap().clear();
        let spaces = " ".repeat(bytes);
        let body = format!(r#"{{"batch":[{{"userId":"u","type":"track"}}]{spaces}}}"#);
        assert_eq!(bench.post("wk-web", Form::Batch, &body).await, Ok(1));
        let asked = bench.noting.threads.lock().unwrap().clone();
        let here = asked.contains(&std::thread::current().id());
        assert!(!asked.is_empty() && here != beside, "{bytes}");
    }
}

#[tokio::test]
async fn a_panic_costs_one_request_wherever_it_is_worked_on() {
    let bench = bench();
    let event = r#"{"batch":[{"userId":"u","type":"track"}]}"#;
    let large = " ".repeat(INLINE_BYTES_MAX) + event;
    let script = "export const transformEvent = (event) => ({ ...event, event: 'seen' });";
    let mut panics = 0;
    for (body, script) in [(event, None), (&large, None), (event, Some(script))] {
        bench.transform(script.map(|_| stages(script)).unwrap_or_default());
        // More often than there are threads.
        for _ in 0..3 {
            bench.noting.panics.store(1, Ordering::Relaxed);
            assert_eq!(bench.post("wk-web", Form::Batch, body).await, Err(Refusal::Internal));
            panics += 1;
        }
        assert_eq!(bench.records().len(), panics / 3 - 1);
        assert_eq!(bench.post("wk-web", Form::Batch, body).await, Ok(1));
    }
    assert_eq!(bench.records()[2].2["event"], "seen");
    assert_eq!(bench.in_flight.used(), 0);
    let metrics = crate::metrics::Metrics::new();
    metrics.collect(Arc::clone(&bench.ingest.services.counts));
    assert!(metrics.render().contains("keelrow_request_panics_total 9\n"));
}
