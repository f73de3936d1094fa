//! Reads the layers of settings, each over the one before, and remembers where every value came from.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::rules::{RulesFile, TABLES, read_tables};
use super::{AlertWhen, CLASS_KEYS, KEYS, Key, Settings, Takes, Value, nearest};
use super::{loops, profiles};
use crate::engine::classify::own::OwnRow;
use crate::engine::classify::rules::Rules;
use crate::engine::step::intended::CallPattern;
use crate::model::class::{Class, Severity, Strategy};
use crate::profile::{Profile, custom::CustomProfile};

/// The built-in defaults, as a commented configuration file.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// The beginning of the names of the variables that set something.
const PREFIX: &str = "SESSION_DOCTOR_";

/// The name of the file in a project's directory.
const PROJECT_FILE: &str = ".session-doctor.toml";

/// What is known of the surroundings; a value, so that tests can make their own.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The environment variables.
    pub variables: Vec<(OsString, OsString)>,
    /// Where the system's configuration lies, `/etc`. If empty, there is none.
    pub system_dir: PathBuf,
    /// Where the search for a project begins. If empty, there is none.
    pub current_dir: PathBuf,
}

impl Environment {
    /// Returns that of this process.
    pub fn of_process() -> Self {
        Self {
            variables: env::vars_os().collect(),
            system_dir: PathBuf::from("/etc"),
            current_dir: env::current_dir().unwrap_or_default(),
        }
    }

    /// Returns the path in this variable if it is absolute, as the XDG specification wants it.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        let (_, value) = self.variables.iter().find(|(variable, _)| variable == name)?;
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    }
}

/// A value given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The flag as the user writes it, such as `--fail-on`.
    pub flag: &'static str,
    /// The key it sets.
    pub key: &'static str,
    /// The value, or the values of a list.
    pub values: Vec<String>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// Where every value came from, by key (`threads`, `class.rate_limit.strategy`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Returns where the value of this key came from: `Default` if nothing set it.
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }
}

/// Which layer a configuration file makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigLayer {
    /// The system's.
    System,
    /// The user's.
    User,
    /// The project's.
    Project,
    /// The one given with `--config`.
    Given,
}

impl ConfigLayer {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Project => "project",
            Self::Given => "given",
        }
    }
}

/// A file that is or would be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its layer.
    pub layer: ConfigLayer,
    /// Its path.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
}

/// The settings that hold.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// Where each came from.
    pub origins: Origins,
    /// The files that were looked for, in the order of their layers.
    pub files: Vec<ConfigFile>,
    /// The rules that the files hold, by layer.
    pub own_rules: Vec<Vec<OwnRow>>,
    /// The profiles that the files hold; one of a later layer has taken the place of one of its name.
    pub profiles: Vec<CustomProfile>,
}

impl Loaded {
    /// Returns the program's rules with those of the files.
    ///
    /// # Errors
    /// The first rule that cannot be used.
    pub fn rules(&self) -> Result<Arc<Rules>, SettingsError> {
        if self.own_rules.is_empty() {
            return Ok(Rules::built_in());
        }
        let merged = Rules::with_own(&self.own_rules);
        merged.map(Arc::new).map_err(|errors| match errors.into_iter().next() {
            Some(error) => error.into(),
            None => wrong(Origin::Default, None, "the rules cannot be merged".to_owned(), None),
        })
    }
}

/// Settings that cannot be used: what is wrong, where, and what may have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// Where the value came from; for a file that cannot be read, its path with line 0.
    pub origin: Origin,
    /// The key it is about, if it is about one.
    pub key: Option<String>,
    /// What is wrong, as a fragment.
    pub cause: String,
    /// What the user may do about it.
    pub hint: Option<String>,
}

