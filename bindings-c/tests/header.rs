//! The committed header is what the source and the core's tables say.
//!
//! `MOORLINE_WRITE_HEADER=1 cargo test -p moorline-c --test header` writes it anew.

use std::fmt::Write;
use std::path::Path;

use moorline_core::command::DEFAULT_DRAIN_MS;
use moorline_core::{ErrorCode, event};

#[test]
fn the_header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    config.header = Some(banner());
    config.after_includes = Some(constants());
    let mut text = Vec::new();
    cbindgen::Builder::new()
        .with_crate(root)
        .with_config(config)
        .generate()
        .unwrap()
        .write(&mut text);
    let text =
        String::from_utf8(text).unwrap().replace("char * ", "char *").replace("void * ", "void *");

    let path = root.join("include/moorline.h");
    if std::env::var_os("MOORLINE_WRITE_HEADER").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, text,
        "include/moorline.h is old: set MOORLINE_WRITE_HEADER=1 to write it"
    );
}

fn banner() -> String {
    "/* Moorline for C. Generated from bindings-c/src and the tables of core: do not edit.\n   \
     License: MIT OR Apache-2.0. */"
        .to_owned()
}

/// Status codes and event kinds, from the core's tables.
fn constants() -> String {
    let mut out = format!(
        "\n/* How long moorline_stop drains in the other languages when it does not say. */\n\
         #define MOORLINE_DEFAULT_DRAIN_MS {DEFAULT_DRAIN_MS}\n"
    );
    let codes = ErrorCode::ALL
        .iter()
        .map(|code| (code.meaning(), code.name().to_owned(), i32::from(code.number())));
    let success = ("Success.", "OK".to_owned(), 0);
    enumerate(&mut out, "What a function returns.", std::iter::once(success).chain(codes));
    let kinds = event::shapes().into_iter().map(|shape| {
        (shape.doc, format!("EVENT_{}", shape.name.to_uppercase()), i32::from(shape.number))
    });
    enumerate(&mut out, "The kinds of events.", kinds);
    out
}

fn enumerate(out: &mut String, doc: &str, rows: impl Iterator<Item = (&'static str, String, i32)>) {
    let rows: Vec<_> = rows
        .map(|(doc, name, number)| format!("  /* {doc} */\n  MOORLINE_{name} = {number}"))
        .collect();
    let _ = write!(out, "\n/* {doc} */\nenum {{\n{}\n}};", rows.join(",\n"));
    out.push('\n');
}
