//! The agent waits for a person, the person answers: the waiting is over, and nothing else is.

use std::sync::Arc;

use serde_json::Value;
use session_doctor::engine::Options;

use crate::support::read_chunks;

/// What a hook of Gemini's, or of its forks, prints on standard error when a person has to look.
const BLOCKED: &str = "Agent execution blocked: a person has to look at this";

/// A stream in which the agent waits.
struct Wait {
    format: &'static str,
    /// What tells the format.
    before: &'static str,
    /// What says that it waits.
    waits: &'static str,
    /// What says that somebody answered, in the ways that the format knows.
    answers: &'static [&'static str],
}

const WAITS: [Wait; 8] = [
    Wait {
        format: "claude",
        before: r#"{"type":"system","subtype":"init","cwd":"/srv","session_id":"s-1","model":"m","uuid":"u"}"#,
        waits: r#"{"type":"system","subtype":"session_state_changed","state":"requires_action","session_id":"s-1"}"#,
        answers: &[
            r#"{"type":"system","subtype":"session_state_changed","state":"running","session_id":"s-1"}"#,
            r#"{"type":"user","message":{"role":"user","content":"yes, go on"},"session_id":"s-1"}"#,
            r#"{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,"content":"Exit code 1"}]},"session_id":"s-1"}"#,
            r#"{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,"content":"The user doesn't want to proceed with this tool use."}]},"session_id":"s-1"}"#,
        ],
    },
    Wait {
        format: "codex",
        before: r#"{"timestamp":"2026-11-20T05:00:00Z","type":"session_meta","payload":{"id":"s-2","cwd":"/srv"}}"#,
        waits: r#"{"timestamp":"2026-11-20T05:00:01Z","type":"event_msg","payload":{"type":"exec_approval_request","call_id":"c","command":["make"]}}"#,
        answers: &[
            r#"{"timestamp":"2026-11-20T05:00:02Z","type":"event_msg","payload":{"type":"exec_command_begin","call_id":"c"}}"#,
            r#"{"timestamp":"2026-11-20T05:00:02Z","type":"event_msg","payload":{"type":"user_message","message":"go on"}}"#,
            r#"{"timestamp":"2026-11-20T05:00:02Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"go on"}]}}"#,
            r#"{"timestamp":"2026-11-20T05:00:02Z","type":"event_msg","payload":{"type":"turn_aborted","reason":"interrupted"}}"#,
        ],
    },
    Wait {
        format: "opencode",
        before: r#"{"type":"session.status","properties":{"sessionID":"ses_1","status":{"type":"busy"}}}"#,
        waits: r#"{"type":"permission.asked","properties":{"sessionID":"ses_1","id":"per_1","permission":"bash"}}"#,
        answers: &[
            r#"{"type":"permission.replied","properties":{"sessionID":"ses_1","requestID":"per_1","reply":"once"}}"#,
            r#"{"type":"question.rejected","properties":{"sessionID":"ses_1","requestID":"que_1"}}"#,
        ],
    },
    Wait {
        format: "gemini",
        before: r#"{"type":"init","timestamp":"2026-11-20T05:00:00.000Z","session_id":"s-4","model":"auto"}"#,
        waits: BLOCKED,
        answers: &[
            r#"{"type":"message","timestamp":"2026-11-20T05:00:02.000Z","role":"user","content":"go on"}"#,
            r#"{"type":"tool_result","timestamp":"2026-11-20T05:00:02.000Z","tool_id":"sh-1","status":"error","output":"no","error":{"type":"x","message":"exit 1"}}"#,
        ],
    },
    Wait {
        format: "qwen",
        before: r#"{"type":"system","subtype":"init","uuid":"u","session_id":"s-5","cwd":"/srv","model":"m","qwen_code_version":"0.15.10"}"#,
        waits: BLOCKED,
        answers: &[
            r#"{"type":"user","uuid":"u2","session_id":"s-5","message":{"role":"user","content":"go on"}}"#,
            r#"{"type":"user","uuid":"u2","session_id":"s-5","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,"content":"no"}]}}"#,
        ],
    },
    Wait {
        format: "copilot",
        before: r#"{"type":"user.message","id":"e1","timestamp":"2026-11-20T05:00:00Z","parentId":null,"data":{"content":"hi"}}"#,
        waits: r#"{"type":"permission.requested","id":"e2","timestamp":"2026-11-20T05:00:01Z","parentId":"e1","data":{"requestId":"r"}}"#,
        answers: &[
            r#"{"type":"permission.completed","id":"e3","timestamp":"2026-11-20T05:00:02Z","parentId":"e2","data":{"requestId":"r"}}"#,
            r#"{"type":"user.message","id":"e3","timestamp":"2026-11-20T05:00:02Z","parentId":"e2","data":{"content":"go on"}}"#,
        ],
    },
    Wait {
        format: "openhands",
        before: r#"{"kind":"ConversationStateUpdateEvent","source":"environment","key":"execution_status","value":"running"}"#,
        waits: r#"{"kind":"ConversationStateUpdateEvent","source":"environment","key":"execution_status","value":"waiting_for_confirmation"}"#,
        answers: &[
            r#"{"kind":"ConversationStateUpdateEvent","source":"environment","key":"execution_status","value":"running"}"#,
        ],
    },
    Wait {
        format: "hook",
        before: r#"{"session_id":"s-8","transcript_path":"/t","cwd":"/srv","hook_event_name":"SessionStart","source":"startup"}"#,
        waits: r#"{"session_id":"s-8","transcript_path":"/t","cwd":"/srv","hook_event_name":"Notification","message":"Claude is waiting for your input","notification_type":"idle_prompt"}"#,
        answers: &[
            r#"{"session_id":"s-8","transcript_path":"/t","cwd":"/srv","hook_event_name":"UserPromptSubmit","prompt":"go on"}"#,
            r#"{"session_id":"s-8","transcript_path":"/t","cwd":"/srv","hook_event_name":"ElicitationResult"}"#,
        ],
    },
];

