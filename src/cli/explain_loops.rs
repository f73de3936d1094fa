//! `explain --loops`: the steps of a session, and what the detectors of loops counted after each.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::{CliError, Exit, Kind};
use crate::engine::detect::loops::Row;
use crate::engine::{Doctor, Options, redact};
use crate::model::{Level, Timestamp};
use crate::runtime::clock;
use crate::sink::Form;
use crate::source::{file, os_words};

/// How many bytes are read at a time.
const CHUNK: usize = 256 << 10;

/// How many characters of a call are shown.
const CALL_CHARS: usize = 72;

/// Explains the steps of a file, or of standard input.
///
/// # Errors
/// The file cannot be read, standard output cannot be written.
pub fn run(path: &Path, options: Arc<Options>, form: Form) -> Result<Exit, CliError> {
    let mut doctor = Doctor::new(options, &path.display().to_string(), "explain");
    doctor.start_explaining_loops();
    let mut table =
        Table { form, out: Vec::new(), symbols: HashMap::new(), session: String::new(), steps: 0 };
    let mut buffer = vec![0; CHUNK];
    let mut input = if path.as_os_str() == "-" {
        Input::Stdin
    } else {
        Input::File(file::open(path).map_err(|error| CliError::from(&error))?)
    };
    let mut out = std::io::stdout().lock();
    loop {
        let length = input.read(&mut buffer)?;
        let now = clock::now();
        if length == 0 {
            doctor.finish(now, &mut |_| {});
        } else {
            doctor.feed(now, &buffer[..length], &mut |_| {});
        }
        for (session, row) in doctor.take_steps() {
            table.row(&session, &row);
        }
        out.write_all(&table.out).map_err(|error| CliError::output(&error))?;
        table.out.clear();
        if length == 0 {
            break;
        }
    }
    if table.steps == 0 && form != Form::Json {
        out.write_all(b"no steps: no call of a tool was answered\n")
            .map_err(|error| CliError::output(&error))?;
    }
    out.flush().map_err(|error| CliError::output(&error))?;
    Ok(Exit::Ok)
}

/// Where the steps come from.
enum Input {
    Stdin,
    File(file::Reader),
}

impl Input {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CliError> {
        match self {
            Self::Stdin => std::io::stdin()
                .read(buffer)
                .map_err(|error| CliError::new(Kind::Io, "read standard input").cause(os_words(&error))),
            Self::File(reader) => reader.read_chunk(buffer).map_err(|error| CliError::from(&error)),
        }
    }
}

struct Table {
    form: Form,
    out: Vec<u8>,
    /// The letters that stand for symbols, for each session: some 50 bytes a step that is unlike all before, for a letter
    /// stands for the same thing from the first step to the last.
    symbols: HashMap<String, BTreeMap<u64, usize>>,
    session: String,
    steps: u64,
}

impl Table {
    fn row(&mut self, session: &str, row: &Row) {
        self.steps += 1;
        let known = self.symbols.entry(session.to_owned()).or_default();
        let next = known.len();
        let symbol = letters(*known.entry(row.step.symbol).or_insert(next));
        let call = redact::excerpt(&row.step.label, CALL_CHARS);
        let step = &row.step;
        // Writing to memory cannot fail.
        if self.form == Form::Json {
            let counts: serde_json::Map<String, serde_json::Value> =
                row.counts.iter().map(|(name, count, _)| ((*name).to_owned(), json!(count))).collect();
            let _ = writeln!(
                self.out,
                "{}",
                json!({
                    "session": session, "step": step.number, "line": step.line, "time": step.time,
                    "effect": step.effect.name(), "symbol": symbol, "epoch": step.epoch, "failed": step.failed,
                    "intended": step.intended,
                    "news": (f64::from(step.news) * 100.0).round() / 100.0,
                    "credit": (f64::from(step.credit) * 100.0).round() / 100.0,
                    "counts": counts, "level": row.verdict.map(|(level, _)| level), "detector": row.verdict.map(|(_, name)| name),
                    "call": call,
                })
            );
            return;
        }
        if self.session != session {
            session.clone_into(&mut self.session);
            let name = redact::excerpt(session, CALL_CHARS);
            let _ = writeln!(self.out, "session {name}");
            let _ = writeln!(
                self.out,
                "{:>5} {:>6} {:8} {:>5} {:8} {:>6} {:>4} {:>6}  call, counts",
                "step", "line", "time", "world", "effect", "symbol", "new", "credit"
            );
        }
        let failed = if step.failed { "!" } else { " " };
        let mut counts = String::new();
        for (name, count, strength) in &row.counts {
            if *count > 1 || *strength >= 0.5 {
                let _ = write!(counts, " {name} {count}");
            }
        }
        if step.intended {
            counts.push_str(" repeated on purpose");
        }
        let verdict = row.verdict.map_or_else(String::new, |(level, name)| {
            format!("  ← {}: {name}", if level == Level::Act { "act" } else { "warn" })
        });
        let counts = if counts.is_empty() { counts } else { format!("  [{}]", &counts[1..]) };
        let _ = writeln!(
            self.out,
            "{:>5} {:>6} {:8} {:>5} {:8}{failed}{:>6} {:>3.0}% {:>6.1}  {call}{counts}{verdict}",
            step.number,
            step.line,
            clock_of(step.time),
            step.epoch,
            step.effect.name(),
            symbol,
            step.news * 100.0,
            step.credit,
        );
    }
}

fn clock_of(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(11..19).unwrap_or("").to_owned()
}

/// Returns the letters that stand for a number: A to Z, AA, AB …
fn letters(mut number: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(b'A' + (number % 26) as u8);
        number /= 26;
        if number == 0 {
            break;
        }
        number -= 1;
    }
    letters.iter().rev().map(|letter| char::from(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_have_short_names() {
        assert_eq!([0, 25, 26, 51, 52, 702].map(letters), ["A", "Z", "AA", "AZ", "BA", "AAA"]);
    }
}
