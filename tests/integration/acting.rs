//! `wrap --act` with agents that follow a script: what is started again and how, what is waited for, what is told of it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{GUARD, World};
use crate::wrap::{is_alive, state, wait_until};

/// The task in most stories.
const TASK: &[&str] = &["-p", "fix the tests", "--output-format", "stream-json", "--verbose"];

/// Waits as short as they can be.
const QUICK: &str = "reset_margin_sec = 0\nbackoff_base_sec = 0\nbackoff_max_sec = 0\n\
                     long_backoff_base_sec = 1\nlong_backoff_max_sec = 1\nsettle_sec = 0\n";

/// Whether the scripted agent can run here.
fn can_tell() -> bool {
    let runs = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs {
        eprintln!("skipped: the scripted agent needs python3");
    }
    runs
}

/// A world with one agent in it.
struct Story {
    world: World,
    agent: &'static str,
}

impl Story {
    /// `script`: what the agent does at each start.
    fn of(agent: &'static str, script: &Value) -> Self {
        let world = World::new()
            .write("home/.config/session-doctor/config.toml", QUICK)
            .write("script.json", &script.to_string());
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/agents/scripted.py");
        fs::copy(program, world.path(agent)).unwrap();
        Self { world, agent }
    }

    fn command(&self, options: &[&str], task: &[&str]) -> Command {
        let agent = self.world.path(self.agent);
        let args: Vec<&str> = ["wrap", "--events", "events"]
            .iter()
            .chain(options)
            .chain(&["--", agent.to_str().unwrap()])
            .chain(task)
            .copied()
            .collect();
        self.quiet(&args)
    }

    /// The program, with what it says kept.
    fn quiet(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command.env("PATH", std::env::var_os("PATH").unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, options: &[&str]) -> Output {
        finish(self.command(options, TASK).spawn().unwrap())
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.world.path(name)).unwrap_or_default()
    }

    /// The arguments of each start.
    fn starts(&self) -> Vec<Vec<String>> {
        let words = |line: &str| serde_json::from_value(parse(line)["argv"].clone()).unwrap();
        self.file("starts.jsonl").lines().map(words).collect()
    }

    fn events(&self) -> Vec<Value> {
        self.file("home/project/events").lines().map(parse).collect()
    }

    fn of_type(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["type"] == kind).collect()
    }

    /// The strategies of the decisions that were acted on, each with its outcome.
    fn acted(&self) -> Vec<(String, String)> {
        let outcomes = self.of_type("outcome");
        self.of_type("decision")
            .iter()
            .filter(|decision| decision["acted"] == true)
            .map(|decision| {
                let result = outcomes.iter().find(|outcome| outcome["decision"] == decision["id"]);
                let result = result.map_or("none", |outcome| outcome["result"].as_str().unwrap());
                (decision["strategy"].as_str().unwrap().to_owned(), result.to_owned())
            })
            .collect()
    }

    fn wait_for_line(&self, name: &str) {
        wait_until(name, || self.file(name).ends_with('\n'));
    }

    /// The runs that are stored.
    fn stored(&self) -> Vec<PathBuf> {
        let folder = self.world.path("home/.local/state/session-doctor/wrap");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
    }

    /// Makes the time come that a stored run waits for.
    fn let_time_pass(&self) {
        let path = self.stored().remove(0);
        let mut stored = parse(&fs::read_to_string(&path).unwrap());
        let not_before = &mut stored["run"]["plan"]["start"]["not_before"];
        assert!(not_before.is_string());
        *not_before = json!("2026-01-01T00:00:00.000Z");
        fs::write(path, stored.to_string()).unwrap();
    }

    fn wait_for_wait(&self) {
        wait_until("the wait is stored", || !self.stored().is_empty());
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

fn finish(child: Child) -> Output {
    let pid = Pid::from_child(&child);
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output().unwrap()));
    receive.recv_timeout(GUARD).unwrap_or_else(|_| {
        let _ = kill_process(pid, Signal::KILL);
        panic!("the program did not end");
    })
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What stands behind an option.
fn behind<'a>(argv: &'a [String], option: &str) -> Option<&'a str> {
    argv.iter().position(|word| word == option).map(|at| argv[at + 1].as_str())
}

