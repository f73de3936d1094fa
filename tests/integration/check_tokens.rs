//! `check-tokens` from outside: which session it takes, what it says of it, and with which status it ends.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::support::World;

const ONE: &str = "11111111-1111-4111-8111-111111111111";
const TWO: &str = "22222222-2222-4222-8222-222222222222";

/// A request of Claude Code with so many tokens in its window.
fn request(session: &str, tokens: u64, more: &str) -> String {
    format!(
        r#"{{"parentUuid":"p",{more}"cwd":"/w","sessionId":"{session}","version":"2.1.0","type":"assistant","message":{{"id":"msg_{tokens}","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{{"type":"text","text":"ok"}}],"usage":{{"input_tokens":1,"cache_creation_input_tokens":1,"cache_read_input_tokens":{},"output_tokens":1}}}},"uuid":"u","timestamp":"2026-11-20T05:00:00.000Z"}}
"#,
        tokens - 3
    )
}

/// Writes a transcript where Claude Code keeps those of a directory, last changed so many minutes ago.
fn keep(world: &World, directory: &Path, name: &str, minutes: u64, text: &str) {
    let folder: String = directory
        .canonicalize()
        .unwrap()
        .to_str()
        .unwrap()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let folder = world.path("home/.claude/projects").join(folder);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    let changed = SystemTime::now() - Duration::from_secs(60 * minutes);
    fs::File::options().write(true).open(path).unwrap().set_modified(changed).unwrap();
}

fn told(world: &World, args: &[&str]) -> (Option<i32>, Value) {
    let run = world.run(&[&["check-tokens", "--json"], args].concat());
    assert_eq!(run.stderr, "");
    (run.status, serde_json::from_str(&run.stdout).unwrap())
}

#[test]
fn the_status_says_how_full_it_is() {
    let world = World::new();
    for (tokens, status, level, percent) in [
        (1000, 0, "ok", 0.5),
        (159_999, 0, "ok", 79.9),
        (160_000, 1, "warning", 80.0),
        (179_999, 1, "warning", 89.9),
        (180_000, 2, "critical", 90.0),
        (200_000, 2, "critical", 100.0),
    ] {
        fs::write(world.path("home/project/t.jsonl"), request(ONE, tokens, "")).unwrap();
        let (ended, said) = told(&world, &["t.jsonl"]);
        assert_eq!((ended, said["level"].as_str()), (Some(status), Some(level)), "{tokens}");
        assert_eq!(said["percent"], percent, "{tokens}");
        assert_eq!((&said["source"], &said["limit_source"]), (&"usage".into(), &"table".into()));
    }
}

#[test]
fn thresholds_and_the_limit_are_the_users() {
    let world = World::new().write("home/project/t.jsonl", &request(ONE, 50_000, ""));
    let status = |args: &[&str]| told(&world, &[&["t.jsonl"], args].concat()).0;
    assert_eq!(status(&["--limit", "50001"]), Some(2));
    assert_eq!(status(&["--limit", "1000000"]), Some(0));
    assert_eq!(status(&["--warning", "25", "--critical", "26"]), Some(1));
    assert_eq!(status(&["--warning", "10", "--critical", "25"]), Some(2));
}

#[test]
fn people_are_told_in_three_lines() {
    let world = World::new().write("home/project/t.jsonl", &request(ONE, 185_000, ""));
    let run = world.run(&["check-tokens", "t.jsonl"]);
    assert_eq!(
        run.stdout,
        format!(
            "critical: 185,000 of 200,000 tokens, 92.5 % (by the usage of the last request)\n\
             claude, claude-sonnet-4-5-20250929, {ONE}\nt.jsonl\n"
        )
    );
}

