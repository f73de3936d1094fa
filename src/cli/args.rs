//! The command line. The manual pages and the completions are made from this file, as are their tests.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueHint, value_parser};
use clap_complete::Shell;
use jiff::civil::Date;

use crate::child::group::Target;
use crate::engine::detect::loops::calibrate::DEFAULT_RATE;
use crate::engine::format::FORMATS;
use crate::engine::usage::report::By;
use crate::model::Strategy;
use crate::runtime::wrap::act::BackoffMode;
use crate::runtime::wrap::plan::PtyMode;
use crate::settings::{Color, EVENT_TYPES, FAIL_ON, Flag, Format};

const EXIT_STATUS: &str = "\
Exit status:
  0   fine: everything was read, whatever was found; or the reader of the output had enough
  1   tap --fail-on: an alert at or above that severity; rules test: a test failed; check-tokens: warning
  2   check-tokens: critical
  64  the command line is wrong
  65  an input is damaged (what could be read of it was)
  66  an input is missing or cannot be opened
  69  something needed is not there
  70  a mistake in this program
  73  an output cannot be created
  74  reading or writing failed in the middle
  78  the settings are wrong
  wrap ends as the command does, also by the same signal. Its own are:
  124 a time limit ended the command
  125 wrapping failed, for whatever reason
  126 the command cannot be executed
  127 there is no such command
  When SIGINT or SIGTERM ends it, it says what it knows and then ends by that signal.";

const PROGRAM_NOTES: &str = "\
Examples:
  claude -p 'fix the tests' --output-format stream-json --verbose | session-doctor tap
  session-doctor tap ~/.claude/projects --emit alert,summary --format text
  session-doctor explain 'API Error: 529 Overloaded'

Files:
  /etc/session-doctor/config.toml
  $XDG_CONFIG_HOME/session-doctor/config.toml (or ~/.config/session-doctor/config.toml)
  .session-doctor.toml in the project
  `session-doctor config paths` tells which of them are there.

Environment:
  SESSION_DOCTOR_<KEY>  sets a key of the configuration, lists separated by commas
  NO_COLOR              turns colours off, unless --color says otherwise";

const TAP_NOTES: &str = "\
Examples:
  Watch an agent and act on what should be done:
    agent | session-doctor tap | jq 'select(.type == \"decision\")'
  Leave the output of the agent as it is, events go to a file:
    agent | session-doctor tap --pass-through --events events.jsonl | tee agent.log
  Look through old transcripts, packed ones too:
    session-doctor tap --emit alert,summary ~/.claude/projects ~/.codex/sessions
  Watch sessions that others started, also those that begin later:
    session-doctor tap --follow --new-only ~/.claude/projects ~/.codex/sessions
  Fail a CI job when a person is needed:
    agent 2>&1 | session-doctor tap --fail-on critical --format text";

const WRAP_NOTES: &str = "\
Examples:
  Run an agent as if it were called directly, with its events in a file:
    session-doctor wrap --events events.jsonl -- claude -p 'fix the tests' --output-format stream-json --verbose
  End it after two hours, or when it has said nothing for ten minutes:
    session-doctor wrap --timeout 2h --idle-timeout 10m -- codex exec 'fix the tests'
  Read the events, and let the agent's own output go to standard error:
    session-doctor wrap --events - -- agent | jq 'select(.type == \"alert\")'

Signals:
  SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2 are passed on to the command. The same one of the first
  four again, within the grace, kills it and all that it started. When session-doctor itself is killed, so is
  all that it started.";

const USAGE_NOTES: &str = "\
Examples:
  session-doctor usage
  session-doctor usage session --since 2026-11-01 --breakdown ~/.claude/projects
  session-doctor usage models --json | jq '.rows[] | {model, cost_usd}'
  claude -p 'fix it' --output-format stream-json --verbose | session-doctor usage -
  A folder that is named like a report:
    session-doctor usage ./daily";

const CHECK_TOKENS_NOTES: &str = "\
Examples:
  session-doctor check-tokens
  session-doctor check-tokens --session 6b0c1f7e-0d54-4b6e-9f0e-2f6f0a6d9b11 --critical 85
  session-doctor check-tokens --json transcript.jsonl | jq .percent
  End a loop when the window is nearly full:
    session-doctor check-tokens > /dev/null; [ $? -eq 2 ] && break";

const LIST_SESSIONS_NOTES: &str = "\
Examples:
  session-doctor list-sessions
  session-doctor list-sessions --all --agent codex --limit 0
  The transcript of the newest session:
    session-doctor list-sessions --limit 1 --json | jq -r .path";

const PRICES_NOTES: &str = "\
Examples:
  session-doctor prices list claude-opus-4-6 gpt-5
  curl -LO https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json
  session-doctor prices update --file model_prices_and_context_window.json";