fn one(strategy: &str, result: &str) -> Vec<(String, String)> {
    vec![(strategy.to_owned(), result.to_owned())]
}

fn well() -> Value {
    json!([["init", 0], ["done", 0]])
}

// --------------------------------------------------------------------------------------------- nothing was wrong

#[test]
fn a_run_that_goes_well_is_started_once_under_a_session_that_is_known() {
    if !can_tell() {
        return;
    }
    let story = Story::of("claude", &json!([well()]));
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let starts = story.starts();
    assert_eq!(starts.len(), 1);
    assert_eq!(starts[0][0], "--session-id");
    assert_eq!(starts[0][2..], *TASK);
    assert!(story.of_type("decision").is_empty());
    assert!(words(&output.stdout).contains("All is done."));

    let story = Story::of("claude", &json!([well()]));
    story.run(&[]);
    assert_eq!(story.starts(), [TASK], "without --act the command is as it was written");
}

// ------------------------------------------------------------------------------------------------ brought back

#[test]
fn an_agent_that_says_nothing_any_more_is_ended_and_goes_on_and_one_whose_tool_runs_is_not() {
    if !can_tell() {
        return;
    }
    let hangs = json!([["init", 0], ["works", "a"], ["waits_for", "never"]]);
    let story = Story::of("claude", &json!([hangs, well()]));
    // Long enough for an agent to say its first word.
    let config = format!("{QUICK}stall_sec = 6\n");
    fs::write(story.world.path("home/.config/session-doctor/config.toml"), &config).unwrap();
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let starts = story.starts();
    assert_eq!(starts.len(), 2);
    assert_eq!(behind(&starts[1], "--resume"), behind(&starts[0], "--session-id"));
    assert_eq!(story.acted(), one("restart", "done"));
    let alert = story.of_type("alert").remove(0);
    assert_eq!((&alert["class"], &alert["detector"]), (&json!("stalled"), &json!("silence")));
    assert_eq!(story.of_type("decision")[0]["alert"], alert["id"]);

    // A tool that it has told of, and one that it has not.
    let runs = [["calls", "make"], ["leaves", ""]].map(|busy| {
        let story = Story::of("claude", &json!([[["init", 0], busy, ["waits_for", "never"]]]));
        fs::write(story.world.path("home/.config/session-doctor/config.toml"), &config).unwrap();
        let child = story.command(&["--act", "--timeout", "10s"], TASK).spawn().unwrap();
        (busy, story, child)
    });
    for (busy, story, child) in runs {
        let output = finish(child);
        assert_eq!(output.status.code(), Some(124), "{output:?}");
        assert_eq!(story.of_type("decision"), [] as [Value; 0], "{busy:?}");
    }
}

#[test]
fn a_tool_that_hangs_is_killed_and_the_agent_goes_on_without_it() {
    if !can_tell() {
        return;
    }
    // It asks a question that nobody answers.
    let hangs = "mkfifo answers; read answer <answers";
    let story = Story::of("claude", &json!([[["init", 0], ["runs", hangs], ["works", "a"], ["done", 0]]]));
    let config = format!("{QUICK}tool_stall_sec = 3\n");
    fs::write(story.world.path("home/.config/session-doctor/config.toml"), &config).unwrap();
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(story.starts().len(), 1, "it is the same agent");
    assert_eq!(story.acted(), one("restart", "done"));
    let alert = story.of_type("alert").remove(0);
    assert_eq!(alert["class"], "stalled");
    assert!(
        alert["reason"]
            .as_str()
            .unwrap()
            .starts_with("\"Bash mkfifo answers; read answer <answers\" has not ended"),
        "{alert}"
    );
    assert!(!is_alive(story.file("tools").trim().parse().unwrap()));

    // One that waits, one that works, and one that does next to nothing are no such tools.
    let slow = "python3 -c 'import time\nwhile True: print(1, flush=True); time.sleep(0.2)'";
    let runs = ["sleep 1000", "while :; do :; done", slow].map(|busy| {
        let story = Story::of("claude", &json!([[["init", 0], ["runs", busy]]]));
        fs::write(story.world.path("home/.config/session-doctor/config.toml"), &config).unwrap();
        let child = story.command(&["--act", "--timeout", "8s"], TASK).spawn().unwrap();
        (busy, story, child)
    });
    for (busy, story, child) in runs {
        let output = finish(child);
        assert_eq!(output.status.code(), Some(124), "{output:?}");
        assert_eq!(story.of_type("decision"), [] as [Value; 0], "{busy}");
    }
}

