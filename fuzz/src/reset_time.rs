//! When may it be tried again?

use jiff::tz::TimeZone;
use session_doctor::engine::classify::fold::fold;
use session_doctor::engine::classify::reset_time::{ResetTime, find};
use session_doctor::model::{Basis, Timestamp};

use crate::draw::Draw;

const DAY: i64 = 86_400;

/// The words that announce a time begin with these.
const STEMS: &[&str] =
    &["reset", "retry", "again", "regain", "renew", "refresh", "available", "wait", "限额将在"];

/// Zones in which the clocks do odd things.
const ZONES: &[&str] = &[
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Asia/Kolkata",
];

/// Holds what is read out of a text to what can be meant by it.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let text = fold(&text);
    let mut draw = Draw::of(bytes);
    let now = match draw.below(8) {
        0 => Timestamp::from_micros(draw.number() as i64),
        1 => *draw.pick(&[
            Timestamp::from_micros(i64::MIN),
            Timestamp::from_micros(i64::MAX),
            Timestamp::default(),
        ]),
        // 2026 to 2028, to the microsecond.
        _ => Timestamp::from_micros(
            1_767_225_600_000_000 + (draw.number() % (3 * 366 * DAY as u64 * 1_000_000)) as i64,
        ),
    };
    let zone: &str = *draw.pick(ZONES);
    let zone = TimeZone::get(zone).expect("a zone of the bundled table");
    let found = find(&text, now, &zone);
    if let Some(found) = found {
        is_near(&text, now, found);
    }
    // What stands before and behind the sentence is nothing to it.
    if text.len() < 4000 {
        for around in [format!("Oh. {text}"), format!("{text}\n.")] {
            assert_eq!(find(&around, now, &zone), found, "{text:?} in {around:?} at {now}");
        }
    }
    // A time whose zone is named is the same wherever the machine stands.
    let lower = text.to_ascii_lowercase();
    let announced: usize = STEMS.iter().map(|stem| lower.matches(stem).count()).sum();
    if announced == 1 && !lower.contains('|') && found.is_some_and(|found| found.basis == Basis::Asserted) {
        let other = TimeZone::get("Asia/Tokyo").expect("a zone of the bundled table");
        assert_eq!(find(&text, now, &other), found, "{text:?} at {now}");
    }
}

/// Asserts that a time lies where the words can have meant it: not before now, unless they name a year, an epoch or a
/// day that has begun; and not farther away than limits are.
fn is_near(text: &str, now: Timestamp, found: ResetTime) {
    let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    let in_range = (-300_000_000_000..250_000_000_000).contains(&now.as_seconds());
    if longest >= 4 || !in_range {
        return;
    }
    let away = found.at.seconds_since(now);
    assert!(away <= 400 * DAY, "{text:?} at {now} gives {}", found.at);
    let lower = text.to_ascii_lowercase();
    let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let least = if lower.contains("today") || months.iter().any(|month| lower.contains(month)) {
        -2 * DAY - 3600
    } else {
        -5 * 60
    };
    assert!(away >= least, "{text:?} at {now} gives {}", found.at);
}
