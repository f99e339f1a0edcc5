//! A script in the place of everything outside, for tests; see the feature `scripted` of the driver.
//! The header does not have it.

use std::mem::MaybeUninit;

use moorline_core::trace::read_opening;
use moorline_core::{Error, ErrorCode};
use moorline_driver::ScriptedIo;

use crate::ffi::panic::guard;
use crate::ffi::text::{CText, Text};
use crate::handle::{Handle, place};
use crate::status::Status;

/// The script's end of one handle, and what it said last.
pub struct Scripted {
    io: ScriptedIo,
    said: String,
}

/// Opens the role that a script's first line names.
///
/// # Safety
/// As [`moorline_open`](crate::handle::moorline_open); `*script` goes to `moorline_scripted_free`.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub extern "C" fn moorline_scripted_open(
    first: CText,
    handle: Option<&mut MaybeUninit<Box<Handle>>>,
    script: Option<&mut MaybeUninit<Box<Scripted>>>,
) -> Status {
    guard(|| {
        let (handle, script) = (place(handle, "handle")?, place(script, "script")?);
        let opening = read_opening(first.read("first")?)?;
        let (driver, io) = ScriptedIo::open(&opening)?;
        handle.write(Box::new(Handle::of(driver, &opening.dialect, &opening.role)));
        script.write(Box::new(Scripted { io, said: String::new() }));
        Ok(())
    })
}

/// Begins a turn; `*command` tells whether its line is a command, which is the application's to give.
///
/// # Safety
/// `script` came from `moorline_scripted_open`; `line` is NUL-terminated.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub extern "C" fn moorline_scripted_begin(
    script: Option<&Scripted>,
    line: CText,
    command: Option<&mut MaybeUninit<bool>>,
) -> Status {
    guard(|| {
        let is_command = given(script)?.io.begin(line.read("line")?)?;
        place(command, "command")?.write(is_command);
        Ok(())
    })
}

/// Ends a turn; `*said` is the lines of what came of it, valid until the next turn.
///
/// # Safety
/// `script` came from `moorline_scripted_open`.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub extern "C" fn moorline_scripted_end<'a>(
    script: Option<&'a mut Scripted>,
    said: Option<&'a mut MaybeUninit<Text<'a>>>,
) -> Status {
    guard(|| {
        let script = given(script)?;
        script.said = script.io.end();
        place(said, "said")?.write(Text::from(script.said.as_str()));
        Ok(())
    })
}

/// Frees a script.
///
/// # Safety
/// `script` came from `moorline_scripted_open` and was not freed before.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub extern "C" fn moorline_scripted_free(script: Option<Box<Scripted>>) {
    drop(script);
}

fn given<T>(script: Option<T>) -> Result<T, Error> {
    script.ok_or_else(|| Error::new(ErrorCode::ArgumentInvalid, "script is null"))
}
