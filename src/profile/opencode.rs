//! opencode, measured on 1.18.33.

use crate::model::Class;

use super::arguments::{Arguments, Parser, Table, Takes};
use super::transcript::{Surroundings, Transcript};
use super::{
    Asked, Call, Invocation, Mode, Profile, Prompt, Rewritten, STOP_TREE, SessionRef, Silence, StdinHabit,
    StopStep, Terminals, Unable, plain_fix, prompt_of, refuse_unfresh, refuse_unresumable, says, stdin_for,
};

/// The profile.
#[derive(Debug)]
pub(super) struct Opencode;

pub(super) static PROFILE: Opencode = Opencode;

/// The options of `run` and of the interactive one: where both have one, they agree on it.
const TABLE: Table = Table {
    parser: Parser::Yargs,
    options: &[
        ("--agent", Takes::Value),
        ("--attach", Takes::Value),
        ("--auto", Takes::Nothing),
        ("--command", Takes::Value),
        ("--continue -c", Takes::Nothing),
        ("--cors", Takes::Many),
        ("--dangerously-skip-permissions", Takes::Nothing),
        ("--demo", Takes::Nothing),
        ("--dir", Takes::Value),
        ("--file -f", Takes::Many),
        ("--fork", Takes::Nothing),
        ("--format", Takes::Value),
        ("--help -h", Takes::Nothing),
        ("--hostname", Takes::Value),
        ("--interactive -i", Takes::Nothing),
        ("--log-level", Takes::Value),
        ("--mdns", Takes::Nothing),
        ("--mdns-domain", Takes::Value),
        ("--mini", Takes::Nothing),
        ("--model -m", Takes::Value),
        ("--password -p", Takes::Value),
        ("--port", Takes::Value),
        ("--print-logs", Takes::Nothing),
        ("--prompt", Takes::Value),
        ("--pure", Takes::Nothing),
        ("--replay", Takes::Nothing),
        ("--replay-limit", Takes::Value),
        ("--session -s", Takes::Value),
        ("--share", Takes::Nothing),
        ("--thinking", Takes::Nothing),
        ("--title", Takes::Value),
        ("--username -u", Takes::Value),
        ("--variant", Takes::Value),
        ("--version -v", Takes::Nothing),
        ("--yolo", Takes::Nothing),
    ],
};

/// First words that are commands, beside `run`. Any other first word is a folder for the interactive one.
const COMMANDS: &[&str] = &[
    "acp", "agent", "attach", "auth", "completion", "console", "db", "debug", "export", "github", "import", "mcp",
    "models", "plugin", "pr", "providers", "serve", "session", "stats", "uninstall", "upgrade", "web",
];

/// Options that choose the session or belong to the first prompt.
const SESSION: &[&str] = &["--session", "--continue", "--fork", "--prompt", "--file", "--title", "--command"];

fn rewrite(call: &Call<'_>, drop: &[&str], session: &[&str], prompt: &str) -> Rewritten {
    let arguments = Arguments::read(&TABLE, call.arguments).without(drop);
    let is_run = call.invocation.mode.is_headless();
    // `run` stays, and so does the folder of the interactive one.
    let mut arguments = arguments.without_words(1);
    if is_run {
        arguments = arguments.without_words(0);
        let front: Vec<&str> = ["run"].into_iter().chain(session.iter().copied()).chain([prompt]).collect();
        arguments.prepend(&front);
    } else {
        let front: Vec<&str> = session.iter().copied().chain(["--prompt", prompt]).collect();
        arguments.prepend(&front);
    }
    Rewritten { arguments: arguments.write(), stdin: stdin_for(call.invocation.mode), session: None }
}

