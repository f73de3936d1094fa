//! The loop detectors that agents and their wrappers ship, as far as they can be said exactly, to be compared with ours.
//!
//! Each is a function from the calls so far to whether it interferes now: stops the turn, refuses the call, takes the
//! tools away, or asks a person. Warnings that come before that are left out, and so is what reads the model's own words
//! (no story here chants) and what asks another model. Where a detector knows a prompt of the user's, it begins anew
//! with it. All are told the calls without what differs from call to call by nature, such as descriptions.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::story::{Ask, Beat};

/// A call with its answer, as these detectors look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    tool: u64,
    /// Tool and arguments.
    call: u64,
    answer: u64,
    /// Tool, and the file, command, pattern or address.
    target: u64,
    /// Tool, and those arguments that DeerFlow takes for the salient ones.
    salient: u64,
    failed: bool,
    /// Whether it runs a command line.
    command: bool,
    /// Whether it reads a file.
    reads: bool,
    /// Whether the answer says that there is no such tool.
    unknown: bool,
    /// Which prompt of the user's it serves.
    prompt: usize,
    /// Which answer of the model's it came with, and whether it is the last of that.
    round: usize,
    last: bool,
    /// Its place among calls and texts.
    part: usize,
}

/// A detector that is shipped.
pub struct Peer {
    pub name: &'static str,
    /// What it counts, in a few words.
    pub rule: &'static str,
    interferes: fn(&[Seen]) -> bool,
}

pub const PEERS: &[Peer] = &[
    Peer { name: "Gemini CLI", rule: "a period of 1 to 5 calls, five times over", interferes: gemini_cli },
    Peer {
        name: "OpenHands",
        rule: "4 equal calls and results; 3 equal errors; A-B three times",
        interferes: openhands,
    },
    Peer { name: "opencode", rule: "3 equal calls, nothing said in between", interferes: opencode },
    Peer {
        name: "Crush",
        rule: "one answer of the model with its results more than 5 times in 10",
        interferes: crush,
    },
    Peer { name: "Qwen Code", rule: "5 equal calls; past 100 calls also 6 in all", interferes: qwen_default },
    Peer {
        name: "Qwen, all on",
        rule: "also 6 equal calls a prompt, A-B three times, 8 of 15 reads, one tool 8 times",
        interferes: qwen_all,
    },
    Peer { name: "DeerFlow", rule: "one salient call 5 times in 20; a tool 50 times", interferes: deerflow },
    Peer {
        name: "openclaw",
        rule: "20 equal calls and results; 20 back and forth (off by default)",
        interferes: openclaw,
    },
    Peer { name: "Roo", rule: "4 equal calls", interferes: roo },
    Peer { name: "Cline", rule: "5 equal calls", interferes: cline },
    Peer { name: "forgecode", rule: "any period, begun a third time", interferes: forgecode },
    Peer {
        name: "OpenRouter",
        rule: "a call 3 times in a row among those of its tool",
        interferes: openrouter,
    },
    Peer {
        name: "stella",
        rule: "3 equal calls and results, also with gaps; a period to 4; 6 equal answers",
        interferes: stella,
    },
    Peer {
        name: "heartbeat",
        rule: "a tool at one target 3 times in 20; 5 errors in a row",
        interferes: heartbeat,
    },
    Peer {
        name: "agent-watchdog",
        rule: "3 equal calls; a pattern that fills 8",
        interferes: agent_watchdog,
    },
    Peer { name: "3 identical", rule: "a call 3 times in all", interferes: three_identical },
];

