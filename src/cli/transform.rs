//! `keelrow transform`: a source's transformations over JSON lines, and nothing else of the gateway.
//!
//! One line out for each line in; a blank one stays blank. Knows the shapes of lines and the order of
//! stages; where a write key leads and how a script runs comes from the caller through [`Chains`] and
//! [`Stage`].

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use crate::event::enrich::EventType;
use crate::event::{self, Edits, Kind, Node, Parser, known};
use crate::transform::{Pack, Pseudonyms, Scratch, Verdict};

/// Bytes of one line; a request's body has 16 MiB at most by default.
const LINE_BYTES_MAX: usize = 64 << 20;

/// One transformation of a chain.
pub(super) trait Stage {
    /// Transforms events, each a JSON text: for each the parts it became, none if it was dropped,
    /// or why it failed (without content).
    fn run(&mut self, events: &[String]) -> Vec<Result<Vec<String>, String>>;

    /// What a batch holds beside its events, if the stage looks at that; the text is an object.
    fn run_on_envelope(&mut self, envelope: &str) -> Option<String> {
        let _ = envelope;
        None
    }

    /// The rules that hit since the last call, each once, in order.
    fn take_hits(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// A source's transformations in order.
pub(super) type Chain = Vec<Box<dyn Stage>>;

/// Who sent a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender<'a> {
    /// A request with this write key.
    WriteKey(&'a str),
    /// The source that the user named by id or name.
    Source(&'a str),
    /// A bare event without a source: the default.
    Nobody,
}

/// Why a sender has no chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    /// No source has the write key.
    #[error("no source has this write key")]
    UnknownKey,
    /// No source has the id or name.
    #[error("no source has this id or name")]
    UnknownSource,
    /// Several sources have the name.
    #[error("several sources have this name; give the id")]
    Ambiguous,
}

/// Finds the chain of a sender; keeps what it compiled.
pub(super) trait Chains {
    /// The chain of `sender`.
    ///
    /// # Errors
    /// [`Unresolved`] says why there is none.
    fn chain(&mut self, sender: Sender<'_>) -> Result<&mut Chain, Unresolved>;
}

/// Why the command ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The line is no JSON object; exit 2.
    #[error("line {line}: not an event or request in JSON")]
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// The line is too long; exit 2.
    #[error("line {line}: longer than {LINE_BYTES_MAX} bytes")]
    TooLong {
        /// The line, from 1.
        line: usize,
    },
    /// The line's sender has no transformations; exit 2.
    #[error("line {line}: {why}")]
    Sender {
        /// The line, from 1.
        line: usize,
        /// Why.
        why: Unresolved,
    },
    /// Reading or writing failed; exit 1.
    #[error("cannot {action}")]
    Io {
        /// What failed.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The program's exit code: 2 where the input is to blame.
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Line { .. } | Self::TooLong { .. } | Self::Sender { .. } => 2,
            Self::Io { .. } => 1,
        }
    }
}

/// Transforms each line of `input`. Failures of stages are noted on `notes`, with their line and
/// without content, and their events become `null`; the answer is how many there were.
///
/// # Errors
/// See [`Error`]; lines before the one at fault are written.
pub(super) fn run(
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    notes: &mut dyn Write,
    source: Option<&str>,
    chains: &mut dyn Chains,
) -> Result<u64, Error> {
    let mut lines = Lines { parser: Parser::new(), edits: Edits::new(), failed: 0, notes, line: 0 };
    let (mut text, mut out) = (Vec::new(), Vec::new());
    while read_line(input, &mut text, &mut lines.line)? {
        out.clear();
        if !text.trim_ascii().is_empty() {
            lines.transform(&text, source, chains, &mut out)?;
        }
        out.push(b'\n');
        output
            .write_all(&out)
            .map_err(|source| Error::Io { action: "write the output", source })?;
    }
    output.flush().map_err(|source| Error::Io { action: "write the output", source })?;
    Ok(lines.failed)
}

/// Reads the next line and counts on; false at the end.
fn read_line(input: &mut dyn BufRead, text: &mut Vec<u8>, line: &mut usize) -> Result<bool, Error> {
    *line += 1;
    text.clear();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    let read = io::Read::take(&mut *input, limit)
        .read_until(b'\n', text)
        .map_err(|source| Error::Io { action: "read the input", source })?;
    if read > LINE_BYTES_MAX {
        return Err(Error::TooLong { line: *line });
    }
    Ok(read > 0)
}

struct Lines<'a> {
    parser: Parser,
    edits: Edits,
    failed: u64,
    notes: &'a mut dyn Write,
    line: usize,
}

