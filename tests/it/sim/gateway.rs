//! What all gateways of the simulation are configured with: two sources, one of which drops some
//! events and has a user on the suppression list.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelrow::clock::{Clock, IdSource, Timestamp};
use keelrow::config::{self, Environment};
use keelrow::event::enrich::ClockGuard;
use keelrow::ingest::{
    Accepted, Chain, Chains, Credential, Form, Ingest, Limits, Live, Pipeline, Refusal, Services,
    Stage, Submission,
};
use keelrow::journal::Journal;
use keelrow::limits::{Budget, RateLimits};
use keelrow::outcome::Books;
use keelrow::script;
use keelrow::source::Sources;
use keelrow::transform::{Pack, Pseudonyms, Suppression};

use super::clock::SimClock;

const SOURCES: &str = r#"
[[source]]
name = "app"
environment = "prod"
write_key = "app"
transforms = []
[[source]]
name = "web"
environment = "prod"
write_key = "web"
transforms = []
"#;

/// The write keys; the sources are called after them, with `_prod`.
pub(super) const KEYS: [&str; 2] = ["app", "web"];
/// An event that the second source drops.
pub(super) const DROPPED: &str = "noise";
/// A user who is forgotten.
pub(super) const FORGOTTEN: &str = "gone";

const PACK: &str = "[[drop]]\nname = \"noise\"\nevents = [\"noise\"]\n";

/// Makes the writing pipeline of a process.
pub(super) fn ingest(journal: Arc<dyn Journal>, clock: &Arc<SimClock>, books: &Books) -> Ingest {
    let config = config::parse(SOURCES, Path::new("sim.toml"), &Environment::new()).unwrap();
    let sources = Sources::new(&config.sources);
    let pseudonyms = Pseudonyms::new(b"0123456789abcdef0123456789abcdef", 1).unwrap();
    let suppression = Suppression::read(FORGOTTEN, &pseudonyms);
    let pack = Stage::Pack(Arc::new(Pack::compile("sim", PACK).unwrap()));
    let chains = Chains::from_iter([
        ("app_prod".to_owned(), Arc::new(Chain::new(Vec::new()))),
        ("web_prod".to_owned(), Arc::new(Chain::new(vec![pack]))),
    ]);
    let services = Services {
        clock: Arc::<SimClock>::clone(clock) as Arc<dyn Clock>,
        ids: Arc::<SimClock>::clone(clock) as Arc<dyn IdSource>,
        journal,
        pseudonyms,
        limits: Limits {
            event_bytes_max: 4_096,
            batch_events_max: 100,
            rejected_bytes_max: 512,
            group_bytes_max: 3_900,
            clock_guard: ClockGuard {
                max_future: Duration::from_secs(86_400),
                min: Timestamp::from_micros(0),
            },
        },
        scripts: script::Limits::default(),
        rates: RateLimits::new(Arc::<SimClock>::clone(clock), sources.list()),
        books: books.clone(),
        counts: Arc::default(),
    };
    Ingest::new(services, Live { sources: Arc::new(sources), chains, suppression }, 2).unwrap()
}

/// Posts a batch for the source with this key.
pub(super) async fn submit(
    ingest: &Ingest,
    key: &str,
    body: String,
    deadline: Duration,
) -> Result<Accepted, Refusal> {
    let source = ingest.live().sources.by_write_key(key).cloned().unwrap();
    let permit = Budget::new(1 << 20).take(body.len()).unwrap();
    let submission = Submission {
        credential: Credential::Known(source),
        form: Form::Batch,
        body: Bytes::from(body),
        client_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
        deadline,
        permit,
    };
    ingest.submit(submission).await
}
