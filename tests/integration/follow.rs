//! `tap --follow`: files that grow, rotate, come and go.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{GUARD, World};

/// Lines that are a failure of their own class each.
const REFUSED: &str = "Invalid API key · Please run /login\n";
const LATE: &str = "API Error: Request timed out.\n";
const BUSY: &str = "API Error: 529 Overloaded\n";

/// The program while it follows, and what it says line by line.
struct Follow {
    world: World,
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Follow {
    /// Starts in the world's project, and waits until what is there was read: its first event, or a warning.
    fn start(world: World, args: &[&str]) -> Self {
        let mut child = world
            .command(&[&["tap", "--follow"], args].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if send.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { world, child, lines }
    }

    /// Appends to a file of the project.
    fn append(&self, name: &str, text: &str) {
        let path = self.world.path("home/project").join(name);
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        let project = self.world.path("home/project");
        fs::rename(project.join(from), project.join(to)).unwrap();
    }

    /// Returns the next event of this type.
    fn next(&mut self, kind: &str) -> Value {
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

    /// Returns the class, the file and the line of the next finding.
    fn found(&mut self) -> (String, String, u64) {
        let event = self.next("finding");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let source = &event["source"];
        (text(&event["class"]), text(&source["name"]), source["line"].as_u64().unwrap())
    }

    /// Ends it with this signal; returns the rest of its events and what it said on standard error.
    fn end(&mut self, signal: Signal) -> (Vec<Value>, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut events = Vec::new();
        loop {
            match self.lines.recv_timeout(GUARD) {
                Ok(line) => events.push(serde_json::from_str(&line).unwrap()),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!("the program did not end");
                }
            }
        }
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(signal.as_raw()));
        (events, said)
    }
}

fn finding(class: &str, name: &str, line: u64) -> (String, String, u64) {
    (class.to_owned(), name.to_owned(), line)
}

/// The sources that the summaries are of; the last is that of all.
fn summed_up(events: &[Value]) -> Vec<&str> {
    let summaries = events.iter().filter(|event| event["type"] == "summary");
    summaries.map(|event| event["source"]["name"].as_str().unwrap_or("all")).collect()
}

#[test]
fn a_file_is_read_and_then_as_it_grows_and_a_half_line_waits_for_its_end() {
    let world = World::new().write("home/project/a.log", REFUSED);
    let mut follow = Follow::start(world, &["a.log"]);
    assert_eq!(follow.found(), finding("auth_error", "a.log", 1));
    let (half, rest) = LATE.split_at(22);
    follow.append("a.log", &format!("{BUSY}{half}"));
    assert_eq!(follow.found(), finding("overloaded", "a.log", 2));
    follow.append("a.log", rest);
    assert_eq!(follow.found(), finding("timeout", "a.log", 3));
    let (events, said) = follow.end(Signal::TERM);
    assert_eq!((summed_up(&events), said.as_str()), (vec!["a.log"], ""));
}

#[test]
fn rotation_goes_on_with_the_new_file_and_ends_the_old_one() {
    let world = World::new().write("home/project/a.log", REFUSED);
    let mut follow = Follow::start(world, &["a.log"]);
    follow.found();
    follow.rename("a.log", "a.log.1");
    follow.append("a.log.1", BUSY);
    assert_eq!(follow.found(), finding("overloaded", "a.log", 2));
    follow.append("a.log", LATE);
    assert_eq!(follow.found(), finding("timeout", "a.log", 1));
    let summary = follow.next("summary");
    assert_eq!((&summary["lines"], &summary["findings"]["overloaded"]), (&2.into(), &1.into()));
    let (events, _) = follow.end(Signal::TERM);
    assert_eq!(summed_up(&events), ["a.log", "all"]);
    assert_ne!(events[0]["session"], summary["session"], "another file is another session");
}

#[test]
fn a_truncated_and_a_replaced_file_are_read_from_their_beginnings() {
    let world = World::new().write("home/project/a.log", REFUSED).write("home/project/new", BUSY);
    let mut follow = Follow::start(world, &["a.log"]);
    follow.found();
    OpenOptions::new().write(true).truncate(true).open(follow.world.path("home/project/a.log")).unwrap();
    assert_eq!(follow.next("summary")["lines"], 1);
    follow.append("a.log", LATE);
    assert_eq!(follow.found(), finding("timeout", "a.log", 1));
    follow.rename("new", "a.log");
    assert_eq!(follow.found(), finding("overloaded", "a.log", 1));
    assert_eq!(follow.next("summary")["findings"]["timeout"], 1);
    let (events, _) = follow.end(Signal::INT);
    assert_eq!(summed_up(&events), ["a.log", "all"]);
    assert_eq!(events.last().unwrap()["sources"], 3);
}

#[test]
fn what_comes_later_is_followed_and_missing_names_are_told_once() {
    let world = World::new().write("home/project/a.log", REFUSED);
    fs::create_dir(world.path("home/project/logs")).unwrap();
    let mut follow = Follow::start(world, &["a.log", "later.txt", "logs"]);
    follow.found();
    follow.append("later.txt", LATE);
    assert_eq!(follow.found(), finding("timeout", "later.txt", 1));
    fs::create_dir_all(follow.world.path("home/project/logs/new/deep")).unwrap();
    follow.append("logs/new/deep/b.jsonl", BUSY);
    follow.append("logs/new/no-log.rs", BUSY);
    assert_eq!(follow.found(), finding("overloaded", "logs/new/deep/b.jsonl", 1));
    fs::remove_file(follow.world.path("home/project/later.txt")).unwrap();
    assert_eq!(follow.next("summary")["source"]["name"], "later.txt");
    let (events, said) = follow.end(Signal::TERM);
    assert_eq!(summed_up(&events), ["a.log", "logs/new/deep/b.jsonl", "all"]);
    assert_eq!(said.matches("`later.txt`").count(), 1, "{said}");
    assert_eq!(said.matches("warning: failed to ").count(), 2, "{said}");
}

#[test]
fn only_what_is_new_is_told_with_its_true_place() {
    let world = World::new()
        .write("home/project/old.log", REFUSED)
        .write("home/project/a.log", &format!("{REFUSED}all is well\n{}", &LATE[..10]));
    // That something is missing is told once the rest was looked at.
    let mut follow = Follow::start(world, &["--new-only", "old.log", "a.log", "--events", "-", "absent"]);
    let mut said = BufReader::new(follow.child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "warning: failed to find `absent`\n");
    follow.append("a.log", &LATE[10..]);
    assert_eq!(follow.found(), finding("timeout", "a.log", 3));
    kill_process(Pid::from_child(&follow.child), Signal::TERM).unwrap();
    let summary = follow.next("summary");
    assert_eq!((&summary["lines"], &summary["bytes"]), (&1.into(), &LATE.len().into()));
    follow.child.wait().unwrap();
}

#[test]
fn what_was_written_before_the_signal_is_read() {
    let world = World::new().write("home/project/a.log", REFUSED);
    let mut follow = Follow::start(world, &["a.log"]);
    follow.found();
    // No line end: it is judged at the end, not before.
    follow.append("a.log", LATE.trim_end());
    let (events, _) = follow.end(Signal::TERM);
    assert_eq!(events.last().unwrap()["findings"]["timeout"], 1, "{events:?}");
}

#[test]
fn events_written_into_a_followed_directory_are_not_read() {
    let world = World::new().write("home/project/a.log", REFUSED);
    let mut follow = Follow::start(world, &[".", "--events", "events.jsonl"]);
    let path = follow.world.path("home/project/events.jsonl");
    // The program makes the file itself: the end of a signal is what can be waited for.
    let (send, receive) = mpsc::channel();
    let waiting = {
        let path = path.clone();
        thread::spawn(move || {
            while !fs::read_to_string(&path).is_ok_and(|text| text.contains("finding")) {
                thread::yield_now();
            }
            let _ = send.send(());
        })
    };
    if receive.recv_timeout(GUARD).is_err() {
        let _ = follow.child.kill();
        panic!("no finding was written");
    }
    waiting.join().unwrap();
    follow.end(Signal::TERM);
    let text = fs::read_to_string(path).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(summed_up(&events), ["./a.log"]);
}

#[test]
fn what_cannot_be_followed_is_refused_with_a_hint() {
    let world = World::new().write("home/project/a.log", REFUSED);
    for args in [
        &["tap", "--follow"][..],
        &["tap", "-f", "-"],
        &["tap", "-f", "a.log", "--pass-through", "--events", "events.jsonl"],
        &["tap", "a.log", "--new-only"],
    ] {
        let run = world.run(args);
        assert_eq!((run.status, run.stdout.as_str()), (Some(64), ""), "{args:?} {}", run.stderr);
        assert!(run.stderr.contains("hint: ") || run.stderr.contains("--follow"), "{}", run.stderr);
    }
}

#[test]
fn a_reader_that_has_enough_ends_it() {
    let world = World::new().write("home/project/a.log", REFUSED);
    let mut child = world
        .command(&["tap", "--follow", "a.log"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (send, receive) = mpsc::channel();
    let pid = Pid::from_child(&child);
    thread::spawn(move || send.send(child.wait().unwrap()));
    // Nobody knows that the reader left before something is written.
    let path = world.path("home/project/a.log");
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(LATE.as_bytes()).unwrap();
    let Ok(status) = receive.recv_timeout(GUARD) else {
        let _ = kill_process(pid, Signal::KILL);
        panic!("the program did not end");
    };
    assert_eq!(status.code(), Some(0));
}
