//! `tap`: not wired yet.

use super::args::{Globals, TapArgs};
use super::{CliError, Exit, Kind};

/// Runs the command.
pub fn run(_args: &TapArgs, _globals: &Globals) -> Result<Exit, CliError> {
    Err(CliError::new(Kind::Internal, "run `tap`").cause("it is not part of this build"))
}
