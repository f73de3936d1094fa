//! `usage`: what agents used and what it cost, from their transcripts.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};
use indicatif::ProgressBar;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::args::{Globals, UsageArgs};
use super::prices::{self, Source};
use super::tap::{engine_options, progress_bar};
use super::{CliError, Exit, Kind, load_settings};
use crate::engine::Options;
use crate::engine::ansi;
use crate::engine::usage::Amount;
use crate::engine::usage::ledger::Stated;
use crate::engine::usage::meter::Mode;
use crate::engine::usage::report::{self, By, Filter, Line, Report};
use crate::profile::PROFILES;
use crate::profile::transcript::Surroundings;
use crate::runtime::scan::{FileTrouble, Progress};
use crate::runtime::usage::cache::{self, Cache};
use crate::runtime::usage::{self, Pricing};
use crate::source::os_words;
use crate::source::walk::{self, Globs, Input};

/// The files of a directory that are transcripts.
pub(super) const TRANSCRIPTS: [&str; 8] = [
    "*.jsonl",
    "*.json",
    "*.traj",
    "*.jsonl.gz",
    "*.json.gz",
    "*.jsonl.zst",
    "*.json.zst",
    ".aider.chat.history.md",
];

/// How many characters the longest bar has.
const BAR: usize = 16;

/// How many characters of a name are shown.
const NAME: usize = 44;

/// How long a scan takes before it is shown how far it is.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often that is looked at then.
const STEP: Duration = Duration::from_millis(100);

/// Runs the command.
///
/// # Errors
/// The command line, the settings or the price list are wrong, there is nothing to read, or standard output cannot be
/// written. Files that cannot be read are told as they are met, and the others count.
pub fn run(args: &UsageArgs, globals: &Globals) -> Result<Exit, CliError> {
    let loaded = load_settings(globals, args.flags())?;
    let options = engine_options(&loaded)?;
    let (prices, price_source) = prices::in_force(args.prices.as_deref())?;
    let mode = match args.mode.as_deref() {
        Some("calculate") => Mode::Calculate,
        Some("display") => Mode::Display,
        _ => Mode::Auto,
    };
    let (by, roots) = args.report();
    let filter = Filter {
        since: args.since,
        until: args.until,
        agent: args.agent.clone(),
        project: args.project.clone(),
    };
    let own = roots.is_empty();
    let cache = ((own || args.cache) && !args.no_cache).then(|| cache(&options)).flatten();
    let roots = if own { archives()? } else { roots };
    let globs = Globs::new(&TRANSCRIPTS).map_err(CliError::from)?;
    let walked = walk::walk(&roots, &globs, loaded.settings.threads);
    let mut worst = None;
    let mut complain = |error: CliError| {
        error.print();
        worst.get_or_insert(error.kind.exit());
    };
    walked.problems.iter().for_each(|problem| complain(CliError::from(problem)));
    let inputs: Vec<_> = walked
        .inputs
        .into_iter()
        .filter(|input| {
            let readable = input.kind != walk::Kind::Stream;
            if !readable {
                complain(
                    CliError::new(Kind::NoInput, format!("read `{}`", input.path.display()))
                        .cause("it is no file")
                        .hint("what is used in a running session, its transcript tells"),
                );
            }
            readable
        })
        .collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = if loaded.settings.threads == 0 { cores } else { loaded.settings.threads };
    let pricing = Pricing { prices: Arc::new(prices), mode };
    let (ledger, troubles) = showing(!args.no_progress, &inputs, |progress| {
        usage::run(&inputs, &options, &pricing, threads, cache.as_ref(), progress)
    })
    .map_err(|error| CliError::new(Kind::Internal, "start a thread").cause(os_words(&error)))?;
    for trouble in &troubles {
        complain(match trouble {
            FileTrouble::Read(error) => CliError::from(error),
            FileTrouble::Engine(path) => {
                CliError::new(Kind::Internal, format!("read all of `{}`", path.display()))
                    .cause("the engine failed on it")
            }
        });
    }
    let settled = ledger.settle();
    let report = report::report(&settled, by, &options.zone, &filter);
    let quotas: &[_] = if by == By::Block { &settled.quotas } else { &[] };
    let text = if args.json {
        as_json(&report, by, &options.zone, args, &price_source, quotas)
    } else if args.csv {
        as_csv(&report, by, args.breakdown)
    } else {
        as_table(&report, by, args, &price_source) + &windows(quotas, &options.zone)
    };
    // What is written for programs is the same on a terminal; anstream takes colours out where nobody sees them.
    let written = anstream::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    written.map_err(|error| CliError::output(&error))?;
    Ok(worst.unwrap_or(Exit::Ok))
}

