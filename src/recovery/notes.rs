//! What a new session must know of the old one: the goal, the plan, what was done. Collected as it comes, in bounded
//! memory, so that it is there when the old session cannot be asked any more.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::record::{Body, Record, Role};
use crate::profile::tools;

/// The longest notes, in bytes.
pub const MAX_NOTES_BYTES: usize = 2_048;

/// How many changed files are remembered; the one that was not touched the longest goes.
const MAX_FILES: usize = 40;

/// How many prompts of ours are remembered; the oldest goes.
const MAX_OURS: usize = 8;

/// How much of the goal, of the plan and of the last words is remembered, in bytes.
const MAX_GOAL_BYTES: usize = 900;
const MAX_PLAN_BYTES: usize = 600;
const MAX_SAID_BYTES: usize = 400;

/// What is known of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    goal: String,
    plan: String,
    said: String,
    files: VecDeque<String>,
    /// What the agent was told by us: no goal.
    #[serde(default)]
    ours: VecDeque<String>,
}

impl Notes {
    /// Takes note of a record of the main conversation.
    pub fn record(&mut self, record: &Record<'_>) {
        if record.subagent.is_some() {
            return;
        }
        match &record.body {
            Body::Message(message) => {
                let text = message.text.read();
                match message.role {
                    Role::User if is_persons(&text) => {
                        let goal = cut(text.trim(), MAX_GOAL_BYTES);
                        if !self.ours.contains(&goal) {
                            self.goal = goal;
                        }
                    }
                    Role::Assistant if !text.trim().is_empty() => {
                        self.said = cut(text.trim(), MAX_SAID_BYTES)
                    }
                    _ => {}
                }
            }
            Body::ToolCall(call) => self.tool(&call.name, &call.input.read()),
            _ => {}
        }
    }

    /// Takes note of a prompt that is ours and no person's; the agent tells it as one.
    pub fn prompted(&mut self, prompt: &str) {
        if self.ours.len() == MAX_OURS {
            self.ours.pop_front();
        }
        self.ours.push_back(cut(prompt.trim(), MAX_GOAL_BYTES));
    }

    /// Sets the goal, where it is known from the command line.
    pub fn set_goal(&mut self, goal: &str) {
        self.goal = cut(goal.trim(), MAX_GOAL_BYTES);
    }

    /// Tells whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.goal.is_empty() && self.plan.is_empty() && self.said.is_empty() && self.files.is_empty()
    }

    fn tool(&mut self, name: &str, input: &str) {
        if let Some(plan) = tools::plan(name, input) {
            self.plan = cut(&plan, MAX_PLAN_BYTES);
        }
        for path in tools::changed_files(name, input) {
            self.changed(path);
        }
    }

    fn changed(&mut self, path: String) {
        if path.len() > 300 || path.contains('\n') {
            return;
        }
        self.files.retain(|other| *other != path);
        if self.files.len() == MAX_FILES {
            self.files.pop_front();
        }
        self.files.push_back(path);
    }

    /// Returns the notes for a new session, at most [`MAX_NOTES_BYTES`]; what matters least goes first. `redact` takes
    /// secrets out. Without `with_goal` the goal is left out, for it stands elsewhere in the prompt.
    pub fn write(&self, why: &str, with_goal: bool, redact: &dyn Fn(&str) -> String) -> String {
        let head =
            format!("An earlier session on this task ended: {why} Go on from here; check the files first.\n");
        let mut parts = Vec::new();
        if with_goal && !self.goal.is_empty() {
            parts.push(format!("\nThe task:\n{}\n", self.goal));
        }
        if !self.plan.is_empty() {
            parts.push(format!("\nThe plan as it stood:\n{}\n", self.plan));
        }
        if !self.files.is_empty() {
            let files: Vec<&str> = self.files.iter().rev().map(String::as_str).collect();
            parts.push(format!("\nChanged files, the latest first:\n{}\n", files.join("\n")));
        }
        if !self.said.is_empty() {
            parts.push(format!("\nThe last words of the earlier session:\n{}\n", self.said));
        }
        let mut text = cut(&redact(&head), MAX_NOTES_BYTES / 2);
        for part in parts {
            let part = redact(&part);
            let room = MAX_NOTES_BYTES - text.len();
            if part.len() <= room {
                text.push_str(&part);
            } else {
                // A part that is not whole is worth something if some lines of it are.
                if room > 80 {
                    text.push_str(&cut(&part, room));
                }
                break;
            }
        }
        text
    }
}

