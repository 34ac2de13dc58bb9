//! What a new configuration changes that a running program cannot take over.

use super::options::Config;

/// A key, and whether it differs between two configurations.
type Key = (&'static str, fn(&Config, &Config) -> bool);

macro_rules! keys {
    ($($name:literal: $($field:ident).+ $(=> $of:ident)?;)*) => {
        &[$(($name, |old, new| old.$($field).+ $(.$of())? != new.$($field).+ $(.$of())?)),*]
    };
}

/// The keys that count only after a restart.
pub(super) const RESTART: &[Key] = keys! {
    "node.name": node.name;
    "http.listen": http.listen;
    "http.admin_listen": admin.listen;
    "http.admin_token": admin.token;
    "http.max_in_flight": http.max_in_flight;
    "http.max_event": http.max_event;
    "http.max_batch_events": http.max_batch_events;
    "http.max_connections": http.max_connections;
    "http.header_timeout": http.header_timeout;
    "http.idle_timeout": http.idle_timeout;
    // Other files are taken over, like other content of the same.
    "http.tls": http.tls => is_some;
    "journal": journal;
    "storage": storage;
    "load": load;
    "dedup": dedup;
    "clock": clock;
    "scripts": scripts;
    "privacy.key_file": privacy.key_file;
    "privacy.key": privacy.key;
    "privacy.key_id": privacy.key_id;
    "shutdown.deadline": shutdown.deadline;
};

/// The keys that differ between `running`, what the program was started with, and `new`, and that
/// count only after a restart; everything else is taken over at once. Empty means that all of `new`
/// is in force after a reload.
#[must_use]
pub fn needs_restart(running: &Config, new: &Config) -> Vec<&'static str> {
    RESTART.iter().filter(|(_, differs)| differs(running, new)).map(|(key, _)| *key).collect()
}
