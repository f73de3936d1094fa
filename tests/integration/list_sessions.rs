//! `list-sessions` from outside: which sessions it finds, in which order, and what it shows of them.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::support::World;

const ONE: &str = "11111111-1111-4111-8111-111111111111";
const TWO: &str = "22222222-2222-4222-8222-222222222222";
const SIDE: &str = "33333333-3333-4333-8333-333333333333";
const THREAD: &str = "0199f2c4-7a11-7c31-9d55-000000000001";

/// What somebody asks Claude Code, and a request of so many tokens.
fn session(id: &str, cwd: &str, asked: &str, tokens: u64, side: bool) -> String {
    let line = |more: String| {
        format!(
            r#"{{"parentUuid":"p","isSidechain":{side},"cwd":"{cwd}","sessionId":"{id}","version":"2.1.0","uuid":"u","timestamp":"2026-11-20T05:00:00.000Z",{more}}}
"#
        )
    };
    line(
        r#""type":"user","message":{"role":"user","content":"<command-name>/clear</command-name>"}"#
            .to_owned(),
    ) + &line(format!(r#""type":"user","message":{{"role":"user","content":"{asked}"}}"#))
        + &line(format!(
            r#""type":"assistant","message":{{"id":"msg_{tokens}","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{{"type":"text","text":"ok"}}],"usage":{{"input_tokens":{tokens},"output_tokens":0}}}}"#
        ))
}

fn rollout(id: &str, cwd: &str) -> String {
    [
        format!(r#"{{"timestamp":"2026-11-20T06:00:00.000Z","type":"session_meta","payload":{{"id":"{id}","cwd":"{cwd}","originator":"codex_exec","cli_version":"0.169.0"}}}}"#),
        r##"{"timestamp":"2026-11-20T06:00:00.100Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"# AGENTS.md instructions for /w"}]}}"##.to_owned(),
        r#"{"timestamp":"2026-11-20T06:00:00.200Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"Write the blog"}]}}"#.to_owned(),
        r#"{"timestamp":"2026-11-20T06:00:01.000Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":900,"output_tokens":100},"last_token_usage":{"input_tokens":900,"output_tokens":100},"model_context_window":2000},"rate_limits":null}}"#.to_owned(),
    ]
    .join("\n") + "\n"
}

/// Writes a transcript that was last changed so many minutes ago.
fn keep(world: &World, name: &str, minutes: u64, text: &str) {
    let path = world.path("home").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    let changed = SystemTime::now() - Duration::from_secs(60 * minutes + 30);
    fs::File::options().write(true).open(path).unwrap().set_modified(changed).unwrap();
}

/// The folder where Claude Code keeps the transcripts of a directory.
fn folder(directory: &Path) -> String {
    let directory = directory.canonicalize().unwrap();
    let name: String = directory
        .to_str()
        .unwrap()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!(".claude/projects/{name}")
}

fn world() -> World {
    let world = World::new();
    let here = world.path("home/project").canonicalize().unwrap();
    let (own, here) = (folder(&here), here.to_str().unwrap().to_owned());
    keep(
        &world,
        &format!("{own}/{ONE}.jsonl"),
        5,
        &session(
            ONE,
            &here,
            "Fix the \\u001b[31mtests\\u001b[0m, key sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-abcdefghijklmnopqrstuvwxyz0123-AAAAAAAA",
            160_000,
            false,
        ),
    );
    keep(&world, &format!("{own}/{TWO}.jsonl"), 90, &session(TWO, &here, "Say hello", 1000, false));
    keep(&world, &format!("{own}/agent-1.jsonl"), 1, &session(SIDE, &here, "Look around", 10, true));
    keep(
        &world,
        &format!(".codex/sessions/2026/11/20/rollout-2026-11-20T06-00-00-{THREAD}.jsonl"),
        3 * 24 * 60,
        &rollout(THREAD, "/srv/blog"),
    );
    world
}

fn told(world: &World, args: &[&str]) -> Vec<Value> {
    let run = world.run(&[&["list-sessions", "--json"], args].concat());
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(sessions: &[Value]) -> Vec<&str> {
    sessions.iter().map(|session| session["session"].as_str().unwrap()).collect()
}

#[test]
fn sessions_of_the_project_come_first_to_last() {
    let world = world();
    let sessions = told(&world, &[]);
    assert_eq!(ids(&sessions), [ONE, TWO], "sub-agents are no sessions");
    let one = &sessions[0];
    assert_eq!((one["level"].as_str(), one["percent"].as_f64()), (Some("warning"), Some(80.0)));
    let task = one["task"].as_str().unwrap();
    assert_eq!(task, "Fix the tests, key sk-ant-[redacted]");
    assert_eq!(ids(&told(&world, &["--limit", "1"])), [ONE]);
}

#[test]
fn sessions_of_every_project_and_of_one_agent() {
    let world = world();
    let sessions = told(&world, &["--all"]);
    assert_eq!(ids(&sessions), [ONE, TWO, THREAD]);
    let blog = &sessions[2];
    assert_eq!((blog["agent"].as_str(), blog["task"].as_str()), (Some("codex"), Some("Write the blog")));
    assert_eq!((blog["project"].as_str(), blog["percent"].as_f64()), (Some("/srv/blog"), Some(50.0)));
    assert_eq!(ids(&told(&world, &["--all", "--agent", "codex"])), [THREAD]);
}

#[test]
fn the_table_has_a_line_a_session_where_nobody_looks() {
    let run = world().run(&["list-sessions", "--all"]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", run.stdout);
    assert_eq!(lines[0], "LAST   AGENT   WINDOW  SESSION                               PROJECT    TASK");
    assert!(lines[1].starts_with(&format!("5 min  claude    80 %  {ONE}  ~/project")), "{}", lines[1]);
    assert_eq!(lines[2], format!("1 h    claude     0 %  {TWO}  ~/project  Say hello"));
    assert_eq!(lines[3], format!("3 d    codex     50 %  {THREAD}  /srv/blog  Write the blog"));
}

#[test]
fn that_there_are_none_is_no_failure() {
    let world = World::new();
    let run = world.run(&["list-sessions"]);
    assert_eq!((run.status, &*run.stdout), (Some(0), ""));
    assert_eq!(run.stderr, "There are no sessions of this project; --all lists those of every one.\n");
    let run = world.run(&["list-sessions", "--all", "--agent", "codex", "--json"]);
    assert_eq!((run.status, &*run.stdout, &*run.stderr), (Some(0), "", "There are no sessions of codex.\n"));
}

#[test]
fn what_cannot_be_read_is_passed_over() {
    let world = world();
    let own = folder(&world.path("home/project"));
    keep(&world, &format!("{own}/broken.jsonl"), 1, "{\"type\": \u{fffd}\n\0\0");
    keep(&world, &format!("{own}/empty.jsonl"), 1, "");
    fs::create_dir_all(world.path("home").join(&own).join("folder.jsonl")).unwrap();
    assert_eq!(ids(&told(&world, &[])), [ONE, TWO]);
}
