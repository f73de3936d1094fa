//! What is remembered of one session (or one sub-agent of it): names, detectors, episodes, health.

use std::collections::BTreeMap;

use crate::model::event::{Alert, Decision, Finding, Session, SourcePlace, Status};
use crate::model::id::IdBuilder;
use crate::model::{Basis, Body, Class, Event, EventBody, Health, Level, Strategy, Timestamp};

use super::detect::hang::Hang;
use super::detect::loops::calibrate::Gauge;
use super::detect::loops::{Loops, Row, Verdict};
use super::detect::{self, Detection, Detector, Incident, Observation};
use super::policy::Policy;
use super::policy::episode::Episode;
use super::usage::Amount;
use super::usage::spending::{self, Notice};

/// Where and when something happened, as events tell it.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When it was observed.
    pub now: Timestamp,
    /// The latest that it can have happened: when it arrived, or when the file that it is from was last written.
    pub latest: Timestamp,
    /// When the record says it happened.
    pub time: Option<Timestamp>,
    /// Where in the stream.
    pub place: Option<SourcePlace>,
    /// The format's name.
    pub agent: &'static str,
    /// How many lines the other streams of the session had by then.
    pub lines_elsewhere: u64,
}

impl Moment {
    /// Returns the line, counted over all streams of the session: what lies between two lines of one may stand in
    /// another.
    pub fn line(&self) -> u64 {
        self.place.as_ref().map_or(0, |place| place.line + self.lines_elsewhere)
    }
}

/// One watched conversation.
pub struct Track {
    /// The id that its events carry.
    pub id: String,
    /// The session that it is a sub-agent of.
    pub parent: Option<String>,
    /// What was announced of it.
    pub known: Session,
    /// Whether it was announced at all.
    pub announced: bool,
    /// The latest time that its records said.
    pub last_time: Option<Timestamp>,
    /// Its health.
    pub health: Health,
    /// How often its health changed: silence changes it at no place in the stream, so the place cannot tell the
    /// changes apart. Counted from where in the stream it began, in bytes: one that was forgotten and comes back has
    /// changes of its own.
    health_changes: u64,
    detectors: Vec<Box<dyn Detector + Send>>,
    /// Looks for loops, from the first call of a tool or the first words on.
    loops: Option<Box<Loops>>,
    /// Looks for silence.
    hang: Hang,
    options: detect::Options,
    /// Whether the steps are kept for `explain`.
    explains: bool,
    /// Whether loops are only measured.
    measures: bool,
    episodes: BTreeMap<Class, Episode>,
    last: Option<Last>,
    /// The classes of the findings that the latest report of trouble consists of: programs say what ails them in
    /// several lines, of which the outer may be classed otherwise than the inner. At most one entry a class.
    report: Vec<Class>,
    /// The line of the latest finding of the report.
    report_line: u64,
    /// Whether the agent said that it waits for a person, and nothing has answered it since.
    waiting: bool,
    /// Whether a budget of ours is used up.
    overspent: bool,
    /// The latest failure, as long as the agent may take it back.
    undecided: Option<Undecided>,
    /// How much later than it happened the latest incident arrived, in microseconds: next to nothing in a live stream,
    /// years where a log is replayed. Silence is measured by arrival, episodes by event time.
    lag: i64,
}

/// How long a notice may take to arrive that the failure before it is being retried, in milliseconds: agents that say
/// so in a record of its own write it right behind the failure.
const NOTICE_WAIT_MS: i64 = 100;

/// A failure that the agent may take back with its next words: told, and not judged yet.
struct Undecided {
    incident: Incident,
    moment: Moment,
    /// When it counts as not taken back.
    until: Timestamp,
}

/// A finding on its way to a track.
pub struct Told {
    /// The finding.
    pub finding: Finding,
    /// Its id.
    pub id: String,
    /// Whether it ends the turn or the run.
    pub ends: bool,
    /// Whether a notice may follow at once that it is being retried.
    pub may_retry: bool,
    /// Whether no rule knows the failure.
    pub guess: bool,
}

