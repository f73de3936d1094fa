//! Reads the limits of the detectors of loops: `[loops.NAME]`, and `[loops.AGENT.NAME]` for one agent.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::layers::{Origin, Origins, SettingsError, sorted, unknown, wrong, wrong_type};
use super::{Settings, Value};
use crate::engine::detect::loops::NAMES;
use crate::engine::detect::loops::limits::{self, Limit, Limits, MOST, Options};
use crate::engine::step::intended::CallPattern;

/// The name of the table.
pub const TABLE: &str = "loops";

/// The keys of one detector.
pub const KEYS: [&str; 4] = ["warn", "act", "warn_sec", "act_sec"];

/// What one value is a limit of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The agent; none for all that have no limit of their own.
    pub agent: Option<String>,
    /// The detector.
    pub detector: &'static str,
    /// One of [`KEYS`].
    pub key: &'static str,
}

impl Place {
    /// Returns the path of the key, such as `loops.codex.same_error.act`.
    pub fn path(&self) -> String {
        let agent = self.agent.as_ref().map(|agent| format!("{agent}.")).unwrap_or_default();
        format!("{TABLE}.{agent}{}.{}", self.detector, self.key)
    }
}

/// What the user set of the limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoopSettings(BTreeMap<Place, u32>);

impl LoopSettings {
    /// Sets one limit.
    pub(super) fn set(&mut self, place: Place, value: u32) {
        self.0.insert(place, value);
    }

    /// Returns the path of every key that is set, with its value: those of all agents first.
    pub(super) fn entries(&self) -> impl Iterator<Item = (String, Value)> {
        self.0.iter().map(|(place, value)| (place.path(), Value::Whole(*value)))
    }

    /// Returns the limits of the agents that have none of their own.
    pub fn of_all(&self) -> Limits {
        let mut limits = Limits::default();
        self.put(None, &mut limits);
        limits
    }

    /// Returns the limits of an agent.
    pub fn of(&self, agent: &str) -> Limits {
        let mut limits = self.of_all();
        self.put(Some(agent), &mut limits);
        limits
    }

    /// Returns the agents that have limits of their own.
    fn agents(&self) -> Vec<&str> {
        let mut agents: Vec<&str> = self.0.keys().filter_map(|place| place.agent.as_deref()).collect();
        agents.dedup();
        agents
    }

    fn put(&self, agent: Option<&str>, limits: &mut Limits) {
        for (name, limit) in limits.iter_mut() {
            let places =
                self.0.iter().filter(|(place, _)| place.detector == name && place.agent.as_deref() == agent);
            for (place, value) in places {
                match place.key {
                    "warn" => limit.warn = *value,
                    "act" => limit.act = *value,
                    "warn_sec" => limit.warn_sec = i64::from(*value),
                    _ => limit.act_sec = i64::from(*value),
                }
            }
        }
    }

    /// Checks that what warns comes before what interrupts.
    pub(super) fn check(&self, origins: &Origins) -> Result<(), SettingsError> {
        for agent in std::iter::once(None).chain(self.agents().into_iter().map(Some)) {
            let limits = agent.map_or_else(|| self.of_all(), |agent| self.of(agent));
            for (detector, limit) in limits.iter() {
                let Limit { warn, act, warn_sec, act_sec } = *limit;
                let (first, last) = match () {
                    () if warn == 0 || act == 0 => continue,
                    () if warn >= act => (("warn", i64::from(warn)), ("act", i64::from(act))),
                    () if warn_sec > act_sec => (("warn_sec", warn_sec), ("act_sec", act_sec)),
                    () => continue,
                };
                // What is set for the agent wins over what is set for all.
                let set = |key| {
                    let place =
                        |agent: Option<&str>| Place { agent: agent.map(str::to_owned), detector, key }.path();
                    let own = place(agent);
                    if *origins.of(&own) == Origin::Default { place(None) } else { own }
                };
                // The error belongs to the one of the two that was set; a default is never at fault.
                let (key, other) = match origins.of(&set(last.0)) {
                    Origin::Default => (first, last),
                    _ => (last, first),
                };
                let path = set(key.0);
                let bound = match (key == last, key.0.ends_with("_sec")) {
                    (true, false) => "greater than",
                    (false, false) => "less than",
                    (true, true) => "at least",
                    (false, true) => "at most",
                };
                return Err(wrong(
                    origins.of(&path).clone(),
                    Some(&path),
                    format!("`{path}` ({}) must be {bound} `{}` ({})", key.1, other.0, other.1),
                    Some(format!("`{}` comes from: {}", other.0, origins.of(&set(other.0)))),
                ));
            }
        }
        Ok(())
    }
}

