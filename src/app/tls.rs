//! The certificate of the public listener, as the configuration names it.

use crate::config::Config;
use crate::http::tls::Pair;

/// Reads certificate and key; `None` where the listener is plain.
///
/// # Errors
/// Everything that is wrong, a line each, with the configuration's file and the key.
pub fn read(config: &Config) -> Result<Option<Pair>, Vec<String>> {
    let Some(options) = &config.http.tls else { return Ok(None) };
    let told = |error| format!("{}: http.tls: {error}", config.file.display());
    Pair::read(options).map(Some).map_err(|errors| errors.into_iter().map(told).collect())
}
