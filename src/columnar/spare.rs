//! Buffers of columns that were written, kept for the next ones: tables are written one after the
//! other, so that those of one table do for all, and memory is not given back and cleared again.

/// Buffers that are kept of each sort, and bytes of all of a sort.
const BUFFERS_MAX: usize = 1_024;
const BYTES_MAX: usize = 16 << 20;

/// Empty buffers of both sorts.
#[derive(Debug, Default)]
pub(super) struct Spare {
    numbers: Pool<u32>,
    bits: Pool<i64>,
}

impl Spare {
    /// A buffer for the numbers of so many texts.
    pub(super) fn numbers(&mut self, len: usize) -> Vec<u32> {
        self.numbers.take(len)
    }

    /// A buffer for so many values of 64 bits.
    pub(super) fn bits(&mut self, len: usize) -> Vec<i64> {
        self.bits.take(len)
    }

    /// Takes the buffers of a column back.
    pub(super) fn keep(&mut self, numbers: Vec<u32>, bits: Vec<i64>) {
        self.numbers.keep(numbers);
        self.bits.keep(bits);
    }
}

#[derive(Debug)]
struct Pool<T> {
    /// The smallest first.
    buffers: Vec<Vec<T>>,
    bytes: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { buffers: Vec::new(), bytes: 0 }
    }
}

impl<T> Pool<T> {
    /// The smallest buffer that is large enough.
    fn take(&mut self, len: usize) -> Vec<T> {
        let at = self.buffers.partition_point(|buffer| buffer.capacity() < len);
        if at == self.buffers.len() {
            // The largest is given up for it, so that what is kept comes to fit what is asked for.
            // Growing it would copy what is no value any more.
            drop(self.pop(at.wrapping_sub(1)));
            return Vec::with_capacity(len);
        }
        self.pop(at).unwrap_or_default()
    }

    fn pop(&mut self, at: usize) -> Option<Vec<T>> {
        let buffer = (at < self.buffers.len()).then(|| self.buffers.remove(at))?;
        self.bytes = self.bytes.saturating_sub(buffer.capacity() * size_of::<T>());
        Some(buffer)
    }

    fn keep(&mut self, mut buffer: Vec<T>) {
        let bytes = buffer.capacity() * size_of::<T>();
        if bytes > 0 && self.buffers.len() < BUFFERS_MAX && self.bytes + bytes <= BYTES_MAX {
            buffer.clear();
            self.bytes += bytes;
            let at = self.buffers.partition_point(|kept| kept.capacity() < buffer.capacity());
            self.buffers.insert(at, buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_large_enough() {
        let mut spare = Spare::default();
        spare.keep(vec![1, 2, 3], Vec::new());
        let buffer = spare.numbers(2);
        assert!(buffer.is_empty() && buffer.capacity() >= 3);
        spare.keep(buffer, vec![1; 10]);
        assert!(spare.numbers(100).capacity() >= 100);
        assert!(spare.numbers.buffers.is_empty() && spare.numbers.bytes == 0);
        for _ in 0..3 {
            spare.keep(Vec::new(), Vec::with_capacity(BYTES_MAX / 16));
        }
        assert_eq!(spare.bits.buffers.len(), 2, "one more would be too much");
    }
}
