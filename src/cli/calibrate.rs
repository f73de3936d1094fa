//! `calibrate`: works out from good runs how far the limits of the detectors of loops must be, and stores them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::{CalibrateArgs, Globals};
use super::tap::{engine_failed, engine_options, progress_bar, resolve_form};
use super::{CliError, Exit, Kind, globs, load_settings, print};
use crate::engine::Options;
use crate::engine::detect::loops::NAMES;
use crate::engine::detect::loops::calibrate::{Gauge, bound, least_rate, rank, runs_needed};
use crate::engine::detect::loops::limits::{self, Limit, Limits};
use crate::engine::step::mask::hash;
use crate::runtime::measure::{self, Ask, Measured};
use crate::runtime::scan::FileTrouble;
use crate::settings::loops::Place;
use crate::settings::{ConfigLayer, Environment, Loaded, config_files, store};
use crate::sink::Form;
use crate::source::os_words;
use crate::source::walk::{self, Input};

/// How many steps a run must have to count: no repetition of calls reaches a limit in fewer, so that shorter ones would only
/// thin the rate.
const LEAST_STEPS: u64 = 4;

/// How many of the runs that came closest are named.
const NAMED: usize = 5;

/// Runs the command.
///
/// # Errors
/// The settings or the arguments are wrong, there are too few runs of every agent, or the limits cannot be stored.
pub fn run(args: &CalibrateArgs, globals: &Globals) -> Result<Exit, CliError> {
    let loaded = load_settings(globals, args.flags())?;
    let form = resolve_form(&loaded.settings, &io::stdout());
    let target = target(args, globals)?;
    let walked = walk::walk(&args.inputs, &globs(&loaded)?, loaded.settings.threads);
    let mut worst = None;
    for problem in &walked.problems {
        complain(CliError::from(problem), &mut worst);
    }
    let mut reading = Reading { loaded: &loaded, show: !args.no_progress, worst };
    let inputs: Vec<&Input> = walked.inputs.iter().filter(|input| input.kind == walk::Kind::File).collect();
    if inputs.len() < walked.inputs.len() {
        let error = CliError::new(Kind::Usage, "read the runs twice")
            .cause("a pipe or standard input can be read once only")
            .hint("name files and directories");
        return Err(error);
    }
    let mut agents = measure_all(&mut reading, &inputs)?;
    for (agent, runs) in &mut agents {
        runs.calibrate(args, &loaded.settings.loops.of(agent), &loaded.settings.loops.of_all());
    }
    check(&mut reading, &inputs, &mut agents)?;
    let mut text = String::new();
    for (agent, runs) in &agents {
        match form {
            Form::Json => {
                let _ = writeln!(text, "{}", as_json(agent, runs, args.false_stop_rate));
            }
            Form::Text { .. } => as_text(agent, runs, args, &mut text),
        }
    }
    // There was nothing to read, and why was said.
    if let Some(worst) = reading.worst.filter(|_| agents.is_empty()) {
        return Ok(worst);
    }
    if agents.values().all(|runs| runs.found.is_none()) {
        print(text.as_bytes())?;
        let needed = runs_needed(args.false_stop_rate);
        let rate = percent(args.false_stop_rate);
        return Err(CliError::new(Kind::Unavailable, "calibrate the limits of any agent")
            .cause(format!(
                "a rate of {rate} takes {needed} good runs of an agent with {LEAST_STEPS} steps or more"
            ))
            .hint("name more directories, or allow a higher rate with --false-stop-rate"));
    }
    if let Some(path) = target {
        let said = write(&path, &agents, args, globals)?;
        if form == Form::Json {
            eprintln!("{said}");
        } else {
            text += &said;
            text.push('\n');
        }
    } else if form != Form::Json {
        text += match agents.values().any(Agent::is_changed) {
            true => "nothing was stored; --write does\n",
            false => "the limits that hold are enough\n",
        };
    }
    print(text.as_bytes())?;
    Ok(reading.worst.unwrap_or(Exit::Ok))
}

fn complain(error: CliError, worst: &mut Option<Exit>) {
    error.print();
    worst.get_or_insert(error.kind.exit());
}

