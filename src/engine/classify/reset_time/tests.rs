use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> TimeZone {
    named_zone(name).unwrap()
}

fn time(rfc3339: &str) -> Timestamp {
    Timestamp::parse_rfc3339(rfc3339).unwrap()
}

/// Finds the time in `text`, as it prints, with `!` after it when it is asserted.
fn found(text: &str, now: &str, host: &str) -> String {
    match find(text, time(now), &zone(host)) {
        Some(ResetTime { at, basis }) => {
            let at = jiff::Timestamp::from(at).to_string();
            if basis == Basis::Asserted { format!("{at}!") } else { at }
        }
        None => "none".to_owned(),
    }
}

/// Checks (text, expected) pairs, read on a Friday in a host in Berlin (UTC+1).
#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(found(text, "2026-11-20T10:00:00Z", "Europe/Berlin"), *expected, "{text}");
    }
}

#[test]
fn every_announcing_word_is_found() {
    for (stem, _) in STEMS {
        let text = format!("it says {stem}s");
        let found: Vec<&str> = announcements(&text).iter().map(|(_, stem, _)| *stem).collect();
        assert!(found.contains(stem), "{stem}");
    }
}

#[test]
fn epochs() {
    check(&[
        ("Claude AI usage limit reached|1795287600", "2026-11-21T19:00:00Z!"),
        (
            r#"{"status":"rejected","resetsAt":1795287600,"rateLimitType":"five_hour"}"#,
            "2026-11-21T19:00:00Z!",
        ),
        (r#"{\"resets_at\":1795287600}"#, "2026-11-21T19:00:00Z!"),
        (r#""reset_at": 1795287600.25"#, "2026-11-21T19:00:00.25Z!"),
        ("anthropic-ratelimit-unified-reset: 1795287600", "2026-11-21T19:00:00Z!"),
        ("'x-codex-primary-reset-at': '1795287600'", "2026-11-21T19:00:00Z!"),
        (r#""X-RateLimit-Reset":"1795287600000""#, "2026-11-21T19:00:00Z!"),
        (r#""nextResetTime": 1795287600000"#, "2026-11-21T19:00:00Z!"),
        ("limit resets at 1795287600", "2026-11-21T19:00:00Z!"),
        (r#""resetsAt":null"#, "none"),
        ("build reached|12345", "none"),
    ]);
}

#[test]
fn clocks() {
    check(&[
        ("You've hit your limit \u{b7} resets 3pm (Asia/Tokyo)", "2026-11-21T06:00:00Z!"),
        (
            "You've hit your 5-hour limit · resets 3:30pm (America/New_York) · progress saved",
            "2026-11-20T20:30:00Z!",
        ),
        ("You've hit your session limit · resets 9:26am (UTC)", "2026-11-21T09:26:00Z!"),
        ("resets 3pm (Asia/Kolkata)", "2026-11-21T09:30:00Z!"),
        ("resets 12am (utc)", "2026-11-21T00:00:00Z!"),
        ("resets 12:05pm (UTC)", "2026-11-20T12:05:00Z!"),
        ("5-hour limit reached · resets 3pm", "2026-11-20T14:00:00Z"),
        ("5-hour limit resets 3pm (Asia/Tokyo) · contact an admin to keep working", "2026-11-21T06:00:00Z!"),
        (
            "Claude usage limit reached. Your limit will reset at 3pm (Europe/Berlin).",
            "2026-11-20T14:00:00Z!",
        ),
        ("Approaching usage limit · resets at 10am", "2026-11-21T09:00:00Z"),
        ("to purchase more credits or try again at 3:51 PM.", "2026-11-20T14:51:00Z"),
        ("or try again at 3:51\u{202f}PM.", "2026-11-20T14:51:00Z"),
        ("or try\n  again at 3:51 p.m.", "2026-11-20T14:51:00Z"),
        ("Your quota resets at 18:30", "2026-11-20T17:30:00Z"),
        ("Access resets at 2:00 PM PDT.", "2026-11-20T21:00:00Z!"),
        ("Access resets at 2:00 PM EST.", "2026-11-20T19:00:00Z!"),
        ("Access resets at 2:00 PM CET.", "2026-11-20T13:00:00Z!"),
        ("Access resets at 2:00 PM JST.", "2026-11-21T05:00:00Z!"),
        ("Access resets at 2:00 PM CST.", "2026-11-20T20:00:00Z"),
        ("Access resets at 2:00 PM GMT+5:30.", "2026-11-21T08:30:00Z!"),
        ("Access resets at 2:00 PM GMT+1.", "2026-11-20T13:00:00Z!"),
        ("Access resets at 2:00 PM GMT.", "2026-11-20T14:00:00Z!"),
        ("quota resets daily at midnight Pacific Time", "2026-11-21T08:00:00Z!"),
        ("resets at noon PT", "2026-11-20T20:00:00Z!"),
        ("resets 3pm (Nowhere/Land)", "2026-11-20T14:00:00Z"),
        ("resets tomorrow at 9:00 AM", "2026-11-21T08:00:00Z"),
        ("resets 13pm", "none"),
        ("resets 25:00", "none"),
        ("resets 3", "none"),
    ]);
}

#[test]
fn an_ambiguous_abbreviation_is_the_hosts_own() {
    let text = "Access resets at 2:00 PM CST.";
    assert_eq!(found(text, "2026-11-20T03:00:00Z", "Asia/Shanghai"), "2026-11-20T06:00:00Z");
    assert_eq!(found(text, "2026-11-20T03:00:00Z", "America/Chicago"), "2026-11-20T20:00:00Z");
    let text = "Access resets at 2:00 PM IST.";
    assert_eq!(found(text, "2026-11-20T03:00:00Z", "Asia/Kolkata"), "2026-11-20T08:30:00Z");
    assert_eq!(found(text, "2026-11-20T03:00:00Z", "Asia/Jerusalem"), "2026-11-20T12:00:00Z");
}

#[test]
fn dates() {
    check(&[
        ("Weekly limit reached · resets Nov 24, 10am", "2026-11-24T09:00:00Z"),
        ("You've hit your weekly limit · resets Nov 24, 9:26am (UTC)", "2026-11-24T09:26:00Z"),
        ("resets Nov 24, 2026, 10:30am (Asia/Tokyo)", "2026-11-24T01:30:00Z!"),
        ("resets Nov 24 at 3pm (America/New_York)", "2026-11-24T20:00:00Z"),
        ("or try again at Nov 24th, 2026 6:33 PM.", "2026-11-24T17:33:00Z"),
        ("or try again at Feb 23rd, 2027 9:01 PM.", "2027-02-23T20:01:00Z"),
        ("try again at December 1st, 2026 12:00 AM", "2026-11-30T23:00:00Z"),
        ("try again at Jan 2nd, 2027 1:00 AM UTC", "2027-01-02T01:00:00Z!"),
        ("resets on 3 Dec at 10am", "2026-12-03T09:00:00Z"),
        ("resets Oct 9, 10am", "2027-10-09T08:00:00Z"),
        ("resets Dec 3", "2026-12-02T23:00:00Z"),
        ("You will regain access on 2026-12-01 at 00:00 UTC.", "2026-12-01T00:00:00Z!"),
        ("Your usage limits will reset when your monthly cycle ends on 9/12/2026.", "2026-09-11T22:00:00Z"),
        ("wait for your limit to reset 11/22/2026, 3:04:05 PM or switch", "2026-11-22T14:04:05Z"),
        ("anthropic-ratelimit-tokens-reset: 2026-11-20T11:01:00Z", "2026-11-20T11:01:00Z!"),
        ("quota renews at 2026-11-20T11:01:00.5+02:00", "2026-11-20T09:01:00Z!"),
        ("available again at 2026-11-21 08:00", "2026-11-21T07:00:00Z"),
        ("limit resets on 2026-12-01", "2026-11-30T23:00:00Z"),
        (
            "Claude weekly usage limit reached. Your limit will reset on Wed (Asia/Tokyo).",
            "2026-11-24T15:00:00Z",
        ),
        ("resets Monday at 9am", "2026-11-23T08:00:00Z"),
        ("Your limit will reset on Fri", "2026-11-26T23:00:00Z"),
        ("resets Feb 31, 10am", "none"),
        ("resets 2026-13-01", "none"),
    ]);
}

#[test]
fn a_naive_time_of_glm_is_beijing_time() {
    check(&[
        (
            "Usage limit reached for 5 hour. Your limit will reset at 2026-11-20 18:19:41",
            "2026-11-20T10:19:41Z",
        ),
        (
            "API Error: Request rejected (429) · Usage limit reached for 5 hour. Your limit will reset at 2026-11-20 18:19:41",
            "2026-11-20T10:19:41Z",
        ),
        ("您的限额将在 2026-11-20 18:19:41 重置。", "2026-11-20T10:19:41Z"),
        ("Your limit will reset at 2026-11-20 18:19:41", "2026-11-20T17:19:41Z"),
    ]);
}

#[test]
fn durations() {
    check(&[
        ("Your quota will reset after 19h14m47s.", "2026-11-21T05:14:47Z!"),
        ("Please try again in 6m59.56s. Visit", "2026-11-20T10:06:59.56Z!"),
        ("Please try again in 374ms. Visit", "2026-11-20T10:00:00.374Z!"),
        ("Please try again in 1m38.323199999s", "2026-11-20T10:01:38.3232Z!"),
        ("Please retry in 32.531428461s.", "2026-11-20T10:00:32.531428Z!"),
        ("\nSuggested retry after 34.07s.", "2026-11-20T10:00:34.07Z!"),
        (r#""retryDelay":"38s""#, "2026-11-20T10:00:38Z!"),
        (r#"\"retryDelay\": \"38.5s\""#, "2026-11-20T10:00:38.5Z!"),
        ("retry_delay {\n  seconds: 38\n}", "2026-11-20T10:00:38Z!"),
        ("You've hit your usage limit. Try again in 4 days 20 hours 9 minutes.", "2026-11-25T06:09:00Z!"),
        ("It will reset in 2 hours 5 minutes. To continue", "2026-11-20T12:05:00Z!"),
        ("try again in 3 hours 12 minutes", "2026-11-20T13:12:00Z!"),
        ("try again in 1 hour, 2 minutes and 3 seconds", "2026-11-20T11:02:03Z!"),
        ("Try again in less than a minute.", "2026-11-20T10:01:00Z"),
        ("try again in about an hour", "2026-11-20T11:00:00Z"),
        ("Please retry after 22 seconds. Please go here", "2026-11-20T10:00:22Z!"),
        ("Please retry after 1 second.", "2026-11-20T10:00:01Z!"),
        ("Please retry after 86400 seconds", "2026-11-21T10:00:00Z!"),
        ("Try again in 5 seconds. Passed model=m.", "2026-11-20T10:00:05Z!"),
        ("Fast limit reached and temporarily disabled · resets in 12m", "2026-11-20T10:12:00Z!"),
        ("resets in 4h 12m", "2026-11-20T14:12:00Z!"),
        ("stream error: eof; retrying 4/5 in 1.4s...", "2026-11-20T10:00:01.4Z!"),
        ("Rate limited · retrying in 7s · attempt 2 of 10", "2026-11-20T10:00:07Z!"),
        ("Please wait 20 seconds before retrying.", "2026-11-20T10:00:20Z!"),
        ("Please wait for 1 minute and try again", "2026-11-20T10:01:00Z!"),
        ("x-ratelimit-reset-tokens: 6m0s", "2026-11-20T10:06:00Z!"),
        ("resets in 500\u{b5}s", "2026-11-20T10:00:00.0005Z!"),
    ]);
}

#[test]
fn header_fields() {
    check(&[
        ("retry-after: 120", "2026-11-20T10:02:00Z!"),
        ("'retry-after': '120'", "2026-11-20T10:02:00Z!"),
        ("('retry-after', '120')", "2026-11-20T10:02:00Z!"),
        (r#"\"Retry-After\":\"120\""#, "2026-11-20T10:02:00Z!"),
        ("retry-after: [ '120' ]", "2026-11-20T10:02:00Z!"),
        ("retry-after-ms: 1500", "2026-11-20T10:00:01.5Z!"),
        ("Retry-After: Fri, 20 Nov 2026 12:28:00 GMT", "2026-11-20T12:28:00Z!"),
        (r#""retryAfterSeconds":90"#, "2026-11-20T10:01:30Z!"),
        (r#""retry_delay_ms":2000"#, "2026-11-20T10:00:02Z!"),
        ("retryDelayMs: 3600000", "2026-11-20T11:00:00Z!"),
        ("retryDelayMs: undefined", "none"),
        ("resets_in_seconds=3600", "2026-11-20T11:00:00Z!"),
        ("RateLimit-Reset: 30", "2026-11-20T10:00:30Z"),
        ("max_retry_delay: 30", "none"),
        (r#""retry_count":3"#, "none"),
        (r#""retry":3000"#, "none"),
        (r#""reset_count":17"#, "none"),
    ]);
}

#[test]
fn the_latest_window_wins() {
    check(&[
        ("5-hour limit resets 3pm (UTC) · weekly limit resets Nov 24, 9am (UTC)", "2026-11-24T09:00:00Z"),
        ("weekly limit resets Nov 24, 9am (UTC) · 5-hour limit resets 3pm (UTC)", "2026-11-24T09:00:00Z"),
        ("Your quota will reset after 5s.. Retrying after 5834ms...", "2026-11-20T10:00:05.834Z!"),
        (
            r#"{"primary":{"resets_at":1795287600},"secondary":{"resets_at":1795374000}}"#,
            "2026-11-22T19:00:00Z!",
        ),
    ]);
}

#[test]
fn other_times_are_no_resets() {
    check(&[
        ("Request timed out after 30s", "none"),
        ("HTTPSConnectionPool: Read timed out. (read timeout=60)", "none"),
        ("took 3s; please try again later", "none"),
        ("Please try again. Took 3s", "none"),
        ("Try again in a moment", "none"),
        ("Try again in a few minutes", "none"),
        ("Connection reset by peer after 30s", "none"),
        ("connection reset in 3s", "none"),
        ("read ECONNRESET at 12:30:15", "none"),
        ("the presets: 3pm", "none"),
        ("the limit was reset at 3pm", "none"),
        ("resets every 5 hours", "none"),
        ("Limits reset weekly. 3pm is tea time", "none"),
        ("quota will be refreshed in the next cycle.", "none"),
        ("retry 3 of 10 in progress", "none"),
        ("Session reset\n12:30:15 INFO listening", "none"),
        ("exceeded retry limit, last status: 429 Too Many Requests", "none"),
        ("model requires more system memory (44.0 GiB) than is available (7.6 GiB)", "none"),
        ("available in 3 regions", "none"),
        ("retry in 5mb chunks", "none"),
        ("reset in 99999 days", "none"),
        ("wait 5 seconds", "none"),
        ("tokens per day, please wait before trying again.", "none"),
        ("", "none"),
    ]);
}

#[test]
fn a_clock_just_passed_is_not_tomorrow() {
    let text = "resets 3pm (America/New_York)";
    for (now, expected) in [
        ("2026-11-20T19:59:59Z", "2026-11-20T20:00:00Z!"),
        ("2026-11-20T20:02:00Z", "2026-11-20T20:00:00Z!"),
        ("2026-11-20T20:04:59Z", "2026-11-20T20:00:00Z!"),
        ("2026-11-20T20:05:00Z", "2026-11-21T20:00:00Z!"),
    ] {
        assert_eq!(found(text, now, "UTC"), expected, "{now}");
    }
    assert_eq!(found("resets 11:59pm", "2026-11-21T00:02:00Z", "UTC"), "2026-11-20T23:59:00Z");
}

#[test]
fn the_year_ends() {
    for (text, now, expected) in [
        ("resets Jan 2, 10am (UTC)", "2026-12-30T10:00:00Z", "2027-01-02T10:00:00Z"),
        ("resets Dec 31, 10pm (UTC)", "2027-01-01T08:00:00Z", "2026-12-31T22:00:00Z"),
        ("resets Dec 29, 10pm (UTC)", "2027-01-01T08:00:00Z", "2027-12-29T22:00:00Z"),
        ("resets 3pm (UTC)", "2026-12-31T16:00:00Z", "2027-01-01T15:00:00Z!"),
        ("resets Feb 29, 3pm (UTC)", "2028-02-27T16:00:00Z", "2028-02-29T15:00:00Z"),
        ("resets Feb 29, 3pm (UTC)", "2026-02-27T16:00:00Z", "none"),
    ] {
        assert_eq!(found(text, now, "UTC"), expected, "{text} at {now}");
    }
}

#[test]
fn summer_time_begins_and_ends() {
    for (text, now, expected) in [
        // New York skips 2:00 to 3:00 on 2026-03-08: "compatible" moves the clock on by the gap.
        ("resets 2:30am (America/New_York)", "2026-03-08T05:00:00Z", "2026-03-08T07:30:00Z!"),
        ("resets 9am (America/New_York)", "2026-03-08T05:00:00Z", "2026-03-08T13:00:00Z!"),
        // It repeats 1:00 to 2:00 on 2026-11-01: the first reading, or the second once the first has passed.
        ("resets 1:30am (America/New_York)", "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z!"),
        ("resets 1:30am (America/New_York)", "2026-11-01T05:45:00Z", "2026-11-01T06:30:00Z!"),
        ("resets 9am (Europe/Berlin)", "2026-03-28T10:00:00Z", "2026-03-29T07:00:00Z!"),
        ("resets 9am (Europe/Berlin)", "2026-10-24T10:00:00Z", "2026-10-25T08:00:00Z!"),
        // Lord Howe Island moves by half an hour: 2:00 becomes 2:30 on 2026-10-04, back on 2026-04-05.
        ("resets 2:15am (Australia/Lord_Howe)", "2026-10-03T12:00:00Z", "2026-10-03T15:45:00Z!"),
        ("resets 9am (Australia/Lord_Howe)", "2026-10-03T12:00:00Z", "2026-10-03T22:00:00Z!"),
        ("resets 9am (Australia/Lord_Howe)", "2026-04-04T12:00:00Z", "2026-04-04T22:30:00Z!"),
        ("resets 1:45am (Australia/Lord_Howe)", "2026-04-04T12:00:00Z", "2026-04-04T14:45:00Z!"),
        ("resets 1:45am (Australia/Lord_Howe)", "2026-04-04T14:55:00Z", "2026-04-04T15:15:00Z!"),
    ] {
        assert_eq!(found(text, now, "UTC"), expected, "{text} at {now}");
    }
}

#[test]
fn only_the_head_of_a_long_text_is_read() {
    let text = format!("{}é resets 3pm", "x".repeat(MAX_TEXT - 1));
    assert_eq!(found(&text, "2026-11-20T10:00:00Z", "UTC"), "none");
}

proptest! {
    /// Any text at any time: no panic, and no time far away unless a year or an epoch is written down.
    #[test]
    fn stays_near_and_never_panics(
        parts in prop::collection::vec(
            prop_oneof![
                4 => prop::sample::select(vec![
                    "resets", "reset", "retry", "try again", "retry-after", "resetsAt", "at", "in", "after", ":", "=",
                    "(", ")", "|", "-", "+", "/", ",", ".", " ", "\n", "\"", "\\", "3pm", "3:30", "pm", "am", "h",
                    "m", "s", "ms", "days", "hours", "Oct", "9th", "Wed", "Feb", "29", "PDT", "UTC", "GMT",
                    "Asia/Tokyo", "(Europe/Berlin)", "midnight", "tomorrow", "a", "an", "less than", "wait", "before",
                    "µ", "é", "限额将在", "reached|",
                ]).prop_map(str::to_owned),
                2 => "[0-9]{1,3}",
                1 => "[0-9]{1,20}",
                1 => "\\PC{0,6}",
            ],
            0..24,
        ),
        glue in prop::sample::select(vec!["", " "]),
        now in prop_oneof![
            0i64..4_000_000_000_000_000,
            any::<i64>(),
        ],
    ) {
        let text = parts.join(glue);
        let now = Timestamp::from_micros(now);
        for host in ["UTC", "Australia/Lord_Howe"] {
            let found = find(&text, now, &zone(host));
            let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
            let in_range = jiff::Timestamp::MIN.as_second() + 800 * 86_400 < now.as_seconds()
                && now.as_seconds() < jiff::Timestamp::MAX.as_second() - 800 * 86_400;
            if let Some(found) = found && longest < 4 && in_range {
                let away = found.at.seconds_since(now).abs();
                prop_assert!(away <= 400 * 86_400, "{text:?} at {now} gives {}", found.at);
            }
        }
    }
}
