//! OpenAI Codex, measured on 0.169.0.

use std::path::PathBuf;

use crate::model::Class;

use super::arguments::{Arguments, Part, Parser, Table, Takes};
use super::transcript::{Owner, Search, Surroundings, Transcript};
use super::{
    Asked, Call, Invocation, Mode, Profile, Prompt, Rewritten, STOP_INTERRUPT, SessionRef, Silence, StdinHabit,
    StopStep, Terminals, Unable, plain_fix, prompt_of, refuse_unfresh, refuse_unresumable, says, stdin_for,
};

/// The profile.
#[derive(Debug)]
pub(super) struct Codex;

pub(super) static PROFILE: Codex = Codex;

/// The options of the program and of its `exec`, `resume` and `fork`: where two have one, they agree on it.
const TABLE: Table = Table {
    parser: Parser::Clap,
    options: &[
        ("--add-dir", Takes::Value),
        ("--all", Takes::Nothing),
        ("--approve-for-me", Takes::Nothing),
        ("--ask-for-approval -a", Takes::Value),
        ("--cd -C", Takes::Value),
        ("--color", Takes::Value),
        ("--config -c", Takes::Value),
        ("--cyber-access-program", Takes::Value),
        ("--dangerously-bypass-approvals-and-sandbox --yolo", Takes::Nothing),
        ("--dangerously-bypass-hook-trust", Takes::Nothing),
        ("--disable", Takes::Value),
        ("--enable", Takes::Value),
        ("--ephemeral", Takes::Nothing),
        ("--full-auto", Takes::Nothing),
        ("--help -h", Takes::Nothing),
        ("--ignore-rules", Takes::Nothing),
        ("--ignore-user-config", Takes::Nothing),
        ("--image -i", Takes::Many),
        ("--include-non-interactive", Takes::Nothing),
        ("--json --experimental-json", Takes::Nothing),
        ("--last", Takes::Nothing),
        ("--local-provider", Takes::Value),
        ("--model -m", Takes::Value),
        ("--no-alt-screen", Takes::Nothing),
        ("--no-daemon", Takes::Nothing),
        ("--oss", Takes::Nothing),
        ("--output-last-message -o", Takes::Value),
        ("--output-schema", Takes::Value),
        ("--profile -p", Takes::Value),
        ("--remote", Takes::Value),
        ("--remote-auth-token-env", Takes::Value),
        ("--sandbox -s", Takes::Value),
        ("--search", Takes::Nothing),
        ("--skip-git-repo-check", Takes::Nothing),
        ("--strict-config", Takes::Nothing),
        ("--thread-source", Takes::Value),
        ("--trust", Takes::Nothing),
        ("--version -V", Takes::Nothing),
        ("--worktree", Takes::Nothing),
    ],
};

/// First words that are commands, beside those that run the agent.
const COMMANDS: &[&str] = &[
    "agents", "review", "login", "logout", "mcp", "mcp-server", "plugin", "app-server", "remote-control",
    "completion", "update", "doctor", "sandbox", "debug", "apply", "a", "queue", "archive", "delete",
    "migrate-rollouts", "migrate-nfs-db", "unarchive", "cloud", "exec-server", "features", "help",
];

/// Options that belong to the prompt or the choice of a session, not to the run.
const OF_THE_PROMPT: &[&str] = &["--image", "--last", "--all", "--include-non-interactive"];

/// The command line, cut behind `exec`: what stands before it, `exec` with it, and the options behind it, whose place
/// is before any further command.
fn cut(call: &Call<'_>, drop: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut head = Arguments::read(&TABLE, call.arguments);
    let at = if call.invocation.mode.is_headless() { head.position_of_word(0) } else { None };
    let tail = head.split_off(at.map_or(0, |at| at + 1));
    (head.write(), tail.without(drop).without_words(0).write())
}

/// The command line with a command behind the options.
fn rewrite(call: &Call<'_>, drop: &[&str], command: &[&str]) -> Rewritten {
    let (mut arguments, options) = cut(call, drop);
    arguments.extend(options);
    arguments.extend(command.iter().map(|word| (*word).to_owned()));
    Rewritten { arguments, stdin: stdin_for(call.invocation.mode), session: None }
}

