//! A quick look at JSON text: the spans of members and elements, in one pass, without a tree.
//!
//! What is accepted is JSON, checked as strictly as the parser does it; what is nested deeply is passed
//! over by the parser itself. `None` stands for everything else.

use serde_json::value::RawValue;

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;
/// Deeper values are left to the parser, which does not call itself for each level.
const MAX_DEPTH: u32 = 64;

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    /// The place: bytes from the beginning. An earlier place may be returned to.
    pub(crate) at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Tells whether nothing but space is left.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// Returns what comes next, after space: the sign that a value begins with, or one between values.
    pub(crate) fn ahead(&mut self) -> Option<u8> {
        self.space();
        self.peek()
    }

    /// Passes over a value and returns its text.
    pub(crate) fn value(&mut self) -> Option<&'a str> {
        self.space();
        let start = self.at;
        self.pass(0)?;
        self.text.get(start..self.at)
    }

    /// Passes over a string without escapes and returns what is between its quotes.
    pub(crate) fn plain_text(&mut self) -> Option<&'a str> {
        self.space();
        let start = self.at + 1;
        let is_plain = self.string()?;
        self.text.get(start..self.at - 1).filter(|_| is_plain)
    }

    /// Passes over an object; `member` is told each key, with its escapes, and must pass over its value.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&'a str, &mut Self) -> Option<()>,
    ) -> Option<()> {
        self.sequence([b'{', b'}'], |scanner| {
            scanner.space();
            let start = scanner.at + 1;
            scanner.string()?;
            let key = scanner.text.get(start..scanner.at - 1)?;
            scanner.sign(b':')?;
            member(key, scanner)
        })
    }

    /// Passes over an array; `element` must pass over each element.
    pub(crate) fn array(&mut self, element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.sequence([b'[', b']'], element)
    }

    /// Passes over one of the signs `[`, `]`, `,` and `:`, for an array whose elements are known.
    pub(crate) fn sign(&mut self, sign: u8) -> Option<()> {
        self.space();
        self.expect(sign)
    }

    fn sequence(
        &mut self,
        [open, close]: [u8; 2],
        mut element: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.sign(open)?;
        self.space();
        if self.peek()? != close {
            loop {
                element(self)?;
                self.space();
                match self.peek()? {
                    b',' => self.at += 1,
                    byte if byte == close => break,
                    _ => return None,
                }
            }
        }
        self.at += 1;
        Some(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes over a value that stands within so many others.
    fn pass(&mut self, depth: u32) -> Option<()> {
        self.space();
        match self.peek()? {
            b'{' | b'[' if depth == MAX_DEPTH => self.parse(),
            b'{' => self.object(|_, scanner| scanner.pass(depth + 1)),
            b'[' => self.array(|scanner| scanner.pass(depth + 1)),
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => None,
        }
    }

    /// Lets the parser pass over a value.
    fn parse(&mut self) -> Option<()> {
        let rest = serde_json::Deserializer::from_str(self.text.get(self.at..)?);
        let mut values = rest.into_iter::<&RawValue>();
        values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(())
    }

    /// Passes over a string; tells whether it holds no escape.
    fn string(&mut self) -> Option<bool> {
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        let mut is_plain = true;
        loop {
            while let Some(chunk) = bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
                let found = special(u64::from_le_bytes(*chunk));
                if found != 0 {
                    self.at += (found.trailing_zeros() / 8) as usize;
                    break;
                }
                self.at += 8;
            }
            match *bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(is_plain);
                }
                b'\\' => {
                    is_plain = false;
                    self.escape()?;
                }
                0..b' ' => return None,
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        self.at += match bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' => {
                let digits = bytes.get(self.at + 2..self.at + 6)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(6)?
            }
            _ => return None,
        };
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        self.skip(|byte| byte == b'-');
        if !self.skip(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.skip(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.skip(|byte| matches!(byte, b'e' | b'E')) {
            self.skip(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Some(())
    }

    /// Passes over a byte that is meant, if one comes next.
    fn skip(&mut self, is_meant: impl FnOnce(u8) -> bool) -> bool {
        let is_there = self.peek().is_some_and(is_meant);
        self.at += usize::from(is_there);
        is_there
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(word.as_bytes()).then(|| self.at += word.len())
    }
}

/// Returns the place after the quote that closes the string whose text begins at `at`, in text that need
/// not be JSON.
pub(crate) fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut rest = bytes.iter().enumerate().skip(at);
    while let Some((index, byte)) = rest.next() {
        match byte {
            b'\\' => drop(rest.next()),
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

/// Marks the bytes that a string must be looked at for: quotes, backslashes, control characters. The
/// lowest mark is right; those above it may be too many.
const fn special(word: u64) -> u64 {
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * b' ' as u64) & !word;
    (zeros(quotes) | zeros(backslashes) | control) & HIGHS
}

const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the scanner takes for one value, and whether it is all there is.
    fn scanned(text: &str) -> Option<&str> {
        let mut scanner = Scanner::new(text);
        let value = scanner.value()?;
        scanner.is_at_end().then_some(value)
    }

    fn parsed(text: &str) -> Option<&str> {
        serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get)
    }

    /// Texts of tokens: some are JSON, most are nearly.
    fn nearly_json() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\"a\"",
            "\"type\":",
            "0",
            "-1.5e+3",
            "1e",
            "-",
            "01",
            "true",
            "false",
            "null",
            "nul",
            "\"\\u00e9\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"é\"",
            "\"",
            "\\",
            "\n",
            "\t",
            "\u{1}",
            "\"long enough for words of eight\"",
            "[1,2]",
            "{\"a\":{}}",
            "\u{a0}",
        ]);
        prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-z ]{0,9}", inner, 0..6).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_json_to_the_parser(text in nearly_json()) {
            prop_assert_eq!(scanned(&text), parsed(&text));
        }

        #[test]
        fn what_the_parser_writes_is_accepted(value in json(), pretty in any::<bool>()) {
            let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            let text = write(&value).unwrap();
            prop_assert_eq!(scanned(&text), Some(&*text));
        }

        #[test]
        fn every_byte_of_a_string_is_looked_at(before in 0..20_usize, byte in 0..128_u8, after in 0..20_usize) {
            let text = format!("\"{}{}{}\"", "x".repeat(before), char::from(byte), "y".repeat(after));
            prop_assert_eq!(scanned(&text), parsed(&text));
        }
    }

    #[test]
    fn members_are_told_in_order_with_their_values() {
        let mut scanner = Scanner::new(" { \"a\" : [1, {\"b\":2}] ,\"c\":\"\\\"\" , \"\":{} } ,");
        let mut members = Vec::new();
        let read = scanner.object(|key, scanner| {
            members.push((key, scanner.value()?));
            Some(())
        });
        assert!(read.is_some());
        assert_eq!(members, [("a", "[1, {\"b\":2}]"), ("c", "\"\\\"\""), ("", "{}")]);
        assert!(scanner.sign(b',').is_some() && scanner.is_at_end());
    }

    #[test]
    fn elements_may_be_of_any_kind() {
        let mut scanner = Scanner::new("[1, [] ,\"x\"]");
        let mut elements = Vec::new();
        let read = scanner.array(|scanner| {
            elements.push(scanner.value()?);
            Some(())
        });
        assert!(read.is_some());
        assert_eq!(elements, ["1", "[]", "\"x\""]);
        for none in ["[1,]", "[,1]", "[1 2]", "[1", "["] {
            let read = Scanner::new(none).array(|scanner| scanner.value().map(drop));
            assert!(read.is_none(), "{none}");
        }
    }

    #[test]
    fn values_may_be_nested_deeply() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        for depth in [64, 65, 66, 10_000] {
            let text = format!("{} ", deep(depth));
            assert_eq!(scanned(&text), Some(&*deep(depth)), "{depth}");
            assert_eq!(scanned(&text[1..]), None, "{depth}");
            assert_eq!(scanned(&text[..depth]), None, "{depth}");
        }
        let mixed = "{\"a\":[0,".repeat(70) + &"],\"b\":1}".repeat(70);
        assert_eq!(scanned(&mixed), parsed(&mixed));
    }

    #[test]
    fn keys_keep_their_escapes_and_plain_texts_have_none() {
        let mut keys = Vec::new();
        let read = Scanner::new(r#"{"\u0061":1,"\ud800" : 2}"#).object(|key, scanner| {
            keys.push(key);
            scanner.value().map(drop)
        });
        assert!(read.is_some());
        assert_eq!(keys, [r"\u0061", r"\ud800"]);
        assert!(Scanner::new("\"\\n\"").plain_text().is_none());
    }
}
