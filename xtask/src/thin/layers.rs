//! Which part of the core may import which.
//!
//! ```text
//! base  ←  net, api  ←  machine  ←  parts  ←  dialect/*  ←  hub  ←  open, trace, the table of roles
//! ```
//! An arrow reads "is imported by". Beside each other, `net` and `api` do not import one another, and no
//! dialect imports another. Tests may import what they like.

use std::collections::BTreeMap;

use super::paths::{Path, paths};
use super::rust::Lexeme;
use super::source::{File, Problem};

/// A part of the core that stands on those before it.
struct Layer {
    name: &'static str,
    /// Modules at the crate's root.
    modules: &'static [&'static str],
    imports: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer { name: "base", modules: &["base"], imports: &[] },
    Layer { name: "net", modules: &["net"], imports: &["base"] },
    Layer { name: "api", modules: &["api"], imports: &["base"] },
    Layer { name: "machine", modules: &["machine"], imports: &["base", "net", "api"] },
    Layer { name: "parts", modules: &["parts"], imports: &["base", "net", "api", "machine"] },
    Layer { name: DIALECT, modules: &[], imports: &["base", "net", "api", "machine", "parts"] },
    Layer {
        name: "hub",
        modules: &["hub"],
        imports: &["base", "net", "api", "machine", "parts", DIALECT],
    },
    Layer {
        name: "top",
        modules: &["health", "open", "trace"],
        imports: &["base", "net", "api", "machine", "parts", DIALECT, "hub"],
    },
];

/// The layer of every folder below `dialect/`; the file that lists them stands on top.
const DIALECT: &str = "dialect";

/// Where a module stands: its layer, and its dialect if it is of one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    layer: &'static str,
    dialect: Option<&'a str>,
}

impl Place<'_> {
    fn of<'a>(module: &[&'a str]) -> Option<Place<'a>> {
        match module {
            [] | ["dialect"] => Some(Place { layer: "top", dialect: None }),
            ["dialect", name, ..] => Some(Place { layer: DIALECT, dialect: Some(name) }),
            [first, ..] => {
                let layer = LAYERS.iter().find(|layer| layer.modules.contains(first))?;
                Some(Place { layer: layer.name, dialect: None })
            }
        }
    }

    fn may_import(self, other: Place<'_>) -> bool {
        let below = LAYERS.iter().find(|layer| layer.name == self.layer);
        if self.layer == other.layer {
            self.dialect == other.dialect
        } else {
            below.is_some_and(|layer| layer.imports.contains(&other.layer))
        }
    }

    fn name(self) -> String {
        self.dialect.map_or_else(|| self.layer.to_owned(), |name| format!("{DIALECT}/{name}"))
    }
}

/// Adds every import against the arrows.
pub(super) fn check(core: &[File], problems: &mut Vec<Problem>) {
    let names = Names::read(core);
    for file in core {
        let module = file.module();
        let Some(place) = Place::of(&module) else {
            let what = format!("the module {} is in no layer; see layers.rs in xtask", module[0]);
            problems.push(Problem::new(file, 1, what));
            continue;
        };
        for path in paths(&file.rust().lexemes) {
            let Some(target) = names.resolve(&module, &path) else { continue };
            let shown = path.names.join("::");
            if matches!(target.as_slice(), [] | ["*"]) {
                if !module.is_empty() {
                    let what = format!("{shown} names the whole crate");
                    problems.push(Problem::new(file, path.line, what));
                }
                continue;
            }
            match names.place(&target) {
                None => {
                    let what = format!("{shown} is in no layer; see layers.rs in xtask");
                    problems.push(Problem::new(file, path.line, what));
                }
                Some(other) if !place.may_import(other) => {
                    let what = format!("{} imports {}: {shown}", place.name(), other.name());
                    problems.push(Problem::new(file, path.line, what));
                }
                Some(_) => {}
            }
        }
    }
}

/// Adds modules of the table that are none of the core.
pub(super) fn table(core: &[File], problems: &mut Vec<Problem>) {
    for name in LAYERS.iter().flat_map(|layer| layer.modules) {
        if !core.iter().any(|file| file.module().first() == Some(name)) {
            let path = "core/src/lib.rs".to_owned();
            let what = format!("there is no module {name}; see layers.rs in xtask");
            problems.push(Problem { path, line: 1, what });
        }
    }
}

