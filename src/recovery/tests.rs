//! Recovery as stories: what was seen, how it ended, what comes next.

use std::collections::BTreeMap;

use super::*;
use crate::model::event::{Alert, Event, EventBody, Finding, Session, Status};
use crate::model::record::{Body, Failure, Lifecycle, Message, Place, Record, Role, ToolResult};
use crate::model::{Basis, Class, Health, Level, Origin, Severity, Strategy, Timestamp};
use crate::profile::{Agent, Signal, Stdin, Terminals};

const SID: &str = "32026962-6d28-4530-b84d-70b15b321a17";
const UUID: &str = "11111111-2222-4333-8444-555555555555";
const PIPES: Terminals = Terminals { stdin: false, stdout: false };
const TERMINAL: Terminals = Terminals { stdin: true, stdout: true };
const BEGIN: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// The engine's own table, so that the two never differ.
fn strategies() -> BTreeMap<Class, Strategy> {
    #[derive(serde::Deserialize)]
    struct Row {
        strategy: Strategy,
    }
    let rows: BTreeMap<Class, Row> = toml::from_str(include_str!("../engine/policy/table.toml")).unwrap();
    rows.into_iter().map(|(class, row)| (class, row.strategy)).collect()
}

/// One run, told step by step.
struct Story {
    argv: Vec<String>,
    terminals: Terminals,
    options: Options,
    run: Run,
    facts: Facts,
    notes: Notes,
    now: Timestamp,
    draw: u64,
    starts: u32,
}

impl Story {
    fn of(command: &str, terminals: Terminals) -> Self {
        let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let agent = Agent::recognise(&argv, &[], terminals);
        let chance = Chance { draw: 0, uuid: SID.to_owned() };
        let (run, first) = Run::begin(&agent, "/w", terminals, &chance);
        assert_eq!(run.argv(), argv);
        assert_eq!(first.stdin, Stdin::Same);
        Self {
            argv,
            terminals,
            options: Options::new(strategies()),
            run,
            facts: Facts::new(BEGIN),
            notes: Notes::default(),
            now: BEGIN,
            draw: 0,
            starts: 0,
        }
    }

    fn headless(command: &str) -> Self {
        Self::of(command, PIPES)
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    fn after(&mut self, seconds: i64) -> &mut Self {
        self.now = self.now.plus_seconds(seconds);
        self
    }

    fn session(&mut self, id: &str) -> &mut Self {
        self.facts.session = Some(id.to_owned());
        self
    }

    /// The model says something that its session may be taken back to.
    fn says(&mut self, message: &str, record: &str) -> &mut Self {
        self.heard(None, message, record).after(1)
    }

    fn heard(&mut self, subagent: Option<&str>, message: &str, record: &str) -> &mut Self {
        let said = Body::Message(Message { role: Role::Assistant, text: "words".into() });
        let place = Some(Place { record: record.into(), message: message.into() });
        self.facts
            .record(self.now, &Record { place, subagent: subagent.map(Into::into), ..Record::new(said) });
        self
    }

    fn works(&mut self) -> &mut Self {
        self.facts.worked(self.now);
        self.after(1)
    }

    fn saw(&mut self, class: Class, basis: Basis, retry_in: Option<i64>) -> &mut Self {
        self.facts.failed(Sighting {
            at: self.now,
            source: Source::Stdout,
            class,
            status: None,
            basis,
            retry_at: retry_in.map(|seconds| self.now.plus_seconds(seconds)),
            message: format!("words about {class}"),
            act: false,
            key: String::new(),
        });
        self
    }

    /// A failure that a structured field asserts and a detector confirms.
    fn fails(&mut self, class: Class) -> &mut Self {
        self.fails_until(class, None)
    }

    fn fails_until(&mut self, class: Class, retry_in: Option<i64>) -> &mut Self {
        self.facts.failed(Sighting {
            at: self.now,
            source: Source::Stdout,
            class,
            status: None,
            basis: Basis::Asserted,
            retry_at: retry_in.map(|seconds| self.now.plus_seconds(seconds)),
            message: format!("words about {class}"),
            act: true,
            key: String::new(),
        });
        self
    }

    fn decide(&mut self, what: impl FnOnce(&mut Run, &Moment<'_>) -> Plan) -> Plan {
        self.decide_about(what)
    }

    fn decide_about<T>(&mut self, what: impl FnOnce(&mut Run, &Moment<'_>) -> T) -> T {
        let agent = Agent::recognise(&self.argv, &[], self.terminals);
        let chance = Chance { draw: self.draw, uuid: UUID.to_owned() };
        let moment = Moment {
            now: self.now,
            agent: &agent,
            options: &self.options,
            facts: &self.facts,
            notes: &self.notes,
            chance: &chance,
            redact: &|text| text.to_owned(),
        };
        // Every decision is made by a run that was stored and read in between.
        let mut run = Run::from_json(&self.run.to_json()).unwrap();
        assert_eq!(run, self.run);
        let plan = what(&mut run, &moment);
        self.run = run;
        plan
    }

    fn ends(&mut self, status: i32) -> Plan {
        self.decide(|run, moment| run.ended(moment, &Ended { how: How::Exited(status), stopped: None }))
    }

    fn ends_stopped(&mut self, status: i32, signalled: i64, reason: StopReason) -> Plan {
        let stopped = Some((BEGIN.plus_seconds(signalled), reason));
        self.decide(|run, moment| run.ended(moment, &Ended { how: How::Exited(status), stopped }))
    }

    fn running(&mut self) -> Plan {
        self.decide(|run, moment| run.during(moment))
    }

    /// Carries out a start.
    fn start(&mut self, plan: &Plan) -> &mut Self {
        let Plan::Start(start) = plan else { panic!("no start: {plan:?}") };
        self.run.started(start);
        self.starts += 1;
        self.now = start.not_before;
        self.facts = Facts::new(self.now);
        self
    }

    fn show(&self, plan: &Plan) -> String {
        show(plan, self.now)
    }
}

fn show(plan: &Plan, now: Timestamp) -> String {
    match plan {
        Plan::Done { status, .. } => format!("done {status}"),
        Plan::Halt(halt) => format!("halt {} {}", halt.status.code(), halt.class),
        Plan::Start(start) => {
            let wait = start.not_before.seconds_since(now);
            let kind = serde_json::to_value(start.kind).unwrap();
            let line = start.argv.join(" ").replace(SID, "SID").replace(UUID, "NEW");
            format!("+{wait} {}: {line}", kind.as_str().unwrap())
        }
        Plan::Stop { then, .. } => format!("stop, then {}", show(then, now)),
        Plan::StopTool { .. } => "stop the tool".to_owned(),
        Plan::Type { typing, .. } => typing.iter().fold("type".to_owned(), |text, typing| {
            format!("{text} +{} {:?}", typing.not_before.seconds_since(now), typing.keys)
        }),
        Plan::Leave { until, .. } => format!("leave +{}", until.seconds_since(now)),
        Plan::Watch { .. } => "watch".to_owned(),
    }
}

/// Each agent, and how its session goes on with "continue".
const AGENTS: &[(&str, &str)] = &[
    (
        "claude -p fix --output-format stream-json",
        "claude --resume SID continue -p --output-format stream-json",
    ),
    ("codex exec --json fix", "codex exec --json resume SID continue"),
    ("gemini -p fix -o stream-json", "gemini --resume SID --prompt continue -o stream-json"),
    ("qwen -p fix -o stream-json", "qwen --resume SID --prompt continue -o stream-json"),
    ("opencode run --format json fix", "opencode run --session SID continue --format json"),
];

#[test]
fn a_usage_limit_is_waited_for_and_the_session_goes_on() {
    for (command, resumed) in AGENTS {
        let mut story = Story::headless(command);
        let plan = story.session(SID).after(2).fails_until(Class::UsageLimit, Some(3_600)).ends(1);
        assert_eq!(story.show(&plan), format!("+3645 resume: {resumed}"), "45 s behind the reset");
        let Plan::Start(start) = &plan else { unreachable!() };
        assert_eq!(start.stdin, Stdin::Nothing);
        assert_eq!(start.prompt.as_deref(), Some("continue"));
        assert!(start.reason.contains("resets at"), "{}", start.reason);
        let plan = story.start(&plan).after(60).works().ends(0);
        assert_eq!(story.show(&plan), "done 0", "{command}");
    }
}

#[test]
fn of_two_limits_the_one_that_ends_last_counts() {
    let mut story = Story::headless("claude -p fix");
    story.fails_until(Class::UsageLimit, Some(3_600)).fails_until(Class::UsageLimit, Some(7_200));
    let plan = story.saw(Class::UsageLimit, Basis::Inferred, None).ends(1);
    assert!(story.show(&plan).starts_with("+7245 resume"), "{plan:?}");
}

#[test]
fn a_reset_that_has_just_passed_gets_its_margin() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.fails_until(Class::UsageLimit, Some(-3)).ends(1);
    assert!(story.show(&plan).starts_with("+45 resume"), "{plan:?}");
}

#[test]
fn a_limit_whose_reset_nobody_named_is_probed_at_growing_distances() {
    let mut story = Story::headless("gemini -p fix -o stream-json");
    let mut waits = Vec::new();
    for _ in 0..5 {
        let plan = story.session(SID).fails(Class::UsageLimit).ends(173);
        let Plan::Start(start) = &plan else { panic!("{plan:?}") };
        waits.push(start.not_before.seconds_since(story.now));
        story.start(&plan);
    }
    assert_eq!(waits, [900, 1_800, 3_600, 3_600, 3_600]);
}

#[test]
fn a_limit_that_lasts_longer_than_may_be_waited_is_given_up() {
    let mut story = Story::headless("claude -p fix").with(|options| options.max_wait_sec = 3_600);
    let plan = story.fails_until(Class::UsageLimit, Some(7_200)).ends(1);
    assert_eq!(story.show(&plan), "halt 84 usage_limit");
    let mut story = Story::headless("gemini -p fix").with(|options| options.max_wait_sec = 3_600);
    let plan = story.session(SID).fails(Class::UsageLimit).ends(1);
    assert!(story.show(&plan).starts_with("+900 resume"));
    let plan = story.start(&plan).session(SID).fails(Class::UsageLimit).ends(1);
    assert!(story.show(&plan).starts_with("+1800 resume"));
    let plan = story.start(&plan).session(SID).fails(Class::UsageLimit).ends(1);
    assert_eq!(story.show(&plan), "halt 84 usage_limit", "900 + 1800 + 3600 is too long");
}

#[test]
fn overload_that_outlived_the_agents_own_retries_waits_half_a_minute_and_more() {
    for (command, resumed) in AGENTS {
        let mut story = Story::headless(command);
        let mut waits = Vec::new();
        for round in 0..7 {
            let plan = story.session(SID).after(180).fails(Class::Overloaded).ends(1);
            let Plan::Start(start) = &plan else { panic!("{round}: {plan:?}") };
            assert!(story.show(&plan).ends_with(resumed), "{plan:?}");
            waits.push(start.not_before.seconds_since(story.now));
            story.start(&plan);
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900], "{command}");
        let plan = story.session(SID).fails(Class::Overloaded).ends(1);
        let plan = story.start(&plan).session(SID).fails(Class::Overloaded).ends(1);
        assert_eq!(story.show(&plan), "halt 83 overloaded");
    }
}

#[test]
fn a_failure_that_came_at_once_waits_a_little_with_equal_jitter() {
    for draw in [0, 1, 7, 12_345, u64::MAX] {
        let mut story = Story::headless("gemini -p fix -o stream-json");
        story.draw = draw;
        for step in [2, 4, 8, 16, 32, 32] {
            let plan = story.session(SID).after(1).fails(Class::Network).ends(1);
            let Plan::Start(start) = &plan else { panic!("{plan:?}") };
            let waited = start.not_before.seconds_since(story.now);
            assert!((step / 2..=step).contains(&waited), "{waited} of {step}");
            story.start(&plan);
        }
    }
}

#[test]
fn the_same_network_failure_after_minutes_of_retries_waits_longer() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.session(SID).after(180).fails(Class::Network).ends(1);
    assert!(story.show(&plan).starts_with("+30 resume"), "{plan:?}");
    let mut story = Story::headless("codex exec --json fix");
    let now = story.now;
    story.session(SID).facts.retrying(now, Class::Network, None);
    let plan = story.after(4).fails(Class::Network).ends(1);
    assert!(story.show(&plan).starts_with("+30 resume"), "it said that it had retried");
}

