//! The clients that the harness imitates, read from `payloads/*.json`: headers, ways of sending,
//! and event templates with their shares. Compiled once per run.

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::template::Template;
use crate::profile::Send;
use crate::rng::Rng;

/// Whose habits a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Client {
    /// A browser page.
    Web,
    /// A browser's track events of one size, for figures.
    WebTrack,
    /// A browser's track events of 56 names, each with properties of its own, for figures.
    EventTables,
    /// An Electron application.
    Desktop,
    /// A phone.
    Mobile,
    /// A server.
    Server,
    /// A customer portal: full page context, groups and aliases.
    Portal,
}

impl Client {
    /// What the server's configuration calls it.
    pub(crate) const fn platform(self) -> &'static str {
        match self {
            Self::Web | Self::WebTrack | Self::EventTables | Self::Portal => "web",
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Server => "server",
        }
    }

    /// The client that fits a platform of a user's configuration.
    pub(crate) fn of_platform(platform: &str) -> Self {
        match platform {
            "desktop" => Self::Desktop,
            "mobile" => Self::Mobile,
            "server" => Self::Server,
            _ => Self::Web,
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Web => include_str!("../../payloads/web.json"),
            Self::WebTrack => include_str!("../../payloads/web_track.json"),
            Self::EventTables => include_str!("../../payloads/event_tables.json"),
            Self::Desktop => include_str!("../../payloads/desktop.json"),
            Self::Mobile => include_str!("../../payloads/mobile.json"),
            Self::Server => include_str!("../../payloads/server.json"),
            Self::Portal => include_str!("../../payloads/portal.json"),
        }
    }
}

#[derive(Deserialize)]
struct File {
    headers: Vec<String>,
    send: Vec<Way>,
    gzip: f64,
    shared: Map<String, Value>,
    events: Vec<Map<String, Value>>,
}

/// One way a client sends, and how often.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Way {
    /// Single, batch or beacon.
    #[serde(rename = "as")]
    pub(crate) send: Send,
    weight: u32,
    /// Fewest and most events of one request.
    #[serde(default = "one")]
    pub(crate) events: (i64, i64),
}

const fn one() -> (i64, i64) {
    (1, 1)
}

/// A client's habits, ready to be rendered.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// Header lines, each with its line end.
    pub(crate) headers: Vec<u8>,
    /// Share of its requests that are compressed.
    pub(crate) gzip: f64,
    ways: Vec<(u32, Way)>,
    events: Vec<(u32, Event)>,
}

/// One kind of event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Its type, which is also its path.
    pub(crate) kind: String,
    /// Members of the JSON object, without braces.
    pub(crate) template: Template,
}

impl Habits {
    /// Compiles a client's file.
    ///
    /// # Errors
    /// When the file is not what this program understands.
    pub(crate) fn compile(client: Client) -> anyhow::Result<Self> {
        let file: File = serde_json::from_str(client.file())
            .with_context(|| format!("read the payloads of {client:?}"))?;
        let headers = file.headers.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
        let mut events = Vec::with_capacity(file.events.len());
        for mut own in file.events {
            let weight = own.shift_remove("weight").and_then(|weight| weight.as_u64());
            let weight = u32::try_from(weight.context("an event needs a weight")?)?;
            let kind = own.get("type").and_then(Value::as_str).context("an event needs a type")?;
            let kind = kind.to_owned();
            let mut members = file.shared.clone();
            members.extend(own);
            events.push((weight, Event { kind, template: Template::members(&members)? }));
        }
        let ways: Vec<(u32, Way)> = file.send.iter().map(|way| (way.weight, *way)).collect();
        ensure!(!ways.is_empty() && !events.is_empty(), "{client:?} sends nothing");
        Ok(Self { headers: String::into_bytes(headers), gzip: file.gzip, ways, events })
    }

    /// How the next request is sent.
    pub(crate) fn way(&self, rng: &mut Rng) -> Option<Way> {
        weighted(rng, &self.ways).copied()
    }

    /// Events of a request, on average.
    #[expect(clippy::cast_precision_loss, reason = "batches hold few events")]
    pub(crate) fn mean_events(&self) -> f64 {
        let total: f64 = self.ways.iter().map(|(weight, _)| f64::from(*weight)).sum();
        let sum = self
            .ways
            .iter()
            .map(|(weight, way)| f64::from(*weight) * (way.events.0 + way.events.1) as f64 / 2.0);
        sum.sum::<f64>() / total.max(1.0)
    }

    /// The next event's kind.
    pub(crate) fn event(&self, rng: &mut Rng) -> Option<&Event> {
        weighted(rng, &self.events)
    }
}

/// One of `items` by its weight.
pub(crate) fn weighted<'a, T>(rng: &mut Rng, items: &'a [(u32, T)]) -> Option<&'a T> {
    let total: u64 = items.iter().map(|(weight, _)| u64::from(*weight)).sum();
    let mut left = rng.below(total);
    for (weight, item) in items {
        let weight = u64::from(*weight);
        if left < weight {
            return Some(item);
        }
        left -= weight;
    }
    None
}