/// How many lines may lie between two lines of one report.
const REPORT_GAP: u64 = 2;

/// The last incident, for telling restatements from new ones.
struct Last {
    class: Class,
    line: u64,
    time: Option<Timestamp>,
    message: String,
    basis: Basis,
    /// The reset time that the failure named, kept for the records that restate it without one.
    retry_at: Option<Timestamp>,
}

impl Track {
    /// Returns a track of which nothing is known but its id, and that it began `offset` bytes into the stream.
    pub fn new(
        id: String,
        parent: Option<String>,
        path: &str,
        offset: u64,
        options: &detect::Options,
    ) -> Self {
        Self {
            id,
            parent,
            known: Session { path: path.to_owned(), ..Session::default() },
            announced: false,
            last_time: None,
            health: Health::Ok,
            health_changes: offset,
            detectors: detect::build_all(options),
            loops: None,
            hang: Hang::default(),
            options: options.clone(),
            explains: false,
            measures: false,
            episodes: BTreeMap::new(),
            last: None,
            report: Vec::new(),
            report_line: 0,
            waiting: false,
            overspent: false,
            undecided: None,
            lag: 0,
        }
    }

    /// Returns an event of this track.
    pub fn event(&self, moment: &Moment, id: String, body: EventBody) -> Event {
        Event {
            id,
            session: self.id.clone(),
            parent_session: self.parent.clone(),
            agent: moment.agent.to_owned(),
            time: moment.time,
            observed_time: moment.now,
            source: moment.place.clone(),
            body,
        }
    }

    /// Returns the time on which windows run: the record's own, else the last one said, else the latest possible.
    pub fn event_time(&self, moment: &Moment) -> Timestamp {
        moment.time.or(self.last_time).unwrap_or(moment.latest)
    }

    /// Returns the class and the line of the last incident.
    pub fn last_incident(&self) -> Option<(Class, u64)> {
        self.last.as_ref().map(|last| (last.class, last.line))
    }

    /// Returns whether a finding only says again what the one before it said.
    fn restates(&self, finding: &Finding, line: u64, time: Option<Timestamp>, ends: bool) -> bool {
        let Some(last) = &self.last else { return false };
        if last.class != finding.class {
            return false;
        }
        if ends && last.basis == Basis::Asserted {
            return true;
        }
        // A field confirms what the line before it said as text.
        let confirmed = last.basis == Basis::Inferred && finding.basis == Basis::Asserted;
        if confirmed && last.message == finding.message && line.saturating_sub(last.line) <= 1 {
            return true;
        }
        let same_second = match (last.time, time) {
            (Some(one), Some(other)) => other.seconds_since(one).abs() <= 1,
            (None, None) => true,
            _ => false,
        };
        // Programs print one failure over two lines, or the same line twice.
        let near = if last.message == finding.message { 1 } else { 2 };
        finding.basis == Basis::Inferred && same_second && line.saturating_sub(last.line) <= near
    }

