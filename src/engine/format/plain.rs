//! Plain text: any program's output, with time stamps, levels and quote marks in front of its own words.
//!
//! Knows no agent. It only makes a line readable; whether it is a failure, the rules for plain lines decide.

use std::borrow::Cow;
use std::sync::OnceLock;

use jiff::tz::TimeZone;
use regex::Regex;

use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Body, LogLevel, Record, TextLine};
use crate::model::Timestamp;

/// The format that takes what no other does.
pub(super) static FORMAT: Plain = Plain;

/// Plain text.
pub(super) struct Plain;

impl Format for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn recognise(&self, _frame: Frame<'_>) -> bool {
        false
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder)
    }
}

struct Decoder;

impl Decode for Decoder {
    /// JSON in plain text is content: somebody's `cat`.
    fn json(&mut self, _frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        out(Record::new(Body::Lifecycle(crate::model::record::Lifecycle::Other)));
        Decoded::Yes
    }
}

/// Lines indented by more than this are somebody's quotation, code or continuation. Terminal programs indent their
/// own rows by two (Claude Code's `⎿` rows) or three.
const MAX_INDENT: usize = 3;

/// Makes a line readable: finds the time stamp, the level and the first of the program's own words.
///
/// `zone` is where a time stamp without a zone is taken to be from.
pub fn read_line<'a>(text: Cow<'a, str>, zone: &TimeZone) -> (Option<Timestamp>, TextLine<'a>) {
    static PREFIX: OnceLock<Regex> = OnceLock::new();
    let prefix = PREFIX.get_or_init(|| {
        Regex::new(
            r"(?x)^
            (?P<row> \s{0,4} (?:>|⎿|└|\|)\s{1,3} )?
            (?P<open> \[ )?
            (?P<time> \d{4}[-/.]\d\d[-/.]\d\d [T\s] \d\d:\d\d:\d\d (?:[.,]\d{1,9})? (?:\s?(?:Z|UTC|[+-]\d\d:?\d\d))? )?
            (?P<close> \]? )
            (?P<between> [\s:|-]{0,8} (?:\w[\w.]{0,40}\s-\s)? )
            (?P<level> (?: \[?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|FATAL|CRITICAL|PANIC)\]?:? | \[(?:trace|debug|info|notice|warn|warning|error|fatal|critical)\] ) (?:$|[\s:-]) )?
            (?P<after> [\s:|-]{0,8} (?:[\w./-]{1,60}\.\w{1,4}:\d{1,6}\s{1,3})? )
            ",
        )
        .expect("a constant pattern that the tests compile")
    });
    let mut line = TextLine { text, body: 0, level: None, content: false };
    let Some(found) = prefix.captures(&line.text) else {
        return (None, line);
    };
    let time_text = found.name("time").map(|time| time.as_str());
    let level_text = found.name("level").map(|level| level.as_str());
    let row = found.name("row");
    let end = if time_text.is_some() || (level_text.is_some() && found.name("open").is_none_or(|open| open.is_empty()))
    {
        found.get(0).map_or(0, |all| all.end())
    } else {
        row.map_or(0, |row| row.end())
    };
    let rest = &line.text[end..];
    let indent = rest.len() - rest.trim_start().len();
    let time = time_text.and_then(|time| parse_time(time, zone));
    line.level = level_text.map(read_level);
    line.content = end == 0 && indent > MAX_INDENT;
    line.body = end + indent;
    (time, line)
}

fn read_level(text: &str) -> LogLevel {
    let word = text.trim_matches(|c: char| !c.is_ascii_alphabetic()).to_ascii_uppercase();
    match word.as_str() {
        "ERROR" | "ERR" | "FATAL" | "CRITICAL" | "PANIC" => LogLevel::Error,
        "WARN" | "WARNING" => LogLevel::Warning,
        _ => LogLevel::Info,
    }
}

/// Reads `2026-11-20 05:00:01,123` and its relatives. `2023-23-10` (year, day, month) is seen in the wild.
fn parse_time(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    let (mut month, mut day) = (number(5..7)?, number(8..10)?);
    if month > 12 {
        std::mem::swap(&mut month, &mut day);
    }
    let rest = text.get(19..)?;
    let fraction: String = rest.trim_start_matches([',', '.']).chars().take_while(char::is_ascii_digit).collect();
    let nanos = format!("{fraction:0<9}").parse::<i32>().ok()?;
    let civil = jiff::civil::DateTime::new(
        number(0..4)?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        i8::try_from(number(11..13)?).ok()?,
        i8::try_from(number(14..16)?).ok()?,
        i8::try_from(number(17..19)?).ok()?,
        nanos,
    )
    .ok()?;
    let zone = match rest.find(['Z', 'U', '+', '-']).map(|at| &rest[at..]) {
        Some("Z" | "UTC") => TimeZone::UTC,
        Some(offset) => {
            let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
            let hours = digits.get(0..2)?.parse::<i32>().ok()?;
            let minutes = digits.get(2..4)?.parse::<i32>().ok()?;
            let seconds = (hours * 60 + minutes) * 60 * if offset.starts_with('-') { -1 } else { 1 };
            TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).ok()?)
        }
        None => zone.clone(),
    };
    Some(Timestamp::from(civil.to_zoned(zone).ok()?.timestamp()))
}

