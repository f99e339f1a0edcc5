//! The gate: `test` is everything that must pass, `ci` adds the Rust pages.

use std::path::{Path, PathBuf};

use crate::demo::Python;
use crate::packages::{self, Profile, SCRIPTED, WHOLE};
use crate::prepare;
use crate::shell::Shell;
use crate::steps::{Plan, step};
use crate::{attack, conformance, demo, fuzz, licences, surface, thin};

const SYSTEM: &str = "system packages and wasm32 compiler";
const NODE_PACKAGES: &str = "node packages";
const PYTHON_PACKAGES: &str = "python packages";
/// The official server that VOLT daemons are tested against.
pub(crate) const VOLT_PEER: &str = "tests/peers/volt";
/// Plain programs of `ws` that ws-daemons are tested against.
const WS_PEER: &str = "tests/peers/ws";
/// Where the wheel is installed and tested.
const ENVIRONMENT: &str = "python";
/// How long each codec is fuzzed.
const FUZZ_SECONDS: u32 = 30;

/// Runs the gate, or those of its steps whose name holds `only`.
pub(crate) fn run(root: &Path, pages: bool, only: Option<&str>) -> Result<(), String> {
    let mut plan = Plan::default();
    plan.then("languages", prepare::languages);
    plan.start(SYSTEM, prepare::system);
    plan.start(NODE_PACKAGES, |shell| {
        ["bindings-node", "wasm", VOLT_PEER, WS_PEER]
            .iter()
            .try_for_each(|folder| prepare::npm(shell, folder))
    });
    plan.start(PYTHON_PACKAGES, |shell| prepare::python_tests(shell).map(drop));
    checks(&mut plan, pages);
    plan.then("build", packages::workspace);
    plan.join(NODE_PACKAGES);
    plan.then("rust tests", |shell| shell.run(&mut conformance::tests(shell)));
    plan.then("attacks", attack::short);
    plan.then("fuzzed codecs", |shell| fuzz::run(shell, &WHOLE, None, FUZZ_SECONDS));
    plan.then("volt peer as recorded, hub with official clients", |shell| {
        peer_tests(shell, VOLT_PEER)
    });
    plan.then("ws-daemon with plain programs of ws", |shell| peer_tests(shell, WS_PEER));
    plan.then("node package", |shell| packages::node(shell, Profile::Test, &WHOLE));
    plan.join(PYTHON_PACKAGES);
    plan.then("python package", |shell| {
        packages::python(shell, Profile::Test, ENVIRONMENT, prepare::PYTHON_PACKAGES).map(drop)
    });
    plan.then("python types", python_types);
    plan.together(vec![
        step("node tests", node_tests),
        step("python tests", |shell| python_tests(shell, "not gate")),
        step("python held for a minute", |shell| python_tests(shell, "gate")),
    ]);
    plan.then("fleet through curl", fleet);
    plan.then("demonstration", |shell| {
        demo::play(shell, &Python { interpreter: python(shell), path: None }, 600)
    });
    plan.join(SYSTEM);
    plan.then("c tests", c_tests);
    plan.then("conformance", conformance::run);
    plan.then("wasm package", |shell| {
        let generator = Profile::Test.folder(shell).join("moorline-wasm-generator");
        let mut command = shell.command("bash");
        shell.run(command.env("MOORLINE_WASM_GENERATOR", generator).arg("wasm/build.sh"))
    });
    plan.then("wasm tests", wasm_tests);
    if let Some(part) = only {
        plan.only(part);
    }
    plan.run(root)
}

/// Runs the tests of a folder with foreign programs.
fn peer_tests(shell: &Shell, folder: &str) -> Result<(), String> {
    let mut command = shell.command("node");
    command.env("MOORLINE_BIN", Profile::Test.folder(shell).join("moorline"));
    shell.run(command.current_dir(shell.root().join(folder)).args(["--test", "."]))
}

fn node_tests(shell: &Shell) -> Result<(), String> {
    let mut command = shell.command("npm");
    command.current_dir(shell.root().join("bindings-node")).env("MOORLINE_TEST_BLOCK_MS", "60000");
    shell.run(command.args(["test", "--silent"]))
}

/// Runs the tests that `marker` selects, away from the sources: the installed wheel is what is tested.
fn python_tests(shell: &Shell, marker: &str) -> Result<(), String> {
    let mut command = shell.command(python(shell));
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marker, "--rootdir"]);
    command.env("MOORLINE_WHEELS", shell.target().join("wheels").join(Profile::Test.name()));
    let folder = shell.root().join("bindings-python");
    command.arg(&folder).arg("-c").arg(folder.join("pyproject.toml")).arg(folder.join("tests"));
    shell.run(command.current_dir(shell.target()))
}

/// A hub with a worker in each language, asked as a stranger would ask it; the quick start likewise.
fn fleet(shell: &Shell) -> Result<(), String> {
    for script in ["tests/fleet/fleet.py", "tests/fleet/quickstart.py"] {
        let mut command = shell.command(python(shell));
        command.env("MOORLINE_BIN", Profile::Test.folder(shell).join("moorline"));
        command.env("MOORLINE_NODE_PACKAGE", shell.root().join("bindings-node"));
        shell.run(command.arg(script))?;
    }
    Ok(())
}

fn python_types(shell: &Shell) -> Result<(), String> {
    for arguments in [&["-m", "mypy"][..], &["-m", "pyright"]] {
        let mut command = shell.command(python(shell));
        let folder = shell.root().join("bindings-python");
        shell.run(command.current_dir(folder).args(arguments))?;
    }
    let mut command = shell.command(python(shell));
    command.args(["-m", "mypy.stubtest", "moorline._native"]);
    shell.run(command.current_dir(shell.target()))
}

fn c_tests(shell: &Shell) -> Result<(), String> {
    let mut command = shell.command("bash");
    command.env("MOORLINE_NEED_VALGRIND", "1").env("MOORLINE_BUILD", WHOLE.join(" "));
    shell.run(command.args(["bindings-c/tests/run.sh", "dev"]))
}

fn wasm_tests(shell: &Shell) -> Result<(), String> {
    let mut command = shell.command("bash");
    command.env("MOORLINE", Profile::Test.folder(shell).join("moorline"));
    shell.run(command.arg("wasm/test.sh"))
}

fn python(shell: &Shell) -> PathBuf {
    shell.target().join(ENVIRONMENT).join("bin/python")
}

/// Everything that reads sources and runs nothing.
fn checks(plan: &mut Plan, pages: bool) {
    plan.then("format", |shell| {
        shell.run(shell.cargo().args(["fmt", "--all", "--check"]))?;
        ["fuzz", "bench/addons"].iter().try_for_each(|folder| {
            let manifest = format!("--manifest-path={folder}/Cargo.toml");
            shell.run(shell.cargo().args(["fmt", "--all", &manifest, "--check"]))
        })
    });
    plan.then("generated files", |shell| surface::run(shell.root(), true));
    plan.then("thin bindings, pure core", thin::run);
    plan.then("licences", licences::run);
    plan.then("clippy", |shell| {
        let mut command = shell.cargo();
        command.args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--features",
            SCRIPTED,
            "--",
            "-D",
            "warnings",
        ]);
        shell.run(&mut command)
    });
    if pages {
        plan.then("rust pages", |shell| {
            let mut command = shell.cargo();
            command.env("RUSTDOCFLAGS", "-D warnings");
            shell.run(command.args(["doc", "--workspace", "--no-deps", "--locked"]))
        });
    }
}
