//! What one stream spends while it goes on: how full its window is, what it cost so far, and what of both is worth telling.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::context::{Fill, Window, pressure_of};
use super::meter::{Key, Meter, Mode};
use super::price::Prices;
use super::report::date;
use super::{Amount, Tokens};
use crate::engine::redact::excerpt;
use crate::model::event::{self, BUDGET, Summary};
use crate::model::record::{Lifecycle, Quota};
use crate::model::{Basis, Body, Class, Level, Pressure, Record, Timestamp};

/// How far below a level, as a share of the window, the window must be before it counts as left.
const LEFT_BY: f64 = 0.05;

/// From how many points of percent on a change of a subscription's window is told.
const QUOTA_STEP: f64 = 5.0;

/// How many windows of a subscription are kept apart.
const QUOTAS: usize = 8;

/// How many figures a forecast looks back on, and over how many seconds at the least.
const FORECAST_FIGURES: usize = 16;
const FORECAST_SEC: i64 = 60;

/// What lies further ahead than this, in seconds, is not foretold: 30 days.
const FORESEEN_SEC: f64 = 30.0 * 86_400.0;

/// Over how many minutes the rate of spending is taken.
const RATE_MINUTES: i64 = 5;

/// How many characters of a model's name are quoted.
const MODEL_NAME: usize = 80;

/// The detectors of this file: what they warn of is no trouble of the agent's.
pub const DETECTORS: [&str; 3] = [BUDGET, CONTEXT, BURN_RATE];

const CONTEXT: &str = "context";
const BURN_RATE: &str = "burn_rate";

/// What a budget covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One run: a stream, or what `wrap` makes of a command, with all that is started again in it.
    Run,
    /// Everything of one day.
    Day,
    /// Everything in one project.
    Project,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Run, Self::Day, Self::Project];

    fn words(self) -> &'static str {
        match self {
            Self::Run => "this run",
            Self::Day => "today",
            Self::Project => "this project",
        }
    }
}

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// US dollars.
    Usd,
    /// Tokens of every kind.
    Tokens,
}

/// A limit on what may be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cap {
    /// What it covers.
    pub scope: Scope,
    /// What it counts.
    pub unit: Unit,
    /// How much there is, above 0.
    pub limit: f64,
}

/// What is asked of the meter of a stream.
#[derive(Clone, Debug)]
pub struct Options {
    /// The prices; `None`: those that are built in.
    pub prices: Option<Arc<Prices>>,
    /// How often figures are told though no level has changed, in seconds; 0: never.
    pub interval_sec: u64,
    /// The budgets.
    pub caps: Vec<Cap>,
    /// From which share of a budget on to warn.
    pub warn_share: f64,
    /// From how many US dollars a minute on to warn.
    pub usd_per_min: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { prices: None, interval_sec: 300, caps: Vec::new(), warn_share: 0.8, usd_per_min: None }
    }
}

/// What one stream used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// In all.
    pub total: Amount,
    /// On the latest day.
    pub day: Option<(Date, Amount)>,
}

/// What was used elsewhere and counts for the same budget.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Elsewhere {
    /// In earlier attempts of the run.
    pub run: Amount,
    /// Today, by others.
    pub day: Option<(Date, Amount)>,
    /// In the project, by others.
    pub project: Amount,
}

/// Something that an alert is to be raised for.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What noticed it.
    pub detector: &'static str,
    /// What kind of trouble.
    pub class: Class,
    /// How much it is meant.
    pub level: Level,
    /// The time that it is about, in seconds; 0 where there is none.
    pub window_sec: u64,
    /// Why, as a sentence.
    pub reason: String,
    /// How it is known.
    pub basis: Basis,
    /// What it is about, the same in every stream that may notice it.
    pub about: Option<String>,
}

impl Notice {
    fn new(detector: &'static str, class: Class, level: Level, reason: String) -> Self {
        Self { detector, class, level, window_sec: 0, reason, basis: Basis::Asserted, about: None }
    }
}

