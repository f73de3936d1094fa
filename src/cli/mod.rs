//! The commands: one file each. To add one: its file, its variant in `args.rs`, its arm in [`run`].

pub mod args;
mod calibrate;
pub mod check_tokens;
pub mod completions;
pub mod config;
pub mod error;
pub mod exit;
pub mod explain;
mod explain_loops;
mod follow;
mod list_sessions;
pub mod man;
pub mod prices;
pub mod rules;
pub mod schema;
mod status_line;
pub mod tap;
pub mod usage;
pub mod wrap;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};

use clap::Parser;

pub use error::{CliError, Kind};
pub use exit::Exit;

use crate::engine::format::FORMATS;
use crate::settings::{self, Color, Environment, Flag, Loaded};
use crate::source::walk::Globs;
use args::{Cli, Command, Globals};

/// Does what the command line says and prints what goes wrong. `args` begins with the program's own name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; that nobody reads them is no failure.
            let _ = error.print();
            return match error.use_stderr() {
                false => Exit::Ok,
                // Every other status may be that of the command.
                true if wrap::is_meant(&args) => Exit::Wrapper,
                true => Exit::Usage,
            };
        }
    };
    if let Some(color) = cli.globals.color.as_deref().and_then(Color::from_name) {
        set_color(color);
    }
    let result = match &cli.command {
        Command::Tap(args) => tap::run(args, &cli.globals),
        Command::Wrap(args) => wrap::run(args, &cli.globals),
        Command::Usage(args) => usage::run(args, &cli.globals),
        Command::CheckTokens(args) => check_tokens::run(args, &cli.globals),
        Command::Statusline(_) => status_line::run(),
        Command::ListSessions(args) => list_sessions::run(args, &cli.globals),
        Command::Prices(args) => prices::run(args, &cli.globals),
        Command::Explain(args) => explain::run(args, &cli.globals),
        Command::Rules(args) => rules::run(args, &cli.globals),
        Command::Calibrate(args) => calibrate::run(args, &cli.globals),
        Command::Schema => schema::run(),
        Command::Config(args) => config::run(args, &cli.globals),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    };
    result.unwrap_or_else(|error| {
        error.print();
        if matches!(cli.command, Command::Wrap(_)) { Exit::Wrapper } else { error.kind.exit() }
    })
}

/// Loads the settings for a command with these flags of its own, and colours what is printed from here on as
/// they say.
pub fn load_settings(globals: &Globals, mut flags: Vec<Flag>) -> Result<Loaded, CliError> {
    if let Some(color) = &globals.color {
        flags.push(Flag { flag: "--color", key: "color", values: vec![color.clone()] });
    }
    let agents: Vec<&str> = formats().collect();
    let loaded = settings::load(&Environment::of_process(), globals.config.as_deref(), &flags, &agents)?;
    set_color(loaded.settings.color);
    Ok(loaded)
}

/// Returns the names of the formats.
fn formats() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|format| format.name())
}

/// Returns the globs of the settings. A pattern that is wrong is the fault of whoever set it.
pub fn globs(loaded: &Loaded) -> Result<Globs, CliError> {
    let origin = loaded.origins.of("glob");
    match Globs::new(&loaded.settings.glob) {
        Ok(globs) => Ok(globs),
        Err(error) => {
            let is_flag = matches!(origin, settings::Origin::Flag(_));
            let mut error = CliError::from(error).hint(format!("it comes from: {origin}"));
            error.kind = if is_flag { Kind::Usage } else { Kind::Config };
            Err(error)
        }
    }
}

/// Sets whether what is printed through `anstream` is coloured. `Auto` asks the terminal and `NO_COLOR`.
pub fn set_color(color: Color) {
    match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Writes a whole text to standard output.
fn print(text: &[u8]) -> Result<Exit, CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(|error| CliError::output(&error))?;
    Ok(Exit::Ok)
}

/// Runs with the arguments of this process.
pub fn run_process() -> Exit {
    run(env::args_os())
}
