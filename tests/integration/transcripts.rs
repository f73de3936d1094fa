//! Recorded sessions: what the engine tells of each is what stands in `expected.jsonl` beside it.
//! `UPDATE_EXPECT=1 cargo test --test integration transcripts` writes it; read the difference before you commit it.

use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use serde::Deserialize;
use session_doctor::cli::schema;
use session_doctor::engine::{Options, format};

use crate::support::{OPTIONS, read_chunks, recordings};

/// `case.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What is recorded, as a sentence.
    about: String,
    /// The format that the user says it is.
    agent: Option<String>,
}

/// What the engine tells of a recording.
fn told(case: &Path, input: &Path) -> String {
    let text = fs::read_to_string(case.join("case.toml")).unwrap();
    let Case { about, agent } =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    assert!(about.ends_with('.'), "{}: `about` is a sentence", case.display());
    let options = match agent {
        None => Arc::clone(&OPTIONS),
        Some(agent) => {
            let format = format::by_name(&agent);
            assert!(format.is_some(), "{}: there is no format `{agent}`", case.display());
            let mut options = Options::clone(&OPTIONS);
            options.agent = format;
            Arc::new(options)
        }
    };
    let name = input.file_name().unwrap().to_str().unwrap();
    read_chunks(&options, name, [fs::read(input).unwrap().as_slice()])
}

/// The first line in which two texts differ, as the tests show it.
fn difference(expected: &str, told: &str) -> String {
    let lines = expected.lines().map(Some).chain([None]).zip(told.lines().map(Some).chain([None]));
    for (number, (expected, told)) in lines.enumerate() {
        if expected != told {
            let show = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
            return format!("line {}\n  expected {}\n  told     {}", number + 1, show(expected), show(told));
        }
    }
    "no line".to_owned()
}

#[test]
fn every_recording_is_told_as_expected() {
    let is_update = env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for (case, input) in recordings() {
        let told = told(&case, &input);
        let path = case.join("expected.jsonl");
        if is_update {
            fs::write(&path, &told).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if expected != told {
            wrong.push(format!("{}: {}", case.display(), difference(&expected, &told)));
        }
    }
    assert!(wrong.is_empty(), "{}\n\nUPDATE_EXPECT=1 writes what is told", wrong.join("\n"));
}

#[test]
fn every_event_holds_to_the_schema() {
    let schema = jsonschema::validator_for(&schema::schema()).unwrap();
    for (case, input) in recordings() {
        for line in told(&case, &input).lines() {
            let event = serde_json::from_str(line).unwrap();
            if let Err(error) = schema.validate(&event) {
                panic!("{}: {error}\n{line}", case.display());
            }
        }
    }
}
