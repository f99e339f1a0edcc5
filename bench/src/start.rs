//! (d) What loading a package costs: time until the program ends, resident memory.

use std::ffi::OsString;
use std::process::Command;
use std::time::Instant;

use crate::Setting;
use crate::process::Failure;
use crate::stats::Samples;

/// What loading one package costs beside an empty program.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Milliseconds from start to end.
    pub(crate) time: Samples,
    /// Megabytes resident after loading.
    pub(crate) memory: Samples,
}

/// Loads each package in turn, three times per round.
pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let node = |load: String| {
        let show = "process.stdout.write(String(process.memoryUsage().rss))";
        vec![OsString::from("node"), "-e".into(), format!("{load};{show}").into()]
    };
    let python = |load: &str| {
        let show = "print(open('/proc/self/statm').read().split()[1])";
        vec![setting.python.clone().into_os_string(), "-c".into(), format!("{load}\n{show}").into()]
    };
    let package = setting.node_package.display();
    let contestants = [
        ("node, empty", node(String::new()), 1.0),
        ("node, `ws`", node(String::from("require('ws')")), 1.0),
        ("node, `moorline`", node(format!("require('{package}')")), 1.0),
        ("python, empty", python(""), 4096.0),
        ("python, `asyncio`", python("import asyncio"), 4096.0),
        ("python, `websockets`", python("import asyncio, websockets.asyncio.client"), 4096.0),
        ("python, `moorline`", python("import moorline"), 4096.0),
    ];
    let mut rows: Vec<Row> = contestants
        .iter()
        .map(|&(name, ..)| Row { name, time: Samples::default(), memory: Samples::default() })
        .collect();
    for round in 1..=setting.rounds * 3 {
        println!("packages, round {round} of {}", setting.rounds * 3);
        for (row, (name, words, unit)) in rows.iter_mut().zip(&contestants) {
            let (program, arguments) = words.split_first().ok_or("no program is named")?;
            let begin = Instant::now();
            let output =
                Command::new(program).args(arguments).current_dir(&setting.peers).output()?;
            let time = begin.elapsed();
            let text = String::from_utf8_lossy(&output.stdout);
            let memory: f64 = text
                .trim()
                .parse()
                .map_err(|_| format!("{name}: {}", String::from_utf8_lossy(&output.stderr)))?;
            row.time.push(time.as_secs_f64() * 1e3);
            row.memory.push(memory * unit / 1e6);
        }
    }
    Ok(rows)
}
