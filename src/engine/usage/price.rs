//! What models cost and how much their windows hold: the table, and the lists that may take its place.
//!
//! A model that is not in the table has no price. It is never taken for one of a similar name, nor for free.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Tokens;

/// When the table was made.
pub const AS_OF: &str = "2026-11-21";

/// The table, as the head of the file explains it.
const TABLE: &str = include_str!("prices.csv");

/// From how many input tokens on a request is a long one, where that makes it dearer.
const LONG: i64 = 200_000;

/// The window of a model that is asked for with `[1m]`.
const MILLION: u64 = 1_000_000;

/// The dearest rate that is believed.
const MOST: f64 = 1e6;

/// US dollars a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 5]", into = "[f64; 5]")]
pub struct Rates {
    /// Input.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Input written to a cache for minutes.
    pub write: f64,
    /// Input written to a cache for an hour.
    pub write_1h: f64,
    /// Input read from a cache.
    pub read: f64,
}

impl From<[f64; 5]> for Rates {
    fn from([input, output, write, write_1h, read]: [f64; 5]) -> Self {
        Self { input, output, write, write_1h, read }
    }
}

impl From<Rates> for [f64; 5] {
    fn from(rates: Rates) -> Self {
        [rates.input, rates.output, rates.write, rates.write_1h, rates.read]
    }
}

impl Rates {
    /// Returns rates of which some may be unknown: what a cache does then costs what input does.
    fn new(input: f64, output: f64, write: Option<f64>, write_1h: Option<f64>, read: Option<f64>) -> Self {
        let write = write.unwrap_or(input);
        Self { input, output, write, write_1h: write_1h.unwrap_or(write), read: read.unwrap_or(input) }
    }

    /// Whether they can be what somebody asks; lists have negative ones where they know none.
    fn are_sane(&self) -> bool {
        [self.input, self.output, self.write, self.write_1h, self.read]
            .iter()
            .all(|rate| (0.0..=MOST).contains(rate))
    }

    fn cost(&self, tokens: &Tokens) -> f64 {
        let part = |count: i64, rate: f64| count as f64 * rate / 1e6;
        part(tokens.input, self.input)
            + part(tokens.output, self.output)
            + part(tokens.cache_read, self.read)
            + part(tokens.cache_write - tokens.cache_write_1h, self.write)
            + part(tokens.cache_write_1h, self.write_1h)
    }
}

/// What is known of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// How many tokens its window holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// What it costs; `None` where only the window is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
    /// What a request of more than 200,000 input tokens costs, where that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<Rates>,
}

impl Price {
    /// Takes from what is known otherwise what a list did not say: the window, and how much dearer a cache for an hour is than
    /// one for minutes, for which models.dev has no field.
    fn complete(&mut self, known: &Self) {
        self.window = self.window.or(known.window);
        let Some(told) = known.rates.filter(|rates| rates.write > 0.0) else { return };
        for rates in [&mut self.rates, &mut self.long].into_iter().flatten() {
            if rates.write_1h == rates.write {
                rates.write_1h = rates.write * (told.write_1h / told.write);
            }
        }
    }

    /// Returns what tokens cost. `single`: they are of one request, which may be a long one.
    pub fn cost(&self, tokens: &Tokens, single: bool) -> Option<f64> {
        let rates = self.long.filter(|_| single && tokens.sent() > LONG).or(self.rates)?;
        Some(rates.cost(tokens))
    }
}

/// Why a price list cannot be used.
#[derive(Debug)]
pub enum PriceError {
    /// It is no JSON object.
    Json(String),
    /// It has no model with a price in it.
    Empty,
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(cause) => write!(f, "it is not JSON as LiteLLM or models.dev write it: {cause}"),
            Self::Empty => f.write_str("it has no model with a price"),
        }
    }
}

impl std::error::Error for PriceError {}

/// A list of prices, as far as it is needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// By the name as the list has it, those first that stand for the plain name.
    models: Vec<(String, Price)>,
}

