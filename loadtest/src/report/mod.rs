//! What is told after a run: a result as JSON, as a table for a terminal, and as one HTML file with
//! its plots inside.

mod html;
mod plot;
mod result;

pub(crate) use html::page;
pub(crate) use result::{RunReport, Settled, Step, run_text};
