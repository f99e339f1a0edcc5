//! Compressed messages (RFC 7692, section 7.2).
//!
//! A thread has one decompressor, and one compressor for each size of window, for all its connections:
//! each has several hundred kilobytes. What a connection itself keeps is the end of what it said and
//! heard, which the next message may refer to; it is given to them as a dictionary.

use bytes::Bytes;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

use super::extension::{Agreed, Context};

/// How hard to look for repetitions: the usual level.
const LEVEL: i32 = 6;
/// What comes out at once.
const CHUNK: usize = 16 * 1024;
/// The smallest window, as a power of two.
const SMALLEST: u8 = 9;
/// How many last blocks a message may have. Behind each the decompressor starts anew, which costs as much
/// as some 10,000 bytes; compressors write one, and only at the end.
const MAX_LAST_BLOCKS: usize = 64;
/// Stands at the end of each message, where nobody sends it.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The compressors of a thread, made when they are first needed.
#[derive(Default)]
pub(super) struct Codecs {
    inflate: Option<Inflate>,
    deflate: [Option<Deflate>; 7],
    chunk: Vec<u8>,
}

/// Why a message was not decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// It is broken.
    Broken,
    /// It is too large; its beginning.
    TooLarge(Vec<u8>),
}

/// What one connection knows of earlier messages.
pub(super) struct Compression {
    agreed: Agreed,
    said: Vec<u8>,
    heard: Vec<u8>,
}

impl Compression {
    /// Begins with what was agreed on.
    pub(super) const fn new(agreed: Agreed) -> Self {
        Self { agreed, said: Vec::new(), heard: Vec::new() }
    }

    /// Compresses a message; `None` if it is to be sent as it is.
    pub(super) fn compress(
        &mut self,
        payload: &[u8],
        is_marked: bool,
        codecs: &mut Codecs,
    ) -> Option<Bytes> {
        let context = self.agreed.ours?;
        let is_long = self.agreed.threshold.is_some_and(|threshold| payload.len() >= threshold);
        if !is_marked && !is_long {
            return None;
        }
        let compressed = codecs.compress(context.window_bits, &self.said, payload)?;
        remember(&mut self.said, payload, context);
        Some(compressed.into())
    }

    /// Decompresses a message of at most `max` bytes.
    pub(super) fn decompress(
        &mut self,
        payload: &[u8],
        max: usize,
        codecs: &mut Codecs,
    ) -> Result<Vec<u8>, Undone> {
        let mut whole = Vec::new();
        match codecs.decompress(&self.heard, payload, max, &mut whole) {
            Some(()) if whole.len() <= max => {
                remember(&mut self.heard, &whole, self.agreed.theirs);
                Ok(whole)
            }
            Some(()) => {
                whole.truncate(super::frames::BEGINNING);
                Err(Undone::TooLarge(whole))
            }
            None => Err(Undone::Broken),
        }
    }

    /// Decompresses what is there of a message that is too large.
    pub(super) fn beginning(&self, payload: &[u8], codecs: &mut Codecs) -> Vec<u8> {
        let mut beginning = Vec::new();
        // What is broken may have a beginning.
        let _ = codecs.decompress(&self.heard, payload, 0, &mut beginning);
        beginning.truncate(super::frames::BEGINNING);
        beginning
    }
}

impl Codecs {
    fn compress(&mut self, window_bits: u8, said: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
        if payload.is_empty() {
            return Some(vec![0]);
        }
        self.chunk.resize(CHUNK, 0);
        let slot = self.deflate.get_mut(usize::from(window_bits - SMALLEST))?;
        let deflate = slot.get_or_insert_with(|| Deflate::new(LEVEL, false, window_bits));
        deflate.reset();
        if !said.is_empty() {
            deflate.set_dictionary(said).ok()?;
        }
        let mut out = Vec::new();
        loop {
            let done = usize::try_from(deflate.total_in()).ok()?;
            let before = deflate.total_out();
            let rest = payload.get(done..)?;
            deflate.compress(rest, &mut self.chunk, DeflateFlush::SyncFlush).ok()?;
            let came = usize::try_from(deflate.total_out() - before).ok()?;
            out.extend_from_slice(self.chunk.get(..came)?);
            if came < CHUNK {
                break;
            }
        }
        let length = out.len().checked_sub(TAIL.len()).filter(|_| out.ends_with(&TAIL))?;
        out.truncate(length);
        Some(out)
    }