impl fmt::Display for SettingsError {
    /// Writes the message that reads after "failed to"; [`Self::cause`] is apart from it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => f.write_str("load the built-in settings"),
            Origin::File { path, line: 0 } => write!(f, "load settings from `{}`", path.display()),
            Origin::File { path, line } => write!(f, "load settings from `{}` line {line}", path.display()),
            Origin::Variable(name) => write!(f, "load settings from the variable `{name}`"),
            Origin::Flag(flag) => write!(f, "use the flag `{flag}`"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// Returns the files that are looked for, in the order of their layers. A project's file is searched from the
/// current directory upwards to a directory that holds `.git` or to the home directory; if neither lies above,
/// in the current directory only, so that nobody's file in `/tmp` speaks for others.
pub fn config_files(environment: &Environment, given: Option<&Path>) -> Vec<ConfigFile> {
    let mut files = Vec::new();
    let mut add = |layer, path: PathBuf| {
        let exists = path.exists();
        files.push(ConfigFile { layer, path, exists });
    };
    if environment.system_dir.is_absolute() {
        add(ConfigLayer::System, environment.system_dir.join("session-doctor/config.toml"));
    }
    let home = environment.directory("HOME");
    let user =
        environment.directory("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    if let Some(user) = user {
        add(ConfigLayer::User, user.join("session-doctor/config.toml"));
    }
    if environment.current_dir.is_absolute() {
        add(ConfigLayer::Project, project_file(&environment.current_dir, home.as_deref()));
    }
    if let Some(given) = given {
        add(ConfigLayer::Given, given.to_owned());
    }
    files
}

fn project_file(current: &Path, home: Option<&Path>) -> PathBuf {
    let is_top = |directory: &Path| directory.join(".git").exists() || Some(directory) == home;
    let depth = current.ancestors().position(is_top).unwrap_or(0);
    current
        .ancestors()
        .take(depth + 1)
        .map(|directory| directory.join(PROJECT_FILE))
        .find(|path| path.exists())
        .unwrap_or_else(|| current.join(PROJECT_FILE))
}

/// Reads all layers. `given` is the file of `--config`, which must exist; `agents` are the names of the
/// formats that `agent` may take beside "auto".
pub fn load(
    environment: &Environment,
    given: Option<&Path>,
    flags: &[Flag],
    agents: &[&str],
) -> Result<Loaded, SettingsError> {
    let mut layers = Layers {
        settings: Settings::blank(),
        origins: Origins::default(),
        agents,
        own_rules: Vec::new(),
        profiles: Vec::new(),
    };
    layers.file(DEFAULTS, None)?;
    let files = config_files(environment, given);
    for file in &files {
        match fs::read(&file.path) {
            Ok(bytes) => layers.file(&utf8(bytes, &file.path)?, Some(&file.path))?,
            Err(error) if is_absent(&error) && file.layer != ConfigLayer::Given => {}
            Err(error) => {
                let origin = Origin::File { path: file.path.clone(), line: 0 };
                let (cause, hint) = match error.kind() {
                    io::ErrorKind::NotFound => ("there is no such file".to_owned(), None),
                    io::ErrorKind::PermissionDenied => (
                        "permission denied".to_owned(),
                        Some("the user who runs this needs permission to read it".to_owned()),
                    ),
                    _ => (error.to_string(), None),
                };
                return Err(wrong(origin, None, cause, hint));
            }
        }
    }
    layers.variables(environment)?;
    for flag in flags {
        layers.flag(flag)?;
    }
    layers.check_together()?;
    Ok(Loaded {
        settings: layers.settings,
        origins: layers.origins,
        files,
        own_rules: layers.own_rules,
        profiles: layers.profiles,
    })
}

/// Returns the text of a file.
pub(super) fn utf8(bytes: Vec<u8>, path: &Path) -> Result<String, SettingsError> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        wrong(Origin::File { path: path.to_owned(), line }, None, "it is not UTF-8 text".to_owned(), None)
    })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The settings while layers are put over one another.
struct Layers<'a> {
    settings: Settings,
    origins: Origins,
    agents: &'a [&'a str],
    own_rules: Vec<Vec<OwnRow>>,
    profiles: Vec<CustomProfile>,
}