const STATUSLINE_NOTES: &str = "\
Examples:
  In ~/.claude/settings.json:
    { \"statusLine\": { \"type\": \"command\", \"command\": \"session-doctor statusline --color always\" } }";

const EXPLAIN_NOTES: &str = "\
Examples:
  session-doctor explain 'API Error: 429 rate_limit_error'
  tail -n 1 agent.log | session-doctor explain -
  session-doctor explain --loops ~/.claude/projects/app/session.jsonl";

const RULES_NOTES: &str = "\
Examples:
  session-doctor rules list --format json | jq -r 'select(.from != \"built-in\") | .id'
  session-doctor rules check my-rules.toml
  session-doctor rules test my-rules.toml

Own rules:
  Configuration files may hold rules:
    [[rule]]
    id = \"gateway_busy\"
    class = \"overloaded\"
    line = 'gateway: no free slot'
  A rule with the id of a built-in one replaces it; with disabled = true it switches it off. Patterns see
  lower-case text. `line` is for plain lines, from where the line's own words begin; `text` for the words of a
  failure, wherever they stand.";

const RULES_TEST_NOTES: &str = "\
Examples:
  Rules and their tests may stand in one file:
    [[test]]
    line = \"gateway: no free slot\"
    expect = \"overloaded\"
    rule = \"gateway_busy\"
    [[test]]
    text = \"the gateway is fine\"
    origin = \"provider\"
    expect = \"none\"
  session-doctor rules test my-rules.toml";

const CALIBRATE_NOTES: &str = "\
Examples:
  session-doctor calibrate ~/.claude/projects
  session-doctor calibrate ~/.codex/sessions --false-stop-rate 0.05 --write
  session-doctor calibrate runs/ --format json | jq 'select(.stopped_held_out > 0)'

What it says:
  Each agent's runs are measured: 1 is where the limits would interrupt. The limits are then raised, all by the same
  factor, so far that of good runs like these no more than the rate are interrupted, by whichever detector. That takes
  99 runs for 1 %, 19 for 5 %. Runs that did not end well, and those of fewer than 4 steps, are left out; whether the
  others were good is yours to say. Limits are lowered only with --allow-lower, and when to warn stays as it is.";

const CONFIG_NOTES: &str = "\
Examples:
  session-doctor config show --origins
  session-doctor config show > ~/.config/session-doctor/config.toml
  SESSION_DOCTOR_THREADS=1 session-doctor config show --format json | jq .threads";

const COMPLETIONS_NOTES: &str = "\
Examples:
  session-doctor completions bash > ~/.local/share/bash-completion/completions/session-doctor
  session-doctor completions zsh > ~/.zfunc/_session-doctor
  session-doctor completions fish > ~/.config/fish/completions/session-doctor.fish";

const MAN_NOTES: &str = "\
Examples:
  session-doctor man | man -l -
  session-doctor man --dir ~/.local/share/man/man1";

/// Reads what AI coding agents print and tells real failures from text that merely mentions them.
///
/// What comes in are the streams and transcripts of Claude Code, Codex, Gemini, Qwen and others, or plain
/// terminal output. What goes out are events, one JSON object a line: findings, alerts, decisions, a summary.
#[derive(Debug, Parser)]
#[command(
    name = "session-doctor",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_long_help = format!("{PROGRAM_NOTES}\n\n{EXIT_STATUS}")
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub globals: Globals,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Globals {
    /// Read this configuration file over the system's, the user's and the project's.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never.
    #[arg(long, global = true, value_name = "WHEN", value_parser = PossibleValuesParser::new(Color::NAMES))]
    pub color: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read agents' output from standard input, files or directories, and write events.
    ///
    /// A file is read whatever its name; of a directory, the files ending in .jsonl .log .txt .md .json .traj
    /// are, those with .gz or .zst behind it too. Files are read side by side, and each is a session of its own
    /// unless its records say otherwise.
    Tap(TapArgs),
    /// Run a command and watch it, changing nothing that it or anybody else could notice.
    ///
    /// Its output, its input, its terminal, signals and its exit status are as if it had been called directly.
    /// Alerts and decisions are told on standard error, or all events where --events says.
    Wrap(Box<WrapArgs>),
    /// Tell what agents used and what it cost, from their transcripts.
    ///
    /// Reports are daily (when none is named), weekly, monthly, session, blocks (the five hours of a subscription's
    /// window) and models. What is told twice counts once: blocks of one message, resumed and copied sessions, running
    /// totals. A model without a known price has no cost and is named, not counted as free. Costs are what the API
    /// would charge; subscriptions are not charged by the token.
    Usage(UsageArgs),
    /// Tell how full the context window of a session is, and end with 0 (ok), 1 (warning) or 2 (critical).
    ///
    /// Without a file, a session or a directory: the newest session of the project in the current directory, in the
    /// agents' own folders. The figure is what the last request sent and got; after a compaction, or where the agent
    /// tells no usage, it is an estimate and says so. Sub-agents have windows of their own, which do not count. Where
    /// nothing can be said, the status is none of the three.
    CheckTokens(CheckTokensArgs),
    /// Draw Claude Code's status line: the model, how full the context window is, the cost, when the five hours reset.
    ///
    /// Reads on standard input what Claude Code tells the command of its status line, and writes one line. How full the
    /// window is, is the end of the transcript's word where Claude Code does not say it. What makes no sense is no failure.
    Statusline(StatuslineArgs),
    /// List the sessions that are in the agents' own folders, the newest first.
    ///
    /// Those of the project in the current directory, as check-tokens finds it, or of all with --all. How full the context
    /// window is, is told where the end of the transcript says it, or the whole of one that is not long.
    ListSessions(ListSessionsArgs),
    /// Show what models cost, and use a newer list of prices.
    Prices(PricesArgs),
    /// Tell what one line is taken for, and why.
    ///
    /// Shows which format recognises it, who can have produced it, which rules looked at it, what class of
    /// failure it is, and what would be done about it.
    Explain(ExplainArgs),
    /// List, check and test the rules, those of the program and your own.
    Rules(RulesArgs),
    /// Work out from your own good runs when an agent in a loop is to be interrupted.
    ///
    /// Reads sessions in which nothing was wrong, and says for each agent how far the limits of the detectors of loops
    /// must be, so that no more good runs than a stated share are interrupted. Changes nothing without --write.
    Calibrate(CalibrateArgs),
    /// Print the JSON Schema of the events.
    Schema,
    /// Show the settings and where they come from.
    Config(ConfigArgs),
    /// Print the completions for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them.
    Man(ManArgs),
}

/// Arguments of `tap`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = format!("{TAP_NOTES}\n\n{EXIT_STATUS}"))]
pub struct TapArgs {
    /// Files and directories to read; `-`, or none: standard input.
    #[arg(value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub inputs: Vec<PathBuf>,

    /// Go on reading as files grow and new ones come, until a signal ends it.
    ///
    /// Works as tail -F does: a file that is replaced, truncated or rotated away is over (it has its summary), and
    /// what took its place is read from its beginning; names that are not there yet are waited for; new files and
    /// directories in a directory are taken like those that were there. Packed files are read once, at the start.
    #[arg(short, long)]
    pub follow: bool,

    /// With --follow: pass over what files hold at the start, but for a last line that is not whole.
    #[arg(long, requires = "follow")]
    pub new_only: bool,

    /// Whose output it is; auto tells by the bytes.
    #[arg(long, value_name = "NAME", value_parser = agent_names())]
    pub agent: Option<String>,

    /// Write only these types of events.
    #[arg(
        long,
        value_name = "TYPE",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(EVENT_TYPES)
    )]
    pub emit: Option<Vec<String>>,

    /// How to write events: json (one object a line), text, auto (text on a terminal).
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(Format::NAMES))]
    pub format: Option<String>,

    /// Write the input unchanged to standard output; events go where --events says.
    #[arg(long)]
    pub pass_through: bool,

    /// Append events to this file, or write them to an open file descriptor (fd:3) or to standard output (-).
    #[arg(long, value_name = "PATH|fd:N|-", value_parser = events_target, value_hint = ValueHint::FilePath)]
    pub events: Option<EventsTarget>,

    /// End with status 1 after an alert of this severity or a worse one.
    #[arg(long, value_name = "SEVERITY", value_parser = PossibleValuesParser::new(FAIL_ON))]
    pub fail_on: Option<String>,

    /// Read the files of a directory that match, as in a .gitignore; `!` excludes; may be repeated.
    #[arg(long, value_name = "GLOB", value_hint = ValueHint::Other)]
    pub glob: Vec<String>,

    /// How many files to read at a time; 0: as many as there are processor cores.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(0..=1024))]
    pub threads: Option<u16>,

    /// Read times without a zone in this one: local, or an IANA name such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", value_hint = ValueHint::Other)]
    pub time_zone: Option<String>,

    /// What may be spent, in US dollars: a run, or with /day or /project behind it all agents together (20/day); with /min
    /// it is a rate to be warned of. May be repeated.
    #[arg(long, value_name = "USD[/day|/project|/min]", value_parser = budget_usd, value_hint = ValueHint::Other)]
    pub budget_usd: Vec<Budget>,

    /// How many tokens may be used: in a run, or with /day or /project behind it by all agents together (5m/day). k and m
    /// stand for thousands and millions. Those read from a cache count too, and they are most of all. May be repeated.
    #[arg(long, value_name = "N[/day|/project]", value_parser = budget_tokens, value_hint = ValueHint::Other)]
    pub budget_tokens: Vec<Budget>,

    /// Calls whose repetition is intended, such as a poll of your own: they count for no detector of loops.
    ///
    /// Written as agents write permissions: Bash, or Bash(gh run watch*). May be repeated, and takes the place of what the
    /// configuration says.
    #[arg(long, value_name = "CALL", value_hint = ValueHint::Other)]
    pub allow_repeat: Vec<String>,

    /// Do not show on a terminal how far it is.
    #[arg(long)]
    pub no_progress: bool,

    /// Tell on standard error, at the end, how often each rule was tried and decided, on how many bytes, and how long
    /// that took.
    ///
    /// The rule that took longest comes first. Measuring slows each try down by two readings of the clock, which are
    /// in its time. With --format json it is one line, otherwise a table.
    #[arg(long)]
    pub rule_stats: bool,
}

