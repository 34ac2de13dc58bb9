//! `loadtest verify`: conservation of a lake, and the books that the running server shows.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::cli::VerifyArgs;
use crate::client::{self, Address};
use crate::lake::verify::{self, Report};
use crate::metrics;

/// Verifies the lake, and the books of a running server if its admin address is given.
///
/// # Errors
/// When something cannot be read; what is wrong is in the report.
pub(crate) async fn run(args: &VerifyArgs) -> anyhow::Result<Report> {
    let ledgers: Vec<&Path> = args.ledger.iter().map(AsRef::as_ref).collect();
    let verified = || verify::verify(&args.lake, &ledgers, &args.without);
    let Some(admin) = &args.admin else { return verified() };
    let address = Address::resolve(admin, &args.trust).await?;
    let before = shown(&address).await?;
    let mut report = verified()?;
    let after = shown(&address).await?;
    report.faults.extend(metrics::faults_of_books(&before));
    let books = report.books.unwrap_or_default();
    report.faults.extend(metrics::faults_against(&before, &after, &books, report.writers));
    Ok(report)
}

/// What the server's metrics say.
async fn shown(address: &Address) -> anyhow::Result<String> {
    let answer = client::get(address, "/metrics", Duration::from_secs(5)).await?;
    String::from_utf8(answer.body).context("read /metrics")
}
