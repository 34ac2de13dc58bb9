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
use rquickjs::{Context, Ctx, Function, Module, Object, Persistent, Value};

use super::call::{Answer, Call, Placed};
use super::load::{Fault, Kind, LOAD_CPU, Source, library_name};
use super::shared::Shared;
use super::terms::{Bad, Error, Input, Limits};

const HARNESS: &str = include_str!("harness.js");
/// Memory while sources are compiled, far above what [`super::SOURCES_BYTES_MAX`] can need: the
/// engine's compiler is the one part of it that was seen to crash where memory ran out.
const COMPILE_BYTES: usize = 1 << 30;
/// JavaScript's stack, of the 2 MiB that a worker thread has. Frames take some 500 bytes.
const STACK_BYTES: usize = 512 << 10;
/// Growth after which cycles are looked for; all else is freed at once by reference counts.
const GC_BYTES: usize = 4 << 20;
/// Why an instance could not be built.
pub(super) enum BuildError {
    /// A library is not among the source's.
    Missing { import: String, importer: String },
    /// The script is wrong.
    Fault(Fault),
    /// The engine itself could not start: no memory.
    Engine,
}

/// A script in its engine. The order of the fields is the order in which they are freed: values
/// before the context they live in, which holds the engine.
pub(super) struct Instance {
    pub(super) calls: Calls,
    context: Context,
    pub(super) shared: Rc<Shared>,
    kind: Kind,
    pub(super) positions: Positions,
}

/// Functions that outlive a call.
pub(super) struct Calls {
    transform: Persistent<Function<'static>>,
    pub(super) describe: Persistent<Function<'static>>,
    /// `screen` or `place`: what the host may take of a result that was awaited.
    pub(super) screen: Persistent<Function<'static>>,
    pub(super) exact: Persistent<Function<'static>>,
}