/// Returns the file that is written to, if one is.
fn target(args: &CalibrateArgs, globals: &Globals) -> Result<Option<PathBuf>, CliError> {
    if !args.write {
        return Ok(None);
    }
    if let Some(given) = &globals.config {
        return Ok(Some(given.clone()));
    }
    let files = config_files(&Environment::of_process(), None);
    match files.into_iter().find(|file| file.layer == ConfigLayer::User) {
        Some(file) => Ok(Some(file.path)),
        None => Err(CliError::new(Kind::Config, "find the file to write to")
            .cause("neither XDG_CONFIG_HOME nor HOME is set")
            .hint("name one: --config FILE")),
    }
}

/// One run: a session with its sub-agents, whatever files it is told in.
#[derive(Debug)]
struct OneRun {
    gauge: Gauge,
    is_good: bool,
    /// The file in which it came closest.
    path: PathBuf,
    /// The files in which it is told, by their place in the inputs.
    files: BTreeSet<usize>,
    /// In which half of the runs it is.
    second_half: bool,
}

/// The runs of one agent, and what comes of them.
#[derive(Debug, Default)]
struct Agent {
    runs: BTreeMap<String, OneRun>,
    /// How many were left out because they did not end well.
    failed: usize,
    /// How many because they are short.
    short: usize,
    /// The limits that hold now.
    now: Limits,
    found: Option<Found>,
    /// The limits that come of each half of the runs alone.
    halves: Option<[Limits; 2]>,
    /// How many runs the limits that come of the others interrupted.
    held_out: Option<usize>,
}

/// What was found for an agent.
#[derive(Debug)]
struct Found {
    score: f32,
    /// Whose score it is: its place in the order of all.
    rank: usize,
    limits: Limits,
    /// How many of the runs these interrupt.
    stopped: usize,
}

impl Agent {
    /// Whether there is something to store.
    fn is_changed(&self) -> bool {
        self.found.as_ref().is_some_and(|found| found.limits != self.now)
    }

    /// Leaves out what cannot be counted, and works out limits from the rest.
    fn calibrate(&mut self, args: &CalibrateArgs, now: &Limits, of_all: &Limits) {
        let (runs, rate) = (self.runs.len(), args.false_stop_rate);
        self.runs.retain(|_, run| run.is_good);
        self.failed = runs - self.runs.len();
        self.runs.retain(|_, run| run.gauge.steps >= LEAST_STEPS);
        self.short = runs - self.failed - self.runs.len();
        self.now = *now;
        // By chance, and the same each time.
        let mut order: Vec<_> = self.runs.iter_mut().collect();
        order.sort_unstable_by_key(|(session, _)| hash(session));
        for (at, (_, run)) in order.into_iter().enumerate() {
            run.second_half = at % 2 == 1;
        }
        let scores = |half: Option<bool>| -> Vec<f32> {
            let of = self.runs.values().filter(|run| half.is_none_or(|half| run.second_half == half));
            of.map(|run| run.gauge.score).collect()
        };
        let base = base(now, of_all);
        let beyond = |score: f32| {
            let mut limits = base.beyond(score, args.allow_lower);
            if !args.allow_lower {
                raise(&mut limits, now);
            }
            limits
        };
        let all = scores(None);
        let (Some(score), Some(rank)) = (bound(&all, rate), rank(all.len(), rate)) else { return };
        self.found = Some(Found { score, rank, limits: beyond(score), stopped: 0 });
        if let (Some(first), Some(second)) =
            (bound(&scores(Some(false)), rate), bound(&scores(Some(true)), rate))
        {
            self.halves = Some([beyond(first), beyond(second)]);
        }
    }
}

/// Returns the limits that scores are held against: those of all agents, and never where this agent has none. Those of its
/// own may come from an earlier calibration, and what comes of the same runs must not depend on that.
fn base(now: &Limits, of_all: &Limits) -> Limits {
    let mut base = *now;
    for ((_, limit), (_, all)) in base.iter_mut().zip(of_all.iter()) {
        if limit.act > 0 && all.act > 0 {
            (limit.act, limit.act_sec) = (all.act, all.act_sec);
        }
    }
    base
}

