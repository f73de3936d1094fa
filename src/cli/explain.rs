//! `explain`: how a line is read and judged, rule by rule.

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use serde_json::json;

use super::args::{ExplainArgs, Globals};
use super::tap::{engine_options, resolve_form};
use super::{CliError, Exit, Kind, load_settings, print};
use crate::engine::{Doctor, Explanation};
use crate::runtime::clock;
use crate::sink::Form;
use crate::source::os_words;

/// How much of standard input is explained, in bytes.
const INPUT_LIMIT: u64 = 16 * 1024 * 1024;

/// Explains a line, or the lines of standard input.
///
/// # Errors
/// The settings are wrong, standard input cannot be read, standard output cannot be written.
pub fn run(args: &ExplainArgs, globals: &Globals) -> Result<Exit, CliError> {
    let loaded = load_settings(globals, args.flags())?;
    let form = resolve_form(&loaded.settings, &std::io::stdout());
    if let Some(file) = &args.loops {
        return super::explain_loops::run(file, Arc::new(engine_options(&loaded)?), form);
    }
    let mut input = Vec::new();
    match args.line.as_deref() {
        Some(line) if line.as_bytes().trim_ascii().is_empty() => {
            return Err(CliError::new(Kind::Usage, "explain the line")
                .cause("it has no text")
                .hint("quote the line: session-doctor explain 'API Error: 529 Overloaded'")
                .hint("or give `-` to read lines from standard input"));
        }
        Some(line) if line != "-" => input.extend_from_slice(line.as_bytes()),
        _ => {
            std::io::stdin()
                .take(INPUT_LIMIT)
                .read_to_end(&mut input)
                .map_err(|error| CliError::new(Kind::Io, "read standard input").cause(os_words(&error)))?;
        }
    }
    let options = Arc::new(engine_options(&loaded)?);
    let mut doctor = Doctor::new(options, "-", "explain");
    doctor.start_explaining();
    let now = clock::now();
    doctor.feed(now, &input, &mut |_| {});
    doctor.finish(now, &mut |_| {});
    let mut out = String::new();
    for explanation in doctor.take_explanations() {
        match form {
            Form::Json => {
                let _ = writeln!(out, "{}", as_json(&explanation));
            }
            Form::Text { .. } => as_text(&explanation, &mut out),
        }
    }
    if out.is_empty() && form != Form::Json {
        out.push_str("nothing to explain: no line has text\n");
    }
    print(out.as_bytes())
}

fn as_json(explanation: &Explanation) -> serde_json::Value {
    let looks: Vec<_> = explanation
        .looks
        .iter()
        .map(|look| json!({ "rule": look.rule, "class": look.class, "fired": look.fired, "why": look.why }))
        .collect();
    json!({
        "line": explanation.line,
        "format": explanation.format,
        "record": explanation.record,
        "origin": explanation.origin,
        "class": explanation.verdict.ok(),
        "rule": explanation.rule,
        "reason": explanation.verdict.err(),
        "text": explanation.text,
        "rules": looks,
    })
}

fn as_text(explanation: &Explanation, out: &mut String) {
    let (verdict, rule) = match (explanation.verdict, &explanation.rule) {
        (Ok(class), Some(rule)) => (class.name(), format!("decided by `{rule}`")),
        (Ok(class), None) => (class.name(), String::new()),
        (Err(reason), _) => ("no failure", reason.to_owned()),
    };
    let _ = writeln!(out, "line {}: {verdict}: {rule}", explanation.line);
    let _ = writeln!(
        out,
        "  format {}, record {}, origin {}",
        explanation.format, explanation.record, explanation.origin
    );
    if !explanation.text.is_empty() {
        let _ = writeln!(out, "  text   {}", explanation.text);
    }
    for look in &explanation.looks {
        let mark = if look.fired { "fires " } else { "not   " };
        let class = look.class.map_or_else(String::new, |class| format!(" ({class})"));
        let _ = writeln!(out, "  {mark} {}{class}: {}", look.rule, look.why);
    }
}
