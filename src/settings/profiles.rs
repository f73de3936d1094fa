//! Reads the profiles that users write in their configuration files: `[profile.NAME]`.
//!
//! Here a value gets its type and its place; whether a profile can be used, `profile::custom` decides.

use globset::GlobBuilder;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::layers::{Origin, SettingsError, sorted, unknown, wrong, wrong_type};
use super::nearest;
use crate::profile::custom::{CustomFields, CustomProfile, FIELDS};

/// The name of the table.
pub(super) const TABLE: &str = "profile";

/// The longest time that a profile may name, in seconds.
const MAX_SEC: u32 = 7 * 24 * 60 * 60;

/// Reads `[profile]`; `agents` are the names of the formats.
///
/// # Errors
/// The first mistake.
pub(super) fn read(
    value: &Spanned<DeValue<'_>>,
    origin: &dyn Fn(usize) -> Origin,
    agents: &[&str],
) -> Result<Vec<CustomProfile>, SettingsError> {
    let expected = "a table of tables, written [profile.NAME]";
    let DeValue::Table(table) = value.get_ref() else {
        return Err(wrong_type(origin(value.span().start), TABLE, expected, value.get_ref()));
    };
    let mut profiles = Vec::new();
    for (name, value) in sorted(table) {
        let at = origin(name.span().start);
        let name = name.get_ref().as_ref();
        let key = format!("{TABLE}.{name}");
        let DeValue::Table(table) = value.get_ref() else {
            return Err(wrong_type(at, &key, "a table", value.get_ref()));
        };
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(is_name) {
            let hint = "a name has small letters, digits, `-` and `_`".to_owned();
            return Err(wrong(at, Some(&key), format!("`{name}` is no name for a profile"), Some(hint)));
        }
        if crate::profile::names().any(|other| other == name) {
            let hint = "choose another name; its programs may be the same, and it is asked first".to_owned();
            return Err(wrong(at, Some(&key), format!("the profile `{name}` is built in"), Some(hint)));
        }
        profiles.push(Reader { name, key: &key, origin, agents }.profile(table)?);
    }
    Ok(profiles)
}

/// Reads the fields of one profile.
struct Reader<'r> {
    name: &'r str,
    key: &'r str,
    origin: &'r dyn Fn(usize) -> Origin,
    agents: &'r [&'r str],
}