#[test]
fn the_servers_own_time_wins_over_the_backoff() {
    let mut story = Story::headless("gemini -p fix -o stream-json");
    let plan = story.session(SID).fails_until(Class::RateLimit, Some(8)).ends(173);
    assert!(story.show(&plan).starts_with("+8 resume"), "a short wait is meant to the second");
    let mut story = Story::headless("gemini -p fix -o stream-json");
    let plan = story.session(SID).fails_until(Class::RateLimit, Some(3_600)).ends(173);
    assert!(story.show(&plan).starts_with("+3645 resume"));
    let mut story = Story::headless("gemini -p fix -o stream-json");
    let plan = story.session(SID).fails_until(Class::RateLimit, Some(-5)).ends(173);
    assert!(story.show(&plan).starts_with("+30 resume"), "a time that has passed says nothing");
}

#[test]
fn a_program_that_ended_well_is_not_started_again_for_a_line_that_it_printed() {
    let act = |story: &mut Story| {
        story.saw(Class::Overloaded, Basis::Inferred, None);
        let (at, class) = (story.now, Class::Overloaded);
        let message = "nothing came after it".to_owned();
        let (source, basis) = (Source::Stdout, Basis::Inferred);
        story.facts.alerted(Sighting {
            at,
            source,
            class,
            status: None,
            basis,
            retry_at: None,
            message,
            act: true,
            key: String::new(),
        });
    };
    for command in
        ["make test", "claude -p fix", "codex exec fix", "gemini -p fix", "qwen -p fix", "opencode run fix"]
    {
        let mut story = Story::headless(command);
        act(&mut story);
        let plan = story.ends(0);
        assert_eq!(story.show(&plan), "done 0", "{command}");
    }
    // A body of JSON may be the answer too, where the answer is printed as it is.
    let mut story = Story::headless("claude -p fix");
    let plan = story.fails(Class::AuthError).ends(0);
    assert_eq!(story.show(&plan), "done 0");
    let mut story = Story::headless("claude -p fix --output-format json");
    let plan = story.fails(Class::AuthError).ends(0);
    assert!(story.show(&plan).starts_with("halt 80"), "it stands in its own document: {plan:?}");
    let mut story = Story::headless("aider --yes-always --message fix");
    act(&mut story);
    let plan = story.ends(0);
    assert!(story.show(&plan).contains("restart"), "its status is 0 whatever happens: {plan:?}");
    let mut story = Story::headless("make test");
    act(&mut story);
    let plan = story.ends(2);
    assert!(story.show(&plan).contains("restart"), "its status says that it failed: {plan:?}");
}

