//! `wrap`: runs a command and watches it.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{EventsTarget, Globals, WrapArgs};
use super::tap::{engine_options, lookout, open_target, resolve, use_stored_prices};
use super::{CliError, Exit, Kind, load_settings};
use crate::child::caught::end_by;
use crate::child::group::Target;
use crate::child::spawn::keep_from_child;
use crate::engine;
use crate::model::EventType;
use crate::model::{Class, Strategy};
use crate::profile::{self, Agent, Profile, Prompt, Terminals};
use crate::recovery::{self, Allowed, Plan, Run};
use crate::runtime::Telling;
use crate::runtime::wrap::act::{Acting, BackoffMode, First, chance};
use crate::runtime::wrap::attempt::Stdin;
use crate::runtime::wrap::effect::{Ending, Launch};
use crate::runtime::wrap::keeper::{Limits, Stop};
use crate::runtime::wrap::plan::PtyMode;
use crate::runtime::wrap::prompt::{self, Kept};
use crate::runtime::wrap::stored::{self, Stored};
use crate::runtime::wrap::{self, Options};
use crate::settings::{Color, Loaded, Settings};
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
    let mut engine = engine_options(&loaded)?;
    use_stored_prices(&mut engine);
    let engine = Arc::new(engine);
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
    let own: Vec<&dyn Profile> = loaded.profiles.iter().map(|profile| profile as &dyn Profile).collect();
    let acting = args.act.as_ref().map(|_| acting(args, &loaded, &engine, &own)).transpose()?;
    let options = Options {
        launch: Launch { argv: args.command.clone() },
        pty: PtyMode::from_name(&args.pty).unwrap_or_default(),
        stdin: match &acting {
            _ if args.stdin == "null" => Stdin::Null,
            Some(acting) => acting.kept.first(),
            None => Stdin::Inherit,
        },
        limits: Limits {
            time: args.timeout.filter(|time| !time.is_zero()),
            idle: args.idle_timeout.filter(|time| !time.is_zero()),
            stop: Stop {
                signal: args.stop_signal,
                to: Target::from_name(&args.stop_target).unwrap_or(Target::Tree),
                grace: args.grace,
            },
        },
        lookout: {
            let engine = Arc::clone(&engine);
            Box::new(move |spent| lookout(&engine, spent))
        },
        engine,
        telling: Telling { render: renderer(form), emit },
        moved: args.events == Some(EventsTarget::Stdout),
        events,
        show: renderer(show_form(settings)),
    };
    let outcome = wrap::run(options, acting)
        .map_err(|error| CliError::new(Kind::Internal, "wrap the command").cause(os_words(&error)))?;
    match outcome.ending {
        Ending::Status(status) => Ok(Exit::Command(status)),
        Ending::Signal(signal) => end_by(signal),
    }
}

/// Puts together what acting takes.
fn acting<'p>(
    args: &WrapArgs,
    loaded: &Loaded,
    engine: &Arc<engine::Options>,
    own: &[&'p dyn Profile],
) -> Result<Acting<'p>, CliError> {
    let settings = &loaded.settings;
    let mut options = recovery::Options::new(
        Class::ALL.iter().map(|class| (*class, engine.policy.class(*class).strategy)).collect(),
    );
    if let Some(names) = args.act.as_ref().filter(|names| !names.iter().any(|name| name == "all")) {
        options.allowed = Allowed::Only(names.iter().filter_map(|name| Strategy::from_name(name)).collect());
    }
    options.max_auto_retries = settings.max_auto_retries;
    options.backoff_base_sec = settings.backoff_base_sec;
    options.backoff_max_sec = settings.backoff_max_sec;
    options.reset_margin_sec = settings.reset_margin_sec;
    options.long_backoff_base_sec = settings.long_backoff_base_sec;
    options.long_backoff_max_sec = settings.long_backoff_max_sec;
    options.unknown_reset_sec = settings.unknown_reset_sec;
    options.unknown_reset_max_sec = settings.unknown_reset_max_sec;
    options.stall_sec = settings.stall_sec;
    options.tool_stall_sec = settings.tool_stall_sec;
    options.settle_sec = settings.settle_sec;
    options.fallback_model.clone_from(&args.fallback_model);
    if let Some(restarts) = args.max_restarts {
        options.max_restarts = restarts;
    }
    if let Some(wait) = args.max_wait {
        options.max_wait_sec = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
    }
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let folder = stored::folder(&variable).map(|folder| folder.join("wrap"));
    let parts = match &args.resume_wait {
        Some(path) => taken_up(path, args.dry_run, folder, own)?,
        None => begun(args, folder, own)?,
    };
    let cwd = PathBuf::from(parts.run.cwd());
    Ok(Acting {
        agent: parts.agent,
        options,
        dry_run: args.dry_run,
        backoff: BackoffMode::from_name(&args.backoff_mode).unwrap_or_default(),
        run: parts.run,
        first: parts.first,
        kept: parts.kept,
        store: parts.store,
        untold: parts.untold,
        engine: Arc::clone(engine),
        cwd,
        home: variable("HOME"),
    })
}

