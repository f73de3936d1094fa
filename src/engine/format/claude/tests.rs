use proptest::prelude::*;

use super::told::{everything, frame, story};
use super::*;

const LIMIT: &str = include_str!("../../../../fixtures/transcripts/claude/usage_limit/input.jsonl");
const CLEAN: &str = include_str!("../../../../fixtures/transcripts/claude/clean_run/input.jsonl");
const SIDECHAIN: &str = include_str!("../../../../fixtures/transcripts/claude/transcript_sidechain/input.jsonl");
const RETRY: &str = include_str!("../../../../fixtures/transcripts/claude/api_retry_then_ok/input.jsonl");
const INTERRUPTED: &str = include_str!("../../../../fixtures/transcripts/claude/interrupted/input.jsonl");
const ARRAY: &str = include_str!("../../../../fixtures/transcripts/claude/result_array_json/input.json");

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

fn failures(lines: &[&str]) -> Vec<String> {
    let mut all = story(&FORMAT, lines);
    all.retain(|record| record.contains(" failure "));
    all
}

/// Asserts what one line alone tells.
#[track_caller]
fn tells(line: &str, expected: &[&str]) {
    assert_eq!(story(&FORMAT, &[line]), expected, "{line}");
}

#[test]
fn a_limit_is_told_by_the_event_the_message_and_the_result() {
    assert_eq!(
        failures(&lines(LIMIT)),
        [
            "provider failure [usage_limit_warning five_hour] is usage_warning until 2026-11-21T19:00:00.000Z: usage_limit_warning: five_hour",
            "provider failure [usage_limit_reached five_hour] until 2026-11-21T19:00:00.000Z: usage_limit_reached: five_hour",
            "provider failure [rate_limit] until 2026-11-21T19:00:00.000Z: You've hit your session limit · resets 7pm (UTC)",
            "provider failure 429 [rate_limit] until 2026-11-21T19:00:00.000Z ends: You've hit your session limit · resets 7pm (UTC)",
        ]
    );
}

#[test]
fn a_run_that_recovers_ends_well() {
    assert_eq!(
        story(&FORMAT, &lines(RETRY)),
        [
            "started Some(\"/home/dev/shop\") Some(\"claude-opus-5-5\")",
            "provider failure 529 [overloaded] retry 1/10 in 571: overloaded",
            "provider failure 529 [overloaded] retry 2/10 in 1102: overloaded",
            "provider failure [connection_failed] retry 3/10 in 2200: connection_failed",
            "Assistant: The migration is written.",
            "TurnEnded",
        ]
    );
}

