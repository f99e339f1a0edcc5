//! Splits Rust into lexemes and leaves out what is compiled for tests only.
//!
//! No parser: what is looked for in this tree (imports, names in quotes, definitions) can be told from
//! the lexemes, in macros too.

/// A piece of Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An identifier or a keyword.
    Word(&'a str),
    /// What stands between the quotes of a string, with its escapes.
    Text(&'a str),
    /// One character of punctuation.
    Mark(char),
    /// A number, a character or a lifetime.
    Other,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexeme<'a> {
    pub(super) token: Token<'a>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// The line that it begins in, counted from 1.
    pub(super) line: usize,
}

impl<'a> Lexeme<'a> {
    pub(super) fn word(&self) -> Option<&'a str> {
        match self.token {
            Token::Word(word) => Some(word),
            Token::Text(_) | Token::Mark(_) | Token::Other => None,
        }
    }

    pub(super) fn is(&self, mark: char) -> bool {
        self.token == Token::Mark(mark)
    }
}

/// The code of a file.
pub(super) struct Code<'a> {
    pub(super) lexemes: Vec<Lexeme<'a>>,
    /// The modules in files of their own that are compiled for tests only.
    pub(super) test_modules: Vec<&'a str>,
    /// The lines of the test modules in this file that have code below them.
    pub(super) early_tests: Vec<usize>,
}

impl<'a> Code<'a> {
    /// Reads a file; items under `#[cfg(test)]` are left out, each alone.
    pub(super) fn read(source: &'a str) -> Self {
        let all = lex(source);
        let mut code = Code {
            lexemes: Vec::with_capacity(all.len()),
            test_modules: vec![],
            early_tests: vec![],
        };
        let mut last_tests = None;
        let mut at = 0;
        while at < all.len() {
            if !is_test_attribute(&all[at..]) {
                if let Some(line) = last_tests.take() {
                    code.early_tests.push(line);
                }
                code.lexemes.push(all[at]);
                at += 1;
                continue;
            }
            let first = at;
            while all.get(at).is_some_and(|lexeme| lexeme.is('#')) {
                at += 1 + group(&all[at + 1..]);
            }
            let end = at + item(&all[at..]);
            match module_name(&all[at..end]) {
                Some((name, true)) => code.test_modules.push(name),
                Some((_, false)) => last_tests = Some(all[first].line),
                None => {}
            }
            at = end;
        }
        code
    }

    /// Returns the text without comments and tests; lines keep their numbers.
    pub(super) fn plain(&self, source: &str) -> String {
        let mut plain = String::with_capacity(source.len());
        let mut from = 0;
        for lexeme in &self.lexemes {
            let between = &source[from..lexeme.start];
            let breaks = between.matches('\n').count();
            plain.extend(std::iter::repeat_n('\n', breaks));
            if breaks == 0 && !between.is_empty() {
                plain.push(' ');
            }
            plain.push_str(&source[lexeme.start..lexeme.end]);
            from = lexeme.end;
        }
        plain
    }
}