/// What a record is worth telling for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// What was used by it.
    pub added: Amount,
    /// Whether the figures are to be told.
    pub figures: bool,
    /// The alerts to be raised.
    pub notices: Vec<Notice>,
}

impl News {
    /// Whether there is anything to be told.
    pub fn is_any(&self) -> bool {
        self.figures || !self.notices.is_empty()
    }
}

/// How far one cap was told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    #[default]
    Nothing,
    Near,
    Over,
}

/// What one stream spends.
pub struct Spending {
    options: Arc<Options>,
    prices: Arc<Prices>,
    meter: Meter,
    window: Window,
    total: Amount,
    /// Whether any figures came.
    metered: bool,
    elsewhere: Elsewhere,
    /// What is older is counted elsewhere.
    counts_from: Option<Timestamp>,
    /// What was used here on the latest day.
    day: Option<(Date, Amount)>,
    /// How far each cap was told of, in the order of the options.
    told: Vec<Told>,
    told_unpriced: bool,
    told_rate: bool,
    told_full: bool,
    pressure: Option<Pressure>,
    /// When figures were last told, and which.
    told_at: Option<(Timestamp, Amount)>,
    quotas: Vec<Quota>,
    told_quotas: Vec<Quota>,
    /// Tokens in the window, as long as they only grow.
    fills: VecDeque<(Timestamp, f64)>,
    /// Dollars and tokens used so far.
    sums: VecDeque<(Timestamp, [f64; 2])>,
    /// Dollars by minute.
    minutes: VecDeque<(i64, f64)>,
}

impl Spending {
    /// Returns the meter of a stream. `seed` stands for its session until that says its name.
    pub fn new(options: Arc<Options>, seed: &str) -> Self {
        let prices = options.prices.clone().unwrap_or_else(Prices::shared);
        Self {
            meter: Meter::new(Arc::clone(&prices), Mode::Auto, seed),
            prices,
            window: Window::default(),
            total: Amount::default(),
            metered: false,
            elsewhere: Elsewhere::default(),
            counts_from: None,
            day: None,
            told: vec![Told::Nothing; options.caps.len()],
            told_unpriced: false,
            told_rate: false,
            told_full: false,
            pressure: None,
            told_at: None,
            quotas: Vec::new(),
            told_quotas: Vec::new(),
            fills: VecDeque::new(),
            sums: VecDeque::new(),
            minutes: VecDeque::new(),
            options,
        }
    }

    /// Takes note of what was used elsewhere.
    pub fn spent_elsewhere(&mut self, elsewhere: Elsewhere) {
        self.elsewhere = elsewhere;
    }

    /// Says that what records before this time tell of is counted elsewhere.
    pub fn counts_from(&mut self, time: Option<Timestamp>) {
        self.counts_from = time;
    }

    /// Returns what the stream used so far.
    pub fn spent(&self) -> Spent {
        Spent { total: self.total, day: self.day }
    }

    /// Takes a record. `time`: when it happened, or arrived.
    pub fn take(&mut self, record: &Record<'_>, time: Timestamp, zone: &TimeZone) -> News {
        self.window.take(record);
        match &record.body {
            Body::Usage(_) => {}
            Body::Lifecycle(lifecycle) => {
                self.meter.take(record, &mut |_| {});
                return match lifecycle {
                    Lifecycle::Compacted => self.news(time),
                    _ => News::default(),
                };
            }
            Body::Quota(quota) => {
                self.quota(*quota);
                return self.news(time);
            }
            _ => return News::default(),
        }
        let (mut added, mut by_request, mut unpriced) = (Amount::default(), 0.0, None);
        self.meter.take(record, &mut |charge| {
            added.add(&charge.added);
            if charge.key != Key::None || charge.added.requests > 0 {
                by_request += charge.added.cost;
            }
            if charge.added.unpriced > 0 {
                unpriced = Some(charge.model.unwrap_or("unknown").to_owned());
            }
        });
        if record.time.is_some_and(|time| self.counts_from.is_some_and(|from| time < from)) {
            return News::default();
        }
        self.metered = true;
        self.total.add(&added);
        if added != Amount::default() {
            self.count(added, by_request, time, zone);
        }
        let mut news = self.news(time);
        news.added = added;
        if let Some(model) = unpriced {
            news.notices.extend(self.unpriced(&model));
        }
        news
    }

