//! What a batch will be, put before anything of it can be seen.
//!
//! Journal range and plan together decide every byte of a batch: whoever finds a plan without its
//! manifest makes the same files under the same names. `proto/plan.schema.json` is the contract:
//! keys are added, never changed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::dedup::Verdict;
use super::spans::Spans;
use crate::record::Route;
use crate::storage;
use crate::storage::keys::{Key, Number};
use crate::storage::manifest::{Range, Rebuilds, from_bytes, to_bytes};

/// The newest format of a plan.
pub const FORMAT: u32 = 1;

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Format of this object.
    pub format: u32,
    /// Whose chain.
    pub writer: String,
    /// Which link of it.
    pub number: Number,
    /// Checksum of the manifest before, none for the first.
    pub previous: Option<String>,
    /// What it is made of.
    pub journal: Range,
    /// CRC-32C of the payloads of all records of the range, in order: tells the range of another
    /// journal, which would otherwise give another batch under the same names.
    pub records: u32,
    /// The moment the range was opened.
    pub batch_time: String,
    /// UTC hour of arrival, as in the paths.
    pub hour: String,
    /// Version of the rules by which events become rows.
    pub mapping: u32,
    /// Version of the program, for a person.
    pub program: String,
    /// What is in the range and leaves no row, or another row than it would by itself.
    pub left_out: LeftOut,
    /// The load settings in full.
    pub settings: serde_json::Value,
    /// The files.
    pub parts: Vec<PlannedFile>,
    /// The batch that it is made from instead of a journal range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilds: Option<Rebuilds>,
    /// What the sources of that batch's schemas were when this one was planned; empty in plans of a
    /// journal range, whose records say it themselves, and of the first programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<PlannedRoute>,
}

/// Where the events of a source belong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRoute {
    /// The source's id.
    pub source_id: String,
    /// Its name, shared by its environments.
    pub source_name: String,
    /// Its environment.
    pub environment: String,
    /// web, desktop, mobile, server, or empty.
    pub platform: String,
    /// The warehouse schema.
    pub schema: String,
}

impl From<&Route> for PlannedRoute {
    fn from(route: &Route) -> Self {
        let Route { source_id, source_name, environment, platform, schema } = route.clone();
        Self { source_id, source_name, environment, platform, schema }
    }
}

impl From<&PlannedRoute> for Route {
    fn from(planned: &PlannedRoute) -> Self {
        let PlannedRoute { source_id, source_name, environment, platform, schema } =
            planned.clone();
        Self { source_id, source_name, environment, platform, schema }
    }
}

/// Positions whose outcome does not follow from their record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Repeats.
    pub duplicates: Spans,
    /// Events that came with another event's messageId: rows of `rejected`.
    pub reused: Spans,
    /// Records that could not be read.
    pub damaged: Vec<Lost>,
}

impl LeftOut {
    /// What the event at `position` was found to be.
    #[must_use]
    pub fn verdict(&self, position: u64) -> Verdict {
        if self.duplicates.contains(position) {
            Verdict::Repeat
        } else if self.reused.contains(position) {
            Verdict::Reused
        } else {
            Verdict::New
        }
    }

    /// The loss that the record at `position` was part of.
    #[must_use]
    pub fn lost(&self, position: u64) -> Option<&Lost> {
        self.damaged.iter().find(|lost| (lost.from..lost.to).contains(&position))
    }
}

/// Records that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The first.
    pub from: u64,
    /// The first after.
    pub to: u64,
    /// The source, if it is known.
    pub source: Option<String>,
    /// How many events they stood for.
    pub events: u64,
    /// Whether they were split off by a transformation, and not received.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub split: bool,
}

/// A file to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Its key.
    pub path: String,
    /// Which version of the table's columns it has.
    pub schema_version: u64,
    /// Rows of each row group.
    pub row_groups: Vec<u64>,
}

impl Plan {
    /// The plan's canonical bytes.
    ///
    /// # Errors
    /// [`storage::Error::Malformed`] if a value has no JSON form, which no field here lacks.
    pub fn to_bytes(&self) -> Result<Bytes, storage::Error> {
        to_bytes(self, "plan")
    }

    /// Reads the plan found under `key`.
    ///
    /// # Errors
    /// [`storage::Error::Malformed`] or [`storage::Error::Format`].
    pub fn from_bytes(key: &Key, bytes: &[u8]) -> Result<Self, storage::Error> {
        let found: Self = from_bytes(key, "plan", bytes)?;
        if found.format > FORMAT {
            let (found, known) = (found.format, FORMAT);
            return Err(storage::Error::Format { key: key.to_string(), found, known });
        }
        Ok(found)
    }
}