/// What a stream of these lines tells: the class of each alert, each change of health, and the verdict.
fn told(lines: &[&str]) -> Vec<String> {
    let events = read_chunks(&Arc::new(Options::new()), "-", [lines.join("\n").as_bytes()]);
    let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    events
        .lines()
        .filter_map(|event| {
            let event: Value = serde_json::from_str(event).unwrap();
            match event["type"].as_str().unwrap() {
                "alert" => Some(format!("alert {}", word(&event, "class"))),
                "status" => Some(format!("{}: {}", word(&event, "to"), word(&event, "reason"))),
                "summary" => Some(format!("{} {}", word(&event, "agent"), word(&event, "verdict"))),
                _ => None,
            }
        })
        .collect()
}

#[test]
fn an_answer_ends_the_waiting_in_every_format_that_shows_it() {
    for Wait { format, before, waits, answers } in WAITS {
        let waiting = told(&[before, waits]);
        assert_eq!(waiting[0], "alert waiting_input", "{format}: {waiting:?}");
        assert_ne!(waiting.last().unwrap(), &format!("{format} ok"), "{waiting:?}");
        for answer in answers {
            let answered = told(&[before, waits, answer]);
            assert!(
                answered.contains(&"ok: a person answered".to_owned()),
                "{format} {answer}: {answered:?}"
            );
            assert_eq!(answered.last().unwrap(), &format!("{format} ok"), "{answer}");
            let alerts = answered.iter().filter(|event| *event == "alert waiting_input").count();
            assert_eq!(alerts, 1, "the end of the source says nothing more: {answered:?}");
            let again = told(&[before, waits, answer, waits]);
            let alerts = again.iter().filter(|event| *event == "alert waiting_input").count();
            assert!(alerts > 1, "the next waiting is told again: {again:?}");
        }
    }
}

#[test]
fn an_answer_mends_no_other_failure() {
    let [claude, ..] = WAITS;
    let denied = r#"{"type":"auth_status","isAuthenticating":false,"error":"the login command failed","session_id":"s-1"}"#;
    let told = told(&[claude.before, denied, claude.waits, claude.answers[1]]);
    assert!(told.contains(&"alert auth_error".to_owned()), "{told:?}");
    assert_eq!(told.last().unwrap(), "claude halted", "{told:?}");
}