impl Peer {
    /// Returns the step at which it first interferes, counted from 1.
    pub fn first(&self, beats: &[Beat]) -> Option<usize> {
        let seen = look(beats);
        let by_calls = (1..=seen.len()).find(|end| (self.interferes)(&seen[..*end]));
        let by_talk = if self.name == "OpenHands" { openhands_talk(beats) } else { None };
        by_calls.into_iter().chain(by_talk).min()
    }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Returns a story as these detectors see it.
fn look(beats: &[Beat]) -> Vec<Seen> {
    let (mut all, mut prompt, mut round, mut part) = (Vec::new(), 0, 0, 0);
    for beat in beats {
        match beat {
            Beat::Hears(_) => prompt += 1,
            Beat::Says(_) => part += 1,
            Beat::Compacts | Beat::Passes(_) => {}
            Beat::Calls(calls) => {
                round += 1;
                for (at, (ask, answer, failed)) in calls.iter().enumerate() {
                    part += 1;
                    let (tool, mut input) = words(ask);
                    let told = input.to_string();
                    if let Some(object) = input.as_object_mut() {
                        object.remove("description");
                    }
                    let of =
                        |names: &[&str]| names.iter().find_map(|name| input.get(name)).map(Value::to_string);
                    let command = of(&["command", "cmd"]);
                    let path = of(&["file_path", "absolute_path", "path"]);
                    let target = command
                        .clone()
                        .or(path)
                        .or(of(&["pattern", "query", "url", "prompt"]))
                        .unwrap_or(told);
                    let reads = tool.to_lowercase().contains("read") && command.is_none();
                    let writes = ["content", "old_string", "new_string", "old", "new"]
                        .iter()
                        .any(|name| input.get(name).is_some());
                    let bucket = input.get("offset").and_then(Value::as_u64).unwrap_or(0) / 200;
                    let salient = if writes {
                        input.to_string()
                    } else if reads {
                        format!("{target} {bucket}")
                    } else {
                        target.clone()
                    };
                    all.push(Seen {
                        tool: hash(&tool),
                        call: hash((&tool, input.to_string())),
                        answer: hash((answer, failed)),
                        target: hash((&tool, target)),
                        salient: hash((&tool, salient)),
                        failed: *failed,
                        command: command.is_some(),
                        reads,
                        unknown: answer.to_lowercase().contains("unknown tool"),
                        prompt,
                        round,
                        last: at + 1 == calls.len(),
                        part,
                    });
                }
            }
        }
    }
    all
}

/// Returns the tool and the arguments of a call, without descriptions and the like.
fn words(ask: &Ask) -> (String, Value) {
    let (name, input) = match ask {
        Ask::Read { path, first, lines } => {
            ("read_file", json!({"path": path, "offset": first, "limit": lines}))
        }
        Ask::Edit { path, old, new } => ("edit", json!({"path": path, "old": old, "new": new})),
        Ask::Run(command) => ("bash", json!({"command": command})),
        Ask::Grep(pattern) => ("grep", json!({"pattern": pattern})),
        Ask::Delegate(task) => ("task", json!({"prompt": task})),
        Ask::Tool { name, input } => (&**name, input.clone()),
    };
    (name.to_owned(), input)
}

/// Returns how many calls at the end have the same key.
fn run<K: PartialEq>(seen: &[Seen], key: impl Fn(&Seen) -> K) -> usize {
    let Some(last) = seen.last().map(&key) else { return 0 };
    seen.iter().rev().take_while(|seen| key(seen) == last).count()
}

/// Whether the last so many calls repeat themselves with this period.
fn cycles<K: PartialEq>(seen: &[Seen], period: usize, length: usize, key: impl Fn(&Seen) -> K) -> bool {
    let Some(from) = seen.len().checked_sub(length) else { return false };
    (from + period..seen.len()).rev().all(|at| key(&seen[at]) == key(&seen[at - period]))
}

/// Returns the last so many calls.
fn window(seen: &[Seen], size: usize) -> &[Seen] {
    &seen[seen.len().saturating_sub(size)..]
}

/// Returns the calls since the user spoke.
fn turn(seen: &[Seen]) -> &[Seen] {
    window(seen, run(seen, |seen| seen.prompt))
}

/// Returns how often the key of the last call occurs.
fn count(seen: &[Seen], key: impl Fn(&Seen) -> u64) -> usize {
    let Some(last) = seen.last().map(&key) else { return 0 };
    seen.iter().filter(|seen| key(seen) == last).count()
}

/// Returns a key for each complete answer of the model: that of its calls, put together.
fn rounds(seen: &[Seen], ordered: bool, key: impl Fn(&Seen) -> u64) -> Vec<u64> {
    let of = |round: &[Seen]| {
        let mut keys: Vec<u64> = round.iter().map(&key).collect();
        if !ordered {
            keys.sort_unstable();
        }
        hash(keys)
    };
    seen.chunk_by(|a, b| a.round == b.round)
        .filter(|round| round.iter().any(|seen| seen.last))
        .map(of)
        .collect()
}

fn gemini_cli(seen: &[Seen]) -> bool {
    (1..=5).any(|period| cycles(turn(seen), period, 5 * period, |seen| seen.call))
}

fn openhands(seen: &[Seen]) -> bool {
    // Of a command only its text and its status are compared.
    let pair = |seen: &Seen| (seen.call, if seen.command { u64::from(seen.failed) } else { seen.answer });
    let error = |seen: &Seen| seen.failed && !seen.command;
    run(seen, pair) >= 4
        || (run(seen, |seen| seen.call) >= 3 && window(seen, 3).iter().all(error))
        || cycles(seen, 2, 6, pair)
}

/// The same words three times with nothing done in between, ten compactions in a row.
fn openhands_talk(beats: &[Beat]) -> Option<usize> {
    let (mut steps, mut said, mut words, mut compacted) = (0, 0, "", 0);
    for beat in beats {
        match beat {
            Beat::Says(text) => {
                said = if text == words { said + 1 } else { 1 };
                words = text;
            }
            Beat::Compacts => compacted += 1,
            Beat::Calls(calls) => {
                steps += calls.len();
                (said, words) = (0, "");
            }
            Beat::Hears(_) | Beat::Passes(_) => continue,
        }
        if !matches!(beat, Beat::Compacts) {
            compacted = 0;
        }
        if said == 3 || compacted == 10 {
            return Some(steps);
        }
    }
    None
}

fn opencode(seen: &[Seen]) -> bool {
    let three = window(turn(seen), 3);
    three.len() == 3 && run(three, |seen| seen.call) == 3 && three[2].part - three[0].part == 2
}

fn crush(seen: &[Seen]) -> bool {
    let all = rounds(seen, true, |seen| hash((seen.call, seen.answer)));
    let Some(from) = all.len().checked_sub(10) else { return false };
    all[from..].iter().any(|key| all[from..].iter().filter(|other| *other == key).count() > 5)
}

fn qwen_default(seen: &[Seen]) -> bool {
    let seen = turn(seen);
    let most = || {
        let mut counts = HashMap::new();
        seen.iter()
            .map(|seen| *counts.entry(seen.call).and_modify(|count| *count += 1).or_insert(1))
            .max()
            .unwrap_or(0)
    };
    run(seen, |seen| seen.call) >= 5 || (seen.len() > 100 && most() >= 6) || seen.len() > 1000
}

fn qwen_all(all: &[Seen]) -> bool {
    let seen = turn(all);
    let started = seen.iter().any(|seen| !seen.reads);
    qwen_default(all)
        || count(seen, |seen| seen.call) >= 6
        || (cycles(seen, 2, 6, |seen| seen.call) && run(seen, |seen| seen.call) == 1)
        || (started && window(seen, 15).iter().filter(|seen| seen.reads).count() >= 8)
        || run(seen, |seen| seen.tool) >= 8
}

fn deerflow(seen: &[Seen]) -> bool {
    let all = rounds(seen, false, |seen| seen.salient);
    let recent = &all[all.len().saturating_sub(20)..];
    recent.last().is_some_and(|last| recent.iter().filter(|key| *key == last).count() >= 5)
        || count(window(seen, 50), |seen| seen.tool) >= 50
}

fn openclaw(seen: &[Seen]) -> bool {
    // It judges a call before that runs, by the thirty before it.
    let Some((now, before)) = seen.split_last() else { return false };
    let before = window(before, 30);
    let same: Vec<Seen> = before.iter().filter(|seen| seen.call == now.call).cloned().collect();
    let unknown = before.iter().rev().take_while(|seen| seen.tool == now.tool && seen.unknown).count();
    let alternating = |length: usize| {
        let tail = window(before, length);
        // Both calls alternate with the one that comes now, and both are answered as before each time.
        cycles(seen, 2, length + 1, |seen| seen.call)
            && cycles(tail, 2, length, |seen| seen.answer)
            && tail.last().is_some_and(|last| last.call != now.call)
    };
    run(&same, |seen| seen.answer) >= 20 || unknown >= 10 || alternating(19)
}

fn roo(seen: &[Seen]) -> bool {
    run(seen, |seen| seen.call) >= 4
}

fn cline(seen: &[Seen]) -> bool {
    run(seen, |seen| seen.call) >= 5
}

fn forgecode(seen: &[Seen]) -> bool {
    (1..=seen.len() / 2).any(|period| cycles(seen, period, 2 * period + 1, |seen| seen.call))
}

fn openrouter(seen: &[Seen]) -> bool {
    let Some(last) = seen.last() else { return false };
    // Rounds in which the tool was not used neither count nor interrupt.
    let of_tool = seen
        .chunk_by(|a, b| a.round == b.round)
        .rev()
        .filter(|round| round.iter().any(|seen| seen.tool == last.tool));
    of_tool.take_while(|round| round.iter().any(|seen| seen.call == last.call)).take(3).count() == 3
}

fn stella(seen: &[Seen]) -> bool {
    // How many calls it is given to look at is its caller's choice, "a few dozen".
    let seen = window(seen, 24);
    let record = |seen: &Seen| (seen.call, seen.answer);
    let progressing = || {
        let mut answers = HashMap::new();
        seen.iter().any(|seen| *answers.entry(seen.call).or_insert(seen.answer) != seen.answer)
    };
    let stagnant = run(seen, |seen| (seen.tool, seen.answer));
    run(seen, record) >= 3
        || (2..=4).any(|period| cycles(seen, period, 3 * period, record))
        || (count(seen, |seen| hash((seen.call, seen.answer))) >= 3 && !progressing())
        || (stagnant >= 6 && run(seen, |seen| seen.call) < stagnant)
}

fn heartbeat(seen: &[Seen]) -> bool {
    count(window(seen, 20), |seen| seen.target) >= 3
        || seen.iter().rev().take_while(|seen| seen.failed).count() >= 5
}

fn agent_watchdog(seen: &[Seen]) -> bool {
    run(seen, |seen| seen.call) >= 3
        || [2, 4].into_iter().any(|period| cycles(seen, period, 8, |seen| seen.call))
}

fn three_identical(seen: &[Seen]) -> bool {
    count(seen, |seen| seen.call) >= 3
}

#[cfg(test)]
mod tests {
    use super::super::story::{edit, fails, grep, ok, read, run};
    use super::*;