impl Profile for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn is_named(&self, name: &str) -> bool {
        matches!(name, "codex" | "@openai/codex")
    }

    fn read(&self, arguments: &[String], terminals: Terminals) -> Invocation {
        let arguments = Arguments::read(&TABLE, arguments);
        if arguments.has("--help") || arguments.has("--version") {
            return Invocation::aside();
        }
        let words: Vec<&str> = arguments.words().collect();
        let headless = matches!(words.first(), Some(&("exec" | "e")));
        if words.first().is_some_and(|word| COMMANDS.contains(word)) {
            return Invocation::aside();
        }
        let behind = if headless { &words[1..] } else { &words[..] };
        let latest = arguments.has("--last");
        let named = |words: &[&str]| match words.first() {
            _ if latest => Asked::Latest,
            Some(id) => Asked::Resumed((*id).to_owned()),
            None => Asked::Picked,
        };
        let (asked, prompt) = match behind.split_first() {
            Some((&"resume", rest)) => (named(rest), rest.get(usize::from(!latest))),
            Some((&"fork", rest)) => (Asked::Forked, rest.get(usize::from(!latest))),
            Some((prompt, _)) => (Asked::New, Some(prompt)),
            None => (Asked::New, None),
        };
        let prompt = prompt.filter(|prompt| **prompt != "-").map(|prompt| (*prompt).to_owned());
        let mode = match headless {
            // A review, and whatever else there may be: no prompt of the user's.
            true if matches!(behind.first(), Some(&("review" | "help"))) => Mode::Unknown,
            true if arguments.has("--json") => Mode::StreamJson,
            true => Mode::Text,
            false => Mode::Interactive,
        };
        Invocation {
            mode,
            prompt: match mode {
                Mode::Interactive => prompt.map_or(Prompt::None, Prompt::Argument),
                _ => prompt_of(prompt, terminals),
            },
            asked,
            model: arguments.value("--model").map(str::to_owned),
            directory: arguments.value("--cd").map(str::to_owned),
            kept: !arguments.has("--ephemeral"),
            doubtful: arguments.doubtful().map(str::to_owned),
        }
    }

    fn resume(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        Ok(match session {
            SessionRef::Id(id) => rewrite(call, OF_THE_PROMPT, &["resume", id, prompt]),
            SessionRef::Latest => rewrite(call, OF_THE_PROMPT, &["resume", "--last", prompt]),
        })
    }

    fn fresh(&self, call: &Call<'_>, prompt: &str, _: &str) -> Result<Rewritten, Unable> {
        refuse_unfresh(call)?;
        // Images take every word up to `--`.
        Ok(rewrite(call, &OF_THE_PROMPT[1..], &["--", prompt]))
    }

    fn fork(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        match session {
            SessionRef::Id(id) => Ok(rewrite(call, OF_THE_PROMPT, &["fork", id, prompt])),
            SessionRef::Latest => Err(Unable::new("it copies only a session whose id is known")),
        }
    }

    fn with_model(&self, arguments: &[String], model: &str) -> Result<Vec<String>, Unable> {
        let mut read = Arguments::read(&TABLE, arguments);
        let is_exec = matches!(read.words().next(), Some("exec" | "e"));
        let given = read.parts().iter().any(|part| matches!(part, Part::Option { name, .. } if name == "--model"));
        if given || !is_exec {
            read.set("--model", model);
            return Ok(read.write());
        }
        // In front of `exec` it would be the interactive one's.
        let at = read.position_of_word(0).map_or(0, |at| at + 1);
        let tail = read.split_off(at);
        let mut result = read.write();
        result.extend(["--model".to_owned(), model.to_owned()]);
        result.extend(tail.write());
        Ok(result)
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
        let directory = surroundings.directory("CODEX_HOME", ".codex")?.join("sessions");
        let cwd = surroundings.cwd_of(invocation.directory.as_deref());
        Some(Transcript::Search(Search {
            directory,
            // Year, month, day of the session's start, in local time.
            depth: 3,
            folder: None,
            prefix: "rollout-".to_owned(),
            suffixes: vec![session.map_or_else(|| ".jsonl".to_owned(), |id| format!("-{id}.jsonl"))],
            owner: match session {
                Some(_) => Owner::Found,
                None => Owner::FirstLine { pointer: "/payload/cwd", cwd },
            },
        }))
    }

    fn archives(&self, surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
        let home = surroundings.directory("CODEX_HOME", ".codex").into_iter();
        home.flat_map(|home| ["sessions", "archived_sessions"].map(|folder| home.join(folder))).collect()
    }

    fn session_in_line<'l>(&self, line: &'l str) -> Option<&'l str> {
        line.trim().strip_prefix("session id: ").map(str::trim).filter(|id| !id.is_empty())
    }

    fn rejects_resume(&self, text: &str, _: Option<i32>) -> bool {
        says(text, &["no rollout found for thread id", "No saved session found", "no session found with"])
    }

    fn stop(&self, _: Mode) -> Vec<StopStep> {
        STOP_INTERRUPT.to_vec()
    }

    fn survives_tool_kill(&self) -> bool {
        true
    }

    fn silence(&self, mode: Mode) -> Silence {
        Silence {
            // A stream may idle 300 s before it is taken for dead; then a line follows.
            normal_sec: mode.is_headless().then_some(360),
            // 5 streams that idle out. With a long retry-after, or without any network, it goes on without end.
            own_retries_sec: Some(1_500),
        }
    }

    fn stdin_habit(&self) -> StdinHabit {
        StdinHabit::ReadsToEnd
    }

    fn fix(&self, class: Class) -> String {
        match class {
            Class::AuthError => "run `codex login`, or set a valid API key.".to_owned(),
            Class::BudgetOver => "check the plan and the billing of the account.".to_owned(),
            Class::ModelUnavailable => "choose another model with --model.".to_owned(),
            class => plain_fix(self.name(), class),
        }
    }
}