#[test]
fn the_time_of_an_own_retry_that_failed_is_no_reset() {
    let mut story = Story::headless("claude -p fix").with(|options| options.max_wait_sec = 10);
    let (now, soon) = (story.now, story.now.plus_seconds(1));
    story.session(SID).facts.retrying(now, Class::Overloaded, Some(soon));
    let plan = story.after(2).fails(Class::Overloaded).ends(1);
    assert!(story.show(&plan).starts_with("+30 resume"), "no limit is waited for: {plan:?}");
    let Plan::Start(start) = &plan else { unreachable!() };
    assert!(start.reason.starts_with("overloaded: nobody said how long it lasts"), "{}", start.reason);
}

#[test]
fn what_only_a_person_can_mend_ends_the_run_at_once() {
    let agents = AGENTS.iter().map(|(command, _)| *command).chain(["aider --message fix"]);
    for command in agents {
        for class in [
            Class::AuthError,
            Class::BudgetOver,
            Class::ModelUnavailable,
            Class::ConfigError,
            Class::ContentPolicy,
            Class::DiskFull,
        ] {
            let mut story = Story::headless(command);
            let plan = story.session(SID).after(2).fails(class).ends(1);
            assert_eq!(story.show(&plan), format!("halt 80 {class}"), "{command}");
            let Plan::Halt(halt) = plan else { unreachable!() };
            assert_eq!(halt.reason, format!("{class}: words about {class}."), "more words follow it");
            assert!(halt.fix.ends_with('.'), "{halt:?}");
        }
    }
}

#[test]
fn a_status_alone_says_enough_where_the_agent_means_something_by_it() {
    for (command, status, expected) in [
        ("gemini -p fix -o stream-json", 147, "halt 80 auth_error"),
        ("gemini -p fix", 41, "halt 80 auth_error"),
        ("gemini -p fix", 52, "halt 80 config_error"),
        ("gemini -p fix -o json", 173, "+30 resume: gemini --resume SID --prompt continue -o json"),
        (
            "qwen -p fix",
            53,
            "+2 resume: qwen --resume SID --prompt Continue where you stopped, in smaller steps.",
        ),
        ("claude -p fix", 1, "done 1"),
        ("my-agent fix", 3, "done 3"),
        ("claude -p fix", 143, "done 143"),
        ("claude -p fix", 130, "done 130"),
    ] {
        let mut story = Story::headless(command);
        let plan = story.session(SID).ends(status);
        assert_eq!(story.show(&plan), expected, "{command}");
    }
}

#[test]
fn another_model_takes_over_once_if_the_user_named_one() {
    let fallback = |options: &mut Options| options.fallback_model = Some("small".to_owned());
    let mut story = Story::headless("claude -p fix --model big").with(fallback);
    let plan = story.after(1).fails(Class::ModelUnavailable).ends(1);
    assert_eq!(story.show(&plan), "+0 resume: claude --resume SID continue -p --model small");
    let plan = story.start(&plan).fails_until(Class::UsageLimit, Some(60)).ends(1);
    assert!(story.show(&plan).ends_with("--model small"), "it stays: {plan:?}");
    let plan = story.start(&plan).fails(Class::ModelUnavailable).ends(1);
    assert_eq!(story.show(&plan), "halt 80 model_unavailable");
}

#[test]
fn a_full_context_is_made_smaller_and_then_goes_on() {
    let mut story = Story::headless("claude -p fix --output-format stream-json");
    let plan = story.works().fails(Class::TokenLimit).ends(1);
    assert_eq!(story.show(&plan), "+0 compact: claude --resume SID /compact -p --output-format stream-json");
    let plan = story.start(&plan).after(9).ends(0);
    assert_eq!(story.show(&plan), "+0 resume: claude --resume SID continue -p --output-format stream-json");
    let plan = story.start(&plan).works().ends(0);
    assert_eq!(story.show(&plan), "done 0");
}

#[test]
fn where_that_does_not_help_a_new_session_takes_over() {
    let fresh = "+0 fresh: claude --session-id NEW fix\n\nAn earlier session on this task ended: its context was full.";
    let mut story = Story::headless("claude -p fix");
    let plan = story.works().fails(Class::TokenLimit).ends(1);
    let plan = story.start(&plan).fails(Class::TokenLimit).ends(1);
    assert!(story.show(&plan).starts_with(fresh), "{plan:?}");
    let mut story = Story::headless("claude -p fix");
    let plan = story.works().fails(Class::TokenLimit).ends(1);
    let plan = story.start(&plan).ends(1);
    assert!(story.show(&plan).starts_with(fresh), "it failed and did not say why: {plan:?}");
    let mut story = Story::headless("claude -p fix");
    story.works().facts.compaction_failed = true;
    let plan = story.fails(Class::TokenLimit).ends(1);
    assert!(story.show(&plan).starts_with(fresh), "the agent has tried it itself: {plan:?}");
}

#[test]
fn agents_that_cannot_compact_hand_over_at_once() {
    for (command, start) in [
        ("codex exec --json fix", "+0 fresh: codex exec --json -- fix\n\nAn earlier session"),
        ("gemini -p fix", "+0 fresh: gemini --prompt fix\n\nAn earlier session"),
        ("qwen -p fix", "+0 fresh: qwen --prompt fix\n\nAn earlier session"),
        ("aider --message fix a.py", "+0 fresh: aider --message fix\n\nAn earlier session"),
    ] {
        // Standard input is a terminal: else what was piped to Codex would be lost.
        let mut story = Story::of(command, Terminals { stdin: true, stdout: false });
        let plan = story.session(SID).works().fails(Class::TokenLimit).ends(1);
        assert!(story.show(&plan).starts_with(start), "{command}: {plan:?}");
    }
}

#[test]
fn a_first_prompt_that_is_too_long_is_for_the_person_to_cut() {
    for (command, _) in AGENTS {
        let mut story = Story::headless(command);
        let plan = story.session(SID).fails(Class::TokenLimit).ends(1);
        assert_eq!(story.show(&plan), "halt 80 token_limit", "{command}");
    }
}

#[test]
fn the_same_refusal_twice_in_a_session_leaves_its_history_behind() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.works().fails(Class::Http400).ends(1);
    assert_eq!(story.show(&plan), "+2 resume: claude --resume SID continue -p", "once may be chance");
    let plan = story.start(&plan).fails(Class::Http400).ends(1);
    assert!(story.show(&plan).starts_with("+0 fresh: claude --session-id NEW fix\n"), "{plan:?}");
    // A new session has a new history.
    let plan = story.start(&plan).works().fails(Class::Http400).ends(1);
    assert!(story.show(&plan).contains("resume: claude --resume NEW continue"), "{plan:?}");
}

#[test]
fn an_agent_that_can_go_back_goes_back_to_its_last_good_message() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.says("m1", "A").says("m2", "B").says("m2", "C").fails(Class::Http400).ends(1);
    assert_eq!(story.show(&plan), "+2 resume: claude --resume SID continue -p", "once may be chance");
    let plan = story.start(&plan).fails(Class::Http400).ends(1);
    let back = "+0 fork: claude --resume SID --resume-session-at C --fork-session --session-id NEW The provider refused";
    assert!(story.show(&plan).starts_with(back), "{plan:?}");
    let Plan::Start(start) = &plan else { unreachable!() };
    let prompt = start.prompt.as_deref().unwrap();
    assert!(prompt.contains("words about http_400. What came after your last message"), "{prompt}");
    let plan = story.start(&plan).says("m3", "D").ends(0);
    assert_eq!(story.show(&plan), "done 0");
}

#[test]
fn where_going_back_does_not_help_it_goes_further_back_and_then_begins_anew() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.says("m1", "A").says("m2", "B").fails(Class::Http400).ends(1);
    let plan = story.start(&plan).fails(Class::Http400).ends(1);
    assert!(story.show(&plan).contains("--resume SID --resume-session-at B "), "{plan:?}");
    let plan = story.start(&plan).fails(Class::Http400).ends(1);
    assert!(story.show(&plan).contains("--resume NEW --resume-session-at A "), "{plan:?}");
    let plan = story.start(&plan).fails(Class::Http400).ends(1);
    assert!(story.show(&plan).starts_with("+0 fresh: claude --session-id NEW fix\n"), "{plan:?}");
    let plan = story.start(&plan).fails(Class::Http400).ends(1);
    assert_eq!(story.show(&plan), "halt 83 http_400");
}