    /// Takes a finding: tells it, and what detectors and policy make of it.
    pub fn incident(&mut self, moment: &Moment, told: Told, policy: &Policy, out: &mut dyn FnMut(Event)) {
        let Told { finding, id: finding_id, ends, may_retry, guess } = told;
        self.hang.finding(moment.now, &finding, ends);
        match finding.class {
            Class::WaitingInput => self.waiting = true,
            // A person who stops the agent answers it too.
            Class::Interrupted => self.answered(moment, policy, out),
            _ => {}
        }
        let line = moment.line();
        let restates = self.restates(&finding, line, moment.time, ends);
        let time = self.event_time(moment);
        self.lag = moment.now.as_micros().saturating_sub(time.as_micros());
        let retry_at = finding
            .retry_at
            .or_else(|| self.last.as_ref().filter(|last| last.class == finding.class)?.retry_at);
        if line.saturating_sub(self.report_line) > REPORT_GAP {
            self.report.clear();
        }
        let incident = Incident {
            class: finding.class,
            time,
            finding: finding_id.clone(),
            basis: finding.basis,
            self_healing: finding.self_healing,
            ends,
            restates,
            goes_on: !self.report.is_empty(),
            guess,
            retry_at,
        };
        self.report_line = line;
        if !self.report.contains(&finding.class) {
            self.report.push(finding.class);
        }
        if !restates {
            self.last = Some(Last {
                class: finding.class,
                line,
                time: moment.time,
                message: finding.message.clone(),
                basis: finding.basis,
                retry_at,
            });
        }
        if !incident.self_healing && self.episode_over(&incident, policy, moment, out) {
            self.episodes.remove(&incident.class);
        }
        out(self.event(moment, finding_id, EventBody::Finding(finding)));
        if !incident.self_healing
            && let Some(episode) = self.episodes.get_mut(&incident.class)
        {
            episode.met(time, !restates);
        }
        if may_retry {
            let until = moment.now.plus_millis(NOTICE_WAIT_MS);
            self.undecided = Some(Undecided { incident, moment: moment.clone(), until });
            return;
        }
        self.observe(moment, time, &Observation::Incident(&incident), policy, out);
    }

    /// Whether the latest failure may still be taken back.
    pub fn is_undecided(&self) -> bool {
        self.undecided.is_some()
    }

    /// The agent retries by itself what it reported last: that was no failure to judge.
    pub fn take_back(&mut self) {
        if let Some(Undecided { incident, .. }) = self.undecided.take() {
            self.report.retain(|class| *class != incident.class);
        }
    }

    /// The agent says something else: what it reported last is as it said.
    pub fn settle(&mut self, now: Timestamp, policy: &Policy, out: &mut dyn FnMut(Event)) {
        if let Some(Undecided { incident, moment, .. }) = self.undecided.take() {
            let moment = Moment { now, ..moment };
            self.observe(&moment, incident.time, &Observation::Incident(&incident), policy, out);
        }
    }

    /// Returns whether the episode of the incident's class was over, by silence, before the incident came.
    fn episode_over(
        &mut self,
        incident: &Incident,
        policy: &Policy,
        moment: &Moment,
        out: &mut dyn FnMut(Event),
    ) -> bool {
        let over = self
            .episodes
            .get(&incident.class)
            .is_some_and(|episode| episode.is_over(incident.time, policy.quiet_sec));
        if over && self.episodes.len() == 1 {
            let reason = format!("no {} for {} s", incident.class, policy.quiet_sec);
            self.set_health(moment, Health::Ok, reason, Basis::Inferred, out);
        }
        over
    }

    /// The agent says that it is retrying after what it reported before.
    pub fn retrying(&mut self, moment: &Moment, policy: &Policy, out: &mut dyn FnMut(Event)) {
        let time = self.event_time(moment);
        for class in std::mem::take(&mut self.report) {
            self.observe(moment, time, &Observation::Retrying(class), policy, out);
        }
    }

    /// A person answered, or what can only come after an answer came: the agent waits no more. Other troubles stay.
    pub fn answered(&mut self, moment: &Moment, policy: &Policy, out: &mut dyn FnMut(Event)) {
        if !std::mem::take(&mut self.waiting) {
            return;
        }
        let time = self.event_time(moment);
        self.last.take_if(|last| last.class == Class::WaitingInput);
        self.report.retain(|class| *class != Class::WaitingInput);
        self.observe(moment, time, &Observation::Answered, policy, out);
        if self.episodes.remove(&Class::WaitingInput).is_some() && self.episodes.is_empty() {
            self.set_health(moment, Health::Ok, "a person answered".to_owned(), Basis::Asserted, out);
        }
    }

