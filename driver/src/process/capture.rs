//! What is kept of a command's output: the beginning, up to a limit, and a marker if it was cut.

use tokio::io::{AsyncRead, AsyncReadExt};

/// The kept part of one output stream.
#[derive(Debug, Default)]
pub(super) struct Capture {
    kept: Vec<u8>,
    dropped: u64,
}

impl Capture {
    /// Reads `stream` to its end into the capture. What exceeds `limit` is read and dropped, so that
    /// the command is not held up by a full pipe.
    pub(super) async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin), limit: usize) {
        let mut chunk = vec![0; CHUNK];
        loop {
            // A failed read ends the stream like its end: the command's exit code tells the rest.
            let count = stream.read(&mut chunk).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            let bytes = chunk.get(..count).unwrap_or_default();
            let room = limit.saturating_sub(self.kept.len()).min(count);
            let (keep, drop) = bytes.split_at(room);
            self.kept.extend_from_slice(keep);
            self.dropped += drop.len() as u64;
        }
    }

    /// Returns the kept part as text, with the marker if something was dropped.
    pub(super) fn into_text(self) -> String {
        let kept = if self.dropped == 0 { self.kept.as_slice() } else { whole_chars(&self.kept) };
        let mut text = String::from_utf8_lossy(kept).into_owned();
        if self.dropped > 0 {
            let dropped = self.dropped + (self.kept.len() - kept.len()) as u64;
            text.push_str(&format!("\n[moorline: output cut here, {dropped} bytes dropped]\n"));
        }
        text
    }
}

/// Cuts a character in two no more than the limit did.
fn whole_chars(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_none() => bytes.get(..e.valid_up_to()).unwrap_or(bytes),
        Ok(_) | Err(_) => bytes,
    }
}

const CHUNK: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    async fn captured(bytes: &[u8], limit: usize) -> String {
        let mut capture = Capture::default();
        capture.read(&mut { bytes }, limit).await;
        capture.into_text()
    }

    #[tokio::test]
    async fn output_within_the_limit_is_kept_as_it_is() {
        assert_eq!(captured(b"abc", 3).await, "abc");
        assert_eq!(captured(b"", 0).await, "");
    }

    #[tokio::test]
    async fn the_marker_says_how_much_was_dropped() {
        let text = captured(&[b'x'; 100_000], 10).await;
        assert_eq!(text, "xxxxxxxxxx\n[moorline: output cut here, 99990 bytes dropped]\n");
    }

    #[tokio::test]
    async fn a_cut_does_not_split_a_character() {
        let text = captured("aé".repeat(4).as_bytes(), 2).await;
        assert_eq!(text, "a\n[moorline: output cut here, 11 bytes dropped]\n");
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(captured(b"a\xff", 10).await, "a\u{fffd}");
    }
}
