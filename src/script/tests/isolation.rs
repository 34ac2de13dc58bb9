//! Nothing passes from event to event by built-ins, nor from script to script.

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

#[test]
fn code_is_compiled_at_the_top_only() {
    let top = "const seven = eval('3 + 4'); const g = Function('return this')();
        const kinds = [() => 1, async () => 1, function* () {}, async function* () {}];
        export function transformEvent(event) {
          if (event.at === undefined) return { seven, same: g === globalThis, f: (() => 1) instanceof Function };
          if (event.at < 4) return kinds[event.at].constructor('return 1')();
          if (event.at < 8) return new kinds[event.at - 4].constructor('return 1');
          if (event.at === 8) return eval('({})');
          if (event.at === 9) return (0, eval)('({})');
          return Function('return {}')(); }";
    let script = load(top);
    let mut runtime = Runtime::default();
    let wanted = keep(r#"{"seven":7,"same":true,"f":true}"#);
    assert_eq!(run_one(&mut runtime, &script, "{}"), wanted);
    for at in 0..=10 {
        let result = run_one(&mut runtime, &script, &format!(r#"{{"at":{at}}}"#));
        assert!(matches!(result, Err(Error::Threw { class: "TypeError", .. })), "{at}: {result:?}");
    }
}
