//! Every trap that is known to have fooled a meter, counted by hand.

use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::ledger::{Ledger, Settled, Sheet};
use super::meter::{Meter, Mode};
use super::note::{self, Note};
use super::price::Prices;
use super::report::{By, Filter, Report, report};
use super::{Amount, Tokens};
use crate::engine::{Doctor, Options};
use crate::model::Timestamp;

/// What a stream puts on its sheet, and what notes of it do. It is fed in pieces of `cut` bytes.
fn sheets(name: &str, text: &str, mode: Mode, cut: usize) -> ([Sheet; 2], &'static str) {
    let options = Options { only_decode: true, ..Options::new() };
    let empty = || Sheet::new(Arc::new(Prices::built_in().clone()), mode, name);
    let sheet = Arc::new(Mutex::new((empty(), note::Writer::default(), Vec::new())));
    let mut doctor = Doctor::new(Arc::new(options), name, name);
    doctor.listen(|| {
        let sheet = Arc::clone(&sheet);
        Box::new(move |_, record| {
            let (sheet, writer, notes) = &mut *sheet.lock().unwrap();
            sheet.take(record);
            writer.take(record, &mut |note| notes.push(serde_json::to_string(note).unwrap()));
        })
    });
    let now = Timestamp::from_seconds(0);
    for piece in text.as_bytes().chunks(cut) {
        doctor.feed(now, piece, &mut |_| {});
    }
    doctor.finish(now, &mut |_| {});
    let agent = doctor.agent();
    drop(doctor);
    let (sheet, _, notes) = Arc::into_inner(sheet).unwrap().into_inner().unwrap();
    let mut again = empty();
    let mut reader = note::Reader::default();
    for note in &notes {
        let note: Note<'_> = serde_json::from_str(note).unwrap();
        reader.take(&note, &mut |record| again.take(record)).unwrap();
    }
    ([sheet, again], agent)
}

fn settled(streams: &[(&str, String)], mode: Mode, cut: usize) -> Settled {
    let (mut ledger, mut again) = (Ledger::default(), Ledger::default());
    for (name, text) in streams {
        let ([sheet, noted], agent) = sheets(name, text, mode, cut);
        ledger.put(sheet, agent, None);
        again.put(noted, agent, None);
    }
    let (settled, again) = (ledger.settle(), again.settle());
    let whole = |settled| report(settled, By::Session, &TimeZone::UTC, &Filter::default());
    assert_eq!(whole(&settled), whole(&again), "the same by the notes of the streams");
    settled
}

fn by(streams: &[(&str, String)], mode: Mode, by: By) -> Report {
    report(&settled(streams, mode, usize::MAX), by, &TimeZone::UTC, &Filter::default())
}

/// Input, output, read, written: of all streams together.
fn total(streams: &[(&str, String)]) -> [i64; 4] {
    let Tokens { input, output, cache_read, cache_write, .. } =
        by(streams, Mode::Auto, By::Day).total.amount.tokens;
    [input, output, cache_read, cache_write]
}

/// The rows of a report, as what they are about, tokens in all and cents.
fn rows(report: &Report) -> Vec<(String, i64, i64)> {
    let row = |line: &super::report::Line| {
        (line.about.clone(), line.amount.tokens.total(), (line.amount.cost * 100.0).round() as i64)
    };
    report.lines.iter().map(row).collect()
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

// ------------------------------------------------------------------------------------------------ Claude Code

/// A line of a transcript: a block of a message of the model.
struct Said<'a> {
    session: &'a str,
    message: &'a str,
    request: &'a str,
    model: &'a str,
    time: &'a str,
    usage: String,
    more: &'a str,
}

const LONG: &str = "msg_01AbCdEfGhIjKlMnOp";
const OTHER: &str = "msg_01ZyXwVuTsRqPoNmLk";

fn said(message: &str, output: u64) -> Said<'_> {
    Said {
        session: "11111111-1111-4111-8111-111111111111",
        message,
        request: "req_011Abc",
        model: "claude-opus-4-6",
        time: "2026-11-20T05:00:00.000Z",
        usage: format!(
            r#""input_tokens":10,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,"output_tokens":{output}"#
        ),
        more: "",
    }
}