    /// The agent demonstrably works: every episode ends.
    pub fn progress(&mut self, moment: &Moment, policy: &Policy, out: &mut dyn FnMut(Event)) {
        self.waiting = false;
        // Who goes in circles works, too.
        let loops = self.loops.as_ref().is_some_and(|loops| loops.is_told());
        let overspent = self.overspent;
        let stays =
            |class: Class| loops && class == Class::ToolRepeat || overspent && class == Class::BudgetOver;
        if self.last.is_none() && self.episodes.keys().all(|class| stays(*class)) {
            return;
        }
        let time = self.event_time(moment);
        self.last = None;
        self.observe(moment, time, &Observation::Progress, policy, out);
        self.episodes.retain(|class, _| stays(*class));
        if self.episodes.is_empty() {
            self.set_health(moment, Health::Ok, "the agent works again".to_owned(), Basis::Asserted, out);
        }
    }

    /// Looks at a record for loops; returns what is to be told by [`Self::looped`].
    ///
    /// `whole`: whether messages come whole. Where they come line by line, nothing can be said of them. `asks`: whether a
    /// message in the user's name asks for an answer.
    pub fn look_for_loops(
        &mut self,
        moment: &Moment,
        body: &Body<'_>,
        whole: bool,
        asks: bool,
    ) -> Option<Verdict> {
        match body {
            Body::Message(_) if !whole => return None,
            Body::ToolCall(_) | Body::ToolResult(_) | Body::Message(_) | Body::Lifecycle(_) => {}
            _ => return None,
        }
        let time = self.event_time(moment);
        let place = moment.place.as_ref()?;
        let loops = self.loops.get_or_insert_with(|| {
            let mut loops = Box::new(Loops::new(&self.options.loops, moment.agent));
            if self.explains {
                loops.start_explaining();
            }
            if self.measures {
                loops.start_measuring();
            }
            loops
        });
        let verdict = loops.record(body, place, time, moment.time);
        let happened = moment.time.unwrap_or(moment.latest);
        self.hang.record(moment.now, happened, body, asks, loops.open_call(), place);
        verdict
    }

    /// Takes note of what was used, which is looked at when the next step is.
    pub fn spent(&mut self, added: &Amount) {
        if let Some(loops) = &mut self.loops
            && added.tokens.total() > 0
        {
            let fresh = added.tokens.total().saturating_sub(added.tokens.cache_read);
            loops.spent(added.cost, u64::try_from(fresh).unwrap_or(0));
        }
    }

    /// Tells that the agent goes in circles, or that it does no more.
    pub fn looped(&mut self, moment: &Moment, verdict: Verdict, policy: &Policy, out: &mut dyn FnMut(Event)) {
        let time = self.event_time(moment);
        match verdict {
            Verdict::Loop(detection) => {
                if detection.level == Level::Act {
                    self.episodes.entry(Class::ToolRepeat).or_default().met(time, true);
                }
                self.alert(moment, time, *detection, policy, out);
            }
            Verdict::Over => {
                if self.episodes.remove(&Class::ToolRepeat).is_some() && self.episodes.is_empty() {
                    let reason = "the agent does something else".to_owned();
                    self.set_health(moment, Health::Ok, reason, Basis::Inferred, out);
                }
            }
        }
    }

    /// Tells what the meter noticed. A warning is no trouble of the agent's: its health stays. A budget that is used up stays
    /// used up, whatever the agent does.
    pub fn notice(&mut self, moment: &Moment, notice: Notice, policy: &Policy, out: &mut dyn FnMut(Event)) {
        let time = self.event_time(moment);
        let place = moment.place.as_ref();
        let place = place.map_or_else(String::new, |place| format!("{}:{}", place.name, place.line));
        let trouble = match &notice.about {
            Some(about) => IdBuilder::new("trouble").part(about.as_bytes()),
            None => IdBuilder::new("trouble").part(self.id.as_bytes()),
        };
        let class = notice.class;
        let fingerprint = trouble.part(class.name().as_bytes()).part(notice.detector.as_bytes()).finish("t-");
        if notice.level == Level::Act {
            self.overspent = true;
        }
        let detection = Detection {
            detector: notice.detector,
            class,
            level: notice.level,
            count: 1,
            window_sec: notice.window_sec,
            evidence: (place.clone(), place),
            reason: notice.reason,
            basis: notice.basis,
            retry_at: None,
            key: None,
        };
        let failed = match notice.level {
            Level::Warn => 0,
            Level::Act => {
                let episode = self.episodes.entry(class).or_default();
                episode.met(time, false);
                episode.tell(Level::Act)
            }
        };
        self.tell_alert(moment, time, detection, fingerprint, failed, policy, out);
    }