impl Lines<'_> {
    fn transform(
        &mut self,
        text: &[u8],
        source: Option<&str>,
        chains: &mut dyn Chains,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let line = self.line;
        let mut parser = std::mem::take(&mut self.parser);
        let tape = parser.parse(text).map_err(|_| Error::Line { line })?;
        let root = tape.root();
        if root.kind() != Kind::Object {
            return Err(Error::Line { line });
        }
        let request = Request::of(root);
        let key = request.as_ref().map(|request| request.key.as_str());
        let sender = match (key, source) {
            (Some(key), _) => Sender::WriteKey(key),
            (None, Some(source)) => Sender::Source(source),
            (None, None) => Sender::Nobody,
        };
        let chain = chains.chain(sender).map_err(|why| Error::Sender { line, why })?;
        match request {
            None => self.bare(root, chain, out),
            Some(request) => self.request(root, &request, chain, out),
        }
        self.parser = parser;
        Ok(())
    }

    fn bare(&mut self, event: Node<'_>, chain: &mut Chain, out: &mut Vec<u8>) {
        let results = run_chain(chain, vec![compact(event)]);
        for (_, result) in self.noted(results) {
            out.extend_from_slice(result.as_bytes());
        }
    }

    fn request(
        &mut self,
        root: Node<'_>,
        request: &Request<'_>,
        chain: &mut Chain,
        out: &mut Vec<u8>,
    ) {
        let body = request.body;
        self.edits.begin(root);
        let batch = body.get("batch").filter(|batch| batch.kind() == Kind::Array);
        let events: Vec<Node<'_>> =
            batch.map_or_else(|| vec![body], |batch| batch.children().collect());
        let objects: Vec<Node<'_>> =
            events.iter().copied().filter(|event| event.kind() == Kind::Object).collect();
        // What is no object is no event: the gateway keeps its shape only.
        for other in events.iter().filter(|event| event.kind() != Kind::Object) {
            self.edits.replace(other.index(), "null");
        }
        // The gateway takes the type of an event that comes alone from where it came.
        let kind = request.kind.filter(|_| batch.is_none() && body.member(known::TYPE).is_none());
        let texts = objects.iter().map(|event| match kind {
            Some(kind) => with_type(&compact(*event), kind),
            None => compact(*event),
        });
        let mut results = run_chain(chain, texts.collect());
        if let Some(kind) = kind {
            for part in results.iter_mut().flatten().flatten() {
                *part = without_type(part, kind);
            }
        }
        for (event, (_, result)) in objects.iter().zip(self.noted(results)) {
            self.edits.replace(event.index(), &result);
        }
        if let Some(batch) = batch {
            self.envelope(body, batch, chain);
        }
        self.edits.write(root, out);
    }

    /// What a batch holds beside its events is copied into each of them by the gateway, so it is
    /// shown as the stages would leave it.
    fn envelope(&mut self, body: Node<'_>, batch: Node<'_>, chain: &mut Chain) {
        for member in body.children().filter(|member| member.index() != batch.index()) {
            let mut alone = vec![b'{'];
            event::text::write_string(member.key(), &mut alone);
            alone.push(b':');
            member.write_compact(&mut alone);
            alone.push(b'}');
            let mut text = String::from_utf8(alone).unwrap_or_default();
            for stage in chain.iter_mut() {
                text = stage.run_on_envelope(&text).unwrap_or(text);
            }
            let mut parser = Parser::new();
            let left =
                parser.parse(text.as_bytes()).ok().and_then(|tape| tape.root().children().next());
            match left {
                Some(left) => self.edits.replace(member.index(), left.raw()),
                None => self.edits.remove(member.index()),
            }
        }
    }

    /// Turns results into JSON texts and notes the failures.
    fn noted(&mut self, results: Vec<Result<Vec<String>, String>>) -> Vec<(bool, String)> {
        let mut list = Vec::new();
        for result in results {
            match result {
                Ok(parts) => list.push((true, joined(&parts))),
                Err(why) => {
                    self.failed += 1;
                    // A closed standard error takes nothing from the result.
                    let written = writeln!(self.notes, "line {}: {why}", self.line);
                    list.push((written.is_ok(), "null".to_owned()));
                }
            }
        }
        list
    }
}