impl TapArgs {
    /// Returns the flags that set something, as the last layer of the settings.
    pub fn flags(&self) -> Vec<Flag> {
        let one = |flag, key, value: &Option<String>| {
            value.as_ref().map(|value| Flag { flag, key, values: vec![value.clone()] })
        };
        let list = |flag, key, values: &[String]| Flag { flag, key, values: values.to_vec() };
        [
            one("--agent", "agent", &self.agent),
            self.emit.as_ref().map(|types| list("--emit", "emit", types)),
            one("--format", "format", &self.format),
            one("--fail-on", "fail_on", &self.fail_on),
            (!self.glob.is_empty()).then(|| list("--glob", "glob", &self.glob)),
            one("--threads", "threads", &self.threads.map(|n| n.to_string())),
            one("--time-zone", "time_zone", &self.time_zone),
            (!self.allow_repeat.is_empty())
                .then(|| list("--allow-repeat", "allow_repeat", &self.allow_repeat)),
        ]
        .into_iter()
        .flatten()
        .chain(budgets(&self.budget_usd, &self.budget_tokens))
        .collect()
    }
}

/// Arguments of `usage`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = format!("{USAGE_NOTES}\n\n{EXIT_STATUS}"))]
pub struct UsageArgs {
    /// A report, and files and directories to read; `-`: standard input. None: daily, and the folders where agents keep
    /// their transcripts.
    #[arg(value_name = "REPORT|FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub inputs: Vec<PathBuf>,

    /// Leave out what was before this day (2026-11-21).
    #[arg(long, value_name = "DAY", value_parser = super::usage::day, value_hint = ValueHint::Other)]
    pub since: Option<Date>,