    /// Decompresses until more than `max` bytes have come out; `None` if it is broken.
    fn decompress(
        &mut self,
        heard: &[u8],
        payload: &[u8],
        max: usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        self.chunk.resize(CHUNK, 0);
        let inflate = self.inflate.get_or_insert_with(|| Inflate::new(false, 15));
        inflate.reset(false);
        if !heard.is_empty() {
            inflate.set_dictionary(heard).ok()?;
        }
        let mut last_blocks = 0;
        for mut input in [payload, &TAIL] {
            loop {
                let (read, written) = (inflate.total_in(), inflate.total_out());
                let status = inflate.decompress(input, &mut self.chunk, InflateFlush::SyncFlush);
                let status = status.ok()?;
                let read = usize::try_from(inflate.total_in() - read).ok()?;
                let came = usize::try_from(inflate.total_out() - written).ok()?;
                input = input.get(read..)?;
                out.extend_from_slice(self.chunk.get(..came)?);
                if out.len() > max {
                    return Some(());
                }
                if matches!(status, Status::StreamEnd) {
                    last_blocks += 1;
                    if last_blocks > MAX_LAST_BLOCKS {
                        return None;
                    }
                    // A last block does not end a message: what follows it may refer to what it said.
                    inflate.reset(false);
                    let window = |bytes| <[u8]>::get(bytes, bytes.len().saturating_sub(1 << 15)..);
                    let known = [window(heard)?, window(out)?].concat();
                    inflate.set_dictionary(window(&known)?).ok()?;
                } else if came < CHUNK || (read == 0 && came == 0) {
                    break;
                }
                if input.is_empty() && came == 0 {
                    break;
                }
            }
        }
        Some(())
    }
}

