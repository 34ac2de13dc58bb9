//! What a script may do, and how each fault ends.

use std::time::Duration;

use super::*;

mod faults;
mod interface;
mod isolation;
mod loading;
mod numbers;
mod results;
mod samples;

const EVENT: &str =
    r#"{"type":"track","messageId":"m1","event":"Paid","properties":{"email":"a@b.c","n":1}}"#;

fn load(source: &str) -> Script {
    Script::load("sample.js", source, &|_| None).unwrap()
}

fn input(event: &str) -> Input<'_> {
    Input { event, metadata: Metadata::default() }
}

fn never() -> bool {
    false
}

fn run_all(runtime: &mut Runtime, script: &Script, events: &[&str]) -> Vec<Result<Outcome, Error>> {
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
