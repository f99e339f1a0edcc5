//! Exit codes, declared once: the help, the mapping from errors, and the check of the documentation.

use moorline_core::{Error, ErrorCode, Fault};

macro_rules! exits {
    ($($number:literal $variant:ident $meaning:literal;)+) => {
        /// How the program ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Exit {
            $(#[doc = $meaning] $variant = $number,)+
        }

        impl Exit {
            /// Every code with its meaning, in order.
            #[cfg(test)]
            pub(crate) const ALL: &'static [(u8, &'static str)] = &[$(($number, $meaning),)+];
        }

        /// The table for `--help`.
        pub(crate) const HELP: &str = concat!(
            "Exit codes:\n",
            $("  ", stringify!($number), "  ", $meaning, "\n",)+
        );
    };
}

exits! {
    0 Success "Success.";
    1 Failure "An unexpected failure; see the message.";
    2 Usage "The command line, the configuration or an argument is wrong.";
    3 Unreachable "The control plane could not be reached, or the address not be listened on.";
    4 Refused "The control plane refused the credentials or the registration.";
    5 WorkFailed "The work item failed.";
    6 Timeout "A time limit passed.";
    7 Unavailable "Nobody can take the work now: no worker, a full queue, a rate limit.";
    8 CommandFailed "The work item ran, and its command ended with an exit code other than 0.";
    9 DrainCut "The drain deadline passed, or a second signal came: work was cut short.";
}

/// Why the program ends before its purpose is reached.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What a person reads; may have several lines.
    pub(crate) message: String,
}

impl Failure {
    /// A wrong command line, configuration or argument.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// A failure that no other code names.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = exit_of(error.code());
        Self { exit, message: format!("{error}\n  {}", error.code().fix()) }
    }
}

fn exit_of(code: ErrorCode) -> Exit {
    if code == ErrorCode::Overloaded
        || code == ErrorCode::NoWorker
        || code == ErrorCode::RateLimited
        || code == ErrorCode::NotReady
    {
        return Exit::Unavailable;
    }
    if code == ErrorCode::PeerRefused
        || code == ErrorCode::AuthenticationFailed
        || code == ErrorCode::EnrollmentFailed
        || code == ErrorCode::RegistrationFailed
        || code == ErrorCode::NameTaken
    {
        return Exit::Refused;
    }
    if code == ErrorCode::DrainTimeout {
        return Exit::DrainCut;
    }
    // The store is ours, what is not understood is nobody's work, and what was stopped did not fail.
    if code == ErrorCode::StoreFailed
        || code == ErrorCode::PeerProtocol
        || code == ErrorCode::Stopped
    {
        return Exit::Failure;
    }
    if code == ErrorCode::CallCancelled {
        return Exit::WorkFailed;
    }
    match code.fault() {
        Fault::Caller => Exit::Usage,
        Fault::Peer | Fault::Handler => Exit::WorkFailed,
        Fault::Transport => Exit::Unreachable,
        Fault::Deadline => Exit::Timeout,
        Fault::Internal => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_map_to_what_a_script_can_act_on() {
        assert_eq!(exit_of(ErrorCode::ConfigInvalid), Exit::Usage);
        assert_eq!(exit_of(ErrorCode::NoWorker), Exit::Unavailable);
        assert_eq!(exit_of(ErrorCode::AuthenticationFailed), Exit::Refused);
        assert_eq!(exit_of(ErrorCode::ConnectFailed), Exit::Unreachable);
        assert_eq!(exit_of(ErrorCode::RemoteError), Exit::WorkFailed);
        assert_eq!(exit_of(ErrorCode::CallTimeout), Exit::Timeout);
        // No exit code says something of a control plane or of work that has nothing to do with it.
        assert_eq!(exit_of(ErrorCode::StoreFailed), Exit::Failure);
        assert_eq!(exit_of(ErrorCode::PeerProtocol), Exit::Failure);
        assert_eq!(exit_of(ErrorCode::Stopped), Exit::Failure);
        assert_eq!(exit_of(ErrorCode::NameTaken), Exit::Refused);
        assert_eq!(exit_of(ErrorCode::EnrollmentFailed), Exit::Refused);
        assert_eq!(exit_of(ErrorCode::CallCancelled), Exit::WorkFailed);
    }

    #[test]
    fn the_operator_page_lists_every_code() {
        let page = include_str!("../../docs/operator.md");
        for (number, meaning) in Exit::ALL {
            assert!(page.contains(&format!("| {number} | {meaning} |")), "{number} is missing");
        }
    }
}