#[test]
fn an_agent_that_does_the_same_again_after_it_went_back_is_not_sent_back_for_ever() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.says("m1", "A").says("m2", "B").fails(Class::Http400).ends(1);
    let plan = story.start(&plan).fails(Class::Http400).ends(1);
    let plan = story.start(&plan).says("m3", "C").fails(Class::Http400).ends(1);
    assert!(story.show(&plan).contains("--resume NEW --resume-session-at C "), "{plan:?}");
    let plan = story.start(&plan).says("m4", "D").fails(Class::Http400).ends(1);
    assert!(story.show(&plan).starts_with("+0 fresh: claude --session-id NEW fix\n"), "{plan:?}");
}

#[test]
fn a_message_that_cannot_be_gone_back_to_leaves_a_new_session() {
    for mode in ["", " --output-format json", " --output-format stream-json"] {
        let mut story = Story::headless(&format!("claude -p fix{mode}"));
        let plan = story.says("m1", "A").fails(Class::Http400).ends(1);
        let plan = story.start(&plan).fails(Class::Http400).ends(1);
        assert!(story.show(&plan).contains("--resume-session-at A"), "{plan:?}");
        story.start(&plan).facts.line("No message found with message.uuid of: A");
        let plan = story.ends(1);
        assert!(story.show(&plan).starts_with("+0 fresh: claude --session-id NEW fix\n"), "{plan:?}");
    }
}

#[test]
fn nothing_is_gone_back_to_that_was_compacted_away_or_was_another_sessions() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.says("m1", "A").fails(Class::Http400).ends(1);
    let compacted = Record::new(Body::Lifecycle(Lifecycle::Compacted));
    story.start(&plan).facts.record(BEGIN, &compacted);
    let plan = story.fails(Class::Http400).ends(1);
    assert!(story.show(&plan).starts_with("+0 fresh"), "{plan:?}");
    let plan = story.start(&plan).works().fails(Class::Http400).ends(1);
    let plan = story.start(&plan).fails(Class::Http400).ends(1);
    assert!(story.show(&plan).starts_with("+0 fresh"), "A is not in it: {plan:?}");
    // A sub-agent's messages stand in no history of the main conversation.
    let mut story = Story::headless("claude -p fix");
    story.says("m1", "A").heard(Some("sub"), "m2", "B");
    let plan = story.fails(Class::Http400).ends(1);
    let plan = story.start(&plan).fails(Class::Http400).ends(1);
    assert!(story.show(&plan).contains("--resume-session-at A "), "{plan:?}");
}

#[test]
fn a_request_that_was_refused_from_the_start_is_no_matter_of_history() {
    let mut story = Story::headless("codex exec --json fix");
    let plan = story.session(SID).fails(Class::Http400).ends(1);
    let plan = story.start(&plan).session(SID).fails(Class::Http400).ends(1);
    assert_eq!(story.show(&plan), "halt 80 http_400");
}

#[test]
fn malformed_output_is_answered_with_what_was_wrong() {
    let mut story = Story::headless("codex exec --json fix");
    let plan = story.session(SID).works().fails(Class::JsonParse).ends(1);
    let Plan::Start(start) = &plan else { panic!("{plan:?}") };
    assert_eq!(start.kind, Kind::Resume);
    let prompt = start.prompt.as_deref().unwrap();
    assert!(prompt.contains("words about json_parse."), "{prompt}");
}

#[test]
fn a_turn_or_output_limit_goes_on_in_smaller_steps() {
    for class in [Class::MaxTurns, Class::OutputLimit] {
        let mut story = Story::headless("claude -p fix --max-turns 3");
        let plan = story.works().fails(class).ends(1);
        let expected =
            "resume: claude --resume SID Continue where you stopped, in smaller steps. -p --max-turns 3";
        assert!(story.show(&plan).ends_with(expected), "{plan:?}");
    }
}

#[test]
fn a_crash_resumes_the_session_or_starts_again() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.works().ends(139);
    let Plan::Start(start) = &plan else { panic!("{plan:?}") };
    assert_eq!(start.kind, Kind::Resume);
    assert!(start.prompt.as_deref().unwrap().contains("interrupted"));
    // Nothing is known of its sessions.
    let mut story = Story::headless("my-agent fix");
    let plan = story.ends(137);
    assert_eq!(story.show(&plan), "+2 restart: my-agent fix");
    let Plan::Start(start) = &plan else { unreachable!() };
    assert_eq!((start.stdin, &start.prompt), (Stdin::Same, &None), "as it was, its input too");
    let plan = story.start(&plan).ends(137);
    let plan = story.start(&plan).ends(137);
    assert_eq!(story.show(&plan), "halt 83 crash");
}

#[test]
fn an_agent_without_sessions_is_started_again() {
    let mut story = Story::headless("aider --message fix a.py");
    let plan = story.after(1).saw(Class::RateLimit, Basis::Inferred, None).ends(1);
    assert_eq!(story.show(&plan), "+30 restart: aider --message fix a.py");
    let plan = Story::headless("aider --message fix").fails(Class::RateLimit).ends(0);
    assert_eq!(show(&plan, BEGIN), "+30 restart: aider --message fix", "it ends with 0 whatever happens");
}

#[test]
fn a_loop_is_broken_once_and_ended_the_second_time() {
    let mut story = Story::headless("claude -p fix --output-format stream-json");
    let plan = story.works().fails(Class::ToolRepeat).running();
    let Plan::Stop { steps, then, .. } = &plan else { panic!("{plan:?}") };
    assert_eq!(steps[0].signal, Signal::Int);
    let Plan::Start(start) = &**then else { panic!("{then:?}") };
    assert!(start.prompt.as_deref().unwrap().contains("words about tool_repeat."));
    assert_eq!(story.running(), Plan::Watch { reason: "it is being stopped.".to_owned() });
    let plan = story.after(2).ends_stopped(0, 1, StopReason::Plan);
    assert!(story.show(&plan).starts_with("+0 resume: claude --resume SID You were interrupted"), "{plan:?}");
    let plan = story.start(&plan).works().fails(Class::ToolRepeat).running();
    assert_eq!(story.show(&plan), "stop, then halt 81 tool_repeat");
    let plan = story.ends_stopped(0, 5, StopReason::Plan);
    assert_eq!(story.show(&plan), "halt 81 tool_repeat");
}

#[test]
fn the_agent_is_told_which_loop_it_was_in() {
    let mut story = Story::headless("claude -p fix --output-format stream-json");
    story.works();
    story.facts.alerted(Sighting {
        at: story.now,
        source: Source::Stdout,
        class: Class::ToolRepeat,
        status: None,
        basis: Basis::Asserted,
        retry_at: None,
        message: "the agent ran \"Bash ls\" 6 times in a row with the same result".to_owned(),
        act: true,
        key: String::new(),
    });
    let Plan::Stop { then, .. } = story.running() else { panic!("it goes on") };
    let Plan::Start(start) = *then else { panic!("{then:?}") };
    let prompt = start.prompt.unwrap();
    assert!(prompt.contains("you ran \"Bash ls\" 6 times in a row with the same result."), "{prompt}");
}

