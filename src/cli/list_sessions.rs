//! `list-sessions`: the sessions in the agents' own folders, the newest first.

use std::collections::HashSet;
use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::args::{Globals, ListSessionsArgs};
use super::check_tokens::{Level, of_project, percentage, source};
use super::status_line::shown;
use super::tap::engine_options;
use super::usage::{TRANSCRIPTS, folders, terminal_width};
use super::{CliError, Exit, Kind, load_settings, prices};
use crate::engine::redact::excerpt;
use crate::engine::usage::context::Fill;
use crate::engine::usage::price::Prices;
use crate::model::Timestamp;
use crate::profile::Profile;
use crate::profile::transcript::Surroundings;
use crate::runtime::context::{self, Overview};
use crate::runtime::{clock, transcripts};
use crate::settings::Loaded;
use crate::source::os_words;
use crate::source::walk::{self, Globs};

/// How many characters of a task are told.
const TASK: usize = 200;

/// How many of them are shown where nothing says how wide a line is.
const SHOWN: usize = 60;

/// How few of them are worth a place in the line; with fewer, they get a line of their own.
const FEW: usize = 24;

/// How many characters of a project are shown.
const PROJECT: usize = 28;

/// From how many percent of the window on it is a warning, and critical: as `check-tokens` has it.
const THRESHOLDS: (f64, f64) = (80.0, 90.0);