impl Layers<'_> {
    fn file(&mut self, text: &str, path: Option<&Path>) -> Result<(), SettingsError> {
        let origin_at = origin_at(text, path);
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            wrong(origin_at(at), None, format!("it is not valid TOML: {}", error.message().trim()), None)
        })?;
        let mut rules = RulesFile::default();
        for (name, value) in sorted(table.get_ref()) {
            let origin = origin_at(name.span().start);
            let name = name.get_ref().as_ref();
            if TABLES.contains(&name) {
                let mut errors = Vec::new();
                read_tables(name, value, &origin_at, self.agents, &mut rules, &mut errors);
                errors.into_iter().next().map_or(Ok(()), Err)?;
                continue;
            }
            if name == "class" {
                self.classes(value, &origin_at)?;
                continue;
            }
            if name == loops::TABLE {
                loops::read(value, &origin_at, self.agents, &mut |at, value, origin| {
                    self.origins.0.insert(at.path(), origin);
                    self.settings.loops.set(at, value);
                })?;
                continue;
            }
            if name == profiles::TABLE {
                for profile in profiles::read(value, &origin_at, self.agents)? {
                    match self.profiles.iter_mut().find(|other| other.name() == profile.name()) {
                        Some(other) => *other = profile,
                        None => self.profiles.push(profile),
                    }
                }
                continue;
            }
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                let known = KEYS
                    .iter()
                    .map(|key| key.name)
                    .chain(["class", loops::TABLE, profiles::TABLE])
                    .chain(TABLES.iter().copied());
                return Err(unknown(origin, name, "key", known));
            };
            let value = read(key, value.get_ref(), &origin)?;
            self.set(key, value, origin)?;
        }
        if !rules.rows.is_empty() {
            self.own_rules.push(rules.rows);
        }
        Ok(())
    }

    fn classes(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        origin: &dyn Fn(usize) -> Origin,
    ) -> Result<(), SettingsError> {
        let table = |value: &Spanned<DeValue<'_>>, key: &str, at: usize| match value.get_ref() {
            DeValue::Table(_) => Ok(()),
            other => Err(wrong_type(origin(at), key, "a table", other)),
        };
        table(value, "class", value.span().start)?;
        for (name, value) in value.get_ref().as_table().into_iter().flat_map(sorted) {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            let Some(class) = Class::from_name(name) else {
                let known = Class::ALL.iter().map(|class| class.name());
                return Err(unknown(origin(at), name, "class", known));
            };
            table(value, &format!("class.{name}"), at)?;
            for (key, value) in value.get_ref().as_table().into_iter().flat_map(sorted) {
                self.class(class, key.get_ref(), value.get_ref(), origin(key.span().start))?;
            }
        }
        Ok(())
    }

    fn class(
        &mut self,
        class: Class,
        key: &str,
        value: &DeValue<'_>,
        origin: Origin,
    ) -> Result<(), SettingsError> {
        let words: Vec<&str> = match key {
            "severity" => Severity::ALL.iter().map(|value| value.name()).collect(),
            "strategy" => Strategy::ALL.iter().map(|value| value.name()).collect(),
            "alert" => AlertWhen::NAMES.to_vec(),
            _ => return Err(unknown(origin, key, "key", CLASS_KEYS.iter().copied())),
        };
        let path = format!("class.{class}.{key}");
        let Some(word) = value.as_str() else {
            return Err(wrong_type(origin, &path, "a string", value));
        };
        check_word(&path, word, &words, &origin)?;
        let set = self.settings.class.entry(class).or_default();
        match key {
            "severity" => set.severity = Severity::from_name(word),
            "strategy" => set.strategy = Strategy::from_name(word),
            _ => set.alert = AlertWhen::from_name(word),
        }
        self.origins.0.insert(path, origin);
        Ok(())
    }

    fn variables(&mut self, environment: &Environment) -> Result<(), SettingsError> {
        for key in KEYS {
            let name = format!("{PREFIX}{}", key.name.to_uppercase());
            let Some((_, value)) = environment.variables.iter().find(|(variable, _)| *variable == *name)
            else {
                continue;
            };
            let origin = Origin::Variable(name);
            let Some(value) = value.to_str() else {
                return Err(wrong(origin, Some(key.name), "it is not UTF-8 text".to_owned(), None));
            };
            let is_list = matches!(key.takes, Takes::Words(_) | Takes::Strings | Takes::Calls);
            let values: Vec<String> = match value.trim() {
                // Shells can hardly unset for one command; empty means the same.
                "" if !is_list => continue,
                "" => Vec::new(),
                value if is_list => value.split(',').map(|item| item.trim().to_owned()).collect(),
                value => vec![value.to_owned()],
            };
            self.words(key, values, origin)?;
        }
        // Others may own variables that begin like ours (Kubernetes makes `<SERVICE>_PORT` for every service),
        // so only one that is nearly a key is taken for a slip.
        for (variable, _) in &environment.variables {
            let Some(rest) = variable.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
            let word = rest.to_lowercase();
            if KEYS.iter().any(|key| key.name == word) {
                continue;
            }
            let slip = KEYS
                .iter()
                .map(|key| key.name)
                .find(|key| strsim::osa_distance(&word, key) <= (key.len() / 5).max(1));
            if let Some(meant) = slip {
                return Err(wrong(
                    Origin::Variable(format!("{PREFIX}{rest}")),
                    None,
                    "it sets nothing".to_owned(),
                    Some(format!("did you mean `{PREFIX}{}`?", meant.to_uppercase())),
                ));
            }
        }
        Ok(())
    }

    fn flag(&mut self, flag: &Flag) -> Result<(), SettingsError> {
        match KEYS.iter().find(|key| key.name == flag.key) {
            Some(key) => self.words(key, flag.values.clone(), Origin::Flag(flag.flag)),
            None => Err(unknown(Origin::Flag(flag.flag), flag.key, "key", KEYS.iter().map(|key| key.name))),
        }
    }

    /// Sets a key from words that have no type of their own.
    fn words(&mut self, key: &Key, values: Vec<String>, origin: Origin) -> Result<(), SettingsError> {
        let value = match key.takes {
            Takes::Words(_) | Takes::Strings | Takes::Calls => Value::List(values),
            Takes::Whole(from, to) => {
                let word = values.concat();
                let number = word.parse::<i128>().map_err(|_| {
                    let cause = format!("`{}` must be a whole number, not `{word}`", key.name);
                    wrong(origin.clone(), Some(key.name), cause, None)
                })?;
                whole(key, number, from, to, &origin)?
            }
            Takes::Number(from, to) => {
                let word = values.concat();
                let number = word.parse::<f64>().map_err(|_| {
                    let cause = format!("`{}` must be a number, not `{word}`", key.name);
                    wrong(origin.clone(), Some(key.name), cause, None)
                })?;
                number_in(key, number, from, to, &origin)?
            }
            _ => Value::Text(values.concat()),
        };
        self.set(key, value, origin)
    }

    fn set(&mut self, key: &Key, value: Value, origin: Origin) -> Result<(), SettingsError> {
        match (&key.takes, &value) {
            (Takes::Word(words), Value::Text(word)) => check_word(key.name, word, words, &origin)?,
            (Takes::Words(words), Value::List(list)) => {
                for word in list {
                    check_word(key.name, word, words, &origin)?;
                }
            }
            (Takes::Agent, Value::Text(word)) => {
                let words: Vec<&str> = ["auto"].iter().chain(self.agents).copied().collect();
                check_word(key.name, word, &words, &origin)?;
            }
            (Takes::TimeZone, Value::Text(name)) => check_time_zone(key.name, name, &origin)?,
            (Takes::Calls, Value::List(list)) => {
                for pattern in list {
                    check_call(key.name, pattern, &origin)?;
                }
            }
            _ => {}
        }
        self.settings.set(key.name, value);
        self.origins.0.insert(key.name.to_owned(), origin);
        Ok(())
    }

    fn check_together(&self) -> Result<(), SettingsError> {
        let Settings {
            backoff_base_sec, backoff_max_sec, long_backoff_base_sec, long_backoff_max_sec, ..
        } = self.settings;
        let Settings { unknown_reset_sec, unknown_reset_max_sec, .. } = self.settings;
        for (first, base, last, max) in [
            ("backoff_base_sec", backoff_base_sec, "backoff_max_sec", backoff_max_sec),
            ("long_backoff_base_sec", long_backoff_base_sec, "long_backoff_max_sec", long_backoff_max_sec),
            ("unknown_reset_sec", unknown_reset_sec, "unknown_reset_max_sec", unknown_reset_max_sec),
        ] {
            if base <= max {
                continue;
            }
            // The error belongs to the one of the two that was set last; a default is never at fault.
            let (key, other) = match self.origins.of(last) {
                Origin::Default => (first, last),
                _ => (last, first),
            };
            return Err(wrong(
                self.origins.of(key).clone(),
                Some(key),
                format!("`{first}` ({base}) is greater than `{last}` ({max})"),
                Some(format!("`{other}` comes from: {}", self.origins.of(other))),
            ));
        }
        self.settings.loops.check(&self.origins)
    }
}

