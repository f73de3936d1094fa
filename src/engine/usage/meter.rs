//! The meter of one stream: what each record adds to what was used before.
//!
//! The traps that it knows: the blocks of one message repeat its figures, and the first of them have not all of its output;
//! totals grow and are told twice; a result repeats what its requests have told one by one, and says what it cost; a copy
//! of a session repeats it. What several streams repeat is for [`super::ledger`].

use std::collections::VecDeque;
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use super::price::{Price, Prices, plain_name};
use super::{Amount, Tokens};
use crate::model::record::{Lifecycle, Totals, Usage, UsageScope};
use crate::model::{Body, Record};

/// How many requests are remembered, so that what is told of one again replaces what was told before. When it is full, the
/// oldest is forgotten: figures that are repeated much later count again.
const REMEMBERED_REQUESTS: usize = 64;

/// How many models of one run are kept apart; what others use counts for all of them together.
const MODELS: usize = 32;

/// How many sessions of one stream are remembered that others have taken turns with. When it is full, the oldest is forgotten.
const PARKED_SESSIONS: usize = 16;

/// From how many characters on an id is taken to be the only one of its kind. A shorter one is so in its session.
const UNIQUE_ID: usize = 16;

/// The most that a stated cost may be, in US dollars: what is more, or below nothing, nobody was charged.
const MOST_STATED: f64 = 1e9;

/// Where a cost comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The agent's own figure where it gives one, else calculated.
    #[default]
    Auto,
    /// Calculated, whatever the agent says.
    Calculate,
    /// The agent's own figures and no others.
    Display,
}

/// What tells a request from all others, and its repetitions from news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Nothing does: each record is one of its own.
    None,
    /// Ids that are the same wherever it is told.
    Ids(u128),
    /// The same, and the id of its message alone: where only that is told, it is the same request.
    Request {
        /// Both ids.
        id: u128,
        /// That of the message.
        message: u128,
    },
    /// The id of its message, by a telling that has none of the request.
    Message(u128),
    /// What its session had used by then. A copy of the session has the same.
    Totals(u128),
}

impl Key {
    fn mark(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Ids(hash) | Self::Totals(hash) | Self::Message(hash) => hash as u16,
            Self::Request { message, .. } => message as u16,
        }
    }

    /// Whether both are of one request.
    fn is_of(self, other: Self) -> bool {
        match (self, other) {
            (Self::None, _) => false,
            (Self::Request { message, .. }, Self::Message(alone))
            | (Self::Message(alone), Self::Request { message, .. }) => message == alone,
            (one, other) => one == other,
        }
    }
}

/// What a record adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Charge<'a> {
    /// Whose it is.
    pub key: Key,
    /// The model, if it is known.
    pub model: Option<&'a str>,
    /// All that is known of the request by now. Without a key: what is added.
    pub whole: Amount,
    /// What of that is new in this stream.
    pub added: Amount,
}

/// The meter of one stream.
pub struct Meter {
    prices: Arc<Prices>,
    mode: Mode,
    session: String,
    model: Option<String>,
    /// Whether the session began as a copy.
    forked: bool,
    /// What the session had used when that was last told.
    totals: Option<Totals>,
    seen: Vec<(Key, Amount)>,
    /// A part of the key of each: most requests are told by it to be new.
    marks: [u16; REMEMBERED_REQUESTS],
    next_seen: usize,
    run: Run,
    /// What is known of sessions that others came after: in a file that several agents write, they take turns.
    parked: VecDeque<Parked>,
    /// The last model that was asked for, and its price: mostly the next one too.
    priced: (String, Option<Price>),
}

/// What is known of a session that another came after.
struct Parked {
    session: String,
    model: Option<String>,
    forked: bool,
    totals: Option<Totals>,
    run: Run,
}

/// What was counted since a run began.
#[derive(Default)]
struct Run {
    /// As the run itself had stated it when it last did.
    stated: Amount,
    /// Since then.
    since: Amount,
    /// Whether a start was announced since then.
    started: bool,
    models: Vec<Share>,
    /// The model that was last asked for, as it was written, and where its share is: mostly the next one too.
    last: Option<(String, usize)>,
}

