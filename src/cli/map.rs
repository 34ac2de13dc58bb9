//! `keelrow map`: shows where events would land, without a server and without files.
//!
//! One line of JSON in, one line out, in order, whatever the line holds: the rows, or why there are
//! none. Knows nothing of sources or files; the mapping itself is [`crate::warehouse`].

use std::io::{self, BufRead, Write};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::clock::{Clock, IdSource};
use crate::event::Parser;
use crate::warehouse::{Dialect, Layout, Mapper, Origin, datetime, print, rudder};

/// Longest line, in bytes; four times the default limit of a request body.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Options of `keelrow map`.
#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// The warehouse: snowflake, bigquery, redshift, postgres, clickhouse, databricks or datalake.
    #[arg(long)]
    pub dialect: Dialect,
    /// What the values are like.
    #[arg(long, value_enum, default_value_t)]
    pub fidelity: Fidelity,
    /// The source's layout, as JSON with the names of RudderStack's destination settings.
    #[arg(long, value_name = "JSON")]
    pub options: Option<String>,
    /// `sourceId`, `sourceType`, `destinationId`, `destinationType` and `receivedAt`, as JSON.
    #[arg(long, value_name = "JSON")]
    pub metadata: Option<String>,
}

/// What the values are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Fidelity {
    /// As the gateway writes them: nothing changes, nothing vanishes.
    #[default]
    Exact,
    /// As RudderStack's own transformer writes them.
    Rudderstack,
}

/// The variable by which RudderStack's transformer is told to leave source and destination out of
/// the context.
pub(super) const POPULATE_CONTEXT: &str = "WH_POPULATE_SRC_DEST_INFO_IN_CONTEXT";

/// Who maps, beside the options.
pub(super) struct World<'w> {
    /// What [`POPULATE_CONTEXT`] says, if it is set; only RudderStack's fidelity asks.
    pub populate_context: Option<String>,
    /// When events arrive that do not say it.
    pub clock: &'w dyn Clock,
    /// Where ids come from that events lack.
    pub ids: &'w dyn IdSource,
}

impl World<'_> {
    /// True unless the variable says otherwise: Go's `strconv.ParseBool` takes these for true, and what
    /// it does not know counts as false there.
    fn populates_context(&self) -> bool {
        let text = self.populate_context.as_deref().unwrap_or_default();
        text.is_empty() || ["1", "t", "T", "TRUE", "true", "True"].contains(&text)
    }
}

/// Why the command cannot run.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// `--options` is wrong.
    #[error("--options: {reason}")]
    Options {
        /// What is wrong with it.
        reason: serde_json::Error,
    },
    /// `--metadata` is wrong.
    #[error("--metadata: {reason}")]
    Metadata {
        /// What is wrong with it.
        reason: serde_json::Error,
    },
    /// `receivedAt` in `--metadata` is no moment.
    #[error("--metadata: receivedAt {given:?} is not a moment such as 2026-01-31T12:00:00.000Z")]
    ReceivedAt {
        /// What was given.
        given: String,
    },
    /// Events cannot be read or rows not written.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The program's exit code: 2 for wrong options, 1 for input and output.
    #[must_use]
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Options { .. } | Self::Metadata { .. } | Self::ReceivedAt { .. } => 2,
            Self::Io { .. } => 1,
        }
    }
}

/// What `--metadata` may say; other keys count for nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    source_id: Option<String>,
    source_type: Option<String>,
    destination_id: Option<String>,
    destination_type: Option<String>,
    received_at: Option<String>,
}

/// Maps the events on `input`, one a line, and writes one line for each to `output`.
///
/// # Errors
/// [`Error::Options`], [`Error::Metadata`] and [`Error::ReceivedAt`] before anything is read;
/// [`Error::Io`] when a line cannot be read or written. A line that is no event is an answer, not
/// an error.
pub(super) fn run(
    options: &Options,
    mut input: impl BufRead,
    mut output: impl Write,
    world: &World<'_>,
) -> Result<(), Error> {
    let mut map = Map::new(options, world)?;
    let io = |action| move |source| Error::Io { action, source };
    let (mut line, mut answer) = (Vec::new(), String::new());
    while let Some(length) = read_line(&mut input, &mut line).map_err(io("read the events"))? {
        answer.clear();
        if length == Length::TooLong {
            print::error("the line is longer than 64 MiB", &mut answer);
        } else {
            map.line(&line, &mut answer);
        }
        answer.push('\n');
        output.write_all(answer.as_bytes()).map_err(io("write the rows"))?;
    }
    output.flush().map_err(io("write the rows"))
}

