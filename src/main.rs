//! The program: everything is in the library, see `session_doctor::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    session_doctor::cli::run_process().into()
}