pub(super) fn origin_at<'a>(text: &'a str, path: Option<&'a Path>) -> impl Fn(usize) -> Origin + 'a {
    move |at| match path {
        Some(path) => {
            Origin::File { path: path.to_owned(), line: text[..at.min(text.len())].matches('\n').count() + 1 }
        }
        None => Origin::Default,
    }
}

/// The entries of a table in the order of the file, so that the first mistake is the one reported.
pub(super) fn sorted<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// Reads a value of the type that the key takes.
fn read(key: &Key, value: &DeValue<'_>, origin: &Origin) -> Result<Value, SettingsError> {
    let list_type = "a list of strings";
    match key.takes {
        Takes::Agent | Takes::TimeZone | Takes::Word(_) => match value.as_str() {
            Some(text) => Ok(Value::Text(text.to_owned())),
            None => Err(wrong_type(origin.clone(), key.name, "a string", value)),
        },
        Takes::Words(_) | Takes::Strings | Takes::Calls => match value {
            DeValue::Array(array) => array
                .iter()
                .map(|item| match item.get_ref().as_str() {
                    Some(text) => Ok(text.to_owned()),
                    None => Err(wrong_type(origin.clone(), key.name, list_type, item.get_ref())),
                })
                .collect::<Result<_, _>>()
                .map(Value::List),
            other => Err(wrong_type(origin.clone(), key.name, list_type, other)),
        },
        Takes::Whole(from, to) => match value {
            DeValue::Integer(integer) => {
                // What does not fit this type is out of every key's range as well.
                let number = i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX);
                whole(key, number, from, to, origin)
            }
            other => Err(wrong_type(origin.clone(), key.name, "a whole number", other)),
        },
        Takes::Number(from, to) => {
            let number = match value {
                DeValue::Integer(integer) => {
                    i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number as f64)
                }
                DeValue::Float(float) => float.as_str().parse().ok(),
                other => return Err(wrong_type(origin.clone(), key.name, "a number", other)),
            };
            number_in(key, number.unwrap_or(f64::INFINITY), from, to, origin)
        }
    }
}

