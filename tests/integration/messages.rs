//! The error messages that agents and providers really print, in the reference table beside a development checkout:
//! each is given to the rules as the words of a failure. A clone without the table skips.

use std::path::Path;

use session_doctor::engine::classify::{self, rules::Rules};
use session_doctor::engine::{Doctor, Options};
use session_doctor::model::event::Finding;
use session_doctor::model::record::Failure;
use session_doctor::model::{Class, EventBody, Level, Origin, Timestamp};
use std::sync::Arc;

/// One row of the table.
struct Row {
    id: String,
    message: String,
    producer: String,
    class: String,
}

/// Where the table lies in a development checkout.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/agent-formats.md");

fn rows() -> Option<Vec<Row>> {
    if !Path::new(TABLE).exists() {
        return None;
    }
    let text = std::fs::read_to_string(TABLE).unwrap();
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| E") && line[3..4].chars().all(|c| c.is_ascii_digit()))
        .filter_map(|line| {
            let line = line.replace("\\|", "\u{1}");
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            Some(Row {
                id: (*cells.get(1)?).to_owned(),
                message: message(&cells.get(2)?.replace('\u{1}', "|")),
                producer: (*cells.get(3)?).to_owned(),
                class: cells.get(4)?.trim_matches('`').to_owned(),
            })
        })
        .collect();
    Some(rows)
}

/// The cell's words with plausible values for its placeholders.
fn message(cell: &str) -> String {
    let mut text = cell.trim_matches('`').trim().replace("\\n", "\n");
    for (placeholder, value) in [
        ("<epoch>", "1795287600"),
        ("<TZ>", "Asia/Tokyo"),
        ("<IANA TZ>", "Asia/Tokyo"),
        ("<Mon D, h:mmam>", "Oct 9, 10:30am"),
        ("<Mon D, ham>", "Oct 9, 10am"),
        ("<Mon D, h[:mm]am>", "Oct 9, 10am"),
        ("<t>", "3pm"),
        ("<time>", "Nov 23 at 9:00 AM"),
        ("<n>", "12"),
        ("<m>", "some-model"),
        ("<k>", "3"),
        ("<x>", "5"),
        ("<y>", "7"),
        ("<uuid>", "0199f2c4-7a11-7c31-9d55-2b1f0c4f6a10"),
        ("<id>", "0199f2c4"),
        ("<dur>", "12m"),
        ("<model>", "some-model"),
        ("<Provider>", "OpenAI"),
        ("<ECONNREFUSED|ECONNRESET|ENOTFOUND|…>", "ECONNREFUSED"),
        ("<5h|weekly>", "5h"),
    ] {
        text = text.replace(placeholder, value);
    }
    text
}

/// The classes that count as right: the table's own names are older than the program's.
fn wanted(row: &Row) -> Vec<Class> {
    match row.class.as_str() {
        "budget" => vec![Class::BudgetOver],
        "auth" => vec![Class::AuthError],
        "bad_request" => vec![Class::Http400],
        "limit_warning" => vec![Class::UsageWarning],
        "repeated_tool_call" => vec![Class::ToolRepeat],
        "stuck_idle" => vec![Class::Stalled],
        "tool_failure" => vec![Class::ToolError],
        // The table has no class of its own for 5xx.
        "overloaded" => vec![Class::Overloaded, Class::ServerError],
        name => Class::from_name(name).into_iter().collect(),
    }
}