/// A session.
struct Session {
    path: PathBuf,
    written: Timestamp,
    overview: Overview,
    fill: Option<Fill>,
    task: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// The settings are wrong, there is no current directory, or standard output cannot be written. That there are no sessions is
/// none.
pub fn run(args: &ListSessionsArgs, globals: &Globals) -> Result<Exit, CliError> {
    let loaded = load_settings(globals, Vec::new())?;
    let paths = if args.all { everywhere(&loaded)? } else { of_this_project(&loaded)? };
    let (sessions, unseen) = sessions(&paths, args, &loaded)?;
    let terminal = io::stdout().is_terminal();
    let text = if args.json {
        sessions.iter().map(as_json).collect()
    } else {
        as_table(&sessions, args.all, terminal_width())
    };
    let written = anstream::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    written.map_err(|error| CliError::output(&error))?;
    if sessions.is_empty() {
        let whose = args.agent.as_deref().map(|agent| format!(" of {agent}")).unwrap_or_default();
        let _ = match args.all {
            true => writeln!(anstream::stderr(), "There are no sessions{whose}."),
            false => writeln!(
                anstream::stderr(),
                "There are no sessions{whose} of this project; --all lists those of every one."
            ),
        };
    } else if unseen > 0 && terminal {
        let _ = writeln!(anstream::stderr(), "There may be {unseen} more; --limit 0 lists all.");
    }
    Ok(Exit::Ok)
}

/// The transcripts of the project in the current directory, the newest first.
fn of_this_project(loaded: &Loaded) -> Result<Vec<PathBuf>, CliError> {
    let directory = env::current_dir().and_then(|directory| directory.canonicalize()).map_err(|error| {
        CliError::new(Kind::NoInput, "find the current directory").cause(os_words(&error))
    })?;
    Ok(of_project(&directory, loaded))
}

/// All transcripts, the newest first.
fn everywhere(loaded: &Loaded) -> Result<Vec<PathBuf>, CliError> {
    let globs = Globs::new(&TRANSCRIPTS).map_err(CliError::from)?;
    let walked = walk::walk(&folders().0, &globs, loaded.settings.threads);
    let inputs = walked.inputs.into_iter().filter(|input| input.kind == walk::Kind::File);
    let mut paths: Vec<PathBuf> = inputs.map(|input| input.path).collect();
    let home = env::home_dir();
    let variable = |name: &str| env::var(name).ok();
    let surroundings = Surroundings { home: home.as_deref(), cwd: Path::new("/"), variable: &variable };
    let own = loaded.profiles.iter().map(|profile| profile as &dyn Profile);
    paths.extend(transcripts::of_project(own, &surroundings));
    paths.sort();
    paths.dedup();
    let written = |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let mut dated: Vec<(Option<SystemTime>, PathBuf)> =
        paths.into_iter().map(|path| (written(&path), path)).collect();
    dated.sort_by(|one, other| other.cmp(one));
    Ok(dated.into_iter().map(|(_, path)| path).collect())
}

/// Returns as many sessions as are wanted, and how many files were not looked at.
fn sessions(
    paths: &[PathBuf],
    args: &ListSessionsArgs,
    loaded: &Loaded,
) -> Result<(Vec<Session>, usize), CliError> {
    let options = engine_options(loaded)?;
    let prices = prices::in_force(None)?.0;
    let threads = match loaded.settings.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let wanted = if args.limit == 0 { usize::MAX } else { args.limit };
    let (mut sessions, mut known, mut rest) = (Vec::new(), HashSet::new(), paths);
    while !rest.is_empty() && sessions.len() < wanted {
        // Some of the files are those of sub-agents.
        let (now, later) = rest.split_at(rest.len().min(wanted.saturating_mul(2).clamp(16, 1024)));
        let seen = context::overviews(now, &options, threads)
            .map_err(|error| CliError::new(Kind::Internal, "start a thread").cause(os_words(&error)))?;
        for (at, (path, overview)) in now.iter().zip(seen).enumerate() {
            let session = overview.and_then(|overview| session(path, overview, args, &prices));
            let Some(session) = session else { continue };
            let window = &session.overview.sight.window;
            let id = (session.overview.sight.agent, window.session().map(str::to_owned));
            if id.1.is_some() && !known.insert(id) {
                continue;
            }
            sessions.push(session);
            if sessions.len() == wanted {
                return Ok((sessions, rest.len() - at - 1));
            }
        }
        rest = later;
    }
    Ok((sessions, 0))
}

/// Returns the session of a file; `None` if it holds no main conversation of an agent that is asked for.
fn session(path: &Path, overview: Overview, args: &ListSessionsArgs, prices: &Prices) -> Option<Session> {
    let sight = &overview.sight;
    let meant = args.agent.as_deref().is_none_or(|agent| agent == sight.agent);
    if !meant || sight.agent == "unknown" || !sight.window.has_begun() {
        return None;
    }
    let fill = overview.is_known.then(|| sight.window.fill(None, prices));
    let task = sight.task.as_deref().map(|task| excerpt(task, TASK)).filter(|task| !task.is_empty());
    Some(Session { path: path.to_owned(), written: clock::written(path)?, overview, fill, task })
}

fn level(fill: &Fill) -> Level {
    Level::by(fill, THRESHOLDS.0, THRESHOLDS.1)
}

fn as_json(session: &Session) -> String {
    let sight = &session.overview.sight;
    let fill = session.fill.as_ref();
    let line = json!({
        "agent": sight.agent,
        "session": sight.window.session(),
        "project": sight.project,
        "last_activity": session.written,
        "model": sight.window.model(),
        "tokens": fill.map(|fill| fill.tokens),
        "limit": fill.and_then(|fill| fill.limit),
        "percent": fill.and_then(percentage),
        "level": fill.map_or(Level::Unknown, level).name(),
        "source": fill.map(source),
        "task": session.task,
        "path": session.path.to_string_lossy(),
    });
    format!("{line}\n")
}

// ------------------------------------------------------------------------------------------------ table

fn as_table(sessions: &[Session], projects: bool, width: Option<usize>) -> String {
    if sessions.is_empty() {
        return String::new();
    }
    let now = clock::now();
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    let mut rows = vec![["LAST", "AGENT", "WINDOW", "SESSION", "PROJECT"].map(str::to_owned)];
    for session in sessions {
        let sight = &session.overview.sight;
        rows.push([
            ago(session.written, now),
            sight.agent.to_owned(),
            session.fill.as_ref().map_or_else(|| "?".to_owned(), full),
            sight.window.session().map_or_else(|| "?".to_owned(), shown),
            sight.project.as_deref().map(project).unwrap_or_default(),
        ]);
    }
    let columns = if projects { 5 } else { 4 };
    let widest = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    let left = |columns: usize| {
        let taken: usize = widths[..columns].iter().map(|width| width + 2).sum();
        width.map_or(SHOWN, |width| width.saturating_sub(taken))
    };
    // Where the line is too short, project and task get one of their own.
    let together = left(columns) >= FEW;
    let in_line = if together { columns } else { 4 };
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let session = number.checked_sub(1).map(|at| &sessions[at]);
        let style = match session {
            None => bold,
            Some(session) => match session.fill.as_ref().map(level) {
                Some(Level::Warning) => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
                Some(Level::Critical) => Style::new().fg_color(Some(AnsiColor::Red.into())),
                _ => Style::new(),
            },
        };
        let task = session.map_or(Some("TASK"), |session| session.task.as_deref()).unwrap_or_default();
        let mut line = String::new();
        for (at, cell) in row[..in_line].iter().enumerate() {
            let width = widths[at];
            let _ = match (at, session) {
                (_, None) if at == 2 => write!(line, "{bold}{cell:>width$}{bold:#}  "),
                (_, None) => write!(line, "{bold}{cell:<width$}{bold:#}  "),
                (2, _) => write!(line, "{style}{cell:>width$}{style:#}  "),
                _ => write!(line, "{cell:<width$}  "),
            };
        }
        if together {
            let task = cut(task, left(columns));
            let _ =
                if session.is_none() { write!(line, "{bold}{task}{bold:#}") } else { write!(line, "{task}") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
        if !together && session.is_some() {
            let about = [row[4].as_str(), task];
            let about = &about[usize::from(!projects || row[4].is_empty())..];
            let about = cut(&about.join(": "), width.unwrap_or(SHOWN).saturating_sub(2));
            if !about.is_empty() {
                let _ = writeln!(text, "  {dim}{about}{dim:#}");
            }
        }
    }
    text
}

/// How full a window is, in a few characters.
fn full(fill: &Fill) -> String {
    let about = if fill.estimated { "~" } else { "" };
    match percentage(fill) {
        Some(percent) => format!("{about}{:.0} %", percent.floor()),
        None => "?".to_owned(),
    }
}

/// The end of a project's path, where paths differ; `~` is the home directory.
fn project(path: &str) -> String {
    let home = env::home_dir();
    let below = home.as_deref().and_then(|home| Path::new(path).strip_prefix(home).ok());
    let text = match below {
        Some(below) if below.as_os_str().is_empty() => "~".to_owned(),
        Some(below) => format!("~/{}", below.display()),
        None => path.to_owned(),
    };
    let text = excerpt(&text, usize::MAX);
    let length = text.chars().count();
    if length <= PROJECT {
        return text;
    }
    let end: String = text.chars().skip(length - PROJECT + 1).collect();
    // Whole names, if one is short enough.
    let at = end.find('/').unwrap_or(0);
    format!("…{}", &end[at..])
}

/// The beginning of a text.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short + "…"
}

/// How long ago something was, in one unit.
fn ago(then: Timestamp, now: Timestamp) -> String {
    let minutes = now.seconds_since(then).max(0) / 60;
    match minutes {
        0 => "now".to_owned(),
        1..=59 => format!("{minutes} min"),
        60..=2879 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / (60 * 24)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let now = Timestamp::from_seconds(10_000_000);
        for (seconds, words) in
            [(-5, "now"), (59, "now"), (60, "1 min"), (3600, "1 h"), (172_799, "47 h"), (172_800, "2 d")]
        {
            assert_eq!(ago(now.plus_seconds(-seconds), now), words);
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(cut("fix the tests", 13), "fix the tests");
        assert_eq!(cut("fix the tests", 9), "fix the…");
        assert_eq!(cut("é".repeat(5).as_str(), 3), "éé…");
        assert_eq!(cut("x", 0), "…");
        assert_eq!(project("/a/very/long/way/down/to/some/project"), "…/way/down/to/some/project");
        assert_eq!(project(&"x".repeat(99)).chars().count(), PROJECT);
    }
}
