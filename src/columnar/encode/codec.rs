//! The compressors, made once and used for every page: a zstd context costs 35-40 us to make, more
//! than most column chunks cost to compress.

use std::io;

use zstd::bulk::Compressor;

/// How a chunk is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::columnar) enum Codec {
    /// For chunks too small to repay more work.
    Snappy,
    /// For the others.
    Zstd,
}

impl Codec {
    /// Parquet's number for it.
    pub(in crate::columnar) const fn number(self) -> i32 {
        match self {
            Self::Snappy => 1,
            Self::Zstd => 6,
        }
    }
}

/// The level of zstd: higher ones take twice the time for a few percent.
const ZSTD_LEVEL: i32 = 1;

/// The compressors and what they write to.
pub(super) struct Codecs {
    zstd: Option<Compressor<'static>>,
    snappy: snap::raw::Encoder,
    out: Vec<u8>,
}

impl Default for Codecs {
    fn default() -> Self {
        Self { zstd: None, snappy: snap::raw::Encoder::new(), out: Vec::new() }
    }
}

impl std::fmt::Debug for Codecs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codecs").finish_non_exhaustive()
    }
}

impl Codecs {
    /// Bytes of the buffer.
    pub(super) fn size(&self) -> usize {
        self.out.capacity()
    }

    /// The page, compressed.
    ///
    /// # Errors
    /// What the compressor says; none that is known with as much room as is given.
    pub(super) fn compress(&mut self, codec: Codec, page: &[u8]) -> io::Result<&[u8]> {
        match codec {
            Codec::Snappy => {
                let most = snap::raw::max_compress_len(page.len());
                if self.out.len() < most {
                    self.out.resize(most, 0);
                }
                let written = self.snappy.compress(page, &mut self.out)?;
                Ok(self.out.get(..written).unwrap_or_default())
            }
            Codec::Zstd => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(Compressor::new(ZSTD_LEVEL)?),
                };
                self.out.clear();
                self.out.reserve(zstd::zstd_safe::compress_bound(page.len()));
                zstd.compress_to_buffer(page, &mut self.out)?;
                Ok(&self.out)
            }
        }
    }
}
