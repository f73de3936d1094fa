//! How to start, resume, talk to and stop each agent, and where its transcripts lie.
//!
//! Pure: paths, the environment and chance are arguments, and nothing is touched. To add an agent: `<name>.rs` beside
//! this file with a `PROFILE` that implements [`Profile`], and its word in the `profiles!` list. What is said of an
//! agent was measured on the version named at the head of its file. Users write theirs as `[profile.NAME]` tables
//! (`custom`).

pub mod arguments;
pub mod custom;
pub mod launch;
pub mod tools;
pub mod transcript;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::Class;

use transcript::{Surroundings, Transcript};

/// Declares the profiles: their modules, and the list in which they are asked.
macro_rules! profiles {
    ($($name:ident)+) => {
        $(mod $name;)+

        /// Every built-in profile, but the one for programs that nobody knows.
        pub static PROFILES: &[&dyn Profile] = &[$(&$name::PROFILE,)+];
    };
}

mod generic;

profiles! { claude codex gemini qwen opencode aider }

/// The profile of a program that nobody knows: it can be started again as it was.
pub static GENERIC: &dyn Profile = &generic::PROFILE;

/// All we know of how one agent is handled.
pub trait Profile: fmt::Debug + Send + Sync {
    /// Returns the name used for `--profile`; for built-in ones also that of the format of its output.
    fn name(&self) -> &str;

    /// Tells whether a program or package of this name is this agent.
    fn is_named(&self, name: &str) -> bool;

    /// Reads the agent's arguments (without the program).
    fn read(&self, arguments: &[String], terminals: Terminals) -> Invocation;

    /// Returns the arguments with a session id of our choice, so that the session is known whatever the agent prints;
    /// `None` if the agent cannot, or the user has chosen.
    fn prepare(&self, arguments: &[String], invocation: &Invocation, uuid: &str) -> Option<Vec<String>> {
        let _ = (arguments, invocation, uuid);
        None
    }

