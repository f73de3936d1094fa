//! Precision and recall on labelled real logs and on recordings of real agents, which lie beside a development
//! checkout. Prints the figures (`cargo test accuracy -- --nocapture`) and fails below the bar; a clone without the
//! logs skips.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, OnceLock};

use serde_json::Value;
use session_doctor::engine::{Doctor, Options};
use session_doctor::model::{Class, EventBody, Timestamp};

static OPTIONS: LazyLock<Arc<Options>> = LazyLock::new(|| Arc::new(Options::new()));

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// Where the labelled logs lie in a development checkout.
fn corpora() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    if path.join("labels.jsonl").exists() {
        return Some(path);
    }
    eprintln!("skipped: the labelled logs are not beside this checkout");
    None
}

/// The findings of a file: line and class.
fn findings(path: &Path) -> Vec<(u64, Class)> {
    let mut found = Vec::new();
    let mut alerts = 0;
    let mut doctor = Doctor::new(Arc::clone(&OPTIONS), "log", "log");
    let mut out = |event: session_doctor::model::Event| match &event.body {
        EventBody::Finding(finding) => {
            found.push((event.source.map_or(0, |source| source.line), finding.class))
        }
        EventBody::Alert(_) => alerts += 1,
        _ => {}
    };
    for chunk in fs::read(path).unwrap().chunks(1 << 18) {
        doctor.feed(NOW, chunk, &mut out);
    }
    doctor.finish(NOW, &mut out);
    found
}

fn alerts(path: &Path) -> (u64, u64) {
    let (mut alerts, mut lines) = (0, 0);
    let mut doctor = Doctor::new(Arc::clone(&OPTIONS), "log", "log");
    let mut out = |event: session_doctor::model::Event| match &event.body {
        EventBody::Alert(_) => alerts += 1,
        EventBody::Summary(summary) => lines += summary.lines,
        _ => {}
    };
    doctor.feed(NOW, &fs::read(path).unwrap(), &mut out);
    doctor.finish(NOW, &mut out);
    (alerts, lines)
}

/// The classes that count as right for a label: what a supervisor must do is the same.
fn right(label: &str) -> &'static [Class] {
    use Class::*;
    match label {
        "rate_limit" => &[RateLimit, UsageLimit],
        "overloaded" => &[Overloaded, RateLimit, ServerError],
        "token_limit" => &[TokenLimit, OutputLimit],
        "bad_request" => &[Http400, ModelUnavailable, ConfigError, TokenLimit, ContentPolicy],
        "auth" => &[AuthError],
        "budget" => &[BudgetOver, UsageLimit, RateLimit, MaxTurns],
        "timeout" => &[Timeout, Network, Stalled, ToolError],
        "network" => &[Network, Timeout, ServerError],
        "json_parse" => &[JsonParse, ToolError],
        "tool_error" => &[ToolError, JsonParse, Timeout, Crash, Network],
        "server_error" => &[ServerError, Overloaded, Network],
        "crash" => &[Crash, ToolError],
        "interrupted" => &[Interrupted, ToolError],
        _ => Class::ALL,
    }
}

/// Classes that are no verdict on the run.
const SOFT: [Class; 4] = [Class::ToolError, Class::Interrupted, Class::WaitingInput, Class::UsageWarning];

#[derive(Default)]
struct Figures {
    found: u32,
    missed: u32,
    wrong: u32,
}

impl Figures {
    fn precision(&self) -> f64 {
        f64::from(self.found) / f64::from((self.found + self.wrong).max(1))
    }

    fn recall(&self) -> f64 {
        f64::from(self.found) / f64::from((self.found + self.missed).max(1))
    }
}

