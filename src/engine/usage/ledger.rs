//! The streams of a scan together: what several of them repeat counts once, and in whatever order they come.
//!
//! Each stream is read into a [`Sheet`]; sheets are put into the [`Ledger`]. Of a request that several tell of, the fullest
//! figures count, at the earliest time, for the session that had it first. A session that began as a copy of another is not
//! charged for what it repeats, if the other is there; if it is not, one of its copies is.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::Amount;
use super::meter::{Key, Meter, Mode};
use super::note::QUOTAS;
use super::price::Prices;
use crate::model::record::{Lifecycle, Quota};
use crate::model::{Body, Record, Timestamp};

/// How many ancestors of a copy are looked for.
const ANCESTORS: usize = 64;

/// A hasher for keys that are hashes.
#[derive(Default)]
pub struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 ^= u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u128(&mut self, number: u128) {
        self.0 ^= number as u64;
    }
}

type ByHash<K, V> = HashMap<K, V, BuildHasherDefault<Taken>>;

/// One request, or what a total adds to requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// When; `None` if nothing says it.
    pub time: Option<Timestamp>,
    /// What it used.
    pub amount: Amount,
    /// Its session: a place in [`Ledger::sessions`].
    pub session: u32,
    /// Its model: a place in [`Ledger::models`]; `None` where that is not known.
    pub model: Option<u32>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub name: String,
    /// The format that it is written in.
    pub agent: &'static str,
    /// Where its agent works, if that is known.
    pub project: Option<String>,
    /// The session that it is a copy of.
    parent: Option<String>,
}

/// Names, each once.
#[derive(Debug, Default)]
struct Names {
    names: Vec<String>,
    places: BTreeMap<String, u32>,
}

impl Names {
    fn place(&mut self, name: &str) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }
}

/// What was last stated of a window of a subscription.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stated {
    /// How much of it is used.
    pub quota: Quota,
    /// When that was stated.
    pub time: Option<Timestamp>,
}

/// Keeps what was stated last; of what was stated at one time, the fullest, so that no order matters.
fn later<K: Ord>(known: &mut BTreeMap<K, Stated>, key: K, stated: Stated) {
    let rank = |stated: &Stated| {
        let pct = stated.quota.used_pct.unwrap_or(-1.0);
        (stated.time, stated.quota.resets_at, pct.max(-1.0).to_bits() as i64)
    };
    let place = known.entry(key).or_insert(stated);
    if rank(&stated) > rank(place) {
        *place = stated;
    }
}

/// What one stream tells.
pub struct Sheet {
    meter: Meter,
    sessions: Vec<Session>,
    models: Names,
    rows: Vec<(Key, Row)>,
    /// Where in `rows` the requests with ids are.
    places: ByHash<u128, usize>,
    /// Windows of a subscription, by their length.
    quotas: BTreeMap<u64, Stated>,
}

impl Sheet {
    /// Returns an empty sheet. `seed` stands for the session until it says its name.
    pub fn new(prices: Arc<Prices>, mode: Mode, seed: &str) -> Self {
        let meter = Meter::new(prices, mode, seed);
        Self {
            meter,
            sessions: Vec::new(),
            models: Names::default(),
            rows: Vec::new(),
            places: ByHash::default(),
            quotas: BTreeMap::new(),
        }
    }

