//! `rules`: which rules there are, whether one's own can be used, and whether they do what is expected of them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::args::{Globals, RulesArgs, RulesCheckArgs, RulesCommand, RulesListArgs, RulesTestArgs};
use super::tap::engine_options;
use super::{CliError, Exit, load_settings, print};
use crate::engine::classify::own::{OWN_LIMIT, OwnRow};
use crate::engine::classify::rules::{Place, Rule, Rules};
use crate::engine::classify::scan::{ANYWHERE_LIMIT, Load, OPENINGS_LIMIT};
use crate::engine::classify::{self, facts};
use crate::engine::format::{self, FORMATS};
use crate::engine::{Doctor, Options};
use crate::model::record::Failure;
use crate::model::{Class, EventBody, Origin};
use crate::runtime::clock;
use crate::settings::rules::{RuleTest, TestInput, read_file};
use crate::settings::{self, Environment};

/// Does what was asked for.
///
/// # Errors
/// The settings or the rules are wrong, or standard output cannot be written.
pub fn run(args: &RulesArgs, globals: &Globals) -> Result<Exit, CliError> {
    match &args.command {
        RulesCommand::List(args) => list(args, globals),
        RulesCommand::Check(args) => check(args, globals),
        RulesCommand::Test(args) => test(args, globals),
    }
}

// ------------------------------------------------------------------------------------------------- list

fn from(place: Option<&Place>) -> String {
    place.map_or_else(|| "built-in".to_owned(), ToString::to_string)
}

fn origins(rule: &Rule) -> Vec<&'static str> {
    rule.origins.iter().map(|origin| origin.name()).collect()
}

fn list(args: &RulesListArgs, globals: &Globals) -> Result<Exit, CliError> {
    let rules = load_settings(globals, Vec::new())?.rules()?;
    let text = if args.format == "json" { list_json(&rules) } else { list_text(&rules) };
    print(text.as_bytes())
}

fn list_json(rules: &Rules) -> String {
    let introducers = rules.introducers.iter().map(
        |row| json!({ "kind": "introducer", "id": row.id, "from": from(row.place.as_ref()), "stems": row.stems }),
    );
    let listed = rules.rules.iter().map(|rule| {
        json!({
            "kind": "rule",
            "id": rule.id,
            "class": rule.class,
            "origins": origins(rule),
            "agents": rule.agents,
            "rank": rule.best_rank().name(),
            "severity": rule.severity,
            "reads_lines": rule.reads_lines(),
            "from": from(rule.place.as_ref()),
            "stems": rule.stems,
            "line_stems": rule.line_stems,
        })
    });
    let off = rules
        .switched_off
        .iter()
        .map(|(id, place)| json!({ "kind": "disabled", "id": id, "from": from(Some(place)) }));
    introducers.chain(listed).chain(off).fold(String::new(), |mut text, row| {
        let _ = writeln!(text, "{row}");
        text
    })
}

fn list_text(rules: &Rules) -> String {
    let head = ["ID", "CLASS", "ORIGINS", "RANK", "FROM"].map(str::to_owned);
    let mut rows = vec![head];
    for row in &rules.introducers {
        rows.push([
            row.id.clone(),
            "(introducer)".to_owned(),
            String::new(),
            String::new(),
            from(row.place.as_ref()),
        ]);
    }
    for rule in &rules.rules {
        rows.push([
            rule.id.clone(),
            rule.class.name().to_owned(),
            origins(rule).join(","),
            rule.best_rank().name().to_owned(),
            from(rule.place.as_ref()),
        ]);
    }
    for (id, place) in &rules.switched_off {
        rows.push([id.clone(), "(disabled)".to_owned(), String::new(), String::new(), from(Some(place))]);
    }
    table(&rows, 0)
}

/// Columns under one another; the last `right` of them are numbers.
fn table<const N: usize>(rows: &[[String; N]], right: usize) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let width = widths[column];
                if column >= N - right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

// ------------------------------------------------------------------------------------------------ check

