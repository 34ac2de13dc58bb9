//! The statistics of a chunk: nulls, least and most, in the order of the column's type.

use crate::columnar::texts::Texts;

use super::thrift::Thrift;

/// Longest bound that is kept of a text, in bytes; a longer one is cut to a bound that is not exact.
const TEXT_BYTES_MAX: usize = 64;

/// Least and most, as plain values.
#[derive(Debug, Default)]
pub(in crate::columnar) struct Stats {
    nulls: usize,
    least: Option<Bound>,
    most: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    bytes: Vec<u8>,
    is_exact: bool,
}

impl Bound {
    fn exact(bytes: &[u8]) -> Option<Self> {
        Some(Self { bytes: bytes.to_vec(), is_exact: true })
    }
}

impl Stats {
    fn between(least: &[u8], most: &[u8]) -> Self {
        Self { nulls: 0, least: Bound::exact(least), most: Bound::exact(most) }
    }

    /// The same of a chunk with so many nulls.
    pub(super) fn with_nulls(self, nulls: usize) -> Self {
        Self { nulls, ..self }
    }

    /// Of integers and times.
    pub(super) fn of_slots(values: impl IntoIterator<Item = i64>) -> Self {
        match ends(values) {
            Some((least, most)) => Self::between(&least.to_le_bytes(), &most.to_le_bytes()),
            None => Self::default(),
        }
    }

    /// Of days, which are stored with half the bits.
    pub(super) fn of_dates(values: &[i64]) -> Self {
        match ends(values.iter().copied()) {
            Some((least, most)) => {
                Self::between(&least.to_le_bytes()[..4], &most.to_le_bytes()[..4])
            }
            None => Self::default(),
        }
    }

    /// Of truth values.
    pub(super) fn of_booleans(values: &[i64]) -> Self {
        match ends(values.iter().map(|value| i64::from(*value != 0))) {
            Some((least, most)) => {
                Self::between(&least.to_le_bytes()[..1], &most.to_le_bytes()[..1])
            }
            None => Self::default(),
        }
    }

    /// Of floats, given as their bits. A zero counts as negative at the lower end and as positive
    /// at the upper one, as Parquet asks.
    pub(super) fn of_floats(values: &[i64]) -> Self {
        let floats = || {
            let all = values.iter().map(|bits| f64::from_bits(bits.cast_unsigned()));
            all.filter(|float| !float.is_nan())
        };
        let (least, most) = (floats().reduce(f64::min), floats().reduce(f64::max));
        let (Some(least), Some(most)) = (least, most) else { return Self::default() };
        let least = if least == 0.0 { -0.0 } else { least };
        let most = if most == 0.0 { 0.0 } else { most };
        Self::between(&least.to_le_bytes(), &most.to_le_bytes())
    }

    /// Of texts, and the longest of them in bytes.
    pub(super) fn of_texts(numbers: &[u32], texts: &Texts) -> (Self, u64) {
        let mut all = numbers.iter().map(|number| texts.get(*number));
        let Some(first) = all.next() else { return (Self::default(), 0) };
        let (mut least, mut most, mut longest) = (first, first, first.len());
        for text in all {
            if text < least {
                least = text;
            } else if text > most {
                most = text;
            }
            longest = longest.max(text.len());
        }
        let stats = Self { nulls: 0, least: lower(least), most: upper(most) };
        (stats, longest as u64)
    }

    /// Writes them as a field of the chunk's metadata.
    pub(in crate::columnar) fn write(&self, id: u8, thrift: &mut Thrift<'_>) {
        let above = thrift.open(id);
        thrift.i64(3, self.nulls as u64);
        if let Some(most) = &self.most {
            thrift.binary(5, &most.bytes);
        }
        if let Some(least) = &self.least {
            thrift.binary(6, &least.bytes);
        }
        if let Some(most) = &self.most {
            thrift.bool(7, most.is_exact);
        }
        if let Some(least) = &self.least {
            thrift.bool(8, least.is_exact);
        }
        thrift.close(above);
    }
}

fn ends(values: impl IntoIterator<Item = i64>) -> Option<(i64, i64)> {
    let mut values = values.into_iter();
    let first = values.next()?;
    Some(values.fold((first, first), |(least, most), value| (least.min(value), most.max(value))))
}

/// The text or its beginning, which is less.
fn lower(text: &[u8]) -> Option<Bound> {
    if text.len() <= TEXT_BYTES_MAX {
        return Bound::exact(text);
    }
    let whole = std::str::from_utf8(text).ok()?;
    let cut = whole.floor_char_boundary(TEXT_BYTES_MAX);
    Some(Bound { bytes: text.get(..cut)?.to_vec(), is_exact: false })
}

/// The text, or its beginning with the last character that can be raised raised by one.
fn upper(text: &[u8]) -> Option<Bound> {
    let mut bound = lower(text)?;
    if bound.is_exact {
        return Some(bound);
    }
    let mut start = String::from_utf8(std::mem::take(&mut bound.bytes)).ok()?;
    while let Some(last) = start.pop() {
        let raised = (last..=char::MAX).nth(1);
        if let Some(raised) = raised.filter(|raised| raised.len_utf8() == last.len_utf8()) {
            start.push(raised);
            bound.bytes = start.into_bytes();
            return Some(bound);
        }
    }
    None
}
