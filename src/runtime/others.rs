//! What others use while a run goes on: the budgets of a day and of a project are for all agents of a user together. Their own
//! folders tell what they use, and are looked at once a minute; what has not changed since the last time is not read again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::clock;
use super::scan::Progress;
use super::spent::{Others, Spent};
use super::usage::cache::Cache;
use super::usage::{self, Pricing};
use crate::engine::Options;
use crate::engine::usage::Amount;
use crate::engine::usage::ledger::Settled;
use crate::engine::usage::meter::Mode;
use crate::engine::usage::price::Prices;
use crate::engine::usage::report::date;
use crate::engine::usage::spending::Scope;
use crate::model::Timestamp;
use crate::source::walk::Input;

/// How often is looked.
const ROUND: Duration = Duration::from_secs(60);

/// What is looked for, and where.
pub struct Question {
    /// Finds the transcripts of all agents.
    pub transcripts: Box<dyn Fn() -> Vec<Input> + Send>,
    /// What the engine is made of: its budgets decide what is looked for.
    pub options: Arc<Options>,
    /// Where what files told is kept.
    pub cache: Option<PathBuf>,
    /// The folder of the project.
    pub project: PathBuf,
}

/// Looks from time to time, on a thread of its own.
#[derive(Debug)]
pub struct Lookout {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Lookout {
    /// Begins, if there is a budget that is not the run's alone. What is found goes to `spent`.
    pub fn start(question: Question, spent: Spent) -> Option<Self> {
        let is_shared = question.options.spending.caps.iter().any(|cap| cap.scope != Scope::Run);
        if !is_shared {
            return None;
        }
        let (stop, stopped) = bounded(1);
        let began = clock::now();
        let thread = thread::Builder::new()
            .name("others".to_owned())
            .spawn(move || watch(&question, &spent, began, &stopped))
            .ok()?;
        Some(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A look that is under way ends with the process; nobody waits for it.
        drop(self.thread.take());
    }
}

fn watch(question: &Question, spent: &Spent, began: Timestamp, stopped: &Receiver<()>) {
    loop {
        look(question, spent, began);
        if stopped.recv_timeout(ROUND) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn look(question: &Question, spent: &Spent, began: Timestamp) {
    let options = &question.options;
    let now = clock::now();
    let Some(today) = date(now, &options.zone) else { return };
    let all = options.spending.caps.iter().any(|cap| cap.scope == Scope::Project);
    let mut inputs = (question.transcripts)();
    // What was not written today tells nothing of today.
    let is_of_today =
        |path: &Path| clock::written(path).is_none_or(|at| date(at, &options.zone) >= Some(today));
    inputs.retain(|input| all || is_of_today(&input.path));
    let prices = options.spending.prices.clone().unwrap_or_else(Prices::shared);
    let pricing = Pricing { prices, mode: Mode::Auto };
    let folder = question.cache.clone();
    let cache = folder.and_then(|folder| Cache::new(folder, options, SystemTime::now()));
    let Ok((ledger, _)) = usage::run(&inputs, options, &pricing, 1, cache.as_ref(), &Progress::default())
    else {
        return;
    };
    let settled = ledger.settle();
    // What a session of ours used before we came, nobody else tells of.
    let sessions = spent.sessions();
    let own =
        |row: &str, time: Option<Timestamp>| sessions.contains(row) && time.is_none_or(|time| time >= began);
    let sum = |wanted: &dyn Fn(Option<Timestamp>, Option<&str>) -> bool| total(&settled, &own, wanted);
    let day = sum(&|time, _| time.and_then(|time| date(time, &options.zone)) == Some(today));
    let in_project = |folder: &str| Path::new(folder).starts_with(&question.project);
    let project = sum(&|_, folder| folder.is_some_and(in_project));
    spent.others(Others { day: Some((today, day)), project });
}

/// Sums up what is wanted of what is not our own.
fn total(
    settled: &Settled,
    own: &dyn Fn(&str, Option<Timestamp>) -> bool,
    wanted: &dyn Fn(Option<Timestamp>, Option<&str>) -> bool,
) -> Amount {
    let mut sum = Amount::default();
    for row in &settled.rows {
        let session = &settled.sessions[row.session as usize];
        if wanted(row.time, session.project.as_deref()) && !own(&session.name, row.time) {
            sum.add(&row.amount);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Doctor;
    use crate::engine::usage::spending::{Cap, Options as Spending, Unit};
    use crate::model::{Event, EventBody};
    use crate::runtime::spent::By;
    use crate::source::walk::{self, Globs};

    fn request(session: &str, cwd: &str, id: u32, time: Timestamp) -> String {
        format!(
            r#"{{"parentUuid":"p","isSidechain":false,"cwd":"{cwd}","sessionId":"{session}","version":"2.1.0","uuid":"u{id}","timestamp":"{time}","type":"assistant","requestId":"req_0000000000{id}","message":{{"id":"msg_0000000000{id}","type":"message","role":"assistant","model":"claude-opus-4-6","content":[{{"type":"text","text":"ok"}}],"usage":{{"input_tokens":1000,"output_tokens":0}}}}}}"#
        ) + "\n"
    }

    /// The reasons of the alerts.
    fn told(events: &[Event]) -> Vec<String> {
        let of = |event: &Event| match &event.body {
            EventBody::Alert(alert) => Some(alert.reason.clone()),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    }

    #[test]
    fn what_others_used_today_and_in_the_project_counts_and_our_own_counts_once() {
        const OURS: &str = "5e551011-0000-4000-8000-000000000001";
        const THEIRS: &str = "5e551011-0000-4000-8000-000000000002";
        let folder = tempfile::tempdir().unwrap();
        let now = clock::now();
        let yesterday = now.plus_seconds(-86_400);
        let theirs = [request(THEIRS, "/w/one", 1, now), request(THEIRS, "/w/one", 2, yesterday)].concat();
        std::fs::write(folder.path().join("theirs.jsonl"), theirs).unwrap();
        let mut options = Options::new();
        let cap = |scope, limit| Cap { scope, unit: Unit::Tokens, limit };
        let caps = vec![cap(Scope::Day, 2000.0), cap(Scope::Project, 3000.0)];
        options.spending = Arc::new(Spending { caps, ..Spending::default() });
        let options = Arc::new(options);
        let roots = vec![folder.path().to_owned()];
        let question = |project: &str| Question {
            transcripts: {
                let roots = roots.clone();
                Box::new(move || walk::walk(&roots, &Globs::new(&["*.jsonl"]).unwrap(), 1).inputs)
            },
            options: Arc::clone(&options),
            cache: None,
            project: project.into(),
        };
        for (project, expected) in [
            (
                "/w/one",
                vec![
                    "today has used 2,000 tokens, and its budget is 2,000 tokens.",
                    "this project has used 3,000 tokens, and its budget is 3,000 tokens.",
                ],
            ),
            ("/w/on", vec!["today has used 2,000 tokens, and its budget is 2,000 tokens."]),
        ] {
            let spent = Spent::default();
            let mut doctor = Doctor::new(Arc::clone(&options), "t", "t");
            look(&question(project), &spent, now);
            spent.tell(&mut doctor);
            let ours = request(OURS, "/w/one", 3, now);
            let mut events = Vec::new();
            doctor.feed(now, ours.as_bytes(), &mut |event| events.push(event));
            spent.see(By::Output, &doctor);
            assert_eq!(told(&events), expected, "{project}");
            // Our own transcript, which lies there as well.
            std::fs::write(folder.path().join("ours.jsonl"), &ours).unwrap();
            look(&question(project), &spent, now);
            spent.tell(&mut doctor);
            events.clear();
            let more = request(OURS, "/w/one", 4, now);
            doctor.feed(now, more.as_bytes(), &mut |event| events.push(event));
            let figures = doctor.spent();
            assert_eq!(figures.total.tokens.total(), 2000);
            std::fs::remove_file(folder.path().join("ours.jsonl")).unwrap();
        }
    }
}
