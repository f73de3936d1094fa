//! Claude Code, measured on 2.1.197; the options are those of its parser, the hidden ones too.

use std::path::{Path, PathBuf};

use crate::model::Class;

use super::arguments::{Arguments, Parser, Table, Takes};
use super::transcript::{Surroundings, Transcript, dashed};
use super::{
    Asked, Call, Invocation, LimitKeys, Mode, Profile, Prompt, Rewritten, STOP_GROUP, STOP_INTERRUPT,
    SessionRef, Silence, StdinHabit, StopStep, Terminals, Unable, plain_fix, prompt_of, refuse_unfresh,
    refuse_unresumable, says, stdin_for,
};

/// The profile.
#[derive(Debug)]
pub(super) struct Claude;

pub(super) static PROFILE: Claude = Claude;

const TABLE: Table = Table {
    parser: Parser::Commander,
    options: &[
        ("--add-dir", Takes::Many),
        ("--advisor", Takes::Value),
        ("--agent", Takes::Value),
        ("--agent-color", Takes::Value),
        ("--agent-id", Takes::Value),
        ("--agent-name", Takes::Value),
        ("--agent-type", Takes::Value),
        ("--agents", Takes::Value),
        ("--allow-dangerously-skip-permissions", Takes::Nothing),
        ("--allowed-tools --allowedTools", Takes::Many),
        ("--append-system-prompt", Takes::Value),
        ("--append-system-prompt-file", Takes::Value),
        ("--autocompact", Takes::Value),
        ("--ax-screen-reader", Takes::Nothing),
        ("--background --bg", Takes::Nothing),
        ("--bare", Takes::Nothing),
        ("--betas", Takes::Many),
        ("--brief", Takes::Nothing),
        ("--channels", Takes::Many),
        ("--chrome", Takes::Nothing),
        ("--cloud", Takes::Optional),
        ("--continue -c", Takes::Nothing),
        ("--dangerously-load-development-channels", Takes::Many),
        ("--dangerously-skip-permissions", Takes::Nothing),
        ("--debug -d", Takes::Optional),
        ("--debug-file", Takes::Value),
        ("--debug-to-stderr -d2e", Takes::Nothing),
        ("--disable-slash-commands", Takes::Nothing),
        ("--disallowed-tools --disallowedTools", Takes::Many),
        ("--effort", Takes::Value),
        ("--enable-auth-status", Takes::Nothing),
        ("--enable-auto-mode", Takes::Nothing),
        ("--exclude-dynamic-system-prompt-sections", Takes::Nothing),
        ("--fallback-model", Takes::Value),
        ("--file", Takes::Many),
        ("--fork-session", Takes::Nothing),
        ("--from-pr", Takes::Optional),
        ("--help -h", Takes::Nothing),
        ("--ide", Takes::Nothing),
        ("--include-hook-events", Takes::Nothing),
        ("--include-partial-messages", Takes::Nothing),
        ("--init", Takes::Nothing),
        ("--init-only", Takes::Nothing),
        ("--input-format", Takes::Value),
        ("--json-schema", Takes::Value),
        ("--maintenance", Takes::Nothing),
        ("--managed-settings", Takes::Value),
        ("--max-budget-usd", Takes::Value),
        ("--max-thinking-tokens", Takes::Value),
        ("--max-turns", Takes::Value),
        ("--mcp-config", Takes::Many),
        ("--mcp-debug", Takes::Nothing),
        ("--model", Takes::Value),
        ("--name -n", Takes::Value),
        ("--no-chrome", Takes::Nothing),
        ("--no-session-persistence", Takes::Nothing),
        ("--output-format", Takes::Value),
        ("--parent-session-id", Takes::Value),
        ("--permission-mode", Takes::Value),
        ("--permission-prompt-tool", Takes::Value),
        ("--permission-prompts", Takes::Value),
        ("--plan-mode-instructions", Takes::Value),
        ("--plan-mode-required", Takes::Nothing),
        ("--plugin-dir", Takes::Value),
        ("--plugin-dir-no-mcp", Takes::Value),
        ("--plugin-url", Takes::Value),
        ("--prefill", Takes::Value),
        ("--print -p", Takes::Nothing),
        ("--prompt-suggestions", Takes::Optional),
        ("--remote", Takes::Optional),
        ("--remote-control --rc", Takes::Optional),
        ("--remote-control-session-name-prefix", Takes::Value),
        ("--replay-user-messages", Takes::Nothing),
        ("--reply-on-resume", Takes::Nothing),
        ("--resume -r", Takes::Optional),
        ("--resume-session-at", Takes::Value),
        ("--rewind-files", Takes::Value),
        ("--safe-mode", Takes::Nothing),
        ("--sdk-url", Takes::Value),
        ("--session-id", Takes::Value),
        ("--setting-sources", Takes::Value),
        ("--settings", Takes::Value),
        ("--strict-mcp-config", Takes::Nothing),
        ("--system-prompt", Takes::Value),
        ("--system-prompt-file", Takes::Value),
        ("--task-budget", Takes::Value),
        ("--team-name", Takes::Value),
        ("--teammate-mode", Takes::Value),
        ("--teleport", Takes::Optional),
        ("--thinking", Takes::Value),
        ("--thinking-display", Takes::Value),
        ("--tmux", Takes::Nothing),
        ("--tools", Takes::Many),
        ("--verbose", Takes::Nothing),
        ("--version -v", Takes::Nothing),
        ("--workload", Takes::Value),
        ("--worktree -w", Takes::Optional),
    ],
};