    /// Takes a record.
    pub fn take(&mut self, record: &Record<'_>) {
        if let Body::Quota(quota) = &record.body {
            // What is told again and again was stated when it was told first.
            let known = self.quotas.get(&quota.minutes);
            let is_news = known.map_or(self.quotas.len() < QUOTAS, |known| known.quota != *quota);
            if is_news {
                later(&mut self.quotas, quota.minutes, Stated { quota: *quota, time: record.time });
            }
            return;
        }
        if !matches!(record.body, Body::Usage(_) | Body::Lifecycle(_)) {
            return;
        }
        let (sessions, models) = (&mut self.sessions, &mut self.models);
        let (rows, places) = (&mut self.rows, &mut self.places);
        let name = record.session.as_deref().unwrap_or(self.meter.session());
        // Most records are of the session that the last one was of.
        let known = sessions.last().is_some_and(|last| last.name == name);
        let at = if known {
            Some(sessions.len() - 1)
        } else {
            sessions.iter().rposition(|session| session.name == name)
        };
        let at = at.unwrap_or_else(|| {
            sessions.push(Session { name: name.to_owned(), agent: "unknown", project: None, parent: None });
            sessions.len() - 1
        });
        match &record.body {
            Body::Lifecycle(Lifecycle::Started { cwd: Some(cwd), .. }) if record.subagent.is_none() => {
                sessions[at].project.get_or_insert_with(|| cwd.to_string());
            }
            Body::Lifecycle(Lifecycle::Forked { from }) => sessions[at].parent = Some(from.to_string()),
            _ => {}
        }
        let session = u32::try_from(at).unwrap_or(u32::MAX);
        self.meter.take(record, &mut |charge| {
            let model = charge.model.map(|model| models.place(model));
            let row = Row { time: record.time, amount: charge.whole, session, model };
            if let Key::Ids(id) | Key::Request { id, .. } | Key::Message(id) = charge.key {
                match places.entry(id) {
                    Entry::Occupied(place) => {
                        let (_, known) = &mut rows[*place.get()];
                        let time = earlier(known.time, row.time);
                        if row.amount.tokens.fullness() >= known.amount.tokens.fullness() {
                            *known = Row { session: known.session, ..row };
                        }
                        known.time = time;
                        return;
                    }
                    Entry::Vacant(place) => {
                        place.insert(rows.len());
                    }
                }
            }
            rows.push((charge.key, row));
        });
    }
}

/// Returns the earlier of two times; one that is not known is none.
fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// What all streams tell.
#[derive(Default)]
pub struct Ledger {
    sessions: Vec<Session>,
    places: BTreeMap<String, u32>,
    models: Names,
    /// Requests with ids.
    named: ByHash<u128, Row>,
    /// The request of each message, of several the one whose id comes first.
    requests: ByHash<u128, u128>,
    /// What was told by the ids of messages alone.
    alone: ByHash<u128, Row>,
    /// Requests that are told by the totals of their session.
    counted: ByHash<(u32, u128), Row>,
    /// All else.
    rows: Vec<Row>,
    /// Windows of subscriptions, by agent and length.
    quotas: BTreeMap<(&'static str, u64), Stated>,
}

impl Ledger {
    /// Puts a sheet in. `agent`: the format of its stream; `written`: when that was last written to, for what says no time.
    pub fn put(&mut self, sheet: Sheet, agent: &'static str, written: Option<Timestamp>) {
        for (minutes, stated) in sheet.quotas {
            let time = stated.time.or(written);
            later(&mut self.quotas, (agent, minutes), Stated { time, ..stated });
        }
        let mut named: Vec<u32> = Vec::with_capacity(sheet.sessions.len());
        for session in sheet.sessions {
            named.push(self.session(Session { agent, ..session }));
        }
        let models: Vec<u32> = sheet.models.names.iter().map(|name| self.models.place(name)).collect();
        for (key, row) in sheet.rows {
            let row = Row {
                time: row.time.or(written),
                session: named[row.session as usize],
                model: row.model.map(|model| models[model as usize]),
                amount: row.amount,
            };
            let known = match key {
                Key::Ids(id) => self.named.entry(id).or_insert(row),
                Key::Request { id, message } => {
                    let first = self.requests.entry(message).or_insert(id);
                    *first = id.min(*first);
                    self.named.entry(id).or_insert(row)
                }
                Key::Message(message) => self.alone.entry(message).or_insert(row),
                Key::Totals(totals) => self.counted.entry((row.session, totals)).or_insert(row),
                Key::None => {
                    self.rows.push(row);
                    continue;
                }
            };
            if matches!(key, Key::Totals(_)) && [known.amount, row.amount].contains(&Amount::default()) {
                // One telling has its requests, which count.
                known.amount = Amount::default();
            } else if *known != row {
                *known = one_of(&self.sessions, &self.models.names, *known, row);
            }
        }
    }

