//! `tap`: reads what agents said, tells what is wrong.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{fs, thread};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::tz::TimeZone;
use rustix::io::Errno;

use super::args::{EventsTarget, Globals, TapArgs};
use super::usage::{TRANSCRIPTS, folders};
use super::{CliError, Exit, Kind, follow, globs, load_settings, prices, rules};
use crate::engine::policy::AlertOn;
use crate::engine::usage::spending::{self, Cap, Scope, Unit};
use crate::engine::{Options, format};
use crate::model::event::SourcePlace;
use crate::model::id::IdBuilder;
use crate::model::{Event, EventBody, EventType, Timestamp};
use crate::runtime::others::{Lookout, Question};
use crate::runtime::scan::{self, FileTrouble, Progress, Take};
use crate::runtime::signals::{Signals, reraise};
use crate::runtime::spent::Spent;
use crate::runtime::usage::cache;
use crate::runtime::{self, Tally, Telling, clock, live};
use crate::settings::{AlertWhen, Color, Format, Loaded, Settings};
use crate::sink::output::{Output, Patient};
use crate::sink::queue::Queue;
use crate::sink::{Form, renderer};
use crate::source::follow::{Follower, Identity, Start};
use crate::source::os_words;
use crate::source::stdin::Stdin;
use crate::source::walk::{self, Input};

/// Runs the command.
///
/// # Errors
/// The command line or the settings are wrong, or an output cannot be used. Inputs that cannot be read are told on
/// standard error as they are met; the others go on, and the worst of them decides the status.
pub fn run(args: &TapArgs, globals: &Globals) -> Result<Exit, CliError> {
    let loaded = load_settings(globals, args.flags())?;
    let settings = &loaded.settings;
    follow::check(args)?;
    check_outputs(args)?;
    let roots = args.inputs.clone();
    if roots.is_empty() && io::stdin().is_terminal() {
        return Err(CliError::new(Kind::Usage, "find an input")
            .cause("no file is named, and standard input is a terminal")
            .hint("pipe an agent into it: claude -p … --output-format stream-json --verbose | session-doctor tap")
            .hint("or name logs: session-doctor tap ~/.claude/projects"));
    }
    let mut options = engine_options(&loaded)?;
    use_stored_prices(&mut options);
    if args.rule_stats {
        options.rules = Arc::new(options.rules.counting(clock::stopwatch));
    }
    let options = Arc::new(options);
    // Before this process has descriptors of its own that a mistyped fd:N could name.
    let mut output = open_events(args)?;
    let signals = Signals::watch()
        .map_err(|error| CliError::new(Kind::Internal, "watch for signals").cause(os_words(&error)))?;
    let form = match &args.events {
        None | Some(EventsTarget::Stdout) => resolve_form(settings, &io::stdout()),
        Some(_) => resolve(settings, output.is_terminal()),
    };
    let emit = settings.emit.iter().filter_map(|name| EventType::from_name(name)).collect();
    let telling = Telling { render: renderer(form), emit };
    let roots = if roots.is_empty() { vec!["-".into()] } else { roots };
    let globs = globs(&loaded)?;
    let walked =
        if args.follow { walk::Walk::default() } else { walk::walk(&roots, &globs, settings.threads) };
    let mut run = Run {
        options: Arc::clone(&options),
        telling: &telling,
        signals: &signals,
        settings,
        events: events_name(args),
        tally: Tally::default(),
        worst: None,
        unread: false,
        spent: Spent::default(),
    };
    let is_live = walked.inputs.iter().any(|input| input.kind != walk::Kind::File);
    let _lookout = is_live.then(|| lookout(&options, &run.spent)).flatten();
    for problem in &walked.problems {
        run.complain(CliError::from(problem));
    }
    if args.follow {
        let start = if args.new_only { Start::End } else { Start::Beginning };
        let mut follower = Follower::new(&roots, &globs, start);
        for identity in outputs(args) {
            follower.exclude(identity);
        }
        run.follow(&mut follower, &mut output);
        run.close(&mut output);
    } else if args.pass_through {
        run.pass_through(&walked.inputs, output)?;
    } else {
        run.read(&walked.inputs, &mut output, !args.no_progress)?;
        run.close(&mut output);
    }
    let (worst, tally) = (run.worst, run.tally);
    if args.rule_stats {
        rules::print_counts(&options.rules, settings.format == Format::Json);
    }
    if let Some(signal) = signals.caught() {
        reraise(signal);
    }
    if let Some(exit) = worst {
        return Ok(exit);
    }
    let alert = settings.fail_on.is_some_and(|bar| tally.worst_alert.is_some_and(|worst| worst >= bar));
    Ok(if alert { Exit::Alert } else { Exit::Ok })
}

