//! Gemini CLI, measured on 0.61.0.

use std::path::PathBuf;

use crate::model::Class;

use super::arguments::{Arguments, Parser, Table, Takes};
use super::transcript::{Owner, Search, Surroundings, Transcript};
use super::{
    Asked, Call, Exit, Invocation, Mode, Profile, Prompt, Rewritten, STOP_GROUP, SessionRef, Silence, StdinHabit,
    StopStep, Terminals, Unable, plain_exit, plain_fix, prompt_of, refuse_unfresh, refuse_unresumable, says,
    stdin_for,
};

/// The profile.
#[derive(Debug)]
pub(super) struct Gemini;

pub(super) static PROFILE: Gemini = Gemini;

const TABLE: Table = Table {
    parser: Parser::Yargs,
    options: &[
        ("--accept-raw-output-risk", Takes::Nothing),
        ("--acp", Takes::Nothing),
        ("--admin-policy", Takes::Value),
        ("--all-files -a", Takes::Nothing),
        ("--allowed-mcp-server-names", Takes::Value),
        ("--allowed-tools", Takes::Value),
        ("--approval-mode", Takes::Value),
        ("--checkpointing -c", Takes::Nothing),
        ("--debug -d", Takes::Nothing),
        ("--delete-session", Takes::Value),
        ("--experimental-acp", Takes::Nothing),
        ("--extensions -e", Takes::Value),
        ("--help -h", Takes::Nothing),
        ("--include-directories", Takes::Value),
        ("--list-extensions -l", Takes::Nothing),
        ("--list-sessions", Takes::Nothing),
        ("--model -m", Takes::Value),
        ("--output-format -o", Takes::Value),
        ("--policy", Takes::Value),
        ("--prompt -p", Takes::Value),
        ("--prompt-interactive -i", Takes::Value),
        ("--proxy", Takes::Value),
        ("--raw-output", Takes::Nothing),
        ("--resume -r", Takes::Optional),
        ("--sandbox -s", Takes::Nothing),
        ("--sandbox-image", Takes::Value),
        ("--screen-reader", Takes::Nothing),
        ("--session-file", Takes::Value),
        ("--session-id", Takes::Value),
        ("--show-memory-usage", Takes::Nothing),
        ("--skip-trust", Takes::Nothing),
        ("--telemetry", Takes::Nothing),
        ("--telemetry-log-prompts", Takes::Nothing),
        ("--telemetry-otlp-endpoint", Takes::Value),
        ("--telemetry-otlp-protocol", Takes::Value),
        ("--telemetry-outfile", Takes::Value),
        ("--telemetry-target", Takes::Value),
        ("--version -v", Takes::Nothing),
        ("--worktree -w", Takes::Optional),
        ("--yolo -y", Takes::Nothing),
    ],
};

const COMMANDS: &[&str] = &["mcp", "extensions", "extension", "skills", "skill", "hooks", "hook", "gemma"];

const ASIDES: &[&str] = &["--help", "--version", "--list-extensions", "--list-sessions", "--delete-session"];

/// Options that choose the session or hold the prompt.
const SESSION: &[&str] = &["--resume", "--session-file", "--session-id", "--prompt", "--prompt-interactive"];

/// The first eight letters of a session's id stand in the name of its file.
const ID_IN_NAME: usize = 8;

fn rewrite(call: &Call<'_>, session: &[&str], prompt: &str) -> Rewritten {
    let mut arguments = Arguments::read(&TABLE, call.arguments).without(SESSION).without_words(0);
    let option = if call.invocation.mode == Mode::Interactive { "--prompt-interactive" } else { "--prompt" };
    let front: Vec<&str> = session.iter().copied().chain([option, prompt]).collect();
    arguments.prepend(&front);
    Rewritten { arguments: arguments.write(), stdin: stdin_for(call.invocation.mode), session: None }
}

/// The HTTP statuses that it may end with: its exit status is what is left of them after a division by 256.
const STATUSES: &[(i32, Class)] = &[
    (400, Class::Http400),
    (401, Class::AuthError),
    (403, Class::AuthError),
    (429, Class::RateLimit),
    (500, Class::ServerError),
    (502, Class::ServerError),
    (503, Class::Overloaded),
    (504, Class::Timeout),
];

