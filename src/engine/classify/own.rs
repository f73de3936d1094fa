//! Rules that users write: checked field by field, given stems, put before those of the program.
//!
//! What is read from files comes here as [`OwnRow`]s; where they lie is none of this module's business.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex_syntax::ParserBuilder;
use regex_syntax::ast::{self, Ast};
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};
use regex_syntax::hir::{Hir, HirKind};

use super::fold::fold;
use super::rules::{Introducer, Patterns, Place, Rank, Rule, Rules, RulesError};
use super::scan::{ANYWHERE_LIMIT, Load, OPENINGS_LIMIT, ascii_part};
use crate::model::{Class, Origin, Severity};

/// How many own rules and introducers there may be in total.
pub const OWN_LIMIT: usize = 500;

/// How many characters a pattern may have.
const PATTERN_CHARS: usize = 4096;

/// The most memory that the patterns of one field may compile to, in bytes.
const REGEX_LIMIT: usize = 1 << 20;

/// The shortest stem: what is shorter stands in too many lines.
const STEM_MIN: usize = 3;

/// How many stems a single pattern may have.
const STEMS_PER_PATTERN: usize = 32;

/// How long a literal is worth more than a shorter one.
const STEM_GOOD: usize = 10;

/// Names that findings carry where no rule decided.
const RESERVED: &[&str] = &["format", "fallback", "failed_tool_result", "retry_notice", "plain"];

/// What a row declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnKind {
    /// `[[rule]]`.
    Rule,
    /// `[[introducer]]`.
    Introducer,
}

/// One `[[rule]]` or `[[introducer]]` as a user wrote it. The fields are those that the head of `rules.toml` explains.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnRow {
    /// What it declares.
    pub kind: OwnKind,
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub place: Place,
    /// The lines of its fields, and of the values of those that are lists, by field and index.
    pub lines: BTreeMap<(&'static str, usize), usize>,
    /// Whether it only switches off the rule of this name.
    pub disabled: bool,
    /// What it finds.
    pub class: Option<Class>,
    /// How bad its findings are.
    pub severity: Option<Severity>,
    /// Who may have said it.
    pub origins: Vec<Origin>,
    /// The formats it is limited to.
    pub agents: Vec<String>,
    /// Machine codes.
    pub code: Vec<String>,
    /// HTTP statuses.
    pub status: Vec<u16>,
    /// Patterns for messages.
    pub text: Vec<String>,
    /// Patterns for plain lines.
    pub line: Vec<String>,
    /// Patterns of what is not meant.
    pub unless: Vec<String>,
    /// Literals of `text` (and of `line`, without `line_stems`); empty: derived from the patterns.
    pub stems: Vec<String>,
    /// Literals of `line`.
    pub line_stems: Vec<String>,
    /// The rank.
    pub rank: Option<Rank>,
    /// Whether the request may be repeated unchanged.
    pub retryable: Option<bool>,
    /// Texts that it must match.
    pub yes: Vec<String>,
    /// Texts that it must not match.
    pub no: Vec<String>,
}

impl OwnRow {
    /// Returns a row with nothing but its name and place.
    pub fn new(kind: OwnKind, id: impl Into<String>, place: Place) -> Self {
        Self {
            kind,
            id: id.into(),
            place,
            lines: BTreeMap::new(),
            disabled: false,
            class: None,
            severity: None,
            origins: Vec::new(),
            agents: Vec::new(),
            code: Vec::new(),
            status: Vec::new(),
            text: Vec::new(),
            line: Vec::new(),
            unless: Vec::new(),
            stems: Vec::new(),
            line_stems: Vec::new(),
            rank: None,
            retryable: None,
            yes: Vec::new(),
            no: Vec::new(),
        }
    }

    fn error(&self, field: Option<&'static str>, index: usize, message: impl Into<String>) -> RulesError {
        let line = field.and_then(|field| {
            self.lines.get(&(field, index)).or_else(|| self.lines.get(&(field, 0))).copied()
        });
        RulesError {
            rule: Some(self.id.clone()),
            place: Some(Place { file: self.place.file.clone(), line: line.unwrap_or(self.place.line) }),
            field,
            message: message.into(),
            ..RulesError::default()
        }
    }
}