    /// Leave out what was after this day.
    #[arg(long, value_name = "DAY", value_parser = super::usage::day, value_hint = ValueHint::Other)]
    pub until: Option<Date>,

    /// Where days begin: local, or an IANA name such as Europe/Berlin.
    #[arg(long, alias = "time-zone", value_name = "ZONE", value_hint = ValueHint::Other)]
    pub timezone: Option<String>,

    /// Count what this agent used, and no other.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(FORMATS.iter().map(|format| format.name())))]
    pub agent: Option<String>,

    /// Count sessions of projects whose path has this in it.
    #[arg(long, value_name = "TEXT", value_hint = ValueHint::Other)]
    pub project: Option<String>,

    /// Write one JSON object.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,

    /// Write CSV.
    #[arg(long)]
    pub csv: bool,

    /// Tell for each row what each model used.
    #[arg(long)]
    pub breakdown: bool,

    /// Whose cost counts: auto (the agent's where it states one), calculate (from the prices), display (the agent's alone).
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(["auto", "calculate", "display"]))]
    pub mode: Option<String>,

    /// Take prices from this file, as LiteLLM (model_prices_and_context_window.json) or models.dev (api.json) write it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub prices: Option<PathBuf>,

    /// How many files to read at a time; 0: as many as there are processor cores.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(0..=1024))]
    pub threads: Option<u16>,

    /// Keep what these files tell, and do not read them again while they have not changed.
    ///
    /// That is so anyway where no file or directory is named. What is kept is in $XDG_CACHE_HOME/session-doctor (or
    /// ~/.cache/session-doctor), and may be removed at any time.
    #[arg(long, conflicts_with = "no_cache")]
    pub cache: bool,

    /// Read all files, and keep nothing.
    #[arg(long)]
    pub no_cache: bool,

    /// Do not show on a terminal how far it is.
    #[arg(long)]
    pub no_progress: bool,
}

impl UsageArgs {
    /// Returns the report that is wanted, and what it is about.
    pub fn report(&self) -> (By, Vec<PathBuf>) {
        let named = self.inputs.first().and_then(|first| By::from_name(first.to_str()?));
        let skip = usize::from(named.is_some());
        (named.unwrap_or_default(), self.inputs.iter().skip(skip).cloned().collect())
    }

    /// Returns the flags that set something, as the last layer of the settings.
    pub fn flags(&self) -> Vec<Flag> {
        let one =
            |flag, key, value: Option<String>| value.map(|value| Flag { flag, key, values: vec![value] });
        let threads = self.threads.map(|n| n.to_string());
        [one("--timezone", "time_zone", self.timezone.clone()), one("--threads", "threads", threads)]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Arguments of `check-tokens`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = format!("{CHECK_TOKENS_NOTES}\n\n{EXIT_STATUS}"))]
pub struct CheckTokensArgs {
    /// A transcript, or a recorded stream.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["session", "workspace"])]
    pub file: Option<PathBuf>,

    /// The session with this id, whatever its project.
    #[arg(long, value_name = "ID", value_hint = ValueHint::Other, conflicts_with = "workspace")]
    pub session: Option<String>,

    /// The newest session of the project in this directory.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub workspace: Option<PathBuf>,

    /// How many tokens the window holds. Else what the agent says, else what is known of its model.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// From how many percent on to warn.
    #[arg(long, value_name = "PERCENT", default_value = "80", value_parser = super::check_tokens::percent)]
    pub warning: f64,

    /// From how many percent on it is critical.
    #[arg(long, value_name = "PERCENT", default_value = "90", value_parser = super::check_tokens::percent)]
    pub critical: f64,

    /// Write one JSON object.
    #[arg(long)]
    pub json: bool,

    /// Take the windows of models from this file first, as LiteLLM or models.dev write it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub prices: Option<PathBuf>,
}

/// Arguments of `list-sessions`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = format!("{LIST_SESSIONS_NOTES}\n\n{EXIT_STATUS}"))]
pub struct ListSessionsArgs {
    /// Those of every project, not of the one in the current directory alone.
    #[arg(long)]
    pub all: bool,

    /// How many at the most; 0: all there are.
    #[arg(long, value_name = "N", default_value = "20")]
    pub limit: usize,

    /// Those of this agent, and no other.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(FORMATS.iter().map(|format| format.name())))]
    pub agent: Option<String>,

    /// Write one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `prices`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = format!("{PRICES_NOTES}\n\n{EXIT_STATUS}"))]
pub struct PricesArgs {
    /// What to do with the prices.
    #[command(subcommand)]
    pub command: PricesCommand,
}

/// What to do with the prices.
#[derive(Clone, Debug, Subcommand)]
pub enum PricesCommand {
    /// Show the prices that hold, and where they come from.
    List(PricesListArgs),
    /// Store a list of prices; it stands in front of the built-in ones from then on.
    ///
    /// Nothing is fetched: the file is LiteLLM's model_prices_and_context_window.json, or the api.json of models.dev.
    Update(PricesUpdateArgs),
    /// Remove the stored list: the built-in prices hold again.
    Reset,
}

/// Arguments of `prices list`.
#[derive(Args, Clone, Debug, Default)]
pub struct PricesListArgs {
    /// The models, as records name them. None: all that are known.
    #[arg(value_name = "MODEL", value_hint = ValueHint::Other)]
    pub models: Vec<String>,

    /// Write one JSON object.
    #[arg(long)]
    pub json: bool,