    /// From now on, keeps the steps that [`Self::take_rows`] returns.
    pub fn start_explaining(&mut self) {
        self.explains = true;
    }

    /// From now on, only measures how close the session comes to being a loop: [`Self::gauge`].
    pub fn start_measuring(&mut self) {
        self.measures = true;
    }

    /// Returns how close the session came to being a loop, if that was measured.
    pub fn gauge(&self) -> Option<&Gauge> {
        self.loops.as_ref()?.gauge()
    }

    /// Returns the steps since the last call, as the detectors of loops saw them.
    pub fn take_rows(&mut self) -> Vec<Row> {
        self.loops.as_mut().map(|loops| loops.take_rows()).unwrap_or_default()
    }

    /// Time passes: what was not taken back in time counts, and episodes that silence has ended go.
    pub fn tick(&mut self, moment: &Moment, policy: &Policy, out: &mut dyn FnMut(Event)) {
        if self.undecided.as_ref().is_some_and(|undecided| moment.now >= undecided.until) {
            self.settle(moment.now, policy, out);
        }
        if let Some(detection) = self.hang.tick(moment.now) {
            let time = self.event_time(moment);
            self.alert(moment, time, detection, policy, out);
        }
        if self.episodes.is_empty() {
            return;
        }
        let time = Timestamp::from_micros(moment.now.as_micros().saturating_sub(self.lag));
        let overspent = self.overspent;
        let stays = |class: Class| overspent && class == Class::BudgetOver;
        self.episodes.retain(|class, episode| stays(*class) || !episode.is_over(time, policy.quiet_sec));
        if self.episodes.is_empty() {
            let reason = format!("no failure for {} s", policy.quiet_sec);
            self.set_health(moment, Health::Ok, reason, Basis::Inferred, out);
        }
    }

    /// Returns when [`Self::tick`] has something to do.
    pub fn next_deadline(&self, policy: &Policy) -> Option<Timestamp> {
        let stays = |class: Class| self.overspent && class == Class::BudgetOver;
        let open = self.episodes.iter().filter(|(class, _)| !stays(**class));
        let over = open.map(|(_, episode)| episode.over_at(policy.quiet_sec)).max();
        let over = over.map(|over| Timestamp::from_micros(over.as_micros().saturating_add(self.lag)));
        let until = self.undecided.as_ref().map(|undecided| undecided.until);
        [over, until, self.hang.deadline()].into_iter().flatten().min()
    }

    /// The source ended, `lines` lines in.
    pub fn end(&mut self, moment: &Moment, lines: u64, policy: &Policy, out: &mut dyn FnMut(Event)) {
        self.settle(moment.now, policy, out);
        let lines_since = self.last.as_ref().map_or(u64::MAX, |last| lines.saturating_sub(last.line));
        let time = self.event_time(moment);
        self.observe(moment, time, &Observation::End { lines_since }, policy, out);
    }

    fn observe(
        &mut self,
        moment: &Moment,
        time: Timestamp,
        observation: &Observation<'_>,
        policy: &Policy,
        out: &mut dyn FnMut(Event),
    ) {
        let detections: Vec<Detection> = self
            .detectors
            .iter_mut()
            .filter_map(|detector| detector.observe(time, observation, policy))
            .collect();
        for detection in detections {
            self.alert(moment, time, detection, policy, out);
        }
    }