/// One run over all inputs.
struct Run<'r> {
    options: Arc<Options>,
    telling: &'r Telling,
    signals: &'r Signals,
    settings: &'r Settings,
    /// What the events are written to, as messages name it.
    events: Option<String>,
    tally: Tally,
    /// The status of the first trouble.
    worst: Option<Exit>,
    /// Whether the output takes no more: its reader had enough, or it failed, which was told.
    unread: bool,
    /// What counts for budgets beside what is read.
    spent: Spent,
}

impl Run<'_> {
    fn complain(&mut self, error: CliError) {
        if error.kind == Kind::BrokenPipe {
            self.unread = true;
            return;
        }
        error.print();
        self.worst.get_or_insert(error.kind.exit());
    }

    /// Reads the inputs in their order: files in parallel, live streams one by one.
    fn read(&mut self, inputs: &[Input], output: &mut Output, progress: bool) -> Result<(), CliError> {
        for group in
            inputs.chunk_by(|one, other| one.kind == walk::Kind::File && other.kind == walk::Kind::File)
        {
            if self.signals.caught().is_some() || self.unread {
                break;
            }
            if group[0].kind == walk::Kind::File {
                self.files(group, output, progress)?;
            } else {
                self.stream(&group[0], output)?;
            }
        }
        Ok(())
    }

    fn files(&mut self, inputs: &[Input], output: &mut Output, show: bool) -> Result<(), CliError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = if self.settings.threads == 0 { cores } else { self.settings.threads };
        let progress = Progress::default();
        let total: u64 = inputs.iter().map(|input| input.size).sum();
        let bar = (show && io::stderr().is_terminal()).then(|| progress_bar(total));
        let (ended, end) = crossbeam_channel::bounded::<()>(0);
        let mut writer = Writer { output, bar: bar.as_ref(), trouble: None };
        let outcome = thread::scope(|scope| {
            let (progress, bar, signals) = (&progress, bar.as_ref(), self.signals);
            // Shows how far it is, and stops the scan when a signal came.
            scope.spawn(move || {
                while end.recv_timeout(Duration::from_millis(100))
                    == Err(crossbeam_channel::RecvTimeoutError::Timeout)
                {
                    if let Some(bar) = bar {
                        bar.set_position(progress.bytes.load(Ordering::Relaxed));
                        let files = progress.files.load(Ordering::Relaxed);
                        bar.set_message(format!("{files} of {} files", inputs.len()));
                    }
                    if signals.caught().is_some() {
                        progress.stop.store(true, Ordering::Relaxed);
                    }
                }
            });
            let outcome = scan::run(inputs, &self.options, self.telling, threads, progress, &mut writer);
            drop(ended);
            outcome
        })
        .map_err(|error| CliError::new(Kind::Internal, "start a thread").cause(os_words(&error)))?;
        let trouble = writer.trouble;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        if let Some(error) = trouble {
            self.complain(self.output_failed(&error));
            self.unread = true;
        }
        for trouble in &outcome.troubles {
            self.complain(match trouble {
                FileTrouble::Read(error) => CliError::from(error),
                FileTrouble::Engine(path) => engine_failed(path),
            });
        }
        self.tally.add(&outcome.tally);
        Ok(())
    }

    fn stream(&mut self, input: &Input, output: &mut Output) -> Result<(), CliError> {
        let mut source = self.open_stream(input)?;
        let events = live::Events::Direct(output);
        let name = input.path.to_string_lossy();
        let around = live::Around { signals: self.signals, spent: &self.spent };
        let outcome = live::run(&mut source, &name, &self.options, self.telling, events, None, &around);
        self.streamed(input, &outcome);
        Ok(())
    }

    fn pass_through(&mut self, inputs: &[Input], output: Output) -> Result<(), CliError> {
        let queue = Queue::new(output)
            .map_err(|error| CliError::new(Kind::Internal, "start a thread").cause(os_words(&error)))?;
        let mut dropped = 0;
        for input in inputs {
            if self.signals.caught().is_some() || self.unread {
                break;
            }
            let opened = match input.kind {
                walk::Kind::File => Stdin::open(&input.path, self.signals.waker().ok())
                    .map_err(|error| cannot_open(&input.path, &error)),
                _ => self.open_stream(input),
            };
            let mut source = match opened {
                Ok(source) => source,
                Err(error) => {
                    self.complain(error);
                    continue;
                }
            };
            let mut stdout = Patient::stdout();
            let outcome = live::run(
                &mut source,
                &input.path.to_string_lossy(),
                &self.options,
                self.telling,
                live::Events::Queued(&queue),
                Some(&mut stdout),
                &live::Around { signals: self.signals, spent: &self.spent },
            );
            dropped += outcome.dropped;
            self.streamed(input, &outcome);
        }
        match queue.close(self.total()) {
            Ok(true) if dropped == 0 => {}
            Ok(_) => {
                let count = if dropped == 0 { String::new() } else { format!("{dropped} or more ") };
                self.complain(
                    CliError::new(Kind::Io, "write all events")
                        .cause(format!("{count}events were dropped because nobody took them in time"))
                        .hint(
                            "the input was passed on whole; give --events a reader that keeps up, or a file",
                        ),
                );
            }
            // That nobody wants the events ends nothing: the input was passed on.
            Err(error) => self.complain(self.output_failed(&error)),
        }
        Ok(())
    }

    fn follow(&mut self, follower: &mut Follower, output: &mut Output) {
        let (options, telling, signals) = (Arc::clone(&self.options), self.telling, self.signals);
        let mut complain = |trouble| match trouble {
            runtime::follow::Trouble::Source(trouble) => match follow::told(&trouble) {
                (error, true) => error.print_warning(),
                (error, false) => self.complain(error),
            },
            runtime::follow::Trouble::Engine(path) => self.complain(engine_failed(&path)),
        };
        let (tally, end) = runtime::follow::run(follower, &options, telling, output, signals, &mut complain);
        self.tally.add(&tally);
        match end {
            runtime::follow::End::Signal => {}
            runtime::follow::End::Output(error) => {
                self.complain(self.output_failed(&error));
                self.unread = true;
            }
            runtime::follow::End::Wait(error) => self
                .complain(CliError::new(Kind::Internal, "wait for changes of files").cause(os_words(&error))),
        }
    }

    fn open_stream(&self, input: &Input) -> Result<Stdin, CliError> {
        let waker = self.signals.waker().ok();
        match input.kind {
            walk::Kind::Stdin => Ok(Stdin::new(waker)),
            _ => Stdin::open(&input.path, waker).map_err(|error| cannot_open(&input.path, &error)),
        }
    }

    fn streamed(&mut self, input: &Input, outcome: &live::Outcome) {
        self.tally.add(&outcome.tally);
        self.unread |= outcome.unread;
        for trouble in &outcome.troubles {
            self.complain(match trouble {
                live::Trouble::Read(error) => {
                    CliError::new(Kind::Io, format!("read {}", shown(&input.path))).cause(os_words(error))
                }
                live::Trouble::Events(error) => self.output_failed(error),
                live::Trouble::PassThrough(error) => {
                    CliError::new(Kind::Io, "pass the input on to standard output").cause(os_words(error))
                }
                live::Trouble::Engine => engine_failed(&input.path),
            });
        }
    }

    /// The summary of several sources together.
    fn total(&self) -> Vec<u8> {
        let wanted = self.telling.emit.is_empty() || self.telling.emit.contains(&EventType::Summary);
        let mut lines = Vec::new();
        if self.tally.summary.sources > 1 && wanted {
            self.telling.render.render(&total(&self.tally, clock::now()), &mut lines);
        }
        lines
    }

    /// Ends the output; several sources get a summary of all.
    fn close(&mut self, output: &mut Output) {
        if self.unread {
            return;
        }
        let lines = self.total();
        if let Err(error) = output.write(&lines).and_then(|()| output.flush()) {
            self.complain(self.output_failed(&error));
        }
    }

    fn output_failed(&self, error: &io::Error) -> CliError {
        match &self.events {
            None => CliError::output(error),
            Some(name) => CliError::events(name, error),
        }
    }
}

