//! Points in time as the engine sees them: microseconds since the Unix epoch, UTC, never read from a clock.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: whole microseconds since 1970-01-01T00:00:00Z.
///
/// Bounds: the years −9999 to 9999, which is what the wire format (RFC 3339) can say; values outside
/// are clamped when they are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Days from March 1 of the year 0 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

impl Timestamp {
    /// Returns the time `micros` microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the time `seconds` seconds after the Unix epoch (saturating).
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Returns the time `millis` milliseconds after the Unix epoch (saturating).
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Reads an epoch number whose unit is told by its size, as log writers mix seconds, milliseconds
    /// and microseconds. Returns `None` for numbers that are no plausible date (before 2001 or after 2286).
    pub fn from_epoch_guess(number: f64) -> Option<Self> {
        let seconds = match number {
            n if !n.is_finite() => return None,
            n if n >= 1e15 => n / 1e6,
            n if n >= 1e12 => n / 1e3,
            n => n,
        };
        (1e9..1e10).contains(&seconds).then_some(Self((seconds * 1e6) as i64))
    }

    /// Returns microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns whole seconds since the Unix epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Returns this time moved by `seconds` (saturating; negative moves back).
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// Returns this time moved by `millis` milliseconds (saturating).
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000)))
    }

    /// Returns the seconds from `earlier` to this time; negative when `earlier` is later.
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).div_euclid(1_000_000)
    }

    /// Parses an RFC 3339 time with an offset (`2026-11-20T05:11:09.120Z`). Returns `None` for anything else,
    /// a time without an offset included.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        Self::parse_usual(text.as_bytes()).or_else(|| text.parse::<jiff::Timestamp>().ok().map(Self::from))
    }

    /// Reads a time as most programs write it, much faster than one of any form: `2026-11-20T05:11:09Z`, with up to six
    /// digits of a fraction.
    fn parse_usual(text: &[u8]) -> Option<Self> {
        let (time, rest) = text.split_first_chunk::<19>()?;
        let [.., b'Z'] = rest else { return None };
        // `YYYY-MM-` and `DDThh:mm`, then `:ss`: digits by eight bytes at a time.
        let [date, clock] = [&time[..8], &time[8..16]]
            .map(|part| part.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte)));
        let (date, clock) = (
            pairs(date, 0x00ff_ff00_ffff_ffff, *b"\0\0\0\0-\0\0-")?,
            pairs(clock, 0xffff_00ff_ff00_ffff, *b"\0\0T\0\0:\0\0")?,
        );
        let pair = |word: u64, at: u32| i64::from((word >> (at * 8)) as u8);
        let (year, month) = (pair(date, 0) * 100 + pair(date, 2), pair(date, 5));
        let (day, hour, minute) = (pair(clock, 0), pair(clock, 3), pair(clock, 6));
        // Whether all of them were digits is asked once, of all.
        let mut are_digits = time[16] == b':';
        let mut number = |digits: &[u8]| {
            digits.iter().fold(0, |number: i64, digit| {
                let digit = digit.wrapping_sub(b'0');
                are_digits &= digit < 10;
                number * 10 + i64::from(digit)
            })
        };
        let second = number(&time[17..]);
        let micros = match &rest[..rest.len() - 1] {
            [] => 0,
            [b'.', digits @ ..] if digits.len() == 3 => number(&digits[..3]) * 1000,
            [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => {
                number(digits) * 10i64.pow(6 - digits.len() as u32)
            }
            _ => return None,
        };
        if !are_digits {
            return None;
        }
        let last_day = match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=9998).contains(&year)
            || !(1..=last_day).contains(&day)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        // Years begin in March, so that the odd day comes last.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days =
            365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970;
        Some(Self(((days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000 + micros))
    }
}

