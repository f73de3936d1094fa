//! Qwen Code, measured on 0.15.10; its options include those of later versions.

use std::path::PathBuf;

use crate::model::Class;

use super::arguments::{Arguments, Parser, Table, Takes};
use super::transcript::{Surroundings, Transcript, dashed};
use super::{
    Asked, Call, Exit, Invocation, Mode, Profile, Prompt, Rewritten, STOP_GROUP, SessionRef, Silence, StdinHabit,
    StopStep, Terminals, Unable, plain_exit, plain_fix, prompt_of, refuse_unfresh, refuse_unresumable, says,
    stdin_for,
};

/// The profile.
#[derive(Debug)]
pub(super) struct Qwen;

pub(super) static PROFILE: Qwen = Qwen;

const TABLE: Table = Table {
    parser: Parser::Yargs,
    options: &[
        ("--acp", Takes::Nothing),
        ("--all-files", Takes::Nothing),
        ("--allowed-mcp-server-names", Takes::Many),
        ("--allowed-tools", Takes::Many),
        ("--append-system-prompt", Takes::Value),
        ("--approval-mode", Takes::Value),
        ("--auth-type", Takes::Value),
        ("--background --bg", Takes::Nothing),
        ("--bare", Takes::Nothing),
        ("--channel", Takes::Value),
        ("--chat-recording", Takes::Nothing),
        ("--checkpointing", Takes::Nothing),
        ("--continue -c", Takes::Nothing),
        ("--core-tools", Takes::Many),
        ("--debug -d", Takes::Nothing),
        ("--disabled-slash-commands", Takes::Many),
        ("--exclude-tools", Takes::Many),
        ("--experimental-acp", Takes::Nothing),
        ("--experimental-lsp", Takes::Nothing),
        ("--experimental-skills", Takes::Nothing),
        ("--extensions -e", Takes::Many),
        ("--fallback-model", Takes::Many),
        ("--fork-session", Takes::Nothing),
        ("--help -h", Takes::Nothing),
        ("--include-directories --add-dir", Takes::Many),
        ("--include-partial-messages", Takes::Nothing),
        ("--input-file", Takes::Value),
        ("--input-format", Takes::Value),
        ("--insecure", Takes::Nothing),
        ("--json-fd", Takes::Value),
        ("--json-file", Takes::Value),
        ("--json-schema", Takes::Value),
        ("--list-extensions -l", Takes::Nothing),
        ("--max-session-turns", Takes::Value),
        ("--max-subagent-depth", Takes::Value),
        ("--max-tool-calls", Takes::Value),
        ("--max-wall-time", Takes::Value),
        ("--mcp-config", Takes::Value),
        ("--model -m", Takes::Value),
        ("--openai-api-key", Takes::Value),
        ("--openai-base-url", Takes::Value),
        ("--openai-logging", Takes::Nothing),
        ("--openai-logging-dir", Takes::Value),
        ("--output-format -o", Takes::Value),
        ("--prompt -p", Takes::Value),
        ("--prompt-interactive -i", Takes::Value),
        ("--proxy", Takes::Value),
        ("--resume -r", Takes::Optional),
        ("--safe-mode", Takes::Nothing),
        ("--sandbox -s", Takes::Nothing),
        ("--sandbox-image", Takes::Value),
        ("--sandbox-session-id", Takes::Value),
        ("--screen-reader", Takes::Nothing),
        ("--session-id", Takes::Value),
        ("--show-memory-usage", Takes::Nothing),
        ("--system-prompt", Takes::Value),
        ("--tavily-api-key", Takes::Value),
        ("--telemetry", Takes::Nothing),
        ("--telemetry-log-prompts", Takes::Nothing),
        ("--telemetry-otlp-endpoint", Takes::Value),
        ("--telemetry-otlp-protocol", Takes::Value),
        ("--telemetry-outfile", Takes::Value),
        ("--telemetry-target", Takes::Value),
        ("--version -v", Takes::Nothing),
        ("--vlm-switch-mode", Takes::Value),
        ("--web-search-default", Takes::Value),
        ("--worktree", Takes::Optional),
        ("--yolo -y", Takes::Nothing),
    ],
};

const COMMANDS: &[&str] = &["agents", "auth", "channel", "extensions", "extension", "hooks", "mcp", "serve", "sessions"];

const ASIDES: &[&str] = &["--help", "--version", "--list-extensions", "--background"];

/// Options that choose the session or hold the prompt.
const SESSION: &[&str] =
    &["--resume", "--continue", "--session-id", "--fork-session", "--prompt", "--prompt-interactive"];

fn rewrite(call: &Call<'_>, session: &[&str], prompt: &str) -> Rewritten {
    let mut arguments = Arguments::read(&TABLE, call.arguments).without(SESSION).without_words(0);
    let option = if call.invocation.mode == Mode::Interactive { "--prompt-interactive" } else { "--prompt" };
    let front: Vec<&str> = session.iter().copied().chain([option, prompt]).collect();
    arguments.prepend(&front);
    Rewritten { arguments: arguments.write(), stdin: stdin_for(call.invocation.mode), session: None }
}