struct Map<'m> {
    dialect: Dialect,
    fidelity: Fidelity,
    layout: Layout,
    metadata: Metadata,
    received_at: Option<i64>,
    parser: Parser,
    mapper: Mapper,
    world: &'m World<'m>,
}

impl<'m> Map<'m> {
    fn new(options: &Options, world: &'m World<'m>) -> Result<Self, Error> {
        let layout = Layout::from_options(options.options.as_deref().unwrap_or("{}"))
            .map_err(|reason| Error::Options { reason })?;
        let given = options.metadata.as_deref().unwrap_or("{}");
        // By way of an object: the fields may not come as a list.
        let metadata: Metadata = serde_json::from_str::<serde_json::Map<_, _>>(given)
            .and_then(|object| serde_json::from_value(object.into()))
            .map_err(|reason| Error::Metadata { reason })?;
        let given = metadata.received_at.as_deref();
        let received_at = given.map(|given| {
            datetime::exact(given).ok_or_else(|| Error::ReceivedAt { given: given.to_owned() })
        });
        Ok(Self {
            dialect: options.dialect,
            fidelity: options.fidelity,
            layout,
            received_at: received_at.transpose()?,
            metadata,
            parser: Parser::new(),
            mapper: Mapper::new(options.dialect),
            world,
        })
    }

    fn line(&mut self, line: &[u8], answer: &mut String) {
        let minted_id = format!("auto-{}", self.world.ids.uuid());
        let received_at = self.received_at.unwrap_or_else(|| self.world.clock.now().micros());
        match self.fidelity {
            Fidelity::Exact => self.exact(line, &minted_id, received_at, answer),
            Fidelity::Rudderstack => self.rudderstack(line, minted_id, received_at, answer),
        }
    }

    fn exact(&mut self, line: &[u8], minted_id: &str, received_at: i64, answer: &mut String) {
        let tape = match self.parser.parse(line) {
            Ok(tape) => tape,
            Err(error) => return print::error(&error.to_string(), answer),
        };
        let metadata = &self.metadata;
        let origin = Origin {
            source_id: metadata.source_id.as_deref().unwrap_or_default(),
            source_type: metadata.source_type.as_deref().unwrap_or_default(),
            destination_id: metadata.destination_id.as_deref().unwrap_or("keelrow"),
            destination_type: metadata
                .destination_type
                .as_deref()
                .unwrap_or_else(|| self.dialect.name()),
            received_at,
            minted_id,
        };
        self.mapper.begin_batch();
        print::rows(&mut self.mapper, tape.root(), &origin, &self.layout, answer);
    }