    fn first(name: &str, beats: &[Beat]) -> Option<usize> {
        PEERS.iter().find(|peer| peer.name == name).unwrap().first(beats)
    }

    /// Tells of commands by one letter each, which answer the same each time.
    fn letters(letters: &str) -> Vec<Beat> {
        letters.chars().map(|letter| ok(run(letter), letter)).collect()
    }

    /// Tells of one command with another answer each time.
    fn changing(times: usize) -> Vec<Beat> {
        (0..times).map(|time| ok(run("a"), time)).collect()
    }

    #[test]
    fn each_interferes_at_the_step_that_its_source_says() {
        let long = |of: &str| letters(&of.repeat(60));
        for (name, equal, back_and_forth, three) in [
            ("Gemini CLI", Some(5), Some(10), Some(15)),
            ("OpenHands", Some(4), Some(6), None),
            ("opencode", Some(3), None, None),
            ("Crush", Some(10), None, None),
            ("Qwen Code", Some(5), Some(101), Some(101)),
            ("Qwen, all on", Some(5), Some(6), Some(8)),
            ("DeerFlow", Some(5), Some(9), Some(13)),
            ("openclaw", Some(21), Some(20), None),
            ("Roo", Some(4), None, None),
            ("Cline", Some(5), None, None),
            ("forgecode", Some(3), Some(5), Some(7)),
            ("OpenRouter", Some(3), None, None),
            ("stella", Some(3), Some(5), Some(7)),
            ("heartbeat", Some(3), Some(5), Some(7)),
            ("agent-watchdog", Some(3), Some(8), None),
            ("3 identical", Some(3), Some(5), Some(7)),
        ] {
            assert_eq!(first(name, &long("a")), equal, "{name}, equal calls");
            assert_eq!(first(name, &long("ab")), back_and_forth, "{name}, back and forth");
            assert_eq!(first(name, &long("abc")), three, "{name}, three in turn");
        }
    }