    /// Returns the arguments that go on with a session, with a prompt in place of the first one; all other options are
    /// kept.
    ///
    /// # Errors
    /// Why the agent, called like this, cannot.
    fn resume(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable>;

    /// Returns the arguments that start a new session with a prompt in place of the first one.
    ///
    /// # Errors
    /// Why the agent, called like this, cannot.
    fn fresh(&self, call: &Call<'_>, prompt: &str, uuid: &str) -> Result<Rewritten, Unable>;

    /// Returns the arguments that go on with a copy of a session as it was at one of its messages, leaving out what
    /// came after it. `uuid`: for the copy.
    ///
    /// # Errors
    /// Why the agent, called like this, cannot.
    fn rewind(
        &self,
        call: &Call<'_>,
        session: &SessionRef,
        message: &str,
        prompt: &str,
        uuid: &str,
    ) -> Result<Rewritten, Unable> {
        let _ = (call, session, message, prompt, uuid);
        Err(Unable::new("it cannot go back to an earlier message of a session"))
    }

    /// Returns the arguments that go on with a copy of a session, the original left as it is.
    ///
    /// # Errors
    /// Why the agent, called like this, cannot.
    fn fork(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable> {
        let _ = (call, session, prompt);
        Err(Unable::new("it cannot copy a session"))
    }

    /// Returns the arguments that make the context of a session smaller, and do nothing else.
    ///
    /// # Errors
    /// Why the agent, called like this, cannot.
    fn compact(&self, call: &Call<'_>, session: &SessionRef) -> Result<Rewritten, Unable> {
        let _ = (call, session);
        Err(Unable::new("it cannot compact a session without a person"))
    }

    /// Returns these arguments with another model.
    ///
    /// # Errors
    /// Why the agent cannot.
    fn with_model(&self, arguments: &[String], model: &str) -> Result<Vec<String>, Unable> {
        let _ = (arguments, model);
        Err(Unable::new("how it is told which model to use is not known"))
    }

    /// Returns where the transcript of a session lies; without a session, where to look for the newest one.
    fn transcript(
        &self,
        surroundings: &Surroundings<'_>,
        invocation: &Invocation,
        session: Option<&str>,
    ) -> Option<Transcript> {
        let _ = (surroundings, invocation, session);
        None
    }

    /// Returns the folders that hold all of its transcripts, whether they are there or not.
    fn archives(&self, surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
        let _ = surroundings;
        Vec::new()
    }

    /// Returns the session id that a line of plain output names.
    fn session_in_line<'l>(&self, line: &'l str) -> Option<&'l str> {
        let _ = line;
        None
    }

    /// Tells whether this text, of an attempt that ended with this exit status, says that a session cannot be resumed.
    fn rejects_resume(&self, text: &str, exit: Option<i32>) -> bool {
        let _ = (text, exit);
        false
    }

    /// Tells whether this text says that a session id is taken, so that the session can be resumed.
    fn session_is_taken(&self, text: &str) -> bool {
        let _ = text;
        false
    }

    /// Returns what an exit status means, as far as it says more than failure.
    fn exit(&self, status: i32, mode: Mode) -> Exit {
        let _ = mode;
        plain_exit(status)
    }

    /// Returns the steps that end the agent and what it started, the gentlest first; the last is a kill of the tree.
    fn stop(&self, mode: Mode) -> Vec<StopStep> {
        let _ = mode;
        STOP_GROUP.to_vec()
    }

    /// Tells whether its exit status says success also after a failure that only its text tells of.
    fn succeeds_whatever_happens(&self, mode: Mode) -> bool {
        let _ = mode;
        false
    }

    /// Tells whether the agent tries without end what may pass, says so nowhere but in its log, and logs each failure there.
    fn logs_each_try(&self) -> bool {
        false
    }

    /// Tells whether killing a hanging tool alone makes the agent go on with a failed tool call.
    fn survives_tool_kill(&self) -> bool {
        false
    }

    /// Returns what silence means.
    fn silence(&self, mode: Mode) -> Silence {
        let _ = mode;
        Silence::UNKNOWN
    }

    /// Returns how it treats its standard input before it starts.
    fn stdin_habit(&self) -> StdinHabit {
        StdinHabit::Unknown
    }

    /// Tells whether this text on the screen says that the agent will continue by itself once a limit has reset.
    fn continues_by_itself(&self, text: &str) -> bool {
        let _ = text;
        false
    }

    /// Returns the keys that leave what an interactive agent shows at a limit, and those that make it continue.
    fn limit_keys(&self) -> Option<LimitKeys> {
        None
    }

    /// Returns what a person should do about a failure that no retry mends, as a sentence.
    fn fix(&self, class: Class) -> String {
        plain_fix(self.name(), class)
    }
}

/// What of the standard streams is a terminal; agents behave by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminals {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
}

/// How an agent was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One prompt, plain text, then the end.
    Text,
    /// One prompt, one JSON document at the end.
    Json,
    /// One prompt, JSON lines as it goes.
    StreamJson,
    /// A person types, in a terminal.
    Interactive,
    /// Another program sends prompts on standard input.
    Driven,
    /// Not a run at all (`--version`, `mcp list`): it is left alone.
    Aside,
    /// Nothing is known of it.
    Unknown,
}

impl Mode {
    /// Tells whether it works on one prompt and ends.
    pub const fn is_headless(self) -> bool {
        matches!(self, Self::Text | Self::Json | Self::StreamJson)
    }
}

/// Where the first prompt comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// It is an argument.
    Argument(String),
    /// It is an argument, and standard input is added to it.
    ArgumentAndStdin(String),
    /// It is in a file.
    File(String),
    /// It comes on standard input.
    Stdin,
    /// There is none yet.
    None,
}

/// Which session the arguments ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// A new one.
    New,
    /// A new one with this id.
    NewAs(String),
    /// This one.
    Resumed(String),
    /// The latest one.
    Latest,
    /// A copy of another, with an id that is not known yet.
    Forked,
    /// One that a person picks.
    Picked,
}

/// What a command line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// How it runs.
    pub mode: Mode,
    /// Its first prompt.
    pub prompt: Prompt,
    /// The session.
    pub asked: Asked,
    /// The model, where it is given.
    pub model: Option<String>,
    /// The working directory, where another one than ours is given.
    pub directory: Option<String>,
    /// Whether the session is kept, so that it can be resumed.
    pub kept: bool,
    /// An option that is not known and leaves in doubt what the words behind it mean; nothing is rewritten then.
    pub doubtful: Option<String>,
}

