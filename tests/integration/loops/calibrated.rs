//! Limits from good runs: what the score of a run says, whether the stated rate holds, and `calibrate` from outside.

use std::sync::Arc;

use session_doctor::engine::detect::loops::calibrate::{bound, rank};
use session_doctor::engine::detect::loops::limits::{self, Limits};
use session_doctor::engine::{Doctor, Options};
use session_doctor::model::{Level, Timestamp};

use super::chance::Chance;
use super::story::{Beat, TONGUES, Told, Tongue, ok, run, tell};
use super::{OPTIONS, alerts, alerts_with, first, scenarios, sessions, sessions_other};
use crate::support::World;

/// How close a story comes to an interruption.
fn score(told: &Told) -> f32 {
    let mut doctor = Doctor::new(Arc::clone(&OPTIONS), "t", "t");
    doctor.start_measuring_loops();
    let now = Timestamp::from_seconds(1_795_000_000);
    doctor.feed(now, told.text.as_bytes(), &mut |_| {});
    doctor.finish(now, &mut |_| {});
    doctor.measures().iter().map(|measure| measure.gauge.score).fold(0.0, f32::max)
}

/// Whether a story is interrupted with these limits.
fn is_stopped(told: &Told, limits: Limits) -> bool {
    let mut options = Options::new();
    options.detect.loops = Arc::new(limits::Options { limits, ..limits::Options::default() });
    first(&alerts_with(&Arc::new(options), told), Level::Act).is_some()
}

/// Ordinary sessions of all kinds, in an order that says nothing.
fn ordinary(count: u64) -> Vec<Told> {
    let tongues = [Tongue::Claude, Tongue::Codex, Tongue::Gemini];
    (0..count)
        .map(|session| {
            let tongue = tongues[(session % 3) as usize];
            let beats = match session % 4 {
                // An agent that does not care whether it asks again what cannot have changed.
                0 | 1 => sessions::ordinary(90_000 + session, 60, 0.0, session % 4 == 0),
                _ => sessions_other::ordinary(90_000 + session, 60, tongue),
            };
            tell(tongue, &beats, 8)
        })
        .collect()
}

#[test]
fn a_run_is_interrupted_where_its_score_says_and_by_no_limits_beyond_it() {
    let mut stopped = 0;
    for scenario in scenarios::all() {
        for tongue in [Tongue::Claude, Tongue::Codex] {
            let told = tell(tongue, &scenario.beats, 8);
            let score = score(&told);
            let name = scenario.name;
            assert_eq!(first(&alerts(&told), Level::Act).is_some(), score >= 1.0, "{name}: {score}");
            for may_lower in [true, false] {
                assert!(!is_stopped(&told, Limits::default().beyond(score, may_lower)), "{name}: {score}");
            }
            // And the limits are not much beyond it: with a fifth less, and one less for what is rounded, it is.
            let mut tighter = Limits::default().beyond(score * 0.8, true);
            tighter.iter_mut().for_each(|(_, limit)| limit.act = limit.act.saturating_sub(1));
            stopped += u32::from(score >= 1.0 && is_stopped(&told, tighter));
        }
    }
    assert_eq!(stopped, 28, "every loop, told twice");
}

/// Whatever runs are taken for the limits, no more of the others are interrupted than the rate says, on the average over
/// how they are taken.
#[test]
fn the_stated_rate_holds_for_runs_that_the_limits_do_not_come_from() {
    const RATE: f64 = 0.1;
    let mut runs: Vec<(f32, Told)> = ordinary(80).into_iter().map(|told| (score(&told), told)).collect();
    let mut chance = Chance::new(7);
    let mut shares = Vec::new();
    for draw in 0..400 {
        for at in (1..runs.len()).rev() {
            runs.swap(at, chance.below(at as u64 + 1) as usize);
        }
        let (seen, others) = runs.split_at(39);
        let scores: Vec<f32> = seen.iter().map(|(score, _)| *score).collect();
        assert_eq!(rank(scores.len(), RATE), Some(36));
        let bound = bound(&scores, RATE).unwrap();
        let above = others.iter().filter(|(score, _)| *score > bound).count();
        shares.push(above as f64 / others.len() as f64);
        if draw < 2 {
            // What the number says, the judge does: with limits that may be lower, so that there is something to see.
            let limits = Limits::default().beyond(bound, true);
            let stopped = others.iter().filter(|(_, told)| is_stopped(told, limits)).count();
            assert!(stopped <= above, "{stopped} were interrupted, {above} are above {bound}");
        }
    }
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    println!("interrupted, of those held out: {:.2} %", 100.0 * mean);
    assert!(mean <= RATE + 0.005, "{mean}");
    assert!(mean > RATE / 4.0, "the runs differ: {mean}");
}

