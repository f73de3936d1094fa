//! What the user may set, from where it came, and what is wrong with it.
//!
//! `defaults.toml` beside this file names and explains every key. To add one: a line there, a row in [`KEYS`],
//! a field of [`Settings`] with its arm in `set` and `get`. [`load`] reads the layers; it is given the
//! environment and touches nothing but the files named there.

mod layers;
pub mod loops;
mod profiles;
pub mod rules;
pub mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use layers::{
    ConfigFile, ConfigLayer, DEFAULTS, Environment, Flag, Loaded, Origin, Origins, SettingsError,
    config_files, load,
};

use loops::LoopSettings;

use crate::model::class::{Class, Severity, Strategy};

/// Declares an enum of words that a setting may take.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// The words, in the order of declaration.
            pub const NAMES: &[&str] = &[$($text,)+];

            /// Returns the word.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Returns the value of this word, if it is one.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// How events are written.
    Format {
        /// Text when standard output is a terminal, JSON otherwise.
        Auto = "auto",
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Text = "text",
    }
}

words! {
    /// When output is coloured.
    Color {
        /// On a terminal that can, unless `NO_COLOR` is set.
        Auto = "auto",
        /// Always.
        Always = "always",
        /// Never.
        Never = "never",
    }
}

words! {
    /// When findings of a class become an alert to act on.
    AlertWhen {
        /// The first one does.
        First = "first",
        /// `error_repeat_count` of them within `error_window_sec` do.
        Repeat = "repeat",
        /// They never do.
        Never = "never",
    }
}

/// The types of events that `emit` may name.
pub const EVENT_TYPES: &[&str] = &[
    "session_started",
    "session_updated",
    "finding",
    "alert",
    "decision",
    "outcome",
    "status",
    "usage",
    "summary",
];

/// The words of `fail_on`.
pub const FAIL_ON: &[&str] = &["never", "low", "medium", "high", "critical"];

/// Every setting, with the value that won. See `defaults.toml` for the long explanations.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The name of a format, or "auto".
    pub agent: String,
    /// How events are written.
    pub format: Format,
    /// When output is coloured.
    pub color: Color,
    /// The types of events to write, out of [`EVENT_TYPES`]; empty for all.
    pub emit: Vec<String>,
    /// The severity from which an alert makes `tap` end with status 1.
    pub fail_on: Option<Severity>,
    /// Patterns for the files of a directory; empty for the default endings.
    pub glob: Vec<String>,
    /// How many files are read at a time, at most 1024; 0 for the number of cores.
    pub threads: usize,
    /// "local" or an IANA name that is known to exist.
    pub time_zone: String,
    /// The longest line looked at whole, in bytes, 1 KiB to 1 GiB.
    pub line_limit_bytes: usize,
    /// How many sessions of one source are kept in memory, 1 to 65536.
    pub max_sessions: usize,
    /// How many findings of one class make an alert, 1 to 1000.
    pub error_repeat_count: u32,
    /// The window for [`Self::error_repeat_count`], in seconds, 1 to 604800.
    pub error_window_sec: u32,
    /// How many recoveries of one episode may fail, at most 1000.
    pub max_auto_retries: u32,
    /// The first wait, in seconds, at most 86400.
    pub backoff_base_sec: u32,
    /// The longest wait, in seconds, [`Self::backoff_base_sec`] to 86400.
    pub backoff_max_sec: u32,
    /// How long after a named reset to try again, in seconds, at most 86400.
    pub reset_margin_sec: u32,
    /// The first wait of `wrap --act` where the agent has retried for long by itself, in seconds, at most 86400.
    pub long_backoff_base_sec: u32,
    /// The longest such wait, in seconds, [`Self::long_backoff_base_sec`] to 86400.
    pub long_backoff_max_sec: u32,
    /// The first wait of `wrap --act` for a limit whose reset nobody named, in seconds, at most 86400.
    pub unknown_reset_sec: u32,
    /// The longest such wait, in seconds, [`Self::unknown_reset_sec`] to 86400.
    pub unknown_reset_max_sec: u32,
    /// How long an agent may be silent under `wrap --act` before it is taken to hang, in seconds, at most 86400; 0: for ever.
    pub stall_sec: u32,
    /// How long a tool may be silent and idle under `wrap --act` before it is taken to hang, in seconds, at most 86400; 0: for
    /// ever.
    pub tool_stall_sec: u32,
    /// How long a failed agent has to end by itself under `wrap --act`, in seconds, at most 86400.
    pub settle_sec: u32,
    /// What a run may cost, in US dollars; 0: no limit.
    pub budget_usd: f64,
    /// How many tokens a run may use; 0: no limit.
    pub budget_tokens: f64,
    /// What all agents together may cost in a day, in US dollars; 0: no limit.
    pub budget_usd_per_day: f64,
    /// How many tokens all agents together may use in a day; 0: no limit.
    pub budget_tokens_per_day: f64,
    /// What the project may cost, in US dollars; 0: no limit.
    pub budget_usd_per_project: f64,
    /// How many tokens the project may use; 0: no limit.
    pub budget_tokens_per_project: f64,
    /// From how many US dollars a minute on to warn; 0: never.
    pub budget_usd_per_min: f64,
    /// From which share of a budget on to warn, 0 to 1.
    pub budget_warn_pct: f64,
    /// How often what was used is told though no level has changed, in seconds, at most 604800; 0: never.
    pub usage_interval_sec: u32,
    /// Calls whose repetition is intended, each a [`CallPattern`](crate::engine::step::intended::CallPattern).
    pub allow_repeat: Vec<String>,
    /// What is different for single classes.
    pub class: BTreeMap<Class, ClassSettings>,
    /// Limits of the detectors of loops that are different.
    pub loops: LoopSettings,
}

