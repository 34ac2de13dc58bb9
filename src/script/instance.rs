//! One script in one QuickJS engine of its own: built from its source, called, thrown away when a
//! fault has left it in an unknown state.
//!
//! Every script has its own engine, so that its memory limit and its globals are its own. The
//! harness (`harness.js`) runs first and gives the transformations' interface; the script's module
//! runs next, at its top only; then all built-ins are locked.

use std::collections::BTreeMap;
use std::rc::Rc;

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::Declared;
use rquickjs::{Array, Context, Ctx, Function, Module, Object, Persistent, Value};

use super::load::{Fault, Kind, LOAD_CPU, Source, library_name};
use super::runtime::{Bad, Error, Input, Limits};
use super::shared::Shared;

const HARNESS: &str = include_str!("harness.js");
/// JavaScript's stack, of the 2 MiB that a worker thread has. Frames take some 500 bytes.
const STACK_BYTES: usize = 512 << 10;
/// Growth after which cycles are looked for; all else is freed at once by reference counts.
const GC_BYTES: usize = 4 << 20;
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

/// Why an instance could not be built.
pub(super) enum BuildError {
    /// A library is not among the source's.
    Missing { import: String, importer: String },
    /// The script is wrong.
    Fault(Fault),
    /// The engine itself could not start: no memory.
    Engine,
}

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

/// A value that outlives the calls; the order of the fields is the order in which they are freed,
/// values before the context they live in, the context before its engine.
pub(super) struct Instance {
    calls: Calls,
    context: Context,
    shared: Rc<Shared>,
    kind: Kind,
    source: Positions,
}

struct Calls {
    transform: Persistent<Function<'static>>,
    describe: Persistent<Function<'static>>,
    /// `screen` or `place`: what the host may take of a result that was awaited.
    screen: Persistent<Function<'static>>,
    exact: Persistent<Function<'static>>,
}

impl Instance {
    /// Starts an engine and runs the tops of `source` and its libraries in it.
    pub(super) fn build(source: &Source, limits: &Limits) -> Result<Self, BuildError> {
        let shared = Rc::new(Shared::default());
        let engine = rquickjs::Runtime::new().map_err(|_| BuildError::Engine)?;
        engine.set_memory_limit(limits.memory_bytes);
        engine.set_max_stack_size(STACK_BYTES);
        engine.set_gc_threshold(GC_BYTES);
        let clock = Rc::clone(&shared);
        engine.set_interrupt_handler(Some(Box::new(move || clock.interrupt())));
        let libraries = Rc::new(source.libraries.clone());
        let resolver = Libraries { sources: Rc::clone(&libraries), shared: Rc::clone(&shared) };
        engine.set_loader(resolver, Sources(libraries));
        let context = Context::full(&engine).map_err(|_| BuildError::Engine)?;
        shared.begin(LOAD_CPU);
        let positions = Positions::of(source);
        let (calls, kind) =
            context.with(|ctx| Self::start(&ctx, source, &shared, limits, &positions))?;
        Ok(Self { calls, context, shared, kind, source: positions })
    }

    fn start(
        ctx: &Ctx<'_>,
        source: &Source,
        shared: &Rc<Shared>,
        limits: &Limits,
        positions: &Positions,
    ) -> Result<(Calls, Kind), BuildError> {
        let harness = harness(ctx, shared, limits).map_err(|_| BuildError::Engine)?;
        let (function, kind) = exported(ctx, source, shared).map_err(|error| {
            if let Some((import, importer)) = shared.take_missing() {
                return BuildError::Missing { import, importer };
            }
            let (file, line, reason) = match error {
                Top::Says(reason) => (None, None, reason),
                Top::Threw(error) => top_fault(ctx, &error, shared, positions),
            };
            let file = file.unwrap_or_else(|| source.name.clone());
            BuildError::Fault(Fault { file, line, reason })
        })?;
        Calls::take(ctx, &harness, kind, function)
            .map(|calls| (calls, kind))
            .map_err(|_| BuildError::Engine)
    }