fn whole(key: &Key, number: i128, from: u32, to: u32, origin: &Origin) -> Result<Value, SettingsError> {
    match u32::try_from(number) {
        Ok(number) if (from..=to).contains(&number) => Ok(Value::Whole(number)),
        _ => {
            let shown = if number == i128::MAX { "so large a number".to_owned() } else { number.to_string() };
            let cause = format!("`{}` must be from {from} to {to}, not {shown}", key.name);
            Err(wrong(origin.clone(), Some(key.name), cause, None))
        }
    }
}

fn number_in(key: &Key, number: f64, from: f64, to: f64, origin: &Origin) -> Result<Value, SettingsError> {
    if (from..=to).contains(&number) {
        return Ok(Value::Number(number));
    }
    let cause = format!("`{}` must be from {from} to {to}, not {number}", key.name);
    Err(wrong(origin.clone(), Some(key.name), cause, None))
}

fn check_word(key: &str, word: &str, words: &[&str], origin: &Origin) -> Result<(), SettingsError> {
    if words.contains(&word) {
        return Ok(());
    }
    let hint = match nearest(word, words.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("possible are: {}", words.join(", ")),
    };
    Err(wrong(origin.clone(), Some(key), format!("`{key}` cannot be `{word}`"), Some(hint)))
}

