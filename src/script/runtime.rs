//! One thread's scripts: instances built when first needed, kept, and rebuilt after a fault.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::event;

use super::call::{Answer, Placed};
use super::instance::{BuildError, Instance};
use super::load::{Kind, Script, Source};
use super::numbers::Spellings;
use super::terms::{Bad, Error, Input, Limits, Outcome, Stopped};

/// Events that one call of `transformBatch` gets at most, RudderStack's own number.
pub const BATCH_MAX: usize = 200;
/// Instances that a runtime keeps; past it the one used longest ago goes. Each takes about 1 MB.
pub const INSTANCES_MAX: usize = 64;

/// What a runtime has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of `transformEvent` or `transformBatch`.
    pub calls: u64,
    /// Calls of `log()`.
    pub log_calls: u64,
    /// Instances given up after a fault of time or memory.
    pub discarded: u64,
}

/// One thread's scripts. Neither `Send` nor `Sync`: make one in each worker thread.
#[derive(Default)]
pub struct Runtime {
    limits: Limits,
    /// The last used at the end.
    instances: Vec<(Weak<Source>, Instance)>,
    input: event::Parser,
    output: event::Parser,
    spellings: Spellings,
    counts: Counts,
    log: String,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("limits", &self.limits)
            .field("instances", &self.instances.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// A runtime without instances.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// What was done so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes what `log()` wrote, one line a call, up to `log_bytes`.
    pub fn take_log(&mut self) -> String {
        std::mem::take(&mut self.log)
    }

    /// Transforms `inputs` and returns what came of each, in their order.
    ///
    /// `transformEvent` is called for each in turn, its promise awaited before the next.
    /// `transformBatch` gets up to [`BATCH_MAX`] of them a call. Of its results each belongs to the
    /// input that it is (the same object), else to the input with its `messageId`; one that
    /// is neither, such as a sum over the batch, becomes a further part of the input whose result
    /// stands before it, of the first input if none does. Inputs without a result are dropped. An
    /// error of the call is the error of all its inputs.
    ///
    /// # Errors
    /// [`Stopped`] as soon as `stop`, asked before each call, says so.
    pub fn run(
        &mut self,
        script: &Script,
        inputs: &[Input<'_>],
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<Result<Outcome, Error>>, Stopped> {
        let mut outcomes = Vec::with_capacity(inputs.len());
        let per_call = if script.kind() == Kind::Event { 1 } else { BATCH_MAX };
        for inputs in inputs.chunks(per_call) {
            if stop() {
                return Err(Stopped);
            }
            match script.kind() {
                Kind::Event => outcomes.extend(inputs.iter().map(|input| self.one(script, input))),
                Kind::Batch => self.many(script, inputs, &mut outcomes),
            }
        }
        Ok(outcomes)
    }

    fn one(&mut self, script: &Script, input: &Input<'_>) -> Result<Outcome, Error> {
        let place = self.instance(script)?;
        let Self { instances, input: parser, output, spellings, limits, .. } = self;
        let (_, instance) = instances.get(place).ok_or(Error::NotStarted)?;
        let tape = parser.parse(input.event.as_bytes()).map_err(|_| Error::BadInput)?;
        let root = tape.root();
        spellings.begin(root);
        let answer =
            clean(root, |text| instance.one(text, input, spellings.has_infinite(), limits));
        let outcome = answer.and_then(|answer| match answer {
            Answer::None => Ok(Outcome::Drop),
            Answer::One(event) => {
                checked(event, Some((root, &mut *spellings)), output).map(Outcome::Keep)
            }
            Answer::Many(parts) => {
                let check = |part| checked(part, Some((root, &mut *spellings)), output);
                parts.into_iter().map(check).collect::<Result<_, _>>().map(Outcome::Split)
            }
        });
        self.settle(place);
        outcome
    }

    fn many(
        &mut self,
        script: &Script,
        inputs: &[Input<'_>],
        outcomes: &mut Vec<Result<Outcome, Error>>,
    ) {
        let first = outcomes.len();
        match self.call_batch(script, inputs) {
            Ok(answers) => {
                for (input, answer) in inputs.iter().zip(answers) {
                    let outcome = answer.map_err(Error::BadResult);
                    outcomes.push(outcome.and_then(|placed| self.restored(input, placed)));
                }
            }
            Err(error) => outcomes.resize_with(first + inputs.len(), || Err(error)),
        }
    }

    fn call_batch(
        &mut self,
        script: &Script,
        inputs: &[Input<'_>],
    ) -> Result<Vec<Result<Placed, Bad>>, Error> {
        let place = self.instance(script)?;
        let Self { instances, input: parser, spellings, limits, .. } = self;
        let (_, instance) = instances.get(place).ok_or(Error::NotStarted)?;
        let mut texts = Vec::with_capacity(inputs.len());
        let mut infinite = Vec::with_capacity(inputs.len());
        for input in inputs {
            let tape = parser.parse(input.event.as_bytes()).map_err(|_| Error::BadInput)?;
            spellings.begin(tape.root());
            infinite.push(spellings.has_infinite());
            texts.push(clean(tape.root(), |text| Ok(text.to_owned()))?);
        }
        let answers = instance.many(&texts, inputs, &infinite, limits);
        self.settle(place);
        answers
    }

    /// The outcome of one input of a batch; parts that are not matched to it keep what they say.
    fn restored(&mut self, input: &Input<'_>, placed: Placed) -> Result<Outcome, Error> {
        let Self { input: parser, output, spellings, .. } = self;
        let tape = parser.parse(input.event.as_bytes()).map_err(|_| Error::BadInput)?;
        spellings.begin(tape.root());
        let mut parts = Vec::with_capacity(placed.own.len() + placed.further.len());
        for part in placed.own {
            parts.push(checked(part, Some((tape.root(), &mut *spellings)), output)?);
        }
        for part in placed.further {
            parts.push(checked(part, None, output)?);
        }
        Ok(if parts.len() > 1 {
            Outcome::Split(parts)
        } else {
            parts.pop().map_or(Outcome::Drop, Outcome::Keep)
        })
    }

    #[cfg(test)]
    pub(super) fn instances_for_test(&self) -> usize {
        self.instances.len()
    }

    #[cfg(test)]
    pub(super) fn limits_for_test(&mut self, memory_bytes: usize) {
        self.limits.memory_bytes = memory_bytes;
        self.instances.clear();
    }

    /// The place of the script's instance, which is built if there is none.
    fn instance(&mut self, script: &Script) -> Result<usize, Error> {
        let source = script.source();
        let last = self.instances.len();
        let found = self.instances.iter().rposition(|(of, _)| of.as_ptr() == Arc::as_ptr(source));
        if let Some(at) = found {
            if at + 1 < last {
                let used = self.instances.remove(at);
                self.instances.push(used);
            }
            return Ok(last - 1);
        }
        // A reload leaves scripts behind that nobody else holds.
        self.instances.retain(|(of, _)| of.strong_count() > 0);
        if self.instances.len() >= INSTANCES_MAX {
            self.instances.remove(0);
        }
        let instance = Instance::build(source, &self.limits).map_err(|error| match error {
            BuildError::Engine => Error::OutOfMemory,
            BuildError::Fault(_) | BuildError::Missing { .. } => Error::NotStarted,
        })?;
        self.instances.push((Arc::downgrade(source), instance));
        Ok(self.instances.len() - 1)
    }

    /// Books a call, and gives the instance up if it ended in a fault that may have left it in
    /// any state; the next event gets a new one.
    fn settle(&mut self, place: usize) {
        let Some((_, instance)) = self.instances.get(place) else { return };
        self.counts.calls += 1;
        self.counts.log_calls += instance.take_log(&mut self.log, self.limits.log_bytes);
        if instance.is_spoilt() {
            self.instances.remove(place);
            self.counts.discarded += 1;
        }
    }
}

/// Calls `with` the value's text as a script may see it: without what the gateway's own reading
/// leaves out (repeated keys, NUL, lone surrogates).
fn clean<T>(
    root: event::Node<'_>,
    with: impl FnOnce(&str) -> Result<T, Error>,
) -> Result<T, Error> {
    if root.kind() != event::Kind::Object {
        return Err(Error::BadInput);
    }
    if root.is_clean() {
        return with(root.raw());
    }
    let mut text = Vec::with_capacity(root.raw().len());
    root.write_compact(&mut text);
    with(std::str::from_utf8(&text).map_err(|_| Error::BadInput)?)
}

/// The result as it may be used: read back within the limits, numbers spelled as in its input.
fn checked(
    text: String,
    input: Option<(event::Node<'_>, &mut Spellings)>,
    parser: &mut event::Parser,
) -> Result<String, Error> {
    let restored = {
        let tape = parser.parse(text.as_bytes()).map_err(|error| {
            Error::BadResult(match error {
                event::Error::TooDeep { .. } => Bad::TooDeep,
                event::Error::TooMany => Bad::TooLarge,
                event::Error::Invalid { .. } => Bad::NotJson,
            })
        })?;
        match input {
            Some((input, spellings)) if !spellings.is_empty() => {
                spellings.restore(input, tape.root())
            }
            _ => None,
        }
    };
    Ok(restored.unwrap_or(text))
}
