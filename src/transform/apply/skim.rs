//! The quick way through an event: over values that nothing is to be done for, which are most of
//! them, into containers and out of them. Nothing is called that could be left out.

use super::super::detect::{self, Finder, Set};
use super::super::scratch::{Frame, Member};
use super::{SHORTEST, Walk};
use crate::event::{IDENTITY, Kind, Tape, Token};

impl Walk<'_, '_> {
    /// Goes on from token `at` over all that stays as it is, and returns the first value that has
    /// to be looked at closely; its container is the last frame. When there is no frame above
    /// `base` any more, all has been seen.
    pub(super) fn skim(&mut self, mut at: u32, base: usize, is_event: bool) -> u32 {
        let tokens = self.tape.tokens();
        let frames = &mut self.scratch.frames;
        while let Some(frame) = frames.get(base..).and_then(<[Frame]>::last) {
            let (end, of_each) = (frame.end, frame.member);
            let row = frame.is_object.then(|| self.memo.row(of_each.state()));
            let at_top = is_event && frames.len() == base + 1;
            let edits = self.edits.noted(at, end);
            let values = tokens.get(at as usize..end as usize).unwrap_or_default();
            if edits.len() != values.len() {
                return at;
            }
            let mut into = None;
            for (token, &edit) in values.iter().zip(edits) {
                let member = match row {
                    Some(row) => row.get(token.key.index()).copied().unwrap_or(Member::UNKNOWN),
                    None => of_each,
                };
                // One that nobody asked for yet counts as dirty.
                if member.is_dirty() || edit != 0 {
                    return at;
                }
                let identity = at_top && IDENTITY.contains(&token.key);
                if token.kind.is_container() {
                    // An identity field is looked at as a whole.
                    if !(member.is_idle() || member.is_idle_if_short() && !identity) {
                        return at;
                    }
                    if token.next > at + 1 {
                        into = Some(Frame::of(token, at, member));
                        break;
                    }
                } else if !member.is_idle() {
                    let mut want = self.memo.find(member.state());
                    if identity {
                        want = want.and(self.pack.identity);
                    }
                    let finder = &mut self.scratch.finder;
                    if !member.is_idle_if_short() || !holds_nothing(self.tape, token, want, finder)
                    {
                        return at;
                    }
                }
                at += 1;
            }
            match into {
                Some(frame) => {
                    frames.push(frame);
                    at += 1;
                }
                None => drop(frames.pop()),
            }
        }
        at
    }
}

/// True for a scalar in which the detectors find nothing, and that needs no reading first.
#[inline]
fn holds_nothing(tape: Tape<'_>, token: &Token, want: Set, finder: &mut Finder) -> bool {
    let bytes = (token.end - token.start) as usize;
    match token.kind {
        // The quotes count.
        Kind::String if bytes < SHORTEST as usize + 2 => true,
        Kind::String => {
            let text = tape.text().get(token.start as usize + 1..token.end as usize - 1);
            let text = text.unwrap_or_default();
            // What starts like this may be JSON.
            let starts =
                matches!(text.as_bytes().first(), Some(b'{' | b'[' | b' ' | b'\n' | b'\r' | b'\t'));
            token.is_plain() && !starts && finder.is_clean(text, want)
        }
        Kind::Number => bytes < detect::JSON_NUMBER_MIN,
        _ => true,
    }
}