/// Unpacks the logs once per build directory; the tests of one run wait for each other.
fn unpacked(corpora: &Path) -> Option<PathBuf> {
    static UNPACKED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let unpack = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("labelled-logs");
        let done = folder.join(".unpacked");
        if !done.exists() {
            fs::create_dir_all(&folder).unwrap();
            let archive = corpora.join("logs.tar.xz");
            let tar = Command::new("tar").arg("-xJf").arg(archive).arg("-C").arg(&folder).status();
            if !tar.is_ok_and(|status| status.success()) {
                eprintln!("skipped: tar and xz are needed to unpack the labelled logs");
                return None;
            }
            fs::write(done, "").unwrap();
        }
        Some(folder)
    };
    UNPACKED.get_or_init(unpack).clone()
}

#[test]
fn labelled_logs_are_told_right() {
    let Some(corpora) = corpora() else { return };
    let Some(logs) = unpacked(&corpora) else { return };
    let mut labels: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in fs::read_to_string(corpora.join("labels.jsonl")).unwrap().lines() {
        let label: Value = serde_json::from_str(line).unwrap();
        let file = format!("{}/{}", label["source"].as_str().unwrap(), label["file"].as_str().unwrap());
        labels.entry(file).or_default().push(label);
    }
    let mut groups: BTreeMap<&str, Figures> = BTreeMap::new();
    let mut classes: BTreeMap<String, Figures> = BTreeMap::new();
    let mut complaints = Vec::new();
    for (file, labels) in &labels {
        let structured = [".jsonl", ".json", ".traj"].iter().any(|ending| file.ends_with(ending));
        let group = if structured { "structured" } else { "plain" };
        let found = findings(&logs.join(file));
        // A message may stand on several lines of plain text.
        let reach = if structured { 0 } else { 2 };
        for label in labels {
            let line = label["line"].as_u64().unwrap();
            let name = label["label"].as_str().unwrap();
            let at = |reach: u64| -> BTreeSet<Class> {
                found.iter().filter(|(at, _)| at.abs_diff(line) <= reach).map(|(_, class)| *class).collect()
            };
            if name == "none" {
                let hard: Vec<Class> = at(0).into_iter().filter(|class| !SOFT.contains(class)).collect();
                for class in &hard {
                    groups.entry(group).or_default().wrong += 1;
                    classes.entry(class.to_string()).or_default().wrong += 1;
                    complaints.push(format!("{file}:{line} is nothing, and was told as {class}"));
                }
                continue;
            }
            let alternatives = label["alt"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let hit = std::iter::once(name)
                .chain(alternatives)
                .any(|name| right(name).iter().any(|class| at(reach).contains(class)));
            let class = classes.entry(format!("{group}/{name}")).or_default();
            // Tool errors and interruptions are told, but hold nobody to a bar.
            let counts = !matches!(name, "tool_error" | "interrupted" | "other_error")
                && matches!(label["origin"].as_str(), Some("provider" | "agent"));
            if hit {
                class.found += 1;
                groups.entry(group).or_default().found += u32::from(counts);
            } else {
                class.missed += 1;
                groups.entry(group).or_default().missed += u32::from(counts);
                complaints.push(format!("{file}:{line} is {name}, and was told as {:?}", at(reach)));
            }
        }
    }
    for (name, figures) in classes
        .iter()
        .map(|(name, figures)| (name.as_str(), figures))
        .chain(groups.iter().map(|(name, figures)| (*name, figures)))
    {
        println!(
            "{name:<28} precision {:.3} recall {:.3} ({} found, {} missed, {} wrong)",
            figures.precision(),
            figures.recall(),
            figures.found,
            figures.missed,
            figures.wrong
        );
    }
    for (group, precision, recall) in [("structured", 0.98, 0.95), ("plain", 0.95, 0.85)] {
        let figures = &groups[group];
        assert!(
            figures.precision() >= precision && figures.recall() >= recall,
            "{group}: precision {:.3}, recall {:.3}\n{}",
            figures.precision(),
            figures.recall(),
            complaints.join("\n")
        );
    }
}

#[test]
fn logs_of_unrelated_systems_raise_hardly_any_alert() {
    let Some(corpora) = corpora() else { return };
    let Some(logs) = unpacked(&corpora) else { return };
    let mut folders = vec![logs.join("loghub")];
    let (mut told, mut lines) = (0, 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let (some, more) = alerts(&path);
            told += some;
            lines += more;
        }
    }
    println!("{told} alerts on {lines} lines of system logs");
    assert!(told * 100_000 <= lines, "{told} alerts on {lines} lines");
}