fn total(tally: &Tally, now: Timestamp) -> Event {
    let id = IdBuilder::new("total").number(tally.summary.sources).number(tally.summary.bytes).finish("e-");
    Event {
        session: id.clone(),
        id,
        parent_session: None,
        agent: "unknown".to_owned(),
        time: None,
        observed_time: now,
        source: None::<SourcePlace>,
        body: EventBody::Summary(tally.summary.clone()),
    }
}

/// Writes the events of files, around the progress bar.
struct Writer<'w> {
    output: &'w mut Output,
    bar: Option<&'w ProgressBar>,
    trouble: Option<io::Error>,
}

impl Take for Writer<'_> {
    fn take(&mut self, lines: &[u8]) -> bool {
        let output = &mut *self.output;
        let written = match self.bar {
            Some(bar) if output.is_terminal() => bar.suspend(|| output.write(lines)),
            _ => output.write(lines),
        };
        self.trouble = written.err();
        self.trouble.is_none()
    }
}

pub(super) fn progress_bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{bytes} of {total_bytes} [{bar:30}] {bytes_per_sec}, {msg}, {eta} left",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
    .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5)).with_style(style)
}

/// `--pass-through` owns standard output.
fn check_outputs(args: &TapArgs) -> Result<(), CliError> {
    if !args.pass_through {
        return Ok(());
    }
    let usage = |cause: &str| {
        Err(CliError::new(Kind::Usage, "place the events")
            .cause(cause)
            .hint("say where they go: --events events.jsonl, or --events fd:3 with 3>events.jsonl"))
    };
    match &args.events {
        None => usage("with --pass-through, standard output carries the input, and no --events is given"),
        Some(EventsTarget::Stdout) => {
            usage("with --pass-through, standard output carries the input, not events")
        }
        Some(EventsTarget::Path(path)) if same_file(path) => {
            usage("the file of --events is standard output, which carries the input")
        }
        Some(_) => Ok(()),
    }
}

