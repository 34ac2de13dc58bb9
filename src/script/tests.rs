//! What a script may do, and how each fault ends.

use std::time::Duration;

use super::*;

const EVENT: &str =
    r#"{"type":"track","messageId":"m1","event":"Paid","properties":{"email":"a@b.c","n":1}}"#;

pub(super) fn load(source: &str) -> Script {
    Script::load("sample.js", source, &|_| None).unwrap()
}

pub(super) fn input(event: &str) -> Input<'_> {
    Input { event, metadata: Metadata::default() }
}

fn never() -> bool {
    false
}

pub(super) fn run_all(
    runtime: &mut Runtime,
    script: &Script,
    events: &[&str],
) -> Vec<Result<Outcome, Error>> {
    let inputs: Vec<Input<'_>> = events.iter().map(|event| input(event)).collect();
    runtime.run(script, &inputs, &never).unwrap()
}

fn run_one(runtime: &mut Runtime, script: &Script, event: &str) -> Result<Outcome, Error> {
    run_all(runtime, script, &[event]).pop().unwrap()
}

/// Runs `body` as the body of `transformEvent` on one event.
fn body(body: &str) -> Result<Outcome, Error> {
    body_on(body, EVENT)
}

fn body_on(body: &str, event: &str) -> Result<Outcome, Error> {
    let script = load(&format!("export function transformEvent(event, metadata) {{ {body} }}"));
    run_one(&mut Runtime::default(), &script, event)
}

fn keep(text: &str) -> Result<Outcome, Error> {
    Ok(Outcome::Keep(text.to_owned()))
}

/// CPU time that `work` takes, in multiples of the limit of a call.
fn limits_used(limits: &Limits, work: impl FnOnce()) -> f64 {
    let before = cpu::thread_nanos();
    work();
    let used = Duration::from_nanos(cpu::thread_nanos() - before);
    used.as_secs_f64() / limits.cpu_per_call.as_secs_f64()
}

mod results {
    use super::*;