/// `CUTS=200` looks at so many windows of each file.
#[test]
fn real_logs_cut_anywhere_are_read_without_panic() {
    let Some(corpora) = corpora() else { return };
    let Some(logs) = unpacked(&corpora) else { return };
    let mut folders = vec![logs, corpora.join("recordings")];
    let windows = std::env::var("CUTS").map_or(2, |cuts| cuts.parse().unwrap());
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            // A few windows a file, at places that differ from file to file and not from run to run.
            for turn in 1..=windows {
                let start = bytes.len().wrapping_mul(0x9E37_79B1).wrapping_mul(turn) % (bytes.len() + 1);
                let end = (start + 8 * 1024 + start % 4096).min(bytes.len());
                let mut doctor = Doctor::new(Arc::clone(&OPTIONS), "log", "log");
                let mut lines = None;
                let mut out = |event: session_doctor::model::Event| {
                    if let EventBody::Summary(summary) = event.body {
                        lines = Some(summary.bytes);
                    }
                };
                doctor.feed(NOW, &bytes[start..end], &mut out);
                doctor.finish(NOW, &mut out);
                assert_eq!(lines, Some((end - start) as u64), "{}", path.display());
                read += 1;
            }
        }
    }
    assert!(read > 1000, "only {read} windows");
}

#[test]
fn recordings_of_real_agents_yield_what_the_provider_replied() {
    let Some(corpora) = corpora() else { return };
    let recordings = corpora.join("recordings");
    let truth = fs::read_to_string(recordings.join("truth.tsv")).unwrap();
    let (mut found, mut missed, mut false_alarms) = (0, Vec::new(), Vec::new());
    for row in truth.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let [run, scenario, _, exit_status, killed, _, reply, note] = cells[..] else { panic!("{row}") };
        if matches!(reply, "stalled" | "tool_repeat" | "tool_error") {
            continue;
        }
        let mut told: BTreeSet<Class> = BTreeSet::new();
        for entry in fs::read_dir(recordings.join(run)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if ["stdout", "stderr", "transcript"].iter().any(|start| name.starts_with(start)) {
                told.extend(findings(&path).into_iter().map(|(_, class)| class));
            }
        }
        told.retain(|class| !SOFT.contains(class) && *class != Class::MaxTurns);
        if reply == "none" {
            // A run of a clean scenario that did not end well failed by itself: no login, a session id in use.
            let clean = matches!(scenario, "ok" | "tool1" | "echo" | "badtool")
                && exit_status == "0"
                && !run.contains(".p");
            if clean && !told.is_empty() {
                false_alarms.push(format!("{run}: {told:?}"));
            }
        } else if told.iter().any(|class| same_reply(reply).contains(class)) {
            found += 1;
        } else if killed != "True" && note != "transient" {
            missed.push(format!("{run}: {reply}, told {told:?}"));
        }
    }
    println!("{found} replies found, {} missed, {} clean runs not clean", missed.len(), false_alarms.len());
    assert!(false_alarms.is_empty(), "{}", false_alarms.join("\n"));
    assert!(missed.len() * 33 <= found, "{} of {found}: {}", missed.len(), missed.join("\n"));
}

fn same_reply(reply: &str) -> Vec<Class> {
    use Class::*;
    match reply {
        "usage_limit" | "rate_limit" => vec![UsageLimit, RateLimit],
        "overloaded" => vec![Overloaded, ServerError, RateLimit],
        "server_error" => vec![ServerError, Overloaded, Network],
        "network" => vec![Network, Timeout, ServerError, JsonParse],
        "http_400" => vec![Http400, TokenLimit],
        "budget_over" => vec![BudgetOver, UsageLimit],
        "auth_error" => vec![AuthError, Http400],
        name => Class::from_name(name).into_iter().collect(),
    }
}