    #[test]
    fn only_some_look_at_the_answer() {
        let blind = PEERS
            .iter()
            .filter(|peer| peer.first(&changing(40)).is_some())
            .map(|peer| peer.name)
            .collect::<Vec<_>>();
        for name in ["Crush", "openclaw", "stella"] {
            assert!(!blind.contains(&name), "{name}");
        }
        assert_eq!(blind.len(), PEERS.len() - 3);
    }

    #[test]
    fn what_is_said_in_between_defeats_opencode() {
        let beats: Vec<Beat> =
            letters("aaaaaa").into_iter().flat_map(|beat| [beat, Beat::Says("again".to_owned())]).collect();
        assert_eq!(first("opencode", &beats), None);
        assert_eq!(first("Roo", &beats), Some(4));
    }

    #[test]
    fn a_prompt_begins_anew_for_those_that_know_of_prompts() {
        let mut beats = letters("aaaa");
        beats.push(Beat::Hears("again".to_owned()));
        beats.extend(letters("aaaa"));
        assert_eq!(first("Gemini CLI", &beats), None);
        assert_eq!(first("Qwen Code", &beats), None);
        assert_eq!(first("Cline", &beats), Some(5));
    }

    #[test]
    fn openhands_hears_errors_monologues_and_compactions() {
        let fail = || fails(read("x", 0, 9), "no such file");
        assert_eq!(first("OpenHands", &[fail(), fail(), fail()]), Some(3));
        let says = || Beat::Says("I am done.".to_owned());
        assert_eq!(first("OpenHands", &[ok(run("a"), ""), says(), says(), says()]), Some(1));
        assert_eq!(first("OpenHands", &vec![Beat::Compacts; 10]), Some(0));
        assert_eq!(first("OpenHands", &vec![Beat::Compacts; 9]), None);
    }

