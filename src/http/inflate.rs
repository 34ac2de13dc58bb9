//! Content encodings, undone through a cap.
//!
//! The only place where compressed bytes become more bytes. Output grows by steps; before each one
//! the cap is checked and the step is paid for, so a bomb costs what it was allowed to become.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::ingest::{Refusal, Trouble};
use crate::limits::Permit;

/// Output of one turn; between two turns other requests get theirs. So much inflates in well under a
/// millisecond.
const TURN: usize = 256 << 10;
/// What a decoder keeps of its own while it waits for its next turn: its window. Brotli's has up to
/// 16 MiB, zstd's what [`ZSTD_WINDOW_LOG_MAX`] says, deflate's 32 KiB.
const BROTLI_WINDOW: usize = 16 << 20;
const DEFLATE_WINDOW: usize = 64 << 10;
const ZSTD_WINDOW: usize = 1 << ZSTD_WINDOW_LOG_MAX;
/// The first room for output where nothing tells how much it will be.
const FIRST_ROOM: usize = 16 << 10;
/// A content encoding is undone at most so often; no client sends more than one.
const LAYERS_MAX: usize = 2;
/// Largest zstd window, as RFC 9659 has it for HTTP: 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings of a `Content-Encoding` header in the order they were applied, in any letter case.
///
/// # Errors
/// [`Refusal::UnreadableBody`] for one we do not know, or too many.
pub(super) fn codings<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Coding>, Refusal> {
    let mut out = Vec::new();
    for value in values {
        let value = std::str::from_utf8(value).map_err(|_| Refusal::UnreadableBody)?;
        for name in value.split(',') {
            out.push(match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Err(Refusal::UnreadableBody),
            });
        }
    }
    if out.len() > LAYERS_MAX { Err(Refusal::UnreadableBody) } else { Ok(out) }
}

/// Undoes `codings` on `body`, each result at most `cap` bytes, paid for by `permit`.
///
/// # Errors
/// [`Refusal::TooLarge`] past the cap, [`Refusal::UnreadableBody`] for damage,
/// [`Refusal::Unavailable`] where the memory for bodies is used up.
pub(super) async fn inflate(
    mut body: Bytes,
    codings: &[Coding],
    cap: usize,
    permit: &mut Permit,
) -> Result<Bytes, Refusal> {
    for coding in codings.iter().rev() {
        let packed = permit.held();
        let mut out = Output { bytes: Vec::new(), cap, window: DEFLATE_WINDOW, permit };
        match coding {
            Coding::Gzip => {
                out.expect(gzip_length(&body))?;
                out.read(MultiGzDecoder::new(&body[..])).await?;
            }
            Coding::Deflate => deflate(&body, &mut out).await?,
            Coding::Brotli => {
                out.window = BROTLI_WINDOW;
                out.read(brotli::Decompressor::new(&body[..], 4096)).await?;
            }
            Coding::Zstd => {
                out.window = ZSTD_WINDOW;
                out.read(zstd_reader(&body)?).await?;
            }
        }
        let bytes = out.bytes;
        // The packed form goes; the room of the new one stays paid for.
        permit.shrink_to(packed.saturating_sub(body.len()) + bytes.capacity());
        body = Bytes::from(bytes);
    }
    Ok(body)
}

/// The length that the end of a gzip file names; a claim, hence no more than deflate can make of it.
fn gzip_length(body: &[u8]) -> usize {
    const RATIO_MAX: usize = 1032;
    let claim = body.last_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    usize::try_from(claim).unwrap_or(usize::MAX).min(body.len().saturating_mul(RATIO_MAX))
}

/// Deflate is zlib by its definition and raw by habit; the two cannot be told apart for sure by the
/// first bytes, so the other reading is the fallback.
async fn deflate(body: &[u8], out: &mut Output<'_>) -> Result<(), Refusal> {
    let is_zlib = matches!(body, [first, second, ..]
        if first & 0x0f == 8 && ((u16::from(*first) << 8) | u16::from(*second)).is_multiple_of(31));
    if is_zlib {
        match out.read(ZlibDecoder::new(body)).await {
            Err(Refusal::UnreadableBody) => out.bytes.clear(),
            done => return done,
        }
    }
    out.read(DeflateDecoder::new(body)).await
}

#[expect(clippy::disallowed_types, reason = "this is the capped inflation that others are sent to")]
fn zstd_reader(body: &[u8]) -> Result<impl Read + Send + use<'_>, Refusal> {
    if body.is_empty() {
        // Without a frame there is nothing whose end could be missed.
        return Err(Refusal::UnreadableBody);
    }
    let open = || -> io::Result<zstd::Decoder<'static, &[u8]>> {
        let mut reader = zstd::Decoder::with_buffer(body)?;
        reader.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Ok(reader)
    };
    open().map_err(|_| Refusal::UnreadableBody)
}

/// Output that is paid for before it is there.
struct Output<'a> {
    bytes: Vec<u8>,
    cap: usize,
    window: usize,
    permit: &'a mut Permit,
}

