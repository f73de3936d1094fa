//! aider, measured on 0.86.2. It has no sessions: a run is started again.

use crate::model::Class;

use super::arguments::{Arguments, Parser, Table, Takes};
use super::transcript::{Surroundings, Transcript};
use super::{
    Asked, Call, Invocation, Mode, Profile, Prompt, Rewritten, SessionRef, Silence, StdinHabit, Terminals, Unable,
    plain_fix, refuse_unfresh,
};

/// The profile.
#[derive(Debug)]
pub(super) struct Aider;

pub(super) static PROFILE: Aider = Aider;

/// Switches; every other long option takes a value, but for those cut short or negated.
const TABLE: Table = Table {
    parser: Parser::Argparse,
    options: &[
        ("--35turbo --35-turbo --3 -3", Takes::Nothing),
        ("--4 -4", Takes::Nothing),
        ("--4-turbo", Takes::Nothing),
        ("--4o", Takes::Nothing),
        ("--aiderignore", Takes::Value),
        ("--alias", Takes::Value),
        ("--add-gitignore-files", Takes::Nothing),
        ("--analytics", Takes::Nothing),
        ("--analytics-disable", Takes::Nothing),
        ("--analytics-log", Takes::Value),
        ("--analytics-posthog-host", Takes::Value),
        ("--analytics-posthog-project-api-key", Takes::Value),
        ("--anthropic-api-key", Takes::Value),
        ("--api-key", Takes::Value),
        ("--apply", Takes::Value),
        ("--apply-clipboard-edits", Takes::Nothing),
        ("--architect", Takes::Nothing),
        ("--assistant-output-color", Takes::Value),
        ("--attribute-author", Takes::Nothing),
        ("--attribute-co-authored-by", Takes::Nothing),
        ("--attribute-commit-message-author", Takes::Nothing),
        ("--attribute-commit-message-committer", Takes::Nothing),
        ("--attribute-committer", Takes::Nothing),
        ("--auto-accept-architect", Takes::Nothing),
        ("--auto-commits", Takes::Nothing),
        ("--auto-lint", Takes::Nothing),
        ("--auto-test", Takes::Nothing),
        ("--cache-keepalive-pings", Takes::Value),
        ("--cache-prompts", Takes::Nothing),
        ("--chat-history-file", Takes::Value),
        ("--chat-language", Takes::Value),
        ("--check-model-accepts-settings", Takes::Nothing),
        ("--check-update", Takes::Nothing),
        ("--code-theme", Takes::Value),
        ("--commit", Takes::Nothing),
        ("--commit-language", Takes::Value),
        ("--commit-prompt", Takes::Value),
        ("--completion-menu-bg-color", Takes::Value),
        ("--completion-menu-color", Takes::Value),
        ("--completion-menu-current-bg-color", Takes::Value),
        ("--completion-menu-current-color", Takes::Value),
        ("--config -c", Takes::Value),
        ("--copy-paste", Takes::Nothing),
        ("--dark-mode", Takes::Nothing),
        ("--deepseek", Takes::Nothing),
        ("--detect-urls", Takes::Nothing),
        ("--dirty-commits", Takes::Nothing),
        ("--disable-playwright", Takes::Nothing),
        ("--dry-run", Takes::Nothing),
        ("--edit-format --chat-mode", Takes::Value),
        ("--editor", Takes::Value),
        ("--editor-edit-format", Takes::Value),
        ("--editor-model", Takes::Value),
        ("--encoding", Takes::Value),
        ("--env-file", Takes::Value),
        ("--exit", Takes::Nothing),
        ("--fancy-input", Takes::Nothing),
        ("--file", Takes::Value),
        ("--git", Takes::Nothing),
        ("--git-commit-verify", Takes::Nothing),
        ("--gitignore", Takes::Nothing),
        ("--gui --browser", Takes::Nothing),
        ("--haiku", Takes::Nothing),
        ("--help -h", Takes::Nothing),
        ("--input-history-file", Takes::Value),
        ("--install-main-branch", Takes::Nothing),
        ("--just-check-update", Takes::Nothing),
        ("--light-mode", Takes::Nothing),
        ("--line-endings", Takes::Value),
        ("--lint", Takes::Nothing),
        ("--lint-cmd", Takes::Value),
        ("--list-models --models", Takes::Value),
        ("--llm-history-file", Takes::Value),
        ("--load", Takes::Value),
        ("--map-multiplier-no-files", Takes::Value),
        ("--map-refresh", Takes::Value),
        ("--map-tokens", Takes::Value),
        ("--max-chat-history-tokens", Takes::Value),
        ("--message --msg -m", Takes::Value),
        ("--message-file -f", Takes::Value),
        ("--mini", Takes::Nothing),
        ("--model", Takes::Value),
        ("--model-metadata-file", Takes::Value),
        ("--model-settings-file", Takes::Value),
        ("--multiline", Takes::Nothing),
        ("--notifications", Takes::Nothing),
        ("--notifications-command", Takes::Value),
        ("--o1-mini", Takes::Nothing),
        ("--o1-preview", Takes::Nothing),
        ("--openai-api-base", Takes::Value),
        ("--openai-api-deployment-id", Takes::Value),
        ("--openai-api-key", Takes::Value),
        ("--openai-api-type", Takes::Value),
        ("--openai-api-version", Takes::Value),
        ("--openai-organization-id", Takes::Value),
        ("--opus", Takes::Nothing),
        ("--pretty", Takes::Nothing),
        ("--read", Takes::Value),
        ("--reasoning-effort", Takes::Value),
        ("--restore-chat-history", Takes::Nothing),
        ("--set-env", Takes::Value),
        ("--shell-completions", Takes::Value),
        ("--show-diffs", Takes::Nothing),
        ("--show-model-warnings", Takes::Nothing),
        ("--show-prompts", Takes::Nothing),
        ("--show-release-notes", Takes::Nothing),
        ("--show-repo-map", Takes::Nothing),
        ("--skip-sanity-check-repo", Takes::Nothing),
        ("--sonnet", Takes::Nothing),
        ("--stream", Takes::Nothing),
        ("--subtree-only", Takes::Nothing),
        ("--suggest-shell-commands", Takes::Nothing),
        ("--test", Takes::Nothing),
        ("--test-cmd", Takes::Value),
        ("--thinking-tokens", Takes::Value),
        ("--timeout", Takes::Value),
        ("--tool-error-color", Takes::Value),
        ("--tool-output-color", Takes::Value),
        ("--tool-warning-color", Takes::Value),
        ("--upgrade --update", Takes::Nothing),
        ("--user-input-color", Takes::Value),
        ("--verbose -v", Takes::Nothing),
        ("--verify-ssl", Takes::Nothing),
        ("--version", Takes::Nothing),
        ("--vim", Takes::Nothing),
        ("--voice-format", Takes::Value),
        ("--voice-input-device", Takes::Value),
        ("--voice-language", Takes::Value),
        ("--watch-files", Takes::Nothing),
        ("--weak-model", Takes::Value),
        ("--yes --yes-always", Takes::Nothing),
    ],
};