impl Profile for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn is_named(&self, name: &str) -> bool {
        matches!(name, "gemini" | "gemini-cli" | "@google/gemini-cli")
    }

    fn read(&self, arguments: &[String], terminals: Terminals) -> Invocation {
        let arguments = Arguments::read(&TABLE, arguments);
        let words: Vec<&str> = arguments.words().collect();
        if ASIDES.iter().any(|name| arguments.has(name)) || words.first().is_some_and(|word| COMMANDS.contains(word)) {
            return Invocation::aside();
        }
        let is_interactive = arguments.has("--prompt-interactive")
            || (arguments.value("--prompt").is_none() && terminals.stdin && terminals.stdout);
        let mode = if arguments.has("--acp") || arguments.has("--experimental-acp") {
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
        let given = arguments.value("--prompt").or_else(|| arguments.value("--prompt-interactive"));
        let prompt = given.map(str::to_owned).or_else(|| (!words.is_empty()).then(|| words.join(" ")));
        let asked = match (arguments.value("--session-id"), arguments.value("--resume")) {
            (Some(id), _) => Asked::NewAs(id.to_owned()),
            (None, Some("latest")) => Asked::Latest,
            // A number counts from the oldest session, and means another one tomorrow.
            (None, Some(id)) if id.parse::<u32>().is_err() => Asked::Resumed(id.to_owned()),
            (None, Some(_)) => Asked::Picked,
            (None, None) if arguments.has("--resume") => Asked::Latest,
            (None, None) if arguments.has("--session-file") => Asked::Forked,
            (None, None) => Asked::New,
        };
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
            kept: true,
            doubtful: arguments.doubtful().map(str::to_owned),
        }
    }

    fn resume(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        Ok(match session {
            SessionRef::Id(id) => rewrite(call, &["--resume", id], prompt),
            SessionRef::Latest => rewrite(call, &["--resume", "latest"], prompt),
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
        if invocation.mode == Mode::Aside {
            return None;
        }
        // The variable stands for the home directory, not for the folder in it.
        let home = surroundings.directory("GEMINI_CLI_HOME", "")?;
        let known = session.map(|id| id.chars().take(ID_IN_NAME).collect::<String>());
        let ends = [".jsonl", ".json"].map(|end| match &known {
            Some(id) => format!("-{id}{end}"),
            None => end.to_owned(),
        });
        Some(Transcript::Search(Search {
            directory: home.join(".gemini/tmp"),
            // A folder for the project, whose name it keeps in a register, and `chats` in it.
            depth: 2,
            folder: Some("chats"),
            prefix: "session-".to_owned(),
            suffixes: ends.to_vec(),
            owner: match session {
                Some(_) => Owner::Found,
                None => Owner::Marker { name: ".project_root", cwd: surroundings.cwd.to_owned() },
            },
        }))
    }

    fn archives(&self, surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
        surroundings.directory("GEMINI_CLI_HOME", "").map(|home| home.join(".gemini/tmp")).into_iter().collect()
    }

    fn rejects_resume(&self, text: &str, exit: Option<i32>) -> bool {
        exit == Some(42) || says(text, &["Error resuming session:"])
    }

    fn exit(&self, status: i32, mode: Mode) -> Exit {
        match status {
            41 => Exit::Class(Class::AuthError),
            42 | 44 | 52 | 55 => Exit::Class(Class::ConfigError),
            53 => Exit::Class(Class::MaxTurns),
            // Plain text ends with 1 whatever it was.
            _ if mode == Mode::Text => plain_exit(status),
            _ => match STATUSES.iter().find(|(http, _)| http % 256 == status) {
                Some((_, class)) => Exit::Class(*class),
                None => plain_exit(status),
            },
        }
    }

    fn stop(&self, _: Mode) -> Vec<StopStep> {
        // What was started is a launcher that swallows signals; the agent is in its group, tools are not.
        STOP_GROUP.to_vec()
    }

    fn survives_tool_kill(&self) -> bool {
        true
    }

    fn silence(&self, mode: Mode) -> Silence {
        Silence {
            normal_sec: (mode == Mode::StreamJson).then_some(660),
            // 10 attempts with up to 300 s that the server may name.
            own_retries_sec: Some(3_000),
        }
    }

    fn stdin_habit(&self) -> StdinHabit {
        StdinHabit::AsNeeded
    }

    fn fix(&self, class: Class) -> String {
        match class {
            Class::AuthError => "run `gemini` and choose how to log in, or set a valid GEMINI_API_KEY.".to_owned(),
            Class::ModelUnavailable => "choose another model with --model.".to_owned(),
            class => plain_fix(self.name(), class),
        }
    }
}