/// Tells whether a message can be a person's: agents put reminders and results of commands into that role too.
fn is_persons(text: &str) -> bool {
    let text = text.trim_start();
    !text.is_empty()
        && !text.starts_with(['<', '['])
        && !text.starts_with("This session is being continued")
        // What Claude puts in front of a prompt where the last turn was cut short.
        && text.trim_end() != "Continue from where you left off."
}

/// The beginning of a text, at most `most` bytes, `…` with them.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Message, ToolCall};

    fn message(role: Role, text: &str) -> Record<'_> {
        Record::new(Body::Message(Message { role, text: text.into() }))
    }

    fn tool<'a>(name: &'a str, input: &'a str) -> Record<'a> {
        Record::new(Body::ToolCall(ToolCall { id: "1".into(), name: name.into(), input: input.into() }))
    }

    fn whole(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn goal_plan_files_and_last_words_are_kept() {
        let mut notes = Notes::default();
        assert!(notes.is_empty());
        notes.record(&message(Role::User, "Fix the parser."));
        notes.record(&message(Role::User, "<system-reminder>be brief</system-reminder>"));
        notes.record(&tool(
            "TodoWrite",
            r#"{"todos":[{"content":"read","status":"completed"},{"content":"fix","status":"in_progress"}]}"#,
        ));
        notes.record(&tool("Edit", r#"{"file_path":"src/a.rs","old_string":"x"}"#));
        notes.record(&tool("apply_patch", r#"{"input":"*** Begin Patch\n*** Update File: src/b.rs\n"}"#));
        notes.record(&tool("Write", r#"{"file_path":"src/a.rs"}"#));
        notes.record(&tool("Read", r#"{"file_path":"src/c.rs"}"#));
        notes.record(&message(Role::Assistant, "The first half is done."));
        let text = notes.write("its context was full.", true, &whole);
        for words in [
            "The task:\nFix the parser.",
            "- [completed] read\n- [in_progress] fix",
            "src/a.rs\nsrc/b.rs",
            "The first half is done.",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains("src/c.rs") && !text.contains("be brief"), "{text}");
        assert!(!notes.write("x.", false, &whole).contains("Fix the parser."));
    }

    #[test]
    fn what_we_have_told_the_agent_is_no_goal() {
        let mut notes = Notes::default();
        notes.record(&message(Role::User, "Fix the parser."));
        let long = format!("The provider refused it. {}", "x".repeat(2_000));
        for prompt in ["continue", &long, " -odd"] {
            notes.prompted(prompt);
            notes.record(&message(Role::User, prompt));
            notes.record(&message(Role::User, "Continue from where you left off."));
        }
        assert!(notes.write("x.", true, &whole).contains("The task:\nFix the parser."));
        notes.record(&message(Role::User, "Then the printer."));
        assert!(notes.write("x.", true, &whole).contains("The task:\nThen the printer."));
    }

    #[test]
    fn a_plan_of_codex_is_a_plan_too() {
        let mut notes = Notes::default();
        notes.record(&tool("update_plan", r#"{"plan":[{"step":"look","status":"completed"}]}"#));
        assert!(notes.write("x.", true, &whole).contains("- [completed] look"));
    }

    #[test]
    fn the_notes_never_grow_over_their_limit() {
        let long = "wörd ".repeat(2_000);
        let mut notes = Notes::default();
        notes.record(&message(Role::User, &long));
        notes.record(&message(Role::Assistant, &long));
        for number in 0..500 {
            notes
                .record(&tool("Write", &format!(r#"{{"file_path":"some/folder/with/a/name/{number}.rs"}}"#)));
        }
        let text = notes.write(&long, true, &whole);
        assert!(text.len() <= MAX_NOTES_BYTES, "{}", text.len());
        assert!(text.contains("The task:"), "the goal is what matters most");
        assert_eq!(notes.files.len(), MAX_FILES);
        assert_eq!(notes.files.back().unwrap(), "some/folder/with/a/name/499.rs");
    }

    #[test]
    fn secrets_do_not_get_into_the_notes() {
        let mut notes = Notes::default();
        notes.record(&message(Role::User, "Use the key abc123 please."));
        let text = notes.write("x.", true, &|text| text.replace("abc123", "[redacted]"));
        assert!(text.contains("[redacted]") && !text.contains("abc123"), "{text}");
    }
}