const ASIDES: &[&str] = &[
    "--help", "--version", "--list-models", "--just-check-update", "--upgrade", "--install-main-branch", "--commit",
    "--show-repo-map", "--show-prompts", "--shell-completions", "--exit", "--gui", "--apply",
];

impl Profile for Aider {
    fn name(&self) -> &'static str {
        "aider"
    }

    fn is_named(&self, name: &str) -> bool {
        matches!(name, "aider" | "aider-chat")
    }

    fn read(&self, arguments: &[String], _: Terminals) -> Invocation {
        let arguments = Arguments::read(&TABLE, arguments);
        if ASIDES.iter().any(|name| arguments.has(name)) {
            return Invocation::aside();
        }
        // Words are files to edit. Once given both, it takes the message.
        let (mode, prompt) = match (arguments.value("--message"), arguments.value("--message-file")) {
            (Some(text), _) => (Mode::Text, Prompt::Argument(text.to_owned())),
            (None, Some(file)) => (Mode::Text, Prompt::File(file.to_owned())),
            (None, None) => (Mode::Interactive, Prompt::None),
        };
        Invocation {
            mode,
            prompt,
            asked: Asked::New,
            model: arguments.value("--model").map(str::to_owned),
            directory: None,
            kept: false,
            // A word is a file and never the prompt, so nothing can be mistaken.
            doubtful: None,
        }
    }

    fn resume(&self, _: &Call<'_>, _: &SessionRef, _: &str) -> Result<Rewritten, Unable> {
        Err(Unable::new("it has no sessions"))
    }

    fn fresh(&self, call: &Call<'_>, prompt: &str, _: &str) -> Result<Rewritten, Unable> {
        refuse_unfresh(call)?;
        if !call.invocation.mode.is_headless() {
            return Err(Unable::new("a person uses it"));
        }
        let mut arguments = Arguments::read(&TABLE, call.arguments).without(&["--message-file"]);
        arguments.set("--message", prompt);
        Ok(Rewritten::with_prompt(arguments.write()))
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
        _: Option<&str>,
    ) -> Option<Transcript> {
        // In a repository it lies at the top, which cannot be told from here; what it prints is as good.
        let _ = (surroundings, invocation);
        None
    }

    fn silence(&self, _: Mode) -> Silence {
        Silence {
            // A request without streaming prints nothing; litellm gives one 600 s.
            normal_sec: Some(660),
            // 0.25 s, doubled up to 60 s.
            own_retries_sec: Some(120),
        }
    }

    /// 0 for a wrong key and for a full context alike.
    fn succeeds_whatever_happens(&self, _: Mode) -> bool {
        true
    }

    fn stdin_habit(&self) -> StdinHabit {
        StdinHabit::AsNeeded
    }

    fn fix(&self, class: Class) -> String {
        match class {
            Class::AuthError => "give it a valid key with --api-key provider=key, or in the environment.".to_owned(),
            Class::ModelUnavailable => "choose another model with --model; --list-models shows them.".to_owned(),
            class => plain_fix(self.name(), class),
        }
    }
}