    /// Show them as they are with this list, in place of the stored one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub prices: Option<PathBuf>,
}

/// Arguments of `prices update`.
#[derive(Args, Clone, Debug, Default)]
pub struct PricesUpdateArgs {
    /// The list, as LiteLLM (model_prices_and_context_window.json) or models.dev (api.json) write it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// Arguments of `statusline`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = format!("{STATUSLINE_NOTES}\n\n{EXIT_STATUS}"))]
pub struct StatuslineArgs {}

/// Arguments of `wrap`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = format!("{WRAP_NOTES}\n\n{EXIT_STATUS}"))]
pub struct WrapArgs {
    /// The command and its arguments.
    #[arg(
        value_name = "COMMAND",
        required_unless_present = "resume_wait",
        conflicts_with = "resume_wait",
        trailing_var_arg = true,
        value_hint = ValueHint::CommandWithArguments
    )]
    pub command: Vec<OsString>,

    /// Bring the agent back from what can be brought back from: all of it, or only by these strategies.
    ///
    /// Waits for limits to reset and resumes the session, backs off and resumes after overload and lost connections,
    /// resumes or restarts after a crash, begins a new session where the old one cannot go on, and ends with a status of
    /// 80 to 84 and a reason where only a person can help. Without it the command is never touched.
    #[arg(
        long,
        value_name = "STRATEGY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        value_delimiter = ',',
        value_parser = strategy_names()
    )]
    pub act: Option<Vec<String>>,

    /// Only say what --act would do.
    #[arg(long, requires = "act")]
    pub dry_run: bool,

    /// How the agent is handled: a profile's name; auto tells by the command.
    #[arg(long, value_name = "NAME", requires = "act", value_hint = ValueHint::Other)]
    pub profile: Option<String>,

    /// What a wait does to an agent that still runs: resume (end it, and resume its session), pause (stop it until then).
    #[arg(long, value_name = "MODE", requires = "act", default_value = "resume", value_parser = PossibleValuesParser::new(BackoffMode::NAMES))]
    pub backoff_mode: String,

    /// How often the agent is started again at most, within six hours.
    #[arg(long, value_name = "N", requires = "act", value_hint = ValueHint::Other)]
    pub max_restarts: Option<u32>,

    /// The longest wait for a limit; a longer one ends the run with status 84.
    #[arg(long, value_name = "DURATION", requires = "act", value_parser = duration, value_hint = ValueHint::Other)]
    pub max_wait: Option<Duration>,

    /// The model to go on with when the agent's own cannot be had.
    #[arg(long, value_name = "MODEL", requires = "act", value_hint = ValueHint::Other)]
    pub fallback_model: Option<String>,

    /// Take up a run that waited for its time when session-doctor was ended: the latest one, or this one.
    ///
    /// The wait goes on where it was; the command, its directory and its input are those of the run.
    #[arg(
        long,
        value_name = "FILE",
        requires = "act",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        // That of paths refuses the empty one, which stands for the latest.
        value_parser = OsStringValueParser::new().map(PathBuf::from),
        value_hint = ValueHint::FilePath
    )]
    pub resume_wait: Option<PathBuf>,

    /// Append events to this file, or write them to an open file descriptor (fd:3) or to standard output (-).
    ///
    /// With `-`, the standard output of the command goes to standard error.
    #[arg(long, value_name = "PATH|fd:N|-", value_parser = events_target, value_hint = ValueHint::FilePath)]
    pub events: Option<EventsTarget>,

    /// Write only these types of events.
    #[arg(
        long,
        value_name = "TYPE",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(EVENT_TYPES)
    )]
    pub emit: Option<Vec<String>>,

    /// How to write events: json (one object a line), text, auto (text on a terminal).
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(Format::NAMES))]
    pub format: Option<String>,

    /// Whose output it is; auto tells by the bytes.
    #[arg(long, value_name = "NAME", value_parser = agent_names())]
    pub agent: Option<String>,

    /// Read times without a zone in this one: local, or an IANA name such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", value_hint = ValueHint::Other)]
    pub time_zone: Option<String>,

    /// What may be spent, in US dollars: a run, or with /day or /project behind it all agents together (20/day); with /min
    /// it is a rate to be warned of. May be repeated.
    #[arg(long, value_name = "USD[/day|/project|/min]", value_parser = budget_usd, value_hint = ValueHint::Other)]
    pub budget_usd: Vec<Budget>,

    /// How many tokens may be used: in a run, or with /day or /project behind it by all agents together (5m/day). k and m
    /// stand for thousands and millions. Those read from a cache count too, and they are most of all. May be repeated.
    #[arg(long, value_name = "N[/day|/project]", value_parser = budget_tokens, value_hint = ValueHint::Other)]
    pub budget_tokens: Vec<Budget>,

    /// Calls whose repetition is intended, such as a poll of your own: they count for no detector of loops.
    ///
    /// Written as agents write permissions: Bash, or Bash(gh run watch*). May be repeated, and takes the place of what the
    /// configuration says.
    #[arg(long, value_name = "CALL", value_hint = ValueHint::Other)]
    pub allow_repeat: Vec<String>,

    /// Whether the command gets a terminal of its own: auto (where it would have one), always, never.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = PossibleValuesParser::new(PtyMode::NAMES))]
    pub pty: String,

    /// Where the command reads: inherit (as session-doctor itself), null (nothing).
    #[arg(long, value_name = "FROM", default_value = "inherit", value_parser = PossibleValuesParser::new(["inherit", "null"]))]
    pub stdin: String,

    /// End the command when it takes longer than this: 90s, 10m, 2h, 1h30m; the status is then 124.
    ///
    /// Time in which a person has stopped it does not count, here and with --idle-timeout.
    #[arg(long, value_name = "DURATION", value_parser = duration, value_hint = ValueHint::Other)]
    pub timeout: Option<Duration>,

    /// End the command when it says nothing for so long, and no key is pressed; the status is then 124.
    #[arg(long, value_name = "DURATION", value_parser = duration, value_hint = ValueHint::Other)]
    pub idle_timeout: Option<Duration>,

    /// How long a command that was told to end may take until it is killed.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, value_hint = ValueHint::Other)]
    pub grace: Duration,

    /// The signal that tells the command to end: a name such as INT, or a number.
    #[arg(long, value_name = "SIGNAL", default_value = "TERM", value_parser = signal, value_hint = ValueHint::Other)]
    pub stop_signal: i32,

    /// Who gets that signal: child (the command alone), group (its process group), tree (all that descends from it).
    ///
    /// What is still there when the command has ended, or when the grace is over, is killed in any case.
    #[arg(long, value_name = "WHOM", default_value = "tree", value_parser = PossibleValuesParser::new(Target::NAMES))]
    pub stop_target: String,
}