/// Makes limits at least as high as others.
fn raise(limits: &mut Limits, others: &Limits) {
    for ((_, limit), (_, other)) in limits.iter_mut().zip(others.iter()) {
        limit.act = limit.act.max(other.act);
        limit.act_sec = limit.act_sec.max(other.act_sec);
    }
}

/// Reads the files, as often as it takes.
struct Reading<'r> {
    loaded: &'r Loaded,
    show: bool,
    /// The status of the first trouble.
    worst: Option<Exit>,
}

impl Reading<'_> {
    fn read(
        &mut self,
        inputs: &[&Input],
        agents: BTreeMap<String, Limits>,
        ask: Ask,
        doing: &'static str,
    ) -> Result<Vec<Measured>, CliError> {
        let mut options = engine_options(self.loaded)?;
        options.detect.loops = Arc::new(limits::Options { agents, ..(*options.detect.loops).clone() });
        // Sessions are asked at the end: none may be forgotten before.
        options.max_sessions = usize::MAX;
        let options: Arc<Options> = Arc::new(options);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = match self.loaded.settings.threads {
            0 => cores,
            threads => threads,
        };
        let bytes = Arc::new(AtomicU64::new(0));
        let total = inputs.iter().map(|input| input.size).sum();
        let bar = (self.show && io::stderr().is_terminal()).then(|| progress_bar(total).with_message(doing));
        let (ended, end) = crossbeam_channel::bounded::<()>(0);
        let found = thread::scope(|scope| {
            if let Some(bar) = &bar {
                let bytes = &bytes;
                scope.spawn(move || {
                    while end.recv_timeout(Duration::from_millis(100))
                        == Err(crossbeam_channel::RecvTimeoutError::Timeout)
                    {
                        bar.set_position(bytes.load(Ordering::Relaxed));
                    }
                });
            }
            let found = measure::run(inputs, &options, ask, threads, &bytes);
            drop(ended);
            found
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        found.map_err(|error| CliError::new(Kind::Internal, "start a thread").cause(os_words(&error)))
    }
}

/// Measures all runs.
fn measure_all(reading: &mut Reading<'_>, inputs: &[&Input]) -> Result<BTreeMap<String, Agent>, CliError> {
    let settings = &reading.loaded.settings.loops;
    let limits = super::formats()
        .map(|agent| (agent.to_owned(), base(&settings.of(agent), &settings.of_all())))
        .collect();
    let mut agents = BTreeMap::<String, Agent>::new();
    for (at, measured) in reading.read(inputs, limits, Ask::Measure, "reading")?.into_iter().enumerate() {
        let Measured { path, measures, trouble, .. } = measured;
        match trouble {
            Some(FileTrouble::Read(error)) => complain(CliError::from(&error), &mut reading.worst),
            Some(FileTrouble::Engine(path)) => complain(engine_failed(&path), &mut reading.worst),
            None => {}
        }
        for measure in measures {
            let runs = &mut agents.entry(measure.agent.to_owned()).or_default().runs;
            let run = runs.entry(measure.session).or_insert_with(|| OneRun {
                gauge: Gauge::default(),
                is_good: true,
                path: path.clone(),
                files: BTreeSet::new(),
                second_half: false,
            });
            if run.gauge.add(&measure.gauge) {
                run.path.clone_from(&path);
            }
            // A sub-agent may fail and its session go on.
            run.is_good &= measure.is_good || !measure.is_main;
            run.files.insert(at);
        }
    }
    Ok(agents)
}

/// Holds the limits against the runs: has them read again with what was found, and with what was found from the other half.
fn check(
    reading: &mut Reading<'_>,
    inputs: &[&Input],
    agents: &mut BTreeMap<String, Agent>,
) -> Result<(), CliError> {
    // Which half is read (all of them: none), and with which limits.
    for half in [None, Some(false), Some(true)] {
        let limits: BTreeMap<String, Limits> = agents
            .iter()
            .filter_map(|(name, agent)| {
                let limits = match half {
                    None => agent.found.as_ref()?.limits,
                    Some(half) => agent.halves?[usize::from(!half)],
                };
                Some((name.clone(), limits))
            })
            .collect();
        let is_read = |run: &OneRun| half.is_none_or(|half| run.second_half == half);
        let wanted: BTreeSet<usize> = agents
            .iter()
            .filter(|(name, _)| limits.contains_key(*name))
            .flat_map(|(_, agent)| agent.runs.values().filter(|run| is_read(run)))
            .flat_map(|run| run.files.iter().copied())
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let subset: Vec<&Input> = wanted.iter().map(|at| inputs[*at]).collect();
        let replayed = reading.read(&subset, limits.clone(), Ask::Replay, "checking")?;
        let stopped: BTreeSet<(usize, &String)> = wanted
            .iter()
            .zip(&replayed)
            .flat_map(|(at, measured)| measured.stopped.iter().map(|session| (*at, session)))
            .collect();
        for (_, agent) in agents.iter_mut().filter(|(name, _)| limits.contains_key(*name)) {
            let is_stopped = |(session, run): &(&String, &OneRun)| {
                run.files.iter().any(|at| stopped.contains(&(*at, *session)))
            };
            let count = agent.runs.iter().filter(|(_, run)| is_read(run)).filter(is_stopped).count();
            match (half, &mut agent.found) {
                (None, Some(found)) => found.stopped = count,
                _ => *agent.held_out.get_or_insert(0) += count,
            }
        }
    }
    Ok(())
}

/// Stores what was found; returns what to say of it.
fn write(
    path: &Path,
    agents: &BTreeMap<String, Agent>,
    args: &CalibrateArgs,
    globals: &Globals,
) -> Result<String, CliError> {
    let mut limits = Vec::new();
    for (name, agent) in agents {
        let Some(found) = &agent.found else { continue };
        for ((detector, new), (_, now)) in found.limits.iter().zip(agent.now.iter()) {
            let place = |key| Place { agent: Some(name.clone()), detector, key };
            if new.act != now.act {
                limits.push((place("act"), new.act));
            }
            if new.act_sec != now.act_sec {
                limits.push((place("act_sec"), u32::try_from(new.act_sec).unwrap_or(u32::MAX)));
            }
        }
    }
    if limits.is_empty() {
        return Ok("nothing to store: the limits that hold are enough".to_owned());
    }
    store::put(path, &limits)
        .map_err(|error| CliError::from(error).hint("nothing was stored; the limits are above"))?;
    // What was written holds only if nothing stands over it.
    let loaded = load_settings(globals, args.flags())?;
    for (place, limit) in &limits {
        let key = place.path();
        if !loaded.settings.entries().contains(&(key.clone(), crate::settings::Value::Whole(*limit))) {
            CliError::new(Kind::Config, format!("let `{key}` hold"))
                .cause(format!("what {} says stands over it", loaded.origins.of(&key)))
                .print_warning();
        }
    }
    Ok(format!("stored in {}", path.display()))
}

fn percent(rate: f64) -> String {
    format!("{} %", (rate * 100_000.0).round() / 1000.0)
}

fn limit_json(limit: &Limit) -> Value {
    json!({ "warn": limit.warn, "act": limit.act, "warn_sec": limit.warn_sec, "act_sec": limit.act_sec })
}

fn three(score: f32) -> f64 {
    (f64::from(score) * 1000.0).round() / 1000.0
}

impl Agent {
    /// The highest that each detector counted in a run.
    fn highest(&self, place: usize) -> u32 {
        self.runs.values().map(|run| run.gauge.peaks[place].count).max().unwrap_or(0)
    }

    /// The runs that came up to the limits of all agents, the closest first.
    fn reached(&self) -> Vec<(&String, &OneRun)> {
        let mut reached: Vec<_> = self.runs.iter().filter(|(_, run)| run.gauge.score >= 1.0).collect();
        reached.sort_by(|(_, a), (_, b)| b.gauge.score.total_cmp(&a.gauge.score));
        reached
    }
}

/// One line an agent.
fn as_json(name: &str, agent: &Agent, rate: f64) -> Value {
    let limits: Vec<Value> = NAMES
        .iter()
        .enumerate()
        .map(|(place, detector)| {
            json!({
                "detector": detector,
                "now": limit_json(agent.now.at(place)),
                "calibrated": agent.found.as_ref().map(|found| limit_json(found.limits.at(place))),
                "highest": agent.highest(place),
            })
        })
        .collect();
    let reached: Vec<Value> = agent
        .reached()
        .iter()
        .map(|(session, run)| {
            let Gauge { score, line, detector, .. } = run.gauge;
            let score = three(score);
            json!({ "session": session, "path": run.path, "line": line, "detector": detector, "score": score })
        })
        .collect();
    json!({
        "agent": name,
        "false_stop_rate": rate,
        "runs": agent.runs.len(),
        "runs_needed": runs_needed(rate),
        "left_out": { "failed": agent.failed, "short": agent.short },
        "rank": agent.found.as_ref().map(|found| found.rank),
        "score": agent.found.as_ref().map(|found| three(found.score)),
        "stopped": agent.found.as_ref().map(|found| found.stopped),
        "stopped_held_out": agent.held_out,
        "limits": limits,
        "reached": reached,
    })
}

fn as_text(name: &str, agent: &Agent, args: &CalibrateArgs, out: &mut String) {
    let (runs, rate) = (agent.runs.len(), args.false_stop_rate);
    // Writing to a string cannot fail.
    let _ = write!(out, "{name}: {runs} good runs");
    let _ = match (agent.failed, agent.short) {
        (0, 0) => writeln!(out),
        (failed, short) => writeln!(
            out,
            "; left out: {failed} that did not end well, {short} of fewer than {LEAST_STEPS} steps"
        ),
    };
    let reached = agent.reached();
    if !reached.is_empty() {
        let _ = writeln!(
            out,
            "  {} came up to the limits; was one of them stuck? Then leave it out:",
            reached.len()
        );
        for (_, run) in reached.iter().take(NAMED) {
            let Gauge { score, line, detector, .. } = run.gauge;
            let _ = writeln!(
                out,
                "    {:.2} of them, {detector}: session-doctor explain --loops {} # line {line}",
                score,
                quoted(&run.path.to_string_lossy())
            );
        }
    }
    let Some(found) = &agent.found else {
        let _ = write!(out, "  too few: a rate of {} takes {}", percent(rate), runs_needed(rate));
        let _ = match (least_rate(runs) * 1000.0).ceil() / 1000.0 {
            least if least <= 0.5 => {
                writeln!(out, "; these can show {}: --false-stop-rate {least}\n", percent(least))
            }
            _ => writeln!(out, "\n"),
        };
        return;
    };
    let _ = writeln!(
        out,
        "  of good runs like these, at most {} are interrupted: {} of {runs} came to {:.2} of the limits or less",
        percent(rate),
        found.rank,
        found.score
    );
    let _ = writeln!(out, "  read again with the limits below, {} of {runs} are interrupted", found.stopped);
    let _ = match agent.held_out {
        Some(stopped) => writeln!(out, "  each half with the limits of the other: {stopped} of {runs}"),
        None => writeln!(
            out,
            "  not checked with runs that the limits do not come from: that takes {} runs",
            2 * runs_needed(rate)
        ),
    };
    let _ = writeln!(out, "\n  {:22}{:>16}{:>18}{:>10}", "detector", "now warn/act", "calibrated", "highest");
    for (place, detector) in NAMES.iter().enumerate() {
        let (now, new) = (agent.now.at(place), found.limits.at(place));
        let mark = match () {
            () if (new.act, new.act_sec) == (now.act, now.act_sec) => "",
            () if new.act < now.act || new.act_sec < now.act_sec => "  lowered",
            () => "  raised",
        };
        let _ = writeln!(
            out,
            "  {detector:22}{:>16}{:>18}{:>10}{mark}",
            shown(now),
            shown(new),
            agent.highest(place)
        );
    }
    out.push('\n');
}

/// A limit in a table.
fn shown(limit: &Limit) -> String {
    let one = |count: u32, sec: i64| match (count, sec) {
        (0, _) => "-".to_owned(),
        (count, 0) => count.to_string(),
        (count, sec) if sec % 60 == 0 => format!("{count}:{}m", sec / 60),
        (count, sec) => format!("{count}:{sec}s"),
    };
    format!("{} / {}", one(limit.warn, limit.warn_sec), one(limit.act, limit.act_sec))
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
