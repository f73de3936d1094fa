//! `statusline`: one line for Claude Code's status line. Whatever comes in, something short goes out, and nothing of it is
//! obeyed by a terminal.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};

use super::usage::printable;
use super::{CliError, Exit, Kind, prices};
use crate::engine::Options;
use crate::engine::format::StatusLine;
use crate::engine::usage::context::pressure_of;
use crate::engine::usage::price::Prices;
use crate::model::Pressure;
use crate::model::Timestamp;
use crate::runtime::{clock, context};
use crate::source::os_words;

/// How much of standard input is read, in bytes: what Claude Code writes is 2 KiB.
const INPUT_LIMIT: u64 = 1 << 20;

/// How many characters of a model's name are shown.
const NAME: usize = 40;

/// What is shown when nothing was told.
const NOTHING: &str = "session-doctor: nothing told";

/// How full the window is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Full {
    percent: f64,
    estimated: bool,
}

/// Runs the command.
///
/// # Errors
/// Standard input is a terminal, or standard output cannot be written. That the input makes no sense is no error.
pub fn run() -> Result<Exit, CliError> {
    if io::stdin().is_terminal() {
        return Err(CliError::new(Kind::Usage, "read what Claude Code tells its status line")
            .cause("standard input is a terminal")
            .hint("set it as the command of `statusLine` in Claude Code's settings.json"));
    }
    let mut input = Vec::new();
    let read = io::stdin().take(INPUT_LIMIT).read_to_end(&mut input);
    read.map_err(|error| CliError::new(Kind::Io, "read standard input").cause(os_words(&error)))?;
    let told = StatusLine::read(&input);
    let full = match told.context_percent {
        Some(percent) => Some(Full { percent, estimated: false }),
        None => told.transcript.as_deref().and_then(|path| by_transcript(path, told.context_limit)),
    };
    let line = line(&told, full, clock::now()) + "\n";
    let mut out = anstream::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(|error| CliError::output(&error))?;
    Ok(Exit::Ok)
}

/// Looks at the end of the transcript, if that is a file and its end is enough.
fn by_transcript(path: &str, limit: Option<u64>) -> Option<Full> {
    let sight = context::glance(Path::new(path), &Options::new())?;
    let prices = || sight.window.model().map_or_else(|| Prices::built_in().clone(), prices::quietly);
    let fill = sight.window.has_begun().then(|| sight.window.fill(limit, &prices()))?;
    Some(Full { percent: fill.share()? * 100.0, estimated: fill.estimated })
}

fn line(told: &StatusLine, full: Option<Full>, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Some(model) = told.model.as_deref().map(shown).filter(|model| !model.is_empty()) {
        parts.push(model);
    }
    if let Some(Full { percent, estimated }) = full {
        let pressure = pressure_of(percent / 100.0);
        let (color, word) = match pressure {
            Pressure::Normal => (None, ""),
            Pressure::Elevated => (Some(AnsiColor::Yellow), ""),
            Pressure::Critical => (Some(AnsiColor::Red), " (critical)"),
            Pressure::Emergency => (Some(AnsiColor::Red), " (emergency)"),
        };
        let style = Style::new().fg_color(color.map(Into::into));
        let about = if estimated { "about " } else { "" };
        parts.push(format!("{style}context {about}{}{word}{style:#}", whole(percent)));
    }
    if let Some(cost) = told.cost_usd {
        parts.push(format!("${cost:.2}"));
    }
    let wait = told.five_hours.resets_at.map(|at| at.seconds_since(now)).filter(|wait| *wait > 0);
    // A window that has ended says nothing of the next one.
    let ended = told.five_hours.resets_at.is_some() && wait.is_none();
    match (told.five_hours.percent.filter(|_| !ended), wait) {
        (Some(percent), Some(wait)) => {
            parts.push(format!("5 h {}, resets in {}", whole(percent), duration(wait)))
        }
        (Some(percent), None) => parts.push(format!("5 h {}", whole(percent))),
        (None, Some(wait)) => parts.push(format!("5 h resets in {}", duration(wait))),
        (None, None) => {}
    }
    if parts.is_empty() { NOTHING.to_owned() } else { parts.join(" · ") }
}

/// A percentage without digits behind the point, never more than is full.
fn whole(percent: f64) -> String {
    format!("{:.0} %", percent.min(9999.0).floor())
}

fn duration(seconds: i64) -> String {
    // Rounded up: it is over when nothing is left.
    let minutes = seconds.saturating_add(59) / 60;
    let (days, hours) = (minutes / (24 * 60), minutes / 60 % 24);
    match (days, hours, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A name without anything that a terminal obeys or that turns the direction of the text.
pub(super) fn shown(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    printable(text).chars().filter(|c| !turns(*c)).take(NAME).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(told: &StatusLine, percent: f64) -> String {
        let line =
            line(told, Some(Full { percent, estimated: false }), Timestamp::from_seconds(1_795_280_000));
        anstream::adapter::strip_str(&line).to_string()
    }

    #[test]
    fn a_line_says_what_is_known() {
        let told = StatusLine::read(
            br#"{"model":{"display_name":"Opus 5.5"},"cost":{"total_cost_usd":1.834},"rate_limits":{"five_hour":{"used_percentage":97.2,"resets_at":1795287600}}}"#,
        );
        assert_eq!(drawn(&told, 18.9), "Opus 5.5 · context 18 % · $1.83 · 5 h 97 %, resets in 2 h 7 min");
        assert_eq!(drawn(&StatusLine::default(), 85.0), "context 85 % (critical)");
        let nothing = line(&StatusLine::default(), None, Timestamp::from_seconds(0));
        assert_eq!(nothing, NOTHING);
    }

    #[test]
    fn a_window_that_has_ended_is_not_shown() {
        let told = StatusLine::read(
            br#"{"rate_limits":{"five_hour":{"used_percentage":97.2,"resets_at":1795279999}}}"#,
        );
        assert_eq!(drawn(&told, 1.0), "context 1 %");
    }

    #[test]
    fn times_are_rounded_up_and_short() {
        for (seconds, words) in [(1, "1 min"), (3600, "1 h 0 min"), (3661, "1 h 2 min"), (200_000, "2 d 7 h")]
        {
            assert_eq!(duration(seconds), words);
        }
        assert!(duration(i64::MAX).len() < 40);
    }

    #[test]
    fn names_are_short_and_harmless() {
        assert_eq!(shown("a\u{1b}[2Jb\u{7}\nc\u{202e}d"), "abcd");
        assert_eq!(shown(&"x".repeat(1000)).len(), NAME);
    }
}