/// Tells whether `#[cfg(test)]` begins here, also as a part of `all(…)`.
fn is_test_attribute(rest: &[Lexeme<'_>]) -> bool {
    let [hash, open, cfg, ..] = rest else { return false };
    if !hash.is('#') || !open.is('[') || cfg.word() != Some("cfg") {
        return false;
    }
    let inside = &rest[1..=group(&rest[1..]).min(rest.len() - 1)];
    let names = |word: &str| inside.iter().any(|lexeme| lexeme.word() == Some(word));
    names("test") && !names("not") && !names("any")
}

/// Returns how many lexemes belong to the bracketed group that begins here.
pub(super) fn group(rest: &[Lexeme<'_>]) -> usize {
    let mut depth = 0_usize;
    for (index, lexeme) in rest.iter().enumerate() {
        match lexeme.token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            Token::Word(_) | Token::Text(_) | Token::Mark(_) | Token::Other => {}
        }
    }
    rest.len()
}

/// Returns how many lexemes the item, field or arm has that begins here, behind its attributes.
fn item(rest: &[Lexeme<'_>]) -> usize {
    let mut head = 0;
    if rest.first().and_then(Lexeme::word) == Some("pub") {
        head = 1;
        if rest.get(1).is_some_and(|lexeme| lexeme.is('(')) {
            head += group(&rest[1..]);
        }
    }
    let word = rest.get(head).and_then(Lexeme::word).unwrap_or_default();
    let next = rest.get(head + 1).and_then(Lexeme::word).unwrap_or_default();
    let is_value = match word {
        "use" | "static" | "let" | "type" => true,
        "const" => !matches!(next, "fn" | "unsafe" | "async" | "extern"),
        _ => false,
    };
    let is_block = matches!(
        word,
        "mod"
            | "fn"
            | "impl"
            | "struct"
            | "enum"
            | "trait"
            | "unsafe"
            | "async"
            | "const"
            | "extern"
            | "macro_rules"
    );
    let mut at = head;
    while let Some(lexeme) = rest.get(at) {
        match lexeme.token {
            Token::Mark(';') => return at + 1,
            Token::Mark(',') if !is_value && !is_block => return at + 1,
            Token::Mark(')' | ']' | '}') => return at,
            Token::Mark('{') if is_block && !is_value => return at + group(&rest[at..]),
            Token::Mark('(' | '[' | '{') => at += group(&rest[at..]),
            Token::Word(_) | Token::Text(_) | Token::Mark(_) | Token::Other => at += 1,
        }
    }
    rest.len()
}

/// Returns the name of the module that is declared here, and whether it is in a file of its own.
fn module_name<'a>(item: &[Lexeme<'a>]) -> Option<(&'a str, bool)> {
    let at = item.iter().position(|lexeme| lexeme.word() == Some("mod"))?;
    let is_head = item[..at].iter().all(|lexeme| match lexeme.token {
        Token::Word(word) => matches!(word, "pub" | "crate" | "super"),
        Token::Mark(mark) => matches!(mark, '(' | ')'),
        Token::Text(_) | Token::Other => false,
    });
    let name = item.get(at + 1)?.word()?;
    is_head.then(|| (name, item.get(at + 2).is_some_and(|lexeme| lexeme.is(';'))))
}

fn lex(source: &str) -> Vec<Lexeme<'_>> {
    let mut lexemes = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let (token, length) = if first.is_whitespace() {
            (None, first.len_utf8())
        } else if rest.starts_with("//") {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (None, block_comment(rest))
        } else if let Some((text, length)) = string(rest) {
            (Some(Token::Text(text)), length)
        } else if first.is_alphabetic() || first == '_' {
            let word = rest.strip_prefix("r#").unwrap_or(rest);
            let length = word.find(|c| !is_part(c)).unwrap_or(word.len());
            (Some(Token::Word(&word[..length])), rest.len() - word.len() + length)
        } else if first.is_ascii_digit() {
            (Some(Token::Other), number(rest))
        } else if first == '\'' {
            (Some(Token::Other), character_or_lifetime(rest))
        } else {
            (Some(Token::Mark(first)), first.len_utf8())
        };
        if let Some(token) = token {
            lexemes.push(Lexeme { token, start: at, end: at + length, line });
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    lexemes
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Reads a string of any kind: what is in it, and its length with the quotes.
fn string(rest: &str) -> Option<(&str, usize)> {
    let body = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let inside = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = inside.find(&end).unwrap_or(inside.len());
        let whole = rest.len() - inside.len() + length + end.len();
        return Some((&inside[..length], whole.min(rest.len())));
    }
    let inside = body.strip_prefix('"')?;
    let mut escaped = false;
    let length = inside.find(|c| match c {
        _ if escaped => {
            escaped = false;
            false
        }
        '\\' => {
            escaped = true;
            false
        }
        c => c == '"',
    });
    let length = length.unwrap_or(inside.len());
    Some((&inside[..length], (rest.len() - inside.len() + length + 1).min(rest.len())))
}