/// Reads every file by itself, so that all mistakes are told and not only the first.
fn check(args: &RulesCheckArgs, globals: &Globals) -> Result<Exit, CliError> {
    let configured = settings::config_files(&Environment::of_process(), globals.config.as_deref());
    let configured = configured.into_iter().filter(|file| file.exists).map(|file| file.path);
    let files: Vec<PathBuf> = configured.chain(args.files.iter().cloned()).collect();
    let (mut layers, mut errors) = (Vec::new(), Vec::new());
    for file in &files {
        match read_file(file, &format_names()) {
            Ok(file) => layers.push(file.rows),
            Err(wrong) => errors.extend(wrong.into_iter().map(CliError::from)),
        }
    }
    let merged = Rules::with_own(&layers).map_err(|wrong| {
        errors.extend(wrong.into_iter().map(settings::SettingsError::from).map(CliError::from))
    });
    let Some(last) = errors.pop() else {
        load_settings(globals, Vec::new())?;
        return print(merged.map(|rules| told(&rules)).unwrap_or_default().as_bytes());
    };
    errors.iter().for_each(CliError::print);
    Err(last)
}

fn told(rules: &Rules) -> String {
    let (own, introducers) = rules.own();
    let load = Load::of(rules);
    format!(
        "{own} own rules, {introducers} own introducers, {} disabled (at most {OWN_LIMIT} together): no mistakes\n\
         literals searched anywhere in plain lines: {} of {ANYWHERE_LIMIT}\n\
         ways in which plain lines begin or end: {} of {OPENINGS_LIMIT}\n",
        rules.switched_off.len(),
        load.anywhere(),
        load.openings()
    )
}

fn format_names() -> Vec<&'static str> {
    FORMATS.iter().map(|format| format.name()).collect()
}

// ------------------------------------------------------------------------------------------------- test

/// What was found: a class and the rule that decided.
type Found = Option<(Class, String)>;