/// Returns the cache, if there is a place for one.
fn cache(options: &Options) -> Option<Cache> {
    let folder = cache::folder(&|name| env::var_os(name).map(PathBuf::from))?;
    Cache::new(folder, options, SystemTime::now())
}

/// Does some work on files, and shows on a terminal how far it is if that takes long.
fn showing<R>(show: bool, inputs: &[Input], work: impl FnOnce(&Progress) -> R) -> R {
    let progress = Progress::default();
    if !show || !io::stderr().is_terminal() {
        return work(&progress);
    }
    let total: u64 = inputs.iter().map(|input| input.size).sum();
    let (ended, end) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let progress = &progress;
        scope.spawn(move || {
            let mut bar: Option<ProgressBar> = None;
            while end.recv_timeout(if bar.is_none() { PATIENCE } else { STEP })
                == Err(RecvTimeoutError::Timeout)
            {
                let bar = bar.get_or_insert_with(|| progress_bar(total));
                bar.set_position(progress.bytes.load(Ordering::Relaxed));
                bar.set_message(format!(
                    "{} of {} files",
                    progress.files.load(Ordering::Relaxed),
                    inputs.len()
                ));
            }
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
        });
        let result = work(progress);
        drop(ended);
        result
    })
}

/// Returns the folders of transcripts that are there.
fn archives() -> Result<Vec<PathBuf>, CliError> {
    let (all, wanted) = folders();
    if all.is_empty() {
        let names: Vec<String> = wanted.iter().map(|folder| folder.display().to_string()).collect();
        return Err(CliError::new(Kind::NoInput, "find transcripts of an agent")
            .cause(format!("there is none of {}", names.join(", ")))
            .hint("name files or folders: session-doctor usage daily DIR"));
    }
    Ok(all)
}

/// Returns the folders of transcripts that are there, and all that may be.
pub(super) fn folders() -> (Vec<PathBuf>, Vec<PathBuf>) {
    let home = env::home_dir();
    let cwd = env::current_dir().unwrap_or_default();
    let variable = |name: &str| env::var(name).ok();
    let surroundings = Surroundings { home: home.as_deref(), cwd: &cwd, variable: &variable };
    let wanted: Vec<PathBuf> = PROFILES.iter().flat_map(|profile| profile.archives(&surroundings)).collect();
    let mut all = wanted.clone();
    all.retain(|folder| folder.is_dir());
    all.sort();
    all.dedup();
    (all, wanted)
}

// ------------------------------------------------------------------------------------------------ json, csv

/// Dollars to what adding up in floating point can be relied on.
fn dollars(cost: f64) -> f64 {
    let rounded = (cost * 1e8).round() / 1e8;
    if rounded == 0.0 { 0.0 } else { rounded }
}

/// The cost as far as it is known: `null` where no token has a price.
fn cost(amount: &Amount) -> Value {
    if amount.unpriced > 0 && amount.cost == 0.0 { Value::Null } else { json!(dollars(amount.cost)) }
}

fn figures(amount: &Amount) -> Map<String, Value> {
    let tokens = &amount.tokens;
    let rows = [
        ("requests", json!(amount.requests)),
        ("input_tokens", json!(tokens.input)),
        ("output_tokens", json!(tokens.output)),
        ("cache_creation_tokens", json!(tokens.cache_write)),
        ("cache_creation_1h_tokens", json!(tokens.cache_write_1h)),
        ("cache_read_tokens", json!(tokens.cache_read)),
        ("total_tokens", json!(tokens.total())),
        ("cost_usd", cost(amount)),
        ("unpriced_tokens", json!(amount.unpriced)),
    ];
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What a row is about, as programs call it.
fn about(by: By) -> &'static str {
    match by {
        By::Day => "date",
        By::Week => "week",
        By::Month => "month",
        By::Session => "session",
        By::Block => "block",
        By::Model => "model",
    }
}

