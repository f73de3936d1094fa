//! What an agent does, told without any format, and in the words of several agents.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What is asked of a tool.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Read {
        path: String,
        first: u32,
        lines: u32,
    },
    Edit {
        path: String,
        old: String,
        new: String,
    },
    Run(String),
    Grep(String),
    #[expect(dead_code, reason = "for stories to come")]
    Delegate(String),
    Tool {
        name: String,
        input: Value,
    },
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Beat {
    /// Calls issued together, with their answers and whether they failed.
    Calls(Vec<(Ask, String, bool)>),
    /// The model says something.
    Says(String),
    /// It is told something.
    Hears(String),
    /// Its context is compacted.
    Compacts,
    /// Time passes, in seconds.
    Passes(u32),
}

pub fn read(path: &str, first: u32, lines: u32) -> Ask {
    Ask::Read { path: path.to_owned(), first, lines }
}

pub fn edit(path: &str, old: impl ToString, new: impl ToString) -> Ask {
    Ask::Edit { path: path.to_owned(), old: old.to_string(), new: new.to_string() }
}

pub fn run(command: impl ToString) -> Ask {
    Ask::Run(command.to_string())
}

pub fn grep(pattern: impl ToString) -> Ask {
    Ask::Grep(pattern.to_string())
}

pub fn ok(ask: Ask, answer: impl ToString) -> Beat {
    Beat::Calls(vec![(ask, answer.to_string(), false)])
}

pub fn fails(ask: Ask, answer: impl ToString) -> Beat {
    Beat::Calls(vec![(ask, answer.to_string(), true)])
}

/// Whose words a story is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    Claude,
    Codex,
    Gemini,
    /// Claude's format, with tools that nobody knows.
    Renamed,
}

pub const TONGUES: [Tongue; 4] = [Tongue::Claude, Tongue::Codex, Tongue::Gemini, Tongue::Renamed];

/// A story in the words of an agent: its lines, and for each line the number of steps up to it.
pub struct Told {
    pub text: String,
    pub steps: Vec<usize>,
}

/// Tells a story. Every beat takes `pace` seconds.
pub fn tell(tongue: Tongue, beats: &[Beat], pace: u32) -> Told {
    let mut teller =
        Teller { tongue, told: Told { text: String::new(), steps: vec![0] }, second: 0, calls: 0, steps: 0 };
    if tongue == Tongue::Codex {
        let payload = json!({"id": "s", "cwd": "/w", "originator": "codex_exec", "cli_version": "0.100.0"});
        teller.line(json!({"timestamp": teller.stamp(), "type": "session_meta", "payload": payload}));
    } else if tongue == Tongue::Gemini {
        teller
            .line(json!({"type": "init", "timestamp": teller.stamp(), "session_id": "s", "model": "gemini"}));
    }
    for beat in beats {
        teller.second += pace;
        teller.beat(beat);
    }
    teller.told
}

struct Teller {
    tongue: Tongue,
    told: Told,
    second: u32,
    calls: usize,
    steps: usize,
}

impl Teller {
    fn stamp(&self) -> String {
        let (hours, minutes, seconds) = (self.second / 3600, self.second / 60 % 60, self.second % 60);
        format!("2026-11-{:02}T{:02}:{minutes:02}:{seconds:02}.000Z", 1 + hours / 24, hours % 24)
    }

    fn line(&mut self, value: Value) {
        writeln!(self.told.text, "{value}").unwrap();
        self.told.steps.push(self.steps);
    }

    fn beat(&mut self, beat: &Beat) {
        match beat {
            Beat::Passes(seconds) => self.second += seconds,
            Beat::Says(text) => self.says(text),
            Beat::Hears(text) => self.hears(text),
            Beat::Compacts => self.compacts(),
            Beat::Calls(calls) => {
                let first = self.calls;
                for (ask, ..) in calls {
                    self.calls += 1;
                    self.call(&format!("call_{}", self.calls), ask);
                }
                for (at, (_, answer, failed)) in calls.iter().enumerate() {
                    self.steps += 1;
                    self.answer(&format!("call_{}", first + at + 1), answer, *failed);
                }
            }
        }
    }

