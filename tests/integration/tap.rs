//! `tap` from end to end: what goes in, what comes out, and with which status it ends.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{GUARD, World};

/// A line that is a failure beyond doubt.
const REFUSED: &str = "Invalid API key · Please run /login\n";

/// Two lines of a stream in which the agent itself tells of a used-up plan.
const LIMIT: &str = concat!(
    r#"{"type":"system","subtype":"init","cwd":"/srv/shop","session_id":"5e551000-0000-4000-8000-000000000001","tools":[],"model":"sample","claude_code_version":"2.1.300","uuid":"00000000-0000-4000-8000-000000000001"}"#,
    "\n",
    r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"You've hit your session limit · resets 7pm (UTC)","num_turns":1,"session_id":"5e551000-0000-4000-8000-000000000001","uuid":"00000000-0000-4000-8000-000000000002"}"#,
    "\n",
);

/// Bytes that no text has: NULs, half a character, carriage returns, a failure, and no line end at the end.
fn odd_bytes() -> Vec<u8> {
    let mut bytes = b"\x00\x01\xff\xfe\xc3\r\n\r\r\n\x1b[31mred\x1b[0m\n".to_vec();
    bytes.extend(REFUSED.bytes());
    bytes.extend(std::iter::repeat_n(b'x', 100_000));
    bytes.extend(b"\n\xf0\x9f\x98");
    bytes
}

/// Waits for the end of a program, but not for ever.
fn finish(mut child: Child) -> Output {
    let pid = Pid::from_child(&child);
    drop(child.stdin.take());
    let (send, receive) = mpsc::channel();
    let waiting = thread::spawn(move || send.send(child.wait_with_output().unwrap()));
    let Ok(output) = receive.recv_timeout(GUARD) else {
        let _ = kill_process(pid, Signal::KILL);
        panic!("the program did not end");
    };
    waiting.join().unwrap().unwrap();
    output
}

/// Runs a command with these bytes as its standard input.
fn feed(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // A program that stops early closes the pipe; what it then says is for the test to judge.
        scope.spawn(move || stdin.write_all(input));
        finish(child)
    })
}

/// A command of the shell in the world's project, with the program as `$1`.
fn shell(world: &World, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_session-doctor")])
        .env_clear()
        .env("HOME", world.path("home"))
        .current_dir(world.path("home/project"));
    shell
}

