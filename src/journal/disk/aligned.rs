//! A buffer whose bytes start at a block boundary in memory, as transfers past the page cache ask.

use super::{BLOCK, BLOCK_BYTES};

/// Fixed room for whole blocks; always initialised.
pub(super) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    room: usize,
}

impl Aligned {
    /// Room for at least `bytes`, zeroed.
    pub(super) fn new(bytes: usize) -> Self {
        let room = bytes.next_multiple_of(BLOCK).max(BLOCK);
        let bytes = vec![0; room + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { bytes, start, room }
    }

    pub(super) const fn room(&self) -> usize {
        self.room
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..self.start + self.room).unwrap_or_default()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.start + self.room).unwrap_or_default()
    }
}

impl std::fmt::Debug for Aligned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aligned").field("room", &self.room).finish_non_exhaustive()
    }
}

/// `bytes` and what is missing to a whole block.
pub(super) const fn whole_blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_a_block() {
        for bytes in [0, 1, 4096, 4097, 1 << 20] {
            let mut buffer = Aligned::new(bytes);
            assert!(buffer.as_slice().as_ptr().align_offset(BLOCK) == 0);
            assert!(buffer.as_mut_slice().len() >= bytes && buffer.room().is_multiple_of(BLOCK));
        }
    }
}