#[test]
fn another_loop_is_told_of_too_but_not_one_after_the_other() {
    let ends_at = |loops: &[&str]| {
        let mut story = Story::headless("claude -p fix --output-format stream-json");
        story.works();
        loops.iter().position(|key| {
            story.facts.alerted(Sighting {
                at: story.now,
                source: Source::Stdout,
                class: Class::ToolRepeat,
                status: None,
                basis: Basis::Asserted,
                retry_at: None,
                message: "the agent ran it 6 times in a row with the same result".to_owned(),
                act: true,
                key: (*key).to_owned(),
            });
            let plan = story.running();
            if story.show(&plan).starts_with("stop, then halt 81") {
                return true;
            }
            let plan = story.after(2).ends_stopped(0, 1, StopReason::Plan);
            story.start(&plan).works();
            false
        })
    };
    assert_eq!(ends_at(&["ls", "test", "ls", "a"]), Some(2), "it was told of that one");
    assert_eq!(ends_at(&["ls", "test", "grep", "build", "lint"]), Some(3), "enough is enough");
}

#[test]
fn a_loop_that_the_agent_ended_itself_is_no_success() {
    let mut story = Story::headless("gemini -p fix -o stream-json");
    let plan = story.session(SID).works().fails(Class::ToolRepeat).ends(0);
    assert!(story.show(&plan).starts_with("+0 resume: gemini --resume SID --prompt You were"), "{plan:?}");
}

#[test]
fn a_hanging_tool_is_killed_before_its_agent_is() {
    for (command, survives) in [
        ("claude -p fix --output-format stream-json", true),
        ("codex exec --json fix", true),
        ("gemini -p fix -o stream-json", true),
        ("opencode run --format json fix", false),
    ] {
        let mut story = Story::headless(command);
        let now = story.now;
        story.session(SID).works().facts.called(now, "t1", "Bash make", false);
        story.facts.tool_is_apart = true;
        let plan = story.after(700).fails(Class::Stalled).running();
        if survives {
            assert_eq!(story.show(&plan), "stop the tool", "{command}");
            let plan = story.after(30).running();
            assert_eq!(story.show(&plan), "leave +30", "{command}: it may go on");
            let plan = story.after(30).running();
            assert!(story.show(&plan).starts_with("stop, then"), "{command}: it did not help");
        } else {
            assert!(story.show(&plan).starts_with("stop, then +"), "{command}: {plan:?}");
        }
    }
}

#[test]
fn a_silent_agent_is_stopped_and_resumed() {
    let mut story = Story::headless("claude -p fix --output-format stream-json");
    let plan = story.works().after(700).fails(Class::Stalled).running();
    let Plan::Stop { then, .. } = &plan else { panic!("{plan:?}") };
    assert!(show(then, story.now).contains("resume: claude --resume SID You were interrupted."), "{then:?}");
    let plan = story.after(30).ends_stopped(0, 750, StopReason::Plan);
    let Plan::Start(start) = &plan else { panic!("{plan:?}") };
    assert!(start.not_before >= story.now, "never in the past");
}

#[test]
fn a_program_that_lives_is_not_ended_for_what_its_output_reads_like() {
    for command in ["make test", "claude -p fix", "claude -p fix --output-format stream-json"] {
        let mut story = Story::headless(command);
        let sighting = Sighting {
            at: story.now,
            source: Source::Stdout,
            class: Class::RateLimit,
            status: None,
            basis: Basis::Inferred,
            retry_at: None,
            message: "it was met 3 times".to_owned(),
            act: true,
            key: String::new(),
        };
        story.facts.failed(sighting);
        let plan = story.after(30).running();
        assert_eq!(story.show(&plan), "watch", "{command}");
    }
}

#[test]
fn silence_means_a_hang_only_where_the_agent_would_say_something() {
    let means = |story: &mut Story| story.decide_about(|run, moment| run.silence_means(moment));
    let hangs = |story: &mut Story| means(story) == Silent::Agent;
    let mut story = Story::headless("claude -p fix --output-format stream-json");
    assert!(hangs(&mut story), "it has not even answered");
    story.facts.called(story.now, "t1", "Bash make", false);
    story.facts.called(story.now, "t2", "Bash make", false);
    let answer = |id: &str| {
        Body::ToolResult(ToolResult {
            id: id.to_owned().into(),
            failed: false,
            exit_code: None,
            text: "".into(),
        })
    };
    story.facts.record(story.now, &Record::new(answer("t1")));
    assert_eq!(means(&mut story), Silent::Tool, "of two tools one runs");
    story.facts.record(story.now, &Record::new(answer("t2")));
    assert!(hangs(&mut story));
    story.facts.called(story.now, "t3", "Bash make", true);
    assert_eq!(means(&mut story), Silent::Ordinary, "a tool that waits");
    story.facts.record(story.now, &Record::new(answer("t3")));
    story.facts.retrying(story.now, Class::Overloaded, None);
    assert!(!hangs(story.after(200)), "it retries, which takes minutes");
    assert!(hangs(story.after(41)), "no retry of its takes so long");
    story.facts.finished(story.now);
    assert!(!hangs(&mut story), "it has said its last word");

    let mut story = Story::headless("claude -p fix");
    assert!(!hangs(&mut story), "it says nothing until its end");
    story.facts.is_written = true;
    assert!(hangs(&mut story), "its transcript would tell");
    let mut story = Story::of("claude fix", TERMINAL);
    assert!(!hangs(&mut story), "a person sits there");
    let mut story = Story::headless("codex exec --json fix").with(|options| options.stall_sec = 0);
    assert!(!hangs(&mut story), "the user does not want it");
    let watched = |options: &mut Options| {
        options.strategies.insert(Class::Stalled, Strategy::Monitor);
    };
    assert!(!hangs(&mut Story::headless("codex exec --json fix").with(watched)), "nor so");
}

#[test]
fn an_agent_that_retries_by_itself_is_left_alone() {
    let mut story = Story::headless("codex exec --json fix");
    story.session(SID).works().fails(Class::Stalled);
    let now = story.after(10).now;
    story.facts.retrying(now, Class::Network, None);
    let plan = story.running();
    assert_eq!(story.show(&plan), "leave +1500", "its own worst case");
    let plan = story.after(1_500).running();
    let Plan::Stop { then, .. } = &plan else { panic!("{plan:?}") };
    assert!(
        show(then, story.now).starts_with("+30 resume: codex exec --json resume SID continue"),
        "{then:?}"
    );
}

#[test]
fn an_agent_whose_log_tells_each_try_is_left_alone_until_it_ends() {
    let after = |source: Source, class: Class| {
        let mut story = Story::headless("opencode run --format json fix");
        let at = story.session(SID).now;
        story.facts.failed(Sighting {
            at,
            source,
            class,
            status: None,
            basis: Basis::Asserted,
            retry_at: None,
            message: "Unable to connect".to_owned(),
            act: true,
            key: String::new(),
        });
        let plan = story.after(60).running();
        story.show(&plan)
    };
    assert_eq!(after(Source::Transcript, Class::Network), "watch");
    assert_eq!(after(Source::Transcript, Class::UsageLimit), "watch");
    assert!(
        after(Source::Transcript, Class::AuthError).starts_with("stop, then halt 80"),
        "that does not pass"
    );
    assert!(after(Source::Stdout, Class::Network).starts_with("stop, then"), "that is its last word");
}

#[test]
fn an_agent_that_obeys_a_servers_hour_is_left_alone_for_it() {
    let mut story = Story::headless("opencode run --format json fix");
    let (now, until) = (story.now, story.now.plus_seconds(3_600));
    story.session(SID).facts.retrying(now, Class::RateLimit, Some(until));
    let plan = story.after(600).fails(Class::Stalled).running();
    assert_eq!(story.show(&plan), "leave +3120", "a little longer than the hour");
}

