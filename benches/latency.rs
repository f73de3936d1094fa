//! How long it takes from a line written to the event readable, and to the same line passed on, through pipes and the
//! real program; beside them `cat`, which says what pipes and the waking of processes cost on the machine at hand.
//!
//! `cargo bench --bench latency`; `-- --test` takes a handful of samples only. With `SESSION_DOCTOR` another build of
//! the program is measured, so that the bench itself can be built quickly:
//!
//! ```sh
//! SESSION_DOCTOR=target/release/session-doctor cargo bench --profile dev --bench latency
//! ```

#[path = "samples.rs"]
mod samples;

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many lines are timed.
const ROUNDS: usize = 2_000;

/// What a failure looks like in a sample, and how what comes out of it is known.
struct Failure {
    line: &'static str,
    /// Words of its event.
    event: &'static str,
    /// Words of the line itself.
    echo: &'static str,
}

fn main() -> io::Result<()> {
    let rounds = if env::args().any(|arg| arg == "--test") { 20 } else { ROUNDS };
    let program =
        env::var("SESSION_DOCTOR").unwrap_or_else(|_| env!("CARGO_BIN_EXE_session-doctor").to_owned());
    let tap = [program.as_str(), "tap", "--format", "json", "--emit", "finding"];
    let pass = [&tap[..], &["--pass-through", "--events", "/dev/null"]].concat();
    for sample in [samples::plain(1 << 20), samples::claude(1 << 20), samples::codex(1 << 20)] {
        let failure = failure(sample.kind);
        println!("{}, {rounds} lines", sample.name);
        report("line to its event", measure(&tap, &sample, &failure, false, rounds)?);
        report("line passed on", measure(&pass, &sample, &failure, true, rounds)?);
        report("line through cat", measure(&["cat"], &sample, &failure, true, rounds)?);
    }
    Ok(())
}

fn failure(kind: &str) -> Failure {
    match kind {
        "claude" => Failure {
            line: "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"api_error_status\":529,\"result\":\"API Error: 529 Overloaded\",\"session_id\":\"0c1e5500-0000-4000-8000-0000000000b1\"}\n",
            event: "overloaded",
            echo: "API Error: 529",
        },
        "codex" => Failure {
            line: "{\"timestamp\":\"2026-11-20T05:00:00.000Z\",\"type\":\"event_msg\",\"payload\":{\"type\":\"error\",\"message\":\"You've hit your usage limit.\",\"codex_error_info\":\"usage_limit_exceeded\"}}\n",
            event: "usage_limit",
            echo: "You've hit your usage limit.",
        },
        _ => Failure { line: "API Error: 529 Overloaded\n", event: "overloaded", echo: "API Error: 529" },
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("  {what:18} p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), times[times.len() - 1]);
}

/// Writes a few lines of the sample, then one that is a failure, and waits for its event; if the command `passes` its
/// input on, for the line itself.
fn measure(
    command: &[&str],
    sample: &samples::Sample,
    failure: &Failure,
    passes: bool,
    rounds: usize,
) -> io::Result<Vec<Duration>> {
    let mut child =
        Command::new(command[0]).args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().expect("it was asked for");
    let mut events = BufReader::new(child.stdout.take().expect("it was asked for"));
    let lines = sample.lines();
    let words = if passes { failure.echo } else { failure.event };
    let mentions = |line: &[u8]| contains(line, "529") || contains(line, words);
    let quiet: Vec<&[u8]> = lines.into_iter().filter(|line| !mentions(line)).collect();
    let mut line = Vec::new();
    let mut times = Vec::with_capacity(rounds);
    let mut before = quiet.iter().cycle();
    for _ in 0..rounds {
        for quiet in before.by_ref().take(5) {
            stdin.write_all(quiet)?;
            stdin.write_all(b"\n")?;
            if passes {
                events.read_until(b'\n', &mut line)?;
            }
        }
        // What is timed is one line on a stream that is at rest, not the lines before it.
        std::thread::sleep(Duration::from_micros(500));
        let start = Instant::now();
        stdin.write_all(failure.line.as_bytes())?;
        loop {
            line.clear();
            if events.read_until(b'\n', &mut line)? == 0 {
                return Err(io::Error::other("it ended before its input did"));
            }
            if contains(&line, words) {
                break;
            }
        }
        times.push(start.elapsed());
    }
    drop(stdin);
    child.wait()?;
    Ok(times)
}

fn contains(line: &[u8], words: &str) -> bool {
    memchr::memmem::find(line, words.as_bytes()).is_some()
}