/// What the user set for one class of failure; `None` where the built-in table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSettings {
    /// How bad it is.
    pub severity: Option<Severity>,
    /// What is done about it.
    pub strategy: Option<Strategy>,
    /// When it becomes an alert to act on.
    pub alert: Option<AlertWhen>,
}

/// The keys of `[class.<name>]`.
pub const CLASS_KEYS: &[&str] = &["severity", "strategy", "alert"];

/// One key outside the class tables.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in files; upper-cased behind `SESSION_DOCTOR_` that of its variable.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// The name of a format, or "auto".
    Agent,
    /// "local", or the name of a time zone.
    TimeZone,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these words.
    Words(&'static [&'static str]),
    /// A list of any strings.
    Strings,
    /// A list of patterns of calls.
    Calls,
    /// A whole number from the first to the second, both included.
    Whole(u32, u32),
    /// A number from the first to the second, both included.
    Number(f64, f64),
}

const DAY_SEC: u32 = 24 * 60 * 60;

/// Every key outside the class tables, in the order of `defaults.toml`.
pub const KEYS: &[Key] = &[
    Key { name: "agent", takes: Takes::Agent },
    Key { name: "format", takes: Takes::Word(Format::NAMES) },
    Key { name: "color", takes: Takes::Word(Color::NAMES) },
    Key { name: "emit", takes: Takes::Words(EVENT_TYPES) },
    Key { name: "fail_on", takes: Takes::Word(FAIL_ON) },
    Key { name: "glob", takes: Takes::Strings },
    Key { name: "threads", takes: Takes::Whole(0, 1024) },
    Key { name: "time_zone", takes: Takes::TimeZone },
    Key { name: "line_limit_bytes", takes: Takes::Whole(1024, 1 << 30) },
    Key { name: "max_sessions", takes: Takes::Whole(1, 65_536) },
    Key { name: "error_repeat_count", takes: Takes::Whole(1, 1000) },
    Key { name: "error_window_sec", takes: Takes::Whole(1, 7 * DAY_SEC) },
    Key { name: "max_auto_retries", takes: Takes::Whole(0, 1000) },
    Key { name: "backoff_base_sec", takes: Takes::Whole(0, DAY_SEC) },
    Key { name: "backoff_max_sec", takes: Takes::Whole(0, DAY_SEC) },
    Key { name: "reset_margin_sec", takes: Takes::Whole(0, DAY_SEC) },
    Key { name: "long_backoff_base_sec", takes: Takes::Whole(0, DAY_SEC) },
    Key { name: "long_backoff_max_sec", takes: Takes::Whole(0, DAY_SEC) },
    Key { name: "unknown_reset_sec", takes: Takes::Whole(0, DAY_SEC) },
    Key { name: "unknown_reset_max_sec", takes: Takes::Whole(0, DAY_SEC) },
    Key { name: "stall_sec", takes: Takes::Whole(0, DAY_SEC) },
    Key { name: "tool_stall_sec", takes: Takes::Whole(0, DAY_SEC) },
    Key { name: "settle_sec", takes: Takes::Whole(0, DAY_SEC) },
    Key { name: "budget_usd", takes: Takes::Number(0.0, 1e12) },
    Key { name: "budget_tokens", takes: Takes::Number(0.0, 1e12) },
    Key { name: "budget_usd_per_day", takes: Takes::Number(0.0, 1e12) },
    Key { name: "budget_tokens_per_day", takes: Takes::Number(0.0, 1e12) },
    Key { name: "budget_usd_per_project", takes: Takes::Number(0.0, 1e12) },
    Key { name: "budget_tokens_per_project", takes: Takes::Number(0.0, 1e12) },
    Key { name: "budget_usd_per_min", takes: Takes::Number(0.0, 1e12) },
    Key { name: "budget_warn_pct", takes: Takes::Number(0.0, 1.0) },
    Key { name: "usage_interval_sec", takes: Takes::Whole(0, 7 * DAY_SEC) },
    Key { name: "allow_repeat", takes: Takes::Calls },
];