#[test]
fn what_a_hanging_agent_says_when_it_is_ended_does_not_make_its_start_a_success() {
    if !can_tell() {
        return;
    }
    let hangs = |last: Value| json!([["init", 0], last, ["waits_for", "never"]]);
    let story = Story::of(
        "claude",
        &json!([hangs(json!(["works", "a"])), hangs(json!(["last_words", "b"])), well()]),
    );
    let config = format!("{QUICK}stall_sec = 2\n");
    fs::write(story.world.path("home/.config/session-doctor/config.toml"), config).unwrap();
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let restart = |result: &str| ("restart".to_owned(), result.to_owned());
    assert_eq!(story.acted(), [restart("failed"), restart("done")]);
}

#[test]
fn a_body_of_json_in_a_good_answer_is_the_answer() {
    if !can_tell() {
        return;
    }
    let body = r#"{"error":{"code":401,"message":"Invalid token"}}"#;
    let answers = json!([["prints", "The endpoint now says:"], ["prints", body], ["prints", "All is done."]]);
    for agent in ["claude", "some-program"] {
        let story = Story::of(agent, &json!([answers]));
        let output = story.run(&["--act"]);
        assert_eq!(output.status.code(), Some(0), "{agent}: {output:?}");
        assert_eq!(story.of_type("decision"), [] as [Value; 0], "{agent}");
    }
}

#[test]
fn a_success_that_is_none_is_no_success_of_the_start_either() {
    if !can_tell() {
        return;
    }
    let recording =
        concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/transcripts/qwen/lying_success/input.jsonl");
    let words = "Connection error. (cause: fetch failed)";
    let recording = fs::read_to_string(recording).unwrap();
    let recording = recording.replace("401 The key that was given is not valid.", words);
    assert!(recording.contains(words));
    let said: Vec<Value> = recording.lines().map(|line| json!(["prints", line])).collect();
    let story = Story::of("qwen", &json!([said, said, [["prints", "Done."]]]));
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let backoff = |result: &str| ("backoff".to_owned(), result.to_owned());
    assert_eq!(story.acted(), [backoff("failed"), backoff("done")]);
}

#[test]
fn a_session_that_is_refused_twice_goes_on_from_before_it_and_what_was_copied_is_no_work() {
    if !can_tell() {
        return;
    }
    let refused = json!([["init", 0], ["refused", 0], ["exits", 1]]);
    let works = json!([["init", 0], ["says", "u1"], ["says", "u2"], ["refused", 0], ["exits", 1]]);
    // A copy begins with what the session had, with its times: a failure that was mended long ago, and work.
    let record = |rest: &str| {
        format!(
            r#"{{"type":"assistant","uuid":"u1","parentUuid":null,"isSidechain":false,"cwd":"{{cwd}}","sessionId":"{{session}}","timestamp":"2020-01-01T00:00:00.000Z",{rest}}}"#
        ) + "\n"
    };
    let copied = record(
        r#""isApiErrorMessage":true,"error":"authentication_failed","message":{"id":"m0","type":"message","role":"assistant","model":"<synthetic>","content":[{"type":"text","text":"Invalid API key · Please run /login"}]}"#,
    ) + &record(
        r#""message":{"id":"msg_u1","type":"message","role":"assistant","model":"sample-model","content":[{"type":"text","text":"words"}]}"#,
    );
    let path = ".claude/projects/{folder}/{session}.jsonl";
    let copy = json!([["init", 0], ["writes", [path, copied]], ["refused", 0], ["exits", 1]]);
    let story = Story::of("claude", &json!([works, refused, copy, well()]));
    // Each ends by itself, and its transcript is read to the end.
    let config = QUICK.replace("settle_sec = 0", "settle_sec = 60");
    fs::write(story.world.path("home/.config/session-doctor/config.toml"), config).unwrap();
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let starts = story.starts();
    assert_eq!(starts.len(), 4);
    let first = behind(&starts[0], "--session-id");
    assert_eq!(behind(&starts[1], "--resume"), first);
    assert_eq!(
        (behind(&starts[2], "--resume"), behind(&starts[2], "--resume-session-at")),
        (first, Some("u2"))
    );
    let copy = behind(&starts[2], "--session-id");
    assert_eq!(
        (behind(&starts[3], "--resume"), behind(&starts[3], "--resume-session-at")),
        (copy, Some("u1"))
    );
    let reset = |result: &str| ("reset".to_owned(), result.to_owned());
    assert_eq!(story.acted(), [reset("failed"), reset("failed"), reset("done")]);
}

