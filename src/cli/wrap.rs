//! `wrap`: runs a command and watches it.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use super::args::{EventsTarget, Globals, WrapArgs};
use super::tap::{engine_options, open_target, resolve};
use super::{CliError, Exit, Kind, load_settings};
use crate::child::caught::end_by;
use crate::child::group::Target;
use crate::child::spawn::keep_from_child;
use crate::model::EventType;
use crate::runtime::Telling;
use crate::runtime::wrap::attempt::Stdin;
use crate::runtime::wrap::effect::{Ending, Launch};
use crate::runtime::wrap::keeper::{Limits, Stop};
use crate::runtime::wrap::plan::PtyMode;
use crate::runtime::wrap::{self, Options};
use crate::settings::{Color, Settings};
use crate::sink::output::Output;
use crate::sink::{Form, renderer};
use crate::source::os_words;

/// Whether a command line that cannot be understood was meant to wrap something: then every status but one may be taken
/// for that of the command.
pub fn is_meant(args: &[OsString]) -> bool {
    args.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| arg == "wrap")
}

/// Runs the command.
///
/// # Errors
/// The settings are wrong, events cannot be written where they are to go, or the system has no room. What becomes of
/// the command is no error: it decides the status.
pub fn run(args: &WrapArgs, globals: &Globals) -> Result<Exit, CliError> {
    let loaded = load_settings(globals, args.flags())?;
    let settings = &loaded.settings;
    let engine = Arc::new(engine_options(&loaded)?);
    let events = args.events.as_ref().map(|target| open_target(target, true, "wrap")).transpose()?;
    if let Some(EventsTarget::Fd(number)) = args.events
        && number > 2
    {
        // It is for us: a child that held it open would keep its reader waiting.
        let _ = keep_from_child(number);
    }
    let form = match &args.events {
        Some(EventsTarget::Stdout) => resolve(settings, io::stdout().is_terminal()),
        Some(_) => resolve(settings, events.as_ref().is_some_and(Output::is_terminal)),
        None => show_form(settings),
    };
    let emit = settings.emit.iter().filter_map(|name| EventType::from_name(name)).collect();
    let options = Options {
        launch: Launch { argv: args.command.clone(), env: Vec::new() },
        pty: PtyMode::from_name(&args.pty).unwrap_or_default(),
        stdin: if args.stdin == "null" { Stdin::Null } else { Stdin::Inherit },
        limits: Limits {
            time: args.timeout.filter(|time| !time.is_zero()),
            idle: args.idle_timeout.filter(|time| !time.is_zero()),
            stop: Stop {
                signal: args.stop_signal,
                to: Target::from_name(&args.stop_target).unwrap_or(Target::Tree),
                grace: args.grace,
            },
        },
        engine,
        telling: Telling { render: renderer(form), emit },
        moved: args.events == Some(EventsTarget::Stdout),
        events,
        show: renderer(show_form(settings)),
    };
    let outcome = wrap::run(options)
        .map_err(|error| CliError::new(Kind::Internal, "wrap the command").cause(os_words(&error)))?;
    match outcome.ending {
        Ending::Status(status) => Ok(Exit::Command(status)),
        Ending::Signal(signal) => end_by(signal),
    }
}

/// How alerts and decisions are shown on standard error: always for people.
fn show_form(settings: &Settings) -> Form {
    let color = match settings.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            io::stderr().is_terminal()
                && anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
        }
    };
    Form::Text { color }
}
