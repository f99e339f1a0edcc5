//! Texts that come in parts: each part is looked at when it comes, so that what cannot become UTF-8 is
//! refused at once, wherever a character is cut.

use bytestring::ByteString;
use simdutf8::basic;

use super::BEGINNING;
use super::room::{Rest, is_wasteful};

/// What is not UTF-8, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

/// A text of which a part is still to come.
#[derive(Debug, Default)]
pub(crate) struct Text {
    whole: String,
    /// The beginning of a character whose end is still to come.
    begun: [u8; 4],
    begun_len: usize,
}

impl Text {
    /// Adds a part.
    pub(crate) fn push(&mut self, mut bytes: &[u8], rest: Rest) -> Result<(), NotUtf8> {
        while self.begun_len > 0
            && let Some((&byte, rest)) = bytes.split_first()
        {
            bytes = rest;
            self.resume(byte)?;
        }
        let (whole, begun) = bytes.split_at(bytes.len() - unfinished(bytes));
        let whole = basic::from_utf8(whole).map_err(|_| NotUtf8)?;
        let (len, capacity) = (self.whole.len(), self.whole.capacity());
        self.whole.reserve_exact(rest.room(len, capacity, whole.len()));
        self.whole.push_str(whole);
        for &byte in begun {
            self.resume(byte)?;
        }
        Ok(())
    }

    /// Returns how many bytes came.
    pub(crate) const fn len(&self) -> usize {
        self.whole.len() + self.begun_len
    }

    /// Returns the first bytes.
    pub(crate) fn beginning(&self) -> Vec<u8> {
        let begun = self.begun.iter().take(self.begun_len);
        self.whole.bytes().chain(begun.copied()).take(BEGINNING).collect()
    }

    /// Returns how many bytes are held for it.
    #[allow(dead_code, reason = "asked by the fuzz target")]
    pub(crate) const fn capacity(&self) -> usize {
        self.whole.capacity()
    }

    /// Ends the text.
    pub(crate) fn finish(mut self) -> Result<ByteString, NotUtf8> {
        if self.begun_len > 0 {
            return Err(NotUtf8);
        }
        if is_wasteful(self.whole.len(), self.whole.capacity()) {
            self.whole.shrink_to_fit();
        }
        Ok(self.whole.into())
    }

    /// Adds a byte to the character that has begun, or begins one.
    fn resume(&mut self, byte: u8) -> Result<(), NotUtf8> {
        if let Some(slot) = self.begun.get_mut(self.begun_len) {
            *slot = byte;
        }
        self.begun_len += 1;
        let begun = self.begun.get(..self.begun_len).ok_or(NotUtf8)?;
        match std::str::from_utf8(begun) {
            Ok(whole) => {
                self.whole.push_str(whole);
                self.begun_len = 0;
                Ok(())
            }
            Err(error) if error.error_len().is_none() => Ok(()),
            Err(_) => Err(NotUtf8),
        }
    }
}

/// Returns how many of the last bytes begin a character whose end is missing.
fn unfinished(bytes: &[u8]) -> usize {
    for count in 1..=bytes.len().min(3) {
        let last = bytes.get(bytes.len() - count..).unwrap_or_default();
        let is_inner = last.first().is_some_and(|byte| byte & 0xc0 == 0x80);
        if !is_inner {
            let is_begun = std::str::from_utf8(last).is_err_and(|e| e.error_len().is_none());
            return if is_begun { count } else { 0 };
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[&[u8]]) -> Result<ByteString, NotUtf8> {
        let mut text = Text::default();
        for part in parts {
            text.push(part, Rest::default())?;
        }
        text.finish()
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        let whole = "aé\u{20ac}\u{1f600}z κόσμε".as_bytes();
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let parts = [&whole[..first], &whole[first..second], &whole[second..]];
                assert_eq!(read(&parts).unwrap().as_bytes(), whole);
            }
        }
    }

    #[test]
    fn what_cannot_become_a_character_is_refused_with_the_byte_that_shows_it() {
        // A surrogate, one beyond U+10FFFF, two that are too long, a byte that is never one.
        let wrong: [&[u8]; 5] = [b"\xed\xa0", b"\xf4\x90", b"\xc0", b"\xf0\x80", b"\xff"];
        for wrong in wrong {
            for before in ["", "a", "\u{20ac}"] {
                let bytes = [before.as_bytes(), wrong].concat();
                assert_eq!(read(&[&bytes]), Err(NotUtf8), "{bytes:x?}");
                let mut text = Text::default();
                let (last, rest) = bytes.split_last().unwrap();
                for byte in rest {
                    text.push(&[*byte], Rest::default()).unwrap();
                }
                assert_eq!(text.push(&[*last], Rest::default()), Err(NotUtf8), "{bytes:x?}");
            }
        }
    }

    #[test]
    fn a_character_without_its_end_is_refused_at_the_end() {
        for begun in [&b"\xe2"[..], b"\xe2\x82", b"a\xf0\x9f\x98"] {
            assert_eq!(read(&[begun]), Err(NotUtf8));
        }
    }
}