    /// Adds what a record tells to the sums that are looked at.
    fn count(&mut self, added: Amount, by_request: f64, time: Timestamp, zone: &TimeZone) {
        let date = date(time, zone);
        match &mut self.day {
            Some((day, amount)) if date.is_none_or(|date| date <= *day) => amount.add(&added),
            day => {
                // A new day has its own budget.
                *day = date.map(|date| (date, added));
                for (cap, told) in self.options.caps.iter().zip(&mut self.told) {
                    if cap.scope == Scope::Day {
                        *told = Told::Nothing;
                    }
                }
            }
        }
        let sums = [self.total.cost, self.total.tokens.total() as f64];
        remember(&mut self.sums, time, sums);
        let minute = time.as_micros().div_euclid(60_000_000);
        match self.minutes.back_mut() {
            Some((last, cost)) if *last >= minute => *cost += by_request,
            _ => self.minutes.push_back((minute, by_request)),
        }
        let latest = self.minutes.back().map_or(minute, |(minute, _)| *minute);
        while self.minutes.front().is_some_and(|(minute, _)| latest - minute >= RATE_MINUTES) {
            self.minutes.pop_front();
        }
    }

    fn quota(&mut self, quota: Quota) {
        if let Some(known) = self.quotas.iter_mut().find(|known| known.minutes == quota.minutes) {
            // What one report leaves out, an earlier one has said of the same window.
            let same = known.resets_at == quota.resets_at;
            let used_pct = quota.used_pct.or(known.used_pct.filter(|_| same));
            *known = Quota { used_pct, ..quota };
        } else if self.quotas.len() < QUOTAS {
            self.quotas.push(quota);
        }
    }

    /// Returns what is worth telling now.
    fn news(&mut self, time: Timestamp) -> News {
        let fill = self.fill();
        let mut news = News { figures: self.level_changed(&fill), ..News::default() };
        if !fill.estimated {
            if self.fills.back().is_some_and(|(_, tokens)| fill.tokens as f64 + 0.5 < *tokens) {
                self.fills.clear();
            }
            remember(&mut self.fills, time, fill.tokens as f64);
        }
        news.notices.extend(self.full(&fill));
        news.notices.extend(self.over_budget());
        news.notices.extend(self.too_fast());
        let changed = self.quotas.len() != self.told_quotas.len()
            || self.quotas.iter().zip(&self.told_quotas).any(|(now, told)| {
                let step = now.used_pct.unwrap_or(0.0) - told.used_pct.unwrap_or(0.0);
                now.resets_at != told.resets_at && told.resets_at.is_some() || step.abs() >= QUOTA_STEP
            });
        let due = match self.told_at {
            None => self.metered && !self.total.tokens.is_none(),
            Some((at, amount)) => {
                self.options.interval_sec > 0
                    && amount != self.total
                    && time.seconds_since(at) >= i64::try_from(self.options.interval_sec).unwrap_or(i64::MAX)
            }
        };
        news.figures |= changed || due || !news.notices.is_empty();
        if news.figures {
            self.told_at = Some((time, self.total));
            self.told_quotas.clone_from(&self.quotas);
        }
        news
    }

    fn fill(&self) -> Fill {
        self.window.fill(None, &self.prices)
    }

    fn level_changed(&mut self, fill: &Fill) -> bool {
        let Some(share) = fill.share() else { return false };
        let level = pressure_of(share);
        let changed = match self.pressure {
            // An estimate of a window that nobody has spoken of yet says nothing.
            None => !fill.estimated,
            Some(told) if level < told => pressure_of(share + LEFT_BY) < told,
            Some(told) => level > told,
        };
        if changed {
            self.pressure = Some(level);
        }
        changed
    }

