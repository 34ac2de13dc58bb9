//! The quick way over values that nothing is to be done for, which are most of an event's: no
//! state is touched, nothing is called that could be left out.

use super::super::detect;
use super::super::scratch::{Frame, Member};
use super::{SHORTEST, Walk, may_be_json};
use crate::event::{IDENTITY, Kind, Token};

impl Walk<'_, '_> {
    /// Passes over the values from token `at` on that stay as they are; returns the first one of
    /// the same container that has to be looked at closely, or the token behind the container.
    #[inline]
    pub(super) fn skim(&self, at: u32, frame: Frame, at_top: bool) -> u32 {
        let row = self.memo.row(frame.member.state());
        let tokens = self.tape.tokens().get(at as usize..frame.end as usize);
        let edits = self.edits.noted(at, frame.end);
        let stays = |&(token, &edit): &(&Token, &u32)| {
            let member = match frame.is_object {
                true => row.get(token.key.index()).copied().unwrap_or(Member::UNKNOWN),
                false => frame.member,
            };
            // One that nobody asked for yet counts as dirty.
            !token.kind.is_container()
                && !member.is_dirty()
                && edit == 0
                && (member.is_idle()
                    || member.is_idle_if_short() && self.is_harmless(token, member, at_top))
        };
        let count = tokens.unwrap_or_default().iter().zip(edits).take_while(stays).count();
        at + u32::try_from(count).unwrap_or_default()
    }

    /// True for a scalar that no detector could find anything in.
    #[inline]
    fn is_harmless(&self, token: &Token, member: Member, at_top: bool) -> bool {
        let bytes = (token.end - token.start) as usize;
        match token.kind {
            Kind::String if bytes < SHORTEST as usize + 2 => true,
            Kind::String => {
                let text = self.tape.text().as_bytes();
                let text = text.get(token.start as usize + 1..token.end as usize - 1);
                let (text, want) =
                    (text.unwrap_or_default(), self.memo.decision(member.state()).find);
                token.is_plain()
                    && !(at_top && IDENTITY.contains(&token.key))
                    && !may_be_json(text)
                    && self.scratch.finder.is_harmless(text, want)
            }
            Kind::Number => bytes < detect::JSON_NUMBER_MIN,
            _ => true,
        }
    }
}