impl List {
    /// Reads LiteLLM's `model_prices_and_context_window.json`, or the `api.json` of models.dev.
    ///
    /// # Errors
    /// It is neither.
    pub fn read(json: &str) -> Result<Self, PriceError> {
        let list: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(json).map_err(|error| PriceError::Json(error.to_string()))?;
        let mut found: Vec<(String, bool, Price)> = Vec::new();
        for (name, entry) in &list {
            if let Ok(Provider { models: Some(models) }) = serde_json::from_str(entry.get()) {
                let vendor = VENDORS.contains(&&**name);
                let models = models.iter().filter_map(|(id, model)| Some((id, priced(model.get())?)));
                for (id, price) in models {
                    found.push((format!("{name}/{id}").to_lowercase(), vendor, price));
                }
            } else if let Some(price) = priced(entry.get()) {
                // Names without a provider are the vendor's own.
                found.push((name.to_lowercase(), !name.contains('/'), price));
            }
        }
        if found.is_empty() {
            return Err(PriceError::Empty);
        }
        // Of several providers, the vendor is believed; of the rest, whose name comes first.
        found.sort_by(|one, other| (!one.1, &one.0).cmp(&(!other.1, &other.0)));
        Ok(Self { models: found.into_iter().map(|(name, _, price)| (name, price)).collect() })
    }

    /// Returns what it says of one model, by whatever names: much sooner put in front of a table than all of it.
    #[must_use]
    pub fn only(mut self, model: &str) -> Self {
        let plain = plain_name(model);
        self.models.retain(|(name, _)| name == model || plain_name(name) == plain);
        self
    }

    /// Returns how many models it has.
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Whether no price in it is one that nobody can ask.
    pub fn is_sane(&self) -> bool {
        let prices = self.models.iter().flat_map(|(_, price)| [price.rates, price.long]);
        prices.flatten().all(|rates| rates.are_sane())
    }
}

/// Prices by the names of models.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    /// By the name as the list has it.
    exact: BTreeMap<String, Price>,
    /// By the plain name.
    plain: BTreeMap<String, Row>,
}

/// A row of the table that holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// What is known of the model.
    pub price: Price,
    /// Whether a list says so, and not the table that is built in.
    pub listed: bool,
}

impl Prices {
    /// Returns the table that is built in.
    pub fn built_in() -> &'static Self {
        Self::cell()
    }

    /// Returns the table that is built in, to be shared.
    pub fn shared() -> Arc<Self> {
        Arc::clone(Self::cell())
    }

    fn cell() -> &'static Arc<Self> {
        static PRICES: OnceLock<Arc<Prices>> = OnceLock::new();
        PRICES.get_or_init(|| {
            let rows = TABLE.lines().filter(|line| !line.starts_with('#')).skip(1);
            let row = |(name, price): (&str, Price)| (name.to_owned(), Row { price, listed: false });
            Arc::new(Self { exact: BTreeMap::new(), plain: rows.filter_map(self::row).map(row).collect() })
        })
    }

    /// Returns the table with what a list says in front of it. What it leaves out of a model, the table says.
    pub fn with(mut list: List) -> Self {
        for (name, price) in &mut list.models {
            if let Some(known) = Self::built_in().plain.get(&*plain_name(name)) {
                price.complete(&known.price);
            }
        }
        let mut plain = BTreeMap::new();
        for (name, price) in &list.models {
            plain.entry(plain_name(name).into_owned()).or_insert(Row { price: *price, listed: true });
        }
        for (name, row) in &Self::built_in().plain {
            plain.entry(name.clone()).or_insert(*row);
        }
        Self { exact: list.models.into_iter().collect(), plain }
    }

    /// Returns the table with what a list says in front of it, as [`List::read`] reads it.
    ///
    /// # Errors
    /// The list is none.
    pub fn with_list(json: &str) -> Result<Self, PriceError> {
        List::read(json).map(Self::with)
    }

    /// Returns all that is known by the plain names of models, in their order.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.plain.iter().map(|(name, row)| (name.as_str(), row))
    }

    /// Returns what is known of a model, by the name that a record gives it.
    pub fn find(&self, model: &str) -> Option<Price> {
        self.row(model).map(|row| row.price)
    }

    /// Returns what is known of a model, and who says so.
    pub fn row(&self, model: &str) -> Option<Row> {
        if let Some(price) = self.exact.get(model) {
            return Some(Row { price: *price, listed: true });
        }
        let mut row = *self.plain.get(&*plain_name(model))?;
        if is_million(model) {
            row.price.window = Some(MILLION);
        }
        Some(row)
    }
}

/// The providers whose prices are those of the model itself, as models.dev names them.
const VENDORS: [&str; 10] = [
    "anthropic",
    "openai",
    "google",
    "xai",
    "deepseek",
    "mistral",
    "moonshotai",
    "zai",
    "zhipuai",
    "alibaba",
];

/// A provider of models.dev.
#[derive(Deserialize)]
struct Provider<'a> {
    #[serde(borrow, default)]
    models: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