    /// A window that is nearly full, told of once until it is not. Where a model has two sizes of window and it is not known
    /// which it is, nothing is said.
    fn full(&mut self, fill: &Fill) -> Option<Notice> {
        let share = fill.share().filter(|_| !fill.estimated)?;
        let level = self.pressure?;
        if level < Pressure::Critical {
            self.told_full = false;
        }
        if level < Pressure::Emergency || self.told_full || self.window.may_be_larger(&self.prices) {
            return None;
        }
        self.told_full = true;
        let limit = fill.limit.unwrap_or_default();
        let reason = format!(
            "the context window is {:.0} % full ({} of {} tokens).",
            share * 100.0,
            thousands(fill.tokens as f64),
            thousands(limit as f64)
        );
        Some(Notice::new(CONTEXT, Class::UsageWarning, Level::Warn, reason))
    }

    /// Returns what counts for a cap.
    fn used(&self, cap: &Cap) -> f64 {
        let mut amount = match cap.scope {
            Scope::Run | Scope::Project => self.total,
            Scope::Day => self.day.map_or_else(Amount::default, |(_, amount)| amount),
        };
        match cap.scope {
            Scope::Run => amount.add(&self.elsewhere.run),
            Scope::Project => {
                amount.add(&self.elsewhere.run);
                amount.add(&self.elsewhere.project);
            }
            Scope::Day => {
                if let (Some((day, others)), Some((today, _))) = (self.elsewhere.day, self.day)
                    && day == today
                {
                    amount.add(&others);
                }
            }
        }
        match cap.unit {
            Unit::Usd => amount.cost,
            Unit::Tokens => amount.tokens.total() as f64,
        }
    }

    fn over_budget(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        for index in 0..self.options.caps.len() {
            let cap = self.options.caps[index];
            let used = self.used(&cap);
            let reached = match () {
                () if used >= cap.limit => Told::Over,
                () if used >= cap.limit * self.options.warn_share => Told::Near,
                () => Told::Nothing,
            };
            if reached <= self.told[index] {
                continue;
            }
            self.told[index] = reached;
            let (spent, limit) = (cap.unit.words(used), cap.unit.words(cap.limit));
            let scope = cap.scope.words();
            let (class, level, reason) = match reached {
                Told::Over => {
                    let reason = format!("{scope} has used {spent}, and its budget is {limit}.");
                    (Class::BudgetOver, Level::Act, reason)
                }
                _ => {
                    let percent = used / cap.limit * 100.0;
                    let reason = format!(
                        "{scope} has used {percent:.0} % of its budget ({spent} of {limit}){}.",
                        self.over_words(index)
                    );
                    (Class::UsageWarning, Level::Warn, reason)
                }
            };
            let about = match cap.scope {
                Scope::Run => None,
                Scope::Day => self.day.map(|(day, _)| format!("budget of {day}")),
                Scope::Project => Some("budget of the project".to_owned()),
            };
            notices.push(Notice { about, ..Notice::new(BUDGET, class, level, reason) });
        }
        notices
    }

    /// Returns when a cap is reached, as the end of a sentence.
    fn over_words(&self, index: usize) -> String {
        let at = self.options.caps.get(index).and_then(|cap| self.cap_at(cap));
        let latest = self.sums.back().map(|(time, _)| *time);
        match at.zip(latest) {
            Some((at, now)) => {
                let minutes = (at.seconds_since(now).max(0) + 59) / 60;
                format!("; at this rate it is used up in {minutes} min")
            }
            None => String::new(),
        }
    }

    fn too_fast(&mut self) -> Option<Notice> {
        let limit = self.options.usd_per_min?;
        let spent: f64 = self.minutes.iter().map(|(_, cost)| cost).sum();
        let rate = spent / RATE_MINUTES as f64;
        if rate < limit / 2.0 {
            self.told_rate = false;
        }
        if rate < limit || self.told_rate {
            return None;
        }
        self.told_rate = true;
        let reason = format!(
            "${rate:.2} a minute was spent over the last {RATE_MINUTES} minutes, and the limit is ${limit:.2}."
        );
        let window_sec = u64::try_from(RATE_MINUTES * 60).unwrap_or_default();
        let notice = Notice::new(BURN_RATE, Class::UsageWarning, Level::Warn, reason);
        Some(Notice { window_sec, ..notice })
    }