    /// How the script takes events.
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// True once a fault of time or memory happened in it.
    pub(super) fn is_spoilt(&self) -> bool {
        self.shared.is_spoilt()
    }

    /// Moves what `log()` wrote to `log`, up to `bytes_max`, and returns how often it was called.
    pub(super) fn take_log(&self, log: &mut String, bytes_max: usize) -> u64 {
        self.shared.take_log(log, bytes_max)
    }

    /// Calls `transformEvent` with the event in `text`.
    pub(super) fn one(
        &self,
        text: &str,
        input: &Input<'_>,
        infinite: bool,
        limits: &Limits,
    ) -> Result<Answer, Error> {
        self.shared.tell([&input.metadata].into_iter());
        self.context.with(|ctx| {
            let call = Call { instance: self, ctx: &ctx, infinite };
            let event = ctx.json_parse(text).map_err(|error| call.fault(&error))?;
            self.shared.begin_call(limits);
            let result = self.calls.transform.clone().restore(&ctx);
            let result = result.and_then(|transform| transform.call::<_, Value<'_>>((event,)));
            let value = call.finish(result)?;
            let answer = call.answer(&value, limits)?;
            call.in_time().map(|()| answer)
        })
    }

    /// Calls `transformBatch` with the events in `texts`; one answer for each.
    pub(super) fn many(
        &self,
        texts: &[String],
        inputs: &[Input<'_>],
        infinite: bool,
        limits: &Limits,
    ) -> Result<Vec<Result<Placed, Bad>>, Error> {
        self.shared.tell(inputs.iter().map(|input| &input.metadata));
        self.context.with(|ctx| {
            let call = Call { instance: self, ctx: &ctx, infinite };
            let list = call.list(texts).map_err(|error| call.fault(&error))?;
            self.shared.begin_call(limits);
            let result = self.calls.transform.clone().restore(&ctx);
            let result = result.and_then(|transform| transform.call::<_, Value<'_>>((list,)));
            let value = call.finish(result)?;
            let answers = call.answers(&value, texts.len(), limits)?;
            call.in_time().map(|()| answers)
        })
    }
}

/// Evaluates the harness and gives it the host's functions.
fn harness<'js>(
    ctx: &Ctx<'js>,
    shared: &Rc<Shared>,
    limits: &Limits,
) -> rquickjs::Result<Object<'js>> {
    let host = Object::new(ctx.clone())?;
    host.set("parts", limits.parts)?;
    let own = Rc::clone(shared);
    host.set("log", Function::new(ctx.clone(), move || own.log_call())?)?;
    let own = Rc::clone(shared);
    let log_text = move |text: rquickjs::String<'_>| own.log_text(text.to_string().ok().as_deref());
    host.set("logText", Function::new(ctx.clone(), log_text)?)?;
    let own = Rc::clone(shared);
    let unavailable = move |name: String| own.note_unavailable(&name);
    host.set("unavailable", Function::new(ctx.clone(), unavailable)?)?;
    let own = Rc::clone(shared);
    host.set("metadata", Function::new(ctx.clone(), move |at: usize| own.metadata(at))?)?;
    ctx.eval::<Function<'js>, _>(HARNESS)?.call((host,))
}

/// What kept a script's top from giving its function.
enum Top {
    Says(String),
    Threw(rquickjs::Error),
}

impl From<rquickjs::Error> for Top {
    fn from(error: rquickjs::Error) -> Self {
        Self::Threw(error)
    }
}

/// Runs the module and finds the one function it must export.
fn exported<'js>(
    ctx: &Ctx<'js>,
    source: &Source,
    shared: &Shared,
) -> Result<(Function<'js>, Kind), Top> {
    let module = Module::declare(ctx.clone(), source.name.as_str(), source.text.as_str())?;
    let (module, top) = module.eval()?;
    while !shared.has_fired() && ctx.execute_pending_job() {}
    match top.result::<()>() {
        Some(done) => done?,
        None if shared.has_fired() => return Err(Top::Threw(rquickjs::Error::Exception)),
        None => return Err(Top::Says("an await at the top that never ends".to_owned())),
    }
    let event = module.get::<_, Value<'js>>("transformEvent")?.into_function();
    let batch = module.get::<_, Value<'js>>("transformBatch")?.into_function();
    match (event, batch) {
        (Some(event), None) => Ok((event, Kind::Event)),
        (None, Some(batch)) => Ok((batch, Kind::Batch)),
        (Some(_), Some(_)) => {
            Err(Top::Says("it exports both transformEvent and transformBatch".to_owned()))
        }
        (None, None) => {
            Err(Top::Says("it exports no function transformEvent or transformBatch".to_owned()))
        }
    }
}