impl Profile for Qwen {
    fn name(&self) -> &'static str {
        "qwen"
    }

    fn is_named(&self, name: &str) -> bool {
        matches!(name, "qwen" | "qwen-code" | "@qwen-code/qwen-code")
    }

    fn read(&self, arguments: &[String], terminals: Terminals) -> Invocation {
        let arguments = Arguments::read(&TABLE, arguments);
        let words: Vec<&str> = arguments.words().collect();
        if ASIDES.iter().any(|name| arguments.has(name)) || words.first().is_some_and(|word| COMMANDS.contains(word)) {
            return Invocation::aside();
        }
        let given = arguments.value("--prompt");
        let is_interactive = arguments.has("--prompt-interactive")
            || (given.is_none() && words.is_empty() && terminals.stdin && terminals.stdout);
        let is_driven = arguments.has("--acp")
            || arguments.has("--experimental-acp")
            || arguments.value("--input-format") == Some("stream-json");
        let mode = if is_driven {
            Mode::Driven
        } else if is_interactive {
            Mode::Interactive
        } else {
            match arguments.value("--output-format") {
                Some("stream-json") => Mode::StreamJson,
                Some("json") => Mode::Json,
                _ => Mode::Text,
            }
        };
        let prompt = given
            .or_else(|| arguments.value("--prompt-interactive"))
            .map(str::to_owned)
            .or_else(|| (!words.is_empty()).then(|| words.join(" ")));
        let asked = match (arguments.value("--session-id"), arguments.value("--resume")) {
            (Some(id), _) => Asked::NewAs(id.to_owned()),
            _ if arguments.has("--fork-session") => Asked::Forked,
            (None, Some(id)) => Asked::Resumed(id.to_owned()),
            (None, None) if arguments.has("--resume") => Asked::Picked,
            (None, None) if arguments.has("--continue") => Asked::Latest,
            (None, None) => Asked::New,
        };
        let recorded = arguments.parts().iter().all(|part| match part {
            super::arguments::Part::Option { name, .. } if name == "--chat-recording" => {
                arguments.has("--chat-recording")
            }
            _ => true,
        });
        Invocation {
            mode,
            prompt: match mode {
                Mode::Interactive => prompt.map_or(Prompt::None, Prompt::Argument),
                Mode::Driven => Prompt::Stdin,
                _ => prompt_of(prompt, terminals),
            },
            asked,
            model: arguments.value("--model").map(str::to_owned),
            directory: None,
            kept: recorded,
            doubtful: arguments.doubtful().map(str::to_owned),
        }
    }

    /// In JSON, an API error is a result that says success, with words that say otherwise.
    fn succeeds_whatever_happens(&self, mode: Mode) -> bool {
        matches!(mode, Mode::Json | Mode::StreamJson)
    }

    fn resume(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        Ok(match session {
            SessionRef::Id(id) => rewrite(call, &["--resume", id], prompt),
            SessionRef::Latest => rewrite(call, &["--continue"], prompt),
        })
    }

    fn fresh(&self, call: &Call<'_>, prompt: &str, _: &str) -> Result<Rewritten, Unable> {
        refuse_unfresh(call)?;
        Ok(rewrite(call, &[], prompt))
    }

    fn with_model(&self, arguments: &[String], model: &str) -> Result<Vec<String>, Unable> {
        let mut arguments = Arguments::read(&TABLE, arguments);
        arguments.set("--model", model);
        Ok(arguments.write())
    }

    fn transcript(
        &self,
        surroundings: &Surroundings<'_>,
        invocation: &Invocation,
        session: Option<&str>,
    ) -> Option<Transcript> {
        if invocation.mode == Mode::Aside || !invocation.kept {
            return None;
        }
        let base = surroundings.directory("QWEN_RUNTIME_DIR", ".qwen")?;
        let directory = base.join("projects").join(dashed(surroundings.cwd)).join("chats");
        Some(match session {
            Some(id) => Transcript::File(directory.join(format!("{id}.jsonl"))),
            None => Transcript::newest_in(directory, ".jsonl"),
        })
    }

    fn archives(&self, surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
        surroundings.directory("QWEN_RUNTIME_DIR", ".qwen").map(|base| base.join("projects")).into_iter().collect()
    }

    fn rejects_resume(&self, text: &str, exit: Option<i32>) -> bool {
        exit == Some(42) || says(text, &["No saved session found with ID", "Error resuming session:"])
    }

    fn exit(&self, status: i32, _: Mode) -> Exit {
        match status {
            41 => Exit::Class(Class::AuthError),
            42 | 44 | 52 => Exit::Class(Class::ConfigError),
            53 => Exit::Class(Class::MaxTurns),
            _ => plain_exit(status),
        }
    }

    fn stop(&self, _: Mode) -> Vec<StopStep> {
        STOP_GROUP.to_vec()
    }

    fn survives_tool_kill(&self) -> bool {
        true
    }

    fn silence(&self, _: Mode) -> Silence {
        // Its first line, and then nothing, also while it retries a 429 without end.
        Silence { normal_sec: Some(660), own_retries_sec: None }
    }

    fn stdin_habit(&self) -> StdinHabit {
        StdinHabit::AsNeeded
    }

    fn fix(&self, class: Class) -> String {
        match class {
            Class::AuthError => "run `qwen` and log in, or set a valid OPENAI_API_KEY.".to_owned(),
            Class::ModelUnavailable => "choose another model with --model.".to_owned(),
            class => plain_fix(self.name(), class),
        }
    }
}
