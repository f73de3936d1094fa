//! Bytes per second: each stage alone, and the whole doctor, on named samples.
//!
//! `cargo bench --bench throughput`; `-- --test` runs each once.

#[path = "samples.rs"]
mod samples;

use std::fmt;
use std::hint::black_box;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use divan::counter::BytesCount;

use samples::Sample;
use session_doctor::engine::classify::scan::Scanner;
use session_doctor::engine::classify::{self, rules::Rules};
use session_doctor::engine::format::{self, Frame};
use session_doctor::engine::framing::{Framer, count_lines};
use session_doctor::engine::{Doctor, Options, ansi};
use session_doctor::model::record::{Failure, TextLine};
use session_doctor::model::{Origin, Timestamp};

/// Returns how long a sample is, in bytes.
fn length() -> usize {
    if std::env::args().any(|arg| arg == "--test") { 64 << 10 } else { 8 << 20 }
}

/// How many bytes are fed at a time.
const CHUNK: usize = 256 * 1024;

const NOW: Timestamp = Timestamp::from_seconds(1_795_200_000);

static PLAIN: LazyLock<Sample> = LazyLock::new(|| samples::plain(length()));
static TERMINAL: LazyLock<Sample> = LazyLock::new(|| samples::terminal(length()));
static CLAUDE: LazyLock<Sample> = LazyLock::new(|| samples::claude(length()));
static CODEX: LazyLock<Sample> = LazyLock::new(|| samples::codex(length()));

/// A sample that prints as its name.
#[derive(Clone, Copy)]
struct Named(&'static Sample);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

fn streams() -> [Named; 3] {
    [Named(&PLAIN), Named(&CLAUDE), Named(&CODEX)]
}

fn transcripts() -> [Named; 2] {
    [Named(&CLAUDE), Named(&CODEX)]
}

fn plain() -> [Named; 1] {
    [Named(&PLAIN)]
}

fn terminal() -> [Named; 1] {
    [Named(&TERMINAL)]
}

fn main() {
    divan::main();
}

/// Chunks → blocks of whole lines, and their lines counted.
#[divan::bench(args = streams())]
fn framing(bencher: Bencher<'_, '_>, sample: Named) {
    let bytes = &sample.0.bytes;
    bencher.counter(BytesCount::of_slice(bytes)).bench(|| {
        let mut framer = Framer::new(4 << 20);
        let mut seen = 0;
        for chunk in bytes.chunks(CHUNK) {
            framer.push(chunk, |block| {
                seen += block.bytes.len();
                count_lines(block.bytes)
            });
        }
        framer.finish(|block| count_lines(block.bytes));
        black_box((seen, framer.position()))
    });
}

/// Escape sequences out of coloured lines.
#[divan::bench(args = terminal())]
fn ansi_strip(bencher: Bencher<'_, '_>, sample: Named) {
    let lines = sample.0.lines();
    bencher
        .counter(BytesCount::of_slice(&sample.0.bytes))
        .bench(|| lines.iter().map(|line| ansi::strip(line).len()).sum::<usize>());
}

/// The pre-scan of plain text: literals in whole blocks, then the form of each line.
#[divan::bench(args = plain())]
fn scanner(bencher: Bencher<'_, '_>, sample: Named) {
    let mut scanner = Scanner::new(&Rules::built_in(), &[]);
    let bytes = &sample.0.bytes;
    let lines = sample.0.lines();
    bencher.counter(BytesCount::of_slice(bytes)).bench_local(|| {
        let mut hits = 0;
        for chunk in bytes.chunks(CHUNK) {
            scanner.hits(chunk, |_| hits += 1);
        }
        hits + lines.iter().filter(|line| scanner.has_form(line)).count()
    });
}

/// Lines → records, by the format's own decoder.
#[divan::bench(args = transcripts())]
fn decode(bencher: Bencher<'_, '_>, sample: Named) {
    let format = format::by_name(sample.0.kind).expect("a sample is named for its format");
    let lines = sample.0.lines();
    bencher.counter(BytesCount::of_slice(&sample.0.bytes)).bench_local(|| {
        let mut decoder = format.decoder();
        let mut records = 0;
        for (number, bytes) in lines.iter().enumerate() {
            let frame = Frame { bytes, line: number as u64 + 1, offset: 0, truncated: false };
            decoder.json(frame, &mut |record| {
                black_box(&record);
                records += 1;
            });
        }
        records
    });
}

/// The exact rules on every line, as if the pre-scan let all of them through.
#[divan::bench(args = plain(), sample_count = 10)]
fn classify_every_line(bencher: Bencher<'_, '_>, sample: Named) {
    let rules = Rules::built_in();
    let lines: Vec<TextLine<'_>> = sample
        .0
        .lines()
        .iter()
        .take(20_000)
        .map(|line| TextLine { text: String::from_utf8_lossy(line), body: 0, level: None, content: false })
        .collect();
    let length: usize = lines.iter().map(|line| line.text.len() + 1).sum();
    bencher
        .counter(BytesCount::new(length))
        .bench(|| lines.iter().filter(|line| classify::line(&rules, "plain", line, None).is_some()).count());
}

/// The rules on the message of a failure that a format vouches for.
#[divan::bench]
fn classify_failure(bencher: Bencher<'_, '_>) {
    let rules = Rules::built_in();
    let text = "429 {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"This request would exceed your account's rate limit. Please try again later.\"}}";
    bencher
        .counter(BytesCount::of_str(text))
        .bench(|| classify::failure(&rules, "claude", &Failure::new(Origin::Provider, text), None));
}

/// The whole engine: bytes in, events out.
#[divan::bench(args = streams())]
fn doctor(bencher: Bencher<'_, '_>, sample: Named) {
    let options = Arc::new(Options::new());
    let bytes = &sample.0.bytes;
    bencher.counter(BytesCount::of_slice(bytes)).bench(|| {
        let mut doctor = Doctor::new(Arc::clone(&options), "sample", "sample");
        let mut events = 0;
        for chunk in bytes.chunks(CHUNK) {
            doctor.feed(NOW, chunk, &mut |_| events += 1);
        }
        doctor.finish(NOW, &mut |_| events += 1);
        events
    });
}