/// File, line and reason of what was thrown before any event was there.
fn top_fault(
    ctx: &Ctx<'_>,
    error: &rquickjs::Error,
    shared: &Shared,
    positions: &Positions,
) -> (Option<String>, Option<u32>, String) {
    let thrown = ctx.catch();
    if shared.has_fired() {
        return (None, None, format!("its top runs longer than {LOAD_CPU:?} of CPU time"));
    }
    let Some(exception) = thrown.as_exception() else {
        let reason = match error {
            rquickjs::Error::Exception if thrown.is_null() => "out of memory".to_owned(),
            rquickjs::Error::Exception => "its top threw a value that is no error".to_owned(),
            other => other.to_string(),
        };
        return (None, None, reason);
    };
    let at = exception.stack().and_then(|stack| positions.find(&stack));
    let (file, line) = at.map_or((None, None), |(file, line)| (Some(file), Some(line)));
    let message = exception.message().filter(|message| !message.is_empty());
    let reason = message.unwrap_or_else(|| match exception.get::<_, String>("name").as_deref() {
        Ok("InternalError") | Err(_) => "out of memory".to_owned(),
        Ok(_) => "its top threw an error without a text".to_owned(),
    });
    (file, line, reason)
}

impl Calls {
    /// Binds the script's function to the harness and locks the built-ins.
    fn take<'js>(
        ctx: &Ctx<'js>,
        harness: &Object<'js>,
        kind: Kind,
        function: Function<'js>,
    ) -> rquickjs::Result<Self> {
        let (bind, screen) = match kind {
            Kind::Event => ("bindEvent", "screen"),
            Kind::Batch => ("bindBatch", "place"),
        };
        let transform: Function<'js> = harness.get::<_, Function<'js>>(bind)?.call((function,))?;
        let get = |name: &str| {
            harness.get::<_, Function<'js>>(name).map(|found| Persistent::save(ctx, found))
        };
        let calls = Self {
            transform: Persistent::save(ctx, transform),
            describe: get("describe")?,
            screen: get(screen)?,
            exact: get("exact")?,
        };
        harness.get::<_, Function<'js>>("lock")?.call::<_, ()>(())?;
        Ok(calls)
    }
}

/// One call, from the event to its answer.
struct Call<'c, 'js> {
    instance: &'c Instance,
    ctx: &'c Ctx<'js>,
    /// The input holds a number that is infinite as a double.
    infinite: bool,
}