#[test]
fn a_failed_agent_gets_a_moment_to_end_by_itself() {
    let mut story = Story::headless("codex exec --json fix");
    let plan = story.session(SID).fails(Class::AuthError).running();
    assert_eq!(story.show(&plan), "leave +15");
    let plan = story.after(15).running();
    assert_eq!(story.show(&plan), "stop, then halt 80 auth_error");
    let plan = story.ends_stopped(143, 15, StopReason::Plan);
    assert_eq!(story.show(&plan), "halt 80 auth_error");
}

#[test]
fn an_agent_at_its_menu_is_answered() {
    let mut story = Story::of("claude fix", TERMINAL);
    story.facts.line("❯ 1. Stop and wait for limit to reset");
    let plan = story.fails_until(Class::UsageLimit, Some(600)).running();
    assert_eq!(story.show(&plan), r#"type +0 ["\u{1b}"] +645 ["\u{15}", "continue", "\r"]"#);
    let plan = story.after(10).running();
    assert_eq!(story.show(&plan), "watch", "it is not told twice");
    let plan = story.after(640).saw(Class::UsageLimit, Basis::Inferred, None).running();
    assert_eq!(story.show(&plan), "watch", "it was told, and its screen is drawn anew");
    let plan = story.saw(Class::UsageLimit, Basis::Asserted, Some(3_600)).running();
    assert_eq!(
        story.show(&plan),
        r#"type +0 ["\u{1b}"] +3645 ["\u{15}", "continue", "\r"]"#,
        "another limit is used up too"
    );
}

#[test]
fn an_agent_that_continues_by_itself_is_not_told_to() {
    let mut story = Story::of("claude fix", TERMINAL);
    story.facts.line("❯ 1. Wait here, then continue automatically at 3pm");
    let plan = story.fails_until(Class::UsageLimit, Some(600)).running();
    assert_eq!(story.show(&plan), "leave +945");
    let plan = story.after(945).running();
    assert_eq!(
        story.show(&plan),
        "stop, then +45 resume: claude --resume SID continue",
        "it did not, and is resumed by us"
    );
}

#[test]
fn an_agent_whose_keys_are_not_known_is_stopped_and_resumed() {
    let mut story = Story::of("codex fix", TERMINAL);
    let plan = story.session(SID).fails_until(Class::UsageLimit, Some(600)).running();
    assert_eq!(story.show(&plan), "stop, then +645 resume: codex resume SID continue");
    let Plan::Stop { then, .. } = plan else { unreachable!() };
    let Plan::Start(start) = *then else { unreachable!() };
    assert_eq!(start.stdin, Stdin::Terminal);
}

#[test]
fn other_failures_of_an_interactive_agent_are_for_the_person_who_sees_them() {
    for class in [Class::AuthError, Class::Overloaded, Class::JsonParse] {
        let mut story = Story::of("claude fix", TERMINAL);
        let plan = story.fails(class).after(60).running();
        assert_eq!(story.show(&plan), "watch", "{class}");
    }
}

#[test]
fn what_was_mended_by_work_is_no_reason_to_act() {
    let mut story = Story::headless("claude -p fix --output-format stream-json");
    story.fails(Class::Overloaded).after(5).works();
    let plan = story.running();
    assert_eq!(story.show(&plan), "watch");
    let plan = story.ends(0);
    assert_eq!(story.show(&plan), "done 0");
    let mut story = Story::headless("claude -p fix --output-format stream-json");
    let plan = story.fails(Class::Overloaded).after(5).works().ends(1);
    assert_eq!(story.show(&plan), "done 1", "why it failed then, nobody knows");
}

#[test]
fn the_failure_that_explains_most_decides_though_another_was_confirmed() {
    // Gemini in plain text: the quota, and then a stack trace that looks like a crash.
    let mut story = Story::headless("gemini -p fix");
    story.session(SID).saw(Class::UsageLimit, Basis::Inferred, None).fails(Class::Crash);
    let plan = story.ends(1);
    assert_eq!(story.show(&plan), "+900 resume: gemini --resume SID --prompt continue");
}

#[test]
fn an_old_line_of_text_does_not_explain_a_later_end() {
    let mut story = Story::headless("aider --message fix");
    let plan = story.saw(Class::RateLimit, Basis::Inferred, None).after(600).ends(1);
    assert_eq!(story.show(&plan), "done 1");
    let mut story = Story::headless("aider --message fix");
    let plan = story.saw(Class::RateLimit, Basis::Inferred, None).ends(0);
    assert_eq!(story.show(&plan), "done 0", "a good end needs more than a line of text");
}

#[test]
fn a_failure_after_our_own_signal_is_ours() {
    for (status, reason, expected) in [
        (143, StopReason::User, "done 143"),
        (0, StopReason::User, "done 0"),
        (143, StopReason::TimeLimit, "done 124"),
    ] {
        let mut story = Story::headless("claude -p fix");
        let plan = story.works().after(9).fails(Class::Crash).ends_stopped(status, 5, reason);
        assert_eq!(story.show(&plan), expected);
    }
}

#[test]
fn a_success_after_our_own_signal_is_checked_and_one_before_it_counts() {
    let stalled = || {
        let mut story = Story::headless("claude -p fix --output-format stream-json");
        let plan = story.works().after(700).fails(Class::Stalled).running();
        assert!(matches!(plan, Plan::Stop { .. }));
        story
    };
    let mut story = stalled();
    // Stopped at 701; it said that all is well at 710, after its tool was killed.
    story.facts.finished(BEGIN.plus_seconds(710));
    let plan = story.after(20).ends_stopped(143, 701, StopReason::Plan);
    let Plan::Start(start) = plan else { panic!("{plan:?}") };
    assert!(start.prompt.unwrap().contains("Check what is already done"));

    let mut story = Story::headless("claude -p fix --output-format stream-json");
    story.works().after(700).fails(Class::Stalled);
    story.running();
    // It came to life again before the signal reached it.
    story.facts.worked(BEGIN.plus_seconds(701));
    story.facts.finished(BEGIN.plus_seconds(702));
    let plan = story.after(20).ends_stopped(143, 703, StopReason::Plan);
    assert_eq!(story.show(&plan), "done 0", "it had just finished");
}

#[test]
fn a_session_that_cannot_be_resumed_is_begun_anew() {
    // Gemini, at its limit in the first turn: nothing was kept.
    let mut story = Story::headless("gemini -p fix -o stream-json");
    let plan = story.session(SID).fails_until(Class::UsageLimit, Some(60)).ends(173);
    story.start(&plan).facts.line("Error resuming session: No previous sessions found for this project.");
    let plan = story.ends(42);
    assert_eq!(story.show(&plan), "+0 restart: gemini -p fix -o stream-json");

    // Claude, that had worked: the new session is told.
    let mut story = Story::headless("claude -p fix");
    let plan = story.works().fails_until(Class::UsageLimit, Some(60)).ends(1);
    story.start(&plan).facts.line(&format!("No conversation found with session ID: {SID}"));
    let plan = story.ends(1);
    assert!(story.show(&plan).starts_with("+0 fresh: claude --session-id NEW fix\n\nAn earlier"), "{plan:?}");
}

#[test]
fn a_session_id_that_is_taken_means_that_the_session_can_be_resumed() {
    let command = format!("claude -p fix --session-id {SID}");
    let mut story = Story::headless(&command);
    story.facts.line(&format!("Error: Session ID {SID} is already in use."));
    let plan = story.ends(1);
    assert_eq!(story.show(&plan), "+0 resume: claude --resume SID continue -p");
}

#[test]
fn a_session_that_the_user_named_wrongly_is_the_users_matter() {
    let mut story = Story::headless(&format!("claude -p fix --resume {SID}"));
    story.facts.line(&format!("No conversation found with session ID: {SID}"));
    let plan = story.ends(1);
    assert_eq!(story.show(&plan), "halt 80 config_error");
}

#[test]
fn a_resumed_session_never_gets_the_first_prompt_twice() {
    for command in
        ["claude -p fix -c", "codex exec resume --last fix", "qwen -p fix -c", "opencode run -c fix"]
    {
        let mut story = Story::headless(command);
        let plan = story.session(SID).fails_until(Class::UsageLimit, Some(60)).ends(1);
        let Plan::Start(start) = &plan else { panic!("{command}: {plan:?}") };
        assert!(!start.argv.contains(&"fix".to_owned()), "{command}: {:?}", start.argv);
    }
    // Nothing can be rewritten, and the same again would say it twice.
    let mut story = Story::headless(&format!("claude --new-option -p fix --resume {SID} --other more"));
    let plan = story.fails_until(Class::UsageLimit, Some(60)).ends(1);
    assert_eq!(story.show(&plan), "done 1");
}

#[test]
fn every_start_of_an_attempt_that_resumes_leaves_the_first_prompt_out() {
    for (command, _) in AGENTS {
        for class in Class::ALL {
            let mut story = Story::headless(command);
            let plan = story.session(SID).works().fails(*class).ends(1);
            if let Plan::Start(start) = plan
                && matches!(start.kind, Kind::Resume | Kind::Fork | Kind::Compact)
            {
                assert!(!start.argv.contains(&"fix".to_owned()), "{command} {class}: {:?}", start.argv);
                assert_eq!(start.stdin, Stdin::Nothing, "{command} {class}");
            }
        }
    }
}

#[test]
fn another_program_that_talks_to_the_agent_is_not_talked_over() {
    let mut story = Story::headless("claude -p --input-format stream-json --output-format stream-json");
    let plan = story.session(SID).works().fails_until(Class::UsageLimit, Some(60)).ends(1);
    assert_eq!(story.show(&plan), "done 1");
    let Plan::Done { reason, .. } = plan else { unreachable!() };
    assert!(reason.contains("another program talks to it"), "{reason}");
}

#[test]
fn starts_are_bounded_within_their_window_even_if_the_agent_works_in_between() {
    let mut story = Story::headless("claude -p fix").with(|options| options.max_restarts = 3);
    for _ in 0..3 {
        let plan = story.works().fails(Class::Overloaded).ends(1);
        story.start(&plan);
    }
    let plan = story.works().fails(Class::Overloaded).ends(1);
    assert_eq!(story.show(&plan), "halt 83 overloaded");
    // The window moves on.
    let mut story = Story::headless("claude -p fix").with(|options| {
        options.max_restarts = 3;
        options.restart_window_sec = 3_600;
    });
    for _ in 0..12 {
        let plan = story.after(1_800).works().fails(Class::Overloaded).ends(1);
        story.start(&plan);
    }
    assert_eq!(story.starts, 12);
}

#[test]
fn work_begins_a_new_episode() {
    let mut story = Story::headless("claude -p fix");
    for _ in 0..5 {
        let plan = story.works().fails(Class::JsonParse).ends(1);
        story.start(&plan);
    }
    for expected in ["+4 resume", "halt 83"] {
        let plan = story.fails(Class::JsonParse).ends(1);
        assert!(story.show(&plan).starts_with(expected), "without work there are two: {plan:?}");
        if expected.starts_with('+') {
            story.start(&plan);
        }
    }
}

#[test]
fn only_what_the_user_allows_is_done() {
    let only = |list: &[Strategy]| Allowed::Only(list.to_vec());
    for (allowed, class, expected) in [
        (only(&[Strategy::Backoff]), Class::UsageLimit, "+105 resume: claude --resume SID continue -p"),
        (only(&[Strategy::Backoff]), Class::Http400, "done 1"),
        (only(&[Strategy::Backoff]), Class::AuthError, "done 1"),
        (only(&[Strategy::Halt]), Class::AuthError, "halt 80 auth_error"),
        (only(&[]), Class::UsageLimit, "done 1"),
        (only(&[Strategy::Backoff]), Class::ContentPolicy, "done 1"),
    ] {
        let mut story = Story::headless("claude -p fix").with(|options| options.allowed = allowed.clone());
        let plan = story.works().fails_until(class, Some(60)).ends(1);
        assert_eq!(story.show(&plan), expected, "{allowed:?} {class}");
    }
    let mut story =
        Story::headless("claude -p fix").with(|options| options.allowed = only(&[Strategy::Backoff]));
    let plan = story.works().fails(Class::ToolRepeat).after(60).running();
    assert_eq!(story.show(&plan), "watch");
}

#[test]
fn our_own_limit_on_money_has_its_own_status() {
    let mut story = Story::headless("claude -p fix");
    story.works().facts.budget_used_up = Some("this run has used $5.01, and its budget is $5.00.".to_owned());
    let plan = story.running();
    assert_eq!(story.show(&plan), "stop, then halt 82 budget_over");
    let plan = story.ends_stopped(0, 3, StopReason::Plan);
    assert_eq!(story.show(&plan), "halt 82 budget_over");
}

#[test]
fn an_agent_whose_last_words_used_the_budget_up_is_left_to_end() {
    let mut story = Story::headless("claude -p fix");
    story.works().facts.budget_used_up = Some("this run has used $5.01, and its budget is $5.00.".to_owned());
    story.facts.finished(story.now);
    let plan = story.running();
    assert_eq!(story.show(&plan), "leave +15");
    let plan = story.after(16).running();
    assert_eq!(story.show(&plan), "stop, then halt 82 budget_over", "it goes on");
}

#[test]
fn with_the_budget_used_up_nothing_more_is_begun_and_what_is_done_is_done() {
    let spent = Some("this run has used $5.01, and its budget is $5.00.".to_owned());
    let mut story = Story::headless("claude -p fix");
    story.works().fails(Class::Network).facts.budget_used_up.clone_from(&spent);
    let plan = story.ends(1);
    assert_eq!(story.show(&plan), "halt 82 budget_over");

    let mut story = Story::headless("claude -p fix");
    story.works().facts.budget_used_up = spent;
    let plan = story.ends(0);
    assert_eq!(story.show(&plan), "done 0");
}

#[test]
fn asides_are_left_alone() {
    let mut story = Story::headless("claude mcp list");
    let plan = story.fails(Class::Network).running();
    assert_eq!(story.show(&plan), "watch");
    let plan = story.ends(1);
    assert_eq!(story.show(&plan), "done 1");
}

#[test]
fn a_wait_survives_in_the_stored_run() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.works().fails_until(Class::UsageLimit, Some(3_600)).ends(1);
    let stored = story.run.to_json();
    let run = Run::from_json(&stored).unwrap();
    assert_eq!(run.plan(), Some(&plan));
    assert_eq!((run.cwd(), run.profile(), run.terminals()), ("/w", "claude", PIPES));
    assert_eq!(run.session(), Some(SID));
    let error = Run::from_json(&stored.replacen("\"version\":1", "\"version\":9", 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "take up the stored run: it has version 9, and this program knows version 1"
    );
    assert!(Run::from_json("{}").is_err());
    assert!(Run::from_json("").is_err());
}

#[test]
fn the_events_of_the_engine_are_the_facts() {
    let mut facts = Facts::new(BEGIN);
    let event = |second: i64, body: EventBody| Event {
        id: "e".to_owned(),
        session: "s".to_owned(),
        parent_session: None,
        agent: "claude".to_owned(),
        time: None,
        observed_time: BEGIN.plus_seconds(second),
        source: None,
        body,
    };
    let finding = |class: Class, self_healing: bool| {
        EventBody::Finding(Finding {
            class,
            severity: Severity::Low,
            origin: Origin::Provider,
            basis: Basis::Asserted,
            rule: "r".to_owned(),
            status: Some(529),
            retryable: true,
            self_healing,
            retry_at: None,
            retry_at_basis: None,
            message: "Overloaded".to_owned(),
        })
    };
    let alert = |class: Class, level: Level| {
        EventBody::Alert(Alert {
            detector: "d".to_owned(),
            class,
            level,
            severity: Severity::Low,
            count: 1,
            window_sec: 0,
            evidence: Vec::new(),
            fingerprint: "p".to_owned(),
            reason: "it stands".to_owned(),
            basis: Basis::Asserted,
        })
    };
    let session = Session { agent_session: Some(SID.to_owned()), ..Session::default() };
    facts.event(Source::Stdout, &event(0, EventBody::SessionStarted(session)));
    assert_eq!(facts.session.as_deref(), Some(SID));

    facts.event(Source::Stdout, &event(1, finding(Class::Overloaded, true)));
    assert_eq!(facts.retried(), Some(Class::Overloaded));
    assert!(facts.own_retry().is_some());
    assert_eq!(facts.decisive(false, BEGIN.plus_seconds(1)), None, "it mends itself");

    facts.event(Source::Stdout, &event(2, finding(Class::Overloaded, false)));
    assert!(facts.own_retry().is_none(), "it gave up");
    assert_eq!(facts.decisive(true, BEGIN.plus_seconds(2)), None, "nobody has confirmed it");
    facts.event(Source::Stdout, &event(2, alert(Class::Overloaded, Level::Warn)));
    assert_eq!(facts.decisive(true, BEGIN.plus_seconds(2)), None, "a warning confirms nothing");
    facts.event(Source::Stdout, &event(2, alert(Class::Overloaded, Level::Act)));
    let decisive = facts.decisive(true, BEGIN.plus_seconds(2)).unwrap();
    assert_eq!(
        (decisive.class, decisive.status, decisive.message.as_str()),
        (Class::Overloaded, Some(529), "Overloaded")
    );

    let status = Status {
        from: Health::Error.into(),
        to: Health::Ok.into(),
        reason: "the agent works again".to_owned(),
        basis: Basis::Asserted,
        process: None,
    };
    facts.event(Source::Stdout, &event(3, EventBody::Status(status)));
    assert_eq!(facts.decisive(false, BEGIN.plus_seconds(3)), None, "work refutes it");

    let mut nobodys = Facts::new(BEGIN);
    for body in [finding(Class::AuthError, false), alert(Class::AuthError, Level::Act)] {
        let told = Event { agent: "unknown".to_owned(), ..event(4, body) };
        nobodys.event(Source::Stdout, &told);
    }
    let basis = nobodys.decisive(true, BEGIN.plus_seconds(4)).map(|sighting| sighting.basis);
    assert_eq!(basis, Some(Basis::Inferred), "a bare body is in no format of an agent's");

    let mut of_subagent = event(4, alert(Class::AuthError, Level::Act));
    of_subagent.parent_session = Some("s".to_owned());
    facts.event(Source::Stdout, &of_subagent);
    assert_eq!(
        facts.decisive(false, BEGIN.plus_seconds(4)),
        None,
        "a sub-agent's trouble is its agent's matter"
    );
}

#[test]
fn a_log_that_ends_with_a_failure_says_nothing_against_work_seen_elsewhere() {
    let mut facts = Facts::new(BEGIN);
    let sighting = |source: Source, act: bool| Sighting {
        at: BEGIN,
        source,
        class: Class::RateLimit,
        status: None,
        basis: Basis::Asserted,
        retry_at: None,
        message: "429".to_owned(),
        act,
        key: String::new(),
    };
    facts.failed(sighting(Source::Transcript, false));
    facts.worked(BEGIN);
    facts.alerted(sighting(Source::Transcript, true));
    assert_eq!(facts.decisive(true, BEGIN), None, "the model answered after it");
    facts.alerted(sighting(Source::Stdout, true));
    assert!(facts.decisive(true, BEGIN).is_some(), "what stands on its output stands");
}

#[test]
fn a_compaction_that_failed_is_told_by_its_record_and_not_by_the_status() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.session(SID).works().fails(Class::TokenLimit).ends(1);
    story.start(&plan);
    let failure = Failure { codes: vec!["compact_failed".into()], ..Failure::new(Origin::Agent, "no") };
    let now = story.now;
    story.facts.record(now, &Record::new(Body::Failure(failure)));
    let plan = story.session(SID).ends(0);
    assert!(story.show(&plan).contains("fresh"), "{plan:?}");
}