impl Said<'_> {
    fn line(&self) -> String {
        let Said { session, message, request, model, time, usage, more } = self;
        let request = if request.is_empty() { String::new() } else { format!(r#""requestId":"{request}","#) };
        format!(
            r#"{{"parentUuid":"p","isSidechain":false,"cwd":"/home/u/shop","sessionId":"{session}","version":"2.1.0","type":"assistant",{request}{more}"message":{{"id":"{message}","type":"message","role":"assistant","model":"{model}","content":[{{"type":"text","text":"ok"}}],"stop_reason":null,"usage":{{{usage}}}}},"uuid":"u","timestamp":"{time}"}}"#
        )
    }
}

#[test]
fn blocks_of_one_message_count_once_with_the_last_of_its_figures() {
    let text = lines(&[said(LONG, 1).line(), said(LONG, 1).line(), said(LONG, 400).line()]);
    assert_eq!(total(&[("a", text)]), [10, 400, 3000, 200]);
}

#[test]
fn one_message_id_in_two_requests_is_two_requests() {
    let text = lines(&[said(LONG, 5).line(), Said { request: "req_011Xyz", ..said(LONG, 7) }.line()]);
    assert_eq!(total(&[("a", text)]), [20, 12, 6000, 400]);
}

#[test]
fn a_telling_without_a_request_id_is_of_the_request_that_has_one_in_whatever_order() {
    let bare = |output| Said { request: "", ..said(LONG, output) }.line();
    let (stream, transcript) = (lines(&[bare(1), bare(7)]), lines(&[said(LONG, 9).line()]));
    assert_eq!(total(&[("a", stream.clone()), ("b", transcript.clone())]), [10, 9, 3000, 200]);
    assert_eq!(total(&[("b", transcript), ("a", stream)]), [10, 9, 3000, 200]);
    assert_eq!(
        total(&[("a", lines(&[bare(1), said(LONG, 9).line(), bare(9)]))]),
        [10, 9, 3000, 200],
        "in one file"
    );
}

#[test]
fn the_last_piece_of_a_message_has_all_of_its_output() {
    let event = |event: &str| {
        format!(
            r#"{{"type":"stream_event","event":{event},"session_id":"11111111-1111-4111-8111-111111111111","parent_tool_use_id":null,"uuid":"u"}}"#
        )
    };
    let start = format!(
        r#"{{"type":"message_start","message":{{"id":"{LONG}","type":"message","role":"assistant","model":"claude-opus-4-6","content":[],"usage":{{"input_tokens":10,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,"output_tokens":1}}}}}}"#
    );
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":500}}"#;
    let text = lines(&[event(&start), said(LONG, 1).line(), event(end), event(r#"{"type":"message_stop"}"#)]);
    assert_eq!(total(&[("a", text)]), [10, 500, 3000, 200]);
}

#[test]
fn what_older_versions_said_of_the_cost_is_believed() {
    let line = Said { more: r#""costUSD":0.25,"#, ..said(LONG, 5) }.line();
    let cost = |mode| {
        (by(&[("a", lines(std::slice::from_ref(&line)))], mode, By::Day).total.amount.cost * 100.0).round()
    };
    assert_eq!((cost(Mode::Auto), cost(Mode::Display), cost(Mode::Calculate)), (25.0, 25.0, 0.0));
}

#[test]
fn without_a_request_id_the_message_id_tells() {
    let line = |output| Said { request: "", ..said(LONG, output) }.line();
    assert_eq!(total(&[("a", lines(&[line(1), line(9)])), ("b", lines(&[line(9)]))]), [10, 9, 3000, 200]);
}

#[test]
fn a_short_id_is_one_of_its_session_only() {
    let line = |session, message| Said { session, request: "", ..said(message, 5) }.line();
    let one = lines(&[line("s-one", "m1"), line("s-one", "m1")]);
    assert_eq!(total(&[("a", one), ("b", lines(&[line("s-two", "m1")]))]), [20, 10, 6000, 400]);
}

#[test]
fn a_resumed_session_repeats_what_was_before_under_its_own_name() {
    let first = lines(&[said(LONG, 5).line()]);
    let resumed = Said { session: "22222222-2222-4222-8222-222222222222", ..said(LONG, 5) };
    let news = Said {
        session: "22222222-2222-4222-8222-222222222222",
        time: "2026-11-21T05:00:00.000Z",
        ..said(OTHER, 7)
    };
    let streams = [("a", first), ("b", lines(&[resumed.line(), news.line()]))];
    assert_eq!(total(&streams), [20, 12, 6000, 400]);
    let days = by(&streams, Mode::Auto, By::Day);
    assert_eq!(
        rows(&days).iter().map(|row| (&*row.0, row.1)).collect::<Vec<_>>(),
        [("2026-11-20", 3215), ("2026-11-21", 3217)]
    );
    let sessions = by(&streams, Mode::Auto, By::Session);
    assert_eq!(sessions.lines.iter().map(|line| line.amount.tokens.output).collect::<Vec<_>>(), [5, 7]);
}

#[test]
fn messages_that_no_model_wrote_use_nothing() {
    let line = Said { model: "<synthetic>", ..said(LONG, 5) }.line();
    assert_eq!(total(&[("a", lines(&[line]))]), [0; 4]);
}

#[test]
fn a_sub_agent_in_a_progress_line_counts_and_not_again_in_a_file_of_its_own() {
    let inner = said(LONG, 5).line();
    let progress = format!(
        r#"{{"parentUuid":"p","isSidechain":false,"sessionId":"11111111-1111-4111-8111-111111111111","type":"progress","data":{{"type":"agent_progress","agentId":"a1","message":{inner}}},"uuid":"u9","timestamp":"2026-11-20T05:00:01.000Z"}}"#
    );
    let side = Said { more: r#""agentId":"a1","#, ..said(LONG, 8) }
        .line()
        .replace(r#""isSidechain":false"#, r#""isSidechain":true"#);
    let main = said(OTHER, 7).line();
    assert_eq!(total(&[("a", lines(&[main.clone(), progress.clone()]))]), [20, 12, 6000, 400]);
    assert_eq!(total(&[("a", lines(&[main, progress])), ("b", lines(&[side]))]), [20, 15, 6000, 400]);
}

#[test]
fn what_a_tool_says_it_used_is_content() {
    let result = r#"{"parentUuid":"p","isSidechain":false,"sessionId":"s","type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"done"}]},"toolUseResult":{"totalTokens":99999,"usage":{"input_tokens":99999,"output_tokens":9}},"uuid":"u","timestamp":"2026-11-20T05:00:00.000Z"}"#;
    assert_eq!(total(&[("a", lines(&[result.to_owned(), said(LONG, 5).line()]))]), [10, 5, 3000, 200]);
}

#[test]
fn writes_for_an_hour_are_told_apart_and_cost_more() {
    let usage = |parts: &str| {
        format!(
            r#""input_tokens":0,"cache_creation_input_tokens":1000000,"output_tokens":0,"cache_creation":{{{parts}}}"#
        )
    };
    let cost = |parts: &str| {
        let text = lines(&[Said { usage: usage(parts), ..said(LONG, 0) }.line()]);
        by(&[("a", text)], Mode::Auto, By::Day).total.amount.cost
    };
    assert_eq!(cost(r#""ephemeral_5m_input_tokens":1000000,"ephemeral_1h_input_tokens":0"#), 6.25);
    assert_eq!(cost(r#""ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":1000000"#), 10.0);
}

#[test]
fn a_model_without_a_price_is_counted_and_has_no_cost() {
    let text = lines(&[Said { model: "nobody-1", ..said(LONG, 5) }.line(), said(OTHER, 5).line()]);
    let amount = by(&[("a", text)], Mode::Auto, By::Day).total.amount;
    assert_eq!((amount.unpriced, amount.tokens.total()), (3215, 6430));
    assert!(amount.cost > 0.0);
}

fn init() -> String {
    r#"{"type":"system","subtype":"init","cwd":"/w","session_id":"s-long-enough-to-be-one","model":"claude-opus-4-6","uuid":"u0"}"#.to_owned()
}

fn streamed(message: &str, model: &str, output: u64) -> String {
    format!(
        r#"{{"type":"assistant","message":{{"id":"{message}","role":"assistant","model":"{model}","content":[{{"type":"text","text":"ok"}}],"usage":{{"input_tokens":100,"output_tokens":{output}}}}},"parent_tool_use_id":null,"session_id":"s-long-enough-to-be-one","uuid":"u1"}}"#
    )
}

fn result(cost: f64, models: &[(&str, u64, u64, f64)]) -> String {
    let models: Vec<String> = models
        .iter()
        .map(|(model, input, output, cost)| {
            format!(r#""{model}":{{"inputTokens":{input},"outputTokens":{output},"costUSD":{cost},"contextWindow":200000}}"#)
        })
        .collect();
    format!(
        r#"{{"type":"result","subtype":"success","is_error":false,"result":"ok","session_id":"s-long-enough-to-be-one","num_turns":1,"total_cost_usd":{cost},"usage":{{"input_tokens":1,"output_tokens":1}},"modelUsage":{{{}}},"uuid":"u2"}}"#,
        models.join(",")
    )
}

#[test]
fn a_result_says_what_its_requests_left_out_and_what_they_cost() {
    // 100 and 100 were told, with 1 and 20 tokens of output; the run had 230 in all, with 60, and a small model beside it.
    let text = lines(&[
        init(),
        streamed(LONG, "claude-opus-4-6", 1),
        streamed(OTHER, "claude-opus-4-6", 20),
        result(0.5, &[("claude-opus-4-6", 230, 60, 0.4), ("claude-haiku-4-5-20251001", 1000, 5, 0.1)]),
    ]);
    let streams = [("a", text)];
    assert_eq!(total(&streams), [1230, 65, 0, 0]);
    let models = by(&streams, Mode::Auto, By::Model);
    assert_eq!(
        rows(&models),
        [("claude-opus-4-6".to_owned(), 290, 40), ("claude-haiku-4-5".to_owned(), 1005, 10)]
    );
    assert_eq!(by(&streams, Mode::Display, By::Day).total.amount.cost, 0.5);
    let calculated = by(&streams, Mode::Calculate, By::Day).total.amount.cost;
    let by_hand = (230.0 * 5.0 + 60.0 * 25.0 + 1000.0 + 5.0 * 5.0) / 1e6;
    assert!((calculated - by_hand).abs() < 1e-12, "{calculated}");
}

#[test]
fn running_totals_are_not_added_up() {
    let text = lines(&[
        init(),
        streamed(LONG, "claude-opus-4-6", 10),
        result(0.25, &[("claude-opus-4-6", 100, 10, 0.25)]),
        init(),
        streamed(OTHER, "claude-opus-4-6", 10),
        result(0.75, &[("claude-opus-4-6", 200, 20, 0.75)]),
    ]);
    let amount = by(&[("a", text)], Mode::Auto, By::Day).total.amount;
    assert_eq!((amount.tokens.input, amount.tokens.output), (200, 20));
    assert!((amount.cost - 0.75).abs() < 1e-12, "{}", amount.cost);
}

#[test]
fn sessions_that_take_turns_in_one_file_count_once() {
    let run = |session: &str, message: &str| {
        let lines = [
            init(),
            streamed(message, "claude-opus-4-6", 10),
            result(0.25, &[("claude-opus-4-6", 100, 10, 0.25)]),
        ];
        lines.map(|line| line.replace("s-long-enough-to-be-one", session))
    };
    let (one, other) = (run("s-long-enough-to-be-one", LONG), run("s-long-enough-to-be-two", OTHER));
    let turns: Vec<String> = one.into_iter().zip(other).flat_map(|(one, other)| [one, other]).collect();
    let amount = by(&[("a", lines(&turns))], Mode::Auto, By::Day).total.amount;
    assert_eq!((amount.tokens.input, amount.tokens.output), (200, 20));
    assert!((amount.cost - 0.5).abs() < 1e-12, "{}", amount.cost);
}

#[test]
fn a_run_that_begins_again_counts_from_nothing() {
    let run = |message| {
        [
            init(),
            streamed(message, "claude-opus-4-6", 10),
            result(0.25, &[("claude-opus-4-6", 100, 10, 0.25)]),
        ]
    };
    let text = lines(&[run(LONG), run(OTHER)].concat());
    let amount = by(&[("a", text)], Mode::Auto, By::Day).total.amount;
    assert_eq!((amount.tokens.input, amount.tokens.output), (200, 20));
    assert!((amount.cost - 0.5).abs() < 1e-12, "{}", amount.cost);
}

#[test]
fn a_cost_that_nobody_was_charged_is_none() {
    let by_hand = (100.0 * 5.0 + 10.0 * 25.0) / 1e6;
    for cost in [-5.0, 1e308] {
        let text = lines(&[
            init(),
            streamed(LONG, "claude-opus-4-6", 10),
            result(cost, &[("claude-opus-4-6", 100, 10, cost)]),
        ]);
        let amount = by(&[("a", text)], Mode::Auto, By::Day).total.amount;
        assert!((amount.cost - by_hand).abs() < 1e-12, "{cost}: {}", amount.cost);
    }
}

#[test]
fn sums_of_absurd_figures_stay_where_counting_ends() {
    let most = Amount { unpriced: i64::MAX, requests: i64::MAX, ..Amount::default() };
    let mut sum = most;
    sum.add(&most);
    assert_eq!((sum.unpriced, sum.requests), (i64::MAX, i64::MAX));
    let least = Amount::default().minus(&most).minus(&most);
    assert_eq!((least.unpriced, least.requests), (i64::MIN, i64::MIN));
}

#[test]
fn a_stated_cost_covers_models_that_have_no_price() {
    let text = lines(&[init(), streamed(LONG, "nobody-1", 10), result(0.25, &[("nobody-1", 100, 10, 0.25)])]);
    let amount = by(&[("a", text)], Mode::Auto, By::Day).total.amount;
    assert_eq!((amount.cost, amount.unpriced), (0.25, 0));
}

#[test]
fn a_result_that_names_models_otherwise_counts_nothing_twice() {
    let text = lines(&[init(), streamed(LONG, "glm-4.6", 10), result(0.25, &[("sonnet", 100, 10, 0.25)])]);
    let amount = by(&[("a", text)], Mode::Auto, By::Day).total.amount;
    assert_eq!((amount.tokens.input, amount.tokens.output), (100, 10));
    assert!((amount.cost - 0.25).abs() < 1e-12);
}

// ------------------------------------------------------------------------------------------------ Codex

fn meta(id: &str, more: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-11-20T05:00:00.000Z","type":"session_meta","payload":{{"id":"{id}"{more},"timestamp":"2026-11-20T05:00:00.000Z","cwd":"/w","originator":"codex_exec","cli_version":"0.169.0"}}}}"#
    )
}

fn context(model: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-11-20T05:00:00.500Z","type":"turn_context","payload":{{"turn_id":"t","cwd":"/w","model":"{model}"}}}}"#
    )
}

/// A `token_count`: input with what is cached of it, and output; of all, and of the last request.
fn count(time: &str, all: [u64; 3], last: [u64; 3]) -> String {
    let figures = |[input, cached, output]: [u64; 3]| {
        format!(
            r#"{{"input_tokens":{input},"cached_input_tokens":{cached},"output_tokens":{output},"reasoning_output_tokens":1,"total_tokens":{}}}"#,
            input + output
        )
    };
    format!(
        r#"{{"timestamp":"2026-11-20T{time}Z","type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{},"last_token_usage":{},"model_context_window":272000}},"rate_limits":null}}}}"#,
        figures(all),
        figures(last)
    )
}

/// A `token_usage_record` of a hundred tokens of input, with forty of them cached, and ten of output.
fn response(id: u32, thread: u32) -> String {
    let tokens = |times: u32| {
        format!(
            r#"{{"input_tokens":{},"cached_input_tokens":{},"cache_write_input_tokens":0,"output_tokens":{},"reasoning_output_tokens":0,"total_tokens":{}}}"#,
            100 * times,
            40 * times,
            10 * times,
            110 * times
        )
    };
    format!(
        r#"{{"timestamp":"2026-11-20T05:00:01.000Z","type":"token_usage_record","payload":{{"thread_id":"{PARENT}","turn_id":"t","session_id":"{PARENT}","root_turn_id":"t","response_id":"resp_0000000000000{id}","usage":{},"turn_token_usage":{},"thread_token_usage":{}}}}}"#,
        tokens(1),
        tokens(thread),
        tokens(thread)
    )
}

/// The count behind it, of `times` responses in all.
fn counted(times: u64) -> String {
    count("05:00:02", [100 * times, 40 * times, 10 * times], [100, 40, 10])
}

#[test]
fn a_response_that_is_recorded_and_counted_counts_once() {
    let head = [meta(PARENT, ""), context("gpt-5")];
    let story = |lines_of: &[String]| total(&[("a", lines(&[&head, lines_of].concat()))]);
    let twice = [120, 20, 80, 0];
    assert_eq!(story(&[response(1, 1), counted(1), response(2, 2), counted(2)]), twice);
    assert_eq!(
        story(&[response(1, 1), counted(1), counted(1), response(2, 2), counted(2), counted(2)]),
        twice
    );
    assert_eq!(
        story(&[response(1, 1), response(1, 1), counted(1), response(2, 2)]),
        twice,
        "ended before the count"
    );
    assert_eq!(story(&[counted(1), response(2, 2), counted(2)]), twice, "an older version began it");
    assert_eq!(story(&[response(1, 1), counted(1), counted(2)]), twice, "an older version went on with it");
    let compacted = r#"{"timestamp":"2026-11-20T05:00:03Z","type":"compacted","payload":{"message":""}}"#;
    let in_a_compaction = [response(1, 1), counted(1), response(2, 2), compacted.to_owned(), counted(1)];
    assert_eq!(story(&in_a_compaction), twice, "no count tells of a compaction");
}

#[test]
fn a_fork_repeats_recorded_responses_however_much_of_them_it_copies() {
    let parent = [meta(PARENT, ""), context("gpt-5"), response(1, 1), counted(1)];
    let child = meta(CHILD, &format!(r#","forked_from_id":"{PARENT}""#));
    for copied in [vec![response(1, 1), counted(1)], vec![counted(1)], vec![response(1, 1)], vec![]] {
        let own = [response(2, 2), counted(2)];
        let fork = [&[child.clone(), context("gpt-5")][..], &copied, &own].concat();
        let streams = [("p", lines(&parent)), ("c", lines(&fork))];
        assert_eq!(total(&streams), [120, 20, 80, 0], "{copied:?}");
    }
}

const PARENT: &str = "0199f2c4-7a11-7c31-9d55-000000000001";
const CHILD: &str = "0199f2c4-7a11-7c31-9d55-000000000002";
const SIBLING: &str = "0199f2c4-7a11-7c31-9d55-000000000003";

fn story(time: &str) -> Vec<String> {
    vec![
        count(&format!("{time}:01.000"), [1000, 600, 50], [1000, 600, 50]),
        count(&format!("{time}:02.000"), [3000, 1600, 90], [2000, 1000, 40]),
    ]
}

#[test]
fn totals_become_what_was_added_and_the_cached_are_part_of_the_input() {
    let text = lines(&[vec![meta(PARENT, ""), context("gpt-5.1-codex")], story("05:01")].concat());
    assert_eq!(total(&[("a", text.clone())]), [1400, 90, 1600, 0]);
    let models = by(&[("a", text)], Mode::Auto, By::Model);
    assert_eq!(models.lines[0].about, "gpt-5.1-codex");
    let by_hand = (1400.0 * 1.25 + 90.0 * 10.0 + 1600.0 * 0.125) / 1e6;
    assert!((models.total.amount.cost - by_hand).abs() < 1e-12);
}

#[test]
fn a_count_that_is_told_again_adds_nothing() {
    let again = story("05:02").pop().unwrap();
    let text = lines(
        &[vec![meta(PARENT, ""), context("gpt-5")], story("05:01"), vec![again.clone(), again]].concat(),
    );
    assert_eq!(total(&[("a", text)]), [1400, 90, 1600, 0]);
}

#[test]
fn a_count_that_was_missed_is_in_the_next_total() {
    let text = lines(&[
        meta(PARENT, ""),
        context("gpt-5"),
        story("05:01").remove(0),
        count("05:03:00.000", [9000, 600, 99], [2000, 0, 9]),
    ]);
    assert_eq!(total(&[("a", text)]), [8400, 99, 600, 0]);
}

#[test]
fn totals_that_begin_again_count_their_last_request() {
    let text = lines(
        &[
            vec![meta(PARENT, ""), context("gpt-5")],
            story("05:01"),
            vec![count("05:03:00.000", [500, 0, 5], [500, 0, 5])],
        ]
        .concat(),
    );
    assert_eq!(total(&[("a", text)]), [1900, 95, 1600, 0]);
}

/// A session and a copy of it with one more request, whose lines have other times.
fn fork(id: &str, more: &str, own: [u64; 3]) -> String {
    let [input, cached, output] = own;
    let news = count("06:00:09.000", [3000 + input, 1600 + cached, 90 + output], own);
    lines(&[vec![meta(id, more), meta(PARENT, ""), context("gpt-5")], story("06:00"), vec![news]].concat())
}

#[test]
fn a_fork_is_not_charged_for_the_history_it_repeats() {
    let parent = lines(&[vec![meta(PARENT, ""), context("gpt-5")], story("05:01")].concat());
    let child = fork(CHILD, &format!(r#","forked_from_id":"{PARENT}""#), [700, 0, 7]);
    for streams in [[("a", parent.clone()), ("b", child.clone())], [("b", child), ("a", parent)]] {
        assert_eq!(total(&streams), [2100, 97, 1600, 0]);
        let sessions = by(&streams, Mode::Auto, By::Session);
        assert_eq!(
            rows(&sessions).iter().map(|row| (&*row.0, row.1)).collect::<Vec<_>>(),
            [(PARENT, 3090), (CHILD, 707)]
        );
    }
}

#[test]
fn a_sub_agents_thread_is_a_fork_by_another_name() {
    let parent = lines(&[vec![meta(PARENT, ""), context("gpt-5")], story("05:01")].concat());
    let spawned =
        format!(r#","source":{{"subagent":{{"thread_spawn":{{"parent_thread_id":"{PARENT}","depth":1}}}}}}"#);
    assert_eq!(total(&[("a", parent), ("b", fork(CHILD, &spawned, [700, 0, 7]))]), [2100, 97, 1600, 0]);
}

#[test]
fn siblings_share_the_history_of_a_parent_that_is_gone() {
    let from = format!(r#","forked_from_id":"{PARENT}""#);
    let streams = [("a", fork(CHILD, &from, [700, 0, 7])), ("b", fork(SIBLING, &from, [900, 0, 9]))];
    assert_eq!(total(&streams), [1400 + 700 + 900, 90 + 7 + 9, 1600, 0]);
}

#[test]
fn siblings_that_do_as_much_as_each_other_are_two_when_their_parent_is_there() {
    let from = format!(r#","forked_from_id":"{PARENT}""#);
    let parent = lines(&[vec![meta(PARENT, ""), context("gpt-5")], story("05:01")].concat());
    let streams =
        [("p", parent), ("a", fork(CHILD, &from, [700, 0, 7])), ("b", fork(SIBLING, &from, [700, 0, 7]))];
    assert_eq!(total(&streams), [1400 + 700 + 700, 90 + 14, 1600, 0]);
}

#[test]
fn a_child_that_goes_on_from_its_parents_total_counts_its_last_request() {
    let child = [
        meta(CHILD, &format!(r#","forked_from_id":"{PARENT}""#)),
        context("gpt-5"),
        count("06:00:00.000", [3_000_000, 0, 9000], [800, 0, 8]),
    ];
    assert_eq!(total(&[("a", lines(&child))]), [800, 8, 0, 0]);
}

#[test]
fn two_sessions_that_begin_alike_are_two() {
    let begins = |id| lines(&[meta(id, ""), context("gpt-5"), story("05:01").remove(0)]);
    assert_eq!(total(&[("a", begins(PARENT)), ("b", begins(CHILD))]), [800, 100, 1200, 0]);
}

#[test]
fn a_copy_of_a_file_adds_nothing() {
    let text = lines(&[vec![meta(PARENT, ""), context("gpt-5")], story("05:01")].concat());
    assert_eq!(total(&[("a", text.clone()), ("archive", text)]), [1400, 90, 1600, 0]);
}

// ------------------------------------------------------------------------------------------------ rows

#[test]
fn a_day_is_one_of_the_zone() {
    let at = |time: &'static str, message: &'static str| Said { time, ..said(message, 5) }.line();
    let text = lines(&[at("2026-11-20T23:30:00.000Z", LONG), at("2026-11-21T00:30:00.000Z", OTHER)]);
    let rows = |zone: &TimeZone| {
        let report = report(
            &settled(&[("a", text.clone())], Mode::Auto, usize::MAX),
            By::Day,
            zone,
            &Filter::default(),
        );
        report.lines.into_iter().map(|line| (line.about, line.amount.requests)).collect::<Vec<_>>()
    };
    assert_eq!(rows(&TimeZone::UTC), [("2026-11-20".to_owned(), 1), ("2026-11-21".to_owned(), 1)]);
    assert_eq!(rows(&TimeZone::fixed(jiff::tz::offset(1))), [("2026-11-21".to_owned(), 2)]);
}

#[test]
fn a_block_lasts_five_hours_from_the_hour_of_its_first_request() {
    let ids: Vec<String> = (0..4).map(|n| format!("msg_01AbCdEfGhIjKl{n}")).collect();
    let times = ["05:40", "09:59", "10:00", "23:10"];
    let text: Vec<String> = ids
        .iter()
        .zip(times)
        .map(|(id, time)| Said { time: &format!("2026-11-20T{time}:00.000Z"), ..said(id, 1) }.line())
        .collect();
    let blocks = by(&[("a", lines(&text))], Mode::Auto, By::Block);
    let rows: Vec<_> = blocks.lines.iter().map(|line| (&*line.about, line.amount.requests)).collect();
    assert_eq!(rows, [("2026-11-20 05:00", 2), ("2026-11-20 10:00", 1), ("2026-11-20 23:00", 1)]);
}

#[test]
fn weeks_begin_on_monday() {
    let weeks = by(&[("a", lines(&[said(LONG, 5).line()]))], Mode::Auto, By::Week);
    assert_eq!(weeks.lines[0].about, "2026-11-16");
}

// ------------------------------------------------------------------------------------------------ whatever the order

#[test]
fn a_live_meter_adds_up_to_what_a_scan_finds() {
    let text =
        lines(&[said(LONG, 1).line(), said(OTHER, 3).line(), said(LONG, 400).line(), said(OTHER, 3).line()]);
    let mut meter = Meter::new(Arc::new(Prices::built_in().clone()), Mode::Auto, "a");
    let all = Arc::new(Mutex::new(super::Amount::default()));
    let mut doctor = Doctor::new(Arc::new(Options::new()), "a", "a");
    let sum = Arc::clone(&all);
    let mut meter = Some(move |record: &crate::model::Record<'_>| {
        meter.take(record, &mut |charge| sum.lock().unwrap().add(&charge.added))
    });
    doctor.listen(|| {
        let mut meter = meter.take().expect("one stream has one listener");
        Box::new(move |_, record| meter(record))
    });
    doctor.feed(Timestamp::from_seconds(0), text.as_bytes(), &mut |_| {});
    let live = *all.lock().unwrap();
    let scanned = by(&[("a", text)], Mode::Auto, By::Day).total.amount;
    assert_eq!((live.tokens, live.requests), (scanned.tokens, scanned.requests));
    assert!((live.cost - scanned.cost).abs() < 1e-12);
}

fn streams() -> Vec<(&'static str, String)> {
    let from = format!(r#","forked_from_id":"{PARENT}""#);
    let other = |output, time| {
        Said { session: "22222222-2222-4222-8222-222222222222", time, ..said(LONG, output) }.line()
    };
    vec![
        ("claude-a", lines(&[said(LONG, 1).line(), said(OTHER, 9).line(), said(LONG, 30).line()])),
        ("claude-b", lines(&[other(30, "2026-11-20T05:00:00.000Z"), other(31, "2026-11-20T04:59:00.000Z")])),
        ("claude-c", lines(&[Said { model: "claude-opus-4-5", ..said(LONG, 31) }.line()])),
        (
            "stream",
            lines(&[
                init(),
                streamed("m1", "claude-opus-4-6", 1),
                result(0.5, &[("claude-opus-4-6", 230, 60, 0.5)]),
            ]),
        ),
        ("parent", lines(&[vec![meta(PARENT, ""), context("gpt-5")], story("05:01")].concat())),
        ("child", fork(CHILD, &from, [700, 0, 7])),
        ("sibling", fork(SIBLING, &from, [700, 0, 7])),
        (
            "grandchild",
            fork(
                "0199f2c4-7a11-7c31-9d55-000000000004",
                &format!(r#","forked_from_id":"{CHILD}""#),
                [1, 0, 1],
            ),
        ),
        ("orphan", fork("0199f2c4-7a11-7c31-9d55-000000000005", r#","forked_from_id":"gone""#, [2, 0, 1])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn figures_depend_neither_on_the_order_of_files_nor_on_where_they_are_cut(
        order in Just((0..streams().len()).collect::<Vec<_>>()).prop_shuffle(),
        cut in 1usize..3000,
    ) {
        let streams = streams();
        let shuffled: Vec<_> = order.iter().map(|at| streams[*at].clone()).collect();
        for (_, by) in By::ALL {
            let reports = [(&streams, usize::MAX), (&shuffled, cut)].map(|(streams, cut)| {
                report(&settled(streams, Mode::Auto, cut), by, &TimeZone::UTC, &Filter::default())
            });
            prop_assert_eq!(&reports[0], &reports[1]);
        }
    }
}