#[test]
fn the_rules_know_the_messages_that_agents_print() {
    let Some(rows) = rows() else {
        eprintln!("skipped: the reference table is not beside this checkout");
        return;
    };
    let rules = Rules::built_in();
    let mut wrong = Vec::new();
    let mut asked = 0;
    for row in &rows {
        asked += 1;
        if UNDECIDABLE.iter().any(|(id, _)| *id == row.id) {
            continue;
        }
        let agent = match row.producer.as_str() {
            "Gemini CLI" | "Google Gemini / Vertex API" => "gemini",
            "Codex CLI" => "codex",
            "Claude Code" => "claude",
            "Qwen Code" => "qwen",
            _ => "unknown",
        };
        let origin = if row.producer.contains("API") { Origin::Provider } else { Origin::Agent };
        let verdict = classify::failure(&rules, agent, &Failure::new(origin, row.message.as_str()), None);
        let right = match (&verdict, row.class.as_str()) {
            // A bare notice says nothing but that a retry is under way.
            (verdict, "retrying") => verdict.as_ref().is_none_or(|verdict| verdict.retry.is_some()),
            (Some(verdict), _) => wanted(row).contains(&verdict.class),
            (None, _) => false,
        };
        if !right {
            let got = verdict
                .map_or("nothing".to_owned(), |verdict| format!("{} by {}", verdict.class, verdict.rule));
            wrong.push(format!("{} [{}] {}: got {got} :: {}", row.id, row.producer, row.class, row.message));
        }
    }
    assert!(asked >= 500, "the table has only {asked} rows: its shape has changed");
    assert!(wrong.is_empty(), "{} of {asked} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Rows that no rule can decide, and why.
const UNDECIDABLE: [(&str, &str); 4] = [
    ("E211", "printed at the start of every run; only silence afterwards makes it a failure"),
    ("E220", "a wrapper without its message"),
    ("E231", "a wrapper without its message"),
    ("E284", "a wrapper without its message"),
];

/// A line that must not be taken for a failure: its id, the stream it is from, the line.
fn hard_negatives() -> Option<Vec<(String, String, String)>> {
    if !Path::new(TABLE).exists() {
        return None;
    }
    let text = std::fs::read_to_string(TABLE).unwrap();
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("HN-") {
            let (head, words) = rest.split_once(" :: ").unwrap();
            let (number, stream) = head.split_once(" [").unwrap();
            lines.push((
                format!("HN-{number}"),
                stream.split(']').next().unwrap().to_owned(),
                words.to_owned(),
            ));
        } else if line.starts_with("{\"hn\"") {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let stream = row["format"].as_str().unwrap().to_owned();
            lines.push((row["hn"].as_str().unwrap().to_owned(), stream, row["line"].to_string()));
        }
    }
    Some(lines)
}

/// What the engine finds in a stream of this one line.
fn findings(line: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut doctor = Doctor::new(Arc::new(Options::new()), "-", "test");
    let now = Timestamp::from_seconds(1_795_000_000);
    let mut out = |event: session_doctor::model::Event| {
        if let EventBody::Finding(finding) = event.body {
            found.push(finding);
        }
    };
    doctor.feed(now, line.as_bytes(), &mut out);
    doctor.finish(now, &mut out);
    found
}

/// The class and rule of what is found in a stream of this one plain line; `nothing` if it is nothing.
fn told(line: &str) -> String {
    match findings(&format!("{line}\n")).as_slice() {
        [] => "nothing".to_owned(),
        [one] => format!("{} by {}", one.class, one.rule),
        more => panic!("{line}: {more:?}"),
    }
}

#[test]
fn a_plain_line_is_a_failure_only_if_it_says_whose() {
    for (line, expected) in [
        ("Error: 429 Too Many Requests", "rate_limit by rate_line"),
        ("Error: HTTP 429 Too Many Requests. Please try again later.", "rate_limit by rate_line"),
        ("Error: 529 Overloaded", "overloaded by overloaded_words"),
        ("429 Too Many Requests", "nothing"),
        ("HTTP/1.1 429 Too Many Requests", "nothing"),
        ("### 429 Too Many Requests", "nothing"),
        ("Error: 429 Too Many Requests - GET https://registry.example.test/left-pad", "nothing"),
        ("Error: 429 Too Many Requests: failed to pull image", "nothing"),
        ("Error: 429 Too Many Requests was what the mock answered", "nothing"),
        ("Error: 503 Service Unavailable", "nothing"),
        ("Error: 401 Unauthorized", "nothing"),
        // A wrapper's words in front of what a library raised.
        (
            "Error while running the planner: litellm.RateLimitError: RateLimitError: SomeException - slow down",
            "rate_limit by rate_code",
        ),
        (
            "LLM call failed: Error code: 429 - {'error': {'message': 'wait', 'code': 'rate_limit_exceeded'}}",
            "rate_limit by rate_code",
        ),
        (
            "10:11:12 - worker:ERROR: runner.py:61 - There was an error while running the step: litellm.Timeout: x",
            "timeout by timeout_words",
        ),
        ("FAILED tests/test_llm.py::test_wait - openai.RateLimitError: Error code: 429 - {", "nothing"),
        ("E       openai.RateLimitError: Error code: 429 - {'error': {'message': 'wait'}}", "nothing"),
        ("    error: 'litellm.RateLimitError: SomeException - slow down',", "nothing"),
        // A provider that is named.
        ("✖ OpenAI API Error: 429 - Too Many Requests", "rate_limit by rate_words"),
        (
            "Error invoking Bedrock: ThrottlingException: Too many tokens, please wait before trying again.",
            "rate_limit by rate_words",
        ),
        ("throw new Error('OpenAI API error: 429');", "nothing"),
        ("OpenAI quota exceeded, using the fallback", "nothing"),
        ("✗ 402 You have no quota (Request ID: 0:1)", "budget_over by budget_words"),
        ("Ran into this error: Request failed: it would not say why.", "http_400 by request_failed"),
        (
            "× Model call failed: {\"message\":\"slow down\",\"code\":\"rate_limited\"}",
            "rate_limit by rate_code",
        ),
        ("402 Payment Required", "nothing"),
        ("Request too large (max 10 MB) is what the upload endpoint says", "nothing"),
        ("  ✕ Credit balance is too low (3 ms)", "nothing"),
        ("Error: Claude Code process exited with code 1", "crash by crash"),
        ("claude exited with code 0", "nothing"),
        // Sentences that only begin as reports do.
        ("Codex exited with code 1 in the CI job because the lint failed", "nothing"),
        ("Codex exited with code 1.", "crash by crash"),
        ("This message was flagged as spam", "nothing"),
        ("This prompt was flagged for potentially violating our policies.", "content_policy by policy"),
        ("Requests to the backend under Azure OpenAI are now cached", "nothing"),
        (
            "Your requests to some-model in East US have exceeded token rate limit for your current S0 pricing tier.",
            "rate_limit by rate_words",
        ),
        ("No capacity available for model training nodes, says the documentation", "nothing"),
        ("No capacity available for model some-model-2 on the server", "overloaded by overloaded_words"),
        ("429 rate limit reached for the client in the mock", "nothing"),
        ("402 insufficient balance is tested now", "nothing"),
        ("402 Insufficient Balance", "budget_over by budget_words"),
        ("Token refresh failed: 401 now logs the user out", "nothing"),
        ("Unable to connect to api.anthropic.com from the sandbox, so I used recordings.", "nothing"),
        ("Failed to connect to api.anthropic.com: ECONNREFUSED", "network by network_words"),
        ("Google returned HTTP 404 for the page", "nothing"),
        (
            "requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: http://testserver/v1/messages",
            "nothing",
        ),
        (
            "httpx.HTTPStatusError: Client error '429 Too Many Requests' for url 'http://test/v1/chat/completions'",
            "nothing",
        ),
        // Anybody's network, cloud and data base.
        ("Error: connect ECONNREFUSED 127.0.0.1:5432", "nothing"),
        ("Error: connect ECONNREFUSED 127.0.0.1:11434", "network by network_words"),
        ("Error: socket hang up", "nothing"),
        ("Error: read ECONNRESET", "nothing"),
        (
            "botocore.exceptions.ClientError: An error occurred (ThrottlingException) when calling the \
             DescribeInstances operation: Rate exceeded",
            "nothing",
        ),
        ("botocore.exceptions.NoCredentialsError: Unable to locate credentials", "nothing"),
        ("Server error: 500", "nothing"),
        (
            "requests.exceptions.HTTPError: 402 Client Error: Payment Required for url: \
             https://gateway.example.test/v1/chat/completions",
            "budget_over by budget_general",
        ),
        (
            "requests.exceptions.HTTPError: 402 Client Error: Payment Required for url: https://shop.example.test/orders",
            "nothing",
        ),
        ("2026-11-20 05:00:01 ERROR 429: Too Many Requests.", "nothing"),
        ("bash: line 1:  4242 Killed                  claude -p 'fix the tests'", "crash by shell_death"),
        (
            "night.sh: line 12:  4242 Segmentation fault      (core dumped) codex exec -",
            "crash by shell_death",
        ),
        ("zsh: killed     aider --yes", "crash by shell_death"),
        ("bash: line 1:  4242 Killed                  cargo test", "nothing"),
        ("bash: line 1:  4242 Terminated              claude -p x", "nothing"),
        ("Killed", "nothing"),
        ("Segmentation fault (core dumped)", "nothing"),
        ("Aborted (core dumped)", "nothing"),
        ("Out of memory", "nothing"),
        ("Out of memory: Killed process 4242 (node) total-vm:9001kB", "nothing"),
        ("JavaScript heap out of memory", "crash by crash"),
        (
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            "crash by crash",
        ),
        (
            "the build died with JavaScript heap out of memory in CI, as we know from last week's runs",
            "nothing",
        ),
    ] {
        assert_eq!(told(line), expected, "{line}");
    }
}

#[test]
fn an_error_body_over_several_lines_of_text_is_one_failure() {
    let body = "✕ [API Error: [{\n    \"error\": {\n      \"code\": 429,\n      \"message\": \"Used up.\",\n      \
                \"status\": \"RESOURCE_EXHAUSTED\"\n    }\n  }\n  ]]\nI will go on without it.\n";
    let found: Vec<(Class, u64)> = {
        let mut found = Vec::new();
        let mut doctor = Doctor::new(Arc::new(Options::new()), "-", "test");
        let now = Timestamp::from_seconds(1_795_000_000);
        let mut out = |event: session_doctor::model::Event| {
            if let EventBody::Finding(finding) = &event.body {
                found.push((finding.class, event.source.as_ref().map_or(0, |source| source.line)));
            }
        };
        doctor.feed(now, body.as_bytes(), &mut out);
        doctor.finish(now, &mut out);
        found
    };
    assert_eq!(found, [(Class::RateLimit, 1)]);
    assert_eq!(told("[API Error: [{"), "nothing");
}

#[test]
fn the_hard_negatives_are_none() {
    let Some(lines) = hard_negatives() else {
        eprintln!("skipped: the reference table is not beside this checkout");
        return;
    };
    assert!(lines.len() >= 99, "only {} found: the table's shape has changed", lines.len());
    let mut wrong = Vec::new();
    for (id, stream, line) in &lines {
        // The last section is about repetition, which is not a matter of one line.
        if stream == "tool calls" || stream == "text" {
            continue;
        }
        for finding in findings(line) {
            let harmless =
                finding.self_healing || matches!(finding.class, Class::ToolError | Class::UsageWarning);
            if !harmless {
                wrong.push(format!("{id} [{stream}] {} by {} :: {line}", finding.class, finding.rule));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// How a stream is judged: the class of its first finding, `retrying` if the agent mends it by itself; and whether there
/// is an alert to act on.
fn judged(stream: &str) -> String {
    let mut first = None;
    let mut act = false;
    let mut doctor = Doctor::new(Arc::new(Options::new()), "-", "test");
    let now = Timestamp::from_seconds(1_795_000_000);
    let mut out = |event: session_doctor::model::Event| match event.body {
        EventBody::Finding(finding) if finding.self_healing => {
            first.get_or_insert("retrying");
        }
        EventBody::Finding(finding) => {
            first.get_or_insert(finding.class.name());
        }
        EventBody::Alert(alert) => act |= alert.level == Level::Act,
        _ => {}
    };
    doctor.feed(now, stream.as_bytes(), &mut out);
    doctor.finish(now, &mut out);
    format!("{}{}", first.unwrap_or("nothing"), if act { ", to act on" } else { "" })
}

#[test]
fn the_same_words_may_mean_the_opposite() {
    let claude = |model: &str, more: &str| {
        format!(
            r#"{{"type":"assistant","message":{{"id":"m","role":"assistant","model":"{model}","content":[{{"type":"text","text":"You've hit your 5-hour limit · resets 3pm"}}]}},"session_id":"s"{more}}}"#
        )
    };
    let window = |status: &str| {
        format!(
            r#"{{"type":"rate_limit_event","rate_limit_info":{{"status":"{status}","resetsAt":1795287600,"rateLimitType":"five_hour","utilization":0.99}},"session_id":"s"}}"#
        )
    };
    let body = |status: u16, kind: &str, message: &str| {
        format!(
            r#"Error code: {status} - {{'error': {{'message': '{message}', 'type': '{kind}', 'code': '{kind}'}}}}"#
        )
    };
    let bedrock = |kind: &str, message: &str| {
        format!(
            "botocore.errorfactory.{kind}: An error occurred ({kind}) when calling the InvokeModel operation: {message}"
        )
    };
    let answer = |line: &str| {
        let mut lines: Vec<String> =
            (1..=400).map(|number| format!("This is line {number} of an answer.")).collect();
        lines[79] = line.to_owned();
        lines.join("\n")
    };
    let pairs: [[(String, &str); 2]; 12] = [
        [
            (r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"429","session_id":"s"}"#.into(), "rate_limit, to act on"),
            (r#"{"type":"result","subtype":"success","is_error":false,"result":"the 429 is gone","session_id":"s"}"#.into(), "nothing"),
        ],
        [
            (claude("<synthetic>", r#","isApiErrorMessage":true"#), "usage_limit, to act on"),
            (claude("claude-opus-5-5", ""), "nothing"),
        ],
        [(window("rejected"), "usage_limit, to act on"), (window("allowed_warning"), "usage_warning")],
        [
            (r#"{"type":"turn.failed","error":{"message":"stream disconnected before completion: idle timeout waiting for SSE"}}"#.into(), "timeout, to act on"),
            (r#"{"type":"error","message":"Reconnecting... 1/5 (stream disconnected before completion: idle timeout waiting for SSE)"}"#.into(), "retrying"),
        ],
        [
            (bedrock("ThrottlingException", "Too many tokens, please wait before trying again."), "rate_limit, to act on"),
            (bedrock("ValidationException", "Input is too long for requested model."), "token_limit, to act on"),
        ],
        [
            (body(429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."), "budget_over, to act on"),
            (body(429, "rate_limit_exceeded", "Rate limit reached for requests."), "rate_limit, to act on"),
        ],
        [
            (body(429, "tokens", "Request too large for some-model on tokens per min (TPM): Limit 30000, Requested 42344."), "token_limit, to act on"),
            (body(429, "tokens", "Rate limit reached for some-model on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s."), "rate_limit, to act on"),
        ],
        [
            ("[API Error: You have exhausted your capacity on this model. Your quota will reset after 3h34m21s.]".into(), "usage_limit, to act on"),
            ("Attempt 1 failed: You have exhausted your capacity on this model. Your quota will reset after 2s.. Retrying after 2034ms...".into(), "retrying"),
        ],
        [
            ("You've hit your weekly limit · resets Oct 9, 10am".into(), "usage_limit, to act on"),
            ("API Error: Server is temporarily limiting requests (not your usage limit)".into(), "rate_limit, to act on"),
        ],
        [
            (body(429, "engine_overloaded_error", "The engine is currently overloaded, please try again later"), "overloaded, to act on"),
            (body(429, "rate_limit_reached_error", "You've reached your usage limit for this period."), "usage_limit, to act on"),
        ],
        [
            ("Credit balance is too low\n".into(), "budget_over, to act on"),
            (answer("Credit balance is too low"), "budget_over"),
        ],
        [
            ("● Edited the file\n  ⎿ \u{a0}API Error: 529 Overloaded\n\n> \n".into(), "overloaded, to act on"),
            ("● Edited the file\n  ⎿ \u{a0}API Error: 529 Overloaded\n\n● Read(src/a.rs)\n  ⎿  one\n\n● Read(src/b.rs)\n  ⎿  two\n\n● Done.\n".into(), "overloaded"),
        ],
    ];
    let mut wrong = Vec::new();
    for (stream, expected) in pairs.iter().flatten() {
        let judged = judged(stream);
        if judged != *expected {
            let shown: String = stream.chars().take(160).collect();
            wrong.push(format!("{expected} is judged as {judged}: {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