    fn alert(
        &mut self,
        moment: &Moment,
        time: Timestamp,
        detection: Detection,
        policy: &Policy,
        out: &mut dyn FnMut(Event),
    ) {
        let class = detection.class;
        let episode = self.episodes.entry(class).or_default();
        episode.met(time, false);
        if !episode.is_news(detection.level, time) {
            return;
        }
        let failed = episode.tell(detection.level);
        let trouble = IdBuilder::new("trouble");
        // A loop is the same in whatever run of a session it comes back.
        let fingerprint = match detection.key {
            Some(key) => trouble.part(class.name().as_bytes()).number(key),
            None => trouble.part(self.id.as_bytes()).part(class.name().as_bytes()),
        }
        .finish("t-");
        self.tell_alert(moment, time, detection, fingerprint, failed, policy, out);
    }

    #[expect(clippy::too_many_arguments, reason = "one alert's facts, passed on once")]
    fn tell_alert(
        &mut self,
        moment: &Moment,
        time: Timestamp,
        detection: Detection,
        fingerprint: String,
        failed: u32,
        policy: &Policy,
        out: &mut dyn FnMut(Event),
    ) {
        let class = detection.class;
        let row = policy.class(class);
        let alert_id = IdBuilder::new("alert")
            .part(fingerprint.as_bytes())
            .part(detection.detector.as_bytes())
            .part(detection.level.name().as_bytes())
            .part(detection.evidence.0.as_bytes())
            .part(detection.evidence.1.as_bytes())
            .finish("a-");
        let mut evidence = vec![detection.evidence.0];
        if detection.evidence.1 != evidence[0] {
            evidence.push(detection.evidence.1);
        }
        let verdict = policy.decide(class, failed, time, detection.retry_at, &fingerprint);
        // A halt after failed recoveries is as grave as the failure that needs a person from the start.
        let severity = if verdict.strategy == Strategy::Halt && row.strategy != Strategy::Halt {
            row.severity.max(crate::model::Severity::High)
        } else {
            row.severity
        };
        let alert = Alert {
            detector: detection.detector.to_owned(),
            class,
            level: detection.level,
            severity,
            count: detection.count,
            window_sec: detection.window_sec,
            evidence,
            fingerprint,
            reason: detection.reason.clone(),
            basis: detection.basis,
        };
        out(self.event(moment, alert_id.clone(), EventBody::Alert(alert)));
        let health = match (detection.level, verdict.strategy) {
            (Level::Warn, _) if spending::DETECTORS.contains(&detection.detector) => Health::Ok,
            (Level::Warn, _) => Health::Warn,
            (Level::Act, Strategy::Halt) => Health::Halted,
            (Level::Act, _) => Health::Error,
        };
        if health > self.health {
            self.set_health(moment, health, detection.reason, detection.basis, out);
        }
        if detection.level == Level::Warn {
            return;
        }
        let not_before = time.plus_seconds(i64::try_from(verdict.delay_sec).unwrap_or(i64::MAX));
        if let Some(episode) = self.episodes.get_mut(&class) {
            episode.decided(not_before, matches!(verdict.strategy, Strategy::Halt | Strategy::Monitor));
        }
        let decision_id = IdBuilder::new("decision")
            .part(alert_id.as_bytes())
            .number(u64::from(verdict.attempt))
            .finish("d-");
        let decision = Decision {
            alert: alert_id,
            class,
            strategy: verdict.strategy,
            attempt: verdict.attempt.min(verdict.max_attempts),
            max_attempts: verdict.max_attempts,
            delay_sec: verdict.delay_sec,
            not_before,
            reason: verdict.reason,
            acted: false,
        };
        out(self.event(moment, decision_id, EventBody::Decision(decision)));
    }

    fn set_health(
        &mut self,
        moment: &Moment,
        to: Health,
        reason: String,
        basis: Basis,
        out: &mut dyn FnMut(Event),
    ) {
        let from = std::mem::replace(&mut self.health, to);
        if from == to {
            return;
        }
        self.health_changes += 1;
        let id = IdBuilder::new("status")
            .part(self.id.as_bytes())
            .part(from.name().as_bytes())
            .part(to.name().as_bytes())
            .number(self.health_changes)
            .finish("h-");
        let status = Status { from: from.into(), to: to.into(), reason, basis, process: None };
        out(self.event(moment, id, EventBody::Status(status)));
    }
}