#[test]
fn a_turn_limit_is_not_outlasted_without_end_though_it_works_each_time() {
    let mut story = Story::headless("claude -p fix --max-turns 3");
    for _ in 0..2 {
        let plan = story.session(SID).works().fails(Class::MaxTurns).ends(1);
        assert!(story.show(&plan).contains("resume"), "{plan:?}");
        story.start(&plan);
    }
    let plan = story.session(SID).works().fails(Class::MaxTurns).ends(1);
    assert_eq!(story.show(&plan), "halt 83 max_turns");
}

#[test]
fn records_tell_of_work_that_events_do_not_mention() {
    let mut facts = Facts::new(BEGIN);
    let answer = Message { role: Role::Assistant, text: "Done.".into() };
    let question = Message { role: Role::User, text: "Do it.".into() };
    facts.record(BEGIN, &Record::new(Body::Message(question)));
    assert!(!facts.has_worked());
    facts.record(BEGIN, &Record::new(Body::Message(answer)));
    assert!(facts.has_worked());
}

#[test]
fn what_arrives_together_counts_in_its_order() {
    let mut story = Story::headless("claude -p fix");
    let now = story.now;
    story.fails(Class::Overloaded).facts.worked(now);
    assert_eq!(story.running(), Plan::Watch { reason: "nothing stands that should be acted on.".to_owned() });
    let plan = story.fails(Class::AuthError).ends(1);
    assert_eq!(story.show(&plan), "halt 80 auth_error");
}