fn check_call(key: &str, pattern: &str, origin: &Origin) -> Result<(), SettingsError> {
    CallPattern::parse(pattern).map(|_| ()).map_err(|cause| {
        let cause = format!("`{key}`: `{pattern}` names no call: {cause}");
        let hint = "a call is written as Bash, or as Bash(gh run watch*)".to_owned();
        wrong(origin.clone(), Some(key), cause, Some(hint))
    })
}

fn check_time_zone(key: &str, name: &str, origin: &Origin) -> Result<(), SettingsError> {
    let zones = jiff::tz::db();
    if name == "local" || zones.get(name).is_ok() {
        return Ok(());
    }
    let known: Vec<String> = zones.available().map(|zone| zone.to_string()).collect();
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "it takes `local` or an IANA name such as `Europe/Berlin`".to_owned(),
    };
    Err(wrong(origin.clone(), Some(key), format!("`{key}`: there is no time zone `{name}`"), Some(hint)))
}

pub(super) fn unknown<'a>(
    origin: Origin,
    name: &str,
    what: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> SettingsError {
    let known: Vec<&str> = known.into_iter().collect();
    let hint = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if what == "key" && known.len() > CLASS_KEYS.len() => {
            "`session-doctor config show` lists every key".to_owned()
        }
        None => format!("possible are: {}", known.join(", ")),
    };
    wrong(origin, Some(name), format!("there is no {what} `{name}`"), Some(hint))
}

pub(super) fn wrong_type(origin: Origin, key: &str, expected: &str, found: &DeValue<'_>) -> SettingsError {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    wrong(origin, Some(key), format!("`{key}` must be {expected}, not {found}"), None)
}

