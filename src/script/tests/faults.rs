//! How each fault ends, and that nobody else notices.

use super::*;

/// After a fault the same runtime still serves this script and others.
fn ends_in(body: &str, error: Error) {
    // Of the two limits only the one in question must be near, on however slow a machine.
    let (cpu_ms, memory_mib) = match error {
        Error::OutOfMemory => (10_000, 64),
        Error::TimedOut => (200, 1_024),
        _ => (500, 64),
    };
    let limits = Limits {
        cpu_per_call: Duration::from_millis(cpu_ms),
        memory_bytes: memory_mib << 20,
        ..Limits::default()
    };
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
