//! Our detectors beside those that are shipped: how many loops each catches, and how much ordinary work each interrupts.
//!
//! `LOOP_SESSIONS=400 cargo test --test integration loops::table -- --nocapture` prints the tables of `docs/loops.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use session_doctor::model::Level;

use super::peers::PEERS;
use super::story::{Beat, TONGUES, Tongue, tell};
use super::{Alert, alerts, first, scenarios, sessions, sessions_other};

/// How long a made-up session is, in steps.
const LONG: usize = 120;

/// The first seed of the other sessions: those below 240 were looked at while detectors were mended.
const FRESH: u64 = 12_000;

/// Returns how many sessions stand behind each rate.
fn count(otherwise: u64) -> u64 {
    std::env::var("LOOP_SESSIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// The columns: the shipped ones, then ours at either limit.
fn names() -> Vec<String> {
    let ours = ["**ours, warns**", "**ours, acts**"].map(str::to_owned);
    PEERS.iter().map(|peer| peer.name.to_owned()).chain(ours).collect()
}

/// Returns the step at which each column first fires.
fn firsts(beats: &[Beat], ours: &[Alert]) -> Vec<Option<usize>> {
    let shipped = PEERS.iter().map(|peer| peer.first(beats));
    let warns = ours.first().map(|alert| alert.step);
    let acts = first(ours, Level::Act).map(|alert| alert.step);
    shipped.chain([warns, acts]).collect()
}

/// Returns the 95 % interval of a rate, in per cent, after Wilson.
fn interval(hits: u64, of: u64) -> (f64, f64) {
    let (z, n) = (1.96, of as f64);
    let p = hits as f64 / n;
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let bound = |of: f64| (100.0 * of / (1.0 + z * z / n)).clamp(0.0, 100.0);
    (bound(middle - half), bound(middle + half))
}

fn rate(hits: u64, of: u64) -> String {
    let (low, high) = interval(hits, of);
    format!("{} ({} to {})", shown(100.0 * hits as f64 / of as f64), shown(low), shown(high))
}

fn shown(per_cent: f64) -> String {
    if per_cent == 0.0 || per_cent >= 9.95 { format!("{per_cent:.0}") } else { format!("{per_cent:.1}") }
}

/// Returns a Markdown table with a column of names in front.
fn table(head: &[String], rows: &[(String, Vec<String>)]) -> String {
    let mut text = format!("| | {} |\n|---|{}\n", head.join(" | "), "--:|".repeat(head.len()));
    for (name, cells) in rows {
        writeln!(text, "| {name} | {} |", cells.join(" | ")).unwrap();
    }
    text
}

/// Turns rows and columns: the shipped ones are many, and a page is not wide.
fn turned(columns: &[(String, Vec<String>)]) -> Vec<(String, Vec<String>)> {
    let row =
        |(at, name): (usize, String)| (name, columns.iter().map(|(_, cells)| cells[at].clone()).collect());
    names().into_iter().enumerate().map(row).collect()
}

/// The table of the scenarios: a row each, the step at which each column fires.
pub(super) fn of_scenarios() -> (String, Vec<(String, u32, u32)>) {
    let mut sums: Vec<(String, u32, u32)> = names().into_iter().map(|name| (name, 0, 0)).collect();
    let mut rows = Vec::new();
    for scenario in scenarios::all() {
        let firsts = firsts(&scenario.beats, &alerts(&tell(Tongue::Claude, &scenario.beats, 8)));
        for (sum, first) in sums.iter_mut().zip(&firsts) {
            let hit = u32::from(first.is_some());
            if scenario.is_loop { sum.1 += hit } else { sum.2 += hit }
        }
        rows.push((
            scenario.name.to_owned(),
            firsts.iter().map(|first| first.map_or("·".to_owned(), |step| step.to_string())).collect(),
        ));
    }
    rows.push(("**loops caught, of 14**".to_owned(), sums.iter().map(|sum| sum.1.to_string()).collect()));
    rows.push((
        "**ordinary work stopped, of 13**".to_owned(),
        sums.iter().map(|sum| sum.2.to_string()).collect(),
    ));
    (table(&names(), &rows), sums)
}

#[test]
fn no_shipped_detector_catches_as_much_and_leaves_as_much_alone() {
    let (text, sums) = of_scenarios();
    println!("{text}");
    let ours = sums.last().unwrap().clone();
    assert_eq!((ours.1, ours.2), (14, 0));
    for (name, caught, stopped) in &sums[..PEERS.len()] {
        assert!(*caught < ours.1 || *stopped > ours.2, "{name}: {caught}, {stopped}");
    }
}

#[test]
fn of_ordinary_sessions_ours_interrupts_next_to_none() {
    let sessions = count(4);
    let mut columns = Vec::new();
    for polls in [true, false] {
        for strictness in [0.0, 0.7, 0.95] {
            let mut fired = vec![0; PEERS.len() + 2];
            for session in 0..sessions {
                let beats = sessions::ordinary(50_000 + session, LONG, strictness, polls);
                let told = tell(TONGUES[(session % 4) as usize], &beats, 8);
                for (fired, first) in fired.iter_mut().zip(firsts(&beats, &alerts(&told))) {
                    *fired += u64::from(first.is_some());
                }
            }
            // One in a small sample is no rate.
            let (acts, most) = (*fired.last().unwrap(), if strictness == 0.0 { 3 } else { 1 });
            assert!(
                acts <= 1 || acts * 100 <= sessions * most,
                "polls {polls}, strictness {strictness}: {acts}"
            );
            let name = format!("{}, {strictness}", if polls { "polls" } else { "no polls" });
            columns.push((name, cells(&fired, sessions)));
        }
    }
    println!("{sessions} sessions a column\n\n{}", table(&heads(&columns), &turned(&columns)));
}

/// Rates, with intervals for ours.
fn cells(fired: &[u64], of: u64) -> Vec<String> {
    let is_ours = |at: usize| at >= PEERS.len();
    let cell = |(at, hits): (usize, &u64)| {
        if is_ours(at) { rate(*hits, of) } else { shown(100.0 * *hits as f64 / of as f64) }
    };
    fired.iter().enumerate().map(cell).collect()
}

fn heads(columns: &[(String, Vec<String>)]) -> Vec<String> {
    columns.iter().map(|(name, _)| name.clone()).collect()
}

#[test]
fn of_other_ordinary_sessions_ours_interrupts_next_to_none() {
    let sessions = count(12);
    let tongues = [Tongue::Claude, Tongue::Codex, Tongue::Gemini];
    let mut fired = vec![0; PEERS.len() + 2];
    let (mut warned, mut stopped) = (BTreeMap::<_, u32>::new(), BTreeMap::<_, u32>::new());
    let mut steps = 0;
    for session in 0..sessions {
        let tongue = tongues[(session / 12 % 3) as usize];
        let session = FRESH + session;
        let beats = sessions_other::ordinary(session, LONG, tongue);
        let told = tell(tongue, &beats, 8);
        steps += told.steps.last().unwrap();
        let ours = alerts(&told);
        for (fired, first) in fired.iter_mut().zip(firsts(&beats, &ours)) {
            *fired += u64::from(first.is_some());
        }
        let by = |level, counts: &mut BTreeMap<(String, &str), u32>| {
            if let Some(alert) = first(&ours, level) {
                *counts.entry((alert.detector.clone(), sessions_other::kind(session))).or_default() += 1;
                if std::env::var_os("LOOP_SHOW").is_some() {
                    println!(
                        "{level:?} session {session} {tongue:?} {} at {}: {}",
                        alert.detector,
                        alert.step,
                        sessions_other::kind(session)
                    );
                    show(&beats, alert.step, if level == Level::Act { 32 } else { 8 });
                }
            }
        };
        by(Level::Warn, &mut warned);
        by(Level::Act, &mut stopped);
    }
    let columns = [("other work".to_owned(), cells(&fired, sessions))];
    println!("{sessions} sessions, {steps} steps\n\n{}", table(&heads(&columns), &turned(&columns)));
    println!("warned: {warned:#?}\nstopped: {stopped:#?}");
    let acts = *fired.last().unwrap();
    // One in a small sample is no rate.
    assert!(acts <= 1 || acts * 100 <= sessions * 3, "{stopped:?}");
}

/// Prints the last few steps that led to one.
fn show(beats: &[Beat], step: usize, last: usize) {
    let mut at = 0;
    for beat in beats {
        let Beat::Calls(calls) = beat else { continue };
        for (ask, answer, failed) in calls {
            at += 1;
            if at <= step && at + last > step {
                println!(
                    "    {at:3} {} {:.150} -> {:.120?}",
                    if *failed { "✗" } else { " " },
                    format!("{ask:?}"),
                    answer
                );
            }
        }
    }
}

#[test]
fn a_loop_after_ordinary_work_is_caught_by_ours_and_few_others() {
    let loops: Vec<_> = scenarios::all().into_iter().filter(|scenario| scenario.is_loop).collect();
    let sessions = count(14);
    let mut delays = vec![Vec::new(); PEERS.len() + 2];
    let mut early = vec![0; PEERS.len() + 2];
    for session in 0..sessions {
        let mut beats = sessions::ordinary(70_000 + session, 40, 0.7, true);
        let begins: usize =
            beats.iter().map(|beat| if let Beat::Calls(calls) = beat { calls.len() } else { 0 }).sum();
        beats.extend(loops[session as usize % loops.len()].beats.clone());
        let told = tell(TONGUES[(session / 14 % 4) as usize], &beats, 8);
        for (at, first) in firsts(&beats, &alerts(&told)).into_iter().enumerate() {
            match first {
                Some(step) if step > begins => delays[at].push(step - begins),
                Some(_) => early[at] += 1,
                None => {}
            }
        }
    }
    let median = |delays: &Vec<usize>| {
        let mut sorted = delays.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).map_or("–".to_owned(), usize::to_string)
    };
    let caught: Vec<u64> = delays.iter().map(|delays| delays.len() as u64).collect();
    let columns = [
        ("caught, %".to_owned(), cells(&caught, sessions)),
        ("had fired before, %".to_owned(), cells(&early, sessions)),
        ("median delay, steps".to_owned(), delays.iter().map(median).collect()),
    ];
    println!("{sessions} sessions\n\n{}", table(&heads(&columns), &turned(&columns)));
    let ours = *caught.last().unwrap();
    assert!(ours * 100 >= sessions * 95, "{ours} of {sessions}");
    assert!(caught[..PEERS.len()].iter().all(|caught| *caught < ours));
}

#[test]
fn intervals_are_those_of_wilson() {
    let close =
        |(low, high): (f64, f64), (a, b): (f64, f64)| (low - a).abs() < 0.01 && (high - b).abs() < 0.01;
    assert!(close(interval(0, 400), (0.0, 0.95)));
    assert!(close(interval(10, 100), (5.52, 17.44)));
    assert!(close(interval(400, 400), (99.05, 100.0)));
}
