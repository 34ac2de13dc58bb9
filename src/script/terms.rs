//! What a caller and a runtime agree on: limits, an event with its metadata, what came of it, and why
//! nothing did.

use std::fmt;
use std::time::Duration;

use crate::event;

/// What one call of a script may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// CPU time of the thread: the script's own work, what it leaves in the job queue and the
    /// writing of its result. Reading the event is not counted.
    pub cpu_per_call: Duration,
    /// Memory of one instance, all it keeps between events included.
    pub memory_bytes: usize,
    /// JSON text of all that comes of one event.
    pub result_bytes: usize,
    /// Events that come of one event.
    pub parts: usize,
    /// Text of `log()` kept until [`super::Runtime::take_log`]; 0 keeps none, for it may hold personal data.
    pub log_bytes: usize,
}

impl Default for Limits {
    /// 100 ms, 64 MiB, 4 MiB (`http.max_event`), 1,000 parts, no log.
    fn default() -> Self {
        Self {
            cpu_per_call: Duration::from_millis(100),
            memory_bytes: 64 << 20,
            result_bytes: 4 << 20,
            parts: 1_000,
            log_bytes: 0,
        }
    }
}

/// What `metadata(event)` tells a script; what is `None` is undefined there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metadata<'a> {
    /// `sourceId`
    pub source_id: Option<&'a str>,
    /// `sourceName`
    pub source_name: Option<&'a str>,
    /// `sourceType`, for example `Javascript`
    pub source_type: Option<&'a str>,
    /// `sourceCategory`
    pub source_category: Option<&'a str>,
    /// `workspaceId`
    pub workspace_id: Option<&'a str>,
    /// `namespace`
    pub namespace: Option<&'a str>,
    /// `messageId`
    pub message_id: Option<&'a str>,
    /// `eventName`
    pub event_name: Option<&'a str>,
    /// `eventType`
    pub event_type: Option<&'a str>,
    /// `receivedAt`
    pub received_at: Option<&'a str>,
}

impl Metadata<'_> {
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        let fields = [
            ("sourceId", self.source_id),
            ("sourceName", self.source_name),
            ("sourceType", self.source_type),
            ("sourceCategory", self.source_category),
            ("workspaceId", self.workspace_id),
            ("namespace", self.namespace),
            ("messageId", self.message_id),
            ("eventName", self.event_name),
            ("eventType", self.event_type),
            ("receivedAt", self.received_at),
        ];
        out.push(b'{');
        for (name, value) in fields {
            let Some(value) = value else { continue };
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            event::text::write_string(name, out);
            out.push(b':');
            event::text::write_string(value, out);
        }
        out.push(b'}');
    }
}

/// One event to transform.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The event, one JSON object.
    pub event: &'a str,
    /// What `metadata(event)` answers for it.
    pub metadata: Metadata<'a>,
}

impl fmt::Debug for Input<'_> {
    /// Shows sizes only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("bytes", &self.event.len()).finish_non_exhaustive()
    }
}

/// What a script made of an event: JSON objects, each within the limits of [`event::Parser`].
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// One event.
    Keep(String),
    /// None.
    Drop,
    /// Two or more, in the script's order; the first is the one that keeps the messageId.
    Split(Vec<String>),
}

impl fmt::Debug for Outcome {
    /// Shows sizes only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(event) => write!(f, "Keep({} bytes)", event.len()),
            Self::Drop => f.write_str("Drop"),
            Self::Split(parts) => write!(f, "Split({} parts)", parts.len()),
        }
    }
}

/// Why there is no result. Holds nothing of the event or of what the script said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It threw, or its promise was rejected.
    #[error("script threw {class}{}", At(*line))]
    Threw {
        /// The built-in class of what was thrown; `value` where it was no error.
        class: &'static str,
        /// Where in the script it was made, if known.
        line: Option<u32>,
    },
    /// It called a function that has no network, file or credential to work with here.
    #[error("script called {function}(), which is not available{}", At(*line))]
    Unavailable {
        /// The function.
        function: &'static str,
        /// Where in the script, if known.
        line: Option<u32>,
    },
    /// It took more CPU time than a call may.
    #[error("script ran out of time")]
    TimedOut,
    /// It took more memory than an instance may.
    #[error("script ran out of memory")]
    OutOfMemory,
    /// It returned something that is no event.
    #[error("script returned {0}")]
    BadResult(Bad),
    /// The text to transform is not one JSON object; the script was not called.
    #[error("the event is not a JSON object")]
    BadInput,
    /// The script's own top no longer runs: it depends on the time, or on less memory.
    #[error("script cannot be started")]
    NotStarted,
}

/// What is wrong with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// Neither an object nor null, undefined or an array of objects.
    #[error("a value that is no event")]
    NotAnEvent,
    /// `transformBatch` returned no array.
    #[error("a value that is no array")]
    NotAnArray,
    /// JSON cannot hold it: a cycle, a `BigInt`, a `toJSON` that throws.
    #[error("a value that JSON cannot hold")]
    NotJson,
    /// Its text is longer than `result_bytes`.
    #[error("an event that is too large")]
    TooLarge,
    /// It is more than `parts` events.
    #[error("too many events")]
    TooManyParts,
    /// It nests deeper than [`event::DEPTH_MAX`].
    #[error("an event that nests too deep")]
    TooDeep,
    /// A promise that nothing can settle any more.
    #[error("a promise that never settles")]
    NeverSettles,
}

struct At(Option<u32>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, " at line {line}"))
    }
}

/// The caller's `stop` said so; nothing of the request may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped before all events were transformed")]
pub struct Stopped;