#[test]
fn without_arguments_it_is_the_newest_session_of_the_project() {
    let world = World::new();
    let project = world.path("home/project");
    keep(&world, &project, &format!("{ONE}.jsonl"), 20, &request(ONE, 190_000, ""));
    keep(&world, &project, &format!("{TWO}.jsonl"), 10, &request(TWO, 1000, ""));
    keep(
        &world,
        &project,
        "agent-a1.jsonl",
        1,
        &request(TWO, 199_000, r#""isSidechain":true,"agentId":"a1","#),
    );
    let elsewhere = world.path("home");
    keep(&world, &elsewhere, "x.jsonl", 0, &request(ONE, 170_000, ""));
    let (status, said) = told(&world, &[]);
    assert_eq!((status, &said["session"]), (Some(0), &TWO.into()), "a sub-agent's is none: {said}");
    assert_eq!(told(&world, &["--session", ONE]).0, Some(2));
    assert_eq!(told(&world, &["--workspace", elsewhere.to_str().unwrap()]).0, Some(1));
}

#[test]
fn in_a_folder_of_the_project_it_is_the_projects_session() {
    let world = World::new();
    keep(&world, &world.path("home/project"), "a.jsonl", 5, &request(ONE, 190_000, ""));
    fs::create_dir_all(world.path("home/project/src/deep")).unwrap();
    assert_eq!(told(&world, &["--workspace", "src/deep"]).0, Some(2));
}

#[test]
fn what_lies_above_the_repository_is_another_projects() {
    let world = World::new();
    keep(&world, &world.path("home"), "a.jsonl", 5, &request(ONE, 190_000, ""));
    assert_eq!(world.run(&["check-tokens"]).status, Some(66));
}

#[test]
fn after_a_compaction_it_is_an_estimate_that_says_so() {
    let boundary = format!(
        r#"{{"parentUuid":null,"isSidechain":false,"cwd":"/w","sessionId":"{ONE}","version":"2.1.0","type":"system","subtype":"compact_boundary","content":"Conversation compacted","uuid":"u","timestamp":"2026-11-20T05:00:00.000Z"}}
"#
    );
    let world = World::new().write("home/project/t.jsonl", &(request(ONE, 190_000, "") + &boundary));
    let (status, said) = told(&world, &["t.jsonl"]);
    assert_eq!((status, &said["source"], &said["tokens"]), (Some(0), &"estimate".into(), &0.into()));
}

#[test]
fn where_nothing_can_be_said_the_status_is_no_verdict() {
    let unknown = request(ONE, 190_000, "").replace("claude-sonnet-4-5-20250929", "nobody-1");
    let world = World::new()
        .write("home/project/unknown.jsonl", &unknown)
        .write("home/project/notes.txt", "nothing of any agent\n")
        .write("home/project/empty.jsonl", "");
    let status = |args: &[&str]| world.run(&[&["check-tokens"], args].concat()).status;
    assert_eq!(status(&["unknown.jsonl"]), Some(69));
    assert_eq!(status(&["unknown.jsonl", "--limit", "200000"]), Some(2));
    assert_eq!(status(&["notes.txt"]), Some(66));
    assert_eq!(status(&["empty.jsonl"]), Some(66));
    assert_eq!(status(&["gone.jsonl"]), Some(66));
    assert_eq!(status(&["."]), Some(66));
    assert_eq!(status(&[]), Some(66), "no agent was ever here");
    assert_eq!(status(&["--session", "../x"]), Some(66));
    assert_eq!(status(&["--workspace", "nowhere"]), Some(66));
    assert_eq!(status(&["--critical", "0"]), Some(64));
    assert_eq!(status(&["--critical", "NaN"]), Some(64));
    assert_eq!(status(&["--warning", "95"]), Some(64), "above --critical");
    assert_eq!(status(&["--limit", "0", "unknown.jsonl"]), Some(64));
    assert_eq!(status(&["--session", ONE, "unknown.jsonl"]), Some(64));
}

#[test]
fn a_packed_file_that_is_cut_off_is_no_verdict() {
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(request(ONE, 190_000, "").as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let world = World::new();
    fs::write(world.path("home/project/whole.gz"), &packed).unwrap();
    fs::write(world.path("home/project/cut.gz"), &packed[..packed.len() - 12]).unwrap();
    assert_eq!(world.run(&["check-tokens", "whole.gz"]).status, Some(2));
    assert_eq!(world.run(&["check-tokens", "cut.gz"]).status, Some(65));
}

#[test]
fn a_transcript_cannot_speak_to_the_terminal() {
    let hostile = request(ONE, 190_000, "").replace("claude-sonnet", "\\u001b[2Jx\\u0007claude-sonnet");
    let world = World::new().write("home/project/t.jsonl", &hostile);
    let run = world.run(&["check-tokens", "t.jsonl", "--limit", "200000"]);
    assert_eq!(run.status, Some(2), "{}", run.stderr);
    assert!(!run.stdout.contains(['\x1b', '\x07']), "{:?}", run.stdout);
    let run = world.run(&["check-tokens", "t.jsonl"]);
    assert!(!run.stderr.contains(['\x1b', '\x07']), "{:?}", run.stderr);
}
