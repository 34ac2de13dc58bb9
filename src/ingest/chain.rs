//! A source's transformations in the order named: rule packs and scripts.

use std::sync::Arc;

use crate::event::{Edits, Node};
use crate::script::Script;
use crate::transform::{self, Pack, Pseudonyms, Verdict};

/// One transformation.
#[derive(Clone, Debug)]
pub enum Stage {
    /// A rule pack, which notes edits.
    Pack(Arc<Pack>),
    /// A script, which takes and gives JSON.
    Script(Arc<Script>),
}

/// All transformations of a source.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Packs before the first script: they run on the request's own bytes.
    leading: Vec<Arc<Pack>>,
    /// What comes after them.
    rest: Vec<Stage>,
}

impl Chain {
    /// The stages in order.
    #[must_use]
    pub fn new(stages: Vec<Stage>) -> Self {
        let mut chain = Self::default();
        for stage in stages {
            match stage {
                Stage::Pack(pack) if chain.rest.is_empty() => chain.leading.push(pack),
                stage => chain.rest.push(stage),
            }
        }
        chain
    }

    /// What runs after the leading packs.
    #[must_use]
    pub fn rest(&self) -> &[Stage] {
        &self.rest
    }

    /// True if what happens to an event may hang on the consent it came with.
    #[must_use]
    pub fn asks_for_consent(&self) -> bool {
        let of_rest = self.rest.iter().any(|stage| match stage {
            Stage::Pack(pack) => pack.asks_for_consent(),
            Stage::Script(_) => true,
        });
        of_rest || self.leading.iter().any(|pack| pack.asks_for_consent())
    }

    /// Runs the leading packs.
    pub fn apply_leading(
        &self,
        scratch: &mut transform::Scratch,
        event: Node<'_>,
        edits: &mut Edits,
        pseudonyms: &Pseudonyms,
    ) -> Verdict {
        apply(&self.leading, scratch, event, edits, pseudonyms)
    }

    /// All stages in order.
    pub fn stages(&self) -> impl Iterator<Item = Stage> {
        let leading = self.leading.iter().map(|pack| Stage::Pack(Arc::clone(pack)));
        leading.chain(self.rest.iter().cloned())
    }
}

fn apply<'a>(
    packs: impl IntoIterator<Item = &'a Arc<Pack>>,
    scratch: &mut transform::Scratch,
    event: Node<'_>,
    edits: &mut Edits,
    pseudonyms: &Pseudonyms,
) -> Verdict {
    for pack in packs {
        let verdict = pack.apply(scratch, event, edits, pseudonyms);
        if verdict != Verdict::Keep {
            return verdict;
        }
    }
    Verdict::Keep
}