/// Reads eight bytes, the first the lowest: digits where the mask says so, and these marks elsewhere. Returns what each two
/// digits side by side say, in the byte of the first.
fn pairs(word: u64, digits: u64, marks: [u8; 8]) -> Option<u64> {
    const ALL: u64 = 0x0101_0101_0101_0101;
    const THREE: u64 = ALL * 0x30;
    const UPPER: u64 = ALL * 0xf0;
    const LOWER: u64 = ALL * 0x0f;
    // From `0` to `9` the upper half of a byte is 3, and still is with 6 added.
    let with_six = word.wrapping_add((ALL * 6) & digits);
    let upper = (word | with_six) & UPPER & digits;
    let are_digits = upper == THREE & digits && word & upper == upper;
    if !are_digits || word & !digits != u64::from_le_bytes(marks) {
        return None;
    }
    let values = word & LOWER & digits;
    Some(values.wrapping_mul(10).wrapping_add(values >> 8))
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(time: jiff::Timestamp) -> Self {
        Self(time.as_microsecond())
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(time: Timestamp) -> Self {
        let clamped =
            time.0.clamp(jiff::Timestamp::MIN.as_microsecond(), jiff::Timestamp::MAX.as_microsecond());
        jiff::Timestamp::from_microsecond(clamped).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC with milliseconds: `2026-11-20T05:11:09.120Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", jiff::Timestamp::from(*self))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .ok_or_else(|| serde::de::Error::custom("no time with an offset (RFC 3339)"))
    }
}

#[cfg(feature = "cli")]
impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_rfc3339() {
        let time = Timestamp::parse_rfc3339("2026-11-20T05:11:09.120Z").unwrap();
        assert_eq!(time.to_string(), "2026-11-20T05:11:09.120Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-11-20T06:11:09.12+01:00"), Some(time));
        assert_eq!(Timestamp::parse_rfc3339("2026-11-20T05:11:09"), None, "no offset, no instant");
    }

    #[test]
    fn a_time_in_its_usual_form_is_what_the_calendar_says() {
        let mut times = Vec::new();
        for date in
            ["0001-01-01", "1582-10-15", "1899-12-31", "1970-01-01", "1999-12-28", "2000-02-28", "2000-02-29"]
                .into_iter()
                .chain([
                    "2000-03-01",
                    "2023-02-29",
                    "2024-12-31",
                    "2026-11-20",
                    "2100-02-28",
                    "9999-12-28",
                    "2026-13-01",
                ])
        {
            for time in ["00:00:00", "23:59:59", "12:34:56", "24:00:00", "23:59:60", "23:60:00"] {
                for end in ["Z", ".1Z", ".120Z", ".000001Z", ".1234567Z", ".Z", "z", "+01:00", ".5-00:30", ""]
                {
                    times.push(format!("{date}T{time}{end}"));
                }
            }
        }
        for year in 1970..2105 {
            for month in 1..=12 {
                for day in [1, 28, 29, 30, 31] {
                    times.push(format!("{year}-{month:02}-{day:02}T01:02:03.004Z"));
                }
            }
        }
        times.extend(
            ["2026-1-20T05:11:09Z", "2026-11-20 05:11:09Z", "２026-11-20T05:1", "Z"].map(str::to_owned),
        );
        for time in times {
            let theirs = time.parse::<jiff::Timestamp>().ok().map(Timestamp::from);
            assert_eq!(Timestamp::parse_rfc3339(&time), theirs, "{time}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_to_the_millisecond() {
        let time = Timestamp::from_millis(1_795_287_600_123);
        let text = serde_json::to_string(&time).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), time);
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }

    #[test]
    fn epoch_numbers_are_read_by_their_size() {
        let second = Timestamp::from_seconds(1_795_287_600);
        assert_eq!(Timestamp::from_epoch_guess(1_795_287_600.0), Some(second));
        assert_eq!(Timestamp::from_epoch_guess(1_795_287_600_000.0), Some(second));
        assert_eq!(Timestamp::from_epoch_guess(42.0), None);
    }

    #[test]
    fn extreme_values_print_without_panic() {
        for micros in [i64::MIN, i64::MAX, 0, -1] {
            assert!(Timestamp::from_micros(micros).to_string().ends_with('Z'));
        }
    }
}
