//! `completions`: scripts that complete the command line, made from `args.rs`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::{Cli, CompletionsArgs};
use super::{CliError, Exit, print};

/// Prints the script for the shell.
pub fn run(args: &CompletionsArgs) -> Result<Exit, CliError> {
    print(&script(args.shell))
}

/// Returns the script for a shell.
pub fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "session-doctor", &mut script);
    script
}