fn events(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("events are UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The class and the source of each finding.
fn found(events: &[Value]) -> Vec<(&str, &str)> {
    let findings = events.iter().filter(|event| event["type"] == "finding");
    findings
        .map(|event| (event["class"].as_str().unwrap(), event["source"]["name"].as_str().unwrap()))
        .collect()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `tap` on a pipe that stays open, and what it says line by line.
struct Live {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Live {
    fn start(world: &World, args: &[&str]) -> Self {
        let mut child = world
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout: ChildStdout = child.stdout.take().unwrap();
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if send.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn write(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Returns the next event of this type.
    fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let Ok(line) = self.lines.recv_timeout(GUARD) else {
                let _ = self.child.kill();
                panic!("no {kind} was told");
            };
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["type"] == kind {
                return event;
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------- what is read

#[test]
fn a_stream_becomes_events() {
    let output = feed(&mut World::new().command(&["tap"]), LIMIT.as_bytes());
    assert_eq!((output.status.code(), words(&output.stderr)), (Some(0), String::new()));
    let events = events(&output.stdout);
    assert_eq!(types(&events), ["session_started", "finding", "alert", "status", "decision", "summary"]);
    for event in &events {
        assert_eq!((event["agent"].as_str(), &event["v"]), (Some("claude"), &1.into()), "{event}");
        assert_eq!(event["session"], "5e551000-0000-4000-8000-000000000001");
    }
    let decision = &events[4];
    assert_eq!((&decision["strategy"], &decision["acted"]), (&"backoff".into(), &false.into()));
}

#[test]
fn files_and_folders_are_read_in_order_and_summed_up() {
    let world = World::new();
    let project = world.path("home/project");
    fs::create_dir_all(project.join("logs/deep")).unwrap();
    fs::write(project.join("logs/a.jsonl"), LIMIT).unwrap();
    fs::write(project.join("logs/deep/b.log"), REFUSED).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(REFUSED.as_bytes()).unwrap();
    fs::write(project.join("logs/c.log.gz"), packed.finish().unwrap()).unwrap();
    fs::write(project.join("one.txt"), "all is well\n").unwrap();

    let run = world.run(&["tap", "one.txt", "logs"]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    let events = events(run.stdout.as_bytes());
    assert_eq!(
        found(&events),
        [("usage_limit", "logs/a.jsonl"), ("auth_error", "logs/c.log.gz"), ("auth_error", "logs/deep/b.log")]
    );
    let summaries: Vec<&Value> = events.iter().filter(|event| event["type"] == "summary").collect();
    let sources: Vec<Option<&str>> =
        summaries.iter().map(|summary| summary["source"]["name"].as_str()).collect();
    assert_eq!(
        sources,
        [Some("one.txt"), Some("logs/a.jsonl"), Some("logs/c.log.gz"), Some("logs/deep/b.log"), None]
    );
    let total = summaries[4];
    assert_eq!((&total["sources"], &total["findings"]["auth_error"]), (&4.into(), &2.into()));
}

#[test]
fn what_cannot_be_read_is_told_once_and_the_rest_goes_on() {
    let world = World::new().write("home/project/good.log", REFUSED);
    std::os::unix::fs::symlink("loop.log", world.path("home/project/loop.log")).unwrap();
    let run = world.run(&["tap", "god.log", "good.log", "loop.log"]);
    assert_eq!(run.status, Some(66), "{run:?}");
    assert_eq!(found(&events(run.stdout.as_bytes())), [("auth_error", "good.log")]);
    for name in ["god.log", "loop.log"] {
        let told = run.stderr.matches(name).count();
        assert_eq!(told, 1, "{name} in {}", run.stderr);
    }
    assert_eq!(run.stderr.matches("error: failed to ").count(), 2, "{}", run.stderr);
    assert!(run.stderr.contains("hint: did you mean `good.log`?"), "{}", run.stderr);
}

#[test]
fn a_forced_format_must_exist() {
    let run = World::new().run(&["tap", "--agent", "cluade"]);
    assert_eq!(run.status, Some(64));
    assert!(run.stderr.contains("cluade") && run.stderr.contains("claude"), "{}", run.stderr);
}

#[test]
fn broken_settings_are_78() {
    let world = World::new().write("home/project/.session-doctor.toml", "line_limit_bytes = \"many\"\n");
    let run = world.run(&["tap"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(78), ""));
    assert!(run.stderr.contains("`W/home/project/.session-doctor.toml` line 1"), "{}", run.stderr);
}

// ------------------------------------------------------------------------------------------------ what is told

#[test]
fn emit_lets_only_some_types_through() {
    let output = feed(&mut World::new().command(&["tap", "--emit", "decision,summary"]), LIMIT.as_bytes());
    assert_eq!(types(&events(&output.stdout)), ["decision", "summary"]);
}

#[test]
fn fail_on_makes_an_alert_a_status() {
    for (bar, status) in [("low", 1), ("medium", 1), ("high", 0), ("never", 0)] {
        let output = feed(&mut World::new().command(&["tap", "--fail-on", bar]), LIMIT.as_bytes());
        assert_eq!(output.status.code(), Some(status), "{bar}");
    }
}

#[test]
fn text_is_for_people() {
    let log = "2026-11-20 05:00:00 INFO begins\n\
               2026-11-20 05:00:01 ERROR openai.AuthenticationError: Error code: 401 - \
               {'error': {'code': 'invalid_api_key', 'message': 'Incorrect \x1b[31mAPI\x1b[0m key provided.\x07'}}\n";
    let world = World::new().write("home/project/run.log", log);
    let run = world.run_with(&["tap", "--format", "text", "run.log"], &[("SESSION_DOCTOR_TIME_ZONE", "UTC")]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let session = run.stdout.split_whitespace().find(|word| word.starts_with("s-")).unwrap();
    // The first line and the end of a source say no time of their own: they show when they were read.
    let shown: Vec<&str> = run.stdout.lines().map(|line| line.get(21..).unwrap_or(line)).collect();
    let expected = [
        &format!("session {session} in run.log"),
        "auth_error       openai.AuthenticationError: Error code: 401 - {'error': {'code': 'invalid_api_key', 'message': 'Incorrect API key provided.'}}  run.log:2",
        "warning one line of text says auth_error; nothing else confirms it yet",
        "health ok -> warn: one line of text says auth_error; nothing else confirms it yet",
        "ALERT   nothing came after auth_error",
        "health warn -> halted: nothing came after auth_error",
        "  -> halt: auth_error: no retry can help (advice: nothing was done)",
        "summary 2 lines, findings 1 (auth_error 1), alerts 2 (auth_error 2), halted run.log",
    ];
    assert_eq!(shown, expected, "{}", run.stdout);
    assert!(!run.stdout.contains('\x1b') && !run.stdout.contains('\x07'), "{:?}", run.stdout);
}

#[test]
fn colour_is_given_to_those_who_ask() {
    let args = ["tap", "--format", "text", "--color", "always"];
    let output = feed(&mut World::new().command(&args), REFUSED.as_bytes());
    assert!(words(&output.stdout).contains("\x1b["), "{}", words(&output.stdout));
}

#[test]
fn secrets_are_never_told_whole() {
    // Put together here, so that no key stands in the repository.
    let keys = [
        format!("sk-ant-api03-{}", "Zk3v9QpL".repeat(11)),
        format!("sk-proj-{}", "a8Xw2RtY".repeat(6)),
        format!("ghp_{}", "q7Jm".repeat(9)),
        format!("AIza{}", "Sy0B3dKe".repeat(4) + "xyz"),
    ];
    for key in &keys {
        let input = format!(
            "ERROR: Invalid API key · Please run /login ({key})\n\
             {{\"type\":\"error\",\"error\":{{\"type\":\"authentication_error\",\"message\":\"Incorrect API key provided: {key}.\"}}}}\n\
             openai.AuthenticationError: Error code: 401 - {{'error': {{'message': 'Incorrect API key provided: {key}'}}}}\n",
        );
        for format in ["json", "text"] {
            let output = feed(&mut World::new().command(&["tap", "--format", format]), input.as_bytes());
            let told = words(&output.stdout);
            assert!(told.matches("API key").count() >= 3, "all three are told: {told}");
            assert!(!told.contains(key.as_str()), "{told}");
            assert!(!told.contains(&key[key.len() - 24..]), "the end of the key shows: {told}");
        }
    }
}

// ---------------------------------------------------------------------------------------------- pass-through

#[test]
fn pass_through_keeps_every_byte() {
    let world = World::new();
    let bytes = odd_bytes();
    let output = feed(&mut world.command(&["tap", "--pass-through", "--events", "events.jsonl"]), &bytes);
    assert_eq!((output.status.code(), words(&output.stderr)), (Some(0), String::new()));
    assert!(output.stdout == bytes, "the bytes are not the same");
    let path = world.path("home/project/events.jsonl");
    let told = events(&fs::read(&path).unwrap());
    assert_eq!(found(&told), [("auth_error", "-")]);
    assert_eq!(told.last().unwrap()["bytes"], bytes.len());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "for the owner alone");
}

#[test]
fn pass_through_keeps_a_line_longer_than_the_limit() {
    let world = World::new();
    let bytes = [vec![b'{'; 8 << 20], b"\nend".to_vec()].concat();
    let output = feed(&mut world.command(&["tap", "--pass-through", "--events", "events.jsonl"]), &bytes);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == bytes, "the bytes are not the same");
    let told = events(&fs::read(world.path("home/project/events.jsonl")).unwrap());
    assert_eq!(told.last().unwrap()["truncated"], 1);
}

#[test]
fn pass_through_reads_files_too() {
    let world = World::new().write("home/project/a.log", REFUSED).write("home/project/b.log", "fine");
    let run = world.run(&["tap", "--pass-through", "--events", "events.jsonl", "a.log", "b.log"]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.stdout, format!("{REFUSED}fine"));
}

#[test]
fn events_go_to_a_descriptor_of_the_shell() {
    let world = World::new();
    let bytes = odd_bytes();
    let output = feed(&mut shell(&world, r#""$1" tap --pass-through --events fd:3 3>events.jsonl"#), &bytes);
    assert_eq!((output.status.code(), words(&output.stderr)), (Some(0), String::new()));
    assert!(output.stdout == bytes, "the bytes are not the same");
    let told = events(&fs::read(world.path("home/project/events.jsonl")).unwrap());
    assert_eq!(found(&told), [("auth_error", "-")]);
}

#[test]
fn pass_through_needs_another_place_for_events() {
    for args in [&["tap", "--pass-through"][..], &["tap", "--pass-through", "--events", "-"]] {
        let run = World::new().run(args);
        assert_eq!((run.status, run.stdout.as_str()), (Some(64), ""), "{args:?}");
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    }
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Failures enough to fill a pipe that nobody empties.
fn many_failures() -> Vec<u8> {
    REFUSED.repeat(2000).into_bytes()
}

#[test]
fn a_pipe_for_events_that_nobody_opens_holds_nothing_up() {
    let world = World::new();
    fifo(&world.path("home/project/events"));
    let bytes = many_failures();
    let output = feed(&mut world.command(&["tap", "--pass-through", "--events", "events"]), &bytes);
    assert!(output.stdout == bytes, "the bytes are not the same");
    assert_eq!(output.status.code(), Some(74), "{}", words(&output.stderr));
    assert!(words(&output.stderr).contains("dropped"), "{}", words(&output.stderr));
}

#[test]
fn a_pipe_for_events_that_nobody_empties_holds_nothing_up() {
    let world = World::new();
    let path = world.path("home/project/events");
    fifo(&path);
    let held = File::options().read(true).write(true).open(&path).unwrap();
    let bytes = many_failures();
    let output = feed(&mut world.command(&["tap", "--pass-through", "--events", "events"]), &bytes);
    assert!(output.stdout == bytes, "the bytes are not the same");
    assert_eq!(output.status.code(), Some(74), "{}", words(&output.stderr));
    assert!(words(&output.stderr).contains("dropped"), "{}", words(&output.stderr));
    drop(held);
}

#[test]
fn a_full_disk_for_events_leaves_the_stream_whole() {
    // Linux has a device that is always full.
    if !Path::new("/dev/full").exists() {
        return;
    }
    let bytes = odd_bytes();
    let args = ["tap", "--pass-through", "--events", "/dev/full"];
    let output = feed(&mut World::new().command(&args), &bytes);
    assert!(output.stdout == bytes, "the bytes are not the same");
    assert_eq!(output.status.code(), Some(74));
    assert_eq!(
        words(&output.stderr),
        "error: failed to write events to `/dev/full`\n  cause: no space left on device\n"
    );
}

#[test]
fn an_output_that_fails_is_told_once() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let world = World::new().write("home/project/a.log", REFUSED).write("home/project/b.log", REFUSED);
    let told = "error: failed to write events to `/dev/full`\n  cause: no space left on device\n";
    for inputs in [&[][..], &["a.log"], &["a.log", "b.log"], &["-", "a.log", "-"]] {
        let args = [&["tap", "--events", "/dev/full"][..], inputs].concat();
        let output = feed(&mut world.command(&args), REFUSED.as_bytes());
        assert_eq!((output.status.code(), words(&output.stderr).as_str()), (Some(74), told), "{inputs:?}");
    }
    let output = feed(&mut shell(&world, r#""$1" tap - a.log >/dev/full"#), REFUSED.as_bytes());
    assert_eq!(
        words(&output.stderr),
        "error: failed to write to standard output\n  cause: no space left on device\n"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn events_go_to_a_socket_that_was_handed_over() {
    use std::io::Read;
    let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let world = World::new();
    // Standard error is the one descriptor beside input and output that a child can be given a socket as.
    let mut child = world
        .command(&["tap", "--events", "fd:2"])
        .stdin(Stdio::piped())
        .stderr(std::os::fd::OwnedFd::from(writer))
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(REFUSED.as_bytes()).unwrap();
    assert_eq!(finish(child).status.code(), Some(0));
    let mut told = Vec::new();
    reader.read_to_end(&mut told).unwrap();
    assert_eq!(found(&events(&told)), [("auth_error", "-")]);
}

#[test]
fn a_place_for_events_that_cannot_be_made_is_73_and_says_what_would_do() {
    let world = World::new();
    let _listening = std::os::unix::net::UnixListener::bind(world.path("home/project/socket")).unwrap();
    for (target, cause, hint) in [
        ("absent/events.jsonl", "no such file", "mkdir -p absent"),
        ("/dev", "is a directory", "--events /dev/events.jsonl"),
        ("socket", "", "--events fd:3"),
        ("fd:77", "not open", "77>events.jsonl"),
    ] {
        let run = world.run(&["tap", "--pass-through", "--events", target]);
        assert_eq!((run.status, run.stdout.as_str()), (Some(73), ""), "{}", run.stderr);
        let (message, hints) = run.stderr.split_once("hint: ").unwrap();
        assert!(message.contains(cause) && hints.contains(hint), "{}", run.stderr);
    }
}

// ------------------------------------------------------------------------------------------------- live streams

#[test]
fn a_finding_is_told_before_the_next_line_comes() {
    let world = World::new();
    let mut tap = Live::start(&world, &["tap"]);
    tap.write("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n");
    assert_eq!(tap.wait_for("finding")["class"], "overloaded");
    tap.write("API Error: Request timed out.\n");
    assert_eq!(tap.wait_for("finding")["class"], "timeout");
    // Long enough for a terminal to have wrapped it: it is held back for its other half, but not for ever.
    tap.write("API Error: 500 {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"Internal server error\n");
    assert_eq!(tap.wait_for("finding")["class"], "server_error");
    assert_eq!(finish(tap.child).status.code(), Some(0));
}

#[test]
fn pass_through_gives_each_piece_at_once() {
    let world = World::new();
    let mut child = world
        .command(&["tap", "--pass-through", "--events", "events.jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (send, pieces) = mpsc::channel();
    thread::spawn(move || {
        let mut piece = [0; 64];
        while let Ok(length @ 1..) = stdout.read(&mut piece) {
            let _ = send.send(piece[..length].to_vec());
        }
    });
    for piece in ["half a li", "ne\n", "> "] {
        child.stdin.as_mut().unwrap().write_all(piece.as_bytes()).unwrap();
        assert_eq!(pieces.recv_timeout(GUARD).as_deref(), Ok(piece.as_bytes()));
    }
    assert_eq!(finish(child).status.code(), Some(0));
}

#[test]
fn a_signal_ends_with_the_summary_and_as_the_signal_does() {
    for (signal, number) in [(Signal::TERM, 15), (Signal::INT, 2)] {
        let world = World::new();
        let mut tap = Live::start(&world, &["tap"]);
        tap.write(REFUSED);
        tap.wait_for("finding");
        kill_process(Pid::from_child(&tap.child), signal).unwrap();
        assert_eq!(tap.wait_for("summary")["findings"]["auth_error"], 1);
        // Its standard input is still open: it did not wait for the end.
        let stdin = tap.child.stdin.take();
        assert_eq!(finish(tap.child).status.signal(), Some(number));
        drop(stdin);
    }
}

#[test]
fn a_reader_that_has_enough_is_thanked() {
    let world = World::new().write("home/project/big.log", &REFUSED.repeat(4000));
    for args in [&["tap", "big.log"][..], &["tap", "--format", "text", "big.log"]] {
        let mut child = world.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let output = finish(child);
        assert_eq!((output.status.code(), words(&output.stderr)), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn a_pass_through_reader_that_has_enough_is_thanked() {
    let world = World::new();
    let mut child = world
        .command(&["tap", "--pass-through", "--events", "events.jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || while stdin.write_all(REFUSED.as_bytes()).is_ok() {});
    let output = finish(child);
    assert_eq!((output.status.code(), words(&output.stderr)), (Some(0), String::new()));
    writer.join().unwrap();
    assert!(types(&events(&fs::read(world.path("home/project/events.jsonl")).unwrap())).contains(&"summary"));
}

#[test]
fn a_full_disk_under_standard_output_is_74() {
    let Ok(full) = File::options().write(true).open("/dev/full") else { return };
    let world = World::new().write("home/project/run.log", REFUSED);
    let output = world.command(&["tap", "run.log"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert_eq!(
        words(&output.stderr),
        "error: failed to write to standard output\n  cause: no space left on device\n"
    );
}