/// What agents last said of the windows of a subscription, for people.
fn windows(quotas: &[(&'static str, Stated)], zone: &TimeZone) -> String {
    let mut text = String::new();
    let shown = |time| report::time(time, zone);
    for (agent, Stated { quota, time }) in quotas {
        let used = quota.used_pct.map_or_else(|| "used".to_owned(), |used| format!("{used:.0} % used"));
        let at = time.map_or_else(String::new, |time| format!(" at {}", shown(time)));
        let resets = quota.resets_at.map_or_else(String::new, |at| format!(", resets {}", shown(at)));
        let _ = writeln!(text, "{agent} said{at}: {}, {used}{resets}.", length(quota.minutes));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// Writes how long a window of a subscription is.
fn length(minutes: u64) -> String {
    match minutes {
        10_080 => "the week".to_owned(),
        minutes if minutes % 1440 == 0 => format!("{} days", minutes / 1440),
        minutes if minutes % 60 == 0 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}

fn as_json(
    report: &Report,
    by: By,
    zone: &TimeZone,
    args: &UsageArgs,
    prices: &Source,
    quotas: &[(&'static str, Stated)],
) -> String {
    let line = |line: &Line, name: bool| {
        let mut row = Map::new();
        if name {
            row.insert(about(by).to_owned(), json!(line.about));
        }
        if by == By::Session && name {
            row.insert("project".to_owned(), json!(line.project));
        }
        row.insert("agents".to_owned(), json!(line.agents));
        row.insert("sessions".to_owned(), json!(line.sessions));
        row.insert("first".to_owned(), json!(line.times.map(|times| times.0.to_string())));
        row.insert("last".to_owned(), json!(line.times.map(|times| times.1.to_string())));
        row.append(&mut figures(&line.amount));
        let models: Vec<Value> = line
            .models
            .iter()
            .map(|(model, amount)| {
                let mut row = Map::new();
                row.insert("model".to_owned(), json!(model));
                row.append(&mut figures(amount));
                Value::Object(row)
            })
            .collect();
        row.insert("models".to_owned(), json!(models));
        Value::Object(row)
    };
    let mut whole = json!({
        "report": by.name(),
        "time_zone": zone.iana_name().unwrap_or("local"),
        "mode": args.mode.as_deref().unwrap_or("auto"),
        "prices": prices.as_json(),
        "rows": report.lines.iter().map(|row| line(row, true)).collect::<Vec<_>>(),
        "total": line(&report.total, false),
    });
    if by == By::Block {
        let window = |(agent, stated): &(&'static str, Stated)| {
            json!({
                "agent": agent,
                "minutes": stated.quota.minutes,
                "used_pct": stated.quota.used_pct,
                "resets_at": stated.quota.resets_at,
                "time": stated.time,
            })
        };
        whole["windows"] = quotas.iter().map(window).collect();
    }
    format!("{whole:#}\n")
}

fn as_csv(report: &Report, by: By, breakdown: bool) -> String {
    let mut text = String::new();
    let names: Vec<String> = figures(&Amount::default()).keys().cloned().collect();
    let _ = writeln!(text, "{},model,{}", about(by), names.join(","));
    let mut row = |name: &str, model: &str, amount: &Amount| {
        let values: Vec<String> = figures(amount)
            .values()
            .map(|value| if value.is_null() { String::new() } else { value.to_string() })
            .collect();
        let _ = writeln!(text, "{},{},{}", quoted(name), quoted(model), values.join(","));
    };
    for line in &report.lines {
        if breakdown {
            line.models.iter().for_each(|(model, amount)| row(&line.about, model, amount));
        } else {
            let models: Vec<&str> = line.models.keys().map(String::as_str).collect();
            row(&line.about, &models.join(" "), &line.amount);
        }
    }
    text
}

/// A field of CSV.
fn quoted(text: &str) -> String {
    let text = printable(text);
    // What begins as a formula does is none.
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

// ------------------------------------------------------------------------------------------------ table

/// A text of somebody else's without anything that a terminal obeys.
pub(super) fn printable(text: &str) -> String {
    let is_shown = |c: &char| {
        // Marks of direction turn around what stands beside them.
        !c.is_control()
            && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    ansi::strip(text.as_bytes()).chars().filter(is_shown).collect()
}

/// The end of a long name, where paths differ.
fn shortened(text: &str) -> String {
    let text = printable(text);
    let length = text.chars().count();
    if length <= NAME {
        text
    } else {
        format!("…{}", text.chars().skip(length - NAME + 1).collect::<String>())
    }
}

/// A count with commas.
pub(super) fn grouped(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = if count < 0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn priced(amount: &Amount) -> String {
    let cents = (amount.cost * 100.0).round();
    let dollars = format!("${}.{:02}", grouped((cents / 100.0).trunc() as i64), (cents.abs() % 100.0) as i64);
    match (amount.unpriced > 0, amount.cost == 0.0) {
        (true, true) => "?".to_owned(),
        (true, false) => format!("{dollars}+?"),
        _ => dollars,
    }
}

fn bar(share: f64) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + part
}

/// A model's name as short as it is plain.
fn short(model: &str) -> String {
    printable(model.strip_prefix("claude-").unwrap_or(model))
}

/// One row of a table: cells, and whether it stands out.
type Cells = (Vec<String>, Style);

fn as_table(report: &Report, by: By, args: &UsageArgs, prices: &Source) -> String {
    if report.lines.is_empty() {
        return "Nothing was used.\n".to_owned();
    }
    let bold = Style::new().bold();
    let dim = Style::new().dimmed();
    let head =
        [about(by), "agent", "models", "input", "output", "cache write", "cache read", "total", "cost", ""];
    let head = head
        .map(|name| if by == By::Session && !args.breakdown && name == "models" { "project" } else { name });
    let mut rows: Vec<Cells> = vec![(head.iter().map(|name| name.to_uppercase()).collect(), bold)];
    let money = report.lines.iter().any(|line| line.amount.cost > 0.0);
    let weight = |amount: &Amount| if money { amount.cost } else { amount.tokens.total() as f64 };
    let most = report.lines.iter().map(|line| weight(&line.amount)).fold(0.0, f64::max);
    let numbers = |amount: &Amount| {
        let tokens = &amount.tokens;
        [tokens.input, tokens.output, tokens.cache_write, tokens.cache_read, tokens.total()].map(grouped)
    };
    let mut push = |first: String, second: String, third: String, amount: &Amount, last: String, style| {
        let cells = [first, second, third].into_iter().chain(numbers(amount)).chain([priced(amount), last]);
        rows.push((cells.collect(), style));
    };
    for line in &report.lines {
        let agents: Vec<&str> = line.agents.iter().copied().collect();
        let models: Vec<String> = line.models.keys().map(|model| short(model)).collect();
        let models = match by {
            By::Model => String::new(),
            _ if args.breakdown => String::new(),
            By::Session => line.project.as_deref().map(shortened).unwrap_or_default(),
            _ => models.join(" "),
        };
        let share = if most > 0.0 { weight(&line.amount) / most } else { 0.0 };
        push(shortened(&line.about), agents.join(" "), models, &line.amount, bar(share), Style::new());
        if args.breakdown && by != By::Model {
            for (model, amount) in &line.models {
                push(String::new(), String::new(), short(model), amount, String::new(), dim);
            }
        }
    }
    push("TOTAL".to_owned(), String::new(), String::new(), &report.total.amount, String::new(), bold);
    let mut text = lay_out(rows, terminal_width());
    let unknown: Vec<String> = report
        .total
        .models
        .iter()
        .filter(|(_, amount)| amount.unpriced > 0)
        .map(|(model, amount)| format!("{} ({} tokens)", printable(model), grouped(amount.unpriced)))
        .collect();
    if !unknown.is_empty() {
        let why = if args.mode.as_deref() == Some("display") {
            "no cost is stated for"
        } else {
            "there is no price for"
        };
        let _ = writeln!(text, "\n? {why} {}: not in the cost.", unknown.join(", "));
    }
    if let Some(note) = prices.note() {
        let _ = writeln!(text, "\n{dim}{note}.{dim:#}");
    }
    text
}

/// Leaves out what does not fit: the bar first, then the models, the agent, the caches.
fn lay_out(rows: Vec<Cells>, width: Option<usize>) -> String {
    let mut hidden: Vec<usize> = Vec::new();
    if rows.iter().skip(1).all(|(cells, _)| cells[2].is_empty()) {
        hidden.push(2);
    }
    let columns = rows.first().map_or(0, |(cells, _)| cells.len());
    let widest =
        |column: usize| rows.iter().map(|(cells, _)| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    for column in [columns - 1, 2, 1, 5, 6] {
        let needed: usize = (0..columns).filter(|at| !hidden.contains(at)).map(|at| widths[at] + 2).sum();
        if width.is_none_or(|width| needed <= width + 2) {
            break;
        }
        hidden.push(column);
    }
    let bars = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
    let mut text = String::new();
    let rule: usize = (0..columns - 1).filter(|at| !hidden.contains(at)).map(|at| widths[at] + 2).sum();
    let last = rows.len() - 1;
    for (number, (cells, style)) in rows.iter().enumerate() {
        if number == 1 || number == last {
            let _ = writeln!(text, "{}", "─".repeat(rule.saturating_sub(2)));
        }
        let shown = (0..columns).filter(|at| !hidden.contains(at));
        let mut line = String::new();
        for at in shown {
            let (cell, width) = (&cells[at], widths[at]);
            match at {
                0..=2 => line.push_str(&format!("{cell:<width$}  ")),
                _ if at == columns - 1 && !cell.is_empty() => line.push_str(&format!("{bars}{cell}{bars:#}")),
                _ if at == columns - 1 => {}
                _ => line.push_str(&format!("{cell:>width$}  ")),
            }
        }
        let _ = writeln!(text, "{style}{}{style:#}", line.trim_end());
    }
    text
}

pub(super) fn terminal_width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&stdout)
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|width| *width > 0)
}

/// Reads a day as `--since` takes it.
pub(super) fn day(text: &str) -> Result<Date, String> {
    let compact = (text.len() == 8).then(|| Date::strptime("%Y%m%d", text).ok()).flatten();
    let day = compact.or_else(|| Date::strptime("%Y-%m-%d", text).ok());
    day.ok_or_else(|| "a day is written as 2026-11-21 or 20261121".to_owned())
}
