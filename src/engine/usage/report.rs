//! What was used, sorted into rows: by day, week, month, session, model, or the five hours of a subscription's window.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Amount;
use super::ledger::{Row, Settled};
use super::price::plain_name;
use crate::model::Timestamp;

/// How long a window of a subscription is, in microseconds.
const BLOCK: i64 = 5 * 3600 * 1_000_000;

/// An hour in microseconds: a window begins with the hour of its first request.
const HOUR: i64 = 3600 * 1_000_000;

/// The name of a model that nobody names.
pub const UNKNOWN: &str = "unknown";

/// What makes a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// A day.
    #[default]
    Day,
    /// A week, from Monday on.
    Week,
    /// A month.
    Month,
    /// A session.
    Session,
    /// Five hours from the hour of the first request on.
    Block,
    /// A model.
    Model,
}

impl By {
    /// All of them, under the names that reports have.
    pub const ALL: [(&'static str, Self); 6] = [
        ("daily", Self::Day),
        ("weekly", Self::Week),
        ("monthly", Self::Month),
        ("session", Self::Session),
        ("blocks", Self::Block),
        ("models", Self::Model),
    ];

    /// Returns the one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, by)| *by)
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, by)| *by == self).map_or("daily", |(name, _)| name)
    }
}

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The first day.
    pub since: Option<Date>,
    /// The last day.
    pub until: Option<Date>,
    /// The agent's format.
    pub agent: Option<String>,
    /// What the project's path has in it.
    pub project: Option<String>,
}

/// A row of a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// What it is about: a date, a month, a session's id, a model, the beginning of a block.
    pub about: String,
    /// What was used.
    pub amount: Amount,
    /// By which agents.
    pub agents: BTreeSet<&'static str>,
    /// Which model used what of it.
    pub models: BTreeMap<String, Amount>,
    /// In how many sessions.
    pub sessions: usize,
    /// The session's project.
    pub project: Option<String>,
    /// The first and the last time.
    pub times: Option<(Timestamp, Timestamp)>,
}

/// A report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// In the order of time, of cost where it is about models.
    pub lines: Vec<Line>,
    /// All of it.
    pub total: Line,
}

/// Sorts what was used into rows.
pub fn report(settled: &Settled, by: By, zone: &TimeZone, filter: &Filter) -> Report {
    let name = |row: &Row| settled.sessions[row.session as usize].name.as_str();
    let day = |row: &Row| row.time.and_then(|time| date(time, zone));
    let mut rows: Vec<(&Row, Option<Date>)> = settled
        .rows
        .iter()
        .filter(|row| {
            let session = &settled.sessions[row.session as usize];
            filter.agent.as_deref().is_none_or(|agent| session.agent == agent)
                && filter.project.as_deref().is_none_or(|wanted| {
                    session.project.as_deref().is_some_and(|project| project.contains(wanted))
                })
        })
        .map(|row| (row, day(row)))
        .filter(|(_, day)| filter.since.is_none_or(|since| day.is_some_and(|day| day >= since)))
        .filter(|(_, day)| filter.until.is_none_or(|until| day.is_some_and(|day| day <= until)))
        .collect();
    // Sums of fractions depend on their order: it must not be that of the files.
    rows.sort_by(|(one, _), (other, _)| {
        let model = |row: &Row| row.model.map(|model| settled.models[model as usize].as_str());
        let order = (one.time, one.amount.tokens).cmp(&(other.time, other.amount.tokens));
        order
            .then_with(|| name(one).cmp(name(other)))
            .then_with(|| model(one).cmp(&model(other)))
            .then_with(|| one.amount.cost.total_cmp(&other.amount.cost))
    });
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut report = Report::default();
    let mut sessions: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
    let mut all = BTreeSet::new();
    let mut block: Option<(i64, i64)> = None;
    for (row, day) in rows {
        let session = &settled.sessions[row.session as usize];
        let model = row.model.map_or(UNKNOWN.into(), |model| plain_name(&settled.models[model as usize]));
        let about = match (by, day) {
            (By::Session, _) => session.name.clone(),
            (By::Model, _) => model.clone().into_owned(),
            (_, None) => UNKNOWN.to_owned(),
            (By::Day, Some(day)) => day.to_string(),
            (By::Week, Some(day)) => monday(day).to_string(),
            (By::Month, Some(day)) => day.strftime("%Y-%m").to_string(),
            (By::Block, Some(_)) => {
                let at = row.time.map_or(0, Timestamp::as_micros);
                let start = match block {
                    Some((start, last)) if at < start + BLOCK && at - last < BLOCK => start,
                    _ => at.div_euclid(HOUR) * HOUR,
                };
                block = Some((start, at));
                time(Timestamp::from_micros(start), zone)
            }
        };
        let next = report.lines.len();
        let place = *places.entry(about.clone()).or_insert(next);
        if place == next {
            let project = session.project.clone().filter(|_| by == By::Session);
            report.lines.push(Line { about, project, ..Line::default() });
        }
        for line in [&mut report.lines[place], &mut report.total] {
            line.amount.add(&row.amount);
            line.agents.insert(session.agent);
            if let Some(amount) = line.models.get_mut(&*model) {
                amount.add(&row.amount);
            } else {
                line.models.insert(model.clone().into_owned(), row.amount);
            }
            if let Some(time) = row.time {
                line.times =
                    Some(line.times.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
            }
        }
        sessions.entry(place).or_default().insert(row.session);
        all.insert(row.session);
    }
    for (place, sessions) in sessions {
        report.lines[place].sessions = sessions.len();
    }
    report.total.sessions = all.len();
    match by {
        By::Model => report.lines.sort_by(|one, other| {
            other.amount.cost.total_cmp(&one.amount.cost).then_with(|| one.about.cmp(&other.about))
        }),
        By::Session => report.lines.sort_by_key(|line| line.times.map(|(_, last)| last)),
        // What nobody dates stands at the end.
        _ => report.lines.sort_by(|one, other| {
            one.times.is_none().cmp(&other.times.is_none()).then(one.about.cmp(&other.about))
        }),
    }
    report
}

/// Returns the day of a time.
pub fn date(time: Timestamp, zone: &TimeZone) -> Option<Date> {
    let time = jiff::Timestamp::from_microsecond(time.as_micros()).ok()?;
    Some(zone.to_datetime(time).date())
}

/// Returns a time as people write it, to the minute.
pub fn time(time: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(time.as_micros()) {
        Ok(time) => zone.to_datetime(time).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => UNKNOWN.to_owned(),
    }
}

fn monday(day: Date) -> Date {
    let back = i64::from(day.weekday().to_monday_zero_offset());
    day.checked_sub(back.days()).unwrap_or(day)
}