    /// A budget in dollars that does not see what is used.
    fn unpriced(&mut self, model: &str) -> Option<Notice> {
        let in_money = self.options.caps.iter().any(|cap| cap.unit == Unit::Usd);
        if self.told_unpriced || !(in_money || self.options.usd_per_min.is_some()) {
            return None;
        }
        self.told_unpriced = true;
        let model = excerpt(model, MODEL_NAME);
        let reason = format!(
            "no price is known for the model `{model}`: a budget in dollars does not see what it uses."
        );
        Some(Notice::new(BUDGET, Class::UsageWarning, Level::Warn, reason))
    }

    /// Returns when the first of the budgets is used up that is not yet.
    fn budget_at(&self) -> Option<Timestamp> {
        let caps = self.options.caps.iter().filter(|cap| self.used(cap) < cap.limit);
        caps.filter_map(|cap| self.cap_at(cap)).min()
    }

    fn cap_at(&self, cap: &Cap) -> Option<Timestamp> {
        let left = (cap.limit - self.used(cap)).max(0.0);
        let figures =
            self.sums.iter().map(|(time, sums)| (*time, sums[usize::from(cap.unit == Unit::Tokens)]));
        ahead(figures, left)
    }

    /// Returns the figures, as an event tells them.
    pub fn figures(&self) -> event::Usage {
        let fill = self.fill();
        let share = fill.share();
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        let Tokens { input, output, cache_read, cache_write, .. } = self.total.tokens;
        let budget = |unit| self.options.caps.iter().find(|cap| cap.unit == unit && cap.scope == Scope::Run);
        let limit_at = fill.limit.filter(|_| !fill.estimated).and_then(|limit| {
            ahead(self.fills.iter().copied(), (limit as f64 - fill.tokens as f64).max(0.0))
        });
        let spoken = fill.tokens > 0 && (!fill.estimated || share.is_some());
        event::Usage {
            input_tokens: count(input),
            output_tokens: count(output),
            cache_read_tokens: count(cache_read),
            cache_creation_tokens: count(cache_write),
            context_tokens: spoken.then_some(fill.tokens),
            context_limit: fill.limit.filter(|_| spoken),
            usage_pct: share.filter(|_| spoken).map(|share| tenths(share * 100.0)),
            pressure: share.filter(|_| spoken).map(pressure_of),
            context_basis: spoken.then_some(if fill.estimated { Basis::Inferred } else { Basis::Asserted }),
            limit_at,
            cost_usd: self.cost(),
            unpriced_tokens: self.unpriced_tokens(),
            budget_usd: budget(Unit::Usd).map(|cap| cap.limit),
            budget_tokens: budget(Unit::Tokens).map(|cap| cap.limit as u64),
            budget_at: self.budget_at(),
            windows: self
                .quotas
                .iter()
                .map(|quota| event::SubscriptionWindow {
                    minutes: quota.minutes,
                    used_pct: quota.used_pct,
                    resets_at: quota.resets_at,
                })
                .collect(),
        }
    }

    fn cost(&self) -> Option<f64> {
        // What is not known is not nothing; what is stated as nothing is.
        let known = self.total.unpriced < self.total.tokens.total().max(1) || self.total.cost > 0.0;
        (self.metered && known).then(|| (self.total.cost * 1e6).round() / 1e6)
    }

    fn unpriced_tokens(&self) -> Option<u64> {
        u64::try_from(self.total.unpriced).ok().filter(|tokens| *tokens > 0)
    }

    /// Puts the figures into a summary.
    pub fn sum_up(&self, summary: &mut Summary) {
        if !self.metered {
            return;
        }
        let count = |count: i64| u64::try_from(count).ok();
        let Tokens { input, output, cache_read, cache_write, .. } = self.total.tokens;
        summary.input_tokens = count(input);
        summary.output_tokens = count(output);
        summary.cache_read_tokens = count(cache_read);
        summary.cache_creation_tokens = count(cache_write);
        summary.cost_usd = self.cost();
        summary.unpriced_tokens = self.unpriced_tokens();
    }
}

