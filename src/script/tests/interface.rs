//! RudderStack's interface: promises, metadata, log, batches, what is not there.

use super::*;

#[test]
fn async_functions_and_promises_are_awaited() {
    let wait = "for (let i = 0; i < 3; i++) await null;";
    let script = load(&format!(
        "export async function transformEvent(event) {{ {wait} event.a = 1; return event }}"
    ));
    let result = run_one(&mut Runtime::default(), &script, "{}");
    assert_eq!(result, keep(r#"{"a":1}"#));
    assert_eq!(body("return Promise.resolve(null)"), Ok(Outcome::Drop));
    assert_eq!(body("return { then(done) { done({ a: 2 }) } }"), keep(r#"{"a":2}"#));
}

#[test]
fn metadata_is_told_of_the_event_and_its_copies_only() {
    let source = "export function transformEvent(event, metadata) {
        const copy = { messageId: event.messageId };
        return { m: metadata(event), same: metadata(copy).sourceId, other: metadata({}),
                 none: metadata(), text: metadata('m1') } }";
    let metadata = Metadata {
        source_id: Some("s1"),
        source_name: Some("web \"prod\""),
        message_id: Some("m1"),
        ..Metadata::default()
    };
    let result = Runtime::default().run(&load(source), &[Input { event: EVENT, metadata }], &never);
    let wanted = concat!(
        r#"{"m":{"sourceId":"s1","sourceName":"web \"prod\"","messageId":"m1"},"#,
        r#""same":"s1","other":{},"none":{},"text":{}}"#
    );
    assert_eq!(result.unwrap(), [keep(wanted)]);
}

#[test]
fn log_is_counted_and_kept_only_when_asked_for() {
    let source = "export function transformEvent(event) {
        log('id', event.messageId, { a: 1 }, null, Symbol('s'), 5n); log('x'.repeat(90)); return event }";
    let script = load(source);
    let mut runtime = Runtime::default();
    assert_eq!(run_one(&mut runtime, &script, EVENT), keep(EVENT));
    assert_eq!((runtime.take_log(), runtime.counts().log_calls), (String::new(), 2));
    let mut runtime = Runtime::new(Limits { log_bytes: 64, ..Limits::default() });
    run_all(&mut runtime, &script, &[EVENT, EVENT]);
    assert_eq!(runtime.take_log().lines().next(), Some(r#"id m1 {"a":1} null Symbol(s) 5"#));
    run_all(&mut runtime, &script, &[EVENT; 100]);
    assert!(runtime.take_log().len() <= 64);
}

#[test]
fn functions_that_need_a_network_throw_and_are_named() {
    for function in ["fetch", "fetchV2", "geolocation", "getCredential"] {
        let result = body(&format!("\n {function}('https://example.com'); return event"));
        let Err(Error::Unavailable { function: named, line }) = result else {
            panic!("{function}: {result:?}")
        };
        assert_eq!((named, line), (function, Some(2)));
    }
    let caught = "try { fetch('x') } catch (e) { return { e: e.name } }";
    assert_eq!(body(caught), keep(r#"{"e":"Error"}"#));
}

#[test]
fn nothing_of_the_host_is_reachable() {
    let names = ["require", "process", "Deno", "std", "os", "setTimeout", "console", "host"];
    for name in names {
        assert_eq!(body(&format!("return {{ t: typeof {name} }}")), keep(r#"{"t":"undefined"}"#));
    }
    let import = "return import('os').then(() => ({ a: 1 }))";
    assert!(matches!(body(import), Err(Error::Threw { .. })));
}

#[test]
fn a_batch_is_matched_by_object_and_by_message_id() {
    let source = "export function transformBatch(events, metadata) {
        const copy = { ...events[1], copied: metadata(events[1]).sourceId };
        return [events[2], copy, { messageId: 'm3', again: true }, { sum: events.length }] }";
    let events: Vec<String> =
        (1..=4).map(|n| format!(r#"{{"messageId":"m{n}","n":{n}}}"#)).collect();
    let inputs: Vec<Input<'_>> = events
        .iter()
        .map(|event| Input {
            event,
            metadata: Metadata { source_id: Some("s"), ..Metadata::default() },
        })
        .collect();
    let result = Runtime::default().run(&load(source), &inputs, &never).unwrap();
    let split = [&events[2], r#"{"messageId":"m3","again":true}"#, r#"{"sum":4}"#];
    assert_eq!(
        result,
        [
            Ok(Outcome::Drop),
            keep(r#"{"messageId":"m2","n":2,"copied":"s"}"#),
            Ok(Outcome::Split(split.map(str::to_owned).to_vec())),
            Ok(Outcome::Drop),
        ]
    );
}

#[test]
fn a_batch_may_be_one_event_and_repeat_ids() {
    let mut runtime = Runtime::default();
    let sum = load("export const transformBatch = async (events) => [{ n: events.length }]");
    assert_eq!(run_all(&mut runtime, &sum, &["{}", "{}"]), [keep(r#"{"n":2}"#), Ok(Outcome::Drop)]);
    let copies = load("export const transformBatch = (all) => all.map((e) => ({ ...e }))");
    let twice = [r#"{"messageId":"m","n":1}"#, r#"{"messageId":"m","n":2}"#];
    assert_eq!(run_all(&mut runtime, &copies, &twice), twice.map(keep));
    let shift = load("export const transformBatch = (all) => { all.shift(); return all }");
    assert_eq!(run_all(&mut runtime, &shift, &twice), [Ok(Outcome::Drop), keep(twice[1])]);
}

#[test]
fn a_wrong_batch_is_the_error_of_all_its_events() {
    for (returned, bad) in [
        ("null", Bad::NotAnArray),
        ("{}", Bad::NotAnArray),
        ("[events[0], 1]", Bad::NotAnEvent),
        ("new Array(100000)", Bad::TooManyParts),
    ] {
        let script = load(&format!("export const transformBatch = (events) => ({returned})"));
        let result = run_all(&mut Runtime::default(), &script, &[EVENT, "{}"]);
        assert_eq!(result, vec![Err(Error::BadResult(bad)); 2], "{returned}");
    }
}

#[test]
fn a_large_batch_comes_in_calls_of_two_hundred() {
    let script =
        load("export const transformBatch = (all) => { all[0].size = all.length; return all }");
    let mut runtime = Runtime::default();
    let events: Vec<String> = (0..450).map(|n| format!(r#"{{"messageId":"{n}"}}"#)).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let results = run_all(&mut runtime, &script, &events);
    assert_eq!((results.len(), runtime.counts().calls), (450, 3));
    assert_eq!(results[400], keep(r#"{"messageId":"400","size":50}"#));
}