impl RulesError {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Rules {
    /// Returns the program's rules with those of the user before them. Each layer is what one file holds; a row replaces
    /// the rule of its name in earlier layers and in the program.
    ///
    /// # Errors
    /// Every mistake that was found, in the order of the layers.
    pub fn with_own(layers: &[Vec<OwnRow>]) -> Result<Self, Vec<RulesError>> {
        let built_in = Self::built_in();
        let mut errors = Vec::new();
        let mut known: Vec<(OwnKind, &str)> = built_in
            .introducers
            .iter()
            .map(|row| (OwnKind::Introducer, row.id.as_str()))
            .chain(built_in.rules.iter().map(|row| (OwnKind::Rule, row.id.as_str())))
            .collect();
        let mut kept: Vec<&OwnRow> = Vec::new();
        for layer in layers {
            let mut new: Vec<&OwnRow> = Vec::new();
            for row in layer {
                if let Some(first) = new.iter().find(|other| other.id == row.id) {
                    let error = row.error(Some("id"), 0, "the name is used twice in this file");
                    errors.push(error.hint(format!("the first stands at {}", first.place)));
                    continue;
                }
                let other = known.iter().find(|(_, id)| *id == row.id).map(|(kind, _)| *kind);
                match other {
                    Some(other) if other != row.kind => {
                        let (is, header) = match other {
                            OwnKind::Rule => ("a rule", "[[rule]]"),
                            OwnKind::Introducer => ("an introducer", "[[introducer]]"),
                        };
                        let error = row.error(Some("id"), 0, format!("{is} has this name"));
                        errors.push(
                            error.hint(format!("write {header} to replace it, or choose another name")),
                        );
                    }
                    None if row.disabled => {
                        let error = row.error(Some("id"), 0, "there is no rule of this name to switch off");
                        errors.push(RulesError { unknown: Some(row.id.clone()), ..error });
                    }
                    _ => {}
                }
                new.push(row);
            }
            known.extend(new.iter().map(|row| (row.kind, row.id.as_str())));
            kept.retain(|row| new.iter().all(|other| other.id != row.id));
            new.extend(kept);
            kept = new;
        }
        if let Some(row) = kept.get(OWN_LIMIT) {
            let message = format!("{} own rules, at most {OWN_LIMIT} are possible", kept.len());
            errors.push(
                row.error(None, 0, message)
                    .hint("make one rule of those of a class: `line` and `text` take lists of patterns"),
            );
        }
        let (mut rules, mut introducers, mut switched_off) = (Vec::new(), Vec::new(), Vec::new());
        for row in &kept {
            if row.disabled {
                switched_off.push((row.id.clone(), row.place.clone()));
                continue;
            }
            match row.kind {
                OwnKind::Rule => match rule(row) {
                    Ok(rule) => rules.push(rule),
                    Err(error) => errors.push(error),
                },
                OwnKind::Introducer => match introducer(row) {
                    Ok(introducer) => introducers.push(introducer),
                    Err(error) => errors.push(error),
                },
            }
        }
        let stays = |id: &str| kept.iter().all(|row| row.id != id);
        rules.extend(built_in.rules.iter().filter(|rule| stays(&rule.id)).cloned());
        introducers.extend(built_in.introducers.iter().filter(|row| stays(&row.id)).cloned());
        let merged = Self {
            rules,
            introducers,
            precedence: built_in.precedence.clone(),
            switched_off,
            index: OnceLock::new(),
            counts: None,
        };
        errors.extend(overload(&merged, &kept));
        if errors.is_empty() { Ok(merged) } else { Err(errors) }
    }