/// Whether a path is what standard output is.
fn same_file(path: &Path) -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = fs::metadata(path) else { return false };
    let stdout =
        io::stdout().as_fd().try_clone_to_owned().and_then(|stdout| fs::File::from(stdout).metadata());
    metadata.is_file()
        && stdout.is_ok_and(|stdout| (stdout.dev(), stdout.ino()) == (metadata.dev(), metadata.ino()))
}

fn open_events(args: &TapArgs) -> Result<Output, CliError> {
    // Passing on must not wait until somebody reads the events.
    args.events
        .as_ref()
        .map_or_else(|| Ok(Output::stdout()), |target| open_target(target, args.pass_through, "tap"))
}

/// Opens what events are written to. With `at_once`, a named pipe is not waited for until it has a reader.
pub(super) fn open_target(target: &EventsTarget, at_once: bool, command: &str) -> Result<Output, CliError> {
    let output = match target {
        EventsTarget::Stdout => return Ok(Output::stdout()),
        EventsTarget::Path(path) if at_once && is_pipe(path) => Output::pipe(path),
        EventsTarget::Path(path) => Output::append(path),
        EventsTarget::Fd(number) => Output::descriptor(*number),
    };
    let name = target_name(target).unwrap_or_default();
    output.map_err(|error| {
        let hint = match (target, error.kind()) {
            (EventsTarget::Fd(number), io::ErrorKind::NotFound) => {
                format!("open it in the shell: session-doctor {command} … {number}>events.jsonl")
            }
            (EventsTarget::Fd(number), _) => format!("open it for writing: {number}>events.jsonl"),
            (EventsTarget::Path(path), io::ErrorKind::IsADirectory) => {
                format!("name a file in it: --events {}", path.join("events.jsonl").display())
            }
            (EventsTarget::Path(path), io::ErrorKind::NotFound) => {
                let folder = path.parent().filter(|folder| *folder != Path::new(""));
                format!("make the folder first: mkdir -p {}", folder.unwrap_or(Path::new(".")).display())
            }
            (EventsTarget::Path(path), _) if is_socket(path) => {
                "a socket cannot be opened by its name; connect to it and hand over the descriptor: --events fd:3"
                    .to_owned()
            }
            _ => "name a file that you may write to".to_owned(),
        };
        // Linux says that there is no such file, others that it is a bad descriptor.
        let is_absent = error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(&error) == Some(Errno::BADF);
        let closed = matches!(target, EventsTarget::Fd(_)) && is_absent;
        let cause = if closed { "it is not open".to_owned() } else { os_words(&error).to_string() };
        CliError::new(Kind::CannotCreate, format!("open {name} for events")).cause(cause).hint(hint)
    })
}