fn test(args: &RulesTestArgs, globals: &Globals) -> Result<Exit, CliError> {
    let mut loaded = load_settings(globals, Vec::new())?;
    let file = match read_file(&args.file, &format_names()) {
        Ok(file) => file,
        Err(mut errors) => {
            let last = errors.pop().map(CliError::from);
            errors.into_iter().map(CliError::from).for_each(|error| error.print());
            return last.map_or(Ok(Exit::Config), Err);
        }
    };
    // A file that is part of the configuration is not put over itself.
    let same = |row: &OwnRow| same_file(Path::new(&row.place.file), &args.file);
    loaded.own_rules.retain(|layer| !layer.iter().any(same));
    if !file.rows.is_empty() {
        loaded.own_rules.push(file.rows);
    }
    let options = engine_options(&loaded)?;
    let mut out = String::new();
    let mut failed = 0;
    for test in &file.tests {
        let found = judge(&options, test);
        let right = found.as_ref().map(|(class, _)| *class) == test.expect
            && test
                .rule
                .as_ref()
                .is_none_or(|rule| found.as_ref().is_some_and(|(_, decided)| decided == rule));
        if !right {
            failed += 1;
            let _ = writeln!(out, "{}: expected {}, got {}", test.place, wanted(test), shown(&found));
            let (kind, words) = match &test.input {
                TestInput::Line(line) => ("line", line),
                TestInput::Text(_, text) => ("text", text),
            };
            let _ = writeln!(out, "  {kind}  {}", one_line(words));
        }
    }
    let (examples, wrong) = examples(&options, &mut out);
    let _ = writeln!(
        out,
        "{} tests, {failed} failed; {examples} examples of rules, {wrong} failed",
        file.tests.len()
    );
    print(out.as_bytes())?;
    Ok(if failed + wrong > 0 { Exit::Failed } else { Exit::Ok })
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn wanted(test: &RuleTest) -> String {
    let class = test.expect.map_or("none", Class::name);
    test.rule.as_ref().map_or_else(|| class.to_owned(), |rule| format!("{class} by `{rule}`"))
}

fn shown(found: &Found) -> String {
    found.as_ref().map_or_else(|| "none".to_owned(), |(class, rule)| format!("{class} by `{rule}`"))
}

fn one_line(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    facts::head(&text, 200).to_owned()
}

fn judge(options: &Options, test: &RuleTest) -> Found {
    let agent = test.agent.as_deref();
    match &test.input {
        TestInput::Line(line) => judge_line(options, agent, line),
        TestInput::Text(origin, text) => {
            judge_text(&options.rules, agent.unwrap_or("unknown"), *origin, text)
        }
    }
}

/// The first finding in a stream of this line.
fn judge_line(options: &Options, agent: Option<&str>, line: &str) -> Found {
    let mut options = options.clone();
    options.agent = agent.and_then(format::by_name).or(options.agent);
    let mut doctor = Doctor::new(Arc::new(options), "-", "test");
    let mut found = None;
    let mut out = |event: crate::model::Event| {
        if let EventBody::Finding(finding) = event.body {
            found.get_or_insert((finding.class, finding.rule));
        }
    };
    let now = clock::now();
    doctor.feed(now, line.as_bytes(), &mut out);
    doctor.finish(now, &mut out);
    found
}

/// What a rule says to the words of a failure. That it is a failure is given; what no rule knows is none here.
fn judge_text(rules: &Rules, agent: &str, origin: Origin, text: &str) -> Found {
    let verdict = if origin == Origin::Tool {
        Some(classify::tool_result(rules, agent, text, None))
    } else {
        classify::failure(rules, agent, &Failure::new(origin, text), None)
    };
    let verdict = verdict.filter(|verdict| rules.rules.iter().any(|rule| rule.id == verdict.rule))?;
    Some((verdict.class, verdict.rule))
}

/// Holds own rules to their `yes` and `no`; tells which examples of the program's rules are taken for something else.
fn examples(options: &Options, out: &mut String) -> (usize, usize) {
    let (mut count, mut failed) = (0, 0);
    for rule in &options.rules.rules {
        let agent = rule.agents.first().map(String::as_str);
        let own = rule.place.is_some();
        let origin = if own { rule.origins[0] } else { Origin::Provider };
        let found = |text: &str| {
            let line = if own && rule.reads_lines() { judge_line(options, agent, text) } else { None };
            (judge_text(&options.rules, agent.unwrap_or("unknown"), origin, text), line)
        };
        for text in &rule.yes {
            count += usize::from(own);
            let (as_text, as_line) = found(text);
            if [&as_text, &as_line].into_iter().flatten().any(|(class, _)| *class == rule.class) {
                continue;
            }
            if own {
                failed += 1;
                let got = shown(if as_text.is_some() { &as_text } else { &as_line });
                let place = from(rule.place.as_ref());
                let _ =
                    writeln!(out, "{place}: rule `{}`: `yes`: expected {}, got {got}", rule.id, rule.class);
            } else {
                let got = shown(&as_text);
                let _ = writeln!(out, "note: an example of `{}` is now {got}", rule.id);
            }
            let _ = writeln!(out, "  text  {}", one_line(text));
        }
        for text in rule.no.iter().filter(|_| own) {
            count += 1;
            let (as_text, as_line) = found(text);
            if [&as_text, &as_line].into_iter().flatten().any(|(_, decided)| *decided == rule.id) {
                failed += 1;
                let place = from(rule.place.as_ref());
                let _ = writeln!(out, "{place}: rule `{0}`: `no`: expected not `{0}`, got it", rule.id);
                let _ = writeln!(out, "  text  {}", one_line(text));
            }
        }
    }
    (count, failed)
}

// ------------------------------------------------------------------------------------------- tap --rule-stats

/// Prints what was counted to standard error, the costliest first: a table, or one JSON line.
pub(super) fn print_counts(rules: &Rules, as_json: bool) {
    let mut counted = rules.counted();
    counted.retain(|row| row.tries > 0 || row.hits > 0 || row.place.is_some());
    counted.sort_by(|one, other| (other.nanos, other.bytes, &one.id).cmp(&(one.nanos, one.bytes, &other.id)));
    let text = if as_json {
        let rows: Vec<_> = counted
            .iter()
            .map(|row| {
                json!({
                    "rule": row.id,
                    "class": row.class,
                    "from": from(row.place.as_ref()),
                    "hits": row.hits,
                    "tries": row.tries,
                    "bytes": row.bytes,
                    "time_ns": row.nanos,
                })
            })
            .collect();
        format!("{}\n", json!({ "type": "rule_stats", "rules": rows }))
    } else {
        let mut rows = vec![["RULE", "CLASS", "FROM", "HITS", "TRIES", "BYTES", "TIME"].map(str::to_owned)];
        for row in &counted {
            rows.push([
                row.id.clone(),
                row.class.map_or("(introducer)", Class::name).to_owned(),
                from(row.place.as_ref()),
                row.hits.to_string(),
                row.tries.to_string(),
                row.bytes.to_string(),
                format!("{:.3} ms", row.nanos as f64 / 1e6),
            ]);
        }
        table(&rows, 4)
            + "hits: it decided; tries: its patterns were tried; bytes: on so much text; time: all threads together\n"
    };
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
