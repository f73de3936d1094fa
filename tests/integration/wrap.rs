//! `wrap` without a terminal: what is passed through, how it ends, and that nothing stays.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{GUARD, World};

/// Time limits to be tried one after the other, until one is long enough for a command to say its first word.
const LIMITS: [&str; 3] = ["300ms", "3s", "30s"];

/// An agent that misbehaves on purpose.
pub fn agent(name: &str) -> String {
    let path: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/agents").join(format!("{name}.sh"));
    path.to_str().unwrap().to_owned()
}

/// `wrap` with these options around this command.
fn wrapped(world: &World, options: &[&str], command: &[&str]) -> Command {
    let args: Vec<&str> = ["wrap"].iter().chain(options).chain(&["--"]).chain(command).copied().collect();
    let mut wrapped = world.command(&args);
    wrapped.env("PATH", std::env::var_os("PATH").unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wrapped
}

/// Waits for the end, but not for ever.
fn finish(child: Child) -> Output {
    let pid = Pid::from_child(&child);
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output().unwrap()));
    receive.recv_timeout(GUARD).unwrap_or_else(|_| {
        let _ = kill_process(pid, Signal::KILL);
        panic!("the program did not end");
    })
}

fn run(world: &World, options: &[&str], command: &[&str]) -> Output {
    finish(wrapped(world, options, command).spawn().unwrap())
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a process runs: one that has ended and was not noticed yet does not.
pub fn is_alive(pid: i32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// How a process is: `R` and `S` run, `T` is stopped, `Z` has ended and was not noticed yet; `None`: there is none.
#[cfg(target_os = "linux")]
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')?..].chars().nth(2)
}

/// How a process is: `R`, `S` and `I` run, `T` is stopped, `Z` has ended and was not noticed yet; `None`: there is none.
#[cfg(not(target_os = "linux"))]
pub fn state(pid: i32) -> Option<char> {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().ok()?;
    words(&output.stdout).trim().chars().next()
}

/// Waits until something holds.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + GUARD;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn kill(pid: i32) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}

/// A run whose first line of output is the number of a process.
struct Telling {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    pid: i32,
}

impl Telling {
    fn start(world: &World, options: &[&str], command: &[&str]) -> Self {
        Self::try_start(world, options, command)
            .unwrap_or_else(|child| panic!("no number: {:?}", finish(child)))
    }

    /// Starts a run that a time limit ends after it has told its number.
    fn start_limited(world: &World, options: &[&str], command: &[&str]) -> Self {
        LIMITS
            .iter()
            .find_map(|limit| {
                let options = [&["--timeout", limit], options].concat();
                Self::try_start(world, &options, command).map_err(finish).ok()
            })
            .expect("it never came to tell its number")
    }

    fn try_start(world: &World, options: &[&str], command: &[&str]) -> Result<Self, Child> {
        let mut child = wrapped(world, options, command).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        match line.trim().parse() {
            Ok(pid) => Ok(Self { child, stdout, pid }),
            Err(_) => Err(child),
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

fn events(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How far the run was, step by step.
fn lives(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter(|event| event["type"] == "status" && event.get("pid").is_some())
        .map(|event| event["to"].as_str().unwrap())
        .collect()
}

// ------------------------------------------------------------------------------------- what is passed through

#[test]
fn both_outputs_and_the_status_are_the_commands_own() {
    let output = run(&World::new(), &[], &["sh", "-c", "printf 'out\\377\\n'; echo err >&2; exit 7"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((output.stdout.as_slice(), words(&output.stderr).as_str()), (&b"out\xff\n"[..], "err\n"));
}

#[test]
fn a_death_by_signal_is_passed_on() {
    for (name, signal) in [("TERM", 15), ("KILL", 9), ("INT", 2), ("SEGV", 11)] {
        let output = run(&World::new(), &[], &["sh", "-c", &format!("kill -{name} $$")]);
        assert_eq!(output.status.signal(), Some(signal), "{output:?}");
    }
}

#[test]
fn what_cannot_be_run_has_the_statuses_that_shells_use() {
    let world = World::new().write("home/project/data", "no program");
    for (program, status) in [("./missing", 127), ("no-such-program", 127), ("./data", 126), (".", 126)] {
        let output = run(&world, &[], &[program]);
        assert_eq!(output.status.code(), Some(status), "{program}");
        assert!(words(&output.stderr).contains("failed to run `"), "{output:?}");
    }
    assert_eq!(run(&world, &["--no-such-flag"], &["true"]).status.code(), Some(125));
    assert_eq!(run(&world, &["--events", "no/such/folder/x"], &["true"]).status.code(), Some(125));
}

#[test]
fn standard_input_is_the_very_descriptor() {
    let world = World::new().write("home/project/input", "one\ntwo\n");
    // What the command does not read is left for the next one.
    let script =
        r#"exec <input; "$1" wrap -- sh -c 'read line; echo "got $line"'; read rest; echo "left $rest""#;
    let output = Command::new("bash")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_session-doctor")])
        .env("HOME", world.path("home"))
        .current_dir(world.path("home/project"))
        .output()
        .unwrap();
    assert_eq!(words(&output.stdout), "got one\nleft two\n");
    let output = run(&world, &["--stdin", "null"], &["cat"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
}

#[test]
fn what_was_closed_is_closed_and_what_was_open_is_passed_on() {
    let world = World::new();
    let list = "for fd in 0 1 2 3; do [ -e /dev/fd/$fd ] && echo $fd; done >list";
    let script = format!(r#""$1" wrap -- bash -c '{list}' <&- 3</dev/null; cat list"#);
    let output = Command::new("bash")
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_session-doctor")])
        .env("HOME", world.path("home"))
        .current_dir(world.path("home/project"))
        .output()
        .unwrap();
    assert_eq!(words(&output.stdout), "1\n2\n3\n");
}

#[test]
#[cfg(target_os = "linux")]
fn signals_that_we_ignore_are_ignored_by_the_command_and_no_others() {
    let world = World::new();
    let look = "grep -E 'Sig(Ign|Blk)' /proc/self/status";
    let script = format!(r#"trap "" HUP PIPE; {look}; "$1" wrap -- {look}"#);
    let output = Command::new("bash")
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_session-doctor")])
        .env("HOME", world.path("home"))
        .output()
        .unwrap();
    let text = words(&output.stdout);
    let masks: Vec<u64> = text
        .lines()
        .map(|line| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap())
        // The first two of the real-time signals belong to the C library.
        .map(|mask| mask & 0x7fff_ffff)
        .collect();
    assert_eq!(masks[..2], masks[2..]);
    assert_eq!(masks[1] & 0x1001, 0x1001, "the two are ignored: {text}");
}

#[test]
fn a_flood_is_passed_on_whole() {
    let command = [agent("floods"), "1000000".to_owned()];
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = run(&World::new(), &[], &command);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 47_000_000));
}

#[test]
fn a_reader_who_has_enough_ends_the_command_as_without_us() {
    let world = World::new();
    let script = r#""$1" wrap -- "$2" | head -n 1; echo "${PIPESTATUS[@]}""#;
    let output = Command::new("bash")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_session-doctor"), "yes"])
        .env("HOME", world.path("home"))
        .output()
        .unwrap();
    assert_eq!(words(&output.stdout), "y\n141 0\n");
}

#[test]
fn half_a_line_is_passed_on_when_it_comes() {
    let world = World::new();
    let mut child =
        wrapped(&world, &[], &["sh", "-c", "printf half; read x"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut half = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut half).unwrap();
    assert_eq!(&half, b"half");
    drop(child.stdin.take());
    finish(child);
}

#[test]
fn agents_that_end_badly_end_as_they_do_alone() {
    let world = World::new();
    let output = run(&world, &[], &[&agent("dies_mid_line")]);
    assert_eq!((output.status.signal(), words(&output.stdout).as_str()), (Some(9), "one\ntw"));
    let output = run(&world, &[], &[&agent("closes_stdout")]);
    assert_eq!((output.status.code(), words(&output.stdout).as_str()), (Some(3), "first\n"));
    assert_eq!(words(&output.stderr), "still here\n");
    let output = run(&world, &["--events", "events"], &[&agent("half_a_record")]);
    assert!(words(&output.stdout).ends_with("API Err"));
    let events = events(&world.path("home/project/events"));
    assert!(events.iter().all(|event| event["type"] != "finding"), "half a record says nothing");
    assert_eq!(events.last().unwrap()["undecoded"], 1);
}

#[test]
fn an_agent_that_reads_nothing_is_not_waited_for() {
    let world = World::new();
    let mut child = wrapped(&world, &[], &[&agent("never_reads")]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(&vec![b'x'; 1 << 20]).is_err());
    let output = finish(child);
    assert_eq!((output.status.code(), words(&output.stdout).as_str()), (Some(0), "done\n"));
    assert!(writer.join().unwrap(), "the pipe was closed with the command");
}

// ---------------------------------------------------------------------------------- what must not disturb it

#[test]
#[cfg(target_os = "linux")]
fn an_output_on_a_full_disk_is_told_and_kills_nothing() {
    let world = World::new();
    let mut command = wrapped(&world, &[], &["sh", "-c", "echo lost; echo 'still here' >&2"]);
    let output =
        finish(command.stdout(fs::File::options().write(true).open("/dev/full").unwrap()).spawn().unwrap());
    assert_eq!(output.status.code(), Some(125), "lost output is no success");
    let stderr = words(&output.stderr);
    assert!(
        stderr.contains("still here\n") && stderr.contains("failed to pass on stdout: no space left"),
        "{stderr}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn events_that_cannot_be_written_change_nothing_for_the_command() {
    let output = run(&World::new(), &["--events", "/dev/full"], &["sh", "-c", "echo fine; exit 3"]);
    assert_eq!((output.status.code(), words(&output.stdout).as_str()), (Some(3), "fine\n"));
    assert!(words(&output.stderr).contains("failed to write all events: no space left"), "{output:?}");
}

#[test]
fn a_pipe_for_events_that_nobody_reads_stalls_nothing() {
    let world = World::new();
    let pipe = world.path("home/project/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // What is told of them is more than a pipe holds.
    let script = "i=0; while [ $i -lt 500 ]; do echo 'Invalid API key · Please run /login'; i=$((i+1)); done";
    let output = run(&world, &["--events", "pipe"], &["sh", "-c", script]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(words(&output.stdout).lines().count(), 500);
    assert!(words(&output.stderr).contains("events were dropped"), "{}", words(&output.stderr));
}

// ------------------------------------------------------------------------------------------------- its events

#[test]
fn a_session_begins_with_the_command_its_process_and_its_directory() {
    let world = World::new();
    let command = ["sh", "-c", "echo hello", "--api-key=sk-ant-api03-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"];
    run(&world, &["--events", "events"], &command);
    let events = events(&world.path("home/project/events"));
    let of_type = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap();
    let session = of_type("session_started");
    assert_eq!(session["pid"], of_type("status")["pid"]);
    let project = fs::canonicalize(world.path("home/project")).unwrap();
    assert_eq!(session["cwd"], project.to_str().unwrap());
    let words: Vec<&str> =
        session["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(words[..3], command[..3]);
    assert!(words.len() == 4 && !words[3].contains("aaaa"), "{words:?}");
}

#[test]
fn both_streams_are_one_session_and_its_life_is_told() {
    let world = World::new();
    let script = format!(r#""{}" | head -n 1; echo 'API Error: 529 Overloaded' >&2"#, agent("half_a_record"));
    run(&world, &["--events", "events"], &["sh", "-c", &script]);
    let events = events(&world.path("home/project/events"));
    assert_eq!(lives(&events), ["booting", "running", "done"]);
    let finding = events.iter().find(|event| event["type"] == "finding").unwrap();
    assert_eq!(
        (finding["source"]["name"].as_str(), finding["class"].as_str()),
        (Some("stderr"), Some("overloaded"))
    );
    // Which stream is read first is chance; a line that came before the name is tied to it.
    let named = "5e551000-0000-4000-8000-000000000001";
    let tied = |event: &Value| event["session"] == named && event["previous_session"] == finding["session"];
    assert!(finding["session"] == named || events.iter().any(tied), "{events:#?}");
    let done = events.iter().find(|event| event["to"] == "done").unwrap();
    assert_eq!((&done["exit_status"], &done["left_behind"]), (&0.into(), &0.into()));
}

#[test]
fn events_on_standard_output_move_the_commands_own_aside() {
    let output =
        run(&World::new(), &["--events", "-", "--emit", "summary"], &["sh", "-c", "echo out; echo err >&2"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["type"], &summary["lines"]), (&"summary".into(), &2.into()));
    let mut lines: Vec<String> = words(&output.stderr).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
}

#[test]
fn without_a_place_for_events_alerts_are_told_in_words() {
    let output = run(&World::new(), &[], &["sh", "-c", "echo 'Invalid API key · Please run /login'; exit 1"]);
    let stderr = words(&output.stderr);
    assert!(stderr.contains("ALERT") && stderr.contains("-> halt"), "{stderr}");
    let output = run(&World::new(), &[], &["sh", "-c", "echo 'all is well'"]);
    assert_eq!(words(&output.stderr), "");
}

#[test]
fn a_descriptor_for_events_is_not_left_to_the_command() {
    let world = World::new();
    let script =
        r#""$1" wrap --events fd:3 -- sh -c '[ -e /dev/fd/3 ] && echo open || echo closed' 3>events"#;
    let output = Command::new("bash")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_session-doctor")])
        .env("HOME", world.path("home"))
        .current_dir(world.path("home/project"))
        .output()
        .unwrap();
    assert_eq!(words(&output.stdout), "closed\n");
    assert_eq!(lives(&events(&world.path("home/project/events"))).last(), Some(&"done"));
}

// ----------------------------------------------------------------------------------------- its end, and limits

#[test]
fn a_time_limit_ends_what_does_not_want_to_end() {
    let world = World::new();
    let options = ["--grace", "200ms", "--events", "events"];
    let run = Telling::start_limited(&world, &options, &[&agent("ignores_sigterm")]);
    let output = finish(run.child);
    assert_eq!(output.status.code(), Some(124));
    assert!(words(&output.stderr).contains("took longer than "), "{output:?}");
    assert!(!is_alive(run.pid));
    assert_eq!(lives(&events(&world.path("home/project/events"))).last(), Some(&"stopped"));
}

#[test]
fn silence_is_limited_and_output_is_a_sign_of_life() {
    let world = World::new();
    let talk = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; echo $i; done";
    assert_eq!(run(&world, &["--idle-timeout", "30s"], &["sh", "-c", talk]).status.code(), Some(0));
    let talks = |limit| run(&world, &["--idle-timeout", limit], &["sh", "-c", "echo one; exec sleep 1000"]);
    let output = LIMITS.into_iter().map(talks).find(|output| !output.stdout.is_empty());
    let output = output.expect("it never came to say a word");
    assert_eq!((output.status.code(), words(&output.stdout).as_str()), (Some(124), "one\n"));
}

#[test]
fn a_tool_in_a_session_of_its_own_does_not_outlive_an_agent_that_was_ended() {
    for options in [&[][..], &["--stop-target", "child"]] {
        let run = Telling::start_limited(&World::new(), options, &[&agent("tool_in_own_session")]);
        let (pid, output) = (run.pid, finish(run.child));
        assert_eq!(output.status.code(), Some(124));
        assert!(!is_alive(pid));
    }
}

#[test]
fn a_stopped_agent_is_ended_too() {
    let run = Telling::start_limited(&World::new(), &[], &[&agent("stops_itself")]);
    let (pid, output) = (run.pid, finish(run.child));
    assert_eq!(output.status.code(), Some(124));
    assert!(!is_alive(pid));
}

#[test]
fn what_a_good_run_leaves_behind_is_left_alone_told_of_and_not_waited_for() {
    let world = World::new();
    let began = Instant::now();
    let run = Telling::start(&world, &["--events", "events"], &[&agent("leaves_tool_behind")]);
    let output = finish(run.child);
    assert!(began.elapsed() < GUARD / 2);
    let is_left = is_alive(run.pid);
    kill(run.pid);
    assert_eq!(output.status.code(), Some(0));
    assert!(is_left);
    let events = events(&world.path("home/project/events"));
    let done = events.iter().find(|event| event["to"] == "done").unwrap();
    assert_eq!(done["left_behind"], 1);
    assert!(done["reason"].as_str().unwrap().contains(&format!(" ({})", run.pid)), "{done}");
}

#[test]
fn a_launcher_is_over_when_it_says_so() {
    let mut run = Telling::start(&World::new(), &[], &[&agent("launcher")]);
    let mut rest = String::new();
    run.stdout.read_to_string(&mut rest).unwrap();
    let output = finish(run.child);
    let is_left = is_alive(run.pid);
    kill(run.pid);
    assert_eq!((output.status.code(), is_left), (Some(0), true));
    assert_eq!(rest, "the real agent\n", "what comes shortly after the end is still passed on");
}

#[test]
fn a_signal_is_passed_on_and_the_same_again_kills() {
    let world = World::new();
    let script = r#"trap 'echo asked' TERM; echo $$; while :; do sleep 0.1; done"#;
    let mut run = Telling::start(&world, &[], &["sh", "-c", script]);
    run.signal(Signal::TERM);
    let mut line = String::new();
    run.stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "asked\n");
    thread::sleep(Duration::from_millis(150));
    run.signal(Signal::TERM);
    let pid = run.pid;
    assert_eq!(finish(run.child).status.signal(), Some(15));
    assert!(!is_alive(pid));
}

#[test]
fn an_agent_that_heeds_a_signal_takes_its_tools_with_it() {
    let run = Telling::start(&World::new(), &[], &[&agent("tool_in_own_session")]);
    run.signal(Signal::TERM);
    let pid = run.pid;
    assert_eq!(finish(run.child).status.signal(), Some(15));
    assert!(!is_alive(pid));
}

#[test]
fn when_we_are_killed_nothing_of_the_agent_stays() {
    for name in ["tool_in_own_session", "ignores_sigterm"] {
        let run = Telling::start(&World::new(), &[], &[&agent(name)]);
        run.signal(Signal::KILL);
        finish(run.child);
        wait_until("it lives on", || !is_alive(run.pid));
    }
}

#[test]
fn when_our_whole_group_is_killed_nothing_of_the_agent_stays() {
    let world = World::new();
    let mut command = wrapped(&world, &[], &[&agent("tool_in_own_session")]);
    let mut child = command.process_group(0).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
    finish(child);
    let pid = line.trim().parse().unwrap();
    wait_until("it lives on", || !is_alive(pid));
}

#[test]
fn when_the_guard_is_killed_the_run_ends_and_nothing_stays() {
    let run = Telling::start(&World::new(), &[], &[&agent("tool_in_own_session")]);
    let wrap = i32::try_from(run.child.id()).unwrap();
    let guard = session_doctor::child::tree::descendants(wrap)
        .into_iter()
        .find(|process| process.parent == wrap && process.name() == "session-guard")
        .unwrap();
    kill(guard.pid);
    let pid = run.pid;
    assert_eq!(finish(run.child).status.code(), Some(125));
    wait_until("it lives on", || !is_alive(pid));
}