/// How messages name what the events are written to; `None`: standard output.
fn events_name(args: &TapArgs) -> Option<String> {
    target_name(args.events.as_ref()?)
}

fn target_name(target: &EventsTarget) -> Option<String> {
    match target {
        EventsTarget::Stdout => None,
        EventsTarget::Path(path) => Some(shown(path)),
        EventsTarget::Fd(number) => Some(format!("file descriptor {number}")),
    }
}

/// The files that events or messages are written to.
fn outputs(args: &TapArgs) -> Vec<Identity> {
    let path = match &args.events {
        Some(EventsTarget::Path(path)) => path.clone(),
        Some(EventsTarget::Fd(number)) => format!("/dev/fd/{number}").into(),
        None | Some(EventsTarget::Stdout) => "/dev/fd/1".into(),
    };
    let metadata = [path.as_path(), Path::new("/dev/fd/2")].map(|path| fs::metadata(path).ok());
    metadata.iter().flatten().map(Identity::of).collect()
}

fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn cannot_open(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Kind::NoInput, format!("open {}", shown(path))).cause(os_words(error))
}

pub(super) fn engine_failed(path: &Path) -> CliError {
    CliError::new(Kind::Internal, format!("watch {}", shown(path)))
        .cause("a mistake in session-doctor; what came before it was told")
        .hint("please report it, with the line that was being read if you can share it")
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { format!("`{}`", path.display()) }
}

/// Returns the form of events for what they are written to.
pub(super) fn resolve_form(settings: &Settings, stdout: &io::Stdout) -> Form {
    resolve(settings, stdout.is_terminal())
}

/// Returns the form of events for something that is a terminal or is none.
pub(super) fn resolve(settings: &Settings, terminal: bool) -> Form {
    let color = match settings.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            terminal && anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
        }
    };
    match settings.format {
        Format::Json => Form::Json,
        Format::Text => Form::Text { color },
        Format::Auto if terminal => Form::Text { color },
        Format::Auto => Form::Json,
    }
}