/// What one model used of a run.
struct Share {
    model: String,
    stated: Amount,
    since: Amount,
}

impl Run {
    fn count(&mut self, model: Option<&str>, added: &Amount) {
        self.since.add(added);
        if let Some(model) = model {
            self.share(model).since.add(added);
        }
    }

    fn share(&mut self, model: &str) -> &mut Share {
        if let Some((_, at)) = self.last.as_ref().filter(|(last, _)| last == model) {
            return &mut self.models[*at];
        }
        let name = plain_name(model);
        let at = self.models.iter().position(|share| share.model == *name).unwrap_or_else(|| {
            if self.models.len() == MODELS {
                self.models.remove(0);
            }
            self.models.push(Share {
                model: name.into_owned(),
                stated: Amount::default(),
                since: Amount::default(),
            });
            self.models.len() - 1
        });
        self.last = Some((model.to_owned(), at));
        &mut self.models[at]
    }

    /// What was counted up to the last statement is another run's.
    fn restart(&mut self) {
        self.stated = Amount::default();
        for share in &mut self.models {
            share.stated = Amount::default();
        }
    }

    fn counted(&self) -> Amount {
        let mut all = self.stated;
        all.add(&self.since);
        all
    }

    /// What was counted is what the run states.
    fn settle(&mut self) {
        self.stated = self.counted();
        self.since = Amount::default();
        self.started = false;
        for share in &mut self.models {
            share.stated.add(&std::mem::take(&mut share.since));
        }
    }
}

impl Meter {
    /// Returns a meter for a stream. `seed` stands for its session until that says its name.
    pub fn new(prices: Arc<Prices>, mode: Mode, seed: &str) -> Self {
        Self {
            prices,
            mode,
            session: seed.to_owned(),
            model: None,
            forked: false,
            totals: None,
            seen: Vec::new(),
            marks: [0; REMEMBERED_REQUESTS],
            next_seen: 0,
            run: Run::default(),
            parked: VecDeque::new(),
            priced: (String::new(), None),
        }
    }

