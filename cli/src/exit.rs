//! The exit codes: what a script may rely on.

use std::process::ExitCode;

use crate::connection::{ConnectError, Lost};
use crate::output;

/// How a command ended. The numbers are part of the contract and stand in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done = 0,
    /// Something failed; one line on stderr says what.
    Failure = 1,
    /// The command line or an input file is wrong, nothing was sent. Clap uses the same number.
    Usage = 2,
    /// A part was refused: the rest was carried out.
    Partial = 3,
    /// No broker answers at the address, or it went away and did not come back.
    CannotConnect = 4,
    /// Ctrl-C. 128 + SIGINT, as shells count.
    Interrupted = 130,
}

/// The same as a text for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    failed, one line on stderr says why
  2    wrong usage or wrong input, nothing was sent
  3    partly done: some prices were refused
  4    cannot connect
  130  interrupted by Ctrl-C";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The user's input is wrong. One line for each thing that is.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct WrongInput(pub Vec<String>);

impl WrongInput {
    /// A single complaint.
    pub(crate) fn one(message: impl Into<String>) -> Self {
        Self(vec![message.into()])
    }
}

/// Prints an error's chain once and gives its exit code. A closed pipe is no error: whoever read
/// the output has seen enough.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let closed = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(closed) {
        return Exit::Done;
    }
    output::say(format_args!("error: {error:#}"));
    if error
        .chain()
        .any(|cause| cause.is::<ConnectError>() || cause.is::<Lost>())
    {
        Exit::CannotConnect
    } else if error.chain().any(|cause| cause.is::<WrongInput>()) {
        Exit::Usage
    } else {
        Exit::Failure
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn finds_the_code_behind_context() {
        let check = |error: anyhow::Error, expected: Exit| assert_eq!(report(&error), expected);
        check(anyhow::anyhow!("no"), Exit::Failure);
        check(WrongInput::one("a.json:1:2: no").into(), Exit::Usage);
        let lost: Result<(), Lost> = Err(Lost("reset by peer".to_owned()));
        check(
            lost.context("failed to load").unwrap_err(),
            Exit::CannotConnect,
        );
        let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let pipe: anyhow::Result<()> = Err(pipe).context("failed to print");
        check(pipe.unwrap_err(), Exit::Done);
    }

    #[test]
    fn help_names_every_code() {
        for exit in [
            Exit::Done,
            Exit::Failure,
            Exit::Usage,
            Exit::Partial,
            Exit::CannotConnect,
        ] {
            assert!(HELP.contains(&format!("\n  {} ", exit as u8)), "{exit:?}");
        }
        assert!(HELP.contains("130"));
    }
}