impl Settings {
    /// Returns what the engine needs to know of loops.
    pub fn loop_options(&self) -> Options {
        let agents = self.loops.agents().into_iter().map(|agent| (agent.to_owned(), self.loops.of(agent)));
        Options {
            limits: self.loops.of_all(),
            agents: agents.collect(),
            // They were checked when they were read.
            intended: self.allow_repeat.iter().filter_map(|text| CallPattern::parse(text).ok()).collect(),
        }
    }
}

/// Reads `[loops]`; `agents` are the names of the formats. Each value goes to `set` with its place.
pub(super) fn read(
    value: &Spanned<DeValue<'_>>,
    origin: &dyn Fn(usize) -> Origin,
    agents: &[&str],
    set: &mut dyn FnMut(Place, u32, Origin),
) -> Result<(), SettingsError> {
    let expected = "a table of tables, written [loops.NAME]";
    let DeValue::Table(table) = value.get_ref() else {
        return Err(wrong_type(origin(value.span().start), TABLE, expected, value.get_ref()));
    };
    for (name, value) in sorted(table) {
        let at = origin(name.span().start);
        let name = name.get_ref().as_ref();
        if let Some(detector) = known(name) {
            read_detector(None, detector, value, origin, set)?;
            continue;
        }
        if !agents.contains(&name) {
            let known = NAMES.iter().chain(agents).copied();
            return Err(unknown(at, name, "detector of loops or agent", known));
        }
        let DeValue::Table(table) = value.get_ref() else {
            return Err(wrong_type(at, &format!("{TABLE}.{name}"), "a table", value.get_ref()));
        };
        for (detector, value) in sorted(table) {
            let word = detector.get_ref().as_ref();
            let Some(found) = known(word) else {
                let at = origin(detector.span().start);
                return Err(unknown(at, word, "detector of loops", NAMES.iter().copied()));
            };
            read_detector(Some(name), found, value, origin, set)?;
        }
    }
    Ok(())
}

fn known(name: &str) -> Option<&'static str> {
    NAMES.iter().copied().find(|detector| *detector == name)
}

