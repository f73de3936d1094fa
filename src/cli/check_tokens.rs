//! `check-tokens`: how full the window of a session is, as an exit status.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::json;

use super::args::{CheckTokensArgs, Globals};
use super::tap::engine_options;
use super::usage::{folders, grouped, printable};
use super::{CliError, Exit, Kind, load_settings, prices, print};
use crate::engine::Options;
use crate::engine::usage::context::Fill;
use crate::profile::transcript::Surroundings;
use crate::profile::{PROFILES, Profile};
use crate::runtime::context::{self, Sight};
use crate::runtime::scan::FileTrouble;
use crate::runtime::transcripts;
use crate::settings::Loaded;
use crate::source::os_words;

/// How many files are looked at for one that holds a main conversation: those of sub-agents may be newer.
const LOOK_AT: usize = 64;

/// How near the end of the window is, by the thresholds of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    Warning,
    Critical,
    /// What the window holds is not known.
    Unknown,
}

impl Level {
    fn of(fill: &Fill, args: &CheckTokensArgs) -> Self {
        Self::by(fill, args.warning, args.critical)
    }

    /// Returns the level by these percentages.
    pub(super) fn by(fill: &Fill, warning: f64, critical: f64) -> Self {
        let Some(limit) = fill.limit.filter(|limit| *limit > 0) else { return Self::Unknown };
        // Multiplied, not divided: 80 % of a limit is reached exactly where it is.
        let reached = |percent: f64| fill.tokens as f64 * 100.0 >= limit as f64 * percent;
        match () {
            () if reached(critical) => Self::Critical,
            () if reached(warning) => Self::Warning,
            () => Self::Ok,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// The command line or the settings are wrong; there is no such session, or its file cannot be read to the end; what its
/// window holds is not known.
pub fn run(args: &CheckTokensArgs, globals: &Globals) -> Result<Exit, CliError> {
    if args.warning > args.critical {
        return Err(CliError::new(Kind::Usage, "compare with the thresholds")
            .cause(format!("--warning {} is above --critical {}", args.warning, args.critical)));
    }
    let loaded = load_settings(globals, Vec::new())?;
    let options = engine_options(&loaded)?;
    let (prices, _) = prices::in_force(args.prices.as_deref())?;
    let (path, sight) = find(args, &options, &loaded)?;
    let fill = sight.window.fill(args.limit, &prices);
    let level = Level::of(&fill, args);
    let text =
        if args.json { as_json(args, &path, &sight, &fill) } else { as_text(args, &path, &sight, &fill) };
    print(text.as_bytes())?;
    match level {
        Level::Ok => Ok(Exit::Ok),
        Level::Warning => Ok(Exit::Warning),
        Level::Critical => Ok(Exit::Critical),
        Level::Unknown => Err(CliError::new(Kind::Unavailable, "tell how full the window is")
            .cause(match sight.window.model() {
                Some(model) => format!("how much the window of `{}` holds is not known", printable(model)),
                None => "the agent does not say which model it uses".to_owned(),
            })
            .hint("say it: --limit 200000")),
    }
}

/// Returns the session that is meant.
fn find(args: &CheckTokensArgs, options: &Options, loaded: &Loaded) -> Result<(PathBuf, Sight), CliError> {
    if let Some(path) = &args.file {
        let sight = look(path, options)?;
        if !sight.window.has_begun() {
            return Err(CliError::new(Kind::NoInput, format!("find a session in `{}`", path.display()))
                .cause("nothing in it is of an agent's main conversation"));
        }
        return Ok((path.clone(), sight));
    }
    let (what, found, looked) = match &args.session {
        Some(id) => {
            let (there, wanted) = folders();
            let what = format!("find the session `{}`", printable(id));
            (what, transcripts::of_session(&there, id), wanted)
        }
        None => {
            let directory = match &args.workspace {
                Some(directory) => directory.clone(),
                None => env::current_dir().map_err(|error| {
                    CliError::new(Kind::NoInput, "find the current directory").cause(os_words(&error))
                })?,
            };
            let directory = fs::canonicalize(&directory).map_err(|error| {
                CliError::new(Kind::NoInput, format!("find `{}`", directory.display()))
                    .cause(os_words(&error))
            })?;
            let what = format!("find a session of the project in `{}`", directory.display());
            (what, of_project(&directory, loaded), folders().1)
        }
    };
    let mut trouble = None;
    for path in found.into_iter().take(LOOK_AT) {
        match look(&path, options) {
            Ok(sight) if sight.window.has_begun() => return Ok((path, sight)),
            Ok(_) => {}
            // An older session must not be taken for one that cannot be read.
            Err(error) => {
                trouble = Some(error);
                break;
            }
        }
    }
    Err(trouble.unwrap_or_else(|| {
        let names: Vec<String> = looked.iter().map(|folder| folder.display().to_string()).collect();
        CliError::new(Kind::NoInput, what)
            .cause(format!("there is none in {}", names.join(", ")))
            .hint("name its transcript: session-doctor check-tokens FILE")
    }))
}

/// Returns the sessions of a project, the newest first. Where there are none of the directory itself, those of the
/// directories above it, up to the top of its repository.
pub(super) fn of_project(directory: &Path, loaded: &Loaded) -> Vec<PathBuf> {
    let home = env::home_dir();
    let variable = |name: &str| env::var(name).ok();
    for folder in directory.ancestors() {
        let surroundings = Surroundings { home: home.as_deref(), cwd: folder, variable: &variable };
        let own = loaded.profiles.iter().map(|profile| profile as &dyn Profile);
        let all = own.chain(PROFILES.iter().copied());
        let found = transcripts::of_project(all, &surroundings);
        if !found.is_empty() || folder.join(".git").exists() {
            return found;
        }
    }
    Vec::new()
}

fn look(path: &Path, options: &Options) -> Result<Sight, CliError> {
    context::look(path, options).map_err(|trouble| match trouble {
        FileTrouble::Read(error) => CliError::from(&error),
        FileTrouble::Engine(path) => {
            CliError::new(Kind::Internal, format!("read all of `{}`", path.display()))
                .cause("the engine failed on it")
        }
    })
}

/// The percentage to one digit, never more than there is.
pub(super) fn percentage(fill: &Fill) -> Option<f64> {
    let limit = fill.limit.filter(|limit| *limit > 0)?;
    let thousandths = u128::from(fill.tokens) * 1000 / u128::from(limit);
    Some(thousandths as f64 / 10.0)
}

fn as_json(args: &CheckTokensArgs, path: &Path, sight: &Sight, fill: &Fill) -> String {
    let line = json!({
        "level": Level::of(fill, args).name(),
        "tokens": fill.tokens,
        "limit": fill.limit,
        "percent": percentage(fill),
        "source": source(fill),
        "limit_source": fill.limit_source.map(|source| source.name()),
        "warning": args.warning,
        "critical": args.critical,
        "agent": sight.agent,
        "session": sight.window.session(),
        "model": sight.window.model(),
        "path": path.to_string_lossy(),
    });
    format!("{line}\n")
}

pub(super) fn source(fill: &Fill) -> &'static str {
    if fill.estimated { "estimate" } else { "usage" }
}

fn as_text(args: &CheckTokensArgs, path: &Path, sight: &Sight, fill: &Fill) -> String {
    let level = Level::of(fill, args).name();
    let tokens = grouped(i64::try_from(fill.tokens).unwrap_or(i64::MAX));
    let limit = fill.limit.map(|limit| grouped(i64::try_from(limit).unwrap_or(i64::MAX)));
    let (about, source) = match fill.estimated {
        true => ("about ", "estimated from the words since the last compaction or the beginning"),
        false => ("", "by the usage of the last request"),
    };
    let share = match (limit, percentage(fill)) {
        (Some(limit), Some(percent)) => format!("of {limit} tokens, {percent:.1} %"),
        _ => "tokens".to_owned(),
    };
    let whose = [Some(sight.agent), sight.window.model(), sight.window.session()];
    let whose: Vec<String> = whose.into_iter().flatten().map(printable).collect();
    let path = printable(&path.to_string_lossy());
    format!("{level}: {about}{tokens} {share} ({source})\n{}\n{path}\n", whose.join(", "))
}

/// Reads a percentage as `--warning` takes it.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    number
        .filter(|number| *number > 0.0 && *number <= 100.0)
        .ok_or_else(|| "a percentage is a number above 0, and at most 100".to_owned())
}