impl<'js> Call<'_, 'js> {
    fn list(&self, texts: &[String]) -> rquickjs::Result<Array<'js>> {
        let list = Array::new(self.ctx.clone())?;
        for (at, text) in texts.iter().enumerate() {
            list.set(at, self.ctx.json_parse(text.as_str())?)?;
        }
        Ok(list)
    }

    /// Runs what is left in the job queue and opens a promise.
    fn finish(&self, result: rquickjs::Result<Value<'js>>) -> Result<Value<'js>, Error> {
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

    fn in_time(&self) -> Result<(), Error> {
        if self.instance.shared.is_late() { Err(Error::TimedOut) } else { Ok(()) }
    }

    fn answer(&self, value: &Value<'js>, limits: &Limits) -> Result<Answer, Error> {
        let mut room = limits.result_bytes;
        if value.is_null() || value.is_undefined() {
            return Ok(Answer::None);
        }
        if let Some(code) = value.as_int() {
            return Err(bad(code));
        }
        let Some(array) = value.as_array() else {
            return self.text(value, &mut room).map(Answer::One);
        };
        let mut parts = Vec::with_capacity(array.len());
        for part in array.iter::<Value<'js>>() {
            let part = part.map_err(|error| self.fault(&error))?;
            parts.push(self.text(&part, &mut room)?);
        }
        Ok(match parts.len() {
            0 => Answer::None,
            1 => parts.pop().map_or(Answer::None, Answer::One),
            _ => Answer::Many(parts),
        })
    }

    /// The results of a batch, each with the input it belongs to.
    fn answers(
        &self,
        value: &Value<'js>,
        inputs: usize,
        limits: &Limits,
    ) -> Result<Vec<Result<Placed, Bad>>, Error> {
        if let Some(code) = value.as_int() {
            return Err(bad(code));
        }
        let placed = value.as_array().ok_or(Error::BadResult(Bad::NotAnArray))?;
        let get = |at| placed.get::<Array<'js>>(at).map_err(|error| self.fault(&error));
        let (outputs, places) = (get(0)?, get(1)?);
        let mut answers: Vec<(Placed, usize, Option<Bad>)> = Vec::new();
        answers.resize_with(inputs, || (Placed::default(), limits.result_bytes, None));
        let mut before = 0;
        for (output, place) in outputs.iter::<Value<'js>>().zip(places.iter::<i32>()) {
            let output = output.map_err(|error| self.fault(&error))?;
            let place = place.map_err(|error| self.fault(&error))?;
            let matched = usize::try_from(place).ok();
            before = matched.unwrap_or(before);
            let Some((placed, room, bad)) = answers.get_mut(before) else { continue };
            match self.text(&output, room) {
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

    fn text(&self, value: &Value<'js>, room: &mut usize) -> Result<String, Error> {
        let text = if self.infinite {
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
    fn fault(&self, error: &rquickjs::Error) -> Error {
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
        Some((class, self.instance.source.find(&stack).map(|(_, line)| line)))
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

/// Finds the place in the script's own files that a stack trace names first.
struct Positions(Vec<String>);

impl Positions {
    fn of(source: &Source) -> Self {
        let libraries = source.libraries.keys().map(|name| format!("{name}.js"));
        Self(std::iter::once(source.name.clone()).chain(libraries).collect())
    }

    fn find(&self, stack: &str) -> Option<(String, u32)> {
        stack.lines().find_map(|frame| {
            let place = frame.trim_end_matches(')');
            let mut parts = place.rsplit(':');
            let _column = parts.next()?.parse::<u32>().ok()?;
            let line = parts.next()?.parse::<u32>().ok()?;
            let file = self.0.iter().find(|file| {
                let named = place
                    .split(['(', ' '])
                    .next_back()
                    .and_then(|at| at.strip_prefix(file.as_str()));
                named.is_some_and(|rest| rest.starts_with(':'))
            })?;
            Some((file.clone(), line))
        })
    }
}

/// Turns the names in imports into module names: only libraries that were loaded are found.
struct Libraries {
    sources: Rc<BTreeMap<String, String>>,
    shared: Rc<Shared>,
}

impl Resolver for Libraries {
    fn resolve<'js>(
        &mut self,
        _ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        let Some(library) = library_name(name) else {
            let reason = "only libraries beside the script can be imported";
            return Err(rquickjs::Error::new_resolving_message(base, name, reason));
        };
        if self.sources.contains_key(library) {
            return Ok(format!("{library}.js"));
        }
        self.shared.note_missing(library, base);
        Err(rquickjs::Error::new_resolving(base, name))
    }
}

struct Sources(Rc<BTreeMap<String, String>>);

impl Loader for Sources {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        let source = library_name(name).and_then(|library| self.0.get(library));
        let source = source.ok_or_else(|| rquickjs::Error::new_loading(name))?;
        Module::declare(ctx.clone(), name, source.as_str())
    }
}
