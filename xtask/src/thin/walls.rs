//! Holds what the core's design promises: no trait for one user, no visibility that climbs over
//! folders, each part once.

use std::collections::BTreeMap;

use super::rust::{Code, Lexeme, Token, group};
use super::source::{File, Problem};

/// Adds traits of the core that one type at most implements in `all` the workspace's code.
pub(super) fn traits(core: &[File], all: &[File], problems: &mut Vec<Problem>) {
    let mut users: BTreeMap<&str, usize> = BTreeMap::new();
    let codes: Vec<Code<'_>> = all.iter().map(File::rust).collect();
    for code in &codes {
        implementations(&code.lexemes, &codes, &mut users);
    }
    for file in core {
        let code = file.rust();
        for pair in code.lexemes.windows(2) {
            let [keyword, name] = pair else { continue };
            let (Some("trait"), Some(name)) = (keyword.word(), name.word()) else { continue };
            let count = users.get(name).copied().unwrap_or(0);
            if count < 2 {
                let what = format!("the trait {name} has {count} implementors");
                problems.push(Problem::new(file, keyword.line, what));
            }
        }
    }
}

/// Counts implementations by the trait's name. One in a macro counts as often as that is called.
fn implementations<'a>(
    lexemes: &[Lexeme<'a>],
    all: &[Code<'_>],
    users: &mut BTreeMap<&'a str, usize>,
) {
    let mut macros: Vec<(&str, usize)> = Vec::new();
    for (at, lexeme) in lexemes.iter().enumerate() {
        let Some(word) = lexeme.word() else { continue };
        if word == "macro_rules"
            && let Some(name) = lexemes.get(at + 2).and_then(Lexeme::word)
        {
            macros.push((name, at + 3 + group(&lexemes[at + 3..])));
        }
        if word != "impl" {
            continue;
        }
        let Some((name, target)) = implemented(&lexemes[at + 1..]) else { continue };
        let is_variable = lexemes.get(at + 1 + target).is_some_and(|lexeme| lexeme.is('$'));
        let around = macros.iter().rev().find(|(_, end)| at < *end);
        let count = match around {
            Some((name, _)) if is_variable => {
                all.iter().map(|code| calls(&code.lexemes, name)).sum()
            }
            _ => 1,
        };
        *users.entry(name).or_default() += count;
    }
}

/// Reads behind `impl`: the trait's name, and where its type begins. `None` if no trait is implemented.
fn implemented<'a>(rest: &[Lexeme<'a>]) -> Option<(&'a str, usize)> {
    let mut angles = 0_usize;
    let mut name = None;
    for (at, lexeme) in rest.iter().enumerate() {
        match lexeme.token {
            Token::Mark('<') => angles += 1,
            Token::Mark('>') if at > 0 && rest[at - 1].is('-') => {}
            Token::Mark('>') => angles = angles.checked_sub(1)?,
            _ if angles > 0 => {}
            Token::Word("for") => return name.map(|name| (name, at + 1)),
            Token::Word("dyn" | "where") => return None,
            Token::Word(word) => name = Some(word),
            Token::Mark(':' | '$') => {}
            Token::Mark(_) | Token::Text(_) | Token::Other => return None,
        }
    }
    None
}

/// Counts the calls of a macro.
fn calls(lexemes: &[Lexeme<'_>], name: &str) -> usize {
    let called = |pair: &&[Lexeme<'_>]| pair[0].word() == Some(name) && pair[1].is('!');
    lexemes.windows(2).filter(called).count()
}

/// Adds every `pub(in …)` of the core.
pub(super) fn visibility(core: &[File], problems: &mut Vec<Problem>) {
    for file in core {
        let code = file.rust();
        for three in code.lexemes.windows(3) {
            let is_path = three[1].is('(') && three[2].word() == Some("in");
            if three[0].word() == Some("pub") && is_path {
                problems.push(Problem::new(file, three[0].line, "is visible by a path: pub(in …)"));
            }
        }
    }
}

/// Adds test modules that have code below them.
pub(super) fn order(core: &[File], problems: &mut Vec<Problem>) {
    for file in core {
        let lines = file.rust().early_tests;
        problems.extend(lines.into_iter().map(|line| Problem::new(file, line, "tests stand last")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File::new(path, text).unwrap()
    }

    fn lonely(core: &str, others: &str) -> Vec<String> {
        let core = [file("core/src/a.rs", core)];
        let all = [file("core/src/a.rs", core[0].source()), file("driver/src/b.rs", others)];
        let mut problems = Vec::new();
        traits(&core, &all, &mut problems);
        problems.iter().map(|problem| problem.what.clone()).collect()
    }

    #[test]
    fn a_trait_with_one_implementor_is_caught() {
        let one = "pub(crate) trait A: Sized {} impl A for B {}";
        assert_eq!(lonely(one, ""), ["the trait A has 1 implementors"]);
        assert_eq!(lonely(one, "#[cfg(test)] mod tests { impl A for C {} }").len(), 1);
        assert_eq!(lonely(one, "fn f(a: impl A) -> impl A { for b in c {} }").len(), 1);
        assert_eq!(lonely("trait A {}", "").len(), 1);
    }

    #[test]
    fn implementors_elsewhere_generic_ones_and_those_of_macros_count() {
        let one = "trait A<T> {} impl A<u8> for B {}";
        assert_eq!(
            lonely(one, "impl<T: Fn() -> U> moorline_core::A<T> for C<T> where T: D {}").len(),
            0
        );
        let made = "macro_rules! m { ($t:ty) => { impl $crate::A<u8> for $t {} } } m!(C);";
        assert_eq!(lonely(one, made).len(), 0);
        assert_eq!(lonely("trait A {}", &made.replace("A<u8>", "A")).len(), 1);
    }

    #[test]
    fn visibility_by_a_path_is_caught() {
        let text = "pub(in super::super) fn a() {} pub(super) fn b() {} pub(crate) struct C(pub(in crate::d) u8);";
        let mut problems = Vec::new();
        visibility(&[file("core/src/a.rs", text)], &mut problems);
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn code_below_a_test_module_is_caught() {
        let mut problems = Vec::new();
        order(&[file("core/src/a.rs", "#[cfg(test)]\nmod tests {}\nfn a() {}")], &mut problems);
        assert_eq!(problems.len(), 1);
    }
}
