//! Reads the rules that users write in their configuration files, and the tests of rules.
//!
//! Here a value gets its type and its place; whether a rule can be used, `engine::classify::own` decides.

use std::fs;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::layers::{Origin, SettingsError, origin_at, sorted, unknown, utf8, wrong, wrong_type};
use super::{KEYS, nearest, profiles};
use crate::engine::classify::own::{OwnKind, OwnRow};
use crate::engine::classify::rules::{Place, Rank, Rules, RulesError};
use crate::model::Origin as Speaker;
use crate::model::class::{Class, Severity};

/// The tables of a configuration file that are read here.
pub(super) const TABLES: &[&str] = &["rule", "introducer", "test"];

/// The fields of `[[rule]]`.
pub const RULE_FIELDS: &[&str] = &[
    "id",
    "class",
    "severity",
    "origins",
    "agents",
    "code",
    "status",
    "text",
    "line",
    "unless",
    "stems",
    "line_stems",
    "rank",
    "retryable",
    "disabled",
    "yes",
    "no",
];

/// The fields of `[[introducer]]`.
pub const INTRODUCER_FIELDS: &[&str] = &["id", "line", "unless", "stems", "disabled"];

/// The fields of `[[test]]`.
pub const TEST_FIELDS: &[&str] = &["line", "text", "origin", "agent", "expect", "rule"];

/// What a test of rules gives to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestInput {
    /// A line of a stream.
    Line(String),
    /// The words of a failure that this one reported.
    Text(Speaker, String),
}

/// One `[[test]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTest {
    /// Where it stands.
    pub place: Place,
    /// What is looked at.
    pub input: TestInput,
    /// Whose output it is; `None`: nobody's.
    pub agent: Option<String>,
    /// The class that must be found; `None`: none may be.
    pub expect: Option<Class>,
    /// The rule that must decide.
    pub rule: Option<String>,
}

/// What a file holds for rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RulesFile {
    /// Rules and introducers.
    pub rows: Vec<OwnRow>,
    /// Tests.
    pub tests: Vec<RuleTest>,
}

/// Reads the rules and the tests of a file; `agents` are the names of the formats.
///
/// # Errors
/// Every mistake that was found in them, or that the file cannot be read.
pub fn read_file(path: &Path, agents: &[&str]) -> Result<RulesFile, Vec<SettingsError>> {
    let bytes = fs::read(path).map_err(|error| {
        let cause = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
            _ => error.to_string(),
        };
        vec![wrong(Origin::File { path: path.to_owned(), line: 0 }, None, cause, None)]
    })?;
    let text = utf8(bytes, path).map_err(|error| vec![error])?;
    let origin = origin_at(&text, Some(path));
    let table = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![wrong(origin(at), None, format!("it is not valid TOML: {}", error.message().trim()), None)]
    })?;
    let (mut file, mut errors) = (RulesFile::default(), Vec::new());
    for (name, value) in sorted(table.get_ref()) {
        let at = name.span().start;
        let name = name.get_ref().as_ref();
        if TABLES.contains(&name) {
            read_tables(name, value, &origin, agents, &mut file, &mut errors);
        } else if !["class", profiles::TABLE].contains(&name) && KEYS.iter().all(|key| key.name != name) {
            let known = KEYS
                .iter()
                .map(|key| key.name)
                .chain(["class", profiles::TABLE])
                .chain(TABLES.iter().copied());
            errors.push(unknown(origin(at), name, "key", known));
        }
    }
    if errors.is_empty() { Ok(file) } else { Err(errors) }
}

/// Reads `[[rule]]`, `[[introducer]]` or `[[test]]`.
pub(super) fn read_tables(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    origin: &dyn Fn(usize) -> Origin,
    agents: &[&str],
    file: &mut RulesFile,
    errors: &mut Vec<SettingsError>,
) {
    let expected = format!("a list of tables, written [[{name}]]");
    let DeValue::Array(array) = value.get_ref() else {
        errors.push(wrong_type(origin(value.span().start), name, &expected, value.get_ref()));
        return;
    };
    for item in array.iter() {
        let DeValue::Table(table) = item.get_ref() else {
            errors.push(wrong_type(origin(item.span().start), name, &expected, item.get_ref()));
            continue;
        };
        let id = table.get("id").and_then(|id| id.get_ref().as_str()).unwrap_or_default();
        let reader = Reader {
            subject: if id.is_empty() { format!("[[{name}]]") } else { format!("{name} `{id}`") },
            path: if id.is_empty() { name.to_owned() } else { format!("{name}.{id}") },
            origin,
            agents,
        };
        let at = item.span().start;
        let result = match name {
            "rule" => reader.row(OwnKind::Rule, at, table).map(|row| file.rows.push(row)),
            "introducer" => reader.row(OwnKind::Introducer, at, table).map(|row| file.rows.push(row)),
            _ => reader.test(at, table).map(|test| file.tests.push(test)),
        };
        errors.extend(result.err());
    }
}