    fn session(&mut self, session: Session) -> u32 {
        let next = u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(session.name.clone()).or_insert(next);
        if place == next {
            self.sessions.push(session);
            return place;
        }
        let known = &mut self.sessions[place as usize];
        // What is said differently in two places: the first in the order of words, so that no order of files matters.
        let less = |known: &mut Option<String>, new: Option<String>| {
            if new.is_some() && (known.is_none() || *known > new) {
                *known = new;
            }
        };
        less(&mut known.project, session.project);
        less(&mut known.parent, session.parent);
        known.agent = known.agent.min(session.agent);
        place
    }

    /// Returns the sessions.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// Returns the names of the models.
    pub fn models(&self) -> &[String] {
        &self.models.names
    }

    /// Returns what counts, in no order.
    pub fn settle(mut self) -> Settled {
        let counted = std::mem::take(&mut self.counted);
        // Where the other is not there, its place is taken by its name.
        let mut orphans: BTreeMap<(&str, u128), Row> = BTreeMap::new();
        let mut kept: Vec<Row> = Vec::new();
        for (&(session, totals), row) in &counted {
            match self.origin(session, |ancestor| counted.contains_key(&(ancestor, totals))) {
                Origin::Repeated => {}
                Origin::Own => kept.push(*row),
                Origin::Missing(parent) => {
                    let known = orphans.entry((parent, totals)).or_insert(*row);
                    *known = one_of(&self.sessions, &self.models.names, *known, *row);
                }
            }
        }
        kept.extend(orphans.into_values());
        // What was told by request as well is known by its totals, and adds nothing.
        kept.retain(|row| row.amount != Amount::default());
        kept.append(&mut self.rows);
        for (message, row) in std::mem::take(&mut self.alone) {
            match self.requests.get(&message).and_then(|id| self.named.get_mut(id)) {
                Some(known) => *known = one_of(&self.sessions, &self.models.names, *known, row),
                None => kept.push(row),
            }
        }
        kept.extend(self.named.into_values());
        let quotas = self.quotas.into_iter().map(|((agent, _), stated)| (agent, stated)).collect();
        Settled { rows: kept, sessions: self.sessions, models: self.models.names, quotas }
    }

    /// Returns whether an ancestor of a session has something, by `has`.
    fn origin(&self, session: u32, has: impl Fn(u32) -> bool) -> Origin<'_> {
        let mut at = session;
        for _ in 0..ANCESTORS {
            let Some(parent) = self.sessions[at as usize].parent.as_deref() else { break };
            let Some(&place) = self.places.get(parent) else { return Origin::Missing(parent) };
            if place == session {
                break;
            }
            if has(place) {
                return Origin::Repeated;
            }
            at = place;
        }
        Origin::Own
    }
}

/// Whose a request is.
enum Origin<'l> {
    Own,
    /// An ancestor's.
    Repeated,
    /// Its own, or that of an ancestor of this name, which is not there.
    Missing(&'l str),
}

/// All that counts.
pub struct Settled {
    /// The requests.
    pub rows: Vec<Row>,
    /// Their sessions.
    pub sessions: Vec<Session>,
    /// Their models.
    pub models: Vec<String>,
    /// What was last stated of windows of subscriptions, with the agent that did, the shorter first.
    pub quotas: Vec<(&'static str, Stated)>,
}

/// Puts two tellings of one request together; which comes first does not matter.
fn one_of(sessions: &[Session], models: &[String], one: Row, other: Row) -> Row {
    let owner = |row: &Row| {
        let name: Cow<'_, str> = Cow::Borrowed(&sessions[row.session as usize].name);
        (row.time.is_none(), row.time, name)
    };
    let told = |row: &Row| {
        let model = row.model.map(|model| models[model as usize].as_str());
        (row.amount.tokens.fullness(), row.amount.cost.to_bits(), Reverse(model))
    };
    let first = if owner(&other) < owner(&one) { &other } else { &one };
    let fuller = if told(&other) > told(&one) { &other } else { &one };
    Row { time: earlier(one.time, other.time), session: first.session, ..*fuller }
}
