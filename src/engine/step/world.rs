//! What an agent has changed, as far as its calls tell: when the same question is a new one.

use std::collections::VecDeque;

use super::mask::mix;
use super::tools::{Call, Change};

/// How many files are kept in mind; the one that was changed longest ago goes.
const FILES: usize = 16;

/// How many versions of a file are kept in mind.
const VERSIONS: usize = 8;

/// How many replacements of a file are kept in mind, to know their reverses.
const REPLACEMENTS: usize = 12;

/// How many changes of which nothing but the command is known are kept in mind.
const COMMANDS: usize = 8;

/// What a change came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Whether the world is one that was not seen lately.
    pub new: bool,
    /// Whether a file returned to an earlier version of itself.
    pub back: bool,
}

/// What an agent has changed.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Counts the worlds: it grows with each change that leads to something new, and when a person speaks.
    pub epoch: u32,
    files: VecDeque<File>,
    commands: VecDeque<u64>,
}

#[derive(Clone, Debug)]
struct File {
    path: u64,
    /// The version it is in. What it was at first is 0.
    state: u64,
    versions: VecDeque<u64>,
    /// What was replaced by what, mixed.
    replaced: VecDeque<u64>,
}

impl World {
    /// Takes note of a change that did not fail, and of what the tool answered.
    pub fn change(&mut self, call: &Call, answer: u64) -> Moved {
        let moved = match (call.path, call.change) {
            (None, Change::Unknown) | (Some(_), Change::Unknown) => {
                let command = mix(call.question, answer);
                let new = !self.commands.contains(&command);
                push(&mut self.commands, command, COMMANDS);
                Moved { new, back: false }
            }
            // A patch names its files in its text: it is a file of its own as far as versions go.
            (path, change) => self.file(path.unwrap_or(call.tool)).change(change),
        };
        self.epoch += u32::from(moved.new);
        moved
    }

    fn file(&mut self, path: u64) -> &mut File {
        let file = match self.files.iter().position(|file| file.path == path) {
            Some(at) => self.files.remove(at),
            None => None,
        };
        if self.files.len() == FILES {
            self.files.pop_front();
        }
        let fresh = || File { path, state: 0, versions: VecDeque::from([0]), replaced: VecDeque::new() };
        self.files.push_back(file.unwrap_or_else(fresh));
        self.files.back_mut().expect("one was just put there")
    }
}

impl File {
    fn change(&mut self, change: Change) -> Moved {
        let before = self.state;
        match change {
            Change::Whole(content) => {
                self.state = content;
                self.replaced.clear();
            }
            Change::Replace(old, new) => {
                match self.replaced.iter().rposition(|pair| *pair == mix(new, old)) {
                    Some(at) => {
                        self.replaced.remove(at);
                        self.state = self.state.wrapping_sub(mix(new, old));
                    }
                    None => {
                        push(&mut self.replaced, mix(old, new), REPLACEMENTS);
                        self.state = self.state.wrapping_add(mix(old, new));
                    }
                }
            }
            Change::Unknown => {}
        }
        let new = !self.versions.contains(&self.state);
        let back = !new && self.state != before;
        push(&mut self.versions, self.state, VERSIONS);
        Moved { new, back }
    }
}

fn push<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::super::tools;
    use super::*;

    fn edit(old: &str, new: &str) -> Call {
        tools::read("Edit", &format!(r#"{{"file_path":"/x","old_string":"{old}","new_string":"{new}"}}"#))
    }

    #[test]
    fn an_edit_leads_to_a_new_world_and_its_reverse_back_to_the_old_one() {
        let mut world = World::default();
        assert_eq!(world.change(&edit("a", "b"), 1), Moved { new: true, back: false });
        assert_eq!(world.change(&edit("b", "a"), 1), Moved { new: false, back: true });
        assert_eq!(world.change(&edit("a", "b"), 1), Moved { new: false, back: true });
        assert_eq!(world.epoch, 1);
        assert_eq!(world.change(&edit("a", "c"), 1), Moved { new: true, back: false });
    }

    #[test]
    fn to_write_what_is_there_changes_nothing() {
        let write = |text: &str| tools::read("Write", &format!(r#"{{"file_path":"/x","content":"{text}"}}"#));
        let mut world = World::default();
        assert!(world.change(&write("a"), 1).new);
        assert_eq!(world.change(&write("a"), 1), Moved::default());
        assert!(world.change(&write("b"), 1).new);
        assert!(world.change(&write("a"), 1).back);
    }

    #[test]
    fn a_command_that_changes_something_is_news_once() {
        let mut world = World::default();
        let command = tools::read("Bash", r#"{"command":"rm -f x"}"#);
        assert!(world.change(&command, 1).new);
        assert!(!world.change(&command, 1).new);
        assert!(world.change(&command, 2).new);
    }
}