impl Instance {
    /// Starts an engine and runs the tops of `source` and its libraries in it.
    pub(super) fn build(source: &Source, limits: &Limits) -> Result<Self, BuildError> {
        let shared = Rc::new(Shared::default());
        let engine = rquickjs::Runtime::new().map_err(|_| BuildError::Engine)?;
        engine.set_memory_limit(COMPILE_BYTES);
        engine.set_max_stack_size(STACK_BYTES);
        engine.set_gc_threshold(GC_BYTES);
        let clock = Rc::clone(&shared);
        engine.set_interrupt_handler(Some(Box::new(move || clock.interrupt())));
        let libraries = Rc::new(source.libraries.clone());
        let resolver = Libraries {
            script: source.name.clone(),
            sources: Rc::clone(&libraries),
            shared: Rc::clone(&shared),
        };
        engine.set_loader(resolver, Sources(libraries));
        let context = Context::full(&engine).map_err(|_| BuildError::Engine)?;
        shared.begin(LOAD_CPU);
        let positions = Positions::of(source);
        let fault = |ctx: &Ctx<'_>, error| top_fault(ctx, error, source, &shared, &positions);
        let harness = context.with(|ctx| {
            let harness = harness(&ctx, &shared, limits).map_err(|_| BuildError::Engine)?;
            Module::declare(ctx.clone(), source.name.as_str(), source.text.as_str())
                .map_err(|error| fault(&ctx, Top::Threw(error)))?;
            Ok(Persistent::save(&ctx, harness))
        })?;
        engine.set_memory_limit(limits.memory_bytes);
        let (calls, kind) = context.with(|ctx| {
            let harness = harness.restore(&ctx).map_err(|_| BuildError::Engine)?;
            let (function, kind) =
                exported(&ctx, source, &shared).map_err(|error| fault(&ctx, error))?;
            let calls = Calls::take(&ctx, &harness, kind, function);
            calls.map(|calls| (calls, kind)).map_err(|_| BuildError::Engine)
        })?;
        Ok(Self { calls, context, shared, kind, positions })
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

    /// Calls `transformEvent` with the event in `text`; `infinite` if a number of it is as a double.
    pub(super) fn one(
        &self,
        text: &str,
        input: &Input<'_>,
        infinite: bool,
        limits: &Limits,
    ) -> Result<Answer, Error> {
        self.shared.tell([&input.metadata].into_iter());
        self.context.with(|ctx| {
            let call = Call { instance: self, ctx: &ctx };
            let event = ctx.json_parse(text).map_err(|error| call.fault(&error))?;
            self.shared.begin_call(limits);
            let result = self.calls.transform.clone().restore(&ctx);
            let result = result.and_then(|transform| transform.call::<_, Value<'_>>((event,)));
            let value = call.finish(result)?;
            let answer = call.answer(&value, infinite, limits)?;
            call.in_time().map(|()| answer)
        })
    }

    /// Calls `transformBatch` with the events in `texts`; one answer for each.
    pub(super) fn many(
        &self,
        texts: &[String],
        inputs: &[Input<'_>],
        infinite: &[bool],
        limits: &Limits,
    ) -> Result<Vec<Result<Placed, Bad>>, Error> {
        self.shared.tell(inputs.iter().map(|input| &input.metadata));
        self.context.with(|ctx| {
            let call = Call { instance: self, ctx: &ctx };
            let list = call.list(texts).map_err(|error| call.fault(&error))?;
            self.shared.begin_call(limits);
            let result = self.calls.transform.clone().restore(&ctx);
            let result = result.and_then(|transform| transform.call::<_, Value<'_>>((list,)));
            let value = call.finish(result)?;
            let answers = call.answers(&value, infinite, limits)?;
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

/// Runs the top of the module, which was compiled before, and finds the one function it must export.
fn exported<'js>(
    ctx: &Ctx<'js>,
    source: &Source,
    shared: &Shared,
) -> Result<(Function<'js>, Kind), Top> {
    let top = Module::import(ctx, source.name.as_str())?;
    while !shared.has_fired() && ctx.execute_pending_job() {}
    let exports = match top.result::<Object<'js>>() {
        Some(exports) => exports?,
        None if shared.has_fired() => return Err(Top::Threw(rquickjs::Error::Exception)),
        None => return Err(Top::Says("an await at the top that never ends".to_owned())),
    };
    let event = exports.get::<_, Value<'js>>("transformEvent")?.into_function();
    let batch = exports.get::<_, Value<'js>>("transformBatch")?.into_function();
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

/// What was thrown before any event was there, as a fault of a file.
fn top_fault(
    ctx: &Ctx<'_>,
    error: Top,
    source: &Source,
    shared: &Shared,
    positions: &Positions,
) -> BuildError {
    let fault = |reason: String| Fault { file: source.name.clone(), line: None, reason };
    let error = match error {
        Top::Says(reason) => return BuildError::Fault(fault(reason)),
        Top::Threw(error) => error,
    };
    let thrown = ctx.catch();
    if let Some((import, importer)) = shared.take_missing() {
        return BuildError::Missing { import, importer };
    }
    if shared.has_fired() {
        let reason = format!("its top runs longer than {LOAD_CPU:?} of CPU time");
        return BuildError::Fault(fault(reason));
    }
    let Some(exception) = thrown.as_exception() else {
        return BuildError::Fault(fault(match error {
            rquickjs::Error::Exception if thrown.is_null() => "out of memory".to_owned(),
            rquickjs::Error::Exception => "its top threw a value that is no error".to_owned(),
            other => other.to_string(),
        }));
    };
    let at = exception.stack().and_then(|stack| positions.find(&stack));
    let (file, line) = at.map_or((None, None), |(file, line)| (Some(file), Some(line)));
    let message = exception.message().filter(|message| !message.is_empty());
    let reason = message.unwrap_or_else(|| match exception.get::<_, String>("name").as_deref() {
        Ok("InternalError") | Err(_) => "out of memory".to_owned(),
        Ok(_) => "its top threw an error without a text".to_owned(),
    });
    BuildError::Fault(Fault { file: file.unwrap_or_else(|| source.name.clone()), line, reason })
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

/// Finds the place in the script's own files that a stack trace names first.
pub(super) struct Positions(Vec<String>);

impl Positions {
    fn of(source: &Source) -> Self {
        let libraries = source.libraries.keys().map(|name| format!("{name}.js"));
        Self(std::iter::once(source.name.clone()).chain(libraries).collect())
    }

    pub(super) fn find(&self, stack: &str) -> Option<(String, u32)> {
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
    script: String,
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
        if name == self.script {
            return Ok(name.to_owned());
        }
        let Some(library) = library_name(name) else {
            let reason = "only libraries beside the script can be imported";
            return Err(rquickjs::Error::new_resolving_message(base, name, reason));
        };
        let file = format!("{library}.js");
        if file == self.script || self.sources.contains_key(library) {
            return Ok(file);
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