// ---------------------------------------------------------------------------------------------- from outside

/// A run in which a command is repeated so often, with work before it.
fn run_of(name: &str, times: usize) -> String {
    let work = (0..4).map(|n| ok(run(format!("cat notes/{n}.md")), format!("notes of day {n}")));
    let same = (0..times).map(|_| ok(run("make check"), "all is well"));
    let beats: Vec<Beat> = work.chain(same).collect();
    tell(Tongue::Claude, &beats, 8).text.replace(r#""sessionId":"s""#, &format!(r#""sessionId":"{name}""#))
}

/// Nineteen good runs, of which three repeat a command eight times where six are an interruption.
fn world() -> World {
    let world = World::new();
    std::fs::create_dir(world.path("home/project/runs")).unwrap();
    (0..19).fold(world, |world, n| {
        let times = if n < 3 { 8 } else { 2 };
        world.write(&format!("home/project/runs/{n}.jsonl"), &run_of(&format!("run-{n}"), times))
    })
}

const CONFIG: &str = "home/.config/session-doctor/config.toml";

const CALIBRATE: [&str; 4] = ["calibrate", "runs", "--false-stop-rate", "0.1"];

fn and<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

#[test]
fn what_is_stored_holds_from_then_on_and_is_the_same_the_second_time() {
    let world = world().write(CONFIG, "# mine\nthreads = 1 # one\n");
    let acts = || {
        let run = world.run(&["tap", "runs/0.jsonl", "--emit", "alert"]);
        run.stdout.matches(r#""level":"act""#).count()
    };
    assert_eq!(acts(), 1);
    let run = world.run(&and(&CALIBRATE, &["--write", "--format", "text"]));
    assert_eq!(run.status, Some(0), "{run:?}");
    let expected = "\
claude: 19 good runs
  3 came up to the limits; was one of them stuck? Then leave it out:
    1.33 of them, repeated_call: session-doctor explain --loops runs/0.jsonl # line 24
    1.33 of them, repeated_call: session-doctor explain --loops runs/1.jsonl # line 24
    1.33 of them, repeated_call: session-doctor explain --loops runs/2.jsonl # line 24
  of good runs like these, at most 10 % are interrupted: 18 of 19 came to 1.33 of the limits or less
  read again with the limits below, 0 of 19 are interrupted
  each half with the limits of the other: 0 of 19

  detector                  now warn/act        calibrated   highest
  repeated_call                    4 / 6             4 / 9         8  raised
";
    assert!(run.stdout.starts_with(expected), "{}", run.stdout);
    assert!(
        run.stdout.ends_with("\nstored in W/home/.config/session-doctor/config.toml\n"),
        "{}",
        run.stdout
    );
    let stored = std::fs::read_to_string(world.path(CONFIG)).unwrap();
    let begins = "# mine\nthreads = 1 # one\n\n# Set by `session-doctor calibrate`.\n[loops.claude.repeated_call]\nact = 9\n";
    assert!(stored.starts_with(begins), "{stored}");
    assert!(!stored.contains("warn"), "when to warn is left alone: {stored}");
    assert_eq!(acts(), 0);

    let again = world.run(&and(&CALIBRATE, &["--write", "--format", "text"]));
    let says = "\nnothing to store: the limits that hold are enough\n";
    assert!(again.stdout.ends_with(says), "{again:?}");
    assert_eq!(std::fs::read_to_string(world.path(CONFIG)).unwrap(), stored);
}

#[test]
fn nothing_is_lowered_or_stored_unless_that_is_asked_for() {
    let world = world();
    let acts = |args: &[&str]| {
        let run = world.run(&and(&["calibrate", "runs", "--false-stop-rate", "0.2"], args));
        let line: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let limits = line["limits"].as_array().unwrap().clone();
        let act = |limit: &serde_json::Value| limit["calibrated"]["act"].as_u64().unwrap();
        assert_eq!((&line["runs"], &line["rank"]), (&19.into(), &16.into()));
        limits.iter().map(act).collect::<Vec<_>>()
    };
    let built_in: Vec<u64> = limits::TABLE.iter().map(|(_, limit)| u64::from(limit.act)).collect();
    // The sixteenth of nineteen repeats a command twice.
    assert_eq!(acts(&[]), built_in);
    let lower = acts(&["--allow-lower"]);
    let warn: Vec<u64> = limits::TABLE.iter().map(|(_, limit)| u64::from(limit.warn)).collect();
    for ((lower, built_in), warn) in lower.iter().zip(&built_in).zip(&warn) {
        assert!(lower <= built_in && (lower > warn || *built_in == 0), "{lower} {built_in} {warn}");
    }
    assert!(lower < built_in);
    assert!(!world.path(CONFIG).exists());
}

#[test]
fn too_few_runs_are_refused_and_bad_ones_do_not_count() {
    let fails = r#"{"type":"result","subtype":"success","is_error":true,"result":"Invalid API key · Please run /login","session_id":"run-0"}"#;
    let world = world();
    let failed = format!("{}{fails}\n", run_of("run-0", 8));
    let world = world
        .write("home/project/runs/0.jsonl", &failed)
        .write("home/project/runs/short.jsonl", &tell(Tongue::Claude, &[ok(run("ls"), "a")], 8).text);
    let few = world.run(&["calibrate", "runs", "--format", "text", "--write"]);
    assert_eq!(few.status, Some(69), "{few:?}");
    assert!(
        few.stdout.starts_with(
            "claude: 18 good runs; left out: 1 that did not end well, 1 of fewer than 4 steps\n"
        ),
        "{few:?}"
    );
    assert!(
        few.stdout.contains("too few: a rate of 1 % takes 99; these can show 5.3 %: --false-stop-rate 0.053"),
        "{few:?}"
    );
    assert!(few.stderr.contains("cause: a rate of 1 % takes 99 good runs"), "{few:?}");
    assert!(!world.path(CONFIG).exists());
    let enough = world.run(&["calibrate", "runs", "--false-stop-rate", "0.053"]);
    assert_eq!(enough.status, Some(0), "{enough:?}");
}

#[test]
fn what_stands_over_the_users_file_is_told() {
    let project = "[loops.claude.repeated_call]\nact = 7\n";
    let world = world().write("home/project/.session-doctor.toml", project);
    let run = world.run(&and(&CALIBRATE, &["--write"]));
    assert_eq!(run.status, Some(0), "{run:?}");
    let warning = "failed to let `loops.claude.repeated_call.act` hold\n  cause: what W/home/project/.session-doctor.toml:2 says stands over it";
    assert!(run.stderr.contains(warning), "{}", run.stderr);
    // A detector that interrupts nobody stays that way.
    let world = self::world().write(CONFIG, "[loops.claude.repeated_call]\nact = 0\n");
    assert_eq!(world.run(&and(&CALIBRATE, &["--write"])).status, Some(0));
    assert!(
        std::fs::read_to_string(world.path(CONFIG))
            .unwrap()
            .starts_with("[loops.claude.repeated_call]\nact = 0\n")
    );
}

#[test]
fn a_session_with_its_sub_agents_is_one_run_and_every_tongue_is_an_agent() {
    let world = World::new();
    std::fs::create_dir(world.path("home/project/runs")).unwrap();
    let beats: Vec<Beat> = (0..6).map(|n| ok(run(format!("cat {n}")), format!("it is {n}"))).collect();
    let world = TONGUES.into_iter().fold(world, |world, tongue| {
        world.write(&format!("home/project/runs/{tongue:?}.jsonl"), &tell(tongue, &beats, 8).text)
    });
    let run = world.run(&["calibrate", "runs", "--false-stop-rate", "0.5"]);
    let lines: Vec<serde_json::Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counts: Vec<_> =
        lines.iter().map(|line| (line["agent"].as_str().unwrap(), line["runs"].as_u64())).collect();
    // Two are told in the words of one agent, and say that they are the same session.
    assert_eq!(counts, [("claude", Some(1)), ("codex", Some(1)), ("gemini", Some(1))]);
}
