//! What the detectors of loops cost: microseconds a step, and memory a session.
//!
//! `cargo bench --bench steps`. A step is a call with an answer of forty lines; sessions are as long as a day's work.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]

use std::sync::Arc;
use std::time::Instant;

use session_doctor::engine::detect::loops::Loops;
use session_doctor::engine::detect::loops::limits::Options;
use session_doctor::model::Timestamp;
use session_doctor::model::event::SourcePlace;
use session_doctor::model::record::{Body, Message, Role, ToolCall, ToolResult};

/// How many steps a session has.
const STEPS: i64 = 600;

/// How many sessions are kept at once, for their memory to show.
const SESSIONS: usize = 400;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        feed(&mut Loops::new(&Arc::new(Options::default()), "claude"), 20);
        return;
    }
    let mut best = f64::MAX;
    for _ in 0..5 {
        let mut loops = Loops::new(&Arc::new(Options::default()), "claude");
        let began = Instant::now();
        feed(&mut loops, STEPS);
        best = best.min(began.elapsed().as_secs_f64() / STEPS as f64);
    }
    println!("a step of 2 kB: {:.1} µs (best of 5 sessions of {STEPS} steps)", best * 1e6);
    let before = resident_bytes();
    let sessions: Vec<Loops> = (0..SESSIONS)
        .map(|_| {
            let mut loops = Loops::new(&Arc::new(Options::default()), "claude");
            feed(&mut loops, STEPS);
            loops
        })
        .collect();
    let bytes = resident_bytes().saturating_sub(before);
    println!(
        "a session: {:.1} KiB ({} sessions of {STEPS} steps)",
        bytes as f64 / sessions.len() as f64 / 1024.0,
        sessions.len()
    );
}

/// Shows a session of so many steps.
fn feed(loops: &mut Loops, steps: i64) {
    for step in 0..steps {
        let time = Timestamp::from_seconds(1_795_000_000 + 8 * step);
        let place = SourcePlace { name: "bench".into(), line: 2 * step.unsigned_abs() + 1, offset: 0 };
        let id = format!("call_{step}");
        let input = match step % 4 {
            0 => format!(
                r#"{{"file_path":"src/f{}.rs","old_string":"v{step}","new_string":"w{step}"}}"#,
                step % 20
            ),
            1 => r#"{"command":"cargo test","description":"Run the tests"}"#.to_owned(),
            2 => format!(r#"{{"file_path":"src/f{}.rs","offset":{},"limit":40}}"#, step % 20, step % 7 * 40),
            _ => format!(r#"{{"pattern":"word{step}"}}"#),
        };
        let name = ["Edit", "Bash", "Read", "Grep"][usize::try_from(step % 4).unwrap()];
        let answer: String = (0..40)
            .map(|line| {
                format!("{line:>4} the line {} of an answer at 12:00:{:02}\\n", line * step % 977, step % 60)
            })
            .collect();
        let call = ToolCall { id: id.clone().into(), name: name.into(), input: input.into() };
        let answer = ToolResult { id: id.into(), failed: false, exit_code: Some(0), text: answer.into() };
        let words =
            Message { role: Role::Assistant, text: format!("Next I look at part {step} of it.").into() };
        for body in [Body::Message(words), Body::ToolCall(call), Body::ToolResult(answer)] {
            std::hint::black_box(loops.record(&body, &place, time, Some(time)));
        }
    }
}

/// Returns how much memory the process has in use; 0 where that cannot be told.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
