//! `schema`: not wired yet.

use super::{CliError, Exit, Kind};

/// Runs the command.
pub fn run() -> Result<Exit, CliError> {
    Err(CliError::new(Kind::Internal, "run `schema`").cause("it is not part of this build"))
}