    /// Returns how many of the rules, and of the introducers, a user wrote.
    pub fn own(&self) -> (usize, usize) {
        let rules = self.rules.iter().filter(|rule| rule.place.is_some()).count();
        (rules, self.introducers.iter().filter(|row| row.place.is_some()).count())
    }
}

/// Finds the row with which the pre-scan has too much to do.
fn overload(merged: &Rules, kept: &[&OwnRow]) -> Option<RulesError> {
    let mut load = Load::default();
    let program =
        merged.introducers.iter().filter(|row| row.place.is_none()).map(|row| (&row.line, &row.stems));
    let program = program.chain(
        merged.rules.iter().filter(|rule| rule.place.is_none()).map(|rule| (&rule.line, &rule.line_stems)),
    );
    for (patterns, stems) in program {
        patterns.source.iter().for_each(|pattern| load.add(pattern, stems));
    }
    for row in kept.iter().rev() {
        let own = merged.rules.iter().find(|rule| rule.place.is_some() && rule.id == row.id);
        let own = own.map(|rule| (&rule.line, &rule.line_stems)).or_else(|| {
            let row = merged.introducers.iter().find(|other| other.place.is_some() && other.id == row.id)?;
            Some((&row.line, &row.stems))
        });
        let Some((patterns, stems)) = own else { continue };
        patterns.source.iter().for_each(|pattern| load.add(pattern, stems));
        if load.anywhere() > ANYWHERE_LIMIT {
            let message = format!(
                "with it, {} literals must be searched anywhere in a line, at most {ANYWHERE_LIMIT} are possible",
                load.anywhere()
            );
            return Some(row.error(Some("line"), 0, message).hint(
                "let the patterns of `line` begin with the words that the line begins with: those are looked up, \
                 not searched",
            ));
        }
        if load.openings() > OPENINGS_LIMIT {
            let message = format!(
                "with it, lines may begin in {} ways, at most {OPENINGS_LIMIT} are possible",
                load.openings()
            );
            return Some(row.error(Some("line"), 0, message).hint(
                "begin the patterns of `line` with fewer alternatives in their first three characters",
            ));
        }
    }
    None
}

fn rule(row: &OwnRow) -> Result<Rule, RulesError> {
    check_name(row)?;
    let Some(class) = row.class else {
        return Err(row.error(None, 0, "it has no `class`").hint(
            "add what it finds, such as class = \"rate_limit\"; `session-doctor rules list` shows the classes in use",
        ));
    };
    if let Some(index) =
        row.origins.iter().position(|origin| matches!(origin, Origin::Content | Origin::User))
    {
        let message = format!("`{}` is never evidence of a failure", row.origins[index]);
        return Err(row.error(Some("origins"), index, message).hint("possible are: provider, agent, tool"));
    }
    if !row.line.is_empty() && row.origins == [Origin::Tool] {
        return Err(row
            .error(Some("line"), 0, "plain lines are not what a tool said")
            .hint("use `text` for the words of a failed tool, or add `agent` to `origins`"));
    }
    if row.text.is_empty() && row.line.is_empty() && row.code.is_empty() && row.status.is_empty() {
        return Err(row
            .error(None, 0, "nothing can trigger it")
            .hint("give it `text`, `line`, `code` or `status`"));
    }
    if let Some(index) = row.code.iter().position(|code| code.chars().any(char::is_uppercase)) {
        let code = &row.code[index];
        return Err(row
            .error(Some("code"), index, format!("`{code}` is not in lower case"))
            .hint(format!("codes are compared in lower case; write `{}`", code.to_lowercase())));
    }
    let text = patterns(row, "text", &row.text)?;
    let line = patterns(row, "line", &row.line)?;
    patterns(row, "unless", &row.unless)?;
    check_stems(row, "stems", &row.stems)?;
    check_stems(row, "line_stems", &row.line_stems)?;
    let stems = if row.stems.is_empty() { derived(row, "text", &text)? } else { row.stems.clone() };
    let line_stems = match (row.line_stems.is_empty(), row.stems.is_empty()) {
        (false, _) => row.line_stems.clone(),
        (true, false) if !row.line.is_empty() => row.stems.clone(),
        _ => derived(row, "line", &line)?,
    };
    Ok(Rule {
        id: row.id.clone(),
        class,
        origins: if row.origins.is_empty() {
            vec![Origin::Provider, Origin::Agent]
        } else {
            row.origins.clone()
        },
        agents: row.agents.clone(),
        codes: row.code.clone(),
        statuses: row.status.clone(),
        stems,
        line_stems,
        rank: row.rank,
        retryable: row.retryable,
        severity: row.severity,
        place: Some(row.place.clone()),
        yes: row.yes.clone(),
        no: row.no.clone(),
        text: compiled(row, "text", &row.text, false)?,
        line: compiled(row, "line", &row.line, true)?,
        unless: compiled(row, "unless", &row.unless, false)?,
    })
}

fn introducer(row: &OwnRow) -> Result<Introducer, RulesError> {
    check_name(row)?;
    if row.line.is_empty() {
        return Err(row
            .error(None, 0, "it has no `line`")
            .hint("give it patterns for the lines that carry a provider's words"));
    }
    let line = patterns(row, "line", &row.line)?;
    patterns(row, "unless", &row.unless)?;
    check_stems(row, "stems", &row.stems)?;
    Ok(Introducer {
        id: row.id.clone(),
        stems: if row.stems.is_empty() { derived(row, "line", &line)? } else { row.stems.clone() },
        place: Some(row.place.clone()),
        line: compiled(row, "line", &row.line, true)?,
        unless: compiled(row, "unless", &row.unless, false)?,
    })
}

fn check_name(row: &OwnRow) -> Result<(), RulesError> {
    if RESERVED.contains(&row.id.as_str()) {
        return Err(row
            .error(Some("id"), 0, "the name is kept for findings that no rule decided")
            .hint("choose another name"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    if row.id.is_empty() || row.id.len() > 64 || !row.id.chars().all(plain) {
        return Err(row
            .error(Some("id"), 0, "it is no name")
            .hint("a name has up to 64 letters, digits and _ - . : /"));
    }
    Ok(())
}

/// Checks each pattern of a field by itself.
fn patterns(row: &OwnRow, field: &'static str, sources: &[String]) -> Result<Vec<Hir>, RulesError> {
    sources
        .iter()
        .enumerate()
        .map(|(index, source)| {
            pattern(source).map_err(|(message, hint)| {
                let error = row.error(Some(field), index, format!("{}: {message}", quoted(source)));
                RulesError { hint, ..error }
            })
        })
        .collect()
}

fn quoted(pattern: &str) -> String {
    match pattern.char_indices().nth(60) {
        Some((end, _)) => format!("`{}…`", &pattern[..end]),
        None => format!("`{pattern}`"),
    }
}

/// Parses one pattern; the error is what is wrong with it, and what to do.
fn pattern(source: &str) -> Result<Hir, (String, Option<String>)> {
    let wrong = |message: &str, hint: &str| Err((message.to_owned(), Some(hint.to_owned())));
    if source.chars().count() > PATTERN_CHARS {
        return wrong("the pattern is too long", "make several patterns or rules of it");
    }
    let folded = fold(source);
    if folded != source {
        let hint = format!("texts are folded before they are looked at; write `{folded}`");
        return wrong("it has typographic characters, which no text has when it is looked at", &hint);
    }
    let ast = ast::parse::Parser::new().parse(source).map_err(|error| {
        let at = source[..error.span().start.offset.min(source.len())].chars().count() + 1;
        (format!("{} (at character {at})", error.kind()), None)
    })?;
    if let Some(upper) = ast::visit(&ast, Upper(None)).unwrap_or_default() {
        return match upper {
            None => {
                wrong("it has the flag `i`", "texts are in lower case when they are looked at; leave it out")
            }
            Some(letter) => {
                let hint = format!(
                    "texts are in lower case when they are looked at; write `{}`",
                    letter.to_ascii_lowercase()
                );
                wrong(&format!("it has the upper-case letter `{letter}`"), &hint)
            }
        };
    }
    let hir = ParserBuilder::new().utf8(false).unicode(false).build().parse(source).map_err(|error| {
        let message = match &error {
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            error => error.to_string(),
        };
        (message, Some("patterns are ASCII: \\w, \\d and \\b know no other letters".to_owned()))
    })?;
    match hir.properties().minimum_len() {
        None => wrong("it can never match", "leave it out"),
        Some(0) => {
            wrong("it can match the empty text", "at least one character has to be there: `+` instead of `*`")
        }
        Some(_) => Ok(hir),
    }
}

/// Looks for what lower-case text cannot have: `Some(Some(letter))`, or `Some(None)` for the flag `i`.
struct Upper(Option<Option<char>>);

impl Upper {
    fn see(&mut self, c: char) {
        if c.is_ascii_uppercase() {
            self.0.get_or_insert(Some(c));
        }
    }

    fn see_flags(&mut self, flags: &ast::Flags) {
        if flags.flag_state(ast::Flag::CaseInsensitive) == Some(true) {
            self.0.get_or_insert(None);
        }
    }
}

impl ast::Visitor for Upper {
    type Output = Option<Option<char>>;
    type Err = ();

    fn finish(self) -> Result<Self::Output, ()> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), ()> {
        match ast {
            Ast::Literal(literal) => self.see(literal.c),
            Ast::Flags(flags) => self.see_flags(&flags.flags),
            Ast::Group(group) => {
                if let ast::GroupKind::NonCapturing(flags) = &group.kind {
                    self.see_flags(flags);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), ()> {
        match item {
            ast::ClassSetItem::Literal(literal) => self.see(literal.c),
            ast::ClassSetItem::Range(range) => {
                self.see(range.start.c);
                self.see(range.end.c);
            }
            _ => {}
        }
        Ok(())
    }
}

fn compiled(
    row: &OwnRow,
    field: &'static str,
    sources: &[String],
    anchored: bool,
) -> Result<Patterns, RulesError> {
    let mut patterns = Patterns::new(sources.to_vec(), anchored);
    match patterns.compile(REGEX_LIMIT) {
        Ok(()) => Ok(patterns),
        Err(regex::Error::CompiledTooBig(_)) => Err(row
            .error(Some(field), 0, format!("its patterns compile to more than {} KiB", REGEX_LIMIT / 1024))
            .hint("use smaller counts in `{…}`, or make several rules of it")),
        Err(error) => Err(row.error(Some(field), 0, error.to_string())),
    }
}

fn check_stems(row: &OwnRow, field: &'static str, stems: &[String]) -> Result<(), RulesError> {
    for (index, stem) in stems.iter().enumerate() {
        let lower = super::fold::fold_lower(stem);
        if lower != *stem {
            return Err(row
                .error(Some(field), index, format!("`{stem}` is not as texts are when they are looked at"))
                .hint(format!("write `{lower}`")));
        }
        if ascii_part(stem).len() < STEM_MIN {
            return Err(row
                .error(Some(field), index, format!("`{stem}` is too short"))
                .hint(format!("a stem has {STEM_MIN} ASCII characters or more beside ' and -")));
        }
    }
    Ok(())
}

/// Derives the stems of the patterns of a field.
fn derived(row: &OwnRow, field: &'static str, patterns: &[Hir]) -> Result<Vec<String>, RulesError> {
    let mut stems: Vec<String> = Vec::new();
    for (index, hir) in patterns.iter().enumerate() {
        let Some(found) = required(hir) else {
            let source = if field == "text" { &row.text[index] } else { &row.line[index] };
            let message = format!(
                "{}: no word of {STEM_MIN} characters or more has to stand in what it matches",
                quoted(source)
            );
            return Err(row.error(Some(field), index, message).hint(
                "put a fixed word into the pattern (into each of its alternatives), or name `stems` that stand in \
                 every text that it matches",
            ));
        };
        stems.extend(found);
    }
    // A stem that holds another one adds nothing.
    stems.sort_by_key(String::len);
    let mut least: Vec<String> = Vec::new();
    for stem in stems {
        if !least.iter().any(|other| stem.contains(other.as_str())) {
            least.push(stem);
        }
    }
    Ok(least)
}

/// Returns literals of which one stands in everything that the expression matches.
fn required(hir: &Hir) -> Option<Vec<String>> {
    let whole = [ExtractKind::Prefix, ExtractKind::Suffix].into_iter().filter_map(|kind| extract(hir, kind));
    let inner: Vec<Vec<String>> = match hir.kind() {
        HirKind::Capture(capture) => required(&capture.sub).into_iter().collect(),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            required(&repetition.sub).into_iter().collect()
        }
        HirKind::Concat(parts) => {
            let runs = (1..parts.len())
                .filter_map(|from| extract(&Hir::concat(parts[from..].to_vec()), ExtractKind::Prefix));
            runs.chain(parts.iter().filter_map(required)).collect()
        }
        HirKind::Alternation(branches) => {
            let all: Option<Vec<Vec<String>>> = branches.iter().map(required).collect();
            let all: Vec<String> = all.unwrap_or_default().concat();
            if all.is_empty() || all.len() > STEMS_PER_PATTERN { Vec::new() } else { vec![all] }
        }
        _ => Vec::new(),
    };
    whole.chain(inner).max_by_key(|stems| {
        let shortest = stems.iter().map(String::len).min().unwrap_or(0);
        (shortest.min(STEM_GOOD), std::cmp::Reverse(stems.len()), shortest)
    })
}

fn extract(hir: &Hir, kind: ExtractKind) -> Option<Vec<String>> {
    let found: Seq = Extractor::new()
        .kind(kind)
        .limit_total(STEMS_PER_PATTERN)
        .limit_class(4)
        .limit_repeat(4)
        .extract(hir);
    let stems: Option<Vec<String>> = found
        .literals()?
        .iter()
        .map(|literal| {
            let stem = String::from_utf8(literal.as_bytes().to_vec()).ok()?;
            (ascii_part(&stem).len() >= STEM_MIN).then_some(stem)
        })
        .collect();
    stems.filter(|stems| !stems.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::classify;
    use crate::model::record::Failure;

    fn row(id: &str, field: &str, patterns: &[&str]) -> OwnRow {
        let place = Place { file: "own.toml".to_owned(), line: 7 };
        let mut row = OwnRow { class: Some(Class::RateLimit), ..OwnRow::new(OwnKind::Rule, id, place) };
        let patterns = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        match field {
            "text" => row.text = patterns,
            "line" => row.line = patterns,
            other => panic!("{other}"),
        }
        row
    }

    fn error(row: OwnRow) -> String {
        let errors = Rules::with_own(&[vec![row]]).unwrap_err();
        let error = &errors[0];
        format!(
            "{}: {} | {}",
            error.field.unwrap_or("-"),
            error.message,
            error.hint.as_deref().unwrap_or_default()
        )
    }

    #[test]
    fn stems_are_derived_from_what_a_pattern_requires() {
        let check = |pattern: &str, expected: Option<&[&str]>| {
            let hir = super::pattern(pattern).unwrap();
            let expected =
                expected.map(|stems| stems.iter().map(|&stem| stem.to_owned()).collect::<Vec<String>>());
            assert_eq!(required(&hir), expected, "{pattern}");
        };
        check("quota used up", Some(&["quota used up"]));
        check(r"\d+ tokens? left", Some(&[" tokens left", " token left"]));
        check(r"\w+ gateway (?:is )?busy", Some(&[" gateway is busy", " gateway busy"]));
        check(r"(?:out of credits|no credits) today", Some(&["out of credits today", "no credits today"]));
        check(r"\w+(?:abc|defg)\w+", Some(&["abc", "defg"]));
        check(r".*(?:alpha.*|\d+beta)", Some(&["alpha", "beta"]));
        check(r"(?:quota )+\d", Some(&["quota "]));
        check(r"\d+", None);
        check(r"(?:abc)?\d", None);
        check(r"ab\d", None);
        check(r"(?:overloaded|\d+)", None);
    }

    #[test]
    fn mistakes_in_patterns_are_told_with_a_hint() {
        let check = |pattern: &str, expected: &str| assert_eq!(error(row("q", "text", &[pattern])), expected);
        check("(quota", "text: `(quota`: unclosed group (at character 1) | ");
        check(
            "quota Used",
            "text: `quota Used`: it has the upper-case letter `U` | texts are in lower case when they are looked \
             at; write `u`",
        );
        check(
            "quota [A-Z]",
            "text: `quota [A-Z]`: it has the upper-case letter `A` | texts are in lower case when they are looked \
             at; write `a`",
        );
        check(
            "(?i)quota",
            "text: `(?i)quota`: it has the flag `i` | texts are in lower case when they are looked at; leave it out",
        );
        check(
            "(?:quota)*",
            "text: `(?:quota)*`: it can match the empty text | at least one character has to be there: `+` instead \
             of `*`",
        );
        check(
            "can’t go on",
            "text: `can’t go on`: it has typographic characters, which no text has when it is looked at | texts are \
             folded before they are looked at; write `can't go on`",
        );
        let none = error(row("q", "text", &[r"\d\d:\d\d"]));
        assert!(
            none.contains("no word of 3 characters or more") && none.contains("or name `stems`"),
            "{none}"
        );
        check(
            r"quota(?:\w{500}){40}",
            "text: its patterns compile to more than 1024 KiB | use smaller counts in `{…}`, or make several rules \
             of it",
        );
        assert!(super::pattern(r"\W\S\D\Bquota(?P<Name>x)\x2d").is_ok(), "these letters are no text");
    }

    #[test]
    fn mistakes_in_rules_name_their_field_and_line() {
        let with = |change: &dyn Fn(&mut OwnRow)| {
            let mut row = row("q", "text", &["quota used up"]);
            change(&mut row);
            error(row)
        };
        assert!(with(&|row| row.class = None).starts_with("-: it has no `class` | "));
        assert_eq!(
            with(&|row| row.origins = vec![Origin::Provider, Origin::User]),
            "origins: `user` is never evidence of a failure | possible are: provider, agent, tool"
        );
        assert!(with(&|row| row.text.clear()).starts_with("-: nothing can trigger it | "));
        assert!(with(&|row| row.code.push("Quota".into())).starts_with("code: `Quota` is not in lower case"));
        assert!(with(&|row| row.stems.push("ab".into())).starts_with("stems: `ab` is too short"));
        assert!(with(&|row| row.stems.push("Abc".into())).ends_with("| write `abc`"));
        assert!(with(&|row| row.id = "fallback".into()).starts_with("id: the name is kept for findings"));
        assert!(with(&|row| row.id = "a b".into()).starts_with("id: it is no name"));
        assert!(with(&|row| row.id = "sdk_exception".into()).starts_with("id: an introducer has this name"));
        assert!(with(&|row| row.disabled = true).starts_with("id: there is no rule of this name"));
        let mut placed = row("q", "text", &["fine words", "(broken"]);
        placed.lines.insert(("text", 1), 9);
        let errors = Rules::with_own(&[vec![placed]]).unwrap_err();
        assert_eq!(errors[0].place.as_ref().map(ToString::to_string).as_deref(), Some("own.toml:9"));
    }

    #[test]
    fn budgets_hold() {
        let many = |count: usize, pattern: &dyn Fn(usize) -> String| -> Vec<OwnRow> {
            (0..count).map(|n| row(&format!("r{n}"), "line", &[pattern(n).as_str()])).collect()
        };
        let message = |rows: Vec<OwnRow>| Rules::with_own(&[rows]).unwrap_err()[0].message.clone();
        let anywhere = message(many(70, &|n| format!(r".*word{n:03}")));
        assert!(anywhere.contains("65 literals must be searched anywhere"), "{anywhere}");
        assert!(Rules::with_own(&[many(70, &|n| format!(r"word{n:03}"))]).is_ok());
        let letters =
            |n: usize| [n / 26, n % 26].map(|n| char::from(b'a' + n as u8)).iter().collect::<String>();
        let openings = message(many(200, &|n| format!("[a-m]{} failed", letters(n))));
        assert!(openings.contains("lines may begin in 2"), "{openings}");
        let rules = message(many(OWN_LIMIT + 1, &|n| format!("word {n}")));
        assert!(rules.contains("501 own rules, at most 500"), "{rules}");
    }

    #[test]
    fn own_rules_win_ties_replace_and_switch_off() {
        let say = |layers: &[Vec<OwnRow>], text: &str| {
            let rules = Rules::with_own(layers).unwrap();
            classify::failure(&rules, "plain", &Failure::new(Origin::Provider, text), None).unwrap().rule
        };
        let text = "Too many requests, slow down";
        let before = say(&[], text);
        assert_eq!(say(&[vec![row("mine", "text", &["slow down"])]], text), "mine");
        let first = vec![row("mine", "text", &["slow down"])];
        let mut off = row("mine", "text", &[]);
        off.disabled = true;
        assert_eq!(say(&[first.clone(), vec![off]], text), before);
        let later = vec![row("other", "text", &["too many requests"])];
        assert_eq!(say(&[first.clone(), later], text), "other", "later layers win");
        let twice = [first.clone(), first].concat();
        assert!(Rules::with_own(&[twice]).unwrap_err()[0].message.contains("used twice"));
        let mut off = row(&before, "text", &[]);
        off.disabled = true;
        let rules = Rules::with_own(&[vec![off]]).unwrap();
        assert!(rules.rules.iter().all(|rule| rule.id != before));
        assert_eq!(rules.switched_off[0].0, before);
    }
}
