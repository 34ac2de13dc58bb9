//! keelrow, an event gateway: SDK events in, personal data out, columnar files for any warehouse.
//!
//! Layers, lowest first; a module uses only what stands above its own line here, see
//! ARCHITECTURE.md:
//!
//! 0. `config`, `clock`, `outcome`, `units`, `metrics`
//! 1. `event`, `source`, `transform`, `record`, `warehouse`, `unified`: pure, no IO
//! 2. `journal`, `storage`, `columnar`, `limits`, `script`: mechanism, no meaning of events
//! 3. `ingest`, `loader`: the two pipelines, which meet only at the journal
//! 4. `http`
//! 5. `app`, `cli`: composition; `dbt`, `sql`: text for it

pub mod app;
pub mod cli;
pub mod clock;
pub mod columnar;
pub mod config;
pub mod dbt;
pub mod event;
pub mod http;
pub mod ingest;
pub mod journal;
pub mod limits;
pub mod loader;
pub mod metrics;
pub mod outcome;
pub mod record;
pub mod script;
pub mod source;
pub mod sql;
pub mod storage;
pub mod transform;
pub mod unified;
pub mod units;
pub mod warehouse;