    /// Returns the session that the stream is in.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Takes a record and tells what it adds, which is several charges where several models had part in it.
    pub fn take(&mut self, record: &Record<'_>, out: &mut dyn FnMut(Charge<'_>)) {
        if let Some(session) = record.session.as_deref().filter(|session| *session != self.session) {
            self.turn_to(session);
        }
        match &record.body {
            Body::Lifecycle(Lifecycle::Started { model, .. }) if record.subagent.is_none() => {
                self.run.started = true;
                if let Some(model) = model.as_deref().filter(|model| self.model.as_deref() != Some(model)) {
                    self.model = Some(model.to_owned());
                }
            }
            Body::Lifecycle(Lifecycle::Forked { .. }) => self.forked = true,
            Body::Usage(usage) => {
                let main = self.model.take();
                let model = usage.model.or(main.as_deref()).filter(|model| !model.is_empty());
                match usage.scope {
                    UsageScope::Request => self.request(usage, model, out),
                    UsageScope::Turn => self.turn(usage, model, out),
                    UsageScope::Run => self.run(usage, model, out),
                }
                self.model = main;
            }
            _ => {}
        }
    }

    /// Another session goes on, or begins.
    fn turn_to(&mut self, session: &str) {
        let known = self.parked.iter().position(|parked| parked.session == session);
        let next = known.and_then(|at| self.parked.remove(at)).unwrap_or_else(|| Parked {
            session: session.to_owned(),
            model: self.model.clone(),
            forked: false,
            totals: None,
            run: Run::default(),
        });
        if self.parked.len() == PARKED_SESSIONS {
            self.parked.pop_front();
        }
        self.parked.push_back(Parked {
            session: std::mem::replace(&mut self.session, next.session),
            model: std::mem::replace(&mut self.model, next.model),
            forked: std::mem::replace(&mut self.forked, next.forked),
            totals: std::mem::replace(&mut self.totals, next.totals),
            run: std::mem::replace(&mut self.run, next.run),
        });
    }

    fn request(&mut self, usage: &Usage<'_>, model: Option<&str>, out: &mut dyn FnMut(Charge<'_>)) {
        if usage.told {
            // A copy that has the totals and not the requests must find them known.
            if usage.totals.is_some() {
                self.totals = usage.totals;
                let nothing = Amount::default();
                out(Charge { key: self.key(usage), model, whole: nothing, added: nothing });
            }
            return;
        }
        let mut tokens = Tokens::of(usage);
        if let Some(totals) = usage.totals {
            let before = self.totals.replace(totals);
            tokens = match before {
                Some(before) => since(&before, &totals).unwrap_or(tokens),
                // Without its own figures, the first of a copy cannot be told from what it is a copy of.
                None if usage.input_tokens.is_some() || usage.output_tokens.is_some() || self.forked => {
                    tokens
                }
                None => since(&Totals::default(), &totals).unwrap_or(tokens),
            };
        }
        if tokens.is_none() && told_cost(usage).is_none() {
            return;
        }
        let cost = self.cost(model, &tokens, told_cost(usage), true);
        let whole = amount(tokens, cost, 1);
        let mut key = self.key(usage);
        // All of them, whether it is found or not: so many at a time.
        let mark = key.mark();
        let may_be_known = self.marks.iter().fold(false, |any, other| any | (*other == mark));
        let mut seen = self.seen.iter_mut().filter(|_| may_be_known);
        let added = match seen.find(|(seen, _)| key.is_of(*seen)) {
            Some((_, told)) if whole.tokens.fullness() <= told.tokens.fullness() => return,
            Some((seen, told)) => {
                // Who names the request knows more.
                if matches!(key, Key::Message(_)) {
                    key = *seen;
                } else {
                    *seen = key;
                }
                whole.minus(&std::mem::replace(told, whole))
            }
            None => {
                self.remember(key, whole);
                whole
            }
        };
        self.run.count(model, &added);
        out(Charge { key, model, whole, added });
    }

    fn turn(&mut self, usage: &Usage<'_>, model: Option<&str>, out: &mut dyn FnMut(Charge<'_>)) {
        let counted = self.run.since;
        let more = Tokens::of(usage).above(counted.tokens);
        let stated = told_cost(usage).filter(|_| self.mode != Mode::Calculate);
        let added = match stated {
            Some(cost) => {
                Amount { tokens: more, cost: cost - counted.cost, unpriced: -counted.unpriced, requests: 0 }
            }
            None => amount(more, self.cost(model, &more, None, false), 0),
        };
        self.add(model, added, out);
        self.run.settle();
    }

    fn run(&mut self, usage: &Usage<'_>, model: Option<&str>, out: &mut dyn FnMut(Charge<'_>)) {
        let stated = Tokens::of(usage);
        let stated_cost = told_cost(usage).filter(|_| self.mode != Mode::Calculate);
        let tells = !stated.is_none();
        let fell = if tells {
            let before = &self.run.stated.tokens;
            stated.falls_below(before) || (self.run.started && stated.falls_below(&self.run.counted().tokens))
        } else {
            stated_cost.is_some_and(|cost| cost < self.run.stated.cost)
        };
        if fell {
            self.run.restart();
        }
        let counted = self.run.counted();
        let mut rest = if tells { stated.above(counted.tokens) } else { Tokens::default() };
        let mut cost = stated_cost.map(|cost| cost - counted.cost);
        for part in usage.parts {
            let name = part.model.unwrap_or_default();
            let share = self.run.share(name);
            let mut counted = share.stated;
            counted.add(&share.since);
            let more = Tokens::of(part).above(counted.tokens).at_most(rest);
            rest = rest.minus(more);
            let part_cost = told_cost(part).filter(|_| cost.is_some());
            let added = match (part_cost, &mut cost) {
                (Some(stated), Some(cost)) => {
                    let more_cost = stated - counted.cost;
                    *cost -= more_cost;
                    Amount { tokens: more, cost: more_cost, unpriced: -counted.unpriced, requests: 0 }
                }
                (_, Some(_)) => Amount { tokens: more, ..Amount::default() },
                (_, None) => amount(more, self.cost(Some(name), &more, None, false), 0),
            };
            self.add(Some(name), added, out);
        }
        let added = match cost {
            Some(cost) => {
                // Cents of cents are what adding up in another order makes.
                let cost = if cost.abs() < 1e-9 { 0.0 } else { cost };
                Amount { tokens: rest, cost, unpriced: -self.run.counted().unpriced, requests: 0 }
            }
            None => amount(rest, self.cost(model, &rest, None, false), 0),
        };
        self.add(model, added, out);
        self.run.settle();
    }

    fn add(&mut self, model: Option<&str>, added: Amount, out: &mut dyn FnMut(Charge<'_>)) {
        if added != Amount::default() {
            self.run.count(model, &added);
            out(Charge { key: Key::None, model, whole: added, added });
        }
    }

    /// Returns what tokens cost, in the mode that was asked for; `None` if nobody knows.
    fn cost(
        &mut self,
        model: Option<&str>,
        tokens: &Tokens,
        stated: Option<f64>,
        single: bool,
    ) -> Option<f64> {
        match (self.mode, stated) {
            (Mode::Auto | Mode::Display, Some(cost)) => return Some(cost),
            (Mode::Display, None) => return None,
            _ => {}
        }
        let model = model?;
        if self.priced.0 != model {
            self.priced = (model.to_owned(), self.prices.find(model));
        }
        self.priced.1.and_then(|price| price.cost(tokens, single))
    }

    fn key(&self, usage: &Usage<'_>) -> Key {
        let (message, request) = (usage.message.unwrap_or_default(), usage.request.unwrap_or_default());
        if !message.is_empty() {
            let session =
                if message.len() + request.len() < UNIQUE_ID { self.session.as_bytes() } else { &[] };
            let parts = [message.as_bytes(), &[0xff], request.as_bytes(), &[0xff], session];
            if message.len() < UNIQUE_ID {
                return Key::Ids(hash_of(&parts));
            }
            let alone = hash_of(&[message.as_bytes()]);
            return match request {
                "" => Key::Message(alone),
                _ => Key::Request { id: hash_of(&parts), message: alone },
            };
        }
        let Some(totals) = usage.totals else { return Key::None };
        let figures = [totals.input, totals.output, totals.cache_read, totals.cache_creation];
        Key::Totals(hash_of(
            &figures.each_ref().map(|figure| figure.to_le_bytes()).each_ref().map(|bytes| &bytes[..]),
        ))
    }

    fn remember(&mut self, key: Key, whole: Amount) {
        if key == Key::None {
            return;
        }
        self.marks[self.next_seen] = key.mark();
        if self.seen.len() < REMEMBERED_REQUESTS {
            self.seen.push((key, whole));
        } else {
            self.seen[self.next_seen] = (key, whole);
        }
        self.next_seen = (self.next_seen + 1) % REMEMBERED_REQUESTS;
    }
}