/// Keeps what later messages may refer to.
fn remember(known: &mut Vec<u8>, message: &[u8], context: Context) {
    if !context.is_kept {
        return;
    }
    let size = 1 << context.window_bits;
    let message = message.get(message.len().saturating_sub(size)..).unwrap_or_default();
    known.drain(..(known.len() + message.len()).saturating_sub(size));
    known.reserve_exact(if known.capacity() - known.len() < message.len() {
        (size - known.len()).min(message.len().max(known.len()))
    } else {
        0
    });
    known.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(window_bits: u8, is_kept: bool) -> Agreed {
        let context = Context { window_bits, is_kept };
        Agreed { ours: Some(context), theirs: context, threshold: Some(1_024) }
    }

    /// Bytes in which little is repeated.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let step = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(step).collect()
    }

    /// The other side's word on what was said: recorded from the libraries of network-cluster.
    #[test]
    fn what_other_libraries_compressed_is_read() {
        let window = |window_bits, is_kept| Context { window_bits, is_kept };
        for (preset, context) in [
            ("shared-compressor", window(15, false)),
            ("dedicated-compressor-4kb", window(9, true)),
        ] {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/netcluster");
            let path = format!("{folder}/22-compression-{preset}.jsonl");
            let text = std::fs::read_to_string(path).unwrap();
            let rows = text.lines().map(serde_json::from_str);
            let rows: Vec<serde_json::Value> = rows.collect::<Result<_, _>>().unwrap();
            for (from, to, theirs) in
                [("s2c", "consumer", context), ("c2s", "provider", window(15, false))]
            {
                let is_told = |row: &&serde_json::Value| {
                    row["dir"] == to && row["data"][0] == "message length"
                };
                let told = rows.iter().filter(is_told).map(|row| row["data"][1].as_u64());
                let mut codecs = Codecs::default();
                let mut heard = Compression::new(Agreed { ours: None, theirs, threshold: None });
                let is_said = |row: &&serde_json::Value| {
                    let is_protocols =
                        row["data"].as_str().is_some_and(|it| it.starts_with("PROVIDER_"));
                    row["dir"] == from && row["op"] == "text" && !is_protocols
                };
                let lengths = rows.iter().filter(is_said).map(|row| {
                    if row["rsv1"] != true {
                        return row["len"].as_u64();
                    }
                    let digits = row["data"].as_str()?.as_bytes();
                    let byte =
                        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
                    let packed: Vec<u8> = digits.chunks(2).filter_map(byte).collect();
                    let message = heard.decompress(&packed, 4_096, &mut codecs).unwrap();
                    Some(message.len() as u64)
                });
                let lengths: Vec<_> = lengths.collect();
                assert!(lengths.len() > 1);
                assert_eq!(lengths, told.collect::<Vec<_>>(), "{preset}, {from}");
            }
        }
    }

    #[test]
    fn messages_come_through_at_every_window_and_cost_less_the_second_time() {
        for window_bits in 9..=15 {
            for is_kept in [false, true] {
                let agreed = agreed(window_bits, is_kept);
                let (mut ours, mut theirs) = (Compression::new(agreed), Compression::new(agreed));
                let mut codecs = Codecs::default();
                let mut sizes = Vec::new();
                let lengths = [200, 200, 0, 1, 100_000, 40_000, 200];
                for length in lengths {
                    let message = noise(length);
                    let sent = ours.compress(&message, true, &mut codecs).unwrap();
                    sizes.push(sent.len());
                    let got = theirs.decompress(&sent, 100_000, &mut codecs).unwrap();
                    assert_eq!(got, message, "{window_bits} {is_kept} {length}");
                }
                assert_eq!(sizes[1] < sizes[0] / 4, is_kept, "{sizes:?}");
                let most = if is_kept { 1 << window_bits } else { 0 };
                assert!(ours.said.capacity() <= most && theirs.heard.capacity() <= most);
            }
        }
    }

    #[test]
    fn what_was_recorded_from_another_library_is_read() {
        let mut theirs = Compression::new(agreed(15, false));
        let mut codecs = Codecs::default();
        let long = hex("72741c05a380fa0000");
        let mut read = |bytes: &[u8]| theirs.decompress(bytes, 2_000, &mut codecs).unwrap();
        assert_eq!(read(&long), [b'A'; 600]);
        assert_eq!(read(&hex("2ac9ccab0400")).len(), 4);
    }

    #[test]
    fn what_is_neither_marked_nor_long_is_sent_as_it_is() {
        let mut ours = Compression::new(agreed(15, true));
        let mut codecs = Codecs::default();
        assert!(ours.compress(&[0; 1_023], false, &mut codecs).is_none());
        assert!(ours.compress(&[0; 1_024], false, &mut codecs).is_some());
        assert!(ours.compress(b"short", true, &mut codecs).is_some());
        let agreed = Agreed { ours: None, ..agreed(15, true) };
        assert!(Compression::new(agreed).compress(b"short", true, &mut codecs).is_none());
    }

    #[test]
    fn a_bomb_is_given_up_at_the_limit_with_its_beginning() {
        let mut ours = Compression::new(agreed(15, true));
        let mut codecs = Codecs::default();
        let bomb = ours.compress(&vec![b'x'; 10_000_000], true, &mut codecs).unwrap();
        assert!(bomb.len() < 20_000);
        let mut theirs = Compression::new(agreed(15, true));
        let undone = theirs.decompress(&bomb, 1_000, &mut codecs);
        assert_eq!(undone, Err(Undone::TooLarge(vec![b'x'; 256])));
        assert_eq!(theirs.beginning(&bomb[..100], &mut codecs), [b'x'; 256]);
        let mut out = Vec::new();
        codecs.decompress(&[], &bomb, 1_000, &mut out).unwrap();
        assert!(out.len() <= 1_000 + CHUNK);
    }

    #[test]
    fn a_last_block_does_not_end_a_message() {
        let mut codecs = Codecs::default();
        let mut theirs = Compression::new(agreed(15, true));
        // "Hello" in a last block, as in the standard's section 7.2.3.4.
        let hello = hex("f348cdc9c9070000");
        assert_eq!(theirs.decompress(&hello, 100, &mut codecs).unwrap(), b"Hello");
        // Without a last block, and then by reference to the message before.
        let hello = hex("f248cdc9c90700");
        assert_eq!(theirs.decompress(&hello, 100, &mut codecs).unwrap(), b"Hello");
        let again = hex("f200110000");
        assert_eq!(theirs.decompress(&again, 100, &mut codecs).unwrap(), b"Hello");
    }

    #[test]
    fn a_message_may_start_anew_only_so_often() {
        let mut codecs = Codecs::default();
        let mut theirs = Compression::new(agreed(15, true));
        // An empty last block.
        let anew = |times| [0x03, 0].repeat(times);
        assert_eq!(theirs.decompress(&anew(MAX_LAST_BLOCKS), 100, &mut codecs).unwrap(), b"");
        let undone = theirs.decompress(&anew(MAX_LAST_BLOCKS + 1), 100, &mut codecs);
        assert_eq!(undone, Err(Undone::Broken));
    }

    #[test]
    fn what_is_broken_is_refused() {
        let mut codecs = Codecs::default();
        let mut theirs = Compression::new(agreed(15, true));
        assert_eq!(theirs.decompress(&[0xff; 20], 100, &mut codecs), Err(Undone::Broken));
        // A distance beyond everything that was said.
        assert_eq!(theirs.decompress(&hex("f200110000"), 100, &mut codecs), Err(Undone::Broken));
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }
}
