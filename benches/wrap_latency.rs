//! How much later a line comes through `wrap` than from the command itself.
//!
//! A line goes to `cat` and comes back: from `cat` alone, from `cat | cat`, from `wrap -- cat`, in turns in one run.
//! What `wrap` adds is told as the difference to `cat` alone; a second `cat` in the pipe is what it is measured by.
//!
//! `cargo bench --bench wrap_latency`; `-- --test` takes a handful of samples only.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How many lines are timed of each.
const ROUNDS: usize = 20_000;

/// What a line goes through and comes back from.
struct Loop {
    name: &'static str,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    times: Vec<Duration>,
}

impl Loop {
    fn start(name: &'static str, argv: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(argv[0])
            .args(&argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdin = child.stdin.take().expect("it was asked for");
        let stdout = BufReader::new(child.stdout.take().expect("it was asked for"));
        Ok(Self { name, child, stdin, stdout, times: Vec::new() })
    }

    fn time(&mut self, line: &str, answer: &mut String) -> io::Result<()> {
        answer.clear();
        let start = Instant::now();
        self.stdin.write_all(line.as_bytes())?;
        self.stdout.read_line(answer)?;
        self.times.push(start.elapsed());
        if answer == line {
            Ok(())
        } else {
            Err(io::Error::other(format!("{}: another line came back", self.name)))
        }
    }

    fn at(&self, per_mille: usize) -> Duration {
        self.times[(self.times.len() - 1) * per_mille / 1000]
    }
}

fn main() -> io::Result<()> {
    let rounds = if env::args().any(|arg| arg == "--test") { 20 } else { ROUNDS };
    let program = env!("CARGO_BIN_EXE_session-doctor");
    let mut loops = [
        Loop::start("cat", &["cat"])?,
        Loop::start("cat | cat", &["sh", "-c", "cat | cat"])?,
        Loop::start("wrap -- cat", &[program, "wrap", "--events", "/dev/null", "--", "cat"])?,
    ];
    let line = "{\"type\":\"assistant\",\"message\":{\"role\":\"assistant\",\"content\":\"works\"}}\n";
    let mut answer = String::new();
    for _ in 0..rounds {
        for one in &mut loops {
            one.time(line, &mut answer)?;
        }
    }
    for one in &mut loops {
        one.times.sort_unstable();
    }
    for one in &loops {
        println!(
            "{:<12} {rounds} lines, p50 {:?}, p99 {:?}, p99.9 {:?}; over cat: p50 {:?}, p99 {:?}",
            one.name,
            one.at(500),
            one.at(990),
            one.at(999),
            one.at(500).saturating_sub(loops[0].at(500)),
            one.at(990).saturating_sub(loops[0].at(990)),
        );
    }
    for one in loops {
        let Loop { mut child, stdin, .. } = one;
        drop(stdin);
        child.wait()?;
    }
    Ok(())
}
