//! `keelrow journal dump`: the records, a line each.
//!
//! Of an event it shows where it lies and where it goes; the payload, which has passed its source's
//! transformations, only on request.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use prost::Message;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::{ConfigFile, Failure};
use super::{check_folder, look};
use crate::clock::Timestamp;
use crate::event::{Node, Parser, known};
use crate::journal::disk::files::ReadOnly;
use crate::journal::disk::inspect::{self, Standing};
use crate::journal::{Frame, Item, Position};
use crate::outcome::UNKNOWN_SOURCE;
use crate::record::{self, EventView, Route, View};
use crate::storage::utc_text;

/// Arguments of `keelrow journal dump`.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The first position; the journal's first if it is not given.
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
    /// At most so many records.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Only records of this source.
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// Shows the payloads too: events as they were stored, after the transformations.
    #[arg(long)]
    payload: bool,
    /// Prints JSON, one line for each record.
    #[arg(long)]
    json: bool,
}

/// What is told of a record.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    position: u64,
    /// The first position behind it, where several are lost together.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_at: Option<String>,
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    environment: String,
    /// The event's type, or `tally`.
    #[serde(skip_serializing_if = "String::is_empty")]
    r#type: String,
    events: u64,
    /// Bytes of the payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message_id: String,
    /// Number of a part that a transformation split off.
    #[serde(skip_serializing_if = "is_zero")]
    part: u32,
    state: &'static str,
    /// Why an event was rejected, or what a tally counts.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

pub(in super::super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.file.load()?;
    let folder = &config.journal.path;
    check_folder(folder)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut parser, mut shown, mut failed) = (Parser::new(), 0, None);
    // Where the next look goes on, if the first was disturbed.
    let mut next = arguments.from;
    look(|| {
        let from = match next {
            Some(from) => Position::new(from),
            None => inspect::first(&ReadOnly, folder)?,
        };
        inspect::dump(&ReadOnly, folder, from, |item, standing| {
            if arguments.limit.is_some_and(|limit| shown >= limit) {
                return ControlFlow::Break(());
            }
            let line = line(item, standing, &mut parser, arguments.payload);
            next = Some(line.to.unwrap_or(line.position + 1));
            if arguments.source.as_ref().is_some_and(|source| *source != line.source) {
                return ControlFlow::Continue(());
            }
            shown += 1;
            match print(&line, arguments.json, &mut out) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
    })?;
    failed.map_or(Ok(()), Err)?;
    Ok(out.flush()?)
}

fn line(item: Item<'_>, standing: Standing, parser: &mut Parser, payload: bool) -> Line {
    match item {
        Item::Frame(frame) => frame_line(frame, standing, parser, payload),
        Item::Damaged(damaged) => {
            let (from, to) = (damaged.positions.start.get(), damaged.positions.end.get());
            Line {
                position: from,
                to: (to > from + 1).then_some(to),
                source: damaged.source.unwrap_or_else(|| UNKNOWN_SOURCE.into()),
                events: damaged.count,
                state: "damaged",
                ..Line::default()
            }
        }
    }
}

fn frame_line(frame: Frame<'_>, standing: Standing, parser: &mut Parser, payload: bool) -> Line {
    let known = Line {
        position: frame.position.get(),
        source: frame.source.to_owned(),
        events: u64::from(frame.count),
        state: match standing {
            Standing::Durable => "durable",
            Standing::Unproven => "unproven",
        },
        ..Line::default()
    };
    match record::read(frame.payload) {
        Ok(View::Event(event)) => event_line(&event, known, parser, payload),
        Ok(View::Tally(tally)) => Line {
            received_at: Some(utc_text(Timestamp::from_micros(tally.received_at))),
            environment: tally.route.map(|route| route.environment).unwrap_or_default(),
            r#type: "tally".into(),
            bytes: Some(0),
            reason: tally.reason,
            ..known
        },
        Err(_) => Line { r#type: "of a later version".into(), ..known },
    }
}

fn event_line(event: &EventView<'_>, known: Line, parser: &mut Parser, payload: bool) -> Line {
    let mut line = Line {
        received_at: Some(utc_text(Timestamp::from_micros(event.received_at))),
        environment: Route::decode(event.route).map(|route| route.environment).unwrap_or_default(),
        bytes: Some(event.payload.len()),
        part: event.part,
        ..known
    };
    if let Ok(tape) = parser.parse(event.payload) {
        let text = |key| tape.root().member(key).and_then(Node::text).unwrap_or_default();
        line.r#type = text(known::TYPE).into_owned();
        line.message_id = text(known::MESSAGE_ID).into_owned();
    }
    if let Some(rejection) = &event.rejection {
        line.message_id.clone_from(&rejection.message_id);
        line.r#type.clone_from(&rejection.r#type);
        line.reason.clone_from(&rejection.reason);
    }
    if payload {
        let text = String::from_utf8_lossy(event.payload).into_owned();
        line.payload = RawValue::from_string(text).ok();
    }
    line
}

/// A word for a terminal: what a client sent must not steer it.
fn word(text: &str) -> String {
    if text.is_empty() {
        return "-".into();
    }
    let plain = text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if plain { text.to_owned() } else { format!("{text:?}") }
}

fn print(line: &Line, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, line)?;
        return writeln!(out);
    }
    let to = line.to.map(|to| format!(" to {to}")).unwrap_or_default();
    write!(
        out,
        "{}{to} {} {} {} {} {} {} {}",
        line.position,
        line.received_at.as_deref().unwrap_or("-"),
        word(&line.source),
        word(&line.environment),
        word(&line.r#type),
        line.bytes.map_or_else(|| "-".into(), |bytes| bytes.to_string()),
        word(&line.message_id),
        line.state,
    )?;
    if line.events != 1 {
        write!(out, ", {} events", line.events)?;
    }
    if !line.reason.is_empty() {
        write!(out, ", {}", word(&line.reason))?;
    }
    writeln!(out)?;
    match &line.payload {
        Some(payload) => writeln!(out, "  {payload}"),
        None => Ok(()),
    }
}
