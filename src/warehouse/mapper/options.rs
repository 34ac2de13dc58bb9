//! What an event says about its own layout, under `integrations.<PROVIDER>.options`.

use crate::event::{Kind, Node, known};
use crate::warehouse::{Dialect, JsonPaths};

use super::standard::Members;

/// An event's own choices; only a real `true` counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventOptions {
    pub(super) skip_reserved: bool,
    pub(super) skip_tracks: bool,
    pub(super) skip_users: bool,
    pub(super) blendo: bool,
}

/// Reads the choices, and the paths the event wants kept as JSON into `paths`.
pub(super) fn read(
    event: Node<'_>,
    members: &Members,
    dialect: Dialect,
    paths: &mut JsonPaths,
) -> EventOptions {
    if !paths.is_empty() {
        *paths = JsonPaths::default();
    }
    let mut options = EventOptions::default();
    let Some(integrations) = members.get(event, known::INTEGRATIONS) else { return options };
    for integration in integrations.children().filter(|child| child.kind() == Kind::Object) {
        let name = integration.key();
        if name != dialect.provider() && name != "DATA_WAREHOUSE" {
            continue;
        }
        let Some(chosen) = integration.get("options") else { continue };
        if name == dialect.provider() {
            let is = |key: &str| chosen.get(key).is_some_and(|value| value.kind() == Kind::True);
            options = EventOptions {
                skip_reserved: is("skipReservedKeywordsEscaping"),
                skip_tracks: is("skipTracksTable"),
                skip_users: is("skipUsersTable"),
                blendo: is("useBlendoCasing"),
            };
        }
        if let Some(list) = chosen.get("jsonPaths").filter(|list| list.kind() == Kind::Array) {
            list.children().filter_map(Node::text).for_each(|path| paths.add(&path));
        }
    }
    options
}
