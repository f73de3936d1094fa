//! When may it be tried again? Reads the point in time out of the sentence that announces it.
//!
//! Providers and agents say it in many shapes: epochs, clocks with and without a zone, dates, durations, header
//! fields. A time counts only where the words before it announce a reset or a retry; a duration elsewhere ("timed out
//! after 30s") never does. Pure: the zone table is the bundled one, "now" and the host's zone are arguments.

use std::sync::OnceLock;

use jiff::Span;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use crate::model::class::Basis;
use crate::model::time::Timestamp;

/// When a limit ends or a retry makes sense, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetTime {
    /// The point in time, as the text has it: no slack is added, and it may lie in the past.
    pub at: Timestamp,
    /// `Asserted` when zone or unit are named; `Inferred` when the zone, the year or the hour was supplied here,
    /// or the text itself is vague ("about an hour").
    pub basis: Basis,
}

/// Bytes of the text that are looked at. Limit messages are sentences; the rest of a longer text is no part of one.
const MAX_TEXT: usize = 4096;

/// A clock time that passed less than this many seconds ago is that moment, not tomorrow's: the line is read a little
/// after it was printed, and the minutes in it are rounded down.
const JUST_PASSED_SECONDS: i64 = 5 * 60;

/// A date without a year is this year's (or last year's, in January) while it is at most this far in the past.
const DATE_PASSED_SECONDS: i64 = 2 * 86_400;

/// The longest wait that is believed. A yearly plan renews within it; larger numbers are no durations.
const MAX_WAIT_SECONDS: f64 = 400.0 * 86_400.0;

/// Words and marks allowed between the announcing word and the time ("reset when your monthly cycle ends on …").
const MAX_FILLERS: usize = 14;

/// Numbers in one duration ("4 days 20 hours 9 minutes").
const MAX_DURATION_PARTS: usize = 8;

/// Finds when `text` says that a limit resets or a retry makes sense: the latest such time in its first 4 KiB.
///
/// `text` has its typography folded and its case kept. `now` is the time of the line itself: durations count from it,
/// and a clock time is its next occurrence after it. `host_zone` is the zone of the machine that printed the line, for
/// times that name none. Returns `None` when no time is announced ("try again later", "resets weekly").
///
/// Clock times that a zone skips or repeats are resolved as RFC 5545 does it (jiff's "compatible").
pub fn find(text: &str, now: Timestamp, host_zone: &TimeZone) -> Option<ResetTime> {
    let text = head(text, MAX_TEXT);
    let lower = text.to_ascii_lowercase();
    let announced = announcements(&lower);
    if announced.is_empty() && !lower.contains('|') && lower.is_ascii() {
        return None;
    }
    let finder = Finder {
        text,
        lower: &lower,
        now,
        host_zone,
        // GLM's coding plan prints Beijing time without saying so, also when another agent relays the message.
        beijing: lower.contains("usage limit reached for") && lower.contains("your limit will reset at"),
    };
    let mut latest: Option<ResetTime> = None;
    let mut keep = |found: Option<ResetTime>| {
        if let Some(found) = found
            && latest.is_none_or(|latest| (found.at, latest.basis) > (latest.at, found.basis))
        {
            latest = Some(found);
        }
    };
    for (start, stem, kind) in announced {
        keep(finder.announced(start, stem, kind));
    }
    for (bar, _) in lower.match_indices('|') {
        keep(finder.after_bar(bar));
    }
    for (start, lead) in lower.match_indices("限额将在") {
        keep(finder.before_chinese_reset(start + lead.len()));
    }
    latest
}

/// Returns the beginning of `text`, at most `most` bytes, cut between characters.
fn head(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What kind of word announces the time, which decides how much may stand between the two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// "resets 3pm": the time may follow at once.
    Reset,
    /// "retry in 5s": a preposition, a colon or an equals sign must come first.
    Retry,
    /// "available at 3pm": as `Retry`, and never the name of a field.
    Word,
    /// "try again at 3pm": as `Word`, after "try" or "trying".
    Again,
    /// "wait 20 seconds before retrying": a duration, and the retry comes after it.
    Wait,
}

/// The beginnings of the announcing words, searched in lower case.
const STEMS: &[(&str, Kind)] = &[
    ("reset", Kind::Reset),
    ("retry", Kind::Retry),
    ("again", Kind::Again),
    ("regain", Kind::Word),
    ("renew", Kind::Word),
    ("refresh", Kind::Word),
    ("available", Kind::Word),
    ("wait", Kind::Wait),
];

