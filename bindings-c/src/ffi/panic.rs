//! No panic leaves the library: it becomes the status `INTERNAL`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use moorline_core::{Error, ErrorCode};

use crate::status::Status;

/// Runs the body of an exported function and turns its error or panic into a status.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Error>) -> Status {
    // A body changes state behind locks only; a poisoned lock is taken over by its next user.
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        Err(Error::new(ErrorCode::Internal, "a defect was caught at the border"))
    });
    Status::of(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status() {
        let status = guard(|| panic!("on purpose"));
        assert_eq!(status, Status::of(Err(ErrorCode::Internal.into())));
    }
}
