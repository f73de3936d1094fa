//! `prices`: which prices hold, and a list of one's own in front of those that are built in.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::args::{Globals, PricesArgs, PricesCommand, PricesListArgs};
use super::usage::{grouped, printable};
use super::{CliError, Exit, Kind, load_settings, print};
use crate::engine::usage::price::{AS_OF, List, Prices, Rates, Row};
use crate::model::Timestamp;
use crate::runtime::clock;
use crate::runtime::price_list::{self, Stored};
use crate::source::os_words;

/// How many models are named where it would be too many to name all.
const NAMED: usize = 6;

/// Where prices come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// They are built in.
    BuiltIn,
    /// A file that was named, in front of what is built in.
    File(PathBuf),
    /// The list that was stored, in front of what is built in.
    Stored {
        /// The file that it came from.
        source: String,
        /// When that was last written.
        written: Option<Timestamp>,
        /// When it was stored.
        stored: Timestamp,
    },
}

impl Source {
    /// Returns what programs are told.
    pub(super) fn as_json(&self) -> Value {
        match self {
            Self::BuiltIn => json!({ "source": "built-in", "as_of": AS_OF }),
            Self::File(path) => json!({ "source": path.display().to_string() }),
            Self::Stored { source, written, stored } => {
                json!({ "source": "stored", "list": source, "as_of": written.map(day), "stored": stored })
            }
        }
    }

    /// Returns what people are told; `None` where it goes without saying.
    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::BuiltIn => None,
            Self::File(path) => Some(format!("Prices: {}", printable(&path.to_string_lossy()))),
            Self::Stored { source, written, stored } => {
                let name = Path::new(source).file_name().map(|name| name.to_string_lossy().into_owned());
                let name = printable(&name.unwrap_or_else(|| source.clone()));
                Some(format!(
                    "Prices: {name} of {}, stored with `prices update`",
                    day(written.unwrap_or(*stored))
                ))
            }
        }
    }
}

/// Returns the prices that hold, and where they come from: those of a list that is named, else of the one that is stored, in front
/// of those that are built in. A stored one that cannot be used is told of, and passed over.
///
/// # Errors
/// The list that is named cannot be used.
pub(super) fn in_force(named: Option<&Path>) -> Result<(Prices, Source), CliError> {
    if let Some(path) = named {
        return Ok((Prices::with(read(path)?), Source::File(path.to_owned())));
    }
    Ok(match stored() {
        Ok(Some(Stored { source, written, stored, list, .. })) => {
            (Prices::with(list), Source::Stored { source, written, stored })
        }
        Ok(None) => (Prices::built_in().clone(), Source::BuiltIn),
        Err(error) => {
            error.print_warning();
            (Prices::built_in().clone(), Source::BuiltIn)
        }
    })
}

/// Returns the prices that hold for one model, for whoever must be quick and not say anything.
pub(super) fn quietly(model: &str) -> Prices {
    let stored = stored().ok().flatten();
    stored.map_or_else(|| Prices::built_in().clone(), |stored| Prices::with(stored.list.only(model)))
}

/// Runs the command.
///
/// # Errors
/// The list cannot be used or stored; a model that was asked for has no price.
pub fn run(args: &PricesArgs, globals: &Globals) -> Result<Exit, CliError> {
    load_settings(globals, Vec::new())?;
    match &args.command {
        PricesCommand::Update(args) => update(&args.file),
        PricesCommand::List(args) => list(args),
        PricesCommand::Reset => reset(),
    }
}

fn read(path: &Path) -> Result<List, CliError> {
    let failed = |kind| CliError::new(kind, format!("read the prices in `{}`", path.display()));
    let text = price_list::text(path).map_err(|error| failed(Kind::NoInput).cause(os_words(&error)))?;
    List::read(&text).map_err(|error| failed(Kind::Data).cause(error))
}

fn stored() -> Result<Option<Stored>, CliError> {
    let Ok(path) = path() else { return Ok(None) };
    price_list::load(&path).map_err(|error| {
        CliError::new(Kind::Config, format!("use the stored prices in `{}`", path.display()))
            .cause(os_words(&error))
            .hint("the built-in ones hold; store a list again, or remove it: session-doctor prices reset")
    })
}

fn path() -> Result<PathBuf, CliError> {
    price_list::path(&|name| env::var_os(name).map(PathBuf::from)).ok_or_else(|| {
        CliError::new(Kind::Unavailable, "find the place of the stored prices")
            .cause("none of SESSION_DOCTOR_HOME, XDG_STATE_HOME and HOME is set")
    })
}

// ------------------------------------------------------------------------------------------------ update, reset

fn update(file: &Path) -> Result<Exit, CliError> {
    let list = read(file)?;
    let (count, place) = (list.len(), path()?);
    let source = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let changed = changes(&Prices::with(list.clone()));
    price_list::store(&place, list, &source, clock::written(file), clock::now()).map_err(|error| {
        CliError::new(Kind::CannotCreate, format!("store prices in `{}`", place.display()))
            .cause(os_words(&error))
    })?;
    let count = grouped(i64::try_from(count).unwrap_or(i64::MAX));
    let mut text =
        format!("Stored the prices of {count} models in {}.\n", printable(&place.to_string_lossy()));
    if !changed.is_empty() {
        let more = changed.len().saturating_sub(NAMED);
        let mut names: Vec<String> = changed.into_iter().take(NAMED).collect();
        if more > 0 {
            names.push(format!("{more} more"));
        }
        let _ = writeln!(text, "Not as built in: {}.", names.join(", "));
    }
    print(text.as_bytes())
}