impl Reader<'_> {
    fn profile(&self, table: &DeTable<'_>) -> Result<CustomProfile, SettingsError> {
        let mut fields = CustomFields::default();
        for (name, value) in sorted(table) {
            let at = name.span().start;
            match name.get_ref().as_ref() {
                "programs" => fields.programs = self.list("programs", value)?,
                "agent" => fields.agent = Some(self.agent(value)?),
                "mode" => fields.mode = Some(self.text("mode", value)?),
                "prompt" => fields.prompt = Some(self.text("prompt", value)?),
                "start" => fields.start = Some(self.list("start", value)?),
                "resume" => fields.resume = Some(self.list("resume", value)?),
                "fresh" => fields.fresh = Some(self.list("fresh", value)?),
                "transcript" => fields.transcript = Some(self.pattern(value)?),
                "stop_signal" => fields.stop_signal = Some(self.text("stop_signal", value)?),
                "stop_to" => fields.stop_to = Some(self.text("stop_to", value)?),
                "stop_grace_sec" => fields.stop_grace_sec = Some(self.seconds("stop_grace_sec", value)?),
                "quiet_sec" => fields.quiet_sec = Some(self.seconds("quiet_sec", value)?),
                "retry_sec" => fields.retry_sec = Some(self.seconds("retry_sec", value)?),
                other => {
                    let error = unknown((self.origin)(at), other, "field", FIELDS.iter().copied());
                    return Err(self.wrong(at, other, &error.cause, error.hint));
                }
            }
        }
        CustomProfile::new(self.name, fields).map_err(|error| {
            let place = table.get_key_value(error.field).map_or(0, |(key, _)| key.span().start);
            self.wrong(place, error.field, &error.cause, error.hint)
        })
    }

    fn wrong(&self, at: usize, field: &str, cause: &str, hint: Option<String>) -> SettingsError {
        let key = format!("{}.{field}", self.key);
        let cause = match cause.strip_prefix("must") {
            Some(rest) => format!("profile `{}`: `{field}` must{rest}", self.name),
            None => format!("profile `{}`: `{field}`: {cause}", self.name),
        };
        wrong((self.origin)(at), Some(&key), cause, hint)
    }

    fn type_error(&self, field: &str, expected: &str, value: &Spanned<DeValue<'_>>) -> SettingsError {
        let at = value.span().start;
        let key = format!("{}.{field}", self.key);
        wrong_type((self.origin)(at), &key, expected, value.get_ref())
    }

    fn text(&self, field: &str, value: &Spanned<DeValue<'_>>) -> Result<String, SettingsError> {
        let text = value.get_ref().as_str().map(str::to_owned);
        text.ok_or_else(|| self.type_error(field, "a string", value))
    }

    fn list(&self, field: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, SettingsError> {
        let DeValue::Array(items) = value.get_ref() else {
            return Err(self.type_error(field, "a list of strings", value));
        };
        items
            .iter()
            .map(|item| match item.get_ref().as_str() {
                Some(text) => Ok(text.to_owned()),
                None => Err(self.type_error(field, "a list of strings", item)),
            })
            .collect()
    }

    fn seconds(&self, field: &str, value: &Spanned<DeValue<'_>>) -> Result<u32, SettingsError> {
        let DeValue::Integer(integer) = value.get_ref() else {
            return Err(self.type_error(field, "a whole number", value));
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX);
        match u32::try_from(number) {
            Ok(number) if number <= MAX_SEC => Ok(number),
            _ => Err(self.wrong(value.span().start, field, &format!("must be from 0 to {MAX_SEC}"), None)),
        }
    }

    fn agent(&self, value: &Spanned<DeValue<'_>>) -> Result<String, SettingsError> {
        let name = self.text("agent", value)?;
        if self.agents.contains(&name.as_str()) {
            return Ok(name);
        }
        let hint = match nearest(&name, self.agents.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("possible are: {}", self.agents.join(", ")),
        };
        Err(self.wrong(value.span().start, "agent", &format!("there is no format `{name}`"), Some(hint)))
    }

    fn pattern(&self, value: &Spanned<DeValue<'_>>) -> Result<String, SettingsError> {
        let pattern = self.text("transcript", value)?;
        // What is filled in later has no meaning of its own in a pattern.
        let filled = pattern.replace("{session}", "session");
        match GlobBuilder::new(&filled).literal_separator(true).build() {
            Ok(_) if !pattern.is_empty() => Ok(pattern),
            Ok(_) => Err(self.wrong(value.span().start, "transcript", "it is empty", None)),
            Err(error) => {
                let cause = format!("it is no pattern: {}", error.kind());
                Err(self.wrong(value.span().start, "transcript", &cause, None))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigLayer, Environment, load};
    use crate::profile::Profile;

    /// Reads a user's file and a project's.
    fn read(user: &str, project: &str) -> Result<Vec<String>, String> {
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
        match load(&environment, None, &[], &["claude", "codex"]) {
            Ok(loaded) => {
                assert!(loaded.files.iter().any(|file| file.layer == ConfigLayer::Project && file.exists));
                Ok(loaded.profiles.iter().map(|profile| format!("{profile:?}")).collect())
            }
            Err(error) => {
                let hint = error.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                Err(format!("{}: {}{hint}", error.key.as_deref().unwrap_or("-"), error.cause))
            }
        }
    }

    #[test]
    fn a_profile_is_read_and_a_later_one_of_its_name_takes_its_place() {
        let user = "[profile.mine]\nprograms = ['mytool']\nagent = 'claude'\nresume = ['{args}', '-r', '{session}', '{prompt}']\n\
                    quiet_sec = 60\n[profile.other]\nprograms = ['other']\n";
        let project = "[profile.mine]\nprograms = ['mytool', '@me/mytool']\nstop_signal = 'INT'\n";
        let profiles = read(user, project).unwrap();
        assert_eq!(profiles.len(), 2);
        assert!(profiles[0].contains("@me/mytool") && !profiles[0].contains("{session}"), "{profiles:?}");
        assert!(profiles[1].contains("other"), "{profiles:?}");
    }

    #[test]
    fn mistakes_are_told_with_their_key() {
        for (text, message) in [
            (
                "profile = 3",
                "profile: `profile` must be a table of tables, written [profile.NAME], not a whole number",
            ),
            ("[profile]\nx = 3", "profile.x: `profile.x` must be a table, not a whole number"),
            (
                "[profile.'My Tool']",
                "profile.My Tool: `My Tool` is no name for a profile (a name has small letters, digits, `-` and `_`)",
            ),
            (
                "[profile.claude]",
                "profile.claude: the profile `claude` is built in (choose another name; its programs may be the same, and it is asked first)",
            ),
            (
                "[profile.x]\nprogram = ['x']",
                "profile.x.program: profile `x`: `program`: there is no field `program` (did you mean `programs`?)",
            ),
            (
                "[profile.x]\nprograms = 'x'",
                "profile.x.programs: `profile.x.programs` must be a list of strings, not a string",
            ),
            (
                "[profile.x]\nagent = 'claud'",
                "profile.x.agent: profile `x`: `agent`: there is no format `claud` (did you mean `claude`?)",
            ),
            (
                "[profile.x]\nquiet_sec = -1",
                "profile.x.quiet_sec: profile `x`: `quiet_sec` must be from 0 to 604800",
            ),
            (
                "[profile.x]\nstop_to = 'all'",
                "profile.x.stop_to: profile `x`: `stop_to` must be one of process, group, tree, not \"all\"",
            ),
            (
                "[profile.x]\ntranscript = 'a[b'",
                "profile.x.transcript: profile `x`: `transcript`: it is no pattern: unclosed character class; missing ']'",
            ),
            (
                "[profile.x]\nfresh = ['a']",
                "profile.x.fresh: profile `x`: `fresh`: it has no `{prompt}` (the template leaves open {args}, {session} and {prompt}; each word of it is one argument)",
            ),
            ("[profle.x]", "profle: there is no key `profle` (did you mean `profile`?)"),
        ] {
            assert_eq!(read("", text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn the_example_in_the_defaults_can_be_used() {
        let example: String = super::super::DEFAULTS
            .lines()
            .skip_while(|line| !line.starts_with("# [profile."))
            .take_while(|line| line.starts_with('#'))
            .map(|line| line.trim_start_matches("# ").trim_start_matches('#').to_owned() + "\n")
            .collect();
        assert!(example.contains("resume ="), "{example}");
        assert_eq!(read(&example, "").unwrap().len(), 1);
        let agent = crate::profile::names().next().unwrap();
        assert_eq!(crate::profile::by_name(agent, &[]).map(Profile::name), Some(agent));
    }
}
