//! Load as data: a profile says what is sent, by which sources, at which rate and for how long.
//! Owns the file's form, the shipped profiles and the check of both; knows nothing of sending.
//! Called by every command that makes traffic.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::misuse::misuse;
use crate::payload::Client;
use crate::schedule::Arrivals;

/// The profiles that come with the program, by name.
const SHIPPED: [(&str, &str); 6] = [
    ("single", include_str!("../profiles/single.toml")),
    ("batch50", include_str!("../profiles/batch50.toml")),
    ("batch50-gzip", include_str!("../profiles/batch50-gzip.toml")),
    ("corpus", include_str!("../profiles/corpus.toml")),
    ("event-tables", include_str!("../profiles/event-tables.toml")),
    ("overload", include_str!("../profiles/overload.toml")),
];

/// One experiment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// What is shown by it, one line.
    pub(crate) description: String,
    /// Events a second, over all sources.
    #[serde(default = "default_rate")]
    pub(crate) rate: f64,
    /// How long it is measured.
    #[serde(default = "default_duration")]
    pub(crate) duration: Seconds,
    /// How long the same load runs before anything is measured.
    #[serde(default = "default_warm_up")]
    pub(crate) warm_up: Seconds,
    /// Open connections.
    #[serde(default = "default_connections")]
    pub(crate) connections: usize,
    /// How long an answer is waited for; longer is counted as a timeout.
    #[serde(default = "default_timeout")]
    pub(crate) request_timeout: Seconds,
    /// How arrivals are spread.
    #[serde(default)]
    pub(crate) arrivals: Arrivals,
    /// What is sent.
    pub(crate) traffic: Traffic,
    /// How often something is wrong on purpose.
    #[serde(default)]
    pub(crate) faults: Faults,
    /// What the senders do when refused.
    #[serde(default)]
    pub(crate) retry: Retry,
    /// How the highest sustainable rate is searched.
    #[serde(default)]
    pub(crate) ramp: Ramp,
    /// Who sends.
    #[serde(rename = "source")]
    pub(crate) sources: Vec<Source>,
}

/// How events become requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Traffic {
    /// The way of sending; `as_sdk` leaves it to each client's own habits.
    #[serde(default)]
    pub(crate) send: Send,
    /// Events of a batch, where `send` is not `as_sdk`.
    #[serde(default = "default_batch")]
    pub(crate) batch: usize,
    /// Share of requests that are compressed; absent: as the client does.
    pub(crate) gzip: Option<f64>,
    /// Level of gzip; the SDKs leave it at 6.
    #[serde(default = "default_gzip_level")]
    pub(crate) gzip_level: u32,
    /// Share of acknowledged requests sent once more, as browsers do after an unload.
    #[serde(default)]
    pub(crate) duplicates: f64,
}

/// The ways to send events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Send {
    /// As the client's SDK mixes them.
    #[default]
    AsSdk,
    /// POST /v1/{type}.
    Single,
    /// POST /v1/batch.
    Batch,
    /// POST /beacon/v1/batch, the write key in the query.
    Beacon,
}

/// Shares of requests that are wrong on purpose.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Faults {
    /// A body that is no JSON: 400.
    pub(crate) bad_json: f64,
    /// A write key nobody has: 401.
    pub(crate) bad_key: f64,
    /// Events without userId and anonymousId: 400.
    pub(crate) no_ids: f64,
    /// A batch with an element of an unknown type: 200, and a row among the rejected.
    pub(crate) unknown_type: f64,
    /// The connection closes amid the body: no answer, nothing may be taken.
    pub(crate) cut_short: f64,
}

/// What a sender does with 429, 5xx and broken connections.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retry {
    /// Tries in all; 1 gives up at once.
    pub(crate) tries: u32,
    /// First pause, doubled with each further try.
    pub(crate) base: Seconds,
    /// Longest pause of its own making.
    pub(crate) cap: Seconds,
    /// Whether `Retry-After` replaces the pause.
    pub(crate) honour_retry_after: bool,
    /// Requests that may wait for another try; beyond it they are given up, as an SDK's full
    /// queue does.
    pub(crate) queue: usize,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries: 4,
            base: Seconds::from_millis(250),
            cap: Seconds::from_millis(10_000),
            honour_retry_after: true,
            queue: 10_000,
        }
    }
}

/// How a ramp climbs and what it takes for sustained.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ramp {
    /// First rate in events a second.
    pub(crate) start: f64,
    /// Factor between steps while it climbs.
    pub(crate) factor: f64,
    /// Halvings of the last interval after the first rate that was not sustained.
    pub(crate) refinements: u32,
    /// Length of one step.
    pub(crate) step: Seconds,
    /// Latency that p99 may not pass.
    pub(crate) p99_max: Seconds,
    /// Share of requests that may be refused or fail.
    pub(crate) refused_max: f64,
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            start: 1_000.0,
            factor: 1.6,
            refinements: 3,
            step: Seconds::from_millis(10_000),
            p99_max: Seconds::from_millis(250),
            refused_max: 0.001,
        }
    }
}

/// One sender's identity at the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// Name of the product.
    pub(crate) name: String,
    /// Which client's traffic it sends.
    pub(crate) client: Client,
    /// prod, rc, qa, ...
    #[serde(default = "default_environment")]
    pub(crate) environment: String,
    /// Its write key; absent: made from name and environment. Reports do not show it.
    #[serde(default, skip_serializing)]
    pub(crate) write_key: String,
    /// Its share of the requests, relative to the others.
    #[serde(default = "default_weight")]
    pub(crate) weight: u32,
}

