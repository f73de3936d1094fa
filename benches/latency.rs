//! How long it takes from a line written to the event readable, through pipes and the real program.
//!
//! `cargo bench --bench latency`; `-- --test` takes a handful of samples only.

#[path = "samples.rs"]
mod samples;

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many lines are timed.
const ROUNDS: usize = 2_000;

fn main() -> io::Result<()> {
    let rounds = if env::args().any(|arg| arg == "--test") { 20 } else { ROUNDS };
    for sample in [samples::plain(1 << 20), samples::claude(1 << 20), samples::codex(1 << 20)] {
        let mut times = measure(&sample, rounds)?;
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!(
            "{}: {rounds} lines, p50 {:?}, p99 {:?}, max {:?}",
            sample.name,
            at(50),
            at(99),
            times[times.len() - 1]
        );
    }
    Ok(())
}

/// Writes a few lines of the sample, then one that is a finding, and waits for its event.
fn measure(sample: &samples::Sample, rounds: usize) -> io::Result<Vec<Duration>> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_session-doctor"))
        .args(["tap", "--format", "json", "--emit", "finding"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("it was asked for");
    let mut events = BufReader::new(child.stdout.take().expect("it was asked for"));
    let failure = match sample.kind {
        "claude" => {
            "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"api_error_status\":529,\"result\":\"API Error: 529 Overloaded\",\"session_id\":\"0c1e5500-0000-4000-8000-0000000000b1\"}\n"
        }
        "codex" => {
            "{\"timestamp\":\"2026-11-20T05:00:00.000Z\",\"type\":\"event_msg\",\"payload\":{\"type\":\"error\",\"message\":\"You've hit your usage limit.\",\"codex_error_info\":\"usage_limit_exceeded\"}}\n"
        }
        _ => "API Error: 529 Overloaded\n",
    };
    let lines = sample.lines();
    let quiet: Vec<&[u8]> =
        lines.into_iter().filter(|line| !line.windows(3).any(|bytes| bytes == b"529")).collect();
    let mut event = String::new();
    let mut times = Vec::with_capacity(rounds);
    let mut before = quiet.iter().cycle();
    for _ in 0..rounds {
        for line in before.by_ref().take(5) {
            stdin.write_all(line)?;
            stdin.write_all(b"\n")?;
        }
        // What is timed is one line on a stream that is at rest, not the lines before it.
        std::thread::sleep(Duration::from_micros(500));
        let start = Instant::now();
        stdin.write_all(failure.as_bytes())?;
        loop {
            event.clear();
            if events.read_line(&mut event)? == 0 {
                return Err(io::Error::other("it ended before its input did"));
            }
            if event.contains("overloaded") || event.contains("usage_limit") {
                break;
            }
        }
        times.push(start.elapsed());
    }
    drop(stdin);
    child.wait()?;
    Ok(times)
}
