//! Thrift's compact protocol, as far as Parquet's metadata needs it: written, never read.

/// The type of a field or of a list's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::columnar) enum Kind {
    I16 = 4,
    I32 = 5,
    I64 = 6,
    Binary = 8,
    List = 9,
    Struct = 12,
}

/// Appends structures to bytes; fields in ascending order of their ids.
#[derive(Debug)]
pub(in crate::columnar) struct Thrift<'o> {
    out: &'o mut Vec<u8>,
    /// Id of the field before in the open structure.
    last: u8,
}

/// The structure around the one that was opened.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(in crate::columnar) struct Above(u8);

impl<'o> Thrift<'o> {
    /// Starts within a structure.
    pub(in crate::columnar) const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, last: 0 }
    }

    fn field(&mut self, id: u8, kind: u8) {
        // Ids of Parquet's fields lie less than 15 apart.
        self.out.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    /// A small integer.
    pub(in crate::columnar) fn i16(&mut self, id: u8, value: i16) {
        self.field(id, Kind::I16 as u8);
        varint(self.out, zigzag(i64::from(value)));
    }

    /// An integer or an enumeration's number.
    pub(in crate::columnar) fn i32(&mut self, id: u8, value: i32) {
        self.field(id, Kind::I32 as u8);
        varint(self.out, zigzag(i64::from(value)));
    }

    /// A large integer.
    pub(in crate::columnar) fn i64(&mut self, id: u8, value: u64) {
        self.field(id, Kind::I64 as u8);
        varint(self.out, zigzag(value.cast_signed()));
    }

    /// A truth value.
    pub(in crate::columnar) fn bool(&mut self, id: u8, value: bool) {
        self.field(id, if value { 1 } else { 2 });
    }

    /// Bytes or text.
    pub(in crate::columnar) fn binary(&mut self, id: u8, value: &[u8]) {
        self.field(id, Kind::Binary as u8);
        self.bytes(value);
    }

    /// A list's element that is bytes or text.
    pub(in crate::columnar) fn bytes(&mut self, value: &[u8]) {
        varint(self.out, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// A list's element that is an integer.
    pub(in crate::columnar) fn number(&mut self, value: i32) {
        varint(self.out, zigzag(i64::from(value)));
    }

    /// The head of a list; its `len` elements follow.
    pub(in crate::columnar) fn list(&mut self, id: u8, of: Kind, len: usize) {
        self.field(id, Kind::List as u8);
        if len < 15 {
            self.out.push(len.to_le_bytes()[0] << 4 | of as u8);
        } else {
            self.out.push(0xf0 | of as u8);
            varint(self.out, len as u64);
        }
    }

    /// Opens a structure that is a field.
    pub(in crate::columnar) fn open(&mut self, id: u8) -> Above {
        self.field(id, Kind::Struct as u8);
        self.element()
    }

    /// Opens a structure that is a list's element.
    pub(in crate::columnar) const fn element(&mut self) -> Above {
        let above = Above(self.last);
        self.last = 0;
        above
    }

    /// Ends the open structure.
    pub(in crate::columnar) fn close(&mut self, above: Above) {
        self.out.push(0);
        self.last = above.0;
    }

    /// An empty structure that is a field: a union's choice.
    pub(in crate::columnar) fn choice(&mut self, id: u8) {
        let above = self.open(id);
        self.close(above);
    }

    /// Structures that were written elsewhere.
    pub(in crate::columnar) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Ends the outermost structure.
    pub(in crate::columnar) fn end(self) {
        self.out.push(0);
    }
}

/// Appends a number of seven bits a byte, the lowest first.
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Small numbers of either sign as small numbers.
pub(super) const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}