/// The value of a key, whatever its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string or a word.
    Text(String),
    /// A whole number.
    Whole(u32),
    /// A number, of which a fraction may be left out.
    Number(f64),
    /// A list of strings.
    List(Vec<String>),
}

impl Settings {
    /// Returns every key with its value: those of [`KEYS`] in their order, then `class.<name>.<key>` for what
    /// is set of the classes, and `loops.<name>.<key>` and `loops.<agent>.<name>.<key>` for what is of the detectors of
    /// loops.
    pub fn entries(&self) -> Vec<(String, Value)> {
        let mut entries: Vec<_> =
            KEYS.iter().filter_map(|key| Some((key.name.to_owned(), self.get(key.name)?))).collect();
        for (class, set) in &self.class {
            let words = [
                ("severity", set.severity.map(Severity::name)),
                ("strategy", set.strategy.map(Strategy::name)),
                ("alert", set.alert.map(AlertWhen::name)),
            ];
            for (key, word) in words {
                if let Some(word) = word {
                    entries.push((format!("class.{class}.{key}"), Value::Text(word.to_owned())));
                }
            }
        }
        entries.extend(self.loops.entries());
        entries
    }

    fn get(&self, key: &str) -> Option<Value> {
        let text = |text: &str| Value::Text(text.to_owned());
        let whole = |n: usize| Value::Whole(u32::try_from(n).unwrap_or(u32::MAX));
        Some(match key {
            "agent" => text(&self.agent),
            "format" => text(self.format.name()),
            "color" => text(self.color.name()),
            "emit" => Value::List(self.emit.clone()),
            "fail_on" => text(self.fail_on.map_or("never", Severity::name)),
            "glob" => Value::List(self.glob.clone()),
            "threads" => whole(self.threads),
            "time_zone" => text(&self.time_zone),
            "line_limit_bytes" => whole(self.line_limit_bytes),
            "max_sessions" => whole(self.max_sessions),
            "error_repeat_count" => Value::Whole(self.error_repeat_count),
            "error_window_sec" => Value::Whole(self.error_window_sec),
            "max_auto_retries" => Value::Whole(self.max_auto_retries),
            "backoff_base_sec" => Value::Whole(self.backoff_base_sec),
            "backoff_max_sec" => Value::Whole(self.backoff_max_sec),
            "reset_margin_sec" => Value::Whole(self.reset_margin_sec),
            "long_backoff_base_sec" => Value::Whole(self.long_backoff_base_sec),
            "long_backoff_max_sec" => Value::Whole(self.long_backoff_max_sec),
            "unknown_reset_sec" => Value::Whole(self.unknown_reset_sec),
            "unknown_reset_max_sec" => Value::Whole(self.unknown_reset_max_sec),
            "stall_sec" => Value::Whole(self.stall_sec),
            "tool_stall_sec" => Value::Whole(self.tool_stall_sec),
            "settle_sec" => Value::Whole(self.settle_sec),
            "budget_usd" => Value::Number(self.budget_usd),
            "budget_tokens" => Value::Number(self.budget_tokens),
            "budget_usd_per_day" => Value::Number(self.budget_usd_per_day),
            "budget_tokens_per_day" => Value::Number(self.budget_tokens_per_day),
            "budget_usd_per_project" => Value::Number(self.budget_usd_per_project),
            "budget_tokens_per_project" => Value::Number(self.budget_tokens_per_project),
            "budget_usd_per_min" => Value::Number(self.budget_usd_per_min),
            "budget_warn_pct" => Value::Number(self.budget_warn_pct),
            "usage_interval_sec" => Value::Whole(self.usage_interval_sec),
            "allow_repeat" => Value::List(self.allow_repeat.clone()),
            _ => return None,
        })
    }

