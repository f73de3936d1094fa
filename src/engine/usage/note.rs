//! What a sheet is told, as notes that can be kept: of each record what matters to it, and nothing of what was said. Read
//! back they make the same sheet, whatever the prices and the mode then are.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::model::record::{Lifecycle, Quota, Totals, Usage, UsageScope};
use crate::model::{Body, Record, Timestamp};

/// A note.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Note<'a> {
    /// The next name: others speak of names by their number.
    Name(&'a str),
    /// What a record says.
    Record {
        /// The name of its session.
        session: Option<u32>,
        /// Whether it is a sub-agent's.
        side: bool,
        /// What it says.
        #[serde(borrow)]
        told: Told<'a>,
    },
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told<'a> {
    /// That there is its session.
    Session,
    /// [`Lifecycle::Started`]: the names of its directory and of its model.
    Started(Option<u32>, Option<u32>),
    /// [`Lifecycle::Forked`]: the name of the other session.
    Forked(u32),
    /// [`Usage`]: when, in microseconds; the figures, and those of its parts.
    Usage(Option<i64>, #[serde(borrow)] Figures<'a>, #[serde(borrow)] Vec<Figures<'a>>),
    /// [`Quota`]: when, in microseconds; minutes, percent, and when it begins anew.
    Quota(Option<i64>, u64, Option<f64>, Option<i64>),
}

/// A [`Usage`] without its parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures<'a> {
    scope: u8,
    model: Option<u32>,
    message: Option<&'a str>,
    request: Option<&'a str>,
    totals: Option<[u64; 4]>,
    told: bool,
    tokens: [Option<u64>; 5],
    cost_usd: Option<f64>,
}

/// Notes that cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// How many windows of subscriptions are kept apart.
pub(super) const QUOTAS: usize = 8;

const SCOPES: [UsageScope; 3] = [UsageScope::Request, UsageScope::Turn, UsageScope::Run];

/// Makes notes of the records of one stream. It remembers the names in it.
#[derive(Debug, Default)]
pub struct Writer {
    names: HashMap<String, u32>,
    /// The session of the last note; `None` before the first.
    session: Option<Option<u32>>,
    /// The last note, if the same once more adds nothing: whose, the figures, and the ids that belong into them.
    last: Option<(bool, Figures<'static>, String, String)>,
    /// Windows of subscriptions as they were last told.
    quotas: Vec<Quota>,
}

impl Writer {
    /// Hands on the notes of a record, if it matters.
    pub fn take(&mut self, record: &Record<'_>, out: &mut dyn FnMut(&Note<'_>)) {
        if let Body::Quota(quota) = &record.body {
            return self.quota(record, quota, out);
        }
        if !matches!(record.body, Body::Usage(_) | Body::Lifecycle(_)) {
            return;
        }
        let session = record.session.as_deref().map(|name| self.name(name, out));
        let side = record.subagent.is_some();
        let same_session = self.session == Some(session);
        let told = match &record.body {
            Body::Usage(usage) => {
                let figures = self.figures(usage, out);
                if same_session && self.repeats(side, &figures) {
                    return;
                }
                let parts = usage.parts.iter().map(|part| self.figures(part, out)).collect();
                self.last = repeatable(usage).then(|| {
                    let owned = |id: Option<&str>| id.unwrap_or_default().to_owned();
                    let bare = Figures { message: None, request: None, ..figures };
                    (side, bare, owned(usage.message), owned(usage.request))
                });
                Told::Usage(record.time.map(Timestamp::as_micros), figures, parts)
            }
            Body::Lifecycle(lifecycle) => {
                let told = match lifecycle {
                    Lifecycle::Started { cwd, model } => {
                        let mut name =
                            |name: &Option<Cow<'_, str>>| name.as_deref().map(|name| self.name(name, out));
                        Told::Started(name(cwd), name(model))
                    }
                    Lifecycle::Forked { from } => Told::Forked(self.name(from, out)),
                    _ if same_session => return,
                    _ => Told::Session,
                };
                self.last = None;
                told
            }
            _ => return,
        };
        self.session = Some(session);
        out(&Note::Record { session, side, told });
    }

