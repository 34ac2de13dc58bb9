//! One call of a script: what the engine returned, turned into an answer or an error.
//!
//! Everything that could run the script's code (getters, proxies, `toJSON`) is asked for through
//! the harness or the engine's own JSON, where it ends in an exception and within the limits.

use rquickjs::{Array, Ctx, Value};

use super::instance::Instance;
use super::terms::{Bad, Error, Limits};

/// The classes of error that are named; all others are `value`.
const CLASSES: [&str; 9] = [
    "TypeError",
    "RangeError",
    "ReferenceError",
    "SyntaxError",
    "URIError",
    "EvalError",
    "AggregateError",
    "InternalError",
    "Error",
];

/// What a call made of one event.
pub(super) enum Answer {
    None,
    One(String),
    Many(Vec<String>),
}

/// What a call made of one event of a batch.
#[derive(Default)]
pub(super) struct Placed {
    /// Results that are this event, or have its messageId.
    pub(super) own: Vec<String>,
    /// Results that are no input's.
    pub(super) further: Vec<String>,
}

/// One call, from the event to its answer.
pub(super) struct Call<'c, 'js> {
    pub(super) instance: &'c Instance,
    pub(super) ctx: &'c Ctx<'js>,
}

impl<'js> Call<'_, 'js> {
    pub(super) fn list(&self, texts: &[String]) -> rquickjs::Result<Array<'js>> {
        let list = Array::new(self.ctx.clone())?;
        for (at, text) in texts.iter().enumerate() {
            list.set(at, self.ctx.json_parse(text.as_str())?)?;
        }
        Ok(list)
    }

    /// Runs what is left in the job queue and opens a promise.
    pub(super) fn finish(&self, result: rquickjs::Result<Value<'js>>) -> Result<Value<'js>, Error> {
        let result = result.map_err(|error| self.fault(&error));
        let shared = &self.instance.shared;
        while !shared.has_fired() && self.ctx.execute_pending_job() {}
        if shared.has_fired() {
            return Err(Error::TimedOut);
        }
        let value = result?;
        let Some(promise) = value.as_promise() else { return Ok(value) };
        let settled = promise.result::<Value<'js>>().ok_or(Error::BadResult(Bad::NeverSettles))?;
        let screen = self.instance.calls.screen.clone().restore(self.ctx);
        settled.and_then(|value| screen?.call((value,))).map_err(|error| self.fault(&error))
    }

    pub(super) fn in_time(&self) -> Result<(), Error> {
        if self.instance.shared.is_late() { Err(Error::TimedOut) } else { Ok(()) }
    }

    pub(super) fn answer(
        &self,
        value: &Value<'js>,
        infinite: bool,
        limits: &Limits,
    ) -> Result<Answer, Error> {
        let mut room = limits.result_bytes;
        if value.is_null() || value.is_undefined() {
            return Ok(Answer::None);
        }
        if let Some(code) = value.as_int() {
            return Err(bad(code));
        }
        let Some(array) = value.as_array() else {
            return self.text(value, infinite, &mut room).map(Answer::One);
        };
        let mut parts = Vec::with_capacity(array.len());
        for part in array.iter::<Value<'js>>() {
            let part = part.map_err(|error| self.fault(&error))?;
            parts.push(self.text(&part, infinite, &mut room)?);
        }
        Ok(match parts.len() {
            0 => Answer::None,
            1 => parts.pop().map_or(Answer::None, Answer::One),
            _ => Answer::Many(parts),
        })
    }

    /// The results of a batch, each with the input it belongs to.
    pub(super) fn answers(
        &self,
        value: &Value<'js>,
        infinite: &[bool],
        limits: &Limits,
    ) -> Result<Vec<Result<Placed, Bad>>, Error> {
        if let Some(code) = value.as_int() {
            return Err(bad(code));
        }
        let placed = value.as_array().ok_or(Error::BadResult(Bad::NotAnArray))?;
        let get = |at| placed.get::<Array<'js>>(at).map_err(|error| self.fault(&error));
        let (outputs, places) = (get(0)?, get(1)?);
        let mut answers: Vec<(Placed, usize, Option<Bad>)> = Vec::new();
        answers.resize_with(infinite.len(), || (Placed::default(), limits.result_bytes, None));
        let mut before = 0;
        for (output, place) in outputs.iter::<Value<'js>>().zip(places.iter::<i32>()) {
            let output = output.map_err(|error| self.fault(&error))?;
            let place = place.map_err(|error| self.fault(&error))?;
            let matched = usize::try_from(place).ok();
            before = matched.unwrap_or(before);
            let Some((placed, room, bad)) = answers.get_mut(before) else { continue };
            let infinite = matched.and_then(|at| infinite.get(at)) == Some(&true);
            match self.text(&output, infinite, room) {
                Ok(text) if matched.is_some() => placed.own.push(text),
                Ok(text) => placed.further.push(text),
                Err(Error::BadResult(what)) => *bad = Some(what),
                Err(error) => return Err(error),
            }
            if placed.own.len() + placed.further.len() > limits.parts {
                *bad = Some(Bad::TooManyParts);
            }
        }
        Ok(answers.into_iter().map(|(placed, _, bad)| bad.map_or(Ok(placed), Err)).collect())
    }

    fn text(&self, value: &Value<'js>, infinite: bool, room: &mut usize) -> Result<String, Error> {
        let text = if infinite {
            let exact = self.instance.calls.exact.clone().restore(self.ctx);
            exact.and_then(|exact| self.ctx.json_stringify_replacer(value.clone(), exact))
        } else {
            self.ctx.json_stringify(value.clone())
        };
        let text = text
            .and_then(|text| text.map(|text| text.to_string()).transpose())
            .map_err(|error| match self.fault(&error) {
                Error::Threw { .. } => Error::BadResult(Bad::NotJson),
                other => other,
            })?
            .filter(|text| text.starts_with('{'))
            .ok_or(Error::BadResult(Bad::NotAnEvent))?;
        *room = room.checked_sub(text.len()).ok_or(Error::BadResult(Bad::TooLarge))?;
        Ok(text)
    }

    /// What an engine's error means; clears the exception.
    pub(super) fn fault(&self, error: &rquickjs::Error) -> Error {
        let shared = &self.instance.shared;
        let thrown = self.ctx.catch();
        if shared.has_fired() {
            return Error::TimedOut;
        }
        let described = match error {
            rquickjs::Error::Exception => self.describe(thrown),
            rquickjs::Error::Allocation | rquickjs::Error::Unknown => None,
            _ => return Error::BadResult(Bad::NotJson),
        };
        // A getter of what was thrown is the script's code, too.
        if shared.has_fired() {
            return Error::TimedOut;
        }
        let Some((class, line)) = described else {
            shared.spoil();
            return Error::OutOfMemory;
        };
        match shared.unavailable() {
            Some(function) => Error::Unavailable { function, line },
            None => Error::Threw { class, line },
        }
    }

    /// Class and line of what was thrown; `None` if it tells of memory that ran out, or if there is
    /// not even enough left to look.
    fn describe(&self, thrown: Value<'js>) -> Option<(&'static str, Option<u32>)> {
        // Where the engine finds no memory for the error itself, it throws null.
        if thrown.is_null() {
            return None;
        }
        let describe = self.instance.calls.describe.clone().restore(self.ctx).ok()?;
        let Ok(described) = describe.call::<_, Array<'js>>((thrown,)) else {
            self.ctx.catch();
            return None;
        };
        if described.get::<bool>(2).unwrap_or(true) {
            return None;
        }
        let name: String = described.get(0).ok()?;
        let stack = described.get::<String>(1).unwrap_or_default();
        let class = CLASSES.into_iter().find(|class| *class == name).unwrap_or("value");
        Some((class, self.instance.positions.find(&stack).map(|(_, line)| line)))
    }
}

/// What the harness's number says.
const fn bad(code: i32) -> Error {
    Error::BadResult(match code {
        1 => Bad::TooManyParts,
        2 => Bad::NotAnArray,
        _ => Bad::NotAnEvent,
    })
}