impl WrapArgs {
    /// Returns the flags that set something, as the last layer of the settings.
    pub fn flags(&self) -> Vec<Flag> {
        let one = |flag, key, value: &Option<String>| {
            value.as_ref().map(|value| Flag { flag, key, values: vec![value.clone()] })
        };
        [
            one("--agent", "agent", &self.agent),
            self.emit.as_ref().map(|types| Flag { flag: "--emit", key: "emit", values: types.clone() }),
            one("--format", "format", &self.format),
            one("--time-zone", "time_zone", &self.time_zone),
            (!self.allow_repeat.is_empty()).then(|| Flag {
                flag: "--allow-repeat",
                key: "allow_repeat",
                values: self.allow_repeat.clone(),
            }),
        ]
        .into_iter()
        .flatten()
        .chain(budgets(&self.budget_usd, &self.budget_tokens))
        .collect()
    }
}

/// A budget as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The setting that it is.
    key: &'static str,
    /// How much.
    amount: String,
}

/// Reads a budget in US dollars.
fn budget_usd(text: &str) -> Result<Budget, String> {
    let keys = [
        ("", "budget_usd"),
        ("day", "budget_usd_per_day"),
        ("project", "budget_usd_per_project"),
        ("min", "budget_usd_per_min"),
    ];
    let text = text.strip_prefix('$').unwrap_or(text);
    if text.ends_with(['k', 'K', 'm', 'M']) {
        return Err("dollars are written out: 5000, 20/day".to_owned());
    }
    budget(text, &keys, "5, 20/day, 100/project or 0.5/min")
}

/// Reads a budget in tokens.
fn budget_tokens(text: &str) -> Result<Budget, String> {
    let keys =
        [("", "budget_tokens"), ("day", "budget_tokens_per_day"), ("project", "budget_tokens_per_project")];
    budget(text, &keys, "200000, 200k, 5m/day or 50m/project")
}

fn budget(text: &str, keys: &[(&str, &'static str)], examples: &str) -> Result<Budget, String> {
    let wrong = || format!("a budget is written as {examples}");
    let (amount, scope) = text.split_once('/').unwrap_or((text, ""));
    let key = keys.iter().find(|(name, _)| *name == scope).map(|(_, key)| *key).ok_or_else(wrong)?;
    // A comma stands between thousands: `1,5` is no 15.
    let groups = amount.split(',').skip(1);
    if !groups.map(|group| group.bytes().take_while(u8::is_ascii_digit).count()).all(|digits| digits == 3) {
        return Err(wrong());
    }
    let lower = amount.to_ascii_lowercase().replace(['_', ','], "");
    let (digits, times) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 1e3),
        Some(b'm') => (&lower[..lower.len() - 1], 1e6),
        _ => (&lower[..], 1.0),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    if !(number.is_finite() && number >= 0.0) {
        return Err(wrong());
    }
    Ok(Budget { key, amount: (number * times).to_string() })
}

/// Budgets as settings.
fn budgets<'b>(usd: &'b [Budget], tokens: &'b [Budget]) -> impl Iterator<Item = Flag> + 'b {
    let flag =
        |flag| move |budget: &'b Budget| Flag { flag, key: budget.key, values: vec![budget.amount.clone()] };
    usd.iter().map(flag("--budget-usd")).chain(tokens.iter().map(flag("--budget-tokens")))
}

/// The words that `--act` takes.
fn strategy_names() -> PossibleValuesParser {
    let names = Strategy::ALL.iter().filter(|strategy| !matches!(strategy, Strategy::Monitor));
    PossibleValuesParser::new(std::iter::once("all").chain(names.map(|strategy| strategy.name())))
}

/// Reads a duration: numbers with units (`ms`, `s`, `m`, `h`, `d`), largest first; seconds without one. At most a
/// hundred years.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
    const LIMIT: f64 = 100.0 * 366.0 * 86_400.0;
    let wrong = || "a duration is written as 90s, 10m, 1h30m or 0.5s".to_owned();
    let mut rest = text.trim();
    let (mut seconds, mut parts) = (0.0, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "" if parts == 0 && rest.is_empty() => 1.0,
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
        };
        seconds += number * unit;
        parts += 1;
        rest = &rest[letters..];
    }
    if parts == 0 {
        return Err(wrong());
    }
    if seconds > LIMIT {
        return Err("at most 100 years are possible".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Reads the name or the number of a signal.
fn signal(text: &str) -> Result<i32, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let known = [
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("ABRT", libc::SIGABRT),
        ("KILL", libc::SIGKILL),
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
        ("ALRM", libc::SIGALRM),
        ("TERM", libc::SIGTERM),
    ];
    known
        .iter()
        .find(|(word, number)| *word == name || number.to_string() == name)
        .map(|(_, number)| *number)
        .ok_or_else(|| format!("one of {} is possible", known.map(|(word, _)| word).join(", ")))
}

/// Where `tap --events` and `wrap --events` write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventsTarget {
    /// A file, created or appended to.
    Path(PathBuf),
    /// A file descriptor that is open already.
    Fd(i32),
    /// Standard output.
    Stdout,
}

