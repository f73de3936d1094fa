//! The wire format as a consumer sees it: these types are written down here once more, so that a change of the
//! program's own types cannot change it unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use session_doctor::cli::schema;
use session_doctor::engine::Doctor;
use session_doctor::model::Timestamp;

use crate::support::{NOW, OPTIONS, recordings};

/// A field that may be null but not absent.
fn present<'d, T: Deserialize<'d>, D: Deserializer<'d>>(value: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(value)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is the test")]
struct Place {
    name: String,
    line: u64,
    offset: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Class {
    Http400,
    TokenLimit,
    JsonParse,
    Timeout,
    ToolRepeat,
    RateLimit,
    AuthError,
    BudgetOver,
    UsageLimit,
    Overloaded,
    ServerError,
    Network,
    ModelUnavailable,
    ConfigError,
    ContentPolicy,
    OutputLimit,
    DiskFull,
    UsageWarning,
    MaxTurns,
    ToolError,
    Crash,
    Stalled,
    WaitingInput,
    Interrupted,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Strategy {
    Monitor,
    Backoff,
    RetryPromptFix,
    CompactContext,
    BreakLoop,
    Reset,
    Restart,
    Resume,
    Halt,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    Provider,
    Agent,
    Tool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Basis {
    Asserted,
    Inferred,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Warn,
    Act,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Ok,
    Warn,
    Error,
    Halted,
}

/// Declares an event type: the fields of every event and its own.
macro_rules! event {
    ($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "that they can be read is the test")]
        struct $name {
            v: u32,
            r#type: String,
            id: String,
            session: String,
            parent_session: Option<String>,
            agent: String,
            #[serde(deserialize_with = "present")]
            time: Option<String>,
            observed_time: String,
            source: Option<Place>,
            $($(#[$meta])* $field: $type,)*
        }
    };
}

event! { Session {
    path: String,
    agent_session: Option<String>,
    previous_session: Option<String>,
    cwd: Option<String>,
    model: Option<String>,
    pid: Option<i32>,
    command: Option<Vec<String>>,
} }

event! { Finding {
    class: Class,
    severity: Severity,
    origin: Origin,
    basis: Basis,
    rule: String,
    #[serde(deserialize_with = "present")]
    status: Option<u16>,
    retryable: bool,
    self_healing: bool,
    #[serde(deserialize_with = "present")]
    retry_at: Option<String>,
    #[serde(deserialize_with = "present")]
    retry_at_basis: Option<Basis>,
    message: String,
} }

event! { Alert {
    detector: String,
    class: Class,
    level: Level,
    severity: Severity,
    count: u64,
    window_sec: u64,
    evidence: Vec<String>,
    fingerprint: String,
    reason: String,
    basis: Basis,
} }

event! { Decision {
    alert: String,
    class: Class,
    strategy: Strategy,
    attempt: u32,
    max_attempts: u32,
    delay_sec: u64,
    not_before: String,
    reason: String,
    acted: bool,
} }

event! { Status {
    from: Health,
    to: Health,
    reason: String,
    basis: Basis,
} }

event! { Usage {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_creation_tokens: u64,
    #[serde(deserialize_with = "present")]
    context_tokens: Option<u64>,
    #[serde(deserialize_with = "present")]
    context_limit: Option<u64>,
    #[serde(deserialize_with = "present")]
    usage_pct: Option<f64>,
    #[serde(deserialize_with = "present")]
    pressure: Option<String>,
    #[serde(deserialize_with = "present")]
    context_basis: Option<Basis>,
    #[serde(deserialize_with = "present")]
    limit_at: Option<String>,
    #[serde(deserialize_with = "present")]
    cost_usd: Option<f64>,
    #[serde(default)]
    unpriced_tokens: Option<u64>,
    #[serde(default)]
    windows: Vec<Value>,
} }

event! { Summary {
    sources: u64,
    lines: u64,
    bytes: u64,
    records: u64,
    undecoded: u64,
    truncated: u64,
    dropped_events: u64,
    findings: BTreeMap<String, u64>,
    self_healing: u64,
    alerts: BTreeMap<String, u64>,
    #[serde(deserialize_with = "present")]
    input_tokens: Option<u64>,
    #[serde(deserialize_with = "present")]
    output_tokens: Option<u64>,
    #[serde(deserialize_with = "present")]
    cache_read_tokens: Option<u64>,
    #[serde(deserialize_with = "present")]
    cache_creation_tokens: Option<u64>,
    #[serde(deserialize_with = "present")]
    cost_usd: Option<f64>,
    #[serde(default)]
    unpriced_tokens: Option<u64>,
    #[serde(deserialize_with = "present")]
    duration_sec: Option<f64>,
    #[serde(deserialize_with = "present")]
    verdict: Option<Health>,
} }

/// The events of every recording, read at this time: the name of the recording, then its events.
fn told_at(now: Timestamp) -> Vec<(String, Vec<String>)> {
    let read = |path| {
        let mut doctor = Doctor::new(Arc::clone(&OPTIONS), "input", "seed");
        let mut lines = Vec::new();
        let mut out =
            |event: session_doctor::model::Event| lines.push(serde_json::to_string(&event).unwrap());
        doctor.feed(now, &fs::read(path).unwrap(), &mut out);
        doctor.finish(now, &mut out);
        lines
    };
    recordings().into_iter().map(|(case, input)| (case.display().to_string(), read(input))).collect()
}

#[test]
fn every_event_has_the_shape_that_consumers_know() {
    fn check<T: DeserializeOwned>(line: &str) {
        if let Err(error) = serde_json::from_str::<T>(line) {
            panic!("{error}\n{line}");
        }
    }
    let mut seen = BTreeSet::new();
    for (_, lines) in told_at(NOW) {
        for line in &lines {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["v"], 1);
            assert!(line.starts_with(r#"{"v":1,"type":""#), "{line}");
            let name = event["type"].as_str().unwrap().to_owned();
            match name.as_str() {
                "session_started" | "session_updated" => check::<Session>(line),
                "finding" => check::<Finding>(line),
                "alert" => check::<Alert>(line),
                "decision" => check::<Decision>(line),
                "status" => check::<Status>(line),
                "usage" => check::<Usage>(line),
                "summary" => check::<Summary>(line),
                other => panic!("this type is not known here: {other}"),
            }
            seen.insert(name);
        }
    }
    let known =
        ["alert", "decision", "finding", "session_started", "session_updated", "status", "summary", "usage"];
    assert_eq!(seen, known.map(String::from).into(), "the recordings show every type");
}

#[test]
fn ids_are_the_same_when_the_same_input_is_read_on_another_day() {
    let ids = |now| -> Vec<String> {
        let lines = told_at(now).into_iter().flat_map(|(_, lines)| lines);
        lines.map(|line| serde_json::from_str::<Value>(&line).unwrap()["id"].to_string()).collect()
    };
    assert_eq!(ids(NOW), ids(NOW.plus_seconds(86_400)));
}

#[test]
fn no_two_events_of_a_source_share_an_id() {
    for (case, lines) in told_at(NOW) {
        let mut ids = BTreeMap::new();
        for line in lines {
            let id = serde_json::from_str::<Value>(&line).unwrap()["id"].to_string();
            if let Some(other) = ids.insert(id, line.clone()) {
                panic!("{case}:\n{other}\n{line}");
            }
        }
    }
}

#[test]
fn references_between_events_can_be_followed() {
    for (case, lines) in told_at(NOW) {
        let mut ids = BTreeSet::new();
        for line in lines {
            let event: Value = serde_json::from_str(&line).unwrap();
            let evidence = event["evidence"].as_array().cloned().unwrap_or_default();
            let is_place = |id: &str| {
                let place =
                    id.rsplit_once(':').and_then(|(name, line)| Some((name, line.parse::<u64>().ok()?)));
                place.is_some_and(|(name, line)| {
                    event["source"]["name"] == name
                        && event["source"]["line"].as_u64().is_some_and(|now| line <= now)
                })
            };
            for id in evidence.iter().chain(event.get("alert").filter(|id| id.is_string())) {
                let id = id.as_str().unwrap();
                assert!(ids.contains(id) || is_place(id), "{case}: {id} was not told before\n{line}");
            }
            ids.insert(event["id"].as_str().unwrap().to_owned());
        }
    }
}

#[test]
fn the_last_event_is_the_summary_and_it_counts_the_others() {
    for (case, lines) in told_at(NOW) {
        let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (summary, others) = events.split_last().unwrap();
        assert_eq!(summary["type"], "summary", "{case}");
        for (kind, field) in [("finding", "findings"), ("alert", "alerts")] {
            let mut counts = BTreeMap::<&str, u64>::new();
            for event in others.iter().filter(|event| event["type"] == kind) {
                *counts.entry(event["class"].as_str().unwrap()).or_default() += 1;
            }
            assert_eq!(summary[field], serde_json::to_value(&counts).unwrap(), "{case}: {field}");
        }
    }
}

#[test]
fn the_schema_is_one_and_refuses_what_is_wrong() {
    let schema = schema::schema();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let all = told_at(NOW);
    let line = all.iter().flat_map(|(_, lines)| lines).find(|line| line.contains(r#""type":"finding""#));
    let finding: Value = serde_json::from_str(line.unwrap()).unwrap();
    assert!(validator.is_valid(&finding));
    for (field, wrong) in [
        ("class", Value::from("teapot")),
        ("severity", "fatal".into()),
        ("type", "found".into()),
        ("type", "alert".into()),
        ("v", 2.into()),
        ("message", Value::Null),
        ("status", "429".into()),
        ("id", Value::Null),
    ] {
        let mut event = finding.clone();
        event[field] = wrong.clone();
        assert!(!validator.is_valid(&event), "{field} = {wrong}");
    }
    for field in ["class", "id", "session", "time", "observed_time", "message", "self_healing"] {
        let mut event = finding.clone();
        event.as_object_mut().unwrap().remove(field);
        assert!(!validator.is_valid(&event), "without {field}");
    }
    let mut later = finding.clone();
    later["field_of_a_later_version"] = true.into();
    assert!(validator.is_valid(&later), "new fields may appear");
}