/// A model, as either list has it. LiteLLM counts dollars a token, models.dev dollars a million.
#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    input_cost_per_token: Option<f64>,
    #[serde(default)]
    output_cost_per_token: Option<f64>,
    #[serde(default)]
    cache_creation_input_token_cost: Option<f64>,
    #[serde(default)]
    cache_creation_input_token_cost_above_1hr: Option<f64>,
    #[serde(default)]
    cache_read_input_token_cost: Option<f64>,
    #[serde(default)]
    input_cost_per_token_above_200k_tokens: Option<f64>,
    #[serde(default)]
    output_cost_per_token_above_200k_tokens: Option<f64>,
    #[serde(default)]
    cache_creation_input_token_cost_above_200k_tokens: Option<f64>,
    #[serde(default)]
    cache_read_input_token_cost_above_200k_tokens: Option<f64>,
    #[serde(default)]
    max_input_tokens: Option<f64>,
    #[serde(default)]
    cost: Option<Cost>,
    #[serde(default)]
    limit: Option<Limit>,
}

#[derive(Deserialize)]
struct Cost {
    input: Option<f64>,
    output: Option<f64>,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    context_over_200k: Option<Box<Cost>>,
}

#[derive(Deserialize)]
struct Limit {
    context: Option<f64>,
    input: Option<f64>,
}

/// Reads an entry of a list; one that says neither price nor window is none.
fn priced(entry: &str) -> Option<Price> {
    let mut price = read(entry)?;
    price.long = price.long.filter(Rates::are_sane);
    price.rates.is_none_or(|rates| rates.are_sane()).then_some(price)
}

fn read(entry: &str) -> Option<Price> {
    let listed: Listed = serde_json::from_str(entry).ok()?;
    let count = |number: Option<f64>| number.filter(|number| *number >= 1.0).map(|number| number as u64);
    if let Some(cost) = &listed.cost {
        let rates = cost.rates();
        let limit = listed.limit.as_ref();
        let window = limit.and_then(|limit| count(limit.input).or(count(limit.context)));
        let long = cost.context_over_200k.as_ref().and_then(|cost| cost.rates());
        return rates.map(|rates| Price { window, rates: Some(rates), long });
    }
    let million = |rate: Option<f64>| rate.map(|rate| rate * 1e6);
    let rates = |input: Option<f64>, output, write, write_1h, read| {
        Some(Rates::new(million(input)?, million(output)?, million(write), million(write_1h), million(read)))
    };
    let usual = rates(
        listed.input_cost_per_token,
        listed.output_cost_per_token,
        listed.cache_creation_input_token_cost,
        listed.cache_creation_input_token_cost_above_1hr,
        listed.cache_read_input_token_cost,
    )?;
    let long = listed.input_cost_per_token_above_200k_tokens.and_then(|input| {
        let times = input * 1e6 / usual.input;
        rates(
            Some(input),
            listed.output_cost_per_token_above_200k_tokens.or(listed.output_cost_per_token),
            listed.cache_creation_input_token_cost_above_200k_tokens.or(Some(usual.write * times / 1e6)),
            Some(usual.write_1h * times / 1e6),
            listed.cache_read_input_token_cost_above_200k_tokens.or(Some(usual.read * times / 1e6)),
        )
    });
    Some(Price { window: count(listed.max_input_tokens), rates: Some(usual), long })
}

impl Cost {
    fn rates(&self) -> Option<Rates> {
        Some(Rates::new(self.input?, self.output?, self.cache_write, None, self.cache_read))
    }
}

/// Reads a row of the table.
fn row(line: &str) -> Option<(&str, Price)> {
    let mut fields = line.split(',');
    let name = fields.next()?;
    let mut number = || fields.next().and_then(|field| field.parse::<f64>().ok());
    let window = number().map(|window| window as u64);
    let (input, output) = (number()?, number()?);
    let (write, write_1h, read) = (number(), number(), number());
    let rates = Rates::new(input, output, write, write_1h, read);
    let long = number().map(|times| {
        let output_times = number().unwrap_or(1.0);
        Rates {
            input: rates.input * times,
            output: rates.output * output_times,
            write: rates.write * times,
            write_1h: rates.write_1h * times,
            read: rates.read * times,
        }
    });
    Some((name, Price { window, rates: Some(rates), long }))
}

/// Whether a model is asked for with its window of a million tokens.
fn is_million(model: &str) -> bool {
    model.to_ascii_lowercase().contains("[1m]")
}