/// What the crate's root, and the file that lists the dialects, give other names to.
struct Names<'a> {
    root: BTreeMap<&'a str, Vec<&'a str>>,
    dialects: BTreeMap<&'a str, Vec<&'a str>>,
    /// The folders below `dialect/`.
    known: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn read(core: &'a [File]) -> Self {
        let exported = |module: &[&str]| -> BTreeMap<&'a str, Vec<&'a str>> {
            let file = core.iter().find(|file| file.module() == module);
            let imports = file.map(|file| paths(&file.rust().lexemes)).unwrap_or_default();
            let named = imports.into_iter().filter(|path| path.inside.is_empty());
            named.filter_map(|path| Some((path.import?, path.names))).collect()
        };
        let known = core.iter().filter_map(|file| match file.module().as_slice() {
            ["dialect", name, ..] => Some(*name),
            _ => None,
        });
        let mut root = exported(&[]);
        for file in core {
            for name in exported_macros(&file.rust().lexemes) {
                root.insert(name, file.module().into_iter().chain([name]).collect());
            }
        }
        Self { root, dialects: exported(&["dialect"]), known: known.collect() }
    }

    /// Returns what a path of the crate names, from the crate's root; `None` for other crates, and for
    /// what is below the module itself.
    fn resolve<'p>(&self, module: &[&'p str], path: &Path<'p>) -> Option<Vec<&'p str>>
    where
        'a: 'p,
    {
        let mut from: Vec<&str> = module.iter().chain(&path.inside).copied().collect();
        let mut names = path.names.as_slice();
        match names {
            ["crate", rest @ ..] => {
                from.clear();
                names = rest;
            }
            ["self", rest @ ..] => names = rest,
            ["super", ..] => {}
            _ => return None,
        }
        while let ["super", rest @ ..] = names {
            from.pop();
            names = rest;
        }
        from.extend(names);
        // Each step replaces a name by what it stands for; there are no circles in code that compiles.
        for _ in 0..4 {
            let (table, skipped) = match from.as_slice() {
                ["dialect", name, ..] if !self.known.contains(name) => (&self.dialects, 1),
                [first, ..] if Place::of(&[first]).is_none() => (&self.root, 0),
                _ => break,
            };
            let Some(meant) = from.get(skipped).and_then(|name| table.get(name)) else { break };
            let meant = match meant.as_slice() {
                ["crate", rest @ ..] => rest.to_vec(),
                ["self", rest @ ..] => from[..skipped].iter().chain(rest).copied().collect(),
                whole => from[..skipped].iter().chain(whole).copied().collect(),
            };
            from.splice(..=skipped, meant);
        }
        Some(from)
    }

    fn place<'p>(&self, target: &[&'p str]) -> Option<Place<'p>> {
        match target {
            // A name of the file that lists the dialects itself.
            ["dialect", name, ..] if !self.known.contains(name) => Place::of(&["dialect"]),
            target => Place::of(target),
        }
    }
}