/// Returns the hash of what these parts are one after the other.
fn hash_of(parts: &[&[u8]]) -> u128 {
    // As a rule they are short; to hash them piece by piece takes ten times as long.
    let mut all = [0; 256];
    let mut length = 0;
    for part in parts {
        let Some(room) = all.get_mut(length..length + part.len()) else {
            let mut hash = Xxh3Default::new();
            parts.iter().for_each(|part| hash.update(part));
            return hash.digest128();
        };
        room.copy_from_slice(part);
        length += part.len();
    }
    xxh3_128(&all[..length])
}

/// What the agent says that it cost, if that can be.
fn told_cost(usage: &Usage<'_>) -> Option<f64> {
    usage.cost_usd.filter(|cost| (0.0..=MOST_STATED).contains(cost))
}

fn amount(tokens: Tokens, cost: Option<f64>, requests: i64) -> Amount {
    let unpriced = if cost.is_some() { 0 } else { tokens.total() };
    Amount { tokens, cost: cost.unwrap_or(0.0), unpriced, requests }
}

/// What was used between two totals; `None` if they are not of one count.
fn since(before: &Totals, after: &Totals) -> Option<Tokens> {
    let figure = |before: u64, after: u64| i64::try_from(after.checked_sub(before)?).ok();
    Some(Tokens {
        input: figure(before.input, after.input)?,
        output: figure(before.output, after.output)?,
        cache_read: figure(before.cache_read, after.cache_read)?,
        cache_write: figure(before.cache_creation, after.cache_creation)?,
        cache_write_1h: 0,
    })
}