/// Returns a model's name without what providers, regions and dates add to it.
pub fn plain_name(model: &str) -> Cow<'_, str> {
    let mut name = model.trim();
    if let Some(at) = name.find('[') {
        name = &name[..at];
    }
    name = name.rsplit('/').next().unwrap_or(name);
    // Bedrock: `us.anthropic.claude-…-v1:0`. Vertex: `claude-…@20250929`.
    if let Some((_, model)) = name.split_once("anthropic.") {
        name = model;
    }
    name = name.split_once('@').map_or(name, |(name, _)| name);
    if let Some((front, number)) = name.rsplit_once(':')
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        name = front;
    }
    while let Some((front, last)) = name.rsplit_once('-') {
        let digits = last.bytes().all(|byte| byte.is_ascii_digit());
        let version = last.strip_prefix('v').is_some_and(|number| number.len() == 1)
            && last.as_bytes()[1].is_ascii_digit();
        if matches!(last, "latest" | "preview" | "thinking") || version || (digits && last.len() >= 4) {
            name = front;
        } else if let Some(front) = without_date(name) {
            name = front;
        } else {
            break;
        }
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Returns the name in front of a date like `-2025-08-07` or `-05-20`.
fn without_date(name: &str) -> Option<&str> {
    let mut parts = name.rsplitn(4, '-');
    let (day, month) = (parts.next()?, parts.next()?);
    let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !two(day) || !two(month) {
        return None;
    }
    let year = parts.next().filter(|year| year.len() == 4 && year.starts_with("20"));
    name.get(..name.len().checked_sub(6 + year.map_or(0, |_| 5))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(input: i64, output: i64, cache_read: i64, cache_write: i64, cache_write_1h: i64) -> Tokens {
        Tokens { input, output, cache_read, cache_write, cache_write_1h }
    }

    #[test]
    fn every_row_of_the_table_is_read_and_found_under_its_own_name() {
        let rows: Vec<&str> = TABLE.lines().filter(|line| !line.starts_with('#')).skip(1).collect();
        assert_eq!(Prices::built_in().plain.len(), rows.len(), "no name stands there twice");
        for line in rows {
            let name = line.split(',').next().unwrap();
            let price = Prices::built_in().find(name).unwrap_or_else(|| panic!("{name} is not found"));
            assert!(
                price.rates.is_some_and(|rates| rates.output >= rates.input && rates.read <= rates.input),
                "{name}"
            );
            assert_eq!(line.split(',').count(), 10, "{line}");
        }
    }

    #[test]
    fn providers_regions_and_dates_are_no_part_of_a_name() {
        for (written, plain) in [
            ("claude-opus-4-1-20250805", "claude-opus-4-1"),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
            ("anthropic/claude-sonnet-4-6", "claude-sonnet-4-6"),
            ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("claude-sonnet-4-5[1m]", "claude-sonnet-4-5"),
            ("openrouter/openai/GPT-5", "gpt-5"),
            ("models/gemini-2.5-pro-preview-05-06", "gemini-2.5-pro"),
            ("gpt-5-2025-08-07", "gpt-5"),
            ("claude-3-5-sonnet-latest", "claude-3-5-sonnet"),
        ] {
            assert_eq!(plain_name(written), plain, "{written}");
            assert!(Prices::built_in().find(written).is_some(), "{written}");
        }
    }

    #[test]
    fn a_similar_name_is_another_model_and_has_no_price() {
        for name in [
            "gpt-5-pro",
            "claude-opus-4-6-fast",
            "glm-4.6:free",
            "claude-opus-9",
            "",
            "<synthetic>",
            "-",
            "05-06",
            "2025-05-06",
            "-v1-2025",
            "sonnet",
        ] {
            assert_eq!(Prices::built_in().find(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_kept_for_an_hour_costs_more() {
        let price = Prices::built_in().find("claude-opus-4-6").unwrap();
        // 1000 in at 5, 100 out at 25, 10,000 read at 0.5, 2000 written for minutes at 6.25 and 2000 for an hour at 10.
        let cost = price.cost(&tokens(1000, 100, 10_000, 4000, 2000), true).unwrap();
        assert!((cost - (0.005 + 0.0025 + 0.005 + 0.0125 + 0.02)).abs() < 1e-12, "{cost}");
    }

    #[test]
    fn a_long_request_is_dearer_as_a_whole_and_the_sum_of_short_ones_is_not() {
        let price = Prices::built_in().find("gemini-2.5-pro").unwrap();
        let all = tokens(150_000, 1_000_000, 50_001, 0, 0);
        assert_eq!(price.cost(&all, true).unwrap(), 0.15 * 2.5 + 15.0 + 0.050001 * 0.25);
        assert_eq!(price.cost(&all, false).unwrap(), 0.15 * 1.25 + 10.0 + 0.050001 * 0.125);
        let short = tokens(150_000, 0, 50_000, 0, 0);
        assert_eq!(price.cost(&short, true), price.cost(&short, false));
    }

    #[test]
    fn a_list_of_litellm_stands_in_front_of_the_table() {
        let list = r#"{"sample_spec":{"max_input_tokens":"set this"},
            "claude-opus-4-6":{"input_cost_per_token":1e-6,"output_cost_per_token":2e-6,"max_input_tokens":7,"cache_read_input_token_cost":null},
            "azure_ai/claude-opus-4-6":{"input_cost_per_token":9e-6,"output_cost_per_token":9e-6},
            "vendor/new-model":{"input_cost_per_token":3e-6,"output_cost_per_token":4e-6,"input_cost_per_token_above_200k_tokens":6e-6}}"#;
        let prices = Prices::with_list(list).unwrap();
        let opus = prices.find("claude-opus-4-6").unwrap();
        assert_eq!((opus.window, opus.rates.unwrap().input, opus.rates.unwrap().read), (Some(7), 1.0, 1.0));
        assert_eq!(prices.find("azure_ai/claude-opus-4-6").unwrap().rates.unwrap().input, 9.0);
        assert_eq!(prices.find("new-model").unwrap().long.unwrap().input, 6.0);
        assert!(prices.find("gpt-5").is_some(), "what the list does not have is in the table");
    }

    #[test]
    fn a_list_of_models_dev_is_read_and_the_vendor_is_believed() {
        let list = r#"{"reseller":{"id":"reseller","models":{"claude-opus-4-6":{"cost":{"input":50,"output":50},"limit":{"context":5}}}},
            "anthropic":{"models":{"claude-opus-4-6":{"cost":{"input":4,"output":20,"cache_read":0.4,"cache_write":5},"limit":{"context":1000000,"output":9}}}}}"#;
        let prices = Prices::with_list(list).unwrap();
        let opus = prices.find("claude-opus-4-6").unwrap();
        assert_eq!(
            (opus.window, opus.rates.unwrap().input, opus.rates.unwrap().write),
            (Some(1_000_000), 4.0, 5.0)
        );
        assert_eq!(prices.find("reseller/claude-opus-4-6").unwrap().rates.unwrap().input, 50.0);
    }

    #[test]
    fn what_nobody_can_ask_is_no_price() {
        let list = r#"{"openrouter":{"models":{"auto":{"cost":{"input":-1,"output":-1}},"one":{"cost":{"input":1,"output":2}}}}}"#;
        let list = List::read(list).unwrap();
        assert_eq!((list.len(), list.is_sane()), (1, true));
        assert_eq!(Prices::with(list).find("auto"), None);
    }

    #[test]
    fn a_list_that_is_kept_says_the_same() {
        let list = r#"{"a/one":{"input_cost_per_token":3.1e-6,"output_cost_per_token":4e-6,"input_cost_per_token_above_200k_tokens":6e-6},
            "gpt-5":{"input_cost_per_token":1e-6,"output_cost_per_token":2e-6,"max_input_tokens":7}}"#;
        let list = List::read(list).unwrap();
        let kept: List = serde_json::from_str(&serde_json::to_string(&list).unwrap()).unwrap();
        assert_eq!(kept, list);
        assert_eq!(
            Prices::with(kept.clone().only("x/ONE[1m]")).row("one"),
            Prices::with(kept.clone()).row("one")
        );
        assert_eq!(kept.clone().only("one").len(), 1);
        let prices = Prices::with(kept);
        let of = |name: &str| prices.row(name).map(|row| row.listed);
        assert_eq!(
            (of("gpt-5"), of("one"), of("gpt-4o"), of("nobody-1")),
            (Some(true), Some(true), Some(false), None)
        );
    }

    #[test]
    fn what_a_list_leaves_out_of_a_model_the_table_says() {
        let list = r#"{"anthropic":{"models":{"claude-opus-4-6":{"cost":{"input":4,"output":20,"cache_read":0.4,"cache_write":5}}}}}"#;
        for name in ["claude-opus-4-6", "anthropic/claude-opus-4-6"] {
            let price = Prices::with_list(list).unwrap().find(name).unwrap();
            let rates = price.rates.unwrap();
            assert_eq!((rates.write, rates.write_1h, price.window), (5.0, 8.0, Some(1_000_000)), "{name}");
        }
    }

    #[test]
    fn what_is_no_price_list_is_refused() {
        assert!(matches!(Prices::with_list("[]"), Err(PriceError::Json(_))));
        assert!(matches!(Prices::with_list(r#"{"a":{"b":1},"c":[]}"#), Err(PriceError::Empty)));
    }
}