impl Profile {
    /// Opens the shipped profile `name`, or the file of that path.
    ///
    /// # Errors
    /// When there is neither, or it does not hold what a profile must.
    pub(crate) fn open(name: &str) -> anyhow::Result<Self> {
        Self::find(name).map_err(misuse)
    }

    fn find(name: &str) -> anyhow::Result<Self> {
        if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(text).with_context(|| format!("read the shipped profile {name}"));
        }
        let path = Path::new(name);
        if !path.try_exists().unwrap_or(false) {
            let known: Vec<&str> = SHIPPED.iter().map(|(known, _)| *known).collect();
            bail!("no profile {name}: neither a file nor one of {}", known.join(", "));
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
        Self::parse(&text).with_context(|| format!("read the profile {name}"))
    }

    /// Reads a profile and checks it.
    ///
    /// # Errors
    /// When a key is unknown, missing, or out of its range.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut profile: Self = toml::from_str(text)?;
        for source in &mut profile.sources {
            if source.write_key.is_empty() {
                source.write_key = format!("loadtest-{}-{}", source.name, source.environment);
            }
        }
        profile.check()?;
        Ok(profile)
    }

    /// Checks every range; call again after changing a field.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.rate > 0.0 && self.rate.is_finite(), "rate must be above 0");
        let lasts = [
            ("duration", self.duration),
            ("request_timeout", self.request_timeout),
            ("ramp.step", self.ramp.step),
            ("ramp.p99_max", self.ramp.p99_max),
        ];
        for (name, time) in lasts {
            ensure!(!time.0.is_zero(), "{name} must be above 0");
        }
        ensure!((1..=50_000).contains(&self.connections), "connections must be 1 to 50000");
        ensure!((1..=10_000).contains(&self.traffic.batch), "batch must be 1 to 10000");
        ensure!(self.traffic.gzip_level <= 9, "gzip_level must be 0 to 9");
        ensure!(self.retry.tries >= 1, "retry.tries must be at least 1");
        let Ramp { factor, start, .. } = self.ramp;
        ensure!(factor > 1.0 && factor.is_finite(), "ramp.factor must be above 1");
        ensure!(start > 0.0 && start.is_finite(), "ramp.start must be above 0");
        ensure!(!self.sources.is_empty(), "a profile needs a [[source]]");
        ensure!(self.sources.iter().any(|source| source.weight > 0), "all weights are 0");
        let shares = [
            ("traffic.gzip", self.traffic.gzip.unwrap_or(0.0)),
            ("traffic.duplicates", self.traffic.duplicates),
            ("faults.bad_json", self.faults.bad_json),
            ("faults.bad_key", self.faults.bad_key),
            ("faults.no_ids", self.faults.no_ids),
            ("faults.unknown_type", self.faults.unknown_type),
            ("faults.cut_short", self.faults.cut_short),
            ("ramp.refused_max", self.ramp.refused_max),
        ];
        for (name, share) in shares {
            ensure!((0.0..=1.0).contains(&share), "{name} is a share, 0 to 1");
        }
        Ok(())
    }
}

/// A duration, written as text with its unit: `250ms`, `5s`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seconds(pub(crate) Duration);

impl Seconds {
    const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl std::str::FromStr for Seconds {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let value: f64 = number.trim().parse().with_context(|| format!("{text} is no duration"))?;
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => bail!("{text} needs a unit: ms, s, m or h"),
        };
        Ok(Self(Duration::try_from_secs_f64(value * factor)?))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}ms", self.0.as_millis()))
    }
}

const fn default_rate() -> f64 {
    1_000.0
}
const fn default_duration() -> Seconds {
    Seconds::from_millis(30_000)
}
const fn default_warm_up() -> Seconds {
    Seconds::from_millis(5_000)
}
const fn default_connections() -> usize {
    64
}
const fn default_timeout() -> Seconds {
    Seconds::from_millis(10_000)
}
const fn default_batch() -> usize {
    50
}
const fn default_gzip_level() -> u32 {
    6
}
const fn default_weight() -> u32 {
    1
}
fn default_environment() -> String {
    "prod".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_profile_is_right() {
        for (name, _) in SHIPPED {
            let profile = Profile::open(name).unwrap();
            assert!(profile.sources.iter().all(|source| !source.write_key.is_empty()), "{name}");
        }
    }

    #[test]
    fn a_wrong_profile_names_the_key() {
        let base = "description = ''\n[traffic]\n[[source]]\nname = 'a'\nclient = 'web'\n";
        assert!(Profile::parse(base).is_ok());
        let rows = [
            ("connections = 0\n", "connections"),
            ("rate = -1.0\n", "rate must be above 0"),
            ("rate = nan\n", "rate must be above 0"),
            ("duration = '0s'\n", "duration must be above 0"),
            ("request_timeout = '0ms'\n", "request_timeout must be above 0"),
            ("duration = '5'\n", "unit"),
            ("no_such = 1\n", "no_such"),
        ];
        for (line, expected) in rows {
            let fault = format!("{:#}", Profile::parse(&format!("{line}{base}")).unwrap_err());
            assert!(fault.contains(expected), "{line}: {fault}");
        }
    }
}
