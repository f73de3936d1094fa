//! From recorded streams to plans: what the engine sees of a run, recovery makes the right thing of.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use session_doctor::engine::Doctor;
use session_doctor::engine::format::{self, Frame};
use session_doctor::engine::policy::Policy;
use session_doctor::model::{Class, Strategy};
use session_doctor::profile::{Agent, Terminals};
use session_doctor::recovery::{Chance, Ended, Facts, How, Moment, Notes, Options, Plan, Run, Source};

use crate::support::{NOW, OPTIONS, recordings};

/// The table that the engine decides by.
fn strategies() -> BTreeMap<Class, Strategy> {
    let policy = Policy::default();
    Class::ALL.iter().map(|class| (*class, policy.class(*class).strategy)).collect()
}

/// What comes after a run whose output is this recording, and that ended with this status.
fn plan(agent: &str, command: &str, input: &Path, status: i32) -> Plan {
    let bytes = fs::read(input).unwrap();
    let (mut facts, mut notes) = (Facts::new(NOW), Notes::default());
    let mut doctor = Doctor::new(Arc::clone(&OPTIONS), "-", "seed");
    let mut decoder = format::by_name(agent).map(|format| format.decoder());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Some(decoder) = &mut decoder
            && line.starts_with(b"{")
        {
            let frame = Frame { bytes: line.trim_ascii_end(), line: 1, offset: 0, truncated: false };
            decoder.json(frame, &mut |record| {
                facts.record(NOW, &record);
                notes.record(&record);
            });
        }
        doctor.feed(NOW, line, &mut |event| facts.event(Source::Stdout, &event));
        facts.line(&String::from_utf8_lossy(line));
    }
    doctor.finish(NOW, &mut |event| facts.event(Source::Stdout, &event));

    let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
    let terminals = Terminals::default();
    let recognised = Agent::recognise(&argv, &[], terminals);
    let chance = Chance { draw: 0, uuid: "NEW".to_owned() };
    let (mut run, _) = Run::begin(&recognised, "/w", terminals, &chance);
    // The recorded reset is a day and a half away.
    let options = Options { max_wait_sec: 48 * 3_600, ..Options::new(strategies()) };
    let moment = Moment {
        now: NOW,
        agent: &recognised,
        options: &options,
        facts: &facts,
        notes: &notes,
        chance: &chance,
        redact: &|text| session_doctor::engine::redact::redact(text).into_owned(),
    };
    run.ended(&moment, &Ended { how: How::Exited(status), stopped: None })
}

/// A plan in a line: the wait, the kind, the beginning of the command line.
fn show(plan: &Plan) -> String {
    match plan {
        Plan::Done { status, .. } => format!("done {status}"),
        Plan::Halt(halt) => format!("halt {} {}", halt.status.code(), halt.class),
        Plan::Start(start) => {
            let line = start.argv.join(" ");
            let head = line.lines().next().unwrap_or_default();
            format!("+{} {:?}: {head}", start.not_before.seconds_since(NOW), start.kind)
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn recorded_failures_lead_to_their_recoveries() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transcripts");
    let mut wrong = Vec::new();
    for (case, command, status, expected) in [
        (
            "claude/usage_limit",
            "claude -p fix --output-format stream-json",
            1,
            "+133245 Resume: claude --resume 0c1e5500-0000-4000-8000-000000000001 continue -p",
        ),
        ("claude/auth", "claude -p fix --output-format stream-json", 1, "halt 80 auth_error"),
        (
            "claude/max_turns",
            "claude -p fix --output-format stream-json",
            1,
            "+2 Resume: claude --resume 0c1e5500-0000-4000-8000-000000000005 Continue where you stopped,",
        ),
        (
            "claude/prompt_too_long",
            "claude -p fix --output-format stream-json",
            1,
            "+0 Fresh: claude --session-id NEW fix",
        ),
        ("claude/api_retry_then_ok", "claude -p fix --output-format stream-json", 0, "done 0"),
        (
            "codex/usage_limit",
            "codex exec --json fix",
            1,
            "+36345 Resume: codex exec --json resume 00000000-0000-7000-8000-0000000000c1 continue",
        ),
        (
            "codex/text_limit",
            "codex exec fix",
            1,
            "+36345 Resume: codex exec resume 00000000-0000-7000-8000-0000000000c4 continue",
        ),
        ("codex/reconnecting_then_ok", "codex exec --json fix", 0, "done 0"),
        (
            "gemini/daily_quota",
            "gemini -p fix -o stream-json",
            173,
            "+900 Resume: gemini --resume 00000000-0000-7000-8000-0000000000a1 --prompt continue",
        ),
        ("gemini/stderr_quota", "gemini -p fix", 1, "+900 Restart: gemini -p fix"),
        (
            "gemini/loop_detected",
            "gemini -p fix -o stream-json",
            0,
            "+0 Resume: gemini --resume 00000000-0000-7000-8000-0000000000a2 --prompt You were interrupted",
        ),
        ("gemini/stderr_retries", "gemini -p fix -o stream-json", 0, "done 0"),
        ("qwen/lying_success", "qwen -p fix -o stream-json", 0, "halt 80 auth_error"),
        (
            "qwen/cut_answer",
            "qwen -p fix -o stream-json",
            0,
            "+1 Resume: qwen --resume 0c1e5500-0000-4000-8000-000000000022 --prompt continue",
        ),
    ] {
        let folder = root.join(case);
        let input = recordings().into_iter().find(|(path, _)| *path == folder).unwrap().1;
        let agent = case.split('/').next().unwrap();
        let shown = show(&plan(agent, command, &input, status));
        if !shown.starts_with(expected) {
            wrong.push(format!("{case}\n  expected {expected}\n  found    {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn after_a_good_run_nothing_is_done_whatever_it_quotes() {
    let mut seen = 0;
    for (case, input) in recordings() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let agent = case.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let is_text = input.extension().is_some_and(|extension| extension != "gz" && extension != "zst");
        if !name.contains("clean") || !is_text {
            continue;
        }
        seen += 1;
        for command in ["claude -p fix", "codex exec fix", "my-agent fix"] {
            let plan = plan(&agent, command, &input, 0);
            assert_eq!(show(&plan), "done 0", "{agent}/{name} as {command}");
        }
    }
    assert!(seen > 10, "{seen} clean recordings");
}
