//! `explain`: not wired yet.

use super::args::{ExplainArgs, Globals};
use super::{CliError, Exit, Kind};

/// Runs the command.
pub fn run(_args: &ExplainArgs, _globals: &Globals) -> Result<Exit, CliError> {
    Err(CliError::new(Kind::Internal, "run `explain`").cause("it is not part of this build"))
}