#[test]
fn facts_do_not_grow() {
    let mut facts = Facts::new(BEGIN);
    for second in 0..10_000 {
        facts.line(&"ö".repeat(1_000));
        facts.failed(Sighting {
            at: BEGIN.plus_seconds(second),
            source: Source::Stderr,
            class: Class::Network,
            status: None,
            basis: Basis::Asserted,
            retry_at: None,
            message: "m".repeat(200),
            act: false,
            key: String::new(),
        });
    }
    assert!(facts.text().len() < 40_000, "{}", facts.text().len());
    assert_eq!(facts.standing().count(), 64);
}

#[test]
fn a_plan_reads_back_as_it_was_written() {
    let mut story = Story::headless("claude -p fix");
    let plan = story.works().after(700).fails(Class::Stalled).running();
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn work_that_a_transcript_tells_late_does_not_refute_a_failure_seen_meanwhile() {
    let mut facts = Facts::new(BEGIN);
    facts.failed(Sighting {
        at: BEGIN.plus_seconds(10),
        source: Source::Stdout,
        class: Class::Overloaded,
        status: None,
        basis: Basis::Asserted,
        retry_at: None,
        message: String::new(),
        act: true,
        key: String::new(),
    });
    let mut said = Record::new(Body::Message(Message { role: Role::Assistant, text: "done".into() }));
    said.time = Some(BEGIN.plus_seconds(9));
    facts.record_written(BEGIN.plus_seconds(11), &said);
    assert!(facts.has_worked());
    assert_eq!(facts.standing().count(), 1);
    said.time = Some(BEGIN.plus_seconds(12));
    facts.record_written(BEGIN.plus_seconds(13), &said);
    assert_eq!(facts.standing().count(), 0);
}