fn read_detector(
    agent: Option<&str>,
    detector: &'static str,
    value: &Spanned<DeValue<'_>>,
    origin: &dyn Fn(usize) -> Origin,
    set: &mut dyn FnMut(Place, u32, Origin),
) -> Result<(), SettingsError> {
    let place = |key| Place { agent: agent.map(str::to_owned), detector, key };
    let DeValue::Table(table) = value.get_ref() else {
        let path = place("").path();
        let at = origin(value.span().start);
        return Err(wrong_type(at, path.trim_end_matches('.'), "a table", value.get_ref()));
    };
    for (name, value) in sorted(table) {
        let at = origin(name.span().start);
        let Some(key) = KEYS.iter().copied().find(|key| key == name.get_ref()) else {
            return Err(unknown(at, name.get_ref(), "limit", KEYS));
        };
        let (place, path) = (place(key), place(key).path());
        let DeValue::Integer(integer) = value.get_ref() else {
            return Err(wrong_type(at, &path, "a whole number", value.get_ref()));
        };
        let most = if key.ends_with("_sec") { limits::MOST_SEC as u32 } else { MOST };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= most) {
            Some(number) => set(place, number, at),
            None => return Err(wrong(at, Some(&path), format!("`{path}` must be from 0 to {most}"), None)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, Flag, load};
    use super::*;

    /// Reads a user's file and a project's.
    fn read(user: &str, project: &str) -> Result<Settings, String> {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/session-doctor");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), user).unwrap();
        std::fs::write(home.path().join(".session-doctor.toml"), project).unwrap();
        let environment = Environment {
            variables: vec![("HOME".into(), home.path().into())],
            system_dir: "".into(),
            current_dir: home.path().to_owned(),
        };
        let loaded = load(&environment, None, &[], &["claude", "codex"]).map_err(|error| {
            let hint = error.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            let place = error.origin.to_string().replace(home.path().to_str().unwrap(), "~");
            format!("{place}: {}{hint}", error.cause).replace(home.path().to_str().unwrap(), "~")
        })?;
        Ok(loaded.settings)
    }

    fn limit(limits: &Limits, detector: &str) -> (u32, u32, i64, i64) {
        let (_, limit) = limits.iter().find(|(name, _)| *name == detector).unwrap();
        (limit.warn, limit.act, limit.warn_sec, limit.act_sec)
    }

    #[test]
    fn no_name_is_an_agents_and_a_detectors() {
        for format in crate::engine::format::FORMATS {
            assert!(!NAMES.contains(&format.name()), "{}", format.name());
        }
    }

    #[test]
    fn limits_of_an_agent_stand_over_those_of_all_and_these_over_the_built_in() {
        let user = "[loops.same_error]\nact = 20\n[loops.codex.same_error]\nwarn = 9\n[loops.frozen_poll]\nact_sec = 3600\n";
        let project = "[loops.codex.same_error]\nact = 0\n";
        let settings = read(user, project).unwrap();
        let options = settings.loop_options();
        assert_eq!(limit(options.limits("claude"), "same_error"), (8, 20, 0, 0));
        assert_eq!(limit(options.limits("codex"), "same_error"), (9, 0, 0, 0));
        assert_eq!(limit(options.limits("codex"), "frozen_poll"), (10, 20, 600, 3600));
        assert_eq!(limit(options.limits("gemini"), "repeated_call"), (4, 6, 0, 0));
        let entries: Vec<_> = settings.loops.entries().map(|(path, _)| path).collect();
        let expected = [
            "loops.frozen_poll.act_sec",
            "loops.same_error.act",
            "loops.codex.same_error.act",
            "loops.codex.same_error.warn",
        ];
        assert_eq!(entries, expected);
        assert_eq!(read("", "").unwrap().loop_options(), Options::default());
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_what_was_meant() {
        for (text, message) in [
            ("loops = 3", "1: `loops` must be a table of tables, written [loops.NAME], not a whole number"),
            (
                "\n[loops.same_eror]",
                "2: there is no detector of loops or agent `same_eror` (did you mean `same_error`?)",
            ),
            ("[loops.claud]", "1: there is no detector of loops or agent `claud` (did you mean `claude`?)"),
            (
                "[loops.claude.same_eror]",
                "1: there is no detector of loops `same_eror` (did you mean `same_error`?)",
            ),
            ("[loops.cycle]\nat = 1", "2: there is no limit `at` (did you mean `act`?)"),
            ("[loops]\ncycle = 1", "2: `loops.cycle` must be a table, not a whole number"),
            ("[loops]\ncodex = 1", "2: `loops.codex` must be a table, not a whole number"),
            ("[loops.codex]\ncycle = 1", "2: `loops.codex.cycle` must be a table, not a whole number"),
            ("[loops.cycle]\nact = 'never'", "2: `loops.cycle.act` must be a whole number, not a string"),
            ("[loops.cycle]\nact = -1", "2: `loops.cycle.act` must be from 0 to 1000000"),
            ("[loops.cycle]\nact_sec = 604801", "2: `loops.cycle.act_sec` must be from 0 to 604800"),
            (
                "[loops.cycle]\nwarn = 4",
                "2: `loops.cycle.warn` (4) must be less than `act` (4) (`act` comes from: default)",
            ),
            (
                "[loops.codex.cycle]\nact = 3",
                "2: `loops.codex.cycle.act` (3) must be greater than `warn` (3) (`warn` comes from: default)",
            ),
            (
                "[loops.cycle]\nwarn = 9\nact = 10\n[loops.codex.cycle]\nact = 9",
                "5: `loops.codex.cycle.act` (9) must be greater than `warn` (9) (`warn` comes from: ~/.config/session-doctor/config.toml:2)",
            ),
            (
                "[loops.cycle]\nwarn_sec = 60",
                "2: `loops.cycle.warn_sec` (60) must be at most `act_sec` (0) (`act_sec` comes from: default)",
            ),
            (
                "allow_repeat = ['Bash(']",
                "1: `allow_repeat`: `Bash(` names no call: its parenthesis does not end (a call is written as Bash, or as Bash(gh run watch*))",
            ),
        ] {
            let expected = format!("~/.config/session-doctor/config.toml:{message}");
            assert_eq!(read(text, "").unwrap_err(), expected, "{text}");
        }
        assert!(read("[loops.cycle]\nwarn = 9\nact = 0\n[loops.reread]\nwarn = 0\nact = 1\n", "").is_ok());
    }

    #[test]
    fn what_the_defaults_show_can_be_used() {
        let example: String = super::super::DEFAULTS
            .lines()
            .skip_while(|line| !line.starts_with("# [loops."))
            .take_while(|line| line.starts_with('#'))
            .map(|line| line.trim_start_matches("# ").trim_start_matches('#').to_owned() + "\n")
            .collect();
        let options = read(&example, "").unwrap().loop_options();
        assert_eq!(limit(&options.limits, "same_error"), (8, 12, 0, 0), "they are the built-in ones");
        assert_eq!(limit(options.limits("codex"), "same_error"), (8, 20, 0, 0));
    }

    #[test]
    fn a_flag_names_calls_too() {
        let environment = Environment { current_dir: "".into(), ..Environment::default() };
        let flag = |pattern: &str| Flag {
            flag: "--allow-repeat",
            key: "allow_repeat",
            values: vec!["mcp__ci__*".to_owned(), pattern.to_owned()],
        };
        let loaded = load(&environment, None, &[flag("Bash(a, b)")], &[]).unwrap();
        assert_eq!(loaded.settings.loop_options().intended.len(), 2);
        let error = load(&environment, None, &[flag("*")], &[]).unwrap_err();
        assert_eq!(error.to_string(), "use the flag `--allow-repeat`");
    }
}