    /// A window is told again and again; what it has come to is what counts.
    fn quota(&mut self, record: &Record<'_>, quota: &Quota, out: &mut dyn FnMut(&Note<'_>)) {
        if let Some(known) = self.quotas.iter_mut().find(|known| known.minutes == quota.minutes) {
            if known == quota {
                return;
            }
            *known = *quota;
        } else if self.quotas.len() < QUOTAS {
            self.quotas.push(*quota);
        } else {
            return;
        }
        let resets_at = quota.resets_at.map(Timestamp::as_micros);
        let told =
            Told::Quota(record.time.map(Timestamp::as_micros), quota.minutes, quota.used_pct, resets_at);
        let session = record.session.as_deref().map(|name| self.name(name, out));
        out(&Note::Record { session, side: record.subagent.is_some(), told });
    }

    fn repeats(&self, side: bool, figures: &Figures<'_>) -> bool {
        self.last.as_ref().is_some_and(|(last_side, bare, message, request)| {
            *last_side == side
                && *figures == Figures { message: Some(message), request: figures.request, ..*bare }
                && figures.request.unwrap_or_default() == request
        })
    }

    fn figures<'u>(&mut self, usage: &Usage<'u>, out: &mut dyn FnMut(&Note<'_>)) -> Figures<'u> {
        Figures {
            scope: SCOPES.iter().position(|scope| *scope == usage.scope).unwrap_or_default() as u8,
            model: usage.model.map(|model| self.name(model, out)),
            message: usage.message,
            request: usage.request,
            totals: usage
                .totals
                .map(|totals| [totals.input, totals.output, totals.cache_read, totals.cache_creation]),
            told: usage.told,
            tokens: [
                usage.input_tokens,
                usage.output_tokens,
                usage.cache_read_tokens,
                usage.cache_creation_tokens,
                usage.cache_creation_1h_tokens,
            ],
            cost_usd: usage.cost_usd,
        }
    }

    fn name(&mut self, name: &str, out: &mut dyn FnMut(&Note<'_>)) -> u32 {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.insert(name.to_owned(), number);
        out(&Note::Name(name));
        number
    }
}

/// Whether the same once more, right behind it, adds nothing: the meter knows the request by its id.
fn repeatable(usage: &Usage<'_>) -> bool {
    usage.scope == UsageScope::Request
        && usage.message.is_some_and(|message| !message.is_empty())
        && usage.totals.is_none()
        && usage.parts.is_empty()
}

/// Makes records of notes.
#[derive(Debug, Default)]
pub struct Reader<'a> {
    names: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    /// Takes the next note and hands on the record that it stands for.
    ///
    /// # Errors
    /// It speaks of names that were not told, or of what there is not.
    pub fn take(&mut self, note: &Note<'a>, out: &mut dyn FnMut(&Record<'_>)) -> Result<(), Unreadable> {
        let (session, side, told) = match note {
            Note::Name(name) => {
                self.names.push(name);
                return Ok(());
            }
            Note::Record { session, side, told } => (session, side, told),
        };
        let session = self.name(*session)?;
        let mut hand_on = |time: Option<i64>, body: Body<'_>| {
            let subagent = side.then_some(Cow::Borrowed(""));
            let time = time.map(Timestamp::from_micros);
            out(&Record { time, session: session.map(Cow::Borrowed), subagent, ..Record::new(body) });
        };
        let lifecycle = match told {
            Told::Usage(time, figures, parts) => {
                let parts: Result<Vec<Usage<'_>>, Unreadable> =
                    parts.iter().map(|part| self.usage(part, &[])).collect();
                hand_on(*time, Body::Usage(self.usage(figures, &parts?)?));
                return Ok(());
            }
            Told::Quota(time, minutes, used_pct, resets_at) => {
                let resets_at = resets_at.map(Timestamp::from_micros);
                hand_on(*time, Body::Quota(Quota { minutes: *minutes, used_pct: *used_pct, resets_at }));
                return Ok(());
            }
            Told::Session => Lifecycle::Other,
            Told::Started(cwd, model) => Lifecycle::Started {
                cwd: self.name(*cwd)?.map(Cow::Borrowed),
                model: self.name(*model)?.map(Cow::Borrowed),
            },
            Told::Forked(from) => {
                Lifecycle::Forked { from: Cow::Borrowed(self.name(Some(*from))?.ok_or(Unreadable)?) }
            }
        };
        hand_on(None, Body::Lifecycle(lifecycle));
        Ok(())
    }

    fn name(&self, number: Option<u32>) -> Result<Option<&'a str>, Unreadable> {
        let Some(number) = number else { return Ok(None) };
        self.names.get(number as usize).copied().map(Some).ok_or(Unreadable)
    }

    fn usage<'u>(&self, figures: &Figures<'u>, parts: &'u [Usage<'u>]) -> Result<Usage<'u>, Unreadable>
    where
        'a: 'u,
    {
        let [input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, cache_creation_1h_tokens] =
            figures.tokens;
        let totals = |[input, output, cache_read, cache_creation]: [u64; 4]| Totals {
            input,
            output,
            cache_read,
            cache_creation,
        };
        Ok(Usage {
            scope: *SCOPES.get(usize::from(figures.scope)).ok_or(Unreadable)?,
            model: self.name(figures.model)?,
            message: figures.message,
            request: figures.request,
            totals: figures.totals.map(totals),
            told: figures.told,
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_creation_tokens,
            cache_creation_1h_tokens,
            context_limit: None,
            cost_usd: figures.cost_usd,
            parts,
        })
    }
}