#[test]
fn a_run_that_its_own_loop_guard_stopped_is_no_success_though_it_prints_nothing_of_it() {
    if !can_tell() {
        return;
    }
    let session = "00000000-0000-7000-8000-0000000000a9";
    let path = ".gemini/tmp/p/chats/session-2026-11-20T05-00-00000000.jsonl";
    let root = json!(["writes", [".gemini/tmp/p/.project_root", "{cwd}"]]);
    let writes = |line: Value| json!(["writes", [path, format!("{line}\n")]]);
    let head = writes(
        json!({"sessionId": session, "projectHash": "00", "startTime": "2026-11-20T05:00:00Z", "kind": "main"}),
    );
    let says = |id: &str, kind: &str, content: Value| {
        writes(json!({"id": id, "timestamp": "2026-11-20T05:00:01Z", "type": kind, "content": content}))
    };
    let task = says("m1", "user", json!([{"text": "fix the tests"}]));
    let answer = |id: &str| says(id, "gemini", json!("Loop detected, stopping execution."));
    let result = |id: &str| says(id, "user", json!([{"functionResponse": {"id": "t", "response": {}}}]));
    let warning = says(
        "m4",
        "user",
        json!([{"text": "System: Potential loop detected. Details: Repeated tool call: ls."}]),
    );
    let set = writes(json!({"$set": {"messages": [], "lastUpdated": "2026-11-20T05:00:02Z"}}));

    let ran = |steps: &[&Value]| {
        let script: Vec<Value> = steps.iter().map(|step| (*step).clone()).collect();
        let story = Story::of("gemini", &json!([script, [["prints", "All is done."]]]));
        let output = finish(story.command(&["--act"], &["-p", "fix the tests"]).spawn().unwrap());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        story
    };
    let (m2, m3, m5, m6) = (answer("m2"), result("m3"), answer("m5"), result("m6"));
    // Stopped at once, and stopped after it had gone on for a while.
    for stopped in [
        &[&root, &head, &task, &m2, &m3, &warning, &set][..],
        &[&root, &head, &task, &m2, &m3, &warning, &m5, &m6],
    ] {
        let story = ran(stopped);
        assert_eq!(behind(&story.starts()[1], "--resume"), Some(session));
        assert_eq!(story.of_type("decision")[0]["class"], "tool_repeat");
        assert_eq!(story.of_type("decision")[0]["alert"], story.of_type("alert")[0]["id"]);
        assert_eq!(story.of_type("finding")[0]["class"], "tool_repeat");
    }
    // Warned, and mended; or only talked of.
    for well in [
        &[&root, &head, &task, &m2, &m3, &warning, &m5][..],
        &[&root, &head, &task, &m2, &m3, &m5],
        &[&root, &head, &warning, &m5],
    ] {
        let story = ran(well);
        assert_eq!(story.starts().len(), 1);
        assert_eq!(story.of_type("decision"), [] as [Value; 0]);
    }
}

#[test]
fn a_limit_is_waited_for_and_the_session_goes_on() {
    if !can_tell() {
        return;
    }
    let story =
        Story::of("claude", &json!([[["init", 0], ["works", "a"], ["limit", 1], ["exits", 1]], well()]));
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let starts = story.starts();
    assert_eq!(starts.len(), 2);
    assert_eq!(behind(&starts[1], "--resume"), behind(&starts[0], "--session-id"));
    assert!(starts[1].contains(&"continue".to_owned()) && !starts[1].contains(&"fix the tests".to_owned()));
    assert_eq!(story.acted(), one("backoff", "done"));
    assert!(words(&output.stderr).contains("It waits until "), "{output:?}");
    assert!(story.stored().is_empty(), "what is over is not stored");
}