/// Returns what the engine needs of the settings.
pub(super) fn engine_options(loaded: &Loaded) -> Result<Options, CliError> {
    let settings = &loaded.settings;
    let mut options = Options::with_rules(loaded.rules()?);
    options.agent = if settings.agent == "auto" { None } else { format::by_name(&settings.agent) };
    options.zone = zone(&settings.time_zone)?;
    options.line_limit = settings.line_limit_bytes;
    options.max_sessions = settings.max_sessions;
    options.detect.error_repeat_count = settings.error_repeat_count;
    options.detect.error_window_sec = u64::from(settings.error_window_sec);
    options.detect.loops = Arc::new(settings.loop_options());
    let policy = &mut options.policy;
    policy.max_auto_retries = settings.max_auto_retries;
    policy.quiet_sec = 2 * u64::from(settings.error_window_sec);
    policy.backoff.base_sec = u64::from(settings.backoff_base_sec);
    policy.backoff.max_sec = u64::from(settings.backoff_max_sec);
    policy.backoff.reset_margin_sec = u64::from(settings.reset_margin_sec);
    options.spending = Arc::new(spending(settings));
    for (class, row) in &settings.class {
        let alert = row.alert.map(|alert| match alert {
            AlertWhen::First => AlertOn::First,
            AlertWhen::Repeat => AlertOn::Repeat,
            AlertWhen::Never => AlertOn::Never,
        });
        policy.set(*class, row.severity, row.strategy, alert);
    }
    Ok(options)
}

/// Returns what is asked of the meter.
fn spending(settings: &Settings) -> spending::Options {
    let caps = [
        (Scope::Run, Unit::Usd, settings.budget_usd),
        (Scope::Run, Unit::Tokens, settings.budget_tokens),
        (Scope::Day, Unit::Usd, settings.budget_usd_per_day),
        (Scope::Day, Unit::Tokens, settings.budget_tokens_per_day),
        (Scope::Project, Unit::Usd, settings.budget_usd_per_project),
        (Scope::Project, Unit::Tokens, settings.budget_tokens_per_project),
    ];
    let caps = caps.into_iter().filter(|(.., limit)| *limit > 0.0);
    spending::Options {
        prices: None,
        interval_sec: u64::from(settings.usage_interval_sec),
        caps: caps.map(|(scope, unit, limit)| Cap { scope, unit, limit }).collect(),
        warn_share: settings.budget_warn_pct,
        usd_per_min: Some(settings.budget_usd_per_min).filter(|rate| *rate > 0.0),
    }
}

/// Puts the prices in force, for who meters as it goes.
pub(super) fn use_stored_prices(options: &mut Options) {
    if let Some(prices) = prices::stored_ones() {
        let prices = Some(Arc::new(prices));
        options.spending = Arc::new(spending::Options { prices, ..(*options.spending).clone() });
    }
}

/// Begins to look after what others use, where a budget is not the run's alone.
pub(super) fn lookout(options: &Arc<Options>, spent: &Spent) -> Option<Lookout> {
    let current = std::env::current_dir().ok()?;
    // The project is the repository, where there is one.
    let top = current.ancestors().find(|folder| folder.join(".git").exists());
    let project = top.unwrap_or(&current).to_owned();
    let transcripts = Box::new(|| {
        let Ok(globs) = walk::Globs::new(&TRANSCRIPTS) else { return Vec::new() };
        walk::walk(&folders().0, &globs, 1).inputs
    });
    let cache = cache::folder(&|name| std::env::var_os(name).map(Into::into));
    let question = Question { transcripts, options: Arc::clone(options), cache, project };
    Lookout::start(question, spent.clone())
}

fn zone(name: &str) -> Result<TimeZone, CliError> {
    if name == "local" {
        return Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC));
    }
    jiff::tz::TimeZoneDatabase::bundled().get(name).map_err(|_| {
        CliError::new(Kind::Config, format!("find the time zone `{name}`"))
            .hint("names look like Europe/Berlin or UTC; `local` takes this machine's")
    })
}