pub(super) fn wrong(origin: Origin, key: Option<&str>, cause: String, hint: Option<String>) -> SettingsError {
    SettingsError { origin, key: key.map(str::to_owned), cause, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENTS: &[&str] = &["claude", "codex"];

    /// A home with a project in it, and a system directory.
    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            for directory in
                ["etc/session-doctor", "home/.config/session-doctor", "home/project/.git", "home/project/src"]
            {
                fs::create_dir_all(world.path(directory)).unwrap();
            }
            world
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(self, name: &str, text: &str) -> Self {
            fs::write(self.path(name), text).unwrap();
            self
        }

        fn environment(&self, variables: &[(&str, &str)]) -> Environment {
            let home = ("HOME".into(), self.path("home").into());
            let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
            Environment {
                variables: variables.chain([home]).collect(),
                system_dir: self.path("etc"),
                current_dir: self.path("home/project/src"),
            }
        }

        fn load(&self, variables: &[(&str, &str)], flags: &[Flag]) -> Result<Loaded, SettingsError> {
            load(&self.environment(variables), None, flags, AGENTS)
        }

        /// The three parts of the error, with the world's directory as `W`.
        fn error(&self, variables: &[(&str, &str)], flags: &[Flag]) -> String {
            let error = self.load(variables, flags).unwrap_err();
            let hint = error.hint.clone().unwrap_or_default();
            format!("{error} | {} | {hint}", error.cause).replace(self.0.path().to_str().unwrap(), "W")
        }
    }

    const USER: &str = "home/.config/session-doctor/config.toml";

    #[test]
    fn what_is_no_text_is_placed_alike_for_settings_and_for_rules() {
        let world = World::new();
        let file = world.path("home/project/.session-doctor.toml");
        fs::write(&file, b"threads = 2\n# caf\xe9\n").unwrap();
        let origin = Origin::File { path: file.clone(), line: 2 };
        assert_eq!(world.load(&[], &[]).unwrap_err().origin, origin);
        assert_eq!(super::super::rules::read_file(&file, AGENTS).unwrap_err()[0].origin, origin);
    }

    #[test]
    fn the_defaults_set_every_key_and_are_the_documented_ones() {
        let table: toml::Table = DEFAULTS.parse().unwrap();
        let keys: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
        for key in &keys {
            assert!(table.contains_key(*key), "{key}");
        }
        assert_eq!(table.len(), keys.len());
        let settings = Settings::default();
        assert_eq!(settings.agent, "auto");
        assert_eq!(settings.line_limit_bytes, 4 * 1024 * 1024);
        assert_eq!(settings.fail_on, None);
        assert_eq!((settings.backoff_base_sec, settings.backoff_max_sec), (2, 32));
        let entries = settings.entries();
        assert_eq!(entries.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), keys);
    }

    #[test]
    fn later_layers_win_and_are_remembered() {
        let world = World::new()
            .write("etc/session-doctor/config.toml", "threads = 1\nmax_sessions = 1\nglob = ['*.a']\n")
            .write(USER, "\nmax_sessions = 2\nformat = 'text'\n[class.timeout]\nalert = 'first'\n")
            .write(
                "home/project/.session-doctor.toml",
                "format = 'json'\nerror_window_sec = 1_000\n[class.timeout]\nstrategy = 'halt'\n",
            );
        let flag = Flag { flag: "--fail-on", key: "fail_on", values: vec!["high".to_owned()] };
        let loaded = world
            .load(&[("SESSION_DOCTOR_THREADS", "7"), ("SESSION_DOCTOR_EMIT", "alert, summary")], &[flag])
            .unwrap();
        let settings = &loaded.settings;
        assert_eq!((settings.threads, settings.max_sessions), (7, 2));
        assert_eq!(settings.format, super::super::Format::Json);
        assert_eq!(settings.error_window_sec, 1000);
        assert_eq!(settings.emit, ["alert", "summary"]);
        assert_eq!(settings.fail_on, Some(Severity::High));
        let timeout = settings.class[&Class::Timeout];
        assert_eq!((timeout.strategy, timeout.alert), (Some(Strategy::Halt), Some(AlertWhen::First)));
        let origin = |key| loaded.origins.of(key).to_string().replace(world.0.path().to_str().unwrap(), "W");
        assert_eq!(origin("threads"), "variable SESSION_DOCTOR_THREADS");
        assert_eq!(origin("max_sessions"), "W/home/.config/session-doctor/config.toml:2");
        assert_eq!(origin("glob"), "W/etc/session-doctor/config.toml:3");
        assert_eq!(origin("format"), "W/home/project/.session-doctor.toml:1");
        assert_eq!(origin("class.timeout.alert"), "W/home/.config/session-doctor/config.toml:5");
        assert_eq!(origin("class.timeout.strategy"), "W/home/project/.session-doctor.toml:4");
        assert_eq!(origin("fail_on"), "flag --fail-on");
        assert_eq!(origin("agent"), "default");
    }

    #[test]
    fn the_given_file_comes_over_the_project_and_must_exist() {
        let world = World::new()
            .write("home/project/.session-doctor.toml", "threads = 1")
            .write("given.toml", "threads = 2");
        let environment = world.environment(&[]);
        let loaded = load(&environment, Some(&world.path("given.toml")), &[], AGENTS).unwrap();
        assert_eq!(loaded.settings.threads, 2);
        let error = load(&environment, Some(&world.path("absent.toml")), &[], AGENTS).unwrap_err();
        assert!(error.to_string().ends_with("absent.toml`"), "{error}");
        assert_eq!(error.cause, "there is no such file");
    }

    #[test]
    fn a_project_ends_at_git_at_home_or_at_once() {
        let world = World::new().write("home/.session-doctor.toml", "").write(".session-doctor.toml", "");
        let found = |current: &str, home: &str| {
            let path = project_file(&world.path(current), Some(&world.path(home)));
            path.strip_prefix(world.0.path()).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(found("home/project/src", "home"), "home/project/src/.session-doctor.toml", "above .git");
        assert_eq!(found("home/.config/session-doctor", "home"), "home/.session-doctor.toml");
        assert_eq!(found("etc/session-doctor", "elsewhere"), "etc/session-doctor/.session-doctor.toml");
    }

    #[test]
    fn an_absolute_xdg_config_home_counts() {
        let world = World::new().write("etc/session-doctor/config.toml", "");
        let mut environment = world.environment(&[("XDG_CONFIG_HOME", "relative")]);
        assert_eq!(config_files(&environment, None)[1].path, world.path(USER));
        environment.variables.insert(0, ("XDG_CONFIG_HOME".into(), "/xdg".into()));
        assert_eq!(config_files(&environment, None)[1].path, Path::new("/xdg/session-doctor/config.toml"));
    }

    #[test]
    fn mistakes_in_files_name_the_line_and_what_was_meant() {
        let check = |text: &str, expected: &str| {
            let error = World::new().write(USER, text).error(&[], &[]);
            let place = "load settings from `W/home/.config/session-doctor/config.toml` line ";
            assert_eq!(error.strip_prefix(place), Some(expected), "{error}");
        };
        check("\nthread = 1", "2 | there is no key `thread` | did you mean `threads`?");
        check("quux = 1", "1 | there is no key `quux` | `session-doctor config show` lists every key");
        check("max-sessions = 1", "1 | there is no key `max-sessions` | did you mean `max_sessions`?");
        check("threads = '2'", "1 | `threads` must be a whole number, not a string | ");
        check("threads = -1", "1 | `threads` must be from 0 to 1024, not -1 | ");
        check("threads = 2000", "1 | `threads` must be from 0 to 1024, not 2000 | ");
        check("agent = 3", "1 | `agent` must be a string, not a whole number | ");
        check("agent = 'cladue'", "1 | `agent` cannot be `cladue` | did you mean `claude`?");
        check("emit = ['alert', 'alrt']", "1 | `emit` cannot be `alrt` | did you mean `alert`?");
        check("emit = 'alert'", "1 | `emit` must be a list of strings, not a string | ");
        check(
            "fail_on = 'bad'",
            "1 | `fail_on` cannot be `bad` | possible are: never, low, medium, high, critical",
        );
        check(
            "time_zone = 'Europe/Berln'",
            "1 | `time_zone`: there is no time zone `Europe/Berln` | did you mean `Europe/Berlin`?",
        );
        check("a = 1\nb = = 2", "2 | it is not valid TOML: extra `=`, expected nothing | ");
        check("[class.rate_limits]", "1 | there is no class `rate_limits` | did you mean `rate_limit`?");
        check(
            "[class.rate_limit]\nstrateggy = 'halt'",
            "2 | there is no key `strateggy` | did you mean `strategy`?",
        );
        check(
            "[class.rate_limit]\nstrategy = 'stop'",
            "2 | `class.rate_limit.strategy` cannot be `stop` | possible are: monitor, backoff, \
             retry_prompt_fix, compact_context, break_loop, reset, restart, resume, halt",
        );
        check("class = 1", "1 | `class` must be a table, not a whole number | ");
        check(
            "backoff_base_sec = 60",
            "1 | `backoff_base_sec` (60) is greater than `backoff_max_sec` (32) | `backoff_max_sec` comes from: default",
        );
    }

    #[test]
    fn mistakes_in_variables_and_flags_name_them() {
        let world = World::new();
        assert_eq!(
            world.error(&[("SESSION_DOCTOR_THREADS", "many")], &[]),
            "load settings from the variable `SESSION_DOCTOR_THREADS` | `threads` must be a whole number, not `many` | "
        );
        assert_eq!(
            world.error(&[("SESSION_DOCTOR_THREAD", "2")], &[]),
            "load settings from the variable `SESSION_DOCTOR_THREAD` | it sets nothing | did you mean `SESSION_DOCTOR_THREADS`?"
        );
        let flag = Flag { flag: "--time-zone", key: "time_zone", values: vec!["Mars".to_owned()] };
        assert_eq!(
            world.error(&[], &[flag]),
            "use the flag `--time-zone` | `time_zone`: there is no time zone `Mars` | it takes `local` or an IANA name such as `Europe/Berlin`"
        );
    }

    #[test]
    fn empty_and_foreign_variables_set_nothing() {
        let loaded = World::new()
            .load(
                &[
                    ("SESSION_DOCTOR_AGENT", ""),
                    ("SESSION_DOCTOR_PORT", "tcp://10.0.0.1:80"),
                    ("SESSION_DOCTOR_HOME", "/x"),
                ],
                &[],
            )
            .unwrap();
        assert_eq!(loaded.settings, Settings::default());
    }
}