fn number(rest: &str) -> usize {
    let mut length = 0;
    for (at, c) in rest.char_indices() {
        let is_point = c == '.'
            && rest[at + 1..].starts_with(|c: char| c.is_ascii_digit())
            && !rest[..at].contains('.');
        if !is_part(c) && !is_point {
            break;
        }
        length = at + c.len_utf8();
    }
    length
}

fn character_or_lifetime(rest: &str) -> usize {
    let inside = &rest[1..];
    if let Some(escaped) = inside.strip_prefix('\\') {
        let skipped = escaped.chars().next().map_or(0, char::len_utf8);
        return escaped[skipped..].find('\'').map_or(rest.len(), |end| 2 + skipped + end + 1);
    }
    let first = inside.chars().next().map_or(0, char::len_utf8);
    if inside[first..].starts_with('\'') {
        return 1 + first + 1;
    }
    1 + inside.find(|c| !is_part(c)).unwrap_or(inside.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<&str> {
        Code::read(source).lexemes.iter().filter_map(Lexeme::word).collect()
    }

    #[test]
    fn strings_characters_and_comments_are_no_words() {
        let source = r##"a /* b /* c */ d */ e; // f
            "g \" h" r#"i "j" k"# b"l" 'm' '\'' '\u{6e}' 'n: 1_000u64 0..p 1.5f64 r#type"##;
        assert_eq!(words(source), ["a", "e", "p", "type"]);
        let code = Code::read(source);
        let texts = code.lexemes.iter().filter_map(|lexeme| match lexeme.token {
            Token::Text(text) => Some(text),
            Token::Word(_) | Token::Mark(_) | Token::Other => None,
        });
        let texts: Vec<_> = texts.collect();
        assert_eq!(texts, [r#"g \" h"#, r#"i "j" k"#, "l"]);
    }

    #[test]
    fn only_the_item_under_the_attribute_is_for_tests() {
        assert_eq!(words("#[cfg(test)] use a::{b, c}; use d;"), ["use", "d"]);
        assert_eq!(words("#[cfg(test)] #[inline] fn a() -> [u8; 2] { b } fn d"), ["fn", "d"]);
        assert_eq!(words("#[cfg(test)] pub(crate) const A: B = B { c }; d"), ["d"]);
        assert_eq!(words("S { #[cfg(test)] a: (b, c), d: e }"), ["S", "d", "e"]);
        assert_eq!(words("S { a, #[cfg(test)] b }"), ["S", "a"]);
        assert_eq!(words("#[cfg(not(test))] mod a;"), ["cfg", "not", "test", "mod", "a"]);
        assert_eq!(words("#[cfg(all(test, unix))] mod a; b"), ["b"]);
    }

    #[test]
    fn what_follows_a_test_module_is_read_and_the_module_is_told() {
        let code = Code::read("mod a;\n#[cfg(test)]\nmod tests;\nfn b() {}\n");
        assert_eq!(code.test_modules, ["tests"]);
        assert_eq!(code.early_tests, [0; 0]);
        assert_eq!(words("#[cfg(test)]\nmod tests;\nmod a;\n"), ["mod", "a"]);
        let code = Code::read("fn a() {}\n#[cfg(test)]\nmod tests { fn c() {} }\nfn b() {}\n");
        assert_eq!(code.early_tests, [2]);
        let code = Code::read("fn a() {}\n#[cfg(test)]\nmod tests { fn c() {} }\n");
        assert_eq!((code.lexemes.len(), code.early_tests.len()), (6, 0));
    }

    #[test]
    fn plain_text_keeps_its_lines() {
        let source = "// a\nb( c ); // d\n/* e\n */\n#[cfg(test)]\nmod t {\n}\nf \"g\n h\"";
        let code = Code::read(source);
        assert_eq!(code.plain(source), "\nb( c );\n\n\n\n\n\nf \"g\n h\"");
    }
}