/// What depends on whether a run is begun or taken up.
struct Parts<'p> {
    agent: Agent<'p>,
    run: Run,
    first: First,
    kept: Kept,
    store: Option<PathBuf>,
    untold: Option<String>,
}

/// Begins a run.
fn begun<'p>(
    args: &WrapArgs,
    folder: Option<PathBuf>,
    own: &[&'p dyn Profile],
) -> Result<Parts<'p>, CliError> {
    let argv = args.command.iter().map(|word| word.to_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    let argv = argv.ok_or_else(|| {
        CliError::new(Kind::Usage, "act on a command line that is not UTF-8").hint("wrap it without --act")
    })?;
    let terminals = Terminals { stdin: io::stdin().is_terminal(), stdout: io::stdout().is_terminal() };
    let agent = match args.profile.as_deref().filter(|name| *name != "auto") {
        None => Agent::recognise(&argv, own, terminals),
        Some(name) => {
            let profile = profile::by_name(name, own).ok_or_else(|| {
                let mut names: Vec<String> = own.iter().map(|profile| profile.name().to_owned()).collect();
                names.extend(profile::names().map(str::to_owned));
                CliError::new(Kind::Usage, format!("find a profile named `{name}`"))
                    .hint(format!("there are: {}", names.join(", ")))
            })?;
            Agent::forced(profile, &argv, terminals)
        }
    };
    let cwd = std::env::current_dir()
        .map_err(|error| CliError::new(Kind::Io, "find out the working directory").cause(os_words(&error)))?;
    let (run, first) = Run::begin(&agent, &cwd.to_string_lossy(), terminals, &chance());
    let store = folder.map(|folder| folder.join(format!("{}.json", &chance().uuid[..8])));
    let expected = agent.invocation.mode.is_headless()
        && matches!(agent.invocation.prompt, Prompt::Stdin | Prompt::ArgumentAndStdin(_))
        && args.stdin != "null"
        && !args.dry_run;
    let kept = Kept::take(expected, agent.invocation.prompt == Prompt::Stdin)
        .map_err(|error| CliError::new(Kind::Io, "keep standard input").cause(os_words(&error)))?;
    // What is only said must not change the command.
    let first = if args.dry_run { args.command.clone() } else { os_strings(&first.argv) };
    let first = Launch { argv: first };
    Ok(Parts { agent, run, first: First::Command(first), kept, store, untold: None })
}

fn os_strings(words: &[String]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Takes up a stored run.
fn taken_up<'p>(
    path: &Path,
    dry_run: bool,
    folder: Option<PathBuf>,
    own: &[&'p dyn Profile],
) -> Result<Parts<'p>, CliError> {
    let path = if path.as_os_str().is_empty() {
        let left = folder.as_deref().map_or_else(|| Ok(Vec::new()), stored::left);
        let left = left.map_err(|error| {
            CliError::new(Kind::NoInput, "look for a run that waits").cause(os_words(&error))
        })?;
        left.last().cloned().ok_or_else(|| {
            CliError::new(Kind::NoInput, "find a run that waits")
                .hint("a run is stored while it waits for its time, and only then")
        })?
    } else {
        path.to_owned()
    };
    // It outlives the change to the run's directory.
    let path = std::path::absolute(&path)
        .map_err(|error| CliError::new(Kind::Io, "find out the working directory").cause(os_words(&error)))?;
    let cannot = |cause: String| {
        CliError::new(Kind::Data, format!("take up the run in `{}`", path.display())).cause(cause)
    };
    // A dry run only looks: the run stays for who means it.
    let stored = if dry_run { Stored::unclaimed(&path) } else { stored::claim(&path) };
    let stored = stored.map_err(|error| cannot(os_words(&error).to_string()))?;
    let run = stored.run().map_err(|error| cannot(error.to_string()))?;
    let Some(Plan::Start(start)) = run.plan().cloned() else {
        return Err(cannot("it does not wait for a start".to_owned()));
    };
    std::env::set_current_dir(run.cwd())
        .map_err(|error| cannot(format!("its directory {}: {}", run.cwd(), os_words(&error))))?;
    let profile = profile::by_name(run.profile(), own)
        .ok_or_else(|| cannot(format!("there is no profile `{}` any more", run.profile())))?;
    let agent = Agent::forced(profile, run.argv(), run.terminals());
    let kept = match stored.stdin {
        Some(file) => prompt::take_up(&file).map_err(|error| cannot(os_words(&error).to_string()))?,
        None if stored.stdin_is_lost => Kept::Once,
        None if io::stdin().is_terminal() => Kept::Terminal,
        None => Kept::Nothing,
    };
    let untold = stored.decision.filter(|_| !dry_run);
    Ok(Parts { agent, run, first: First::Planned(start), kept, store: Some(path), untold })
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