#[test]
fn an_overload_that_outlives_the_agents_own_retries_is_waited_out() {
    if !can_tell() {
        return;
    }
    let story =
        Story::of("claude", &json!([[["init", 0], ["works", "a"], ["overloaded", 0], ["exits", 1]], well()]));
    let output = story.run(&["--act=backoff"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(behind(&story.starts()[1], "--resume"), behind(&story.starts()[0], "--session-id"));
    assert_eq!(story.acted(), one("backoff", "done"));
}

#[test]
fn an_answer_that_reads_like_a_failure_is_an_answer() {
    if !can_tell() {
        return;
    }
    let story = Story::of("claude", &json!([[["prints", "API Error: 529 Overloaded"]], well()]));
    let output = finish(story.command(&["--act"], &["-p", "what does the log end with?"]).spawn().unwrap());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(story.starts().len(), 1);
    assert!(story.acted().is_empty());
}

#[test]
fn a_crash_in_the_middle_is_resumed() {
    if !can_tell() {
        return;
    }
    let story = Story::of("claude", &json!([[["init", 0], ["works", "a"], ["crashes", 0]], well()]));
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(behind(&story.starts()[1], "--resume"), behind(&story.starts()[0], "--session-id"));
    assert_eq!(story.acted(), one("resume", "done"));
}

#[test]
fn a_full_context_that_the_agent_could_not_compact_is_left_for_a_new_session_that_is_told_of_the_old_one() {
    if !can_tell() {
        return;
    }
    let full = json!([["init", 0], ["works", "half of it is done"], ["too_long", 0], ["exits", 1]]);
    let story = Story::of("claude", &json!([full, well()]));
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let starts = story.starts();
    assert_eq!(starts.len(), 2, "{starts:?}");
    let (old, new) = (behind(&starts[0], "--session-id"), behind(&starts[1], "--session-id"));
    assert!(new.is_some() && new != old, "{starts:?}");
    let prompt = starts[1].iter().find(|word| word.contains("fix the tests")).unwrap();
    assert!(prompt.contains("half of it is done") && prompt.len() <= 2_048, "{prompt}");
}

#[test]
fn a_session_that_cannot_be_resumed_gets_its_task_again_but_no_session_gets_it_twice() {
    if !can_tell() {
        return;
    }
    let rejected = json!([["complains", "No conversation found with session ID: x"], ["exits", 1]]);
    let story = Story::of("claude", &json!([[["crashes", 0]], rejected, well()]));
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let starts = story.starts();
    assert_eq!(starts.len(), 3, "{starts:?}");
    assert!(behind(&starts[1], "--resume").is_some(), "{starts:?}");
    assert!(starts[2].contains(&"fix the tests".to_owned()));
    let (first, last) = (behind(&starts[0], "--session-id"), behind(&starts[2], "--session-id"));
    assert!(last.is_some() && first != last);
}

// ------------------------------------------------------------------------------------------------- given up

#[test]
fn restarts_that_do_not_help_end_with_83_and_each_is_told_to_have_failed() {
    if !can_tell() {
        return;
    }
    let story =
        Story::of("claude", &json!([[["init", 0], ["works", "a"], ["crashes", 0]], [["crashes", 0]]]));
    let output = story.run(&["--act", "--max-restarts", "1"]);
    assert_eq!(output.status.code(), Some(83), "{output:?}");
    assert_eq!(story.starts().len(), 2);
    let acted = story.acted();
    assert_eq!(acted[0], ("resume".to_owned(), "failed".to_owned()));
    assert_eq!(acted[1], ("halt".to_owned(), "done".to_owned()));
    assert!(words(&output.stderr).contains("started again 1 times"), "{output:?}");
}

#[test]
fn what_only_a_person_can_mend_ends_with_80_and_what_to_do() {
    if !can_tell() {
        return;
    }
    let story = Story::of("claude", &json!([[["init", 0], ["auth", 0], ["exits", 1]]]));
    let output = story.run(&["--act"]);
    assert_eq!((output.status.code(), story.starts().len()), (Some(80), 1), "{output:?}");
    assert!(words(&output.stderr).contains("/login"), "{output:?}");
    assert_eq!(story.acted(), one("halt", "done"));
}

#[test]
fn a_budget_that_is_used_up_ends_the_run_with_82_and_without_act_only_an_alert_tells_it() {
    if !can_tell() {
        return;
    }
    let script = json!([[["init", 0], ["uses", 100_000], ["uses", 120_000], ["waits_for", "never"]]]);
    let story = Story::of("claude", &script);
    let output = story.run(&["--act", "--budget-usd", "1"]);
    assert_eq!((output.status.code(), story.starts().len()), (Some(82), 1), "{output:?}");
    assert_eq!(story.acted(), one("halt", "done"));
    let decision = &story.of_type("decision")[0];
    let alert = &story.of_type("alert")[0];
    assert_eq!((&decision["class"], &decision["alert"]), (&json!("budget_over"), &alert["id"]));
    assert_eq!(alert["reason"], "this run has used $1.10, and its budget is $1.00.");

    let story = Story::of("claude", &json!([[["init", 0], ["uses", 220_000], ["done", 0]]]));
    let output = story.run(&["--budget-usd", "1"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(story.of_type("alert").len(), 1);
}

#[test]
fn what_an_earlier_start_used_is_used_and_what_has_come_to_its_end_has() {
    if !can_tell() {
        return;
    }
    let crashes = json!([["init", 0], ["uses", 60_000], ["exits", 139]]);
    let ends = json!([["init", 0], ["works", "words"], ["done_with", 60_000]]);
    let story = Story::of("claude", &json!([crashes, crashes, ends]));
    let output = story.run(&["--act", "--budget-tokens", "100k"]);
    assert_eq!((output.status.code(), story.starts().len()), (Some(82), 2), "{output:?}");

    let story = Story::of("claude", &json!([crashes, ends]));
    let output = story.run(&["--act", "--budget-tokens", "100k"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "its last request was one too many, and it had finished: {output:?}"
    );
}

#[test]
fn what_a_new_transcript_repeats_of_an_older_session_is_not_used_again() {
    if !can_tell() {
        return;
    }
    let history = concat!(
        r#"{"type":"assistant","uuid":"u1","parentUuid":null,"isSidechain":false,"cwd":"{cwd}","sessionId":"{session}","timestamp":"2020-01-01T00:00:00.000Z","requestId":"req_01AAAAAAAAAAAAAAAA","#,
        r#""message":{"id":"msg_01AAAAAAAAAAAAAAAA","type":"message","role":"assistant","model":"claude-opus-4-6","content":[{"type":"text","text":"words"}],"usage":{"input_tokens":900000,"output_tokens":0}}}"#,
        "\n"
    );
    let path = ".claude/projects/{folder}/{session}.jsonl";
    let crashes = json!([["init", 0], ["writes", [path, history]], ["exits", 139]]);
    let story = Story::of("claude", &json!([crashes, well()]));
    let output = story.run(&["--act", "--budget-tokens", "100k"]);
    assert_eq!((output.status.code(), story.starts().len()), (Some(0), 2), "{output:?}");
}

#[test]
fn a_limit_beyond_the_longest_wait_ends_with_84() {
    if !can_tell() {
        return;
    }
    let story = Story::of("claude", &json!([[["init", 0], ["limit", 9000], ["exits", 1]]]));
    let output = story.run(&["--act", "--max-wait", "1h"]);
    assert_eq!((output.status.code(), story.starts().len()), (Some(84), 1), "{output:?}");
}

#[test]
fn what_is_not_allowed_is_not_done() {
    if !can_tell() {
        return;
    }
    let story = Story::of("claude", &json!([[["init", 0], ["works", "a"], ["crashes", 0]]]));
    let output = story.run(&["--act=backoff"]);
    assert_eq!((output.status.signal(), story.starts().len()), (Some(11), 1), "{output:?}");
    assert!(story.acted().is_empty());
}

#[test]
fn a_dry_run_says_what_it_would_do_and_changes_nothing() {
    if !can_tell() {
        return;
    }
    let story = Story::of("claude", &json!([[["init", 0], ["works", "a"], ["limit", 1], ["exits", 1]]]));
    let output = story.run(&["--act", "--dry-run"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(story.starts(), [TASK], "not a word of the command is changed");
    assert!(words(&output.stderr).contains("would do, not before"), "{output:?}");
    assert!(story.of_type("decision").iter().all(|decision| decision["acted"] == false));
    assert!(story.of_type("outcome").is_empty());
}

// ------------------------------------------------------------------------------------------- what is left behind

#[test]
fn a_tool_of_a_failed_attempt_is_gone_before_the_next_and_that_of_a_good_run_lives() {
    if !can_tell() {
        return;
    }
    let failed = json!([["init", 0], ["works", "a"], ["leaves", 0], ["crashes", 0]]);
    let good = json!([["looks", 0], ["leaves", 0], ["init", 0], ["done", 0]]);
    let story = Story::of("claude", &json!([failed, good]));
    let output = story.run(&["--act"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(story.file("looked"), "gone");
    let last: i32 = story.file("tools").lines().last().unwrap().parse().unwrap();
    assert!(is_alive(last));
    kill_process(Pid::from_raw(last).unwrap(), Signal::KILL).unwrap();
}

// ------------------------------------------------------------------------------------------------ standard input

/// A start that reads its standard input to the end and cannot be resumed, for its session was never begun.
fn reads_and_fails() -> Value {
    json!([["reads", 0], ["crashes", 0]])
}

const READING: &[&str] = &["-p", "--output-format", "stream-json", "--verbose"];

fn reads_again() -> Story {
    let rejected = json!([["complains", "No conversation found with session ID: x"], ["exits", 1]]);
    Story::of("claude", &json!([reads_and_fails(), rejected, [["reads", 0], ["init", 0], ["done", 0]]]))
}

#[test]
fn a_prompt_on_a_pipe_is_there_again() {
    if !can_tell() {
        return;
    }
    let story = reads_again();
    let mut child = story.command(&["--act"], READING).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"fix it").unwrap();
    let output = finish(child);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(story.file("read"), "\"fix it\"\n\"fix it\"\n");
}

#[test]
fn a_prompt_in_a_file_is_there_again_from_where_it_began() {
    if !can_tell() {
        return;
    }
    let story = reads_again();
    let path = story.world.path("prompt");
    fs::write(&path, "skipped\nfix it").unwrap();
    let mut file = File::open(path).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(8)).unwrap();
    let output = finish(story.command(&["--act"], READING).stdin(file).spawn().unwrap());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(story.file("read"), "\"fix it\"\n\"fix it\"\n");
}

#[test]
fn a_pipe_that_nobody_writes_to_or_closes_keeps_no_agent_waiting() {
    if !can_tell() {
        return;
    }
    let story = Story::of("claude", &json!([[["reads", 0], ["init", 0], ["done", 0]]]));
    let mut child = story.command(&["--act"], TASK).stdin(Stdio::piped()).spawn().unwrap();
    let idle = child.stdin.take();
    let output = finish(child);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(story.file("read"), "\"\"\n");
    assert!(words(&output.stderr).contains("nothing came on standard input"), "{output:?}");
    drop(idle);
}

// ---------------------------------------------------------------------------------------------------- waits

fn long_wait() -> Story {
    Story::of("claude", &json!([[["init", 0], ["works", "a"], ["limit", 3600], ["exits", 1]], well()]))
}

#[test]
fn a_signal_ends_a_wait_at_once() {
    if !can_tell() {
        return;
    }
    for signal in [Signal::TERM, Signal::INT] {
        let story = long_wait();
        let child = story.command(&["--act"], TASK).spawn().unwrap();
        story.wait_for_wait();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = finish(child);
        assert_eq!(output.status.signal(), Some(signal.as_raw()), "{output:?}");
        assert!(words(&output.stderr).contains("--resume-wait"), "{output:?}");
        assert_eq!(story.acted(), one("backoff", "skipped"));
        assert_eq!(story.starts().len(), 1);
    }
}

#[test]
fn a_wait_that_was_killed_is_taken_up_once_and_not_while_somebody_waits() {
    if !can_tell() {
        return;
    }
    let story = long_wait();
    let mut child = story.command(&["--act"], TASK).spawn().unwrap();
    story.wait_for_wait();
    let stored = story.stored().remove(0);
    let refused = finish(
        story.quiet(&["wrap", "--act", &format!("--resume-wait={}", stored.display())]).spawn().unwrap(),
    );
    assert_eq!(refused.status.code(), Some(125), "{refused:?}");
    assert!(words(&refused.stderr).contains("waits for it"), "{refused:?}");

    child.kill().unwrap();
    child.wait().unwrap();
    let decision = story.of_type("decision").remove(0);
    let looked = story.quiet(&["wrap", "--act", "--dry-run", "--resume-wait"]).spawn().unwrap();
    let looked = finish(looked);
    assert_eq!(looked.status.code(), Some(0), "{looked:?}");
    assert!(words(&looked.stderr).contains("would do"), "{looked:?}");
    assert_eq!((story.starts().len(), story.stored().len()), (1, 1), "a dry run leaves the wait alone");

    story.let_time_pass();
    let output =
        finish(story.quiet(&["wrap", "--events", "events", "--act", "--resume-wait"]).spawn().unwrap());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let starts = story.starts();
    assert_eq!(starts.len(), 2);
    assert_eq!(behind(&starts[1], "--resume"), behind(&starts[0], "--session-id"));
    assert!(story.stored().is_empty());
    let outcome = story.of_type("outcome").remove(0);
    assert_eq!((&outcome["decision"], &outcome["result"]), (&decision["id"], &json!("done")));
    let nothing = finish(story.quiet(&["wrap", "--act", "--resume-wait"]).spawn().unwrap());
    assert!(words(&nothing.stderr).contains("failed to find a run that waits"), "{nothing:?}");
}

#[test]
fn what_came_on_a_pipe_outlives_us_while_it_is_waited_and_no_longer() {
    if !can_tell() {
        return;
    }
    let rejected = json!([["complains", "No conversation found with session ID: x"], ["exits", 1]]);
    let limited = json!([["reads", 0], ["limit", 3600], ["exits", 1]]);
    let story = Story::of("claude", &json!([limited, rejected, [["reads", 0], ["init", 0], ["done", 0]]]));
    let mut child = story.command(&["--act"], READING).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"fix it").unwrap();
    story.wait_for_wait();
    child.kill().unwrap();
    child.wait().unwrap();
    let stored = story.stored().remove(0).with_extension("stdin");
    assert_eq!(stored.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    story.let_time_pass();
    let taken_up = story.quiet(&["wrap", "--act", "--resume-wait"]).spawn().unwrap();
    let output = finish(taken_up);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(story.file("read"), "\"fix it\"\n\"fix it\"\n");
    assert!(!stored.exists());
}

#[test]
fn an_agent_that_sits_at_its_limit_is_stopped_and_goes_on_with_mode_pause() {
    if !can_tell() {
        return;
    }
    let stuck = json!([["init", 0], ["works", "a"], ["limit", 3], ["waits_for", "go"], ["done", 0]]);
    let story = Story::of("claude", &json!([stuck]));
    let child = story.command(&["--act", "--backoff-mode", "pause"], TASK).spawn().unwrap();
    story.wait_for_line("starts.jsonl");
    let pid = parse(story.file("starts.jsonl").lines().next().unwrap())["pid"].as_i64().unwrap();
    let is_stopped = || state(i32::try_from(pid).unwrap()) == Some('T');
    wait_until("it is stopped", is_stopped);
    wait_until("it goes on", || !is_stopped());
    fs::write(story.world.path("go"), "").unwrap();
    let output = finish(child);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(story.starts().len(), 1);
    assert_eq!(story.acted(), one("backoff", "done"));
}

// --------------------------------------------------------------------------------------------------- secrets

#[test]
fn a_key_on_the_command_line_is_shown_nowhere() {
    if !can_tell() {
        return;
    }
    let key = "sk-ant-api03-AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH";
    let story = Story::of("claude", &json!([[["init", 0], ["works", "a"], ["crashes", 0]], well()]));
    let settings = format!("--settings={{\"apiKey\":\"{key}\"}}");
    let task = [TASK, &["--api-key", key, &settings]].concat();
    let output = finish(story.command(&["--act"], &task).spawn().unwrap());
    assert_eq!(story.starts().len(), 2, "{output:?}");
    assert!(story.starts()[1].contains(&key.to_owned()), "the agent needs it");
    let told = words(&output.stderr) + &story.file("home/project/events");
    assert!(told.contains("starts again: ") && !told.contains("AAAABBBB"), "{told}");
}