impl Unit {
    fn words(self, amount: f64) -> String {
        match self {
            Self::Usd => format!("${amount:.2}"),
            Self::Tokens => format!("{} tokens", thousands(amount)),
        }
    }
}

/// Remembers a figure among the latest.
fn remember<T>(figures: &mut VecDeque<(Timestamp, T)>, time: Timestamp, figure: T) {
    if figures.back().is_some_and(|(last, _)| *last > time) {
        return;
    }
    if figures.len() == FORECAST_FIGURES {
        figures.pop_front();
    }
    figures.push_back((time, figure));
}

/// Returns when `left` more will have come, if it goes on as it did.
fn ahead(figures: impl DoubleEndedIterator<Item = (Timestamp, f64)> + Clone, left: f64) -> Option<Timestamp> {
    let (first, from) = figures.clone().next()?;
    let (last, to) = figures.clone().next_back()?;
    let seconds = last.seconds_since(first);
    if figures.count() < 3 || seconds < FORECAST_SEC || to <= from {
        return None;
    }
    let needed = left * seconds as f64 / (to - from);
    (needed <= FORESEEN_SEC).then(|| last.plus_seconds(needed.ceil() as i64))
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// Writes a count with commas.
fn thousands(count: f64) -> String {
    let digits = format!("{count:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && text.ends_with(|c: char| c.is_ascii_digit()) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Usage;

    /// A model of a known price and a single window of a million tokens.
    const OPUS: &str = "claude-opus-4-6";

    /// 2026-11-20, 05:00 UTC.
    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_150_800 + second)
    }

    fn meter(options: Options) -> Spending {
        Spending::new(Arc::new(options), "s")
    }

    /// What is told after a request of so many tokens of input.
    fn asks(spending: &mut Spending, second: i64, model: &str, input: u64) -> News {
        let usage = Usage { model: Some(model), input_tokens: Some(input), ..Usage::default() };
        spending.take(&Record::new(Body::Usage(usage)), at(second), &TimeZone::UTC)
    }

    fn compacts(spending: &mut Spending, second: i64) -> News {
        let record = Record::new(Body::Lifecycle(Lifecycle::Compacted));
        spending.take(&record, at(second), &TimeZone::UTC)
    }

    fn words(news: &News) -> Vec<(&'static str, Level, &str)> {
        let of = |notice: &'_ Notice| (notice.detector, notice.level);
        news.notices.iter().map(|notice| (of(notice).0, of(notice).1, notice.reason.as_str())).collect()
    }

    fn budget(scope: Scope, unit: Unit, limit: f64) -> Options {
        Options { caps: vec![Cap { scope, unit, limit }], ..Options::default() }
    }

    #[test]
    fn figures_are_told_at_first_at_a_new_level_and_now_and_then() {
        let mut spending = meter(Options::default());
        assert!(asks(&mut spending, 0, OPUS, 10_000).figures, "the first");
        assert!(!asks(&mut spending, 10, OPUS, 20_000).figures, "nothing new");
        assert!(asks(&mut spending, 20, OPUS, 610_000).figures, "elevated");
        assert_eq!(spending.figures().pressure, Some(Pressure::Elevated));
        assert!(!asks(&mut spending, 30, OPUS, 590_000).figures, "a little less is the same level");
        assert!(asks(&mut spending, 40, OPUS, 540_000).figures, "normal again");
        assert!(!asks(&mut spending, 339, OPUS, 550_000).figures);
        assert!(asks(&mut spending, 340, OPUS, 550_000).figures, "five minutes have passed");
        let mut seldom = meter(Options { interval_sec: 0, ..Options::default() });
        asks(&mut seldom, 0, OPUS, 10_000);
        assert!(!asks(&mut seldom, 9_999, OPUS, 20_000).figures);
    }

    #[test]
    fn a_full_window_is_told_of_once_until_it_is_not() {
        let mut spending = meter(Options::default());
        assert_eq!(words(&asks(&mut spending, 0, OPUS, 880_000)), []);
        let told = asks(&mut spending, 1, OPUS, 912_345);
        let reason = "the context window is 91 % full (912,345 of 1,000,000 tokens).";
        assert_eq!(words(&told), [("context", Level::Warn, reason)]);
        assert_eq!(words(&asks(&mut spending, 2, OPUS, 950_000)), []);
        compacts(&mut spending, 3);
        asks(&mut spending, 4, OPUS, 100_000);
        assert_eq!(words(&asks(&mut spending, 5, OPUS, 920_000)).len(), 1, "again");
    }

    #[test]
    fn of_a_model_with_two_windows_nobody_knows_which_is_full() {
        let mut spending = meter(Options::default());
        let news = asks(&mut spending, 0, "claude-sonnet-4-5", 190_000);
        assert!(news.notices.is_empty() && news.figures);
        assert_eq!(spending.figures().pressure, Some(Pressure::Emergency), "told, and no alert");
    }

    #[test]
    fn a_budget_is_warned_of_once_and_over_once() {
        let mut spending = meter(budget(Scope::Run, Unit::Usd, 1.0));
        assert_eq!(words(&asks(&mut spending, 0, OPUS, 100_000)), [], "half a dollar");
        let warned = asks(&mut spending, 1, OPUS, 60_000);
        let reason = "this run has used 80 % of its budget ($0.80 of $1.00).";
        assert_eq!(words(&warned), [("budget", Level::Warn, reason)]);
        assert_eq!(words(&asks(&mut spending, 2, OPUS, 10_000)), []);
        let over = asks(&mut spending, 3, OPUS, 40_000);
        let reason = "this run has used $1.05, and its budget is $1.00.";
        assert_eq!(words(&over), [("budget", Level::Act, reason)]);
        assert_eq!(over.notices[0].class, Class::BudgetOver);
        assert_eq!(words(&asks(&mut spending, 4, OPUS, 400_000)), []);
    }

    #[test]
    fn a_request_that_takes_the_whole_budget_is_no_warning_but_the_end() {
        let mut spending = meter(budget(Scope::Run, Unit::Tokens, 1000.0));
        let over = asks(&mut spending, 0, "nobody-1", 5000);
        let reason = "this run has used 5,000 tokens, and its budget is 1,000 tokens.";
        assert_eq!(words(&over), [("budget", Level::Act, reason)]);
    }

    #[test]
    fn a_day_has_its_own_budget_and_others_share_it() {
        let mut spending = meter(budget(Scope::Day, Unit::Tokens, 1000.0));
        assert_eq!(words(&asks(&mut spending, 0, OPUS, 500)), []);
        let others = Amount { tokens: Tokens { input: 450, ..Tokens::default() }, ..Amount::default() };
        let day = date(at(0), &TimeZone::UTC).map(|day| (day, others));
        spending.spent_elsewhere(Elsewhere { day, ..Elsewhere::default() });
        assert_eq!(words(&asks(&mut spending, 1, OPUS, 10)).len(), 1, "96 %");
        assert_eq!(words(&asks(&mut spending, 2, OPUS, 100))[0].1, Level::Act);
        let tomorrow = 24 * 3600;
        assert_eq!(words(&asks(&mut spending, tomorrow, OPUS, 700)), [], "yesterday is over");
        assert_eq!(words(&asks(&mut spending, tomorrow + 1, OPUS, 700))[0].1, Level::Act);
    }

    #[test]
    fn what_an_earlier_attempt_used_counts_for_the_run() {
        let mut spending = meter(budget(Scope::Run, Unit::Usd, 5.0));
        let run = Amount { cost: 4.9, ..Amount::default() };
        spending.spent_elsewhere(Elsewhere { run, ..Elsewhere::default() });
        assert_eq!(words(&asks(&mut spending, 0, OPUS, 100_000))[0].1, Level::Act);
    }

    #[test]
    fn money_that_goes_too_fast_is_told_of_until_it_slows_down() {
        let mut spending = meter(Options { usd_per_min: Some(0.5), ..Options::default() });
        assert_eq!(words(&asks(&mut spending, 0, OPUS, 400_000)), [], "$2 in five minutes");
        let fast = asks(&mut spending, 60, OPUS, 120_000);
        let reason = "$0.52 a minute was spent over the last 5 minutes, and the limit is $0.50.";
        assert_eq!(words(&fast), [("burn_rate", Level::Warn, reason)]);
        assert_eq!(words(&asks(&mut spending, 70, OPUS, 120_000)), []);
        assert_eq!(words(&asks(&mut spending, 600, OPUS, 10_000)), [], "it has slowed down");
        assert_eq!(words(&asks(&mut spending, 610, OPUS, 600_000)).len(), 1);
    }

    #[test]
    fn what_a_run_states_at_its_end_was_not_spent_in_that_minute() {
        use crate::model::record::UsageScope;
        let mut spending = meter(Options { usd_per_min: Some(0.5), ..Options::default() });
        let run = Usage { scope: UsageScope::Run, cost_usd: Some(30.0), ..Usage::default() };
        let news = spending.take(&Record::new(Body::Usage(run)), at(0), &TimeZone::UTC);
        assert_eq!(words(&news), []);
        assert_eq!(spending.figures().cost_usd, Some(30.0));
    }

    #[test]
    fn a_models_name_is_quoted_as_one_short_line_that_no_terminal_obeys() {
        let mut spending = meter(budget(Scope::Run, Unit::Usd, 5.0));
        let name = format!("no\u{1b}[2Jbody\u{202e}-1\n{}", "y".repeat(500));
        let news = asks(&mut spending, 0, &name, 100);
        let reason = &news.notices[0].reason;
        assert!(reason.contains("`nobody-1 yyy") && reason.len() < 200, "{reason}");
        assert!(!reason.contains(|c: char| c.is_control() || c == '\u{202e}'), "{reason}");
    }

    #[test]
    fn a_budget_that_does_not_see_a_model_says_so_once() {
        let mut spending = meter(budget(Scope::Run, Unit::Usd, 5.0));
        let news = asks(&mut spending, 0, "nobody-1", 100);
        let reason =
            "no price is known for the model `nobody-1`: a budget in dollars does not see what it uses.";
        assert_eq!(words(&news), [("budget", Level::Warn, reason)]);
        assert_eq!(words(&asks(&mut spending, 1, "nobody-1", 100)), []);
        assert_eq!(spending.figures().cost_usd, None, "unknown is not nothing");
        assert_eq!(spending.figures().unpriced_tokens, Some(200));
    }

    #[test]
    fn it_is_foretold_when_the_window_and_the_budget_are_used_up() {
        let mut spending = meter(budget(Scope::Run, Unit::Tokens, 3_000_000.0));
        for minute in 0..4 {
            let tokens = 100_000 * (u64::try_from(minute).unwrap() + 1);
            asks(&mut spending, minute * 60, OPUS, tokens);
        }
        let figures = spending.figures();
        assert_eq!(figures.limit_at, Some(at(180 + 6 * 60)), "100,000 a minute, 600,000 are left");
        assert_eq!(figures.budget_at, Some(at(180 + 400)), "300,000 a minute, two millions are left");
        asks(&mut spending, 240, OPUS, 50_000);
        assert_eq!(spending.figures().limit_at, None, "it was compacted");
    }

    #[test]
    fn windows_of_a_subscription_are_told_when_they_change() {
        let mut spending = meter(Options::default());
        let mut quota = |used: Option<f64>, resets: i64| {
            let quota = Quota { minutes: 300, used_pct: used, resets_at: Some(at(resets)) };
            let news = spending.take(&Record::new(Body::Quota(quota)), at(0), &TimeZone::UTC);
            (news.figures, spending.figures().windows[0].used_pct)
        };
        assert_eq!(quota(Some(41.0), 9000), (true, Some(41.0)));
        assert_eq!(quota(Some(45.0), 9000), (false, Some(45.0)));
        assert_eq!(quota(None, 9000), (false, Some(45.0)), "said before of the same window");
        assert_eq!(quota(Some(46.5), 9000), (true, Some(46.5)));
        assert_eq!(quota(None, 27_000), (true, None), "a new window");
    }
}
