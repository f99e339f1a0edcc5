//! The committed header is what the source and the core's tables say.
//!
//! `MOORLINE_WRITE_HEADER=1 cargo test -p moorline-c --test header` writes it anew.

use std::fmt::Write;
use std::path::Path;

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
    let text = String::from_utf8(text).unwrap();

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
    let mut out =
        String::from("\n/* What a function returns: success, or an error code. */\nenum {\n");
    let _ = writeln!(out, "  MOORLINE_OK = 0,");
    for code in ErrorCode::ALL {
        let _ = writeln!(out, "  /* {} */", code.meaning());
        let _ = writeln!(out, "  MOORLINE_{} = {},", code.name(), code.number());
    }
    out.truncate(out.trim_end_matches(",\n").len());
    out.push_str("\n};\n\n/* The kinds of events. */\nenum {\n");
    for (index, kind) in event::KINDS.iter().enumerate() {
        let _ = writeln!(out, "  MOORLINE_EVENT_{} = {},", kind.to_uppercase(), index + 1);
    }
    out.truncate(out.trim_end_matches(",\n").len());
    out.push_str("\n};");
    out
}