    #[test]
    fn an_event_is_kept_changed_dropped_or_split() {
        assert_eq!(body("return event"), keep(EVENT));
        assert_eq!(body("return { type: event.type }"), keep(r#"{"type":"track"}"#));
        assert_eq!(body("return null"), Ok(Outcome::Drop));
        assert_eq!(body(""), Ok(Outcome::Drop));
        assert_eq!(body("return []"), Ok(Outcome::Drop));
        assert_eq!(body("return [{ a: 1 }]"), keep(r#"{"a":1}"#));
        let parts = vec![r#"{"a":1}"#.to_owned(), r#"{"b":2}"#.to_owned()];
        assert_eq!(body("return [{ a: 1 }, { b: 2 }]"), Ok(Outcome::Split(parts)));
    }

    #[test]
    fn anything_else_is_an_error() {
        let bad = |what| Err(Error::BadResult(what));
        for value in [
            "1",
            "'text'",
            "true",
            "event.type",
            "() => 1",
            "Symbol()",
            "[1]",
            "[[]]",
            "[event, null]",
            "new Date()",
            "new Map()",
            "/x/",
            "new Error('x')",
            "new Uint8Array(3)",
        ] {
            assert_eq!(body(&format!("return {value}")), bad(Bad::NotAnEvent), "{value}");
        }
        assert_eq!(body("return { toJSON: () => 'text' }"), bad(Bad::NotAnEvent));
        assert_eq!(body("return { n: 1n }"), bad(Bad::NotJson));
        assert_eq!(body("event.self = event; return event"), bad(Bad::NotJson));
        assert_eq!(body("return { toJSON() { throw 1 } }"), bad(Bad::NotJson));
        let deep = "let v = {}; for (let i = 0; i < 200; i++) v = { v }; return v";
        assert_eq!(body(deep), bad(Bad::TooDeep));
    }

    #[test]
    fn objects_of_a_class_or_without_prototype_are_events() {
        assert_eq!(body("class E { a = 1 } return new E()"), keep(r#"{"a":1}"#));
        let bare = "const o = Object.create(null); o.a = 1; return o";
        assert_eq!(body(bare), keep(r#"{"a":1}"#));
        assert_eq!(body("return { a: undefined, f() {}, b: NaN }"), keep(r#"{"b":null}"#));
    }

    #[test]
    fn text_survives_in_every_script_of_the_world() {
        let event = r#"{"a":"żółć \"q\" \\ \n 😀 \u2028","k é":1}"#;
        let same = body_on("return event", event).unwrap();
        let Outcome::Keep(same) = same else { panic!("not kept") };
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&same), value(event));
        assert_eq!(body("return { s: '\\ud800' }"), keep(r#"{"s":"\ud800"}"#));
    }

    #[test]
    fn the_first_of_repeated_keys_is_the_one_a_script_sees() {
        let event = r#"{"a":"first","a":"second","b":"x\u0000y"}"#;
        assert_eq!(body_on("return event", event), keep(r#"{"a":"first","b":"xy"}"#));
    }

    #[test]
    fn what_is_no_object_is_refused_without_a_call() {
        for event in ["1", "[]", "null", "{", ""] {
            assert_eq!(body_on("return { a: 1 }", event), Err(Error::BadInput), "{event}");
        }
    }

    #[test]
    fn a_stopped_run_gives_nothing() {
        let script = load("export const transformEvent = (event) => event");
        let asked = std::cell::Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) == 2;
        let result = Runtime::default().run(&script, &[input(EVENT); 5], &stop);
        assert_eq!((result, asked.get()), (Err(Stopped), 3));
    }
}

mod interface {
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
        let result =
            Runtime::default().run(&load(source), &[Input { event: EVENT, metadata }], &never);
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
            assert_eq!(
                body(&format!("return {{ t: typeof {name} }}")),
                keep(r#"{"t":"undefined"}"#)
            );
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
        assert_eq!(
            run_all(&mut runtime, &sum, &["{}", "{}"]),
            [keep(r#"{"n":2}"#), Ok(Outcome::Drop)]
        );
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
}

mod loading {
    use super::*;

    fn fault(source: &str) -> (Option<u32>, String) {
        let fault = Script::load("sample.js", source, &|_| None).unwrap_err();
        assert_eq!(fault.file, "sample.js");
        (fault.line, fault.reason)
    }

    #[test]
    fn libraries_are_imported_also_by_libraries() {
        let source = "import { twice } from 'math';\nimport * as text from './text.js';\n
            export function transformEvent(event) { event.n = twice(4) + text.end; return event }";
        let libraries = |name: &str| match name {
            "math" => Some("export const twice = (n) => n * 2".to_owned()),
            "text" => {
                Some("import { twice } from \"math\"; export const end = '!' + twice(1)".to_owned())
            }
            _ => None,
        };
        let script = Script::load("sample.js", source, &libraries).unwrap();
        assert_eq!(script.libraries().collect::<Vec<_>>(), ["math", "text"]);
        assert_eq!(run_one(&mut Runtime::default(), &script, "{}"), keep(r#"{"n":"8!2"}"#));
    }

    #[test]
    fn a_missing_library_is_named_with_its_line() {
        let (line, reason) =
            fault("// one\n\nimport { x } from 'nowhere';\nexport const transformEvent = x;");
        assert_eq!((line, reason.contains("\"nowhere\"")), (Some(3), true), "{reason}");
        let libraries = |name: &str| (name == "a").then(|| "\nimport 'b'".to_owned());
        let source = "import 'a'; export const transformEvent = 1";
        let fault = Script::load("sample.js", source, &libraries).unwrap_err();
        assert_eq!((fault.file.as_str(), fault.line), ("a.js", Some(2)));
    }

    #[test]
    fn an_import_cannot_leave_the_folder() {
        for name in ["../secret", "/etc/passwd", "a/../../b", "https://example.com/x.js", ""] {
            let asked = std::cell::Cell::new(false);
            let source = format!("import x from '{name}'; export const transformEvent = x");
            let libraries = |_: &str| {
                asked.set(true);
                None
            };
            let fault = Script::load("sample.js", &source, &libraries).unwrap_err();
            assert!(fault.reason.contains("beside the script"), "{name}: {fault}");
            assert!(!asked.get());
        }
    }

    #[test]
    fn faults_name_their_line() {
        let (line, reason) = fault("export function transformEvent(event) {\n  return event\n");
        assert_eq!(line, Some(3), "{reason}");
        let (line, _) = fault("const a = 1;\nconst b = ;\nexport const transformEvent = 1");
        assert_eq!(line, Some(2));
        let (line, reason) =
            fault("export const transformEvent = () => 1;\n\nthrow new Error('no table');");
        assert_eq!((line, reason.as_str()), (Some(3), "no table"));
        let (_, reason) = fault("export function transform(event) { return event }");
        assert!(reason.contains("transformEvent or transformBatch"));
        let (_, reason) = fault("export const transformEvent = () => 1, transformBatch = () => 1");
        assert!(reason.contains("both"));
        let (_, reason) = fault("export const transformEvent = 5");
        assert!(reason.contains("no function"));
        let (_, reason) =
            fault("await new Promise(() => {}); export const transformEvent = () => 1");
        assert!(reason.contains("never ends"));
        let (_, reason) = fault("export const transformEvent = () => 1; while (true) {}");
        assert!(reason.contains("CPU time"));
        let (_, reason) = fault(
            "export const transformEvent = () => 1; const a = []; while (true) a.push(a.slice())",
        );
        assert_eq!(reason, "out of memory");
        assert!(fault("\0").1.contains("NUL"));
    }
}

mod faults {
    use super::*;

    /// After a fault the same runtime still serves this script and others.
    fn ends_in(body: &str, error: Error) {
        let limits = Limits { cpu_per_call: Duration::from_millis(200), ..Limits::default() };
        let mut runtime = Runtime::new(limits.clone());
        let other = load("let n = 0; export const transformEvent = () => ({ n: ++n })");
        assert_eq!(run_one(&mut runtime, &other, EVENT), keep(r#"{"n":1}"#));
        let source = format!(
            "let calls = 0; export function transformEvent(event) {{
                 if (event.ok) return {{ calls: ++calls }}; {body} }}"
        );
        let script = load(&source);
        run_one(&mut runtime, &script, r#"{"ok":1}"#).unwrap();
        let used = limits_used(&limits, || {
            assert_eq!(run_one(&mut runtime, &script, EVENT), Err(error), "{body}");
        });
        assert!(used < 2.0, "{body}: {used} limits");
        let rebuilt = matches!(error, Error::TimedOut | Error::OutOfMemory);
        let calls = if rebuilt { r#"{"calls":1}"# } else { r#"{"calls":2}"# };
        assert_eq!(run_one(&mut runtime, &script, r#"{"ok":1}"#), keep(calls), "{body}");
        assert_eq!(runtime.counts().discarded, u64::from(rebuilt));
        assert_eq!(run_one(&mut runtime, &other, EVENT), keep(r#"{"n":2}"#));
    }

    #[test]
    fn endless_work_runs_out_of_time() {
        for body in [
            "while (true) {}",
            "for (;;) try { for (;;); } catch {} finally { for (;;); }",
            "while (true) JSON.stringify(event)",
            "while (true) event.properties.n += 1",
            "const again = () => Promise.resolve().then(again); return again()",
            "const again = () => Promise.resolve().then(again); again(); return event",
            "return (async () => { while (true) await null })()",
            "return { get a() { while (true); } }",
            "return { toJSON() { while (true); } }",
            "return { then() { while (true); } }",
            "return new Proxy({}, { get() { while (true); } })",
            "/^(a+)+$/.test('a'.repeat(40) + 'b')",
            "const e = new Error('x'); Object.defineProperty(e, 'stack', { get() { while (true); } }); throw e",
        ] {
            ends_in(body, Error::TimedOut);
        }
    }

    #[test]
    fn a_memory_bomb_runs_out_of_memory() {
        for body in [
            "const all = []; while (true) all.push(new Array(1000).fill(1))",
            "let text = 'x'; while (true) text = (text + text).toUpperCase()",
            "new Uint8Array(100_000_000).fill(1)",
            "let o = {}; for (let i = 0; ; i++) o = { o, a: [i] }",
            "const m = new Map(); for (let i = 0; ; i++) m.set({}, 'x'.repeat(1000) + i)",
            "return { a: 'x'.repeat(40_000_000) }",
        ] {
            ends_in(body, Error::OutOfMemory);
        }
    }

    #[test]
    fn bombs_of_memory_never_bring_the_engine_down() {
        let bombs = [
            "const all = []; try { while (true) all.push({ a: [all.length] }) } catch { return event }",
            "const f = () => [...'x'.repeat(1e6)].map((c, i) => ({ c, i, f })); return f().concat(f(), f(), f())",
            "return (async () => { const all = []; while (true) { await null; all.push(new Array(5000).fill({})) } })()",
            "const p = []; while (true) p.push(new Promise((a, b) => { p.push(a, b) }))",
            "function* g() { let a = []; while (true) { a.push(a.slice(), new Map([[a, a]])); yield a } } for (const x of g()); ",
            "const all = []; while (true) all.push(new RegExp('a'.repeat(1000) + all.length), class A { static x = all })",
            "let s = event; while (true) s = JSON.parse(JSON.stringify({ s, t: s }))",
            "const w = new WeakMap(), k = []; while (true) { const o = {}; k.push(o); w.set(o, new Proxy(o, {})) }",
            "const a = []; while (true) a.push(Symbol('x' + a.length), a.length + 'k', { ['k' + a.length]: () => a })",
            "const a = []; while (true) { try { throw new Error('x'.repeat(5000)) } catch (e) { a.push(e) } }",
            "const a = []; while (true) a.push(new Date(), 10n ** 500n, new Set([a]), a.length.toString(36).split(''))",
        ];
        let mut runtime = Runtime::new(Limits {
            cpu_per_call: Duration::from_secs(5),
            memory_bytes: 4 << 20,
            ..Limits::default()
        });
        for bomb in bombs {
            let script = load(&format!("export function transformEvent(event) {{ {bomb} }}"));
            for memory in [2 << 20, 3_000_000, 4 << 20] {
                runtime.limits_for_test(memory);
                let result = run_one(&mut runtime, &script, EVENT);
                assert!(!matches!(result, Ok(Outcome::Split(_))), "{bomb}");
            }
        }
    }

    #[test]
    fn what_is_thrown_is_told_by_class_and_line_only() {
        let threw = |class, line| Error::Threw { class, line };
        ends_in("throw new Error(event.properties.email)", threw("Error", Some(2)));
        ends_in("\n null.x", threw("TypeError", Some(3)));
        ends_in("return Promise.reject(new RangeError('x'))", threw("RangeError", Some(2)));
        ends_in("throw event.properties.email", threw("value", None));
        ends_in("return Promise.reject()", threw("value", None));
        ends_in(
            "class a_b_c extends TypeError { name = event.email } throw new a_b_c()",
            threw("TypeError", Some(2)),
        );
        ends_in(
            "const e = new Error('x'); e.stack = 'at sample.js:77:1'; throw e",
            threw("Error", Some(77)),
        );
        ends_in("throw new Proxy({}, { getPrototypeOf() { throw 1 } })", threw("value", None));
        let text = format!("{:?}", body("throw new Error(event.properties.email)"));
        assert!(!text.contains("a@b.c"));
    }

    #[test]
    fn deep_recursion_ends_at_the_stack() {
        let error = Error::Threw { class: "RangeError", line: Some(2) };
        ends_in("const f = (n) => f(n + 1) + 1; return f(0)", error);
        let bad = Error::BadResult(Bad::NotJson);
        ends_in("let v = {}; for (let i = 0; i < 100000; i++) v = { v }; return v", bad);
    }

    #[test]
    fn a_promise_nobody_settles_is_a_bad_result() {
        ends_in("return new Promise(() => {})", Error::BadResult(Bad::NeverSettles));
        ends_in(
            "return (async () => { await new Promise(() => {}) })()",
            Error::BadResult(Bad::NeverSettles),
        );
    }

    #[test]
    fn a_result_of_ten_megabytes_is_too_large() {
        let bad = Error::BadResult(Bad::TooLarge);
        ends_in("event.properties.text = 'x'.repeat(10_000_000); return event", bad);
        ends_in("return Array.from({ length: 100 }, () => ({ t: 'x'.repeat(100_000) }))", bad);
        ends_in("return new Array(2000).fill({})", Error::BadResult(Bad::TooManyParts));
    }
}

mod isolation {
    use super::*;

    #[test]
    fn pollution_does_not_reach_the_next_event() {
        let mut runtime = Runtime::default();
        for attempt in [
            "Object.prototype.leak = event.properties.email",
            "Array.prototype.leak = 1",
            "String.prototype.trim = () => 'x'",
            "Function.prototype.leak = 1",
            "Object.getPrototypeOf(async function () {}).leak = 1",
            "Object.getPrototypeOf(function* () {}).leak = 1",
            "Object.getPrototypeOf([][Symbol.iterator]()).next = 1",
            "Promise.prototype.then = 1",
            "Promise.resolve = 1",
            "RegExp.prototype.exec = 1",
            "Error.prototype.leak = 1",
            "Error.prototype.toString = 1",
            "Object.prototype.toString = 1",
            "JSON.stringify = () => 'x'",
            "JSON = {}",
            "globalThis.JSON = {}",
            "globalThis.log = 1",
            "fetch = 1",
            "Math.random = () => 4",
            "event.__proto__.leak = 1",
            "metadata.constructor.prototype.leak = 1",
            "Object.defineProperty(Object.prototype, 'leak', { value: 1 })",
            "Object.setPrototypeOf(Array.prototype, { leak: 1 })",
        ] {
            let script = load(&format!(
                "export function transformEvent(event, metadata) {{ if (event.attack) {{ {attempt} }}
                 return {{ leak: {{}}.leak, a: [].leak, f: transformEvent.leak, t: ' x '.trim(),
                     j: typeof JSON.stringify(1), l: typeof log, s: String({{}}) }} }}"
            ));
            let clean = keep(r#"{"t":"x","j":"string","l":"function","s":"[object Object]"}"#);
            assert_eq!(run_one(&mut runtime, &script, "{}"), clean, "before {attempt}");
            let attacked = run_one(&mut runtime, &script, r#"{"attack":1,"properties":{}}"#);
            let refused = Err(Error::Threw { class: "TypeError", line: Some(1) });
            assert_eq!(attacked, refused, "{attempt}");
            assert_eq!(run_one(&mut runtime, &script, "{}"), clean, "after {attempt}");
        }
    }

    #[test]
    fn locked_built_ins_still_let_scripts_work_as_usual() {
        let source = "String.prototype.shout = function () { return this.toUpperCase() + '!' };
            globalThis.table = new Map();
            class Wrong extends Error { constructor() { super('w'); this.name = 'Wrong'; this.message = 'm' } }
            export function transformEvent(event) {
              const out = {};
              out.toString = 'own'; out.constructor = 'c'; out.hasOwnProperty = 'h';
              const e = new Wrong(); e.toString = () => 'x';
              table.set('k', (table.get('k') ?? 0) + 1);
              for (const key in event) out[key] = event[key];
              return { out, e: `${e.name} ${e.message} ${e}`, s: 'a'.shout(), own: ({ a: 1 }).hasOwnProperty('a'),
                       keys: Object.keys(out), n: table.get('k'), j: `${[1, 2]}` } }";
        let wanted = concat!(
            r#"{"out":{"toString":"own","constructor":"c","hasOwnProperty":"h","valueOf":1},"e":"Wrong m x","#,
            r#""s":"A!","own":true,"keys":["toString","constructor","hasOwnProperty","valueOf"],"n":1,"j":"1,2"}"#
        );
        let result = run_one(&mut Runtime::default(), &load(source), r#"{"valueOf":1}"#);
        assert_eq!(result, keep(wanted));
    }

    #[test]
    fn two_scripts_of_one_runtime_share_nothing() {
        let source = "globalThis.n = (globalThis.n ?? 0); let own = 0;
            export const transformEvent = () => ({ n: ++globalThis.n, own: ++own })";
        let (first, second) = (load(source), load(source));
        let mut runtime = Runtime::default();
        for n in 1..=3 {
            let wanted = keep(&format!(r#"{{"n":{n},"own":{n}}}"#));
            assert_eq!(run_one(&mut runtime, &first, EVENT), wanted);
            assert_eq!(run_one(&mut runtime, &second, EVENT), wanted);
        }
        let clone = first.clone();
        assert_eq!(run_one(&mut runtime, &clone, EVENT), keep(r#"{"n":4,"own":4}"#));
    }

    #[test]
    fn instances_are_bounded_and_leave_with_their_script() {
        let mut runtime = Runtime::default();
        let scripts: Vec<Script> = (0..INSTANCES_MAX + 3)
            .map(|_| load("let n = 0; export const transformEvent = () => ({ n: ++n })"))
            .collect();
        for script in &scripts {
            run_one(&mut runtime, script, EVENT).unwrap();
        }
        assert_eq!(runtime.instances_for_test(), INSTANCES_MAX);
        let last = scripts.last().unwrap().clone();
        drop(scripts);
        assert_eq!(run_one(&mut runtime, &last, EVENT), keep(r#"{"n":2}"#));
        run_one(&mut runtime, &load("export const transformEvent = () => null"), EVENT).unwrap();
        assert_eq!(runtime.instances_for_test(), 2);
    }
}