/// Reads the fields of one table.
struct Reader<'r> {
    /// How messages name it.
    subject: String,
    /// How keys of errors begin.
    path: String,
    origin: &'r dyn Fn(usize) -> Origin,
    agents: &'r [&'r str],
}

impl Reader<'_> {
    fn place(&self, at: usize) -> Place {
        match (self.origin)(at) {
            Origin::File { path, line } => Place { file: path.display().to_string(), line },
            other => Place { file: other.to_string(), line: 1 },
        }
    }

    fn wrong(
        &self,
        at: usize,
        field: &str,
        cause: impl std::fmt::Display,
        hint: Option<String>,
    ) -> SettingsError {
        let key = format!("{}.{field}", self.path);
        wrong((self.origin)(at), Some(&key), format!("{}: {cause}", self.subject), hint)
    }

    fn wrong_type(&self, at: usize, field: &str, expected: &str, found: &DeValue<'_>) -> SettingsError {
        let error = wrong_type((self.origin)(at), field, expected, found);
        self.wrong(at, field, error.cause, None)
    }

    fn unknown_field(&self, at: usize, name: &str, known: &[&str]) -> SettingsError {
        let error = unknown((self.origin)(at), name, "field", known.iter().copied());
        self.wrong(at, name, error.cause, error.hint)
    }

    fn row(&self, kind: OwnKind, at: usize, table: &DeTable<'_>) -> Result<OwnRow, SettingsError> {
        let fields = if kind == OwnKind::Rule { RULE_FIELDS } else { INTRODUCER_FIELDS };
        let mut row = OwnRow::new(kind, "", self.place(at));
        let mut has_id = false;
        for (name, value) in sorted(table) {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            let Some(&field) = fields.iter().find(|field| **field == name) else {
                return Err(self.unknown_field(at, name, fields));
            };
            row.lines.insert((field, 0), self.place(at).line);
            match field {
                "id" => {
                    row.id = self.string(field, value)?;
                    has_id = true;
                }
                "class" => {
                    row.class =
                        Some(self.word(field, value, Class::from_name, &names(Class::ALL, Class::name))?)
                }
                "severity" => {
                    let known = names(Severity::ALL, Severity::name);
                    row.severity = Some(self.word(field, value, Severity::from_name, &known)?);
                }
                "rank" => {
                    row.rank =
                        Some(self.word(field, value, Rank::from_name, &names(Rank::ALL, Rank::name))?);
                }
                "origins" => {
                    let known = names(Speaker::ALL, Speaker::name);
                    let words = self.items(field, value, &mut row)?;
                    row.origins = words
                        .into_iter()
                        .map(|item| self.word(field, item, Speaker::from_name, &known))
                        .collect::<Result<_, _>>()?;
                }
                "agents" => {
                    let words = self.items(field, value, &mut row)?;
                    row.agents =
                        words.into_iter().map(|item| self.agent(field, item)).collect::<Result<_, _>>()?;
                }
                "status" => {
                    let numbers = self.items(field, value, &mut row)?;
                    row.status =
                        numbers.into_iter().map(|item| self.status(field, item)).collect::<Result<_, _>>()?;
                }
                "retryable" => row.retryable = Some(self.boolean(field, value)?),
                "disabled" => row.disabled = self.boolean(field, value)?,
                _ => {
                    let items = self.items(field, value, &mut row)?;
                    let list =
                        items.into_iter().map(|item| self.string(field, item)).collect::<Result<_, _>>()?;
                    match field {
                        "code" => row.code = list,
                        "text" => row.text = list,
                        "line" => row.line = list,
                        "unless" => row.unless = list,
                        "stems" => row.stems = list,
                        "line_stems" => row.line_stems = list,
                        "yes" => row.yes = list,
                        _ => row.no = list,
                    }
                }
            }
        }
        if !has_id {
            let hint = "give it a name: id = \"my_gateway_busy\"".to_owned();
            return Err(self.wrong(at, "id", "it has no `id`", Some(hint)));
        }
        Ok(row)
    }

    fn test(&self, at: usize, table: &DeTable<'_>) -> Result<RuleTest, SettingsError> {
        let (mut line, mut text, mut origin, mut agent, mut expect, mut rule) =
            (None, None, None, None, None, None);
        for (name, value) in sorted(table) {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            match name {
                "line" => line = Some(self.string(name, value)?),
                "text" => text = Some(self.string(name, value)?),
                "rule" => rule = Some(self.string(name, value)?),
                "agent" => agent = Some(self.agent(name, value)?),
                "origin" => {
                    let known = ["provider", "agent", "tool"];
                    let from_name = |word: &str| Speaker::from_name(word).filter(|_| known.contains(&word));
                    origin = Some(self.word(name, value, from_name, &known)?);
                }
                "expect" => {
                    let known: Vec<&str> =
                        names(Class::ALL, Class::name).into_iter().chain(["none"]).collect();
                    let from_name = |word: &str| match word {
                        "none" => Some(None),
                        word => Class::from_name(word).map(Some),
                    };
                    expect = Some(self.word(name, value, from_name, &known)?);
                }
                _ => return Err(self.unknown_field(at, name, TEST_FIELDS)),
            }
        }
        let input = match (line, text) {
            (Some(line), None) if origin.is_none() => TestInput::Line(line),
            (Some(_), None) => {
                let hint =
                    "a line of a stream says itself whose words it has; `origin` goes with `text`".to_owned();
                return Err(self.wrong(at, "origin", "it has `line` and `origin`", Some(hint)));
            }
            (None, Some(text)) => TestInput::Text(origin.unwrap_or(Speaker::Provider), text),
            (line, _) => {
                let has = if line.is_some() { "both `line` and `text`" } else { "neither `line` nor `text`" };
                let hint = "`line` is a line of a stream, `text` the words of a failure".to_owned();
                return Err(self.wrong(at, "line", format!("it has {has}"), Some(hint)));
            }
        };
        let Some(expect) = expect else {
            let hint = "name the class that is to be found, or \"none\"".to_owned();
            return Err(self.wrong(at, "expect", "it has no `expect`", Some(hint)));
        };
        Ok(RuleTest { place: self.place(at), input, agent, expect, rule })
    }

    /// The values of a list; a single value is a list of one.
    fn items<'v, 'i>(
        &self,
        field: &'static str,
        value: &'v Spanned<DeValue<'i>>,
        row: &mut OwnRow,
    ) -> Result<Vec<&'v Spanned<DeValue<'i>>>, SettingsError> {
        match value.get_ref() {
            DeValue::Array(array) => {
                let items: Vec<_> = array.iter().collect();
                for (index, item) in items.iter().enumerate() {
                    row.lines.insert((field, index), self.place(item.span().start).line);
                }
                Ok(items)
            }
            _ => Ok(vec![value]),
        }
    }

    fn string(&self, field: &str, value: &Spanned<DeValue<'_>>) -> Result<String, SettingsError> {
        match value.get_ref().as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.wrong_type(value.span().start, field, "a string", value.get_ref())),
        }
    }

    fn boolean(&self, field: &str, value: &Spanned<DeValue<'_>>) -> Result<bool, SettingsError> {
        match value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            other => Err(self.wrong_type(value.span().start, field, "true or false", other)),
        }
    }

    fn status(&self, field: &str, value: &Spanned<DeValue<'_>>) -> Result<u16, SettingsError> {
        let at = value.span().start;
        let DeValue::Integer(integer) = value.get_ref() else {
            return Err(self.wrong_type(at, field, "a whole number", value.get_ref()));
        };
        match u16::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if (400..=599).contains(&number) => Ok(number),
            _ => {
                let cause = format!("`{field}` must be from 400 to 599, not {}", integer.as_str());
                Err(self.wrong(at, field, cause, None))
            }
        }
    }

    fn agent(&self, field: &str, value: &Spanned<DeValue<'_>>) -> Result<String, SettingsError> {
        let known: Vec<&str> = self.agents.iter().copied().chain(["unknown"]).collect();
        let from_name = |word: &str| known.contains(&word).then(|| word.to_owned());
        self.word(field, value, from_name, &known)
    }

    fn word<T>(
        &self,
        field: &str,
        value: &Spanned<DeValue<'_>>,
        from_name: impl Fn(&str) -> Option<T>,
        known: &[&str],
    ) -> Result<T, SettingsError> {
        let at = value.span().start;
        let Some(word) = value.get_ref().as_str() else {
            return Err(self.wrong_type(at, field, "a string", value.get_ref()));
        };
        from_name(word).ok_or_else(|| {
            let hint = match nearest(word, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("possible are: {}", known.join(", ")),
            };
            self.wrong(at, field, format!("`{field}` cannot be `{word}`"), Some(hint))
        })
    }
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|value| name(*value)).collect()
}

impl From<RulesError> for SettingsError {
    fn from(error: RulesError) -> Self {
        let origin = match error.place {
            Some(Place { file, line }) => Origin::File { path: file.into(), line },
            None => Origin::Default,
        };
        let hint = error.hint.or_else(|| {
            let rules = Rules::built_in();
            let known = rules.rules.iter().map(|rule| rule.id.as_str());
            let known = known.chain(rules.introducers.iter().map(|row| row.id.as_str()));
            Some(match nearest(error.unknown.as_deref()?, known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "`session-doctor rules list` shows every name".to_owned(),
            })
        });
        let (key, subject) = match (&error.rule, error.field) {
            (Some(rule), Some(field)) => {
                (Some(format!("rule.{rule}.{field}")), format!("rule `{rule}`: `{field}`: "))
            }
            (Some(rule), None) => (Some(format!("rule.{rule}")), format!("rule `{rule}`: ")),
            (None, _) => (None, String::new()),
        };
        Self { origin, key, cause: format!("{subject}{}", error.message), hint }
    }
}