/// The shortest and the longest line, in bytes, that a terminal may have wrapped.
const WRAP_WIDTHS: std::ops::RangeInclusive<usize> = 60..=250;

/// How many bytes of wrapped lines are joined at most.
pub const JOIN_LIMIT: usize = 4 * 1024;

/// Returns whether a line may go on in the next one: long enough for a terminal to have wrapped it, and not ended
/// by its own punctuation.
pub fn may_continue(line: &str) -> bool {
    WRAP_WIDTHS.contains(&line.len()) && !line.trim_end().ends_with(['.', '!', '?', ';', ')', ']', '}'])
}

/// Joins a wrapped line with the next one, if that can be its continuation.
pub fn join(line: &str, next: &str, zone: &TimeZone) -> Option<String> {
    let words = next.trim_start();
    let first = words.chars().next()?;
    let (time, read) = read_line(Cow::Borrowed(next), zone);
    let new_start = time.is_some()
        || read.level.is_some()
        || matches!(first, '>' | '-' | '*' | '#' | '[' | '●' | '⏺' | '❯' | '⎿' | '|' | '`')
        || (first.is_ascii_uppercase() && !line.ends_with(' '))
        || line.len() + next.len() > JOIN_LIMIT;
    if new_start {
        return None;
    }
    Some(format!("{line}{words}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Option<String>, String, Option<LogLevel>, bool) {
        let (time, line) = read_line(Cow::Borrowed(text), &TimeZone::UTC);
        (time.map(|time| time.to_string()), line.text[line.body..].to_owned(), line.level, line.content)
    }

    #[test]
    fn log_prefixes_give_time_and_level() {
        for (text, time, body, level) in [
            (
                "[2023-23-10 00:32:14 INFO] error_code=x",
                Some("2023-10-23T00:32:14.000Z"),
                "error_code=x",
                Some(LogLevel::Info),
            ),
            (
                "2024-07-27 19:32:50,012 ERROR  Invalid key",
                Some("2024-07-27T19:32:50.012Z"),
                "Invalid key",
                Some(LogLevel::Error),
            ),
            (
                "2025-11-09T05:43:47.493667Z ERROR Failed to read",
                Some("2025-11-09T05:43:47.493Z"),
                "Failed to read",
                Some(LogLevel::Error),
            ),
            (
                "[2026-01-16 00:02:46] [ERROR] no file",
                Some("2026-01-16T00:02:46.000Z"),
                "no file",
                Some(LogLevel::Error),
            ),
            ("2026-01-16 00:02:46 +0100 x", Some("2026-01-15T23:02:46.000Z"), "x", None),
            ("ERROR: You've hit it", None, "You've hit it", Some(LogLevel::Error)),
            ("[WARNING] Loop detected", None, "Loop detected", Some(LogLevel::Warning)),
            (
                "2024-07-27 19:39:35,876 ERROR main.py:498  Quitting",
                Some("2024-07-27T19:39:35.876Z"),
                "Quitting",
                Some(LogLevel::Error),
            ),
            ("> litellm.Timeout: x", None, "litellm.Timeout: x", None),
            ("  ⎿  API Error: 529", None, "API Error: 529", None),
            ("[auto-resume] usage limit reached", None, "[auto-resume] usage limit reached", None),
            ("[API Error: x]", None, "[API Error: x]", None),
            ("Error: socket hang up", None, "Error: socket hang up", None),
        ] {
            let (got_time, got_body, got_level, content) = read(text);
            assert_eq!((got_time.as_deref(), got_body.as_str(), got_level), (time, body, level), "{text}");
            assert!(!content, "{text}");
        }
        assert!(read("        API Error: 529 quoted in code").3);
    }

    #[test]
    fn a_wrapped_line_is_joined_in_the_middle_of_a_word() {
        let line = "API Error: 400 {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_err";
        assert!(may_continue(line));
        let joined = join(line, "     or\",\"message\":\"prompt is too long\"}}", &TimeZone::UTC).unwrap();
        assert!(joined.contains("invalid_request_error\",\"message\":\"prompt is too long"));
        assert_eq!(join(line, "● I see", &TimeZone::UTC), None);
        assert_eq!(join(line, "2024-07-27 19:35:22,343 ERROR  x", &TimeZone::UTC), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,120}") {
            let (_, line) = read_line(Cow::Borrowed(text.as_str()), &TimeZone::UTC);
            prop_assert!(line.text.is_char_boundary(line.body));
        }
    }
}