impl Invocation {
    /// Returns what is known of an aside.
    pub const fn aside() -> Self {
        Self {
            mode: Mode::Aside,
            prompt: Prompt::None,
            asked: Asked::New,
            model: None,
            directory: None,
            kept: false,
            doubtful: None,
        }
    }
}

/// A session as a command line can name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionRef {
    /// By its id.
    Id(String),
    /// The latest one of this directory; only where the user has asked for it so.
    Latest,
}

/// The arguments to be rewritten, and what they say.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The words behind the program.
    pub arguments: &'a [String],
    /// What was read from them.
    pub invocation: &'a Invocation,
}

/// Rewritten arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The words behind the program.
    pub arguments: Vec<String>,
    /// What it gets on standard input.
    pub stdin: Stdin,
    /// The session id that was chosen for it.
    pub session: Option<String>,
}

impl Rewritten {
    /// Returns arguments that hold the whole prompt, so that standard input is not needed.
    fn with_prompt(arguments: Vec<String>) -> Self {
        Self { arguments, stdin: Stdin::Nothing, session: None }
    }
}

/// What a started agent gets on standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// What the first attempt got, from its beginning.
    Same,
    /// Nothing: `/dev/null`, for the prompt is in the arguments.
    Nothing,
    /// Our terminal.
    Terminal,
}

/// Why something cannot be done, as a sentence about the agent ("it …").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unable(pub String);

impl Unable {
    fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Unix signal, as far as agents are ended with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// SIGINT.
    #[serde(rename = "INT")]
    Int,
    /// SIGTERM.
    #[serde(rename = "TERM")]
    Term,
    /// SIGHUP.
    #[serde(rename = "HUP")]
    Hup,
    /// SIGQUIT.
    #[serde(rename = "QUIT")]
    Quit,
    /// SIGKILL.
    #[serde(rename = "KILL")]
    Kill,
}

impl Signal {
    /// The signals by name, without `SIG`.
    pub const NAMES: &[(&str, Self)] = &[
        ("INT", Self::Int),
        ("TERM", Self::Term),
        ("HUP", Self::Hup),
        ("QUIT", Self::Quit),
        ("KILL", Self::Kill),
    ];

    /// Returns the signal of this name, with or without `SIG`.
    pub fn from_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        Self::NAMES.iter().find(|(name, _)| *name == bare).map(|(_, signal)| *signal)
    }
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The started process alone.
    Process,
    /// Its process group.
    Group,
    /// It and every descendant, remembered before the first step: agents put tools into sessions of their own.
    Tree,
}

/// One step towards the end of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStep {
    /// The signal.
    pub signal: Signal,
    /// To whom.
    pub target: Target,
    /// How long to wait for the end before the next step, in seconds.
    pub wait_sec: u32,
}

/// A stop that begins with SIGTERM to the group.
const STOP_GROUP: &[StopStep] = &[
    StopStep { signal: Signal::Term, target: Target::Group, wait_sec: 10 },
    StopStep { signal: Signal::Term, target: Target::Tree, wait_sec: 3 },
    StopStep { signal: Signal::Kill, target: Target::Tree, wait_sec: 0 },
];

/// A stop that begins with SIGINT to the agent, which ends its tools itself then.
const STOP_INTERRUPT: &[StopStep] = &[
    StopStep { signal: Signal::Int, target: Target::Process, wait_sec: 10 },
    StopStep { signal: Signal::Term, target: Target::Tree, wait_sec: 5 },
    StopStep { signal: Signal::Kill, target: Target::Tree, wait_sec: 0 },
];

/// A stop that begins with SIGTERM to everyone, for agents that leave their tools behind.
const STOP_TREE: &[StopStep] = &[
    StopStep { signal: Signal::Term, target: Target::Tree, wait_sec: 10 },
    StopStep { signal: Signal::Kill, target: Target::Tree, wait_sec: 0 },
];

/// What silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The longest that is normal while a request or a tool runs, in seconds; `None` if it is silent until the end
    /// and silence says nothing.
    pub normal_sec: Option<u32>,
    /// How long the agent's own retries last before it gives up, in seconds, if attempts fail fast; `None` if it may
    /// go on without end.
    pub own_retries_sec: Option<u32>,
}

impl Silence {
    /// Of an agent that nobody knows.
    pub const UNKNOWN: Self = Self { normal_sec: None, own_retries_sec: Some(0) };
}