/// First words that are commands and no prompts.
const COMMANDS: &[&str] = &[
    "agents", "auth", "auto-mode", "config", "doctor", "gateway", "install", "mcp", "migrate-installer", "plugin",
    "plugins", "project", "remote-control", "setup-token", "ultrareview", "update", "upgrade",
];

/// Options that make something else of it than a run.
const ASIDES: &[&str] =
    &["--help", "--version", "--init-only", "--maintenance", "--background", "--cloud", "--remote", "--rewind-files"];

/// Options that say which session; dropped before another is asked for. A prefilled prompt goes with them.
const SESSION: &[&str] = &[
    "--session-id",
    "--resume",
    "--continue",
    "--fork-session",
    "--from-pr",
    "--resume-session-at",
    "--reply-on-resume",
    "--teleport",
    "--prefill",
];

/// How many letters of a path Claude takes as they are before it adds a hash.
const MAX_FOLDER: usize = 200;

/// The call without session and prompt, with these words in front of it.
fn rewrite(call: &Call<'_>, front: &[&str], prompt: &str) -> Rewritten {
    let mut arguments = Arguments::read(&TABLE, call.arguments).without(SESSION).without_words(0);
    let front: Vec<&str> = front.iter().copied().chain([prompt]).collect();
    arguments.prepend(&front);
    Rewritten {
        arguments: arguments.write(),
        stdin: stdin_for(call.invocation.mode),
        session: None,
    }
}