fn events_target(text: &str) -> Result<EventsTarget, String> {
    match text.strip_prefix("fd:") {
        Some(number) => match number.parse() {
            Ok(number) if number >= 0 => Ok(EventsTarget::Fd(number)),
            _ => Err("a file descriptor is written as fd:3".to_owned()),
        },
        None if text == "-" => Ok(EventsTarget::Stdout),
        None if text.is_empty() => Err("the name is empty".to_owned()),
        None => Ok(EventsTarget::Path(PathBuf::from(text))),
    }
}

/// Arguments of `explain`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = EXPLAIN_NOTES)]
pub struct ExplainArgs {
    /// The line; `-`, or none: the lines of standard input.
    #[arg(value_name = "LINE|-", allow_hyphen_values = true, value_hint = ValueHint::Other)]
    pub line: Option<OsString>,

    /// Print the steps of a session instead, with what the detectors of loops counted: why an alert came, or did not.
    #[arg(long, value_name = "FILE|-", conflicts_with = "line", value_hint = ValueHint::FilePath)]
    pub loops: Option<PathBuf>,

    /// Whose output it is; auto tells by the bytes.
    #[arg(long, value_name = "NAME", value_parser = agent_names())]
    pub agent: Option<String>,

    /// How to answer: json, text, auto (text on a terminal).
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(Format::NAMES))]
    pub format: Option<String>,
}

impl ExplainArgs {
    /// Returns the flags that set something, as the last layer of the settings.
    pub fn flags(&self) -> Vec<Flag> {
        [("--agent", "agent", &self.agent), ("--format", "format", &self.format)]
            .into_iter()
            .filter_map(|(flag, key, value)| Some(Flag { flag, key, values: vec![value.clone()?] }))
            .collect()
    }
}

/// Arguments of `calibrate`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = format!("{CALIBRATE_NOTES}\n\n{EXIT_STATUS}"))]
pub struct CalibrateArgs {
    /// Files and directories with good runs.
    #[arg(value_name = "FILE|DIR", required = true, value_hint = ValueHint::AnyPath)]
    pub inputs: Vec<PathBuf>,

    /// How many good runs may be interrupted at most, as a share of all: more than 0, at most 0.5.
    #[arg(long, value_name = "RATE", default_value_t = DEFAULT_RATE, value_parser = false_stop_rate, value_hint = ValueHint::Other)]
    pub false_stop_rate: f64,

    /// Lower limits too, as far as the rate allows; never below the first limits, which warn.
    #[arg(long)]
    pub allow_lower: bool,

    /// Store the limits in the user's configuration file, or in that of --config.
    #[arg(long)]
    pub write: bool,

    /// Whose output it is; auto tells by the bytes.
    #[arg(long, value_name = "NAME", value_parser = agent_names())]
    pub agent: Option<String>,

    /// How to answer: json (one object an agent), text, auto (text on a terminal).
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(Format::NAMES))]
    pub format: Option<String>,

    /// Read the files of a directory that match, as in a .gitignore; `!` excludes; may be repeated.
    #[arg(long, value_name = "GLOB", value_hint = ValueHint::Other)]
    pub glob: Vec<String>,

    /// How many files to read at a time; 0: as many as there are processor cores.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(0..=1024))]
    pub threads: Option<u16>,

    /// Calls whose repetition is intended: they count for no detector of loops.
    #[arg(long, value_name = "CALL", value_hint = ValueHint::Other)]
    pub allow_repeat: Vec<String>,

    /// Do not show on a terminal how far it is.
    #[arg(long)]
    pub no_progress: bool,
}

impl CalibrateArgs {
    /// Returns the flags that set something, as the last layer of the settings.
    pub fn flags(&self) -> Vec<Flag> {
        let one = |flag, key, value: &Option<String>| {
            value.as_ref().map(|value| Flag { flag, key, values: vec![value.clone()] })
        };
        let list = |flag, key, values: &[String]| {
            (!values.is_empty()).then(|| Flag { flag, key, values: values.to_vec() })
        };
        [
            one("--agent", "agent", &self.agent),
            one("--format", "format", &self.format),
            list("--glob", "glob", &self.glob),
            one("--threads", "threads", &self.threads.map(|n| n.to_string())),
            list("--allow-repeat", "allow_repeat", &self.allow_repeat),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Reads a rate of false stops.
fn false_stop_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= 0.5 => Ok(rate),
        _ => Err("a rate is written as 0.01, and is at most 0.5".to_owned()),
    }
}

/// Arguments of `config`.
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, disable_help_subcommand = true, after_long_help = CONFIG_NOTES)]
pub struct ConfigArgs {
    /// What to show.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to show of the settings.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the settings that hold, as a configuration file.
    Show(ConfigShowArgs),
    /// List the configuration files that are looked for, in the order in which later ones win.
    Paths,
}