/// Returns the models that cost something else than is built in.
fn changes(prices: &Prices) -> Vec<String> {
    let differs = |name: &str, row: &Row| {
        let now = prices.row(name).map(|row| row.price);
        now.is_some_and(|now| {
            (now.rates, now.long, now.window) != (row.price.rates, row.price.long, row.price.window)
        })
    };
    let rows = Prices::built_in().rows().filter(|(name, row)| differs(name, row));
    rows.map(|(name, _)| name.to_owned()).collect()
}

fn reset() -> Result<Exit, CliError> {
    let path = path()?;
    let removed = price_list::remove(&path).map_err(|error| {
        CliError::new(Kind::Io, format!("remove `{}`", path.display())).cause(os_words(&error))
    })?;
    let text = if removed {
        format!("Removed the stored prices; those built in, of {AS_OF}, hold.\n")
    } else {
        format!("No prices were stored; those built in, of {AS_OF}, hold.\n")
    };
    print(text.as_bytes())
}

// ------------------------------------------------------------------------------------------------ list

fn list(args: &PricesListArgs) -> Result<Exit, CliError> {
    let (prices, source) = in_force(args.prices.as_deref())?;
    let mut unknown = Vec::new();
    let mut rows: Vec<(&str, Row)> = Vec::new();
    if args.models.is_empty() {
        rows.extend(prices.rows().map(|(name, row)| (name, *row)));
    }
    for model in &args.models {
        match prices.row(model) {
            Some(row) => rows.push((model, row)),
            None => unknown.push(model),
        }
    }
    let text = if args.json { as_json(&rows, &source) } else { as_table(&rows, &source) };
    if args.json || !rows.is_empty() {
        print(text.as_bytes())?;
    }
    let Some(model) = unknown.first() else { return Ok(Exit::Ok) };
    let names: Vec<String> = unknown.iter().map(|name| format!("`{}`", printable(name))).collect();
    let wanted = model.to_lowercase();
    let alike = prices.rows().map(|(name, _)| name).filter(|name| name.contains(&wanted));
    let alike: Vec<&str> = alike.take(NAMED).collect();
    let error = CliError::new(Kind::Unavailable, format!("find the price of {}", names.join(", ")))
        .cause("neither the list nor the built-in table has a model of that name");
    Err(if alike.is_empty() { error } else { error.hint(format!("there are: {}", alike.join(", "))) })
}

fn as_json(rows: &[(&str, Row)], source: &Source) -> String {
    let rates = |rates: &Rates| {
        json!({
            "input": rates.input,
            "output": rates.output,
            "cache_write": rates.write,
            "cache_write_1h": rates.write_1h,
            "cache_read": rates.read,
        })
    };
    let models: Vec<Value> = rows
        .iter()
        .map(|(name, row)| {
            let mut model = Map::new();
            model.insert("model".to_owned(), json!(name));
            model.insert("window".to_owned(), json!(row.price.window));
            model.insert("usd_per_million".to_owned(), json!(row.price.rates.as_ref().map(rates)));
            model.insert("above_200k".to_owned(), json!(row.price.long.as_ref().map(rates)));
            model.insert("from".to_owned(), json!(from(row)));
            Value::Object(model)
        })
        .collect();
    format!("{:#}\n", json!({ "prices": source.as_json(), "models": models }))
}

fn from(row: &Row) -> &'static str {
    if row.listed { "list" } else { "built-in" }
}

fn as_table(rows: &[(&str, Row)], source: &Source) -> String {
    let head = ["MODEL", "WINDOW", "INPUT", "OUTPUT", "WRITE", "1 HOUR", "READ", "> 200K", "FROM"]
        .map(str::to_owned);
    let mut cells = vec![head];
    for (name, row) in rows {
        let rates = row.price.rates;
        let rate = |rate: fn(&Rates) -> f64| rates.as_ref().map(rate).map(number).unwrap_or_default();
        let long = row.price.long.map(|long| format!("{}/{}", number(long.input), number(long.output)));
        cells.push([
            printable(name),
            row.price
                .window
                .map(|window| grouped(i64::try_from(window).unwrap_or(i64::MAX)))
                .unwrap_or_default(),
            rate(|rates| rates.input),
            rate(|rates| rates.output),
            rate(|rates| rates.write),
            rate(|rates| rates.write_1h),
            rate(|rates| rates.read),
            long.unwrap_or_default(),
            from(row).to_owned(),
        ]);
    }
    let one_source = matches!(source, Source::BuiltIn);
    let last = if one_source { 8 } else { 9 };
    let widths: Vec<usize> =
        (0..last).map(|at| cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &cells {
        let mut line = format!("{:<width$}", row[0], width = widths[0]);
        for at in 1..last {
            let (cell, width) = (&row[at], widths[at]);
            let _ = if at == 8 { write!(line, "  {cell}") } else { write!(line, "  {cell:>width$}") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let note = source.note().map(|note| format!("{note}; ")).unwrap_or_default();
    let _ = writeln!(
        text,
        "\n{note}{} of {AS_OF}. US dollars a million tokens.",
        if note.is_empty() { "Built-in table" } else { "else the built-in table" }
    );
    text
}

/// A rate with as many digits as it has, up to four behind the point.
fn number(rate: f64) -> String {
    let text = format!("{rate:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn day(time: Timestamp) -> String {
    time.to_string().chars().take("2026-11-21".len()).collect()
}
