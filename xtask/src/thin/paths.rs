//! Finds the paths in a file of Rust: what it imports, and what it names where it stands.

use super::rust::{Lexeme, Token, group};

/// A path as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path<'a> {
    pub(super) names: Vec<&'a str>,
    /// The modules of this file that it stands in, the outermost first.
    pub(super) inside: Vec<&'a str>,
    pub(super) line: usize,
    /// What an import is called here; `None` for a path that stands in code.
    pub(super) import: Option<&'a str>,
}

/// Returns every path of two names and more, and every import.
pub(super) fn paths<'a>(lexemes: &[Lexeme<'a>]) -> Vec<Path<'a>> {
    let mut found = Vec::new();
    let mut modules: Vec<(&str, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(lexeme) = lexemes.get(at) {
        let rest = &lexemes[at..];
        match lexeme.token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                while modules.last().is_some_and(|(_, level)| *level > depth) {
                    modules.pop();
                }
            }
            Token::Word("mod") if rest.get(2).is_some_and(|lexeme| lexeme.is('{')) => {
                modules.extend(rest[1].word().map(|name| (name, depth + 1)));
            }
            // `impl Trait + use<'a>` captures and imports nothing.
            Token::Word("use") if !rest.get(1).is_some_and(|lexeme| lexeme.is('<')) => {
                let end = rest.iter().position(|lexeme| lexeme.is(';')).unwrap_or(rest.len());
                let inside: Vec<&str> = modules.iter().map(|(name, _)| *name).collect();
                tree(&rest[1..end], &[], &inside, &mut found);
                at += end;
                continue;
            }
            Token::Word(first) if !continues(lexemes, at) => {
                let mut names = vec![first];
                let mut next = 1;
                while let Some(name) = after_separator(&rest[next..]) {
                    names.push(name);
                    next += 3;
                }
                if names.len() > 1 {
                    let inside = modules.iter().map(|(name, _)| *name).collect();
                    found.push(Path { names, inside, line: lexeme.line, import: None });
                }
                at += next;
                continue;
            }
            Token::Word(_) | Token::Text(_) | Token::Mark(_) | Token::Other => {}
        }
        at += 1;
    }
    found
}

fn is_separator(rest: &[Lexeme<'_>]) -> bool {
    matches!(rest, [first, second, ..] if first.is(':') && second.is(':') && first.end == second.start)
}

fn after_separator<'a>(rest: &[Lexeme<'a>]) -> Option<&'a str> {
    if is_separator(rest) { rest.get(2)?.word() } else { None }
}

/// Tells whether the word at `at` goes on with a path: `::` stands before it, and something before that.
fn continues(lexemes: &[Lexeme<'_>], at: usize) -> bool {
    let Some(colons) = at.checked_sub(2) else { return false };
    if !is_separator(&lexemes[colons..]) {
        return false;
    }
    let before = colons.checked_sub(1).map(|at| lexemes[at].token);
    matches!(before, Some(Token::Word(_) | Token::Mark('>')))
}

/// Reads a tree of imports; `before` are the names in front of it.
fn tree<'a>(
    rest: &[Lexeme<'a>],
    before: &[&'a str],
    inside: &[&'a str],
    found: &mut Vec<Path<'a>>,
) {
    let mut names = before.to_vec();
    let mut at = 0;
    while let Some(lexeme) = rest.get(at) {
        match lexeme.token {
            Token::Word("as") => break,
            Token::Word("self") if !names.is_empty() => {}
            Token::Word(name) => names.push(name),
            Token::Mark('*') => names.push("*"),
            Token::Mark('{') => {
                let end = at + group(&rest[at..]);
                for branch in branches(&rest[at + 1..end - 1]) {
                    tree(branch, &names, inside, found);
                }
                return;
            }
            Token::Text(_) | Token::Mark(_) | Token::Other => {}
        }
        at += 1;
    }
    let Some(first) = rest.first() else { return };
    let renamed = rest.get(at + 1).and_then(Lexeme::word);
    let import = renamed.or(names.last().copied());
    found.push(Path { names, inside: inside.to_vec(), line: first.line, import });
}

/// Splits at the commas outside of braces.
fn branches<'r, 'a>(rest: &'r [Lexeme<'a>]) -> Vec<&'r [Lexeme<'a>]> {
    let mut found = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at].is('{') {
            at += group(&rest[at..]);
        } else {
            if rest[at].is(',') {
                found.push(&rest[from..at]);
                from = at + 1;
            }
            at += 1;
        }
    }
    found.push(&rest[from..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thin::rust::Code;

    fn all(source: &str) -> Vec<String> {
        let code = Code::read(source);
        paths(&code.lexemes).iter().map(|path| path.names.join("::")).collect()
    }

    #[test]
    fn trees_of_imports_are_taken_apart() {
        let source = "pub(crate) use crate::{a::{self, B as C}, d, e::{f::*, G},}; use h;";
        let expected =
            ["crate::a", "crate::a::B", "crate::d", "crate::e::f::*", "crate::e::G", "h"];
        assert_eq!(all(source), expected);
        let code = Code::read("use a::{b as c, d::{self, e}};");
        let names: Vec<_> = paths(&code.lexemes).iter().filter_map(|path| path.import).collect();
        assert_eq!(names, ["c", "d", "e"]);
    }

    #[test]
    fn paths_in_code_are_found_whole() {
        let source =
            "fn a() -> super::B { let c: <D as crate::e::F>::G = ::std::h::<I>(j); k.l() }";
        assert_eq!(all(source), ["super::B", "crate::e::F", "std::h"]);
        assert_eq!(all("macro { () => { $crate::a::b!() } }"), ["crate::a::b"]);
        assert_eq!(all("fn a(b: c, d: e) {}"), [""; 0]);
        assert_eq!(all("fn a<'b>() -> impl C + use<'b> { d::e }"), ["d::e"]);
    }

    #[test]
    fn a_path_knows_the_modules_around_it() {
        let code = Code::read("mod a { mod b { use super::c; } use d::e; } use f::g;");
        let found = paths(&code.lexemes);
        let inside: Vec<_> = found.iter().map(|path| path.inside.join("/")).collect();
        assert_eq!(inside, ["a/b", "a", ""]);
    }
}