/// Returns the macros that a file puts at the crate's root.
fn exported_macros<'a>(lexemes: &[Lexeme<'a>]) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (at, lexeme) in lexemes.iter().enumerate() {
        if lexeme.word() == Some("macro_export") {
            let rest = &lexemes[at..];
            let name = rest.iter().position(|lexeme| lexeme.word() == Some("macro_rules"));
            found.extend(name.and_then(|at| rest.get(at + 2)?.word()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a core of one file beside those that are always there.
    fn problems(path: &str, text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File::new(format!("core/src/{path}"), text).unwrap();
        let core = [
            file("lib.rs", "mod base; mod hub; pub use base::time; pub use hub::Hub;"),
            file("base/time.rs", ""),
            file("hub/mod.rs", ""),
            file(
                "dialect/mod.rs",
                "mod beacon; mod volt; pub(crate) use volt::VoltDaemon; fn f() {}",
            ),
            file("dialect/beacon/mod.rs", ""),
            file("dialect/volt/mod.rs", ""),
            file(path, text),
        ];
        let mut problems = Vec::new();
        check(&core, &mut problems);
        problems.iter().map(|problem| problem.what.clone()).collect()
    }

    #[test]
    fn downward_imports_and_those_of_tests_are_fine() {
        let text = "use crate::base::time; use crate::{time::Now, net::frame}; use super::wire;
            use std::hub; use self::x; use crate::dialect::volt::y; use beacon::z;
            #[cfg(test)] mod tests { use crate::hub::Hub; }";
        assert_eq!(problems("dialect/volt/a.rs", text), [""; 0]);
        assert_eq!(
            problems("hub/a.rs", "use crate::dialect::{beacon, volt}; use super::b;"),
            [""; 0]
        );
        assert_eq!(problems("open.rs", "use crate::hub::Hub; use crate::dialect::f;"), [""; 0]);
    }

    #[test]
    fn an_import_across_dialects_is_caught() {
        let across = "dialect/volt imports dialect/beacon: ";
        for path in [
            "crate::dialect::beacon::wire",
            "super::super::beacon::wire",
            "super::super::{self as all, beacon}",
        ] {
            let found = problems("dialect/volt/a.rs", &format!("use {path};"));
            assert!(found.iter().any(|what| what.starts_with(across)), "{path}: {found:?}");
        }
        let inline = "mod m { fn f() { super::super::super::beacon::g() } }";
        assert_eq!(
            problems("dialect/volt/a.rs", inline),
            [format!("{across}super::super::super::beacon::g")]
        );
        let renamed = problems("dialect/beacon/a.rs", "use crate::dialect::VoltDaemon;");
        assert_eq!(renamed, ["dialect/beacon imports dialect/volt: crate::dialect::VoltDaemon"]);
    }

    #[test]
    fn an_upward_import_is_caught() {
        let upward = [
            ("base/a.rs", "crate::api::command::Command", "base imports api"),
            ("net/a.rs", "crate::api::command::Command", "net imports api"),
            ("api/a.rs", "crate::net::frame", "api imports net"),
            ("parts/a.rs", "crate::dialect::volt::b", "parts imports dialect/volt"),
            ("parts/a/b.rs", "super::super::super::hub", "parts imports hub"),
            ("dialect/volt/a.rs", "crate::Hub", "dialect/volt imports hub"),
            ("dialect/volt/a.rs", "crate::dialect::f", "dialect/volt imports top"),
            ("hub/a.rs", "crate::open::open", "hub imports top"),
        ];
        for (file, path, expected) in upward {
            let expected = format!("{expected}: {path}");
            assert_eq!(problems(file, &format!("use {path};")), [&*expected], "use");
            assert_eq!(problems(file, &format!("fn f() {{ {path}() }}")), [&*expected], "inline");
        }
    }

    #[test]
    fn an_exported_macro_is_of_the_module_that_writes_it() {
        let text = "#[macro_export] macro_rules! rows { () => {} }";
        assert_eq!(problems("hub/rows.rs", &format!("{text} use crate::rows;")), [""; 0]);
        assert_eq!(problems("parts/a.rs", "use crate::rows;").len(), 1);
        let core = [File::new("core/src/api/table.rs", text).unwrap()];
        let names = Names::read(&core);
        let import = Path { names: vec!["crate", "rows"], inside: vec![], line: 1, import: None };
        assert_eq!(names.resolve(&["net"], &import).unwrap(), ["api", "table", "rows"]);
    }

    #[test]
    fn a_module_of_the_table_that_is_gone_is_caught() {
        let names: Vec<&str> = LAYERS.iter().flat_map(|layer| layer.modules).copied().collect();
        let file = |name: &&str| File::new(format!("core/src/{name}.rs"), "").unwrap();
        let mut problems = Vec::new();
        table(&names.iter().map(file).collect::<Vec<_>>(), &mut problems);
        assert!(problems.is_empty());
        table(&names[1..].iter().map(file).collect::<Vec<_>>(), &mut problems);
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn what_is_in_no_layer_is_caught() {
        assert_eq!(problems("misc.rs", "").len(), 1);
        assert_eq!(problems("hub/a.rs", "use crate::misc::x;").len(), 1);
        assert_eq!(problems("hub/a.rs", "use crate::*;"), ["crate::* names the whole crate"]);
    }
}