/// Returns where announcing words begin, each with what it is.
fn announcements(lower: &str) -> Vec<(usize, &'static str, Kind)> {
    let mut found = Vec::new();
    for (at, pair) in lower.as_bytes().windows(2).enumerate() {
        // How all of them begin.
        if matches!(pair, b"re" | b"ag" | b"av" | b"wa") {
            let stands = |(stem, _): &&(&str, Kind)| lower.as_bytes()[at..].starts_with(stem.as_bytes());
            found.extend(STEMS.iter().filter(stands).map(|(stem, kind)| (at, *stem, *kind)));
        }
    }
    found
}

/// What stood between the announcing word and the time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// Nothing that says more.
    None,
    /// "at", "on", "until": a point in time follows.
    Point,
    /// "in", "within": a duration follows.
    Span,
    /// "after", a colon, an equals sign: either follows.
    Either,
}

/// A zone as the text names it.
struct Zone {
    zone: TimeZone,
    /// False for abbreviations that mean different zones in different countries.
    sure: bool,
}

/// The day of a point in time, as far as the text has it.
enum When {
    /// A date with its year.
    Full(Date),
    /// Month and day.
    MonthDay(i8, i8),
    /// A weekday: the next one.
    Weekday(Weekday),
    /// Days from today: 0 is "today", 1 is "tomorrow".
    Ahead(i64),
    /// No day at all.
    Open,
}

/// One search: the text, and what is needed to make a point in time of it.
struct Finder<'t> {
    text: &'t str,
    /// `text` in ASCII lower case: same length, same offsets.
    lower: &'t str,
    now: Timestamp,
    host_zone: &'t TimeZone,
    beijing: bool,
}

