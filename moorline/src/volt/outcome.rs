//! What the handlers of commands give, as the machines of the dialect take it.

use moorline_core::{Outcome, Raw};
use serde::Serialize;

use crate::handler::Given;
use crate::reply::Reply;
use crate::work::WorkContext;
use crate::{Error, ErrorCode};

/// Writes the outcome of a command; a failure that the other side does not see is the application's.
pub(crate) fn outcome(work: &WorkContext, result: Given) -> (Outcome, Option<Error>) {
    let failure = match result.and_then(Reply::envelope) {
        Ok(value) => return (done(value), None),
        Err(failure) => failure,
    };
    if let Some(status) = failure.status() {
        return (rejected(status, failure.message()), None);
    }
    let message = format!("Handler for command \"{}\" threw an unhandled error", work.key());
    let told = work.withdrawal().is_none().then(|| {
        let error = Error::new(ErrorCode::HandlerFailed, format!("{message}: {failure}"));
        error.with_source(failure.into_source())
    });
    (Outcome::Failed { message }, told)
}

fn rejected(status: u16, message: &str) -> Outcome {
    #[derive(Serialize)]
    struct Envelope<'a> {
        reject: Reject<'a>,
    }
    #[derive(Serialize)]
    struct Reject<'a> {
        status: u16,
        message: &'a str,
    }
    match Raw::from_value(&Envelope { reject: Reject { status, message } }) {
        Ok(value) => done(value),
        Err(error) => Outcome::Failed { message: error.to_string() },
    }
}

fn done(value: Raw) -> Outcome {
    Outcome::Done { value, log: Raw::empty_list() }
}