    /// Sets a key to a value that was checked against its [`Takes`].
    fn set(&mut self, key: &str, value: Value) {
        match (key, value) {
            ("agent", Value::Text(text)) => self.agent = text,
            ("format", Value::Text(text)) => self.format = Format::from_name(&text).unwrap_or(Format::Auto),
            ("color", Value::Text(text)) => self.color = Color::from_name(&text).unwrap_or(Color::Auto),
            ("emit", Value::List(list)) => self.emit = list,
            ("fail_on", Value::Text(text)) => self.fail_on = Severity::from_name(&text),
            ("glob", Value::List(list)) => self.glob = list,
            ("time_zone", Value::Text(text)) => self.time_zone = text,
            ("threads", Value::Whole(n)) => self.threads = n as usize,
            ("line_limit_bytes", Value::Whole(n)) => self.line_limit_bytes = n as usize,
            ("max_sessions", Value::Whole(n)) => self.max_sessions = n as usize,
            ("error_repeat_count", Value::Whole(n)) => self.error_repeat_count = n,
            ("error_window_sec", Value::Whole(n)) => self.error_window_sec = n,
            ("max_auto_retries", Value::Whole(n)) => self.max_auto_retries = n,
            ("backoff_base_sec", Value::Whole(n)) => self.backoff_base_sec = n,
            ("backoff_max_sec", Value::Whole(n)) => self.backoff_max_sec = n,
            ("reset_margin_sec", Value::Whole(n)) => self.reset_margin_sec = n,
            ("long_backoff_base_sec", Value::Whole(n)) => self.long_backoff_base_sec = n,
            ("long_backoff_max_sec", Value::Whole(n)) => self.long_backoff_max_sec = n,
            ("unknown_reset_sec", Value::Whole(n)) => self.unknown_reset_sec = n,
            ("unknown_reset_max_sec", Value::Whole(n)) => self.unknown_reset_max_sec = n,
            ("stall_sec", Value::Whole(n)) => self.stall_sec = n,
            ("tool_stall_sec", Value::Whole(n)) => self.tool_stall_sec = n,
            ("settle_sec", Value::Whole(n)) => self.settle_sec = n,
            ("budget_usd", Value::Number(n)) => self.budget_usd = n,
            ("budget_tokens", Value::Number(n)) => self.budget_tokens = n,
            ("budget_usd_per_day", Value::Number(n)) => self.budget_usd_per_day = n,
            ("budget_tokens_per_day", Value::Number(n)) => self.budget_tokens_per_day = n,
            ("budget_usd_per_project", Value::Number(n)) => self.budget_usd_per_project = n,
            ("budget_tokens_per_project", Value::Number(n)) => self.budget_tokens_per_project = n,
            ("budget_usd_per_min", Value::Number(n)) => self.budget_usd_per_min = n,
            ("budget_warn_pct", Value::Number(n)) => self.budget_warn_pct = n,
            ("usage_interval_sec", Value::Whole(n)) => self.usage_interval_sec = n,
            ("allow_repeat", Value::List(list)) => self.allow_repeat = list,
            (key, value) => debug_assert!(false, "no field for {key} = {value:?}"),
        }
    }

    /// A place for the values of `defaults.toml`, which sets every key.
    fn blank() -> Self {
        Self {
            agent: String::new(),
            format: Format::Auto,
            color: Color::Auto,
            emit: Vec::new(),
            fail_on: None,
            glob: Vec::new(),
            threads: 0,
            time_zone: String::new(),
            line_limit_bytes: 0,
            max_sessions: 0,
            error_repeat_count: 0,
            error_window_sec: 0,
            max_auto_retries: 0,
            backoff_base_sec: 0,
            backoff_max_sec: 0,
            reset_margin_sec: 0,
            long_backoff_base_sec: 0,
            long_backoff_max_sec: 0,
            unknown_reset_sec: 0,
            unknown_reset_max_sec: 0,
            stall_sec: 0,
            tool_stall_sec: 0,
            settle_sec: 0,
            budget_usd: 0.0,
            budget_tokens: 0.0,
            budget_usd_per_day: 0.0,
            budget_tokens_per_day: 0.0,
            budget_usd_per_project: 0.0,
            budget_tokens_per_project: 0.0,
            budget_usd_per_min: 0.0,
            budget_warn_pct: 0.0,
            usage_interval_sec: 0,
            allow_repeat: Vec::new(),
            class: BTreeMap::new(),
            loops: LoopSettings::default(),
        }
    }
}

impl Default for Settings {
    /// Returns the values of `defaults.toml`.
    fn default() -> Self {
        let environment =
            Environment { variables: Vec::new(), system_dir: PathBuf::new(), current_dir: PathBuf::new() };
        // No file and no variable is looked at with such an environment, and a test reads the defaults.
        load(&environment, None, &[], &[]).map_or_else(|_| Self::blank(), |loaded| loaded.settings)
    }
}

/// Returns the word nearest to one that is not known, if one is near enough to be a slip.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|other| (strsim::osa_distance(&lower, &other.to_lowercase()), other))
        .filter(|(distance, other)| *distance <= (other.chars().count() / 3).max(1))
        .min()
        .map(|(_, other)| other)
}
