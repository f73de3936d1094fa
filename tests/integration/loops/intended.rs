//! Calls whose repetition is intended count for no detector, and what runs beside them is not taken for a loop either.

use std::sync::Arc;

use session_doctor::engine::Options;
use session_doctor::engine::detect::loops::limits;
use session_doctor::engine::step::intended::CallPattern;
use session_doctor::model::Level;

use super::story::{Beat, TONGUES, Tongue, ok, run, tell};
use super::{Alert, alerts_with, first};
use crate::support::World;

/// What is told of a story where these calls are intended.
fn alerts(tongue: Tongue, beats: &[Beat], intended: &[&str]) -> Vec<Alert> {
    let intended = intended.iter().map(|text| CallPattern::parse(text).unwrap()).collect();
    let mut options = Options::new();
    options.detect.loops = Arc::new(limits::Options { intended, ..limits::Options::default() });
    alerts_with(&Arc::new(options), &tell(tongue, beats, 90))
}

/// The same beats so many times.
fn times(count: usize, beats: &[Beat]) -> Vec<Beat> {
    beats.iter().cycle().take(count * beats.len()).cloned().collect()
}

#[test]
fn a_poll_of_the_users_own_may_be_repeated() {
    let beats = times(40, &[ok(run("./tools/is-it-done --job 7"), "not yet")]);
    for tongue in TONGUES {
        assert!(first(&alerts(tongue, &beats, &[]), Level::Act).is_some(), "{tongue:?}");
        assert_eq!(alerts(tongue, &beats, &["*(./tools/is-it-done*)"]), [], "{tongue:?}");
        assert!(first(&alerts(tongue, &beats, &["*(./tools/other*)"]), Level::Act).is_some(), "{tongue:?}");
    }
}

#[test]
fn what_runs_between_intended_polls_is_asked_in_another_world() {
    let poll = ok(run("./tools/is-it-done --job 7"), "not yet");
    let around = [poll.clone(), ok(run("sleep 60"), ""), ok(run("git status --short"), "")];
    let told = alerts(Tongue::Claude, &times(40, &around), &["Bash(./tools/is-it-done *)"]);
    assert_eq!(first(&told, Level::Act), None);
    let together = Beat::Calls(vec![
        (run("./tools/is-it-done --job 7"), "not yet".to_owned(), false),
        (run("git status --short"), String::new(), false),
    ]);
    let told = alerts(Tongue::Claude, &times(40, &[together]), &["Bash(./tools/is-it-done *)"]);
    assert_eq!(first(&told, Level::Act), None);
}

#[test]
fn a_loop_after_intended_polls_is_seen_as_soon_as_any() {
    let mut beats = times(9, &[ok(run("./tools/is-it-done --job 7"), "not yet")]);
    beats.extend(times(9, &[ok(run("python3 answer.py"), "41")]));
    let alerts = alerts(Tongue::Claude, &beats, &["Bash(./tools/is-it-done *)"]);
    assert_eq!(first(&alerts, Level::Act).map(|alert| alert.step), Some(15));
}

#[test]
fn settings_and_flags_reach_whatever_looks_for_loops() {
    let told = tell(Tongue::Claude, &times(9, &[ok(run("make poll"), "not yet")]), 8);
    let acts = |config: &str, args: &[&str]| {
        let world = World::new()
            .write("home/project/run.jsonl", &told.text)
            .write("home/.config/session-doctor/config.toml", config);
        let run = world.run(args);
        assert_eq!(run.status, Some(0), "{run:?}");
        let interrupted = run.stdout.contains(r#""level":"act""#);
        (interrupted, run.stdout.contains(r#""intended":true"#))
    };
    let tap = ["tap", "run.jsonl", "--format", "json"];
    let wrap = ["wrap", "--events", "-", "--agent", "claude", "--", "cat", "run.jsonl"];
    let explain = ["explain", "--loops", "run.jsonl", "--format", "json"];
    let allowed = "allow_repeat = ['Bash(make poll)']\n";
    let patient = "[loops.claude.repeated_call]\nact = 40\n[loops.claude.interleaved_repeat]\nact = 40\n";
    let others = patient.replace("claude", "codex");
    for args in [&tap[..], &wrap, &explain] {
        assert!(acts("", args).0, "{args:?}");
        assert!(!acts(allowed, args).0, "{args:?}");
        assert!(!acts(patient, args).0, "{args:?}");
        assert!(acts(&others, args).0, "{args:?}");
    }
    assert!(acts(allowed, &explain).1);
    let flag = ["--allow-repeat", "Read", "--allow-repeat", "Bash(make *)"];
    assert!(!acts("", &[&tap[..], &flag].concat()).0);
    assert!(!acts("", &[&wrap[..1], &flag, &wrap[1..]].concat()).0);
}