    fn rudderstack(&self, line: &[u8], minted_id: String, received_at: i64, answer: &mut String) {
        let given = &self.metadata;
        let mut arrival = given.received_at.clone().unwrap_or_default();
        if arrival.is_empty() {
            datetime::write_millis(received_at, &mut arrival);
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let provider = || self.dialect.provider().to_owned();
        let metadata = rudder::Metadata {
            leaves_context: !self.world.populates_context(),
            source_id: text(&given.source_id),
            source_type: text(&given.source_type),
            destination_id: text(&given.destination_id),
            destination_type: given.destination_type.clone().unwrap_or_else(provider),
            received_at: arrival,
            minted_id,
        };
        match rudder::map(line, self.dialect, &self.layout, &metadata) {
            Err(error) => print::error(&error.to_string(), answer),
            Ok(rows) => {
                answer.push('[');
                for (place, row) in rows.iter().enumerate() {
                    if place > 0 {
                        answer.push(',');
                    }
                    row.write_json(answer);
                }
                answer.push(']');
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Fits,
    TooLong,
}

/// Reads a line into `line`, without what ends it; `None` at the end of the input. What is over the
/// limit is read past, not kept.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<Length>> {
    line.clear();
    let (mut seen, mut length) = (false, Length::Fits);
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(seen.then_some(length));
        }
        seen = true;
        let end = memchr::memchr(b'\n', buffer);
        let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
        if line.len() + part.len() > LINE_BYTES_MAX {
            length = Length::TooLong;
        } else {
            line.extend_from_slice(part);
        }
        let taken = part.len() + usize::from(end.is_some());
        input.consume(taken);
        if end.is_some() {
            return Ok(Some(length));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::clock::{Fixed, Timestamp};

    fn run_on(dialect: Dialect, fidelity: Fidelity, options: &str, input: &[u8]) -> Vec<Value> {
        run_with(None, dialect, fidelity, options, input)
    }

    fn run_with(
        populate_context: Option<&str>,
        dialect: Dialect,
        fidelity: Fidelity,
        options: &str,
        input: &[u8],
    ) -> Vec<Value> {
        let options = Options {
            dialect,
            fidelity,
            options: Some(options.to_owned()),
            metadata: Some(r#"{"sourceId":"webapp","sourceType":"web"}"#.to_owned()),
        };
        let clock = Fixed::at(Timestamp::from_millis(1_741_944_414_001));
        let mut output = Vec::new();
        let populate_context = populate_context.map(str::to_owned);
        let world = World { populate_context, clock: &clock, ids: &clock };
        run(&options, input, &mut output, &world).unwrap();
        let text = String::from_utf8(output).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn exact(input: &str) -> Value {
        run_on(Dialect::Postgres, Fidelity::Exact, "{}", input.as_bytes()).remove(0)
    }

    #[test]
    fn every_line_has_its_answer_in_order() {
        let input = b"{\"type\":\"page\",\"messageId\":\"1\"}\n\nnot json\n[1]\n\xff\n{\"type\":\"record\"}\n{\"type\":\"page\",\"messageId\":\"2\"}";
        for fidelity in [Fidelity::Exact, Fidelity::Rudderstack] {
            let lines = run_on(Dialect::Snowflake, fidelity, "{}", input);
            assert_eq!(lines.len(), 7);
            assert_eq!(lines[0][0]["data"]["ID"], "1");
            assert!(lines[1..6].iter().all(|line| line["error"].is_string()), "{lines:?}");
            assert_eq!(lines[6][0]["data"]["ID"], "2");
        }
    }

    #[test]
    fn rows_have_the_contracts_shape() {
        let rows = exact(
            &r#"{"type":"track","event":"A b","messageId":"m","userId":5,"sentAt":"soon",
            "properties":{"n":1.50,"big":18446744073709551616,"list":[1, {"a":2}],"at":"2024-01-01"}}"#
                .replace('\n', " "),
        );
        let row = &rows[1];
        assert_eq!(row["metadata"]["table"], "a_b");
        assert_eq!(row["metadata"]["receivedAt"], "2025-03-14T09:26:54.001Z");
        let columns = &row["metadata"]["columns"];
        for (column, kind, value) in [
            ("n", "float", "1.50"),
            ("big", "string", "\"18446744073709551616\""),
            ("list", "string", "[1,{\"a\":2}]"),
            ("at", "datetime", "\"2024-01-01T00:00:00.000Z\""),
            ("user_id", "string", "\"5\""),
            ("sent_at__string", "string", "\"soon\""),
            ("id", "string", "\"m\""),
            ("context_source_id", "string", "\"webapp\""),
            ("context_destination_id", "string", "\"keelrow\""),
            ("context_destination_type", "string", "\"postgres\""),
        ] {
            assert_eq!(columns[column], kind, "{column}");
            assert_eq!(row["data"][column].to_string(), value, "{column}");
        }
        assert_eq!(columns["uuid_ts"], "datetime");
        assert!(row["data"].get("uuid_ts").is_none());
    }

    #[test]
    fn source_and_destination_stay_out_of_rudderstacks_context_on_request() {
        let event = br#"{"type":"page","messageId":"m","context":{"sourceId":"own","a":1}}"#;
        let columns = |populate: Option<&str>, fidelity| {
            let rows = run_with(populate, Dialect::Postgres, fidelity, "{}", event);
            let data = rows[0][0]["data"].as_object().unwrap().clone();
            let ours = |(name, _): &(&String, &Value)| {
                name.starts_with("context_source") || name.starts_with("context_dest")
            };
            let names: Vec<String> =
                data.iter().filter(ours).map(|(name, _)| name.clone()).collect();
            (names, data["context_source_id"].as_str().map(str::to_owned))
        };
        for off in ["false", "0", "f", "no"] {
            let (names, source) = columns(Some(off), Fidelity::Rudderstack);
            assert_eq!(names, ["context_source_id"], "{off}: the event's own");
            assert_eq!(source.as_deref(), Some("own"));
            assert_eq!(columns(Some(off), Fidelity::Exact).0.len(), 4, "{off}");
        }
        for on in [None, Some(""), Some("true"), Some("1")] {
            let (names, source) = columns(on, Fidelity::Rudderstack);
            assert_eq!((names.len(), source.as_deref()), (3, Some("webapp")), "{on:?}");
        }
    }

    #[test]
    fn a_merge_is_a_rule_in_every_dialect() {
        let merge = r#"{"type":"merge","messageId":"m","mergeProperties":[
            {"type":"email","value":"a"},{"type":"phone","value":7}]}"#;
        let merge = merge.replace('\n', " ");
        for dialect in Dialect::ALL {
            let rows = run_on(dialect, Fidelity::Exact, "{}", merge.as_bytes()).remove(0);
            let metadata = &rows[0]["metadata"];
            assert_eq!(metadata["table"], dialect.cased("rudder_identity_merge_rules"));
            assert_eq!(metadata["isMergeRule"], true);
            assert_eq!(metadata["mergePropTwo"], "7");
            assert!(metadata["columns"].get("uuid_ts").is_none());
        }
    }

    #[test]
    fn columns_past_the_cap_go_to_the_overflow() {
        let properties: Vec<String> = (0..2_000).map(|n| format!("\"k{n}\":{n}")).collect();
        let event = format!(
            "{{\"type\":\"track\",\"event\":\"e\",\"messageId\":\"m\",\"properties\":{{{}}}}}",
            properties.join(",")
        );
        let rows = exact(&event);
        let row = &rows[1];
        assert_eq!(row["metadata"]["columns"].as_object().unwrap().len(), 1_600);
        let overflow: Value =
            serde_json::from_str(row["data"]["_overflow"].as_str().unwrap()).unwrap();
        assert_eq!(overflow["properties.k1999"], 1_999);
        let kept = row["data"].as_object().unwrap();
        let kept = kept.keys().filter(|key| key.starts_with('k')).count();
        assert_eq!(kept + overflow.as_object().unwrap().len(), 2_000);
    }

    #[test]
    fn wrong_options_are_told_at_once() {
        let clock = Fixed::at(Timestamp::from_millis(0));
        let world = World { populate_context: None, clock: &clock, ids: &clock };
        let mut options = Options {
            dialect: Dialect::Datalake,
            fidelity: Fidelity::Exact,
            options: Some(r#"{"skipTrackTable":true}"#.to_owned()),
            metadata: None,
        };
        let error = run(&options, &b""[..], Vec::new(), &world).unwrap_err();
        assert!(error.to_string().contains("skipTrackTable"), "{error}");
        assert_eq!(error.exit_code(), 2);
        for wrong in ["[]", "5", "{", ""] {
            options.options = Some(wrong.to_owned());
            assert!(run(&options, &b""[..], Vec::new(), &world).is_err(), "{wrong}");
        }
        options.options = None;
        options.metadata = Some("[]".to_owned());
        assert!(run(&options, &b""[..], Vec::new(), &world).is_err());
        options.metadata = Some(r#"{"receivedAt":"yesterday"}"#.to_owned());
        assert!(run(&options, &b""[..], Vec::new(), &world).is_err());
    }
}