/// Arguments of `config show`.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigShowArgs {
    /// Say where each value comes from.
    #[arg(long)]
    pub origins: bool,

    /// How to print: text (TOML), json.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = PossibleValuesParser::new(["text", "json"]))]
    pub format: String,
}

/// Arguments of `rules`.
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, disable_help_subcommand = true, after_long_help = RULES_NOTES)]
pub struct RulesArgs {
    /// What to do with the rules.
    #[command(subcommand)]
    pub command: RulesCommand,
}

/// What to do with the rules.
#[derive(Clone, Debug, Subcommand)]
pub enum RulesCommand {
    /// List the rules that hold, in the order in which equals win, and where they come from.
    List(RulesListArgs),
    /// Look for mistakes in the rules of the configuration files, and of others.
    Check(RulesCheckArgs),
    /// Run the tests in a file, and the examples of the rules themselves.
    ///
    /// The rules are those of the configuration, with those of the file over them. `line` goes through the whole
    /// program as a line of a stream does; `text` is given to the rules as the words of a failure.
    Test(RulesTestArgs),
}

/// Arguments of `rules list`.
#[derive(Args, Clone, Debug, Default)]
pub struct RulesListArgs {
    /// How to print: text, json (one object a line).
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = PossibleValuesParser::new(["text", "json"]))]
    pub format: String,
}

/// Arguments of `rules check`.
#[derive(Args, Clone, Debug, Default)]
pub struct RulesCheckArgs {
    /// Files with rules that come over the configuration, each over the one before.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
}

/// Arguments of `rules test`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = RULES_TEST_NOTES)]
pub struct RulesTestArgs {
    /// The file with the tests; it may hold rules too.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = COMPLETIONS_NOTES)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = MAN_NOTES)]
pub struct ManArgs {
    /// Write session-doctor.1 and a page for every command into this directory, which is made if it is not there.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

fn agent_names() -> PossibleValuesParser {
    PossibleValuesParser::new(["auto"].into_iter().chain(FORMATS.iter().map(|format| format.name())))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wait_is_taken_up_without_a_name_too() {
        for (flag, path) in [("--resume-wait", ""), ("--resume-wait=run.json", "run.json")] {
            let cli = Cli::try_parse_from(["session-doctor", "wrap", "--act", flag]).unwrap();
            let Command::Wrap(wrap) = cli.command else { unreachable!() };
            assert_eq!(wrap.resume_wait.as_deref(), Some(std::path::Path::new(path)));
        }
    }

    #[test]
    fn flags_become_settings() {
        let cli = Cli::parse_from([
            "session-doctor",
            "tap",
            "a",
            "--emit",
            "alert,summary",
            "--glob",
            "*.a",
            "--glob",
            "!b",
            "--threads",
            "0",
            "--fail-on",
            "high",
        ]);
        let Command::Tap(args) = cli.command else { unreachable!() };
        let flags: Vec<_> = args.flags().into_iter().map(|flag| (flag.key, flag.values.join(" "))).collect();
        assert_eq!(
            flags,
            [
                ("emit", "alert summary".to_owned()),
                ("fail_on", "high".to_owned()),
                ("glob", "*.a !b".to_owned()),
                ("threads", "0".to_owned()),
            ]
        );
    }

    #[test]
    fn durations_have_units() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs_f64()).ok();
        for (text, value) in [
            ("90s", 90.0),
            ("10m", 600.0),
            ("2h", 7200.0),
            ("1h30m", 5400.0),
            ("1d", 86_400.0),
            ("250ms", 0.25),
            ("0.5", 0.5),
            ("30", 30.0),
            ("0", 0.0),
        ] {
            assert_eq!(seconds(text), Some(value), "{text}");
        }
        for text in ["", "s", "-1s", "1x", "1h30", "1e9", "nan", "inf", "999999d", "..s"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_comma_in_a_budget_stands_between_thousands_alone() {
        let amount = |text: &str| budget_usd(text).map(|budget| budget.amount);
        assert_eq!(amount("1,500.50"), Ok("1500.5".to_owned()));
        assert_eq!(budget_tokens("2,000,000/day").map(|budget| budget.amount), Ok("2000000".to_owned()));
        for text in ["1,5", "0,50/day", "1,", "1,5000"] {
            assert!(amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(signal("TERM"), Ok(libc::SIGTERM));
        assert_eq!(signal("sigint"), Ok(libc::SIGINT));
        assert_eq!(signal("9"), Ok(libc::SIGKILL));
        assert!(signal("STOP").is_err() && signal("0").is_err() && signal("").is_err());
    }

    #[test]
    fn what_follows_the_command_is_its_own() {
        let cli = Cli::parse_from([
            "session-doctor",
            "wrap",
            "--pty",
            "never",
            "agent",
            "--events",
            "x",
            "--",
            "-p",
        ]);
        let Command::Wrap(args) = cli.command else { unreachable!() };
        assert_eq!(args.command, ["agent", "--events", "x", "--", "-p"]);
        assert_eq!(args.events, None);
    }

    #[test]
    fn events_go_to_a_path_a_descriptor_or_standard_output() {
        assert_eq!(events_target("fd:3"), Ok(EventsTarget::Fd(3)));
        assert_eq!(events_target("-"), Ok(EventsTarget::Stdout));
        assert_eq!(events_target("fd"), Ok(EventsTarget::Path("fd".into())));
        assert!(events_target("fd:x").is_err());
        assert!(events_target("fd:-1").is_err());
    }

    #[test]
    fn every_status_is_explained() {
        for exit in crate::cli::exit::Exit::ALL {
            assert!(EXIT_STATUS.contains(&format!("\n  {:<3} ", exit.status())), "{exit:?}");
        }
    }
}