impl<'t> Finder<'t> {
    fn cursor(&self, at: usize) -> Cursor<'t> {
        Cursor { lower: self.lower, at }
    }

    /// Reads the time that the word beginning at `start` announces.
    fn announced(&self, start: usize, stem: &str, kind: Kind) -> Option<ResetTime> {
        let bytes = self.text.as_bytes();
        // Not inside another word ("presets", "ECONNRESET"), but as a part of a camel-case name ("nextResetTime").
        if let Some(before) = start.checked_sub(1).map(|at| bytes[at])
            && before.is_ascii_alphabetic()
            && !(before.is_ascii_lowercase() && bytes[start].is_ascii_uppercase())
        {
            return None;
        }
        let (begin, end) = self.name_around(start, start + stem.len());
        let before = self.word_before(begin);
        if kind == Kind::Reset
            && matches!(before, "connection" | "stream" | "socket" | "peer" | "was" | "were" | "been" | "git")
        {
            return None;
        }
        if matches!(kind, Kind::Reset | Kind::Retry) {
            let key: String = self.lower[begin..end].chars().filter(char::is_ascii_alphanumeric).collect();
            if let Some(found) = self.field(&key, self.cursor(end)) {
                return Some(found);
            }
        }
        let mut cursor = self.cursor(start);
        let word = cursor.word();
        cursor.skip(word.len());
        let fits = match kind {
            Kind::Reset => matches!(word, "reset" | "resets" | "resetting"),
            Kind::Retry => matches!(word, "retry" | "retrying"),
            Kind::Again => word == "again" && matches!(before, "try" | "trying"),
            Kind::Wait => matches!(word, "wait" | "waiting"),
            Kind::Word => matches!(
                word,
                "regain"
                    | "renew"
                    | "renews"
                    | "renewed"
                    | "refresh"
                    | "refreshes"
                    | "refreshed"
                    | "available"
            ),
        };
        if !fits {
            return None;
        }
        self.in_prose(cursor, kind)
    }

    /// Reads the time after an announcing word in a sentence; `cursor` stands behind that word.
    fn in_prose(&self, mut cursor: Cursor<'t>, kind: Kind) -> Option<ResetTime> {
        let mut lead = Lead::None;
        let mut vague = false;
        let mut new_line = false;
        for _ in 0..MAX_FILLERS {
            new_line |= cursor.skip_space();
            if let Some(mark) = cursor.first() {
                match mark {
                    ':' | '=' => lead = Lead::Either,
                    '~' => vague = true,
                    '"' | '\'' | '`' | '*' | '\\' | '(' | '\u{b7}' => {}
                    '-' if !cursor.second().is_some_and(|next| next.is_ascii_digit()) => {}
                    _ => {
                        if kind == Kind::Retry && cursor.skip_counter() {
                            continue;
                        }
                        match cursor.word() {
                            "at" | "on" | "by" | "until" | "from" => lead = Lead::Point,
                            "in" | "within" => lead = Lead::Span,
                            "after" => lead = Lead::Either,
                            "about" | "approximately" | "approx" | "around" | "roughly" => vague = true,
                            "again" | "access" | "your" | "the" | "limit" | "limits" | "quota" | "usage"
                            | "will" | "to" | "be" | "is" | "it" | "when" | "monthly" | "weekly"
                            | "daily" | "next" | "billing" | "cycle" | "ends" | "time" | "for"
                            | "request" | "requests" | "another" | "window" | "of" => {}
                            _ => break,
                        }
                        cursor.skip(cursor.word().len());
                        continue;
                    }
                }
                cursor.skip(mark.len_utf8());
            } else {
                break;
            }
        }
        let wait = kind == Kind::Wait;
        if lead == Lead::None && (new_line || !matches!(kind, Kind::Reset | Kind::Wait)) {
            return None;
        }
        if wait || matches!(lead, Lead::Span | Lead::Either) {
            let mut behind = cursor;
            if let Some(found) = self.duration(&mut behind, vague)
                && (!wait || behind.goes_on_with_retry())
            {
                return Some(found);
            }
        }
        (!wait && lead != Lead::Span).then(|| self.point(&mut cursor)).flatten()
    }

    /// Reads the value of a field whose name, without its separators and in lower case, is `key`.
    fn field(&self, key: &str, mut cursor: Cursor<'t>) -> Option<ResetTime> {
        let retry = key.contains("retry");
        if retry
            && (!["after", "delay", "retryin", "retryat", "nextretry"].iter().any(|part| key.contains(part))
                || ["max", "count", "attempt"].iter().any(|part| key.contains(part)))
        {
            return None;
        }
        let quoted = cursor.skip_quotes();
        cursor.skip_space();
        let braced = cursor.eat("{");
        if braced {
            // Protocol buffers as Google's Python client prints them: `retry_delay {\n  seconds: 38\n}`.
            cursor.skip_space();
            if !(retry && cursor.eat("seconds")) {
                return None;
            }
        }
        if !(cursor.eat("=>") || cursor.eat(":") || cursor.eat("=") || quoted && cursor.eat(",")) {
            return None;
        }
        cursor.skip_space();
        cursor.eat("[");
        cursor.skip_space();
        cursor.skip_quotes();
        let mut rest = cursor;
        if let Some(found) = self.point(&mut rest) {
            return Some(found);
        }
        rest = cursor;
        if let Some(found) = self.duration(&mut rest, false) {
            return Some(found);
        }
        let number = cursor.number()?;
        if cursor.first().is_some_and(|next| next.is_alphanumeric() || matches!(next, '/' | ':' | '-' | '%'))
        {
            return None;
        }
        let (seconds, basis) = match key {
            _ if ["ms", "millis", "milliseconds", "msec"].iter().any(|unit| key.ends_with(unit)) => {
                (number / 1e3, Basis::Asserted)
            }
            _ if ["seconds", "secs", "sec"].iter().any(|unit| key.ends_with(unit)) => {
                (number, Basis::Asserted)
            }
            // RFC 9110, section 10.2.3: delay-seconds.
            _ if key.ends_with("retryafter") => (number, Basis::Asserted),
            _ if braced => (number, Basis::Asserted),
            // The IETF's rate limit headers count seconds; others put an epoch there, which is read above.
            _ if key.contains("ratelimitreset") => (number, Basis::Inferred),
            _ if ["resetafter", "resetin", "resetsin"].iter().any(|end| key.ends_with(end)) => {
                (number, Basis::Inferred)
            }
            _ => return None,
        };
        self.after(seconds, basis)
    }

    /// Reads the epoch that old Claude versions print after a bar: `Claude AI usage limit reached|1795287600`.
    fn after_bar(&self, bar: usize) -> Option<ResetTime> {
        if !self.lower[..bar].trim_end().ends_with("reached") {
            return None;
        }
        let mut cursor = self.cursor(bar + 1);
        cursor.skip_space();
        self.epoch(&mut cursor)
    }

    /// Reads the Chinese wording of GLM's limit, in which the verb follows: `您的限额将在 2026-01-01 15:04:05 重置`.
    fn before_chinese_reset(&self, at: usize) -> Option<ResetTime> {
        let mut cursor = self.cursor(at);
        cursor.skip_space();
        let date = cursor.iso_date()?;
        cursor.skip_space();
        let time = cursor.clock()?;
        cursor.skip_space();
        let zone = Zone { zone: named_zone("Asia/Shanghai")?, sure: false };
        cursor.eat("重置").then(|| self.resolve(When::Full(date), Some(time), Some(zone))).flatten()
    }

    /// Reads a point in time: an epoch, a date, a weekday, a clock, with a zone or without.
    fn point(&self, cursor: &mut Cursor<'t>) -> Option<ResetTime> {
        if let Some(found) = self.epoch(cursor) {
            return Some(found);
        }
        let mut day = When::Open;
        let word = cursor.word();
        if let Some(weekday) = weekday(word) {
            cursor.skip(word.len());
            cursor.eat(".");
            cursor.eat(",");
            cursor.skip_space();
            day = When::Weekday(weekday);
        } else if let "today" | "tomorrow" = word {
            cursor.skip(word.len());
            day = When::Ahead(i64::from(word == "tomorrow"));
        }
        if let Some(date) = cursor.date() {
            day = date;
        }
        let mut behind_day = *cursor;
        if !matches!(day, When::Open) {
            behind_day.skip_space();
            let _ = behind_day.eat(",") || behind_day.eat("t");
            behind_day.skip_space();
            if behind_day.word() == "at" {
                behind_day.skip(2);
                behind_day.skip_space();
            }
        }
        let time = behind_day.clock();
        if time.is_some() {
            *cursor = behind_day;
        }
        if time.is_none() && matches!(day, When::Open) {
            return None;
        }
        let zone = self.zone(cursor);
        self.resolve(day, time, zone)
    }

    /// Makes a point in time of its parts.
    fn resolve(&self, day: When, time: Option<Time>, zone: Option<Zone>) -> Option<ResetTime> {
        let mut basis = if zone.as_ref().is_some_and(|zone| zone.sure) && time.is_some() {
            Basis::Asserted
        } else {
            Basis::Inferred
        };
        let zone = match zone {
            Some(zone) => zone.zone,
            None if self.beijing && matches!(day, When::Full(_)) => named_zone("Asia/Shanghai")?,
            None => self.host_zone.clone(),
        };
        let today = zone.to_datetime(self.now.into()).date();
        let clock = time.unwrap_or(Time::midnight());
        let days_from_today = |days: i64| today.checked_add(Span::new().days(days)).ok();
        let just_passed = self.now.plus_seconds(-JUST_PASSED_SECONDS);
        let at = match day {
            When::Full(date) => zone.to_timestamp(date.to_datetime(clock)).ok().map(Timestamp::from),
            When::Ahead(days) => {
                zone.to_timestamp(days_from_today(days)?.to_datetime(clock)).ok().map(Timestamp::from)
            }
            When::MonthDay(month, day) => {
                basis = Basis::Inferred;
                let years = (-1..=1).filter_map(|ahead| today.year().checked_add(ahead));
                let dates = years.filter_map(|year| Date::new(year, month, day).ok());
                first_after(dates, clock, &zone, self.now.plus_seconds(-DATE_PASSED_SECONDS))
            }
            When::Weekday(weekday) => {
                basis = Basis::Inferred;
                let days = (-1..=8).filter_map(days_from_today).filter(|day| day.weekday() == weekday);
                first_after(days, clock, &zone, just_passed)
            }
            When::Open => first_after((-1..=2).filter_map(days_from_today), clock, &zone, just_passed),
        };
        at.map(|at| ResetTime { at, basis })
    }

    /// Reads a number of seconds, milliseconds or microseconds since 1970, told apart by its length.
    fn epoch(&self, cursor: &mut Cursor<'t>) -> Option<ResetTime> {
        let mut behind = *cursor;
        let length = behind.rest().bytes().take_while(u8::is_ascii_digit).count();
        if !matches!(length, 10 | 13 | 16) {
            return None;
        }
        let number = behind.number()?;
        if behind.first().is_some_and(|next| next.is_alphanumeric() || next == '-' || next == ':') {
            return None;
        }
        *cursor = behind;
        Timestamp::from_epoch_guess(number).map(|at| ResetTime { at, basis: Basis::Asserted })
    }

    /// Reads a duration with units and counts it from the time of the line.
    fn duration(&self, cursor: &mut Cursor<'t>, vague: bool) -> Option<ResetTime> {
        let mut vague = vague;
        for lead in ["less than", "under", "at least", "up to", "approximately", "about"] {
            if cursor.eat(lead) {
                vague = true;
                cursor.skip_space();
            }
        }
        let mut seconds = 0.0;
        let mut parts = 0;
        let mut behind = *cursor;
        while parts < MAX_DURATION_PARTS {
            let number = if let article @ ("a" | "an") = behind.word()
                && parts == 0
            {
                vague = true;
                behind.skip(article.len());
                1.0
            } else if let Some(number) = behind.number() {
                number
            } else {
                break;
            };
            behind.skip_space();
            behind.eat("-");
            let unit = behind.unit_word();
            let Some(each) = unit_seconds(unit) else { break };
            behind.skip(unit.len());
            seconds += number * each;
            parts += 1;
            *cursor = behind;
            behind.skip_space();
            if behind.eat(",") {
                behind.skip_space();
            }
            if behind.word() == "and" {
                behind.skip(3);
                behind.skip_space();
            }
        }
        let basis = if vague { Basis::Inferred } else { Basis::Asserted };
        (parts > 0).then(|| self.after(seconds, basis)).flatten()
    }

    /// Returns the time `seconds` after the line's own.
    fn after(&self, seconds: f64, basis: Basis) -> Option<ResetTime> {
        (0.0..=MAX_WAIT_SECONDS).contains(&seconds).then(|| ResetTime {
            at: Timestamp::from_micros(self.now.as_micros().saturating_add((seconds * 1e6).round() as i64)),
            basis,
        })
    }

    /// Reads the zone behind a clock or a date: `(Asia/Tokyo)`, `PDT`, `UTC`, `GMT+5:30`, `+02:00`, `Pacific Time`.
    fn zone(&self, cursor: &mut Cursor<'t>) -> Option<Zone> {
        let mut behind = *cursor;
        behind.skip_space();
        let parenthesis = behind.eat("(");
        let sure = |zone: TimeZone| Some(Zone { zone, sure: true });
        if let Some(offset) = behind.offset(false) {
            *cursor = behind;
            return sure(offset.to_time_zone());
        }
        let name = behind.zone_name();
        if name.contains('/') {
            return named_zone(name).and_then(sure);
        }
        let word = behind.word();
        let written = &self.text[behind.at..behind.at + word.len()];
        behind.skip(word.len());
        if let "utc" | "gmt" | "z" = word {
            let offset = behind.offset(true).unwrap_or(Offset::UTC);
            *cursor = behind;
            return sure(offset.to_time_zone());
        }
        if let "pacific" | "mountain" | "central" | "eastern" | "beijing" | "china" = word {
            let city = match word {
                "pacific" => "America/Los_Angeles",
                "mountain" => "America/Denver",
                "central" => "America/Chicago",
                "eastern" => "America/New_York",
                _ => "Asia/Shanghai",
            };
            for part in ["standard", "daylight", "time"] {
                behind.skip_space();
                behind.eat(part);
            }
            *cursor = behind;
            return named_zone(city).and_then(sure);
        }
        // Abbreviations are capitals: "est" and "met" are words.
        if !parenthesis && written.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        if let Some(city) = ["pt", "mt", "ct", "et"].iter().position(|short| *short == word) {
            let cities = ["America/Los_Angeles", "America/Denver", "America/Chicago", "America/New_York"];
            return named_zone(cities[city]).and_then(sure);
        }
        if let Some(&(_, minutes, clear)) = ABBREVIATIONS.iter().find(|(short, ..)| *short == word) {
            // India, Israel and Ireland share one, Chicago and Shanghai another: the host's own use of it wins.
            let host = self.host_zone.to_offset_info(self.now.into());
            let offset = if !clear && host.abbreviation().eq_ignore_ascii_case(word) {
                host.offset()
            } else {
                Offset::from_seconds(minutes * 60).ok()?
            };
            return Some(Zone { zone: offset.to_time_zone(), sure: clear });
        }
        parenthesis.then(|| named_zone(name)).flatten().and_then(sure)
    }

    /// Returns the bounds of the name (letters, digits, `_`, `-`) around `start..end`.
    fn name_around(&self, start: usize, end: usize) -> (usize, usize) {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let bytes = self.lower.as_bytes();
        let begin = start - bytes[..start].iter().rev().take_while(|byte| is_name(byte)).count();
        (begin, end + bytes[end..].iter().take_while(|byte| is_name(byte)).count())
    }

    /// Returns the word before `at`, white space between them skipped.
    fn word_before(&self, at: usize) -> &'t str {
        let before = self.lower[..at].trim_end();
        let length = before.bytes().rev().take_while(u8::is_ascii_alphabetic).count();
        &before[before.len() - length..]
    }
}