    fn says(&mut self, text: &str) {
        let time = self.stamp();
        self.line(match self.tongue {
            Tongue::Claude | Tongue::Renamed => json!({"type": "assistant", "sessionId": "s", "timestamp": time, "uuid": format!("u{}", self.told.steps.len()),
                "message": {"id": format!("m{}", self.told.steps.len()), "role": "assistant", "model": "m", "content": [{"type": "text", "text": text}]}}),
            Tongue::Codex => json!({"timestamp": time, "type": "response_item",
                "payload": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}}),
            Tongue::Gemini => json!({"type": "message", "timestamp": time, "role": "assistant", "content": text}),
        });
    }

    fn hears(&mut self, text: &str) {
        let time = self.stamp();
        self.line(match self.tongue {
            Tongue::Claude | Tongue::Renamed => json!({"type": "user", "sessionId": "s", "timestamp": time, "uuid": format!("u{}", self.told.steps.len()),
                "message": {"role": "user", "content": text}}),
            Tongue::Codex => json!({"timestamp": time, "type": "response_item",
                "payload": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}}),
            Tongue::Gemini => json!({"type": "message", "timestamp": time, "role": "user", "content": text}),
        });
    }

    fn compacts(&mut self) {
        let time = self.stamp();
        self.line(match self.tongue {
            Tongue::Claude | Tongue::Renamed => json!({"type": "system", "subtype": "compact_boundary", "sessionId": "s", "timestamp": time,
                "uuid": format!("u{}", self.told.steps.len()), "content": "Conversation compacted", "compactMetadata": {"trigger": "auto", "preTokens": 100}}),
            Tongue::Codex => json!({"timestamp": time, "type": "compacted", "payload": {"message": ""}}),
            Tongue::Gemini => json!({"type": "message", "timestamp": time, "role": "assistant", "content": ""}),
        });
    }

    fn call(&mut self, id: &str, ask: &Ask) {
        let time = self.stamp();
        let (name, input) = self.words(ask);
        self.line(match self.tongue {
            Tongue::Claude | Tongue::Renamed => json!({"type": "assistant", "sessionId": "s", "timestamp": time, "uuid": format!("u{}", self.told.steps.len()),
                "message": {"id": format!("m{id}"), "role": "assistant", "model": "m",
                    "content": [{"type": "tool_use", "id": id, "name": name, "input": input}]}}),
            Tongue::Codex if name == "apply_patch" => json!({"timestamp": time, "type": "response_item",
                "payload": {"type": "custom_tool_call", "name": name, "call_id": id, "input": input.as_str().unwrap()}}),
            Tongue::Codex => json!({"timestamp": time, "type": "response_item",
                "payload": {"type": "function_call", "name": name, "call_id": id, "arguments": input.to_string()}}),
            Tongue::Gemini => json!({"type": "tool_use", "timestamp": time, "tool_name": name, "tool_id": id, "parameters": input}),
        });
    }

    fn answer(&mut self, id: &str, answer: &str, failed: bool) {
        let time = self.stamp();
        let code = i32::from(failed);
        self.line(match self.tongue {
            Tongue::Claude | Tongue::Renamed => json!({"type": "user", "sessionId": "s", "timestamp": time, "uuid": format!("u{}", self.told.steps.len()),
                "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": answer, "is_error": failed}]}}),
            Tongue::Codex => json!({"timestamp": time, "type": "response_item", "payload": {"type": "function_call_output", "call_id": id,
                "output": format!("Chunk ID: {:06x}\nWall time: 0.{:04} seconds\nProcess exited with code {code}\nOutput:\n{answer}", self.steps * 7919 + 10, self.steps)}}),
            Tongue::Gemini => json!({"type": "tool_result", "timestamp": time, "tool_id": id,
                "status": if failed { "error" } else { "success" }, "output": answer}),
        });
    }

    /// Returns the tool's name and arguments.
    fn words(&self, ask: &Ask) -> (&'static str, Value) {
        let step = self.steps;
        match (self.tongue, ask) {
            (_, Ask::Tool { name, input }) => (Box::leak(name.clone().into_boxed_str()), input.clone()),
            (Tongue::Claude, Ask::Read { path, first, lines }) => {
                ("Read", json!({"file_path": path, "offset": first, "limit": lines}))
            }
            (Tongue::Claude, Ask::Edit { path, old, new }) => {
                ("Edit", json!({"file_path": path, "old_string": old, "new_string": new}))
            }
            (Tongue::Claude, Ask::Run(command)) => {
                ("Bash", json!({"command": command, "description": format!("Try it ({step})")}))
            }
            (Tongue::Claude, Ask::Grep(pattern)) => ("Grep", json!({"pattern": pattern})),
            (Tongue::Claude, Ask::Delegate(task)) => {
                ("Task", json!({"description": "look", "prompt": task, "subagent_type": "general"}))
            }
            (Tongue::Codex, Ask::Read { path, first, lines }) => {
                ("exec_command", json!({"cmd": format!("sed -n '{},{}p' {path}", first + 1, first + lines)}))
            }
            (Tongue::Codex, Ask::Edit { path, old, new }) => (
                "apply_patch",
                json!(format!("*** Begin Patch\n*** Update File: {path}\n@@\n-{old}\n+{new}\n*** End Patch")),
            ),
            (Tongue::Codex, Ask::Run(command)) => {
                ("exec_command", json!({"cmd": command, "yield_time_ms": 1000 + step}))
            }
            (Tongue::Codex, Ask::Grep(pattern)) => {
                ("exec_command", json!({"cmd": format!("rg -n '{pattern}'")}))
            }
            (Tongue::Codex, Ask::Delegate(task)) => ("spawn_agent", json!({"message": task})),
            (Tongue::Gemini, Ask::Read { path, first, lines }) => {
                ("read_file", json!({"absolute_path": path, "offset": first, "limit": lines}))
            }
            (Tongue::Gemini, Ask::Edit { path, old, new }) => (
                "replace",
                json!({"file_path": path, "old_string": old, "new_string": new, "instruction": format!("Change {step}")}),
            ),
            (Tongue::Gemini, Ask::Run(command)) => {
                ("run_shell_command", json!({"command": command, "description": format!("Try {step}")}))
            }
            (Tongue::Gemini, Ask::Grep(pattern)) => ("search_file_content", json!({"pattern": pattern})),
            (Tongue::Gemini, Ask::Delegate(task)) => ("delegate_to_agent", json!({"objective": task})),
            (Tongue::Renamed, Ask::Read { path, first, lines }) => {
                ("acme__peek", json!({"path": path, "offset": first, "limit": lines}))
            }
            (Tongue::Renamed, Ask::Edit { path, old, new }) => {
                ("acme__alter", json!({"path": path, "old_text": old, "new_text": new}))
            }
            (Tongue::Renamed, Ask::Run(command)) => ("acme__execute", json!({"command": command})),
            (Tongue::Renamed, Ask::Grep(pattern)) => ("acme__seek", json!({"pattern": pattern})),
            (Tongue::Renamed, Ask::Delegate(task)) => ("agent", json!({"prompt": task})),
        }
    }
}