#[test]
fn the_models_own_messages_are_where_a_session_can_be_taken_back_to() {
    let places = |kind: &str, more: &str, model: &str| {
        let line = format!(
            r#"{{"type":"{kind}","uuid":"u","sessionId":"s","isSidechain":false,{more}"message":{{"id":"m","role":"{kind}","model":"{model}","content":[{{"type":"text","text":"words"}},{{"type":"tool_use","id":"t","name":"Bash","input":{{}}}}]}}}}"#
        );
        let mut places = Vec::new();
        FORMAT.decoder().json(frame(line.as_bytes()), &mut |record| {
            places.extend(record.place.map(|place| format!("{} of {}", place.record, place.message)));
        });
        places
    };
    assert_eq!(places("assistant", "", "claude"), ["u of m"]);
    for (kind, more, model) in [
        ("user", "", "claude"),
        ("assistant", r#""isApiErrorMessage":true,"error":"invalid_request","#, "<synthetic>"),
        // A filler that it puts in after a turn that was cut short.
        ("assistant", r#""isApiErrorMessage":false,"#, "<synthetic>"),
        ("assistant", r#""parent_tool_use_id":"toolu_1","#, "claude"),
        ("assistant", r#""agentId":"a1","#, "claude"),
    ] {
        assert_eq!(places(kind, more, model), [""; 0], "{kind} {more}");
    }
}

#[test]
fn words_in_content_are_no_failures() {
    assert_eq!(failures(&lines(CLEAN)), [""; 0]);
    let told = story(&FORMAT, &lines(CLEAN));
    assert!(told.iter().any(|record| record.starts_with("result toolu_0302 failed exit 22: Exit code 22\n")));
    assert_eq!(told.last().map(String::as_str), Some("TurnEnded"));
}

#[test]
fn an_interrupt_is_told_by_the_tool_the_marker_and_the_result() {
    let told = failures(&lines(INTERRUPTED));
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told.iter().all(|record| record.starts_with("agent failure") && record.contains("is interrupted")));
    // Builds that do not give the reason end the turn with nothing but the subtype.
    let marker = r#"{"type":"user","message":{"role":"user","content":"[Request interrupted by user]"},"session_id":"s"}"#;
    let result = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"session_id":"s"}"#;
    assert_eq!(
        failures(&[marker, result]),
        [
            "agent failure [interrupted_by_user] is interrupted ends: [Request interrupted by user]",
            "agent failure [error_during_execution] is interrupted ends: error_during_execution",
        ]
    );
    assert_eq!(failures(&[result]), ["agent failure [error_during_execution] ends: error_during_execution"]);
}

#[test]
fn a_side_chain_speaks_for_itself() {
    let told = story(&FORMAT, &lines(SIDECHAIN));
    let side: Vec<&str> = told.iter().filter(|record| record.starts_with("(a11ce0)")).map(|record| &**record).collect();
    assert_eq!(
        side,
        [
            "(a11ce0) User: Find the quota handling",
            "(a11ce0) Assistant: ",
            "(a11ce0) call toolu_0802 Grep {\"pattern\":\"quota\"}",
            "(a11ce0) result toolu_0802 fine: docs/api.md: 429 means insufficient_quota",
            "(a11ce0) provider failure 529 [overloaded]: API Error: 529 Overloaded.",
        ]
    );
    assert_eq!(told.iter().filter(|record| record.starts_with("started")).count(), 2, "the directory, then the model");
    assert_eq!(
        &told[told.len() - 4..],
        [
            "User: Summary: the session twice met 'API Error: 400' and was interrupted.",
            "Assistant: It means the plan is used up.",
            "TurnEnded",
            "provider failure 429 [rate_limit] ends: You've hit your weekly limit · resets Nov 24, 9am (UTC)",
        ]
    );
}

#[test]
fn an_old_transcript_tells_of_a_sub_agent_in_progress_lines() {
    tells(
        r#"{"type":"progress","sessionId":"s","parentUuid":null,"isSidechain":false,"data":{"type":"agent_progress","agentId":"b2","message":{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,"content":"Exit code 2\nno such target"}]}}}}"#,
        &["(b2) result t failed exit 2: Exit code 2\nno such target"],
    );
    tells(
        r#"{"type":"progress","sessionId":"s","data":{"type":"bash_progress","output":"API Error: 529 Overloaded"}}"#,
        &[],
    );
}

#[test]
fn an_array_of_messages_is_read_like_a_stream() {
    let mut at = Vec::new();
    let text = ARRAY.trim_end();
    FORMAT.decoder().json(frame(text.as_bytes()), &mut |record| at.push(record.at));
    assert_eq!(at.first(), Some(&1));
    assert!(at.is_sorted() && at.iter().all(|&at| text.as_bytes()[at] == b'{'), "{at:?}");
    assert_eq!(
        failures(&[text]),
        [
            "provider failure [billing_error]: Credit balance is too low",
            "provider failure 400 [billing_error] ends: Credit balance is too low",
        ]
    );
}

#[test]
fn results_that_fail() {
    for (line, expected) in [
        (
            r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"too fast","session_id":"s"}"#,
            "provider failure 429 [] ends: too fast",
        ),
        (
            r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":400,"result":"Prompt is too long","terminal_reason":"prompt_too_long","session_id":"s"}"#,
            "provider failure 400 [prompt_too_long] ends: Prompt is too long",
        ),
        (
            r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":null,"result":"no","stop_reason":"refusal","terminal_reason":"api_error","session_id":"s"}"#,
            "provider failure [refusal api_error] ends: no",
        ),
        (
            r#"{"type":"result","subtype":"error_max_turns","is_error":true,"errors":["Reached the limit of 3 turns"],"terminal_reason":"max_turns","session_id":"s"}"#,
            "agent failure [max_turns error_max_turns] is max_turns ends: Reached the limit of 3 turns",
        ),
        (
            r#"{"type":"result","subtype":"error_max_budget_usd","is_error":false,"session_id":"s"}"#,
            "agent failure [error_max_budget_usd] is budget_over ends: error_max_budget_usd",
        ),
        (
            r#"{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["No conversation with this id"],"session_id":"s"}"#,
            "agent failure [error_during_execution] ends: No conversation with this id",
        ),
        (
            // The text is the model's: it is not the failure's.
            r#"{"type":"result","subtype":"success","is_error":false,"result":"HTTP 401 handled","terminal_reason":"blocking_limit","session_id":"s"}"#,
            "agent failure [blocking_limit] ends: blocking_limit",
        ),
        (
            r#"{"type":"result","subtype":"success","is_error":false,"result":"","terminal_reason":"aborted_tools","session_id":"s"}"#,
            "agent failure [aborted_tools] is interrupted ends: aborted_tools",
        ),
    ] {
        tells(line, &[expected]);
    }
}

#[test]
fn minimal_pairs_same_words_opposite_verdicts() {
    let words = "You've hit your 5-hour limit · resets 4pm";
    let message = |model: &str, more: &str| {
        format!(
            r#"{{"type":"assistant","message":{{"id":"m","role":"assistant","model":"{model}","content":[{{"type":"text","text":"{words}"}}]}},"session_id":"s"{more}}}"#
        )
    };
    tells(&message("claude-opus-5-5", ""), &[&format!("Assistant: {words}")]);
    tells(&message(SYNTHETIC, r#","isApiErrorMessage":true"#), &[&format!("provider failure []: {words}")]);
    tells(&message(SYNTHETIC, r#","error":"unknown""#), &[&format!("provider failure []: {words}")]);
    tells(&message(SYNTHETIC, r#","isApiErrorMessage":false"#), &[]);
    tells(
        r#"{"type":"result","subtype":"success","is_error":false,"result":"the 429 is gone","session_id":"s"}"#,
        &["TurnEnded"],
    );
    let window = |status: &str, more: &str| {
        format!(
            r#"{{"type":"rate_limit_event","rate_limit_info":{{"status":"{status}","rateLimitType":"five_hour","utilization":0.99{more}}},"session_id":"s"}}"#
        )
    };
    let quota = "quota 300 min Some(99.0) None";
    tells(&window("rejected", ""), &[quota, "provider failure [usage_limit_reached five_hour]: usage_limit_reached: five_hour"]);
    let warning = "provider failure [usage_limit_warning five_hour] is usage_warning: usage_limit_warning: five_hour";
    tells(&window("allowed_warning", ""), &[quota, warning]);
    tells(&window("rejected", r#","isUsingOverage":true"#), &[quota, warning]);
    tells(&window("allowed", ""), &[quota]);
}

#[test]
fn hard_negatives() {
    for line in [
        r#"{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,"content":"Exit code 1\n429 Too Many Requests"}]},"session_id":"s"}"#,
        r#"{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,"content":"Command timed out after 2 minutes"}]},"sessionId":"s"}"#,
        r#"{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"The API answers 429 insufficient_quota"}]}]},"sessionId":"s"}"#,
        r#"{"type":"user","isCompactSummary":true,"message":{"role":"user","content":"[Request interrupted by user]"},"sessionId":"s"}"#,
        r#"{"type":"user","isReplay":true,"message":{"role":"user","content":"[Request interrupted by user]"},"session_id":"s"}"#,
        r#"{"type":"user","message":{"role":"user","content":"it said [Request interrupted by user] again"},"sessionId":"s"}"#,
        r#"{"type":"assistant","message":{"id":"m","model":"claude-opus-5-5","content":[{"type":"tool_use","id":"t","name":"Grep","input":{"pattern":"rate_limit_error"}}]},"session_id":"s"}"#,
        r#"{"type":"assistant","parent_tool_use_id":"toolu_9","message":{"id":"m","model":"claude-haiku-5-5","content":[{"type":"text","text":"Overloaded operators live in ops.rs"}]},"session_id":"s"}"#,
        r#"{"type":"assistant","message":{"model":"<synthetic>","content":[{"type":"text","text":"Nothing to answer."}]},"session_id":"s"}"#,
        r#"{"type":"system","subtype":"hook_response","stderr":"timeout exceeded","exit_code":1,"session_id":"s"}"#,
        r#"{"type":"system","subtype":"task_updated","status":"failed","error":"connection refused","session_id":"s"}"#,
        r#"{"type":"system","subtype":"local_command","content":"API Error: 401","sessionId":"s"}"#,
        r#"{"type":"system","subtype":"informational","content":"The error 529 was mentioned","level":"warning","session_id":"s"}"#,
        r#"{"type":"system","subtype":"status","status":null,"compact_result":"success","session_id":"s"}"#,
        r#"{"type":"stream_event","event":{"delta":{"text":"API Error: 529"}},"session_id":"s"}"#,
        r#"{"type":"attachment","attachment":{"type":"file","content":"API Error: 401 max_turns_reached"},"sessionId":"s"}"#,
        r#"{"type":"queue-operation","operation":"enqueue","content":"Credit balance is too low","sessionId":"s"}"#,
        r#"{"type":"summary","summary":"Fix the 429 handling","leafUuid":"u"}"#,
        r#"{"type":"auth_status","isAuthenticating":true,"output":["error 401"],"session_id":"s"}"#,
        r#"{"type":"type_of_tomorrow","error":"rate_limit","session_id":"s"}"#,
    ] {
        assert_eq!(failures(&[line]), [""; 0], "{line}");
    }
}

#[test]
fn system_records_that_tell_failures() {
    for (line, expected) in [
        (
            r#"{"type":"system","subtype":"api_error","level":"error","error":{"status":529,"error":{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}},"retryInMs":1200.5,"retryAttempt":1,"maxRetries":10,"sessionId":"s"}"#,
            "provider failure 529 [overloaded_error] retry 1/10 in 1200: Overloaded",
        ),
        (
            r#"{"type":"system","subtype":"api_error","cause":{"code":"ECONNREFUSED"},"error":{"cause":{"code":"ECONNREFUSED","errno":0}},"retryAttempt":2,"sessionId":"s"}"#,
            "provider failure [ECONNREFUSED] retry 2/- in -: ECONNREFUSED",
        ),
        (
            r#"{"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,"retry_delay_ms":600,"error_status":429,"error":"rate_limit","session_id":"s"}"#,
            "provider failure 429 [rate_limit] retry 1/10 in 600: rate_limit",
        ),
        (
            r#"{"type":"system","subtype":"api_retry","attempt":1,"no_response":{"waited_ms":60000},"error_status":null,"error":"unknown","session_id":"s"}"#,
            "provider failure [no_response connection_failed] retry 1/- in -: no_response",
        ),
        (
            r#"{"type":"system","subtype":"status","status":null,"compact_result":"failed","compact_error":"too few messages","session_id":"s"}"#,
            "agent failure [compact_failed]: compaction failed: too few messages",
        ),
        (
            r#"{"type":"system","subtype":"session_writes_lost","error_code":"ENOSPC","session_id":"s"}"#,
            "agent failure [ENOSPC session_writes_lost] is disk_full: ENOSPC",
        ),
        (
            r#"{"type":"system","subtype":"model_fallback","content":"Switched to the smaller model","session_id":"s"}"#,
            "agent failure [model_fallback] is usage_warning: Switched to the smaller model",
        ),
        (
            r#"{"type":"system","subtype":"model_refusal_no_fallback","content":"","session_id":"s"}"#,
            "provider failure [model_refusal]: model_refusal",
        ),
        (
            r#"{"type":"system","subtype":"model_refusal_fallback","session_id":"s"}"#,
            "provider failure [model_refusal] retry -/- in -: model_refusal_fallback",
        ),
        (
            r#"{"type":"system","subtype":"informational","content":"You've used 91% of your weekly limit","sessionId":"s"}"#,
            "agent failure [informational] is usage_warning: You've used 91% of your weekly limit",
        ),
        (
            r#"{"type":"system","subtype":"session_state_changed","state":"requires_action","session_id":"s"}"#,
            "agent failure [requires_action] is waiting_input: requires_action",
        ),
        (
            r#"{"type":"attachment","attachment":{"type":"max_turns_reached","maxTurns":3},"sessionId":"s"}"#,
            "agent failure [max_turns_reached] is max_turns ends: max_turns_reached",
        ),
        (
            r#"{"type":"auth_status","isAuthenticating":false,"error":"the login command failed","session_id":"s"}"#,
            "provider failure [auth_status]: the login command failed",
        ),
        (
            r#"{"type":"assistant","message":{"model":"<synthetic>","content":[{"type":"text","text":"API Error: 400 the history is broken"}]},"session_id":"s"}"#,
            "provider failure [] read: API Error: 400 the history is broken",
        ),
        (
            r#"{"type":"assistant","isApiErrorMessage":true,"error":"rate_limit","apiError":"usage_limit_reached","apiErrorStatus":429,"message":{"model":"<synthetic>","content":[{"type":"text","text":"limit"}]},"sessionId":"s"}"#,
            "provider failure 429 [usage_limit_reached rate_limit] ends: limit",
        ),
    ] {
        tells(line, &[expected]);
    }
}

#[test]
fn the_blocks_of_one_message_count_once() {
    let block = |id: &str, output: u64| {
        format!(
            r#"{{"type":"assistant","message":{{"id":"{id}","model":"m","content":[],"usage":{{"input_tokens":5,"cache_read_input_tokens":100,"output_tokens":{output}}}}},"session_id":"s"}}"#
        )
    };
    let mut told = everything(&FORMAT, &[&block("a", 1), &block("b", 7), &block("a", 1), &block("a", 30)]);
    told.retain(|record| record.starts_with("usage"));
    assert_eq!(
        told,
        [
            "usage Request in 5 out 1 read 100 written None window None cost None",
            "usage Request in 5 out 7 read 100 written None window None cost None",
            "usage Request in 5 out 30 read 100 written None window None cost None",
        ]
    );
}

#[test]
fn the_run_is_told_by_its_running_totals() {
    let result = |turn: u64, models: &str| {
        format!(
            r#"{{"type":"result","subtype":"success","is_error":false,"result":"","session_id":"s","total_cost_usd":0.5,"usage":{{"input_tokens":{turn},"output_tokens":1}},"modelUsage":{{{models}}}}}"#
        )
    };
    let told = |lines: &[&str]| {
        let mut told = everything(&FORMAT, lines);
        told.retain(|record| record.starts_with("usage"));
        told
    };
    let models = r#""small":{"inputTokens":10,"outputTokens":1,"contextWindow":50},"big":{"inputTokens":30,"outputTokens":2,"cacheReadInputTokens":4,"contextWindow":200}"#;
    assert_eq!(told(&[&result(9, models)]), ["usage Run in 40 out 3 read 4 written None window 200 cost 0.5"]);
    assert_eq!(
        told(&[&result(9, ""), &result(5, "")]),
        [
            "usage Run in 9 out 1 read None written None window None cost 0.5",
            "usage Run in 14 out 2 read None written None window None cost 0.5",
        ]
    );
}

#[test]
fn what_nobody_reads_is_carried_as_it_stands() {
    let line = |content: &str| {
        format!(
            r#"{{"type":"user","session_id":"s","message":{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":{content}}}]}}}}"#
        )
    };
    for (content, said) in [(r#""a\n\u0062""#, "a\nb"), (r#"[{"text":"a\t"},{"text":"b"}]"#, "a\t\nb"), ("7", "")] {
        let line = line(content);
        let mut read = Vec::new();
        FORMAT.decoder().json(frame(line.as_bytes()), &mut |record| {
            if let Body::ToolResult(result) = &record.body {
                assert!(!result.failed);
                read.push(result.text.read().into_owned());
            }
        });
        assert_eq!(read, [said], "{content}");
    }
}

#[test]
fn long_output_is_carried_in_part() {
    for piece in ["plain text ", "tab\\t quote \\\" ", "\\ud83d\\ude00", "ümläut "] {
        let json = format!("\"{}\"", piece.repeat(3000));
        let whole: String = serde_json::from_str(&json).unwrap();
        let text = tool_output(&json);
        assert!(whole.starts_with(&*text), "{piece}");
        assert!(text.len() >= 2048 || text.len() == whole.len() || piece.starts_with("\\u"), "{} {piece}", text.len());
    }
}

#[test]
fn odd_fields_do_not_hide_a_line() {
    tells(
        r#"{"type":"result","subtype":"success","is_error":true,"result":"limit","usage":[1],"timestamp":7,"errors":{"a":1},"session_id":"s","api_error_status":"429"}"#,
        &["provider failure [] ends: limit"],
    );
}

#[test]
fn what_is_not_this_formats_is_left_alone() {
    for line in [
        "", "{}", "[]", "[1]", "7", "\"x\"", "{\"type\":7}", r#"{"type":"error","message":"x"}"#,
        r#"{"type":"result","status":"success","stats":{}}"#, r#"{"type":"message","role":"assistant","content":"x"}"#,
        r#"{"type":"turn.failed","error":{"message":"x"}}"#, r#"{"type":"user","message":"x"}"#,
        r#"{"type":"assistant","session_id":"s","message":{"#, r#"{"level":"error","msg":"429"}"#,
    ] {
        assert!(!FORMAT.recognise(frame(line.as_bytes())), "{line}");
        let decoded = FORMAT.decoder().json(frame(line.as_bytes()), &mut |_| panic!("{line}"));
        assert_eq!(decoded, Decoded::No, "{line}");
    }
    let cut = Frame { truncated: true, ..frame(LIMIT.lines().next().unwrap().as_bytes()) };
    assert!(!FORMAT.recognise(cut));
    let bytes = b"{\"type\":\"summary\",\"summary\":\"\xff\",\"leafUuid\":\"u\"}";
    assert_eq!(FORMAT.decoder().json(frame(bytes), &mut |_| {}), Decoded::No, "not UTF-8");
}

#[test]
fn every_line_of_the_samples_is_recognised() {
    for line in [LIMIT, CLEAN, RETRY, INTERRUPTED, SIDECHAIN, ARRAY].iter().flat_map(|text| text.lines()) {
        assert!(FORMAT.recognise(frame(line.as_bytes())), "{line}");
    }
    for line in [
        r#"{"type":"result","subtype":"success","total_cost_usd":0.1,"result":"x"}"#,
        r#"{"type":"assistant","message":{"role":"assistant","content":[]},"session_id":"s"}"#,
        r#"{"type":"system","subtype":"api_error","error":{},"sessionId":"s"}"#,
        r#"{"type":"queue-operation","operation":"enqueue","sessionId":"s"}"#,
    ] {
        assert!(FORMAT.recognise(frame(line.as_bytes())), "{line}");
    }
}

fn sample() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<&str> =
        [LIMIT, CLEAN, RETRY, INTERRUPTED, SIDECHAIN, ARRAY].iter().flat_map(|text| text.lines()).collect();
    let cut = (prop::sample::select(all), any::<prop::sample::Index>(), any::<Option<u8>>());
    cut.prop_map(|(line, at, with)| {
        let at = at.index(line.len() + 1);
        let mut bytes = line.as_bytes().to_vec();
        match with {
            None => bytes.truncate(at),
            Some(byte) if at < bytes.len() => bytes[at] = byte,
            Some(byte) => bytes.push(byte),
        }
        bytes
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(sample(), 0..8)) {
        let mut decoder = FORMAT.decoder();
        for bytes in cuts.iter().chain([&bytes]) {
            FORMAT.recognise(frame(bytes));
            decoder.json(frame(bytes), &mut |record| { let _ = format!("{:?}", record.clone()); });
        }
    }

    #[test]
    fn a_prefix_of_a_string_is_read_as_one(text in "(\\PC|[\"\\\\\n\t😀]){0,6000}") {
        let json = serde_json::to_string(&text).unwrap();
        let (head, whole) = json::string_head(&json, RESULT_BYTES).unwrap();
        prop_assert!(text.starts_with(&*head));
        prop_assert_eq!(whole, head.len() == text.len());
        prop_assert_eq!(json::string(&json).unwrap(), text);
    }
}