/// How an agent treats its standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdinHabit {
    /// It reads to the end before it starts, whatever the arguments say: an open, silent pipe hangs it.
    ReadsToEnd,
    /// It waits some seconds for input and then goes on without.
    WaitsBriefly,
    /// It reads only what it needs.
    AsNeeded,
    /// Nobody knows.
    Unknown,
}

/// What an exit status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It ended well, as far as the status tells.
    Success,
    /// It failed; why, the status does not say.
    Failure,
    /// A person or a signal ended it.
    Interrupted,
    /// It crashed, or the system killed it.
    Crashed,
    /// It failed for this reason.
    Class(Class),
}

/// Bytes for the terminal of an interactive agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitKeys {
    /// Leaves the menu.
    pub leave: &'static str,
    /// Empties the input box; what is to be said follows, then `enter`.
    pub clear: &'static str,
    /// Sends what was typed.
    pub enter: &'static str,
}

/// What exit statuses mean where the agent has no own.
pub fn plain_exit(status: i32) -> Exit {
    match status {
        0 => Exit::Success,
        // 128 + SIGHUP, SIGINT, SIGTERM.
        129 | 130 | 143 => Exit::Interrupted,
        // 128 + SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGSEGV.
        132..=137 | 139 => Exit::Crashed,
        _ => Exit::Failure,
    }
}

/// What a person can do, where the agent has nothing of its own.
fn plain_fix(name: &str, class: Class) -> String {
    match class {
        Class::AuthError => format!("log {name} in again, or give it a valid key."),
        Class::BudgetOver => "add credit or raise the spending limit at the provider.".to_owned(),
        Class::ModelUnavailable => "choose a model that exists and that the account may use.".to_owned(),
        Class::ConfigError => format!("correct the options or the configuration of {name}."),
        Class::ContentPolicy => "change the task: the provider refuses this request.".to_owned(),
        Class::DiskFull => "make room on the disk; what was written last may be lost.".to_owned(),
        Class::TokenLimit => "give it a shorter task, or a model with a larger context.".to_owned(),
        Class::ToolRepeat => "look at what it repeats, and change the task.".to_owned(),
        Class::UsageLimit => "wait for the reset, or use another account.".to_owned(),
        Class::WaitingInput => {
            "answer what it asks, or start it with permissions that need no answer.".to_owned()
        }
        _ => "look at its last messages.".to_owned(),
    }
}

/// Refuses to rewrite what is not understood.
fn refuse_doubtful(call: &Call<'_>) -> Result<(), Unable> {
    match &call.invocation.doubtful {
        Some(option) => {
            Err(Unable(format!("the option `{option}` is not known, so its prompt cannot be told for sure")))
        }
        None => Ok(()),
    }
}

/// Refuses what cannot be resumed.
fn refuse_unresumable(call: &Call<'_>) -> Result<(), Unable> {
    refuse_doubtful(call)?;
    match call.invocation.mode {
        Mode::Driven => Err(Unable::new("another program talks to it on its standard input")),
        Mode::Aside | Mode::Unknown => Err(Unable::new("it is not a run that could be resumed")),
        _ if !call.invocation.kept => Err(Unable::new("it was told not to keep its session")),
        _ => Ok(()),
    }
}

/// Refuses what cannot be started with another prompt.
fn refuse_unfresh(call: &Call<'_>) -> Result<(), Unable> {
    refuse_doubtful(call)?;
    match call.invocation.mode {
        Mode::Driven => Err(Unable::new("another program talks to it on its standard input")),
        Mode::Aside | Mode::Unknown => Err(Unable::new("it is not a run with a prompt")),
        _ => Ok(()),
    }
}

/// What a rewritten agent gets on standard input: an interactive one keeps the terminal.
fn stdin_for(mode: Mode) -> Stdin {
    if mode == Mode::Interactive { Stdin::Terminal } else { Stdin::Nothing }
}

/// Looks for any of these texts.
fn says(text: &str, any: &[&str]) -> bool {
    any.iter().any(|words| text.contains(words))
}

/// The prompt of an agent that takes its words as a prompt and adds its standard input, if that is no terminal.
fn prompt_of(argument: Option<String>, terminals: Terminals) -> Prompt {
    match argument {
        Some(text) if terminals.stdin => Prompt::Argument(text),
        Some(text) => Prompt::ArgumentAndStdin(text),
        None if terminals.stdin => Prompt::None,
        None => Prompt::Stdin,
    }
}

