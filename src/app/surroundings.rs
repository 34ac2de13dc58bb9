//! Whether the files that the configuration names are there and can be used, all told at once.

use std::error::Error;

use super::privacy_key;
use crate::config::Config;
use crate::http::tls;

/// What is wrong with them, a line each, with the key that names the file.
#[must_use]
pub fn faults(config: &Config) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |key: &str, error: &dyn Error| {
        let mut line = format!("{}: {key}: {error}", config.file.display());
        let mut source = error.source();
        while let Some(error) = source {
            line.push_str(": ");
            line.push_str(&error.to_string());
            source = error.source();
        }
        told.push(line);
    };
    if let Some(Err(error)) = config.http.tls.as_ref().map(tls::acceptor) {
        tell("http.tls", &error);
    }
    if let Err(error) = privacy_key::check(config) {
        let key = if config.privacy.key_file.is_some() { "key_file" } else { "key" };
        tell(&format!("privacy.{key}"), &error);
    }
    if let Some(path) = &config.privacy.suppression_file
        && let Err(error) = std::fs::read_to_string(path)
    {
        tell(&format!("privacy.suppression_file {}", path.display()), &error);
    }
    told
}