    #[test]
    fn rounds_are_sets_for_deerflow_and_lists_for_crush() {
        let round = |n: usize| {
            let mut calls: Vec<_> = ["a", "b"].map(|letter| (run(letter), letter.to_owned(), false)).into();
            calls.rotate_left(n % 2);
            Beat::Calls(calls)
        };
        let turned: Vec<Beat> = (0..20).map(round).collect();
        assert_eq!(first("DeerFlow", &turned), Some(10));
        assert_eq!(first("Crush", &turned), None);
        assert_eq!(first("Crush", &vec![round(0); 20]), Some(20));
    }

    #[test]
    fn deerflow_counts_pages_of_one_file_and_one_tool_that_is_always_used() {
        let pages: Vec<Beat> = (0..5).map(|page| ok(read("x", page * 40, 40), page)).collect();
        assert_eq!(first("DeerFlow", &pages), Some(5));
        let commands: Vec<Beat> = (0..60).map(|n| ok(run(n), n)).collect();
        assert_eq!(first("DeerFlow", &commands), Some(50));
    }

    #[test]
    fn stella_hears_an_answer_that_never_changes_and_sees_a_window_that_gets_on() {
        let same: Vec<Beat> = (0..6).map(|n| ok(grep(n), "nothing")).collect();
        assert_eq!(first("stella", &same), Some(6));
        let polls: Vec<Beat> = (0..20).flat_map(|n| [ok(run("sleep 5"), ""), ok(run("status"), n)]).collect();
        assert_eq!(first("stella", &polls), None);
    }

    #[test]
    fn qwen_stops_one_tool_and_many_reads_once_something_else_was_done() {
        let edits: Vec<Beat> = (0..8).map(|n| ok(edit(&format!("f{n}"), "a", "b"), "done")).collect();
        assert_eq!(first("Qwen, all on", &edits), Some(8));
        let mut reads: Vec<Beat> = (0..7).map(|n| ok(read(&format!("f{n}"), 0, 9), n)).collect();
        reads.extend([ok(run("a"), "a"), ok(read("x", 0, 9), "x")]);
        assert_eq!(first("Qwen, all on", &reads), Some(9));
        let long: Vec<Beat> =
            (0..120).map(|n| ok(if n % 20 == 0 { run("git status") } else { run(n) }, n)).collect();
        assert_eq!(first("Qwen Code", &long), Some(101));
    }
}
