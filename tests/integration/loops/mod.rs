//! Loops: every one of the scenarios is caught, ordinary work is left alone.

mod calibrated;
mod chance;
mod document;
mod intended;
mod mistaken;
mod peers;
mod scenarios;
mod sessions;
mod sessions_other;
mod story;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use session_doctor::engine::{Doctor, Options};
use session_doctor::model::{Class, EventBody, Level, Timestamp};

use chance::Chance;
use story::{Beat, TONGUES, Told, Tongue, tell};

/// An alert of a loop: its level, its detector, and after which step it came.
#[derive(Clone, Debug, PartialEq)]
struct Alert {
    level: Level,
    detector: String,
    step: usize,
}

/// Reads a story and returns the alerts of loops.
fn alerts(told: &Told) -> Vec<Alert> {
    alerts_with(&OPTIONS, told)
}

/// The same with other settings.
fn alerts_with(options: &Arc<Options>, told: &Told) -> Vec<Alert> {
    let mut doctor = Doctor::new(Arc::clone(options), "t", "t");
    let mut alerts = Vec::new();
    let mut take = |event: session_doctor::model::Event| {
        if let EventBody::Alert(alert) = &event.body
            && alert.class == Class::ToolRepeat
        {
            let line = event.source.as_ref().unwrap().line;
            let step = told.steps[usize::try_from(line).unwrap()];
            alerts.push(Alert { level: alert.level, detector: alert.detector.clone(), step });
        }
    };
    let now = Timestamp::from_seconds(1_795_000_000);
    doctor.feed(now, told.text.as_bytes(), &mut take);
    doctor.finish(now, &mut take);
    alerts
}

static OPTIONS: std::sync::LazyLock<Arc<Options>> = std::sync::LazyLock::new(|| Arc::new(Options::new()));

fn first(alerts: &[Alert], level: Level) -> Option<&Alert> {
    alerts.iter().find(|alert| alert.level == level)
}

/// A story and how it is told.
fn versions(beats: &[Beat], seed: u64) -> Vec<(&'static str, Vec<Beat>)> {
    let noisy = |hundredths| scenarios::with_noise(beats, hundredths, &mut Chance::new(seed));
    vec![
        ("as it is", beats.to_vec()),
        ("10 % noise", noisy(10)),
        ("25 % noise", noisy(25)),
        ("a restart", scenarios::with_restart(beats)),
    ]
}

#[test]
fn every_loop_is_caught_and_no_ordinary_work_is_interrupted() {
    let mut wrong = String::new();
    for scenario in scenarios::all() {
        let mut row = format!("{:66}", scenario.name);
        for tongue in TONGUES {
            for (version, beats) in versions(&scenario.beats, 1) {
                let alerts = alerts(&tell(tongue, &beats, 8));
                let act = first(&alerts, Level::Act);
                if act.is_some() != scenario.is_loop {
                    wrong += &format!("{} ({tongue:?}, {version}): {alerts:?}\n", scenario.name);
                }
                if version == "as it is" || tongue == Tongue::Claude {
                    row += &match (first(&alerts, Level::Warn), act) {
                        (_, Some(act)) => format!(" {:>3} {:12.12}", act.step, act.detector),
                        (Some(warn), None) => format!(" ({})         ", warn.step),
                        _ => " ·               ".to_owned(),
                    };
                }
            }
        }
        println!("{row}");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn ordinary_sessions_are_left_alone() {
    let sessions: u64 = std::env::var("LOOP_SESSIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let seed: u64 = std::env::var("LOOP_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let mut wrong = String::new();
    for polls in [true, false] {
        for (strictness, most) in [(0.0, 0.03), (0.7, 0.01), (0.95, 0.01)] {
            let (mut warned, mut stopped) = (0, 0);
            let mut by: BTreeMap<String, u32> = BTreeMap::new();
            for session in 0..sessions {
                let beats = sessions::ordinary(seed + session, 120, strictness, polls);
                let tongue = TONGUES[(session % 4) as usize];
                let alerts = alerts(&tell(tongue, &beats, 8));
                warned += u64::from(first(&alerts, Level::Warn).is_some());
                if let Some(act) = first(&alerts, Level::Act) {
                    stopped += 1;
                    *by.entry(act.detector.clone()).or_default() += 1;
                }
            }
            println!(
                "polls {polls:5} strictness {strictness:4}: of {sessions} sessions {warned} warned of, {stopped} stopped {by:?}"
            );
            // One in a small sample is no rate.
            if stopped > 1 && stopped as f64 > most * sessions as f64 {
                wrong += &format!("polls {polls}, strictness {strictness}: {stopped} of {sessions} {by:?}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_loop_that_begins_after_ordinary_work_is_caught_soon() {
    let sessions: u64 = std::env::var("LOOP_SESSIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let loops: Vec<_> = scenarios::all().into_iter().filter(|scenario| scenario.is_loop).collect();
    let (mut caught, mut delays, mut missed) = (0, Vec::new(), BTreeMap::<_, u32>::new());
    for session in 0..sessions {
        let scenario = &loops[session as usize % loops.len()];
        let mut beats = sessions::ordinary(7000 + session, 40, 0.7, true);
        let begins = beats
            .iter()
            .map(|beat| if let Beat::Calls(calls) = beat { calls.len() } else { 0 })
            .sum::<usize>();
        beats.extend(scenario.beats.clone());
        let alerts = alerts(&tell(TONGUES[(session / 14 % 4) as usize], &beats, 8));
        match first(&alerts, Level::Act) {
            Some(act) if act.step > begins => {
                caught += 1;
                delays.push(act.step - begins);
            }
            _ => *missed.entry(scenario.name).or_default() += 1,
        }
    }
    delays.sort_unstable();
    let median = delays[delays.len() / 2];
    println!("caught {caught} of {sessions}, half of them within {median} steps; missed: {missed:?}");
    assert!(caught * 100 >= sessions * 95, "missed: {missed:?}");
    assert!(median <= 12, "{median}");
}
