//! Changes noted against a tape, and the writer that makes the changed text.
//!
//! Enrichment and transformations note what is to go, to be replaced or to be added; nothing moves
//! until [`Edits::write`] copies the unchanged spans and writes the changes between them. A reader
//! that comes after another's edits asks [`Edits::value`] for what stands there now.

use super::keys::{KeyId, known};
use super::runs;
use super::tape::{KEY_DIRTY, Node, SHADOWED, Tape};
use super::text;

/// A value as it stands after the edits so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'e> {
    /// As the tape has it.
    Unchanged,
    /// Taken out, key and all.
    Removed,
    /// Replaced by this JSON text.
    Replaced(&'e str),
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Edit {
    token: u32,
    removed: bool,
    value: Option<Span>,
    key: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Insert {
    object: u32,
    key: Span,
    known: KeyId,
    /// The whole member as it is written, with a comma behind it.
    member: Span,
    value: Span,
    removed: bool,
}

/// The changes to one value of a tape (an event, or a whole body). Reuse it: `begin` clears it.
#[derive(Debug, Default)]
pub struct Edits {
    first: u32,
    /// For each token of the value: 1 + its index in `list`, or 0.
    by_token: Vec<u32>,
    list: Vec<Edit>,
    inserts: Vec<Insert>,
    arena: String,
    sorted: bool,
}

/// A member that an edit added to an object.
#[derive(Clone, Copy, Debug)]
pub struct Inserted<'e> {
    /// Its place in the list of inserts.
    pub number: usize,
    /// The token of the object it was added to.
    pub object: u32,
    /// Its key's id when the gateway knows the key, else [`KeyId::NONE`].
    pub key_id: KeyId,
    /// Its key.
    pub key: &'e str,
    /// Its value as JSON text.
    pub value: &'e str,
}

impl Edits {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything and turns to `node`; takes over the tape's own fixups inside it, so that
    /// shadowed members, NUL and lone surrogates never reach what is written.
    pub fn begin(&mut self, node: Node<'_>) {
        let token = node.token();
        self.first = node.index();
        self.by_token.clear();
        self.by_token.resize((token.next - node.index()) as usize, 0);
        self.list.clear();
        self.inserts.clear();
        self.arena.clear();
        self.sorted = true;
        let fixups = node.tape().fixups();
        let from = fixups.partition_point(|&at| at < node.index());
        for &at in fixups.iter().skip(from).take_while(|&&at| at < token.next) {
            self.take_fixup(node.tape().node(at));
        }
    }

    fn take_fixup(&mut self, node: Node<'_>) {
        if node.token().flags & SHADOWED != 0 {
            return self.remove(node.index());
        }
        if node.token().flags & KEY_DIRTY != 0 {
            self.rename(node.index(), node.key());
        }
        if !node.is_clean()
            && let Some(text) = node.text()
        {
            self.replace_with_string(node.index(), &text);
        }
    }

    /// True if nothing is changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty() && self.inserts.is_empty()
    }

    /// For each of the tokens from `from` to `to`, other than 0 if anything is noted for it.
    #[must_use]
    pub fn noted(&self, from: u32, to: u32) -> &[u32] {
        let place = |token: u32| token.wrapping_sub(self.first) as usize;
        self.by_token.get(place(from)..place(to)).unwrap_or_default()
    }

    /// What stands at `token` now. Does not look at the containers around it.
    #[must_use]
    pub fn value(&self, token: u32) -> Value<'_> {
        match self.edit(token) {
            None => Value::Unchanged,
            Some(edit) if edit.removed => Value::Removed,
            Some(Edit { value: Some(span), .. }) => Value::Replaced(self.text(*span)),
            Some(_) => Value::Unchanged,
        }
    }

    /// The key that `token` was given instead of its own.
    #[must_use]
    pub fn renamed(&self, token: u32) -> Option<&str> {
        self.edit(token).and_then(|edit| edit.key).map(|span| self.text(span))
    }

    fn edit(&self, token: u32) -> Option<&Edit> {
        let slot = *self.by_token.get(token.checked_sub(self.first)? as usize)?;
        self.list.get((slot as usize).checked_sub(1)?)
    }

    fn edit_mut(&mut self, token: u32) -> &mut Edit {
        let at = (token - self.first) as usize;
        if self.by_token[at] == 0 {
            self.sorted = self.sorted && self.list.last().is_none_or(|last| last.token < token);
            self.list.push(Edit { token, ..Edit::default() });
            self.by_token[at] = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        }
        let slot = self.by_token[at] as usize - 1;
        &mut self.list[slot]
    }

    /// Takes the value out of its container, with its key.
    pub fn remove(&mut self, token: u32) {
        self.edit_mut(token).removed = true;
    }

    /// Puts the JSON text `json` in the value's place.
    pub fn replace(&mut self, token: u32, json: &str) {
        let span = self.keep(json);
        self.edit_mut(token).value = Some(span);
    }

    /// Puts a string in the value's place.
    pub fn replace_with_string(&mut self, token: u32, text: &str) {
        let span = self.keep_string(text);
        self.edit_mut(token).value = Some(span);
    }

    /// Gives the member another key. The caller sees to it that no other member has it.
    pub fn rename(&mut self, token: u32, key: &str) {
        let span = self.keep(key);
        self.edit_mut(token).key = Some(span);
    }

    /// Adds a member to the object at token `object`, which must not have that key.
    pub fn insert(&mut self, object: u32, key: &str, known: KeyId, json: &str) {
        let (key, start) = self.begin_member(key, known);
        let value = self.keep(json);
        self.end_member(Insert { object, key, known, member: start, value, removed: false });
    }

    /// Adds a member with a string value.
    pub fn insert_string(&mut self, object: u32, key: &str, known: KeyId, text: &str) {
        let (key, start) = self.begin_member(key, known);
        let value = self.keep_string(text);
        self.end_member(Insert { object, key, known, member: start, value, removed: false });
    }

    /// Writes the start of a member; where its key is, and the place where the member begins.
    fn begin_member(&mut self, key: &str, known: KeyId) -> (Span, Span) {
        if let Some(spelled) = known::spelled(known) {
            let member = self.keep(spelled);
            return (Span { start: member.start + 1, end: member.end - 2 }, member);
        }
        let key_span = self.keep(key);
        let member = self.keep_string(key);
        self.arena.push(':');
        (key_span, member)
    }

    fn end_member(&mut self, mut insert: Insert) {
        self.arena.push(',');
        insert.member.end = self.here();
        self.inserts.push(insert);
    }

    /// How many members were added, those taken out again among them.
    #[must_use]
    pub const fn inserts(&self) -> usize {
        self.inserts.len()
    }

    /// The object and the key of the added member `number`, if it was not taken out again.
    #[must_use]
    pub fn place_of(&self, number: usize) -> Option<(u32, KeyId)> {
        let insert = self.inserts.get(number).filter(|insert| !insert.removed)?;
        Some((insert.object, insert.known))
    }

    /// The added member `number`, if it was not taken out again.
    #[must_use]
    pub fn inserted_at(&self, number: usize) -> Option<Inserted<'_>> {
        let insert = self.inserts.get(number).filter(|insert| !insert.removed)?;
        Some(Inserted {
            number,
            object: insert.object,
            key_id: insert.known,
            key: self.text(insert.key),
            value: self.text(insert.value),
        })
    }

    /// The members added so far, in order, without those taken out again.
    pub fn inserted(&self) -> impl Iterator<Item = Inserted<'_>> {
        (0..self.inserts.len()).filter_map(|number| self.inserted_at(number))
    }

    /// Replaces the value of the added member `number` with a string.
    pub fn replace_inserted(&mut self, number: usize, text: &str) {
        let Some(&insert) = self.inserts.get(number) else { return };
        let start = self.here();
        self.arena.extend_from_within(insert.member.start as usize..insert.value.start as usize);
        let value = self.keep_string(text);
        self.arena.push(',');
        let member = Span { start, end: self.here() };
        self.inserts[number] = Insert { member, value, ..insert };
    }

    /// Takes the added member `number` out again.
    pub fn remove_inserted(&mut self, number: usize) {
        if let Some(insert) = self.inserts.get_mut(number) {
            insert.removed = true;
        }
    }

    /// Sets the member `key` of the object at `object` (an object on the tape) to a string,
    /// whether it is there, removed or missing.
    pub fn set_string(&mut self, object: Node<'_>, key: &str, known: KeyId, text: &str) {
        let member = if known == KeyId::NONE { object.get(key) } else { object.member(known) };
        self.set_member((object.index(), member), key, known, text);
    }

    /// The same for the object at a token, of which the member with that key is at hand.
    pub fn set_member(
        &mut self,
        (object, member): (u32, Option<Node<'_>>),
        key: &str,
        known: KeyId,
        text: &str,
    ) {
        let earlier = self.inserts.iter().position(|insert| {
            let same = if known == KeyId::NONE || insert.known == KeyId::NONE {
                self.text(insert.key) == key
            } else {
                insert.known == known
            };
            insert.object == object && same
        });
        if let Some(number) = earlier {
            self.replace_inserted(number, text);
            self.inserts[number].removed = false;
            return;
        }
        match member {
            Some(member) => {
                self.replace_with_string(member.index(), text);
                self.edit_mut(member.index()).removed = false;
            }
            None => self.insert_string(object, key, known, text),
        }
    }

    fn here(&self) -> u32 {
        u32::try_from(self.arena.len()).unwrap_or(u32::MAX)
    }

    fn keep(&mut self, text: &str) -> Span {
        let start = self.here();
        self.arena.push_str(text);
        Span { start, end: self.here() }
    }

    fn keep_string(&mut self, text: &str) -> Span {
        let plain = runs::plain_run(text.as_bytes()) == text.len();
        let start = self.here();
        if plain {
            self.arena.push('"');
            self.arena.push_str(text);
            self.arena.push('"');
        } else {
            let mut out = Vec::with_capacity(text.len() + 8);
            text::write_string(text, &mut out);
            self.arena.push_str(&String::from_utf8(out).unwrap_or_default());
        }
        Span { start, end: self.here() }
    }

    fn text(&self, span: Span) -> &str {
        self.arena.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Appends the text of `node`, the one that [`Edits::begin`] was given, with all changes made.
    pub fn write(&mut self, node: Node<'_>, out: &mut Vec<u8>) {
        let tape = node.tape();
        if !self.sorted {
            self.list.sort_unstable_by_key(|edit| edit.token);
            for (n, edit) in self.list.iter().enumerate() {
                let slot = u32::try_from(n + 1).unwrap_or(u32::MAX);
                self.by_token[(edit.token - self.first) as usize] = slot;
            }
            self.sorted = true;
        }
        if !self.inserts.is_sorted_by_key(|insert| insert.object) {
            self.inserts.sort_by_key(|insert| insert.object);
        }
        let root = node.token();
        let mut writer = Writer { tape, from: root.start as usize, out };
        let (mut edits, mut inserts) = (self.list.iter().peekable(), &self.inserts[..]);
        // Tokens below this one lie in something already written or left out.
        let mut done = 0;
        loop {
            let next_edit = edits.peek().map_or(u32::MAX, |edit| edit.token);
            let next_insert = inserts.first().map_or(u32::MAX, |insert| insert.object);
            if next_edit == u32::MAX && next_insert == u32::MAX {
                break;
            }
            if next_edit <= next_insert {
                let edit = edits.next();
                if let Some(edit) = edit.filter(|edit| edit.token >= done) {
                    done = self.write_edit(*edit, node.index(), &mut writer).max(done);
                }
            } else {
                let group = inserts;
                let (group, rest) =
                    group.split_at(group.partition_point(|insert| insert.object == next_insert));
                inserts = rest;
                if next_insert >= done {
                    self.write_inserts(next_insert, group, &mut writer);
                }
            }
        }
        writer.copy_to(root.end as usize);
    }

    /// Writes one edit; returns the first token that is still to be looked at.
    fn write_edit(&self, edit: Edit, root: u32, writer: &mut Writer<'_, '_>) -> u32 {
        let token = writer.tape.tokens()[edit.token as usize];
        let removable = edit.token != root;
        if edit.removed && removable {
            writer.copy_to(token.key_start as usize);
            writer.leave_out(token.end as usize);
            return token.next;
        }
        if let Some(key) = edit.key {
            writer.copy_to(token.key_start as usize);
            text::write_string(self.text(key), writer.out);
            writer.out.push(b':');
            writer.from = token.start as usize;
        }
        if let Some(value) = edit.value {
            writer.copy_to(token.start as usize);
            writer.out.extend_from_slice(self.text(value).as_bytes());
            writer.from = token.end as usize;
            return token.next;
        }
        edit.token
    }

    fn write_inserts(&self, object: u32, group: &[Insert], writer: &mut Writer<'_, '_>) {
        let token = writer.tape.tokens()[object as usize];
        writer.copy_to(token.start as usize + 1);
        // Members that were added one after the other are written at once.
        let mut run: Option<Span> = None;
        for insert in group.iter().filter(|insert| !insert.removed) {
            match &mut run {
                Some(run) if run.end == insert.member.start => run.end = insert.member.end,
                _ => {
                    let before = run.replace(insert.member);
                    before.into_iter().for_each(|run| self.write_text(run, writer));
                }
            }
        }
        let Some(run) = run else { return };
        self.write_text(run, writer);
        // A comma stays before the first member; where that one is removed as the last of all, the
        // writer takes the comma back.
        if token.next == object + 1 {
            writer.out.pop();
        }
    }

    fn write_text(&self, span: Span, writer: &mut Writer<'_, '_>) {
        writer.out.extend_from_slice(self.text(span).as_bytes());
    }
}

struct Writer<'t, 'o> {
    tape: Tape<'t>,
    from: usize,
    out: &'o mut Vec<u8>,
}

impl Writer<'_, '_> {
    fn copy_to(&mut self, to: usize) {
        let bytes = self.tape.text().as_bytes();
        self.out.extend_from_slice(bytes.get(self.from..to).unwrap_or_default());
        self.from = self.from.max(to);
    }

    /// Passes over a value that ends at `end` and one of the commas beside it.
    fn leave_out(&mut self, end: usize) {
        let bytes = self.tape.text().as_bytes();
        let space = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t'));
        let mut at = end;
        while space(at) {
            at += 1;
        }
        if bytes.get(at) == Some(&b',') {
            at += 1;
            while space(at) {
                at += 1;
            }
        } else {
            // The last one: the comma to go is the one already written, if there is any.
            while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.out.last() {
                self.out.pop();
            }
            if self.out.last() == Some(&b',') {
                self.out.pop();
            }
        }
        self.from = at;
    }
}

/// The ids of an event in the order that matters to the gateway, kept beside [`known`].
pub const IDENTITY: [KeyId; 5] =
    [known::USER_ID, known::ANONYMOUS_ID, known::PREVIOUS_ID, known::GROUP_ID, known::MESSAGE_ID];
