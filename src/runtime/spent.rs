//! What counts for a budget beside what one doctor sees: earlier attempts of a run, and what others use meanwhile.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;

use crate::engine::Doctor;
use crate::engine::usage::spending::{Elsewhere, Spent as Seen};
use crate::engine::usage::{Amount, Tokens};

/// How many sessions of a run are known by name.
const SESSIONS: usize = 64;

/// Who sees what an attempt uses. Both may see the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Who reads its output.
    Output,
    /// Who reads its transcript.
    Transcript,
}

/// What is used; shared between those who see it and those who look up what others use.
#[derive(Clone, Debug, Default)]
pub struct Spent(Arc<Mutex<Sums>>);

#[derive(Debug, Default)]
struct Sums {
    /// In attempts that are over.
    earlier: Seen,
    /// In the attempt that runs, by who sees it.
    now: [Seen; 2],
    /// By others.
    others: Others,
    /// The sessions that are this run's own.
    sessions: BTreeSet<String>,
}

/// What others use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Others {
    /// On this day.
    pub day: Option<(Date, Amount)>,
    /// In the project.
    pub project: Amount,
}

impl Spent {
    /// Returns what counts for a run that used so much before: millionths of a dollar, and tokens.
    pub fn since(micro_usd: i64, tokens: i64) -> Self {
        let spent = Self::default();
        spent.sums().earlier.total = Amount {
            cost: micro_usd as f64 / 1e6,
            tokens: Tokens { input: tokens, ..Tokens::default() },
            ..Amount::default()
        };
        spent
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a doctor what counts beside what it sees.
    pub fn tell(&self, doctor: &mut Doctor) {
        let sums = self.sums();
        let mut day = sums.others.day;
        if let Some((date, amount)) = sums.earlier.day {
            day = match day {
                Some((others, mut sum)) if others == date => {
                    sum.add(&amount);
                    Some((others, sum))
                }
                Some((others, sum)) if others > date => Some((others, sum)),
                _ => Some((date, amount)),
            };
        }
        let elsewhere = Elsewhere { run: sums.earlier.total, day, project: sums.others.project };
        drop(sums);
        doctor.spent_elsewhere(elsewhere);
    }

    /// Takes note of what a doctor has seen of the attempt.
    pub fn see(&self, by: By, doctor: &Doctor) {
        let seen = doctor.spent();
        if seen == Seen::default() {
            return;
        }
        let mut sums = self.sums();
        sums.now[by as usize] = seen;
        if sums.sessions.len() < SESSIONS && !sums.sessions.contains(doctor.session()) {
            sums.sessions.insert(doctor.session().to_owned());
        }
    }

    /// The attempt is over.
    pub fn end_attempt(&self) {
        let mut sums = self.sums();
        let [output, transcript] = std::mem::take(&mut sums.now);
        let total = most(output.total, transcript.total);
        sums.earlier.total.add(&total);
        let day = match (output.day, transcript.day) {
            (Some((one, _)), Some((other, theirs))) if other > one => Some((other, theirs)),
            (Some((one, ours)), Some((other, theirs))) if one == other => Some((one, most(ours, theirs))),
            (ours, theirs) => ours.or(theirs),
        };
        if let Some((date, amount)) = day {
            match &mut sums.earlier.day {
                Some((known, sum)) if *known == date => sum.add(&amount),
                Some((known, _)) if *known > date => {}
                known => *known = Some((date, amount)),
            }
        }
    }

    /// Returns what the attempts that are over used: millionths of a dollar, and tokens.
    pub fn earlier(&self) -> (i64, i64) {
        let total = self.sums().earlier.total;
        ((total.cost * 1e6).round() as i64, total.tokens.total())
    }

    /// Returns the sessions of the run.
    pub fn sessions(&self) -> BTreeSet<String> {
        self.sums().sessions.clone()
    }

    /// Takes note of what others use.
    pub fn others(&self, others: Others) {
        self.sums().others = others;
    }
}

/// Returns the larger of what two have seen of the same.
fn most(one: Amount, other: Amount) -> Amount {
    let fuller = if one.tokens.total() >= other.tokens.total() { one } else { other };
    Amount { cost: one.cost.max(other.cost), ..fuller }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Options;
    use crate::model::{Event, EventBody, Timestamp};

    const REQUEST: &str = r#"{"type":"assistant","message":{"id":"msg_01NUMBER0000000000","type":"message","role":"assistant","model":"claude-opus-4-6","content":[{"type":"text","text":"ok"}],"usage":{"input_tokens":100000,"output_tokens":20000}},"parent_tool_use_id":null,"session_id":"5e551011-0000-4000-8000-000000000001","uuid":"u1","request_id":"req_01"}"#;

    fn options() -> Arc<Options> {
        use crate::engine::usage::spending::{Cap, Options as Spending, Scope, Unit};
        let caps = vec![Cap { scope: Scope::Run, unit: Unit::Usd, limit: 2.5 }];
        let spending = Spending { caps, ..Spending::default() };
        let mut options = Options::new();
        options.spending = Arc::new(spending);
        Arc::new(options)
    }

    fn attempt(spent: &Spent, number: u32) -> Vec<Event> {
        let mut doctor = Doctor::new(options(), "t", "t");
        spent.tell(&mut doctor);
        let line = REQUEST.replace("NUMBER", &number.to_string()) + "\n";
        let mut events = Vec::new();
        doctor.feed(Timestamp::from_seconds(1_795_150_800), line.as_bytes(), &mut |event| events.push(event));
        spent.see(By::Output, &doctor);
        spent.see(By::Transcript, &doctor);
        spent.end_attempt();
        events
    }

    fn alerts(events: &[Event]) -> Vec<&str> {
        let of = |event: &'_ Event| match &event.body {
            EventBody::Alert(alert) => Some(alert.class.name()),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    }

    #[test]
    fn attempts_of_a_run_share_its_budget_and_what_two_see_counts_once() {
        let spent = Spent::default();
        assert_eq!(alerts(&attempt(&spent, 1)), [""; 0], "a dollar");
        assert_eq!(spent.earlier(), (1_000_000, 120_000));
        assert_eq!(alerts(&attempt(&spent, 2)), ["usage_warning"], "two");
        assert_eq!(alerts(&attempt(&spent, 3)), ["budget_over"], "three");
        let (micro_usd, tokens) = spent.earlier();
        let stored = Spent::since(micro_usd, tokens);
        assert_eq!(
            alerts(&attempt(&stored, 4)),
            ["budget_over"],
            "a run that is taken up has used what it has"
        );
    }
}