/// Zone abbreviations, minutes east of Greenwich, and whether they mean one zone only. UTC and GMT are read apart,
/// as offsets may follow them.
const ABBREVIATIONS: &[(&str, i32, bool)] = &[
    ("pst", -480, true),
    ("pdt", -420, true),
    ("mst", -420, true),
    ("mdt", -360, true),
    ("cst", -360, false),
    ("cdt", -300, false),
    ("est", -300, true),
    ("edt", -240, true),
    ("akst", -540, true),
    ("akdt", -480, true),
    ("hst", -600, true),
    ("brt", -180, true),
    ("wet", 0, true),
    ("west", 60, true),
    ("bst", 60, false),
    ("cet", 60, true),
    ("cest", 120, true),
    ("eet", 120, true),
    ("eest", 180, true),
    ("msk", 180, true),
    ("ist", 330, false),
    ("sgt", 480, true),
    ("hkt", 480, true),
    ("awst", 480, true),
    ("jst", 540, true),
    ("kst", 540, true),
    ("acst", 570, true),
    ("acdt", 630, true),
    ("aest", 600, true),
    ("aedt", 660, true),
    ("nzst", 720, true),
    ("nzdt", 780, true),
];

/// Returns the first moment after `earliest` at which one of `days` has this `clock`. Where the zone repeats the hour,
/// the second reading counts once the first has passed.
fn first_after(
    mut days: impl Iterator<Item = Date>,
    clock: Time,
    zone: &TimeZone,
    earliest: Timestamp,
) -> Option<Timestamp> {
    days.find_map(|day| {
        let ambiguous = zone.to_ambiguous_timestamp(day.to_datetime(clock));
        let readings = [ambiguous.compatible(), ambiguous.later()];
        readings.into_iter().flatten().map(Timestamp::from).find(|&at| at > earliest)
    })
}