impl Profile for Opencode {
    fn name(&self) -> &'static str {
        "opencode"
    }

    fn is_named(&self, name: &str) -> bool {
        matches!(name, "opencode" | "opencode-ai")
    }

    fn read(&self, arguments: &[String], terminals: Terminals) -> Invocation {
        let arguments = Arguments::read(&TABLE, arguments);
        let words: Vec<&str> = arguments.words().collect();
        let is_aside = arguments.has("--help") || arguments.has("--version");
        if is_aside || words.first().is_some_and(|word| COMMANDS.contains(word)) {
            return Invocation::aside();
        }
        let is_run = words.first() == Some(&"run");
        let mode = match (is_run, arguments.value("--format")) {
            (false, _) => Mode::Interactive,
            (true, _) if arguments.has("--interactive") => Mode::Interactive,
            (true, Some("json")) => Mode::StreamJson,
            (true, _) => Mode::Text,
        };
        let prompt = match is_run {
            true => (words.len() > 1).then(|| words[1..].join(" ")),
            false => arguments.value("--prompt").map(str::to_owned),
        };
        let asked = match arguments.value("--session") {
            _ if arguments.has("--fork") => Asked::Forked,
            Some(id) => Asked::Resumed(id.to_owned()),
            None if arguments.has("--continue") => Asked::Latest,
            None => Asked::New,
        };
        Invocation {
            mode,
            prompt: match mode {
                Mode::Interactive => prompt.map_or(Prompt::None, Prompt::Argument),
                _ => prompt_of(prompt, terminals),
            },
            asked,
            model: arguments.value("--model").map(str::to_owned),
            directory: arguments.value("--dir").map(str::to_owned),
            kept: true,
            doubtful: arguments.doubtful().map(str::to_owned),
        }
    }

    fn resume(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        Ok(match session {
            SessionRef::Id(id) => rewrite(call, SESSION, &["--session", id], prompt),
            SessionRef::Latest => rewrite(call, SESSION, &["--continue"], prompt),
        })
    }

    fn fresh(&self, call: &Call<'_>, prompt: &str, _: &str) -> Result<Rewritten, Unable> {
        refuse_unfresh(call)?;
        if Arguments::read(&TABLE, call.arguments).has("--command") {
            return Err(Unable::new("it runs a command of its own, not a prompt"));
        }
        // Files go with the task.
        Ok(rewrite(call, &["--session", "--continue", "--fork", "--prompt"], &[], prompt))
    }

    fn fork(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        Ok(match session {
            SessionRef::Id(id) => rewrite(call, SESSION, &["--session", id, "--fork"], prompt),
            SessionRef::Latest => rewrite(call, SESSION, &["--continue", "--fork"], prompt),
        })
    }

    fn with_model(&self, arguments: &[String], model: &str) -> Result<Vec<String>, Unable> {
        let mut read = Arguments::read(&TABLE, arguments);
        read.set("--model", model);
        Ok(read.write())
    }

    fn transcript(
        &self,
        surroundings: &Surroundings<'_>,
        invocation: &Invocation,
        _: Option<&str>,
    ) -> Option<Transcript> {
        if invocation.mode == Mode::Aside {
            return None;
        }
        // The sessions are in a database; the log has their ids and the errors of the provider, at once.
        let data = surroundings.directory("XDG_DATA_HOME", ".local/share")?;
        Some(Transcript::File(data.join("opencode/log/opencode.log")))
    }

    fn session_in_line<'l>(&self, line: &'l str) -> Option<&'l str> {
        let (_, id) = line.split_once("session.id=").or_else(|| line.split_once("sessionID="))?;
        let id = id.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        id.starts_with("ses_").then_some(id)
    }

    fn rejects_resume(&self, text: &str, _: Option<i32>) -> bool {
        says(text, &["Session not found"])
    }

    fn stop(&self, _: Mode) -> Vec<StopStep> {
        // Any signal to it alone leaves its tools behind.
        STOP_TREE.to_vec()
    }

    fn logs_each_try(&self) -> bool {
        true
    }

    fn silence(&self, _: Mode) -> Silence {
        // It obeys any time that a server names, for days, and prints nothing meanwhile.
        Silence { normal_sec: Some(660), own_retries_sec: None }
    }

    fn stdin_habit(&self) -> StdinHabit {
        StdinHabit::ReadsToEnd
    }

    fn fix(&self, class: Class) -> String {
        match class {
            Class::AuthError => "run `opencode auth login`, or set a valid key.".to_owned(),
            Class::ModelUnavailable => "choose another model with --model provider/model.".to_owned(),
            class => plain_fix(self.name(), class),
        }
    }
}
