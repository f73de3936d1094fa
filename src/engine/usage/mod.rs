//! Tokens and money: what a record adds, what it costs, how full the model's window is.
//!
//! [`meter`] reads the records of one stream and tells what each adds; [`ledger`] puts the streams of a scan together, so
//! that what several of them repeat counts once, in whatever order they come; [`report`] sorts that into rows. [`note`] is what
//! can be kept of a stream, to be metered again without reading it. [`price`] and [`context`] are tables and arithmetic;
//! [`spending`] is what a stream tells of all this while it goes on. Nothing here reads a file or a clock.

pub mod context;
pub mod ledger;
pub mod meter;
pub mod note;
pub mod price;
pub mod report;
pub mod spending;

use crate::model::record::Usage;

/// More tokens than that in one figure are no figure: runs of months come to a thousandth of it.
const MOST_TOKENS: u64 = 1_000_000_000_000;

/// Counts of tokens; what is added to figures that were told too high is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tokens {
    /// Input that no cache had part in.
    pub input: i64,
    /// Output.
    pub output: i64,
    /// Input read from a cache.
    pub cache_read: i64,
    /// Input written to a cache.
    pub cache_write: i64,
    /// How many of these are kept for an hour.
    pub cache_write_1h: i64,
}

impl Tokens {
    /// Returns the figures of a record; what it does not say is nothing.
    pub fn of(usage: &Usage<'_>) -> Self {
        let count = |figure: Option<u64>| {
            figure
                .filter(|count| *count <= MOST_TOKENS)
                .and_then(|count| i64::try_from(count).ok())
                .unwrap_or(0)
        };
        let cache_write = count(usage.cache_creation_tokens);
        Self {
            input: count(usage.input_tokens),
            output: count(usage.output_tokens),
            cache_read: count(usage.cache_read_tokens),
            cache_write,
            cache_write_1h: count(usage.cache_creation_1h_tokens).min(cache_write),
        }
    }

    /// Returns all of them together.
    pub fn total(&self) -> i64 {
        [self.input, self.output, self.cache_read, self.cache_write].into_iter().fold(0, i64::saturating_add)
    }

    /// Returns what was sent to the model.
    pub fn sent(&self) -> i64 {
        self.total().saturating_sub(self.output)
    }

    /// Returns the figures that `with` makes of these and others.
    fn zip(self, other: Self, with: fn(i64, i64) -> i64) -> Self {
        Self {
            input: with(self.input, other.input),
            output: with(self.output, other.output),
            cache_read: with(self.cache_read, other.cache_read),
            cache_write: with(self.cache_write, other.cache_write),
            cache_write_1h: with(self.cache_write_1h, other.cache_write_1h),
        }
    }

    /// Returns the sums.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, i64::saturating_add)
    }

    /// Returns the differences.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.zip(other, i64::saturating_sub)
    }

    /// Returns how much each figure is above another, nothing where it is below.
    #[must_use]
    fn above(self, other: Self) -> Self {
        self.zip(other, |one, other| one.saturating_sub(other).max(0))
    }

    /// Returns the smaller of each two figures.
    #[must_use]
    fn at_most(self, other: Self) -> Self {
        self.zip(other, i64::min)
    }

    /// Whether one of the figures is below its counterpart.
    fn falls_below(&self, other: &Self) -> bool {
        self.input < other.input
            || self.output < other.output
            || self.cache_read < other.cache_read
            || self.cache_write < other.cache_write
    }

    /// Whether there are none.
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The order of "tells more".
    fn fullness(&self) -> (i64, Self) {
        (self.total(), *self)
    }
}

/// Tokens and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// The tokens.
    pub tokens: Tokens,
    /// US dollars, without what the tokens of models cost that have no price.
    pub cost: f64,
    /// How many of the tokens have no price. What is stated later takes them back.
    pub unpriced: i64,
    /// How many requests, where they are told one by one.
    pub requests: i64,
}

impl Amount {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.tokens = self.tokens.plus(other.tokens);
        self.cost += other.cost;
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
        self.requests = self.requests.saturating_add(other.requests);
    }

    /// Returns what has to be added to another to get this.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            tokens: self.tokens.minus(other.tokens),
            cost: self.cost - other.cost,
            unpriced: self.unpriced.saturating_sub(other.unpriced),
            requests: self.requests.saturating_sub(other.requests),
        }
    }
}

#[cfg(test)]
mod tests;