impl Output<'_> {
    fn pay(&mut self, bytes: usize) -> Result<(), Refusal> {
        if self.permit.grow(bytes) { Ok(()) } else { Err(Refusal::Unavailable(Trouble::InFlight)) }
    }

    /// Makes room for `bytes`, or for one more than the cap.
    fn expect(&mut self, bytes: usize) -> Result<(), Refusal> {
        let room = bytes.saturating_add(1).min(self.cap.saturating_add(1));
        let more = room.saturating_sub(self.bytes.capacity());
        self.pay(more)?;
        self.bytes.reserve_exact(room.saturating_sub(self.bytes.len()));
        Ok(())
    }

    async fn read(&mut self, mut reader: impl Read + Send) -> Result<(), Refusal> {
        let mut waits = false;
        loop {
            if self.bytes.len() == self.bytes.capacity() {
                self.expect((self.bytes.capacity() * 2).max(FIRST_ROOM))?;
            }
            let room = (self.bytes.capacity() - self.bytes.len()).min(TURN);
            let limit = u64::try_from(room).unwrap_or(u64::MAX);
            let taken = reader.by_ref().take(limit).read_to_end(&mut self.bytes);
            let taken = taken.map_err(|_| Refusal::UnreadableBody)?;
            if self.bytes.len() > self.cap {
                return Err(Refusal::TooLarge);
            }
            if taken < room {
                return Ok(());
            }
            if taken == TURN {
                if !waits {
                    self.pay(self.window)?;
                    waits = true;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;
    use crate::limits::Budget;

    const CAP: usize = 1 << 20;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(body: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn br(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 22);
        encoder.write_all(body).unwrap();
        drop(encoder);
        out
    }

    fn zst(body: &[u8]) -> Vec<u8> {
        zstd::encode_all(body, 3).unwrap()
    }

    type Pack = fn(&[u8]) -> Vec<u8>;
    const ALL: [(&str, Pack); 5] =
        [("gzip", gzip), ("deflate", zlib), ("DEFLATE", raw), ("Br", br), ("zstd", zst)];

    async fn undo(name: &str, body: Vec<u8>, budget: &Budget) -> Result<Bytes, Refusal> {
        let mut permit = budget.take(body.len()).unwrap();
        let codings = codings([name.as_bytes()].into_iter())?;
        let out = inflate(body.into(), &codings, CAP, &mut permit).await?;
        assert!(permit.held() >= out.len() && permit.held() <= 2 * out.len() + FIRST_ROOM + 1);
        Ok(out)
    }

    #[tokio::test]
    async fn every_coding_gives_the_body_back() {
        let budget = Budget::new(64 << 20);
        let large = b"0123456789abcdef".repeat(CAP / 16);
        for (name, pack) in ALL {
            for body in [&b""[..], b"{\"a\":1}", &large] {
                assert_eq!(undo(name, pack(body), &budget).await.unwrap(), body, "{name}");
            }
        }
        assert_eq!(undo("GZIP, br", br(&gzip(b"x")), &budget).await.unwrap(), &b"x"[..]);
        assert_eq!(undo("identity", b"x".to_vec(), &budget).await.unwrap(), &b"x"[..]);
        let members = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(undo("gzip", members, &budget).await.unwrap(), &b"ab"[..]);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_bomb_ends_at_the_cap() {
        let budget = Budget::new(64 << 20);
        let bomb = vec![b' '; 64 << 20];
        for (name, pack) in ALL {
            assert_eq!(undo(name, pack(&bomb), &budget).await, Err(Refusal::TooLarge), "{name}");
            let over = pack(&vec![b' '; CAP + 1]);
            assert_eq!(undo(name, over, &budget).await, Err(Refusal::TooLarge), "{name}");
        }
        let layers = gzip(&gzip(&bomb));
        assert_eq!(undo("gzip, gzip", layers, &budget).await, Err(Refusal::TooLarge));
    }

    #[tokio::test]
    async fn damage_is_unreadable() {
        let budget = Budget::new(64 << 20);
        for (name, pack) in ALL {
            let whole = pack(&b"some text that is worth packing ".repeat(50));
            let cut = whole[..whole.len() / 2].to_vec();
            for body in [Vec::new(), b"\xff\xfe nothing of the kind".to_vec(), cut] {
                let done = undo(name, body, &budget).await;
                assert_eq!(done, Err(Refusal::UnreadableBody), "{name}");
            }
        }
        for name in ["snappy", "gzip, gzip, gzip", "gzip;q=1"] {
            assert_eq!(undo(name, b"x".to_vec(), &budget).await, Err(Refusal::UnreadableBody));
        }
    }

    #[tokio::test]
    async fn output_is_paid_for() {
        let budget = Budget::new(100 << 10);
        for (name, pack) in ALL {
            let packed = pack(&vec![b'x'; 200 << 10]);
            let done = undo(name, packed, &budget).await;
            assert_eq!(done, Err(Refusal::Unavailable(Trouble::InFlight)), "{name}");
        }
        assert_eq!(budget.used(), 0);
    }
}
