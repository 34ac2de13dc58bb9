//! The certificate of the public listener, as the configuration names it.

use crate::config::{Config, Finding};
use crate::http::tls::{Error, Pair};

/// Reads certificate and key; `None` where the listener is plain.
///
/// # Errors
/// Everything that is wrong, with the configuration's file and the key.
pub fn read(config: &Config) -> Result<Option<Pair>, Vec<Finding>> {
    let Some(options) = &config.http.tls else { return Ok(None) };
    let told = |error: Error| Finding::of_key(&config.file, "http.tls", error.to_string());
    Pair::read(options).map(Some).map_err(|errors| errors.into_iter().map(told).collect())
}