/// `null` for nothing, the event for one, an array for several.
fn joined(parts: &[String]) -> String {
    match parts {
        [] => "null".to_owned(),
        [one] => one.clone(),
        several => format!("[{}]", several.join(",")),
    }
}

fn compact(node: Node<'_>) -> String {
    let mut out = Vec::new();
    node.write_compact(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Runs all stages, each over all parts that the ones before it left.
fn run_chain(chain: &mut Chain, events: Vec<String>) -> Vec<Result<Vec<String>, String>> {
    let mut results: Vec<Result<Vec<String>, String>> =
        events.into_iter().map(|event| Ok(vec![event])).collect();
    for stage in chain {
        let parts: Vec<String> = results.iter().flatten().flatten().cloned().collect();
        let mut left = stage.run(&parts).into_iter();
        for result in &mut results {
            let Ok(before) = result else { continue };
            let mut after = Ok(Vec::new());
            for one in left.by_ref().take(before.len()) {
                match (&mut after, one) {
                    (Ok(after), Ok(parts)) => after.extend(parts),
                    (Ok(_), Err(why)) => after = Err(why),
                    (Err(_), _) => {}
                }
            }
            *result = after;
        }
    }
    results
}

/// The object with a type, which it has none of.
fn with_type(event: &str, kind: EventType) -> String {
    let rest = event.strip_prefix('{').unwrap_or(event);
    let comma = if rest == "}" { "" } else { "," };
    format!("{{\"type\":\"{}\"{comma}{rest}", kind.name())
}

/// The object as it was before [`with_type`], unless its type is another by now.
fn without_type(event: &str, kind: EventType) -> String {
    let (mut parser, mut edits, mut out) = (Parser::new(), Edits::new(), Vec::new());
    let Ok(tape) = parser.parse(event.as_bytes()) else { return event.to_owned() };
    let Some(member) = tape.root().member(known::TYPE) else { return event.to_owned() };
    if member.text().is_none_or(|text| text != kind.name()) {
        return event.to_owned();
    }
    edits.begin(tape.root());
    edits.remove(member.index());
    edits.write(tape.root(), &mut out);
    String::from_utf8(out).unwrap_or_default()
}

struct Request<'a> {
    key: String,
    /// The kind of event that its path takes.
    kind: Option<EventType>,
    body: Node<'a>,
}

impl<'a> Request<'a> {
    /// `{"path", "writeKey", "body"}`
    fn of(root: Node<'a>) -> Option<Self> {
        let key = root.get("writeKey")?.text()?.into_owned();
        let path = root.get("path")?.text()?;
        let kind = path.strip_prefix("/v1/").and_then(EventType::parse);
        Some(Self { key, kind, body: root.get("body")? })
    }
}

/// A rule pack as a stage.
#[derive(Debug)]
pub(super) struct PackStage {
    pack: Arc<Pack>,
    pseudonyms: Arc<Pseudonyms>,
    parser: Parser,
    edits: Edits,
    scratch: Scratch,
    hits: Vec<String>,
}

impl PackStage {
    /// A stage that applies `pack`.
    pub(super) fn new(pack: Arc<Pack>, pseudonyms: Arc<Pseudonyms>) -> Self {
        let (parser, edits, scratch) = (Parser::new(), Edits::new(), Scratch::new());
        Self { pack, pseudonyms, parser, edits, scratch, hits: Vec::new() }
    }

    fn apply(&mut self, event: &str) -> Result<Vec<String>, String> {
        let tape = self.parser.parse(event.as_bytes()).map_err(|error| error.to_string())?;
        let root = tape.root();
        self.edits.begin(root);
        let verdict = self.pack.apply(&mut self.scratch, root, &mut self.edits, &self.pseudonyms);
        for (rule, _) in self.scratch.hits() {
            let Some(name) = self.pack.rule_names().get(rule) else { continue };
            if !self.hits.contains(name) {
                self.hits.push(name.clone());
            }
        }
        if verdict != Verdict::Keep {
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        self.edits.write(root, &mut out);
        String::from_utf8(out).map(|event| vec![event]).map_err(|error| error.to_string())
    }
}

impl Stage for PackStage {
    fn run(&mut self, events: &[String]) -> Vec<Result<Vec<String>, String>> {
        events.iter().map(|event| self.apply(event)).collect()
    }

    fn run_on_envelope(&mut self, envelope: &str) -> Option<String> {
        self.apply(envelope).ok()?.pop()
    }

    fn take_hits(&mut self) -> Vec<String> {
        std::mem::take(&mut self.hits)
    }
}

#[cfg(test)]
mod tests;
