//! Writes the JavaScript and TypeScript types around the compiled `moorline-wasm`.
//!
//! The library form of wasm-bindgen comes from the workspace's own lock file, so that it is of the
//! same version as the crate it works on.

#![allow(clippy::print_stderr, reason = "a command line program")]

use std::path::Path;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

const USAGE: &str = "usage: moorline-wasm-generator INPUT.wasm OUTPUT_FOLDER\n\
    Writes OUTPUT_FOLDER/web and OUTPUT_FOLDER/nodejs.";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match generate(input.as_ref(), output.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("moorline-wasm-generator: {message}");
            ExitCode::FAILURE
        }
    }
}

fn generate(input: &Path, output: &Path) -> Result<(), String> {
    for target in ["web", "nodejs"] {
        let mut bindgen = Bindgen::new();
        bindgen.input_path(input).out_name("moorline").typescript(true);
        let chosen = match target {
            "web" => bindgen.omit_default_module_path(false).web(true),
            _ => bindgen.nodejs(true),
        };
        chosen
            .and_then(|bindgen| bindgen.generate(output.join(target)))
            .map_err(|e| format!("{target}: {e:#}"))?;
    }
    Ok(())
}
