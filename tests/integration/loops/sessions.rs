//! Ordinary sessions, made up: edits, tests of which fewer and fewer fail, searches, looks at git, pages, polls.

use super::chance::Chance;
use super::story::{Beat, edit, fails, grep, ok, read, run};

/// What the agent that is made up knows of its world.
struct World {
    versions: [u32; 10],
    failing: Vec<u32>,
    /// Grows with every edit.
    state: u32,
    /// What was asked in which state.
    asked: Vec<(String, u32)>,
    /// How many edits the next failing test takes.
    patience: u64,
}

/// Returns a session of so many steps. `strictness`: how surely the agent does not ask again what cannot have changed,
/// from 0 (it does not care) to 1.
pub fn ordinary(seed: u64, steps: usize, strictness: f64, polls: bool) -> Vec<Beat> {
    let mut chance = Chance::new(seed);
    let mut world = World {
        versions: [0; 10],
        failing: (0..4 + chance.below(12) as u32).collect(),
        state: 0,
        asked: Vec::new(),
        patience: 1 + chance.below(4),
    };
    let mut beats = vec![Beat::Hears(format!("Please do task {seed}."))];
    let mut done = 0;
    while done < steps {
        let before = beats.len();
        world.act(&mut chance, strictness, polls, &mut beats);
        done += beats[before..].iter().filter(|beat| matches!(beat, Beat::Calls(_))).count();
    }
    beats
}

impl World {
    fn act(&mut self, chance: &mut Chance, strictness: f64, polls: bool, beats: &mut Vec<Beat>) {
        let file = chance.below(10) as usize;
        match chance.below(100) {
            0..30 => {
                let version = self.versions[file];
                self.versions[file] += 1;
                self.state += 1;
                self.patience = self.patience.saturating_sub(1);
                if self.patience == 0 {
                    let mended = 1 + chance.below(3) as usize;
                    self.failing.truncate(self.failing.len().saturating_sub(mended));
                    self.patience = 1 + chance.below(4);
                }
                beats.push(ok(
                    edit(&format!("src/f{file}.rs"), format!("v{version}"), format!("v{}", version + 1)),
                    "The file has been updated.",
                ));
            }
            30..50 => self.ask("cargo test".to_owned(), chance, strictness, beats, |world, chance| {
                if world.failing.is_empty() {
                    return (
                        format!("running 40 tests\n40 passed; 0 failed in 0.{}s", chance.below(99)),
                        false,
                    );
                }
                let named: String =
                    world.failing.iter().map(|test| format!("FAILED tests::case_{test}\n")).collect();
                (
                    format!(
                        "{named}{} failed, {} passed in 0.{}s",
                        world.failing.len(),
                        40 - world.failing.len(),
                        chance.below(99)
                    ),
                    true,
                )
            }),
            50..65 => {
                let (first, version) = (40 * chance.below(5) as u32, self.versions[file]);
                let path = format!("src/f{file}.rs");
                self.ask(format!("read {path} {first}"), chance, strictness, beats, |_, _| {
                    (
                        (first..first + 40)
                            .map(|n| {
                                format!("{n} line {n} of {path}{}\n", if n % 17 == 0 { version } else { 0 })
                            })
                            .collect(),
                        false,
                    )
                });
            }
            65..77 => {
                let word = chance.below(30);
                self.ask(format!("grep word{word}"), chance, strictness, beats, |_, _| {
                    if word.is_multiple_of(4) {
                        ("No matches found".to_owned(), false)
                    } else {
                        (
                            (0..word % 7 + 1)
                                .map(|n| format!("src/f{n}.rs:{}: word{word}\n", n * 31 + word))
                                .collect(),
                            false,
                        )
                    }
                });
            }
            77..85 => self.ask("git status --short".to_owned(), chance, strictness, beats, |world, _| {
                (
                    world
                        .versions
                        .iter()
                        .enumerate()
                        .filter(|(_, version)| **version > 0)
                        .map(|(n, _)| format!(" M src/f{n}.rs\n"))
                        .collect(),
                    false,
                )
            }),
            85..92 => self.ask("npm run lint".to_owned(), chance, strictness, beats, |_, _| {
                ("no problems found".to_owned(), false)
            }),
            92..96 => {
                let pages = 3 + chance.below(6) as u32;
                for page in 0..pages {
                    let path = format!("docs/long{}.md", chance.below(3));
                    let text: String = (0..40).map(|n| format!("{path} {page} {n}\n")).collect();
                    beats.push(ok(read(&path, page * 40, 40), text));
                }
            }
            _ if polls => {
                let rounds = 2 + chance.below(5);
                let job = chance.below(1000);
                for round in 0..rounds {
                    beats.push(ok(run("sleep 30"), ""));
                    beats.push(Beat::Passes(30));
                    let answer = if round + 1 == rounds {
                        "completed: success".to_owned()
                    } else {
                        "in progress".to_owned()
                    };
                    beats.push(ok(run(format!("gh run view {job}")), answer));
                }
            }
            _ => beats.push(Beat::Says(format!("Next I look at part {}.", self.state))),
        }
    }

    fn ask(
        &mut self,
        question: String,
        chance: &mut Chance,
        strictness: f64,
        beats: &mut Vec<Beat>,
        answer: impl FnOnce(&Self, &mut Chance) -> (String, bool),
    ) {
        let known = (question.clone(), self.state);
        if self.asked.contains(&known) && chance.happens(strictness) {
            return;
        }
        self.asked.push(known);
        let (text, failed) = answer(self, chance);
        let ask = if let Some(pattern) = question.strip_prefix("grep ") {
            grep(pattern)
        } else if let Some((path, first)) =
            question.strip_prefix("read ").and_then(|rest| rest.split_once(' '))
        {
            read(path, first.parse().unwrap(), 40)
        } else {
            run(question)
        };
        beats.push(if failed { fails(ask, text) } else { ok(ask, text) });
    }
}