/// The words that name a session to resume.
fn resume_words(session: &SessionRef) -> Vec<&str> {
    match session {
        SessionRef::Id(id) => vec!["--resume", id],
        SessionRef::Latest => vec!["--continue"],
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// The folder of a project's transcripts.
fn folder(cwd: &Path) -> String {
    let name = dashed(cwd);
    if name.len() <= MAX_FOLDER {
        return name;
    }
    let units = cwd.to_string_lossy();
    let hash = units.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_shl(5).wrapping_sub(hash).wrapping_add(i32::from(unit))
    });
    format!("{}-{}", &name[..MAX_FOLDER], base36(hash.unsigned_abs()))
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(number % 36, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

impl Profile for Claude {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn is_named(&self, name: &str) -> bool {
        matches!(name, "claude" | "claude-code" | "@anthropic-ai/claude-code")
    }

    fn read(&self, arguments: &[String], terminals: Terminals) -> Invocation {
        let arguments = Arguments::read(&TABLE, arguments);
        let word = arguments.words().next();
        if ASIDES.iter().any(|name| arguments.has(name)) || word.is_some_and(|word| COMMANDS.contains(&word)) {
            return Invocation::aside();
        }
        let mode = if arguments.value("--input-format") == Some("stream-json") || arguments.has("--sdk-url") {
            Mode::Driven
        } else if !arguments.has("--print") && terminals.stdout {
            Mode::Interactive
        } else {
            match arguments.value("--output-format") {
                Some("stream-json") => Mode::StreamJson,
                Some("json") => Mode::Json,
                _ => Mode::Text,
            }
        };
        let asked = if let Some(id) = arguments.value("--session-id") {
            Asked::NewAs(id.to_owned())
        } else if arguments.has("--fork-session") {
            Asked::Forked
        } else if arguments.has("--continue") {
            Asked::Latest
        } else if arguments.has("--resume") {
            match arguments.value("--resume") {
                Some(id) if is_uuid(id) => Asked::Resumed(id.to_owned()),
                _ => Asked::Picked,
            }
        } else if arguments.has("--from-pr") || arguments.has("--teleport") {
            Asked::Picked
        } else {
            Asked::New
        };
        let prompt = prompt_of(word.map(str::to_owned), terminals);
        Invocation {
            mode,
            prompt: if mode == Mode::Driven { Prompt::Stdin } else { prompt },
            asked,
            model: arguments.value("--model").map(str::to_owned),
            directory: None,
            kept: !arguments.has("--no-session-persistence"),
            doubtful: arguments.doubtful().map(str::to_owned),
        }
    }

    fn prepare(&self, arguments: &[String], invocation: &Invocation, uuid: &str) -> Option<Vec<String>> {
        let can = invocation.mode != Mode::Aside && invocation.asked == Asked::New && invocation.kept;
        can.then(|| {
            let mut prepared = vec!["--session-id".to_owned(), uuid.to_owned()];
            prepared.extend_from_slice(arguments);
            prepared
        })
    }

    fn resume(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        Ok(rewrite(call, &resume_words(session), prompt))
    }

    fn fresh(&self, call: &Call<'_>, prompt: &str, uuid: &str) -> Result<Rewritten, Unable> {
        refuse_unfresh(call)?;
        if !call.invocation.kept {
            return Ok(rewrite(call, &[], prompt));
        }
        let rewritten = rewrite(call, &["--session-id", uuid], prompt);
        Ok(Rewritten { session: Some(uuid.to_owned()), ..rewritten })
    }

    fn rewind(
        &self,
        call: &Call<'_>,
        session: &SessionRef,
        message: &str,
        prompt: &str,
        uuid: &str,
    ) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        if !call.invocation.mode.is_headless() {
            return Err(Unable::new("it goes back only where it prints"));
        }
        let SessionRef::Id(id) = session else { return Err(Unable::new("it goes back only in a session with an id")) };
        // A tool call that loses its result is told so; the model knows then what it had done.
        let front =
            ["--resume", id, "--resume-session-at", message, "--fork-session", "--session-id", uuid];
        Ok(Rewritten { session: Some(uuid.to_owned()), ..rewrite(call, &front, prompt) })
    }

    fn fork(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        let mut front = resume_words(session);
        front.push("--fork-session");
        Ok(rewrite(call, &front, prompt))
    }

    fn compact(&self, call: &Call<'_>, session: &SessionRef) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        if !call.invocation.mode.is_headless() {
            return Err(Unable::new("a person uses it"));
        }
        if Arguments::read(&TABLE, call.arguments).has("--disable-slash-commands") {
            return Err(Unable::new("its commands are switched off"));
        }
        Ok(rewrite(call, &resume_words(session), "/compact"))
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
        let projects = surroundings.directory("CLAUDE_CONFIG_DIR", ".claude")?.join("projects");
        let directory = projects.join(folder(&surroundings.cwd_of(invocation.directory.as_deref())));
        Some(match session {
            Some(id) => Transcript::File(directory.join(format!("{id}.jsonl"))),
            None => Transcript::newest_in(directory, ".jsonl"),
        })
    }

    fn archives(&self, surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
        let folders = [".claude", ".config/claude"].map(|below| surroundings.directory("CLAUDE_CONFIG_DIR", below));
        folders.into_iter().flatten().map(|folder| folder.join("projects")).collect()
    }

    fn session_in_line<'l>(&self, line: &'l str) -> Option<&'l str> {
        // What the interactive one says as it ends.
        let (_, id) = line.split_once("claude --resume ")?;
        let id = id.split_whitespace().next()?;
        is_uuid(id).then_some(id)
    }

    fn rejects_resume(&self, text: &str, _: Option<i32>) -> bool {
        says(text, &["No conversation found with session ID", "No deferred tool marker found in the resumed session"])
            || says(text, &["No conversation found to continue", "--resume requires a valid session"])
            || text.contains("No message found with message.uuid")
    }

    fn session_is_taken(&self, text: &str) -> bool {
        text.contains("Session ID") && text.contains("is already in use")
    }

    fn stop(&self, mode: Mode) -> Vec<StopStep> {
        // Interactive, it takes the first SIGINT for a key; SIGTERM makes it save and say how to resume.
        if mode == Mode::Interactive { STOP_GROUP.to_vec() } else { STOP_INTERRUPT.to_vec() }
    }

    fn survives_tool_kill(&self) -> bool {
        true
    }

    fn silence(&self, mode: Mode) -> Silence {
        Silence {
            // A request may run 600 s (its own default), and so may a tool.
            normal_sec: (mode == Mode::StreamJson).then_some(660),
            // 10 retries, at most about 36 s apart: a little over 3 min.
            own_retries_sec: Some(240),
        }
    }

    fn stdin_habit(&self) -> StdinHabit {
        StdinHabit::WaitsBriefly
    }

    fn continues_by_itself(&self, text: &str) -> bool {
        says(text, &["then continue automatically", "will continue automatically", "Continuing automatically"])
    }

    fn limit_keys(&self) -> Option<LimitKeys> {
        // Escape leaves the menu and may bring back the last prompt; Ctrl-U empties the box.
        Some(LimitKeys { leave: "\u{1b}", clear: "\u{15}", enter: "\r" })
    }

    fn fix(&self, class: Class) -> String {
        match class {
            Class::AuthError => "run `claude` and `/login`, or set a valid ANTHROPIC_API_KEY.".to_owned(),
            Class::BudgetOver => "add credit at the provider, or raise --max-budget-usd if that ended it.".to_owned(),
            Class::ModelUnavailable => "choose another model with --model.".to_owned(),
            Class::TokenLimit => "start anew with a shorter prompt, or fewer and smaller files.".to_owned(),
            class => plain_fix(self.name(), class),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_get_a_hash() {
        assert_eq!(folder(Path::new("/home/u/my.proj_x")), "-home-u-my-proj-x");
        let long = format!("/{}", "a".repeat(200));
        let name = folder(Path::new(&long));
        // The hash as JavaScript counts it: s*31 + code, in 32 bits, its absolute value to the base 36.
        assert_eq!(name, format!("-{}-{}", "a".repeat(199), base36(expected_hash(&long))));
        assert_eq!(base36(0), "0");
        assert_eq!(base36(35), "z");
        assert_eq!(base36(36 * 36), "100");
    }

    /// The same hash, counted the slow way.
    fn expected_hash(text: &str) -> u32 {
        let mut hash: i64 = 0;
        for unit in text.encode_utf16() {
            hash = (hash * 31 + i64::from(unit)) & 0xffff_ffff;
        }
        let signed = if hash >= 1 << 31 { hash - (1 << 32) } else { hash };
        u32::try_from(signed.abs()).unwrap()
    }
}