/// An agent as it was started: its profile, what starts it, its own arguments.
#[derive(Clone, Debug)]
pub struct Agent<'p> {
    /// The profile.
    pub profile: &'p dyn Profile,
    /// The words up to and with the program's name.
    pub launcher: Vec<String>,
    /// The words behind them.
    pub arguments: Vec<String>,
    /// What they say.
    pub invocation: Invocation,
}

/// A command line, ready to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// Every word.
    pub argv: Vec<String>,
    /// What it gets on standard input.
    pub stdin: Stdin,
    /// The session id that was chosen for it.
    pub session: Option<String>,
}

impl<'p> Agent<'p> {
    /// Finds the profile for a command line, among `own` first. Unknown programs have [`GENERIC`].
    pub fn recognise(argv: &[String], own: &[&'p dyn Profile], terminals: Terminals) -> Self {
        let launch = launch::launch(argv);
        let found = launch.as_ref().and_then(|launch| {
            own.iter()
                .copied()
                .chain(PROFILES.iter().copied())
                .find(|profile| launch.names.iter().any(|name| profile.is_named(name)))
        });
        let length = launch.map_or(1, |launch| launch.length);
        Self::of(found.unwrap_or(GENERIC), argv, length, terminals)
    }

    /// Takes this profile for a command line, whatever the program is called.
    pub fn forced(profile: &'p dyn Profile, argv: &[String], terminals: Terminals) -> Self {
        let length = launch::launch(argv).map_or(1, |launch| launch.length);
        Self::of(profile, argv, length, terminals)
    }

    fn of(profile: &'p dyn Profile, argv: &[String], length: usize, terminals: Terminals) -> Self {
        let (launcher, arguments) = argv.split_at(length.min(argv.len()));
        let invocation = profile.read(arguments, terminals);
        Self { profile, launcher: launcher.to_vec(), arguments: arguments.to_vec(), invocation }
    }

    /// Returns the command line as it was.
    pub fn argv(&self) -> Vec<String> {
        self.launcher.iter().chain(&self.arguments).cloned().collect()
    }

    /// Returns the command line for the first start: with a session id of our choice where that is possible.
    pub fn prepared(&self, uuid: &str) -> CommandLine {
        match self.profile.prepare(&self.arguments, &self.invocation, uuid) {
            Some(arguments) => CommandLine {
                argv: self.launcher.iter().cloned().chain(arguments).collect(),
                stdin: Stdin::Same,
                session: Some(uuid.to_owned()),
            },
            None => self.again(),
        }
    }

    /// Returns the command line for another start that is as the first one was.
    pub fn again(&self) -> CommandLine {
        let session = match &self.invocation.asked {
            Asked::NewAs(id) | Asked::Resumed(id) => Some(id.clone()),
            _ => None,
        };
        CommandLine { argv: self.argv(), stdin: Stdin::Same, session }
    }

    /// Returns the call that rewriting begins with.
    pub fn call(&self) -> Call<'_> {
        Call { arguments: &self.arguments, invocation: &self.invocation }
    }

    /// Puts the launcher before rewritten arguments, and another model into them.
    ///
    /// # Errors
    /// Why the agent cannot take another model.
    pub fn command_line(&self, rewritten: Rewritten, model: Option<&str>) -> Result<CommandLine, Unable> {
        let mut arguments = rewritten.arguments;
        if let Some(model) = model {
            arguments = self.profile.with_model(&arguments, model)?;
        }
        Ok(CommandLine {
            argv: self.launcher.iter().cloned().chain(arguments).collect(),
            stdin: rewritten.stdin,
            session: rewritten.session,
        })
    }
}

/// Returns the profile of this name, among `own` first.
pub fn by_name<'p>(name: &str, own: &[&'p dyn Profile]) -> Option<&'p dyn Profile> {
    let built_in = PROFILES.iter().copied().chain([GENERIC]);
    own.iter().copied().chain(built_in).find(|profile| profile.name() == name)
}

/// Returns the names of the built-in profiles.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().copied().chain([GENERIC]).map(Profile::name)
}

#[cfg(test)]
mod tests;