/// Returns a zone of the bundled table by its IANA name, in any case.
fn named_zone(name: &str) -> Option<TimeZone> {
    static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
    ZONES.get_or_init(TimeZoneDatabase::bundled).get(name).ok()
}

/// Returns the seconds in a unit of time, by its name in lower case.
fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" | "nanosecond" | "nanoseconds" => 1e-9,
        "us" | "\u{b5}s" | "\u{3bc}s" | "microsecond" | "microseconds" => 1e-6,
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 7.0 * 86_400.0,
        _ => return None,
    })
}

/// Returns the weekday with this English name or abbreviation in lower case.
fn weekday(word: &str) -> Option<Weekday> {
    Some(match word {
        "mon" | "monday" => Weekday::Monday,
        "tue" | "tues" | "tuesday" => Weekday::Tuesday,
        "wed" | "wednesday" => Weekday::Wednesday,
        "thu" | "thur" | "thurs" | "thursday" => Weekday::Thursday,
        "fri" | "friday" => Weekday::Friday,
        "sat" | "saturday" => Weekday::Saturday,
        "sun" | "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

/// Returns the number of the month with this English name or abbreviation in lower case.
fn month(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let at = MONTHS.iter().position(|name| {
        *name == word || name.starts_with(word) && word.len() == 3 || word == "sept" && *name == "september"
    })?;
    i8::try_from(at + 1).ok()
}

/// A place in the text. Reading functions move it only past what they understood, or work on a copy.
#[derive(Clone, Copy)]
struct Cursor<'t> {
    lower: &'t str,
    /// A byte offset on a character border, at most the text's length.
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        &self.lower[self.at..]
    }

    fn first(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    fn eat(&mut self, literal: &str) -> bool {
        let found = self.rest().starts_with(literal);
        if found {
            self.at += literal.len();
        }
        found
    }

    /// Skips white space; tells whether a line ended in it.
    fn skip_space(&mut self) -> bool {
        let rest = self.rest();
        let space = &rest[..rest.len() - rest.trim_start().len()];
        self.at += space.len();
        space.contains('\n')
    }

    /// Skips quotes and the backslashes before them; tells whether there were any.
    fn skip_quotes(&mut self) -> bool {
        let length =
            self.rest().bytes().take_while(|byte| matches!(byte, b'"' | b'\'' | b'`' | b'\\')).count();
        self.at += length;
        length > 0
    }

    /// Skips a counter such as the `4/5` in "retrying 4/5 in 1.4s"; a date (`9/12/2026`) stays.
    fn skip_counter(&mut self) -> bool {
        let mut behind = *self;
        let counter = behind.digits(3).is_some()
            && behind.eat("/")
            && behind.digits(3).is_some()
            && !behind.first().is_some_and(|next| next.is_alphanumeric() || next == '/');
        if counter {
            *self = behind;
        }
        counter
    }

    /// Returns the run of ASCII letters here, perhaps empty.
    fn word(&self) -> &'t str {
        let rest = self.rest();
        &rest[..rest.bytes().take_while(u8::is_ascii_alphabetic).count()]
    }

    /// Returns the run of letters here, of any script (for `µs`).
    fn unit_word(&self) -> &'t str {
        let rest = self.rest();
        &rest[..rest.find(|letter: char| !letter.is_alphabetic()).unwrap_or(rest.len())]
    }

    /// Returns the run of characters that zone names are made of.
    fn zone_name(&self) -> &'t str {
        let rest = self.rest();
        let length = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'+' | b'-'))
            .count();
        rest[..length.min(64)].trim_end_matches(['/', '_', '+', '-'])
    }

    /// Reads at most `most` digits that are no part of a longer number.
    fn digits(&mut self, most: usize) -> Option<u32> {
        let rest = self.rest();
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 || length > most.min(9) {
            return None;
        }
        self.at += length;
        rest[..length].parse().ok()
    }

    /// Reads exactly two digits below `limit`.
    fn two_digits(&mut self, limit: i8) -> Option<i8> {
        let mut behind = *self;
        let number = behind.digits(2)?;
        if behind.at - self.at != 2 || number >= limit as u32 {
            return None;
        }
        *self = behind;
        i8::try_from(number).ok()
    }

    /// Reads a number, with decimals or without. At most 18 digits before the point count as a number.
    fn number(&mut self) -> Option<f64> {
        let rest = self.rest();
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        if whole == 0 || whole > 18 {
            return None;
        }
        let mut length = whole;
        if rest[whole..].starts_with('.') {
            let decimals = rest[whole + 1..].bytes().take_while(u8::is_ascii_digit).count();
            if decimals > 0 {
                length += 1 + decimals;
            }
        }
        self.at += length;
        rest[..length].parse().ok()
    }

    /// Reads a clock time: `3pm`, `3:30pm`, `3:51 PM`, `9 a.m.`, `15:30`, `18:19:41.5`, `noon`, `midnight`.
    fn clock(&mut self) -> Option<Time> {
        if let word @ ("midnight" | "noon") = self.word() {
            self.skip(word.len());
            return Time::new(if word == "noon" { 12 } else { 0 }, 0, 0, 0).ok();
        }
        let mut behind = *self;
        let mut hour = i8::try_from(behind.digits(2)?).ok()?;
        let (mut minute, mut second) = (0, 0);
        let colon = behind.eat(":");
        if colon {
            minute = behind.two_digits(60)?;
            if behind.eat(":") {
                // A leap second is the second before it.
                second = behind.two_digits(61)?.min(59);
                if behind.first() == Some('.') && behind.second().is_some_and(|next| next.is_ascii_digit()) {
                    behind.skip(1);
                    behind.number()?;
                }
            }
        }
        let mut half = behind;
        half.skip_space();
        let afternoon = ["am", "a.m.", "a.m", "pm", "p.m.", "p.m"].iter().position(|name| half.eat(name));
        match afternoon {
            Some(name) if !half.first().is_some_and(char::is_alphanumeric) => {
                if !(1..=12).contains(&hour) {
                    return None;
                }
                hour = hour % 12 + if name >= 3 { 12 } else { 0 };
                behind = half;
            }
            _ if !colon || behind.first() == Some(':') => return None,
            _ => {}
        }
        let time = Time::new(hour, minute, second, 0).ok()?;
        *self = behind;
        Some(time)
    }

    /// Reads a date: ISO, US with its year, or with the month's name before or after the day.
    fn date(&mut self) -> Option<When> {
        if let Some(date) = self.iso_date() {
            return Some(When::Full(date));
        }
        let mut behind = *self;
        let word = behind.word();
        let (month, day) = if let Some(month) = month(word) {
            behind.skip(word.len());
            behind.eat(".");
            behind.skip_space();
            (month, behind.day_of_month()?)
        } else {
            let number = behind.day_of_month()?;
            if behind.eat("/") {
                let day = behind.digits(2)?;
                if !behind.eat("/") {
                    return None;
                }
                let date = Date::new(behind.year()?, number, i8::try_from(day).ok()?).ok()?;
                *self = behind;
                return Some(When::Full(date));
            }
            behind.skip_space();
            behind.eat("-");
            let word = behind.word();
            let month = month(word)?;
            behind.skip(word.len());
            (month, number)
        };
        *self = behind;
        let _ = behind.eat(",") || behind.eat(".") || behind.eat("-");
        behind.skip_space();
        if let Some(year) = behind.year() {
            let date = Date::new(year, month, day).ok()?;
            *self = behind;
            return Some(When::Full(date));
        }
        Some(When::MonthDay(month, day))
    }

    /// Reads `YYYY-MM-DD` (or with slashes).
    fn iso_date(&mut self) -> Option<Date> {
        let mut behind = *self;
        let year = behind.year()?;
        let mark = if behind.eat("-") {
            "-"
        } else if behind.eat("/") {
            "/"
        } else {
            return None;
        };
        let month = behind.two_digits(13)?;
        if !behind.eat(mark) {
            return None;
        }
        let date = Date::new(year, month, behind.two_digits(32)?).ok()?;
        *self = behind;
        Some(date)
    }

    /// Reads a year of four digits that a limit may end in: 2000 to 2199.
    fn year(&mut self) -> Option<i16> {
        let mut behind = *self;
        let year = i16::try_from(behind.digits(4)?).ok()?;
        if !(2000..2200).contains(&year) {
            return None;
        }
        *self = behind;
        Some(year)
    }

    /// Reads a day of the month, with its ordinal ending if there is one.
    fn day_of_month(&mut self) -> Option<i8> {
        let mut behind = *self;
        let day = i8::try_from(behind.digits(2)?).ok()?;
        if let "st" | "nd" | "rd" | "th" = behind.word() {
            behind.skip(2);
        }
        if !(1..=31).contains(&day) {
            return None;
        }
        *self = behind;
        Some(day)
    }

    /// Reads an offset from UTC: `+05:30`, `-0400`, and where `short` allows it `+8`.
    fn offset(&mut self, short: bool) -> Option<Offset> {
        let mut behind = *self;
        let sign = match behind.first()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        behind.skip(1);
        let start = behind.at;
        let number = behind.digits(4)?;
        let (hours, minutes) = match behind.at - start {
            1 | 2 if behind.eat(":") => (number, behind.two_digits(60)? as u32),
            1 | 2 if short => (number, 0),
            4 => (number / 100, number % 100),
            _ => return None,
        };
        if hours > 14 || minutes > 59 || behind.first().is_some_and(char::is_alphanumeric) {
            return None;
        }
        *self = behind;
        Offset::from_seconds(sign * (hours * 60 + minutes) as i32 * 60).ok()
    }

    /// Tells whether the sentence goes on with "before retrying", "and try again" or the like.
    fn goes_on_with_retry(&self) -> bool {
        let mut cursor = *self;
        cursor.eat(",");
        cursor.skip_space();
        let joint = cursor.word();
        cursor.skip(joint.len());
        cursor.skip_space();
        matches!(joint, "before" | "and" | "then" | "to")
            && ["retry", "try", "sending", "making", "requesting"]
                .iter()
                .any(|verb| cursor.rest().starts_with(verb))
    }
}

#[cfg(test)]
mod tests;
