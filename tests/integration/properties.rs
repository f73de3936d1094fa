//! What holds for any input: however it is cut, whatever it is made of.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use session_doctor::engine::classify::fold::fold_lower;
use session_doctor::engine::classify::own::{OwnKind, OwnRow};
use session_doctor::engine::classify::rules::{Place, Rank, Rules};
use session_doctor::engine::classify::scan::Scanner;
use session_doctor::engine::format::FORMATS;
use session_doctor::engine::{Doctor, Options};
use session_doctor::model::{Class, EventBody};

use crate::support::{NOW, OPTIONS, read_chunks, recordings};

/// The inputs of all recordings.
static RECORDED: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| recordings().iter().map(|(_, input)| fs::read(input).unwrap()).collect());

/// Lines that begin, break off or surround what the engine looks for.
const ODD_LINES: &[&[u8]] = &[
    b"",
    b"\r",
    b"{",
    b"}",
    b"[",
    b"{\"type\":\"assis",
    b"{\"a\":1,",
    b"  \"b\": [1, 2]",
    b"```",
    b"```rust",
    b"\x1b[31mAPI Error: 529 overloaded_error\x1b[0m",
    b"\x1b]0;API Err",
    b"API\x07 Err\x07or: 529 {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}",
    b"10%\r50%\rAPI Error: Request timed out.\r",
    b"\xc2\xb7 API Error: 500 \xc2\x9b31mInternal server error",
    b"ERROR: You\xe2\x80\x99ve hit your usage limit. Try again at 4:05 PM.",
    b"Invalid API key \xc2\xb7 Please run /login",
    b"API Error: 400 {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"mess",
    b"age\":\"prompt is too long: 210000 tokens > 200000 maximum\"}}",
    b"Retrying in 4 seconds",
    b"\x00\x00\xff\xfe\x80",
    b"2026-11-20 05:00:01,123 ERROR openai.RateLimitError: Error code: 429 - {'error': {}}",
    b"OpenAI Codex v0.169.0",
    b"compiling shop v0.1.0",
];

/// Bytes that can be read when a test shows them.
#[derive(Clone)]
struct Stream(Vec<u8>);

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Recordings, odd lines and noise, one after the other, with or without a last line end.
fn streams() -> impl Strategy<Value = Stream> {
    let piece = prop_oneof![
        3 => any::<Index>().prop_map(|index| index.get(RECORDED.as_slice()).clone()),
        6 => any::<Index>().prop_map(|index| [index.get(ODD_LINES), b"\n".as_slice()].concat()),
        2 => prop::collection::vec(any::<u8>(), 0..80),
        1 => Just(vec![b'x'; 700]),
    ];
    prop::collection::vec(piece, 1..10).prop_map(|pieces| Stream(pieces.concat()))
}

/// The stream in chunks of these sizes, over and over.
fn chunks<'s>(stream: &'s [u8], sizes: &[usize]) -> Vec<&'s [u8]> {
    let (mut rest, mut chunks) = (stream, Vec::new());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*size).min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

fn whole(stream: &[u8]) -> String {
    read_chunks(&OPTIONS, "stream", [stream])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same_events(
        stream in streams(),
        sizes in prop::collection::vec(prop_oneof![1usize..8, 1usize..600, 1usize..20_000], 1..6),
    ) {
        let cut = read_chunks(&OPTIONS, "stream", chunks(&stream.0, &sizes));
        prop_assert_eq!(cut, whole(&stream.0));
    }

    #[test]
    fn a_replay_is_the_same_byte_for_byte(stream in streams()) {
        prop_assert_eq!(whole(&stream.0), whole(&stream.0));
    }

    #[test]
    fn a_short_line_limit_gives_the_same_events_for_any_cut(
        stream in streams(),
        limit in 1usize..300,
        sizes in prop::collection::vec(1usize..900, 1..6),
    ) {
        let mut options = Options::clone(&OPTIONS);
        options.line_limit = limit;
        let options = Arc::new(options);
        let cut = read_chunks(&options, "stream", chunks(&stream.0, &sizes));
        prop_assert_eq!(cut, read_chunks(&options, "stream", [stream.0.as_slice()]));
    }

    #[test]
    fn damaged_recordings_never_panic(
        recording in any::<Index>(),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..40),
        format in any::<Index>(),
    ) {
        let mut stream = recording.get(RECORDED.as_slice()).clone();
        for (place, byte) in damage {
            *place.get_mut(&mut stream) = byte;
        }
        let mut options = Options::clone(&OPTIONS);
        options.agent = Some(*format.get(FORMATS));
        read_chunks(&Arc::new(options), "stream", [stream.as_slice()]);
        whole(&stream);
    }

    #[test]
    fn arbitrary_bytes_never_panic(stream in prop::collection::vec(any::<u8>(), 0..4000)) {
        whole(&stream);
    }

    #[test]
    fn the_pre_scan_of_a_block_finds_what_asking_each_line_finds(picks in prop::collection::vec(any::<Index>(), 8..60)) {
        let lines: Vec<&[u8]> = picks.iter().map(|pick| *pick.get(PLAIN_LINES.as_slice())).collect();
        let block = lines.join(b"\n".as_slice());
        let mut scanner = Scanner::new(&Rules::built_in(), &[]);
        let mut found: Vec<usize> = (0..lines.len()).filter(|line| scanner.has_form(lines[*line])).collect();
        scanner.hits(&block, |at| found.push(block[..at].iter().filter(|byte| **byte == b'\n').count()));
        found.sort_unstable();
        found.dedup();
        let asked: Vec<usize> = (0..lines.len()).filter(|line| scanner.is_candidate(lines[*line])).collect();
        prop_assert_eq!(found, asked);
    }
}

/// What typography may put into a line, between or in place of its characters.
const TYPOGRAPHY: &[char] = &[
    '\u{a0}', '\u{202f}', '\u{3000}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{ad}', '\u{2060}', '\u{feff}',
    '\u{202d}', '\u{2019}', '\u{2018}', '\u{2011}', '\u{2013}', '\u{2026}', '\u{2219}',
];

/// Lines that are failures by what stands in their middle, and some that are by how they begin.
const MIDDLE_LINES: &[&str] = &[
    "night.sh: line 12: 31337 Killed claude -p x",
    "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
    "JavaScript heap out of memory",
    "botocore.errorfactory.ThrottlingException: An error occurred (ThrottlingException) when calling the Converse operation: Too many requests",
    "ERROR: You've hit your usage limit. Try again at 4:05 PM.",
    "Invalid API key · Please run /login",
    "5-hour limit reached ∙ resets 3pm",
    "my gateway says: no free slot in the pool",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn typography_hides_no_line_from_the_pre_scan(
        edits in prop::collection::vec(
            (any::<Index>(), prop::collection::vec((any::<Index>(), any::<Index>(), any::<bool>()), 0..4)),
            1..12,
        ),
        filler in prop_oneof![Just(0usize), Just(40)],
    ) {
        static OWN: LazyLock<Arc<Options>> = LazyLock::new(|| {
            let own = own_row(OwnKind::Rule, "own".to_owned(), r"\w+ \w+ says: no free slot");
            Arc::new(Options::with_rules(Arc::new(Rules::with_own(&[vec![own]]).unwrap())))
        });
        let mut stream = String::new();
        for (line, changes) in edits {
            let mut line: Vec<char> = line.get(MIDDLE_LINES).chars().collect();
            for (place, with, replaces) in changes {
                let (place, with) = (place.index(line.len()), *with.get(TYPOGRAPHY));
                // A letter stays; what stands between words may be set otherwise.
                if replaces && !line[place].is_alphanumeric() {
                    line[place] = with;
                } else {
                    line.insert(place, with);
                }
            }
            stream.extend(line);
            stream.push_str("\n\n");
            stream.push_str(&"an ordinary line, such as programs print\n".repeat(filler));
        }
        prop_assert_eq!(findings_with(&OWN, stream.as_bytes(), false), findings_with(&OWN, stream.as_bytes(), true));
    }
}

#[test]
fn an_invisible_character_inside_a_word_hides_nothing() {
    for line in MIDDLE_LINES.iter().filter(|line| !line.starts_with("my ")) {
        let plain: Vec<String> =
            findings(line.as_bytes(), true).into_iter().map(|(_, rule, _)| rule).collect();
        assert_eq!(plain.len(), 1, "{line}");
        for (at, _) in line.char_indices() {
            for invisible in ['\u{200b}', '\u{ad}'] {
                let hidden = format!("{}{invisible}{}", &line[..at], &line[at..]);
                let rules: Vec<String> =
                    findings(hidden.as_bytes(), false).into_iter().map(|(_, rule, _)| rule).collect();
                let asked: Vec<String> =
                    findings(hidden.as_bytes(), true).into_iter().map(|(_, rule, _)| rule).collect();
                assert_eq!(rules, asked, "{hidden:?}");
            }
        }
    }
    let hidden = "zz: line 1: 42 Ki\u{200b}lled claude -p";
    assert_eq!(findings(hidden.as_bytes(), false)[0].1, "shell_death");
}

/// Every line of the recordings and every odd line.
static PLAIN_LINES: LazyLock<Vec<&'static [u8]>> = LazyLock::new(|| {
    let recorded = RECORDED.iter().flat_map(|input| input.split(|byte| *byte == b'\n'));
    recorded.chain(ODD_LINES.iter().copied()).filter(|line| !line.contains(&b'\n')).collect()
});

#[test]
fn every_pair_of_cuts_gives_the_same_events() {
    let stream = "\x1b[1mAPI Error: 529 {\"type\":\"error\"}\x1b[0m\r\n{\"error\":{\"code\":429,\"message\":\"slow\"}}\nLogin expired · x\n{\n\"a\":1}\nq\rw";
    let stream = stream.as_bytes();
    let expected = whole(stream);
    assert!(expected.lines().count() > 3, "the stream says something: {expected}");
    for one in 0..=stream.len() {
        for other in one..=stream.len() {
            let cut =
                read_chunks(&OPTIONS, "stream", [&stream[..one], &stream[one..other], &stream[other..]]);
            assert_eq!(cut, expected, "cut at {one} and {other}");
        }
    }
}

/// What a doctor found: the line, the rule and the words of each finding. One that explains asks every rule about
/// every line; one that does not asks only where the pre-scan saw something.
fn findings(stream: &[u8], ask_everything: bool) -> Vec<(u64, String, String)> {
    findings_with(&OPTIONS, stream, ask_everything)
}

fn findings_with(options: &Arc<Options>, stream: &[u8], ask_everything: bool) -> Vec<(u64, String, String)> {
    let mut doctor = Doctor::new(Arc::clone(options), "stream", "seed");
    if ask_everything {
        doctor.start_explaining();
    }
    let mut found = Vec::new();
    let mut out = |event: session_doctor::model::Event| {
        if let EventBody::Finding(finding) = event.body {
            found.push((event.source.unwrap().line, finding.rule, finding.message));
        }
    };
    doctor.feed(NOW, stream, &mut out);
    doctor.finish(NOW, &mut out);
    found
}

/// A row of own rules with this pattern.
fn own_row(kind: OwnKind, id: String, pattern: &str) -> OwnRow {
    let mut row = OwnRow::new(kind, id, Place { file: "own.toml".to_owned(), line: 1 });
    row.class = (kind == OwnKind::Rule).then_some(Class::Network);
    row.line = vec![pattern.to_owned()];
    row.rank = Some(Rank::Decisive);
    row
}

/// What own patterns are made of: fixed words, what varies, what may be anything.
const PIECES: &[&str] = &[
    "alpha",
    "be",
    r"\d{1,3}",
    r"\w+",
    r".{0,6}",
    "(?:gamma ray|delta|x)",
    "(?:omega )?",
    "[st]ep",
    "can't - go",
    r"\bword\b",
    "(?:lo){1,3}",
    " · ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_pre_scan_with_own_rules_equals_asking_every_rule(
        patterns in prop::collection::vec(prop::collection::vec(any::<Index>(), 1..5), 1..6),
    ) {
        let patterns: Vec<String> = patterns
            .iter()
            .map(|pieces| pieces.iter().map(|piece| *piece.get(PIECES)).collect())
            .collect();
        let rows = patterns.iter().enumerate().map(|(number, pattern)| {
            let kind = if number % 3 == 2 { OwnKind::Introducer } else { OwnKind::Rule };
            own_row(kind, format!("own{number}"), pattern)
        });
        // What cannot be used alone is refused; the rest goes together.
        let rows: Vec<OwnRow> = rows.filter(|row| Rules::with_own(&[vec![row.clone()]]).is_ok()).collect();
        let rules = Arc::new(Rules::with_own(std::slice::from_ref(&rows)).unwrap());
        let options = Arc::new(Options::with_rules(Arc::clone(&rules)));
        let mut runner = TestRunner::deterministic();
        let (mut stream, mut made) = (Vec::new(), 0);
        for row in &rows {
            let strategy = proptest::string::string_regex(&without_anchors(&row.line[0])).unwrap();
            for prefix in ["", "error: ", "2026-01-01 10:00:00 ERROR ", "Oh, ", "> "] {
                let words = strategy.new_tree(&mut runner).unwrap().current().replace(['\n', '\r'], " ");
                stream.extend(format!("{prefix}{words}\n\n").bytes());
                stream.extend(format!("{prefix}{}\n\n", words.to_ascii_uppercase()).bytes());
                // What the patterns match has to hold the stems that were derived from them.
                let folded = fold_lower(&words);
                for rule in &rules.rules[..rules.own().0] {
                    let touched = rule.line_stems.iter().any(|stem| folded.contains(stem));
                    prop_assert!(touched || rule.line_match(&folded).is_none(), "{}: {folded}", rule.id);
                }
                made += 1;
            }
        }
        let asked = findings_with(&options, &stream, true);
        prop_assert_eq!(findings_with(&options, &stream, false), asked, "of {} lines", made);
    }
}

#[test]
fn recordings_are_judged_alike_with_own_rules_and_the_pre_scan() {
    let patterns = [r".*connection (?:lost|refused)", r"\w+ failed: ", "compiling ", r"\S+ is not available"];
    let rows = patterns.iter().enumerate();
    let rows =
        rows.map(|(number, pattern)| own_row(OwnKind::Rule, format!("own{number}"), pattern)).collect();
    let options = Arc::new(Options::with_rules(Arc::new(Rules::with_own(&[rows]).unwrap())));
    let mut own = 0;
    for (case, input) in recordings() {
        let stream = fs::read(input).unwrap();
        let asked = findings_with(&options, &stream, true);
        own += asked.iter().filter(|(_, rule, _)| rule.starts_with("own")).count();
        assert_eq!(findings_with(&options, &stream, false), asked, "{}", case.display());
    }
    assert!(own > 0, "some own rule finds something");
}

/// A pattern that text can be generated from.
fn without_anchors(pattern: &str) -> String {
    let kept =
        pattern.replace("\\b", "").replace("\\^", "\\x5e").replace("\\$", "\\x24").replace("[^", "[\0");
    kept.replace(['$', '^'], "").replace("[\0", "[^")
}

/// The patterns for plain lines in `rules.toml`, by rule.
fn line_patterns() -> BTreeMap<String, Vec<String>> {
    let text = include_str!("../../src/engine/classify/rules.toml");
    let rules: toml::Table = text.parse().unwrap();
    let tables = ["introducer", "rule"].into_iter().flat_map(|kind| rules[kind].as_array().unwrap());
    tables
        .filter_map(|rule| {
            let lines = rule.get("line")?.as_array()?;
            Some((
                rule["id"].as_str().unwrap().to_owned(),
                lines.iter().map(|line| without_anchors(line.as_str().unwrap())).collect(),
            ))
        })
        .collect()
}

#[test]
fn the_pre_scan_lets_through_every_line_that_a_rule_finds() {
    let mut runner = TestRunner::deterministic();
    let mut stream = Vec::new();
    for (rule, patterns) in line_patterns() {
        for pattern in patterns {
            let strategy = proptest::string::string_regex(&pattern)
                .unwrap_or_else(|error| panic!("{rule}: {pattern}: {error}"));
            for _ in 0..4 {
                let line = strategy.new_tree(&mut runner).unwrap().current();
                // One line each: a line that may be wrapped would swallow the next one.
                stream.extend(line.replace(['\n', '\r'], " ").bytes().take(300));
                stream.extend(b"\n\n");
            }
        }
    }
    let asked = findings(&stream, true);
    assert!(asked.len() > 200, "the generated lines are found: {}", asked.len());
    assert_eq!(findings(&stream, false), asked);
}

#[test]
fn recordings_are_judged_alike_with_and_without_the_pre_scan() {
    for (case, input) in recordings() {
        let stream = fs::read(input).unwrap();
        assert_eq!(findings(&stream, false), findings(&stream, true), "{}", case.display());
    }
}

#[test]
fn a_line_without_end_is_counted_and_not_kept() {
    let chunk = vec![b'a'; 64 * 1024];
    let mut options = Options::clone(&OPTIONS);
    options.line_limit = 4096;
    let mut doctor = Doctor::new(Arc::new(options), "stream", "seed");
    let mut summary = None;
    let mut out = |event: session_doctor::model::Event| {
        if let EventBody::Summary(told) = event.body {
            summary = Some(told);
        }
    };
    for _ in 0..1024 {
        doctor.feed(NOW, &chunk, &mut out);
    }
    doctor.finish(NOW, &mut out);
    let summary = summary.unwrap();
    assert_eq!((summary.truncated, summary.lines, summary.bytes), (1, 1, 64 << 20));
}

#[test]
fn a_document_beyond_the_limit_is_read_in_parts_and_what_follows_is_read() {
    let mut options = Options::clone(&OPTIONS);
    options.line_limit = 256;
    let mut stream = b"{\n".to_vec();
    for number in 0..100 {
        stream.extend(format!("\"key{number}\": \"value\",\n").bytes());
    }
    stream.extend(b"\"last\": 1\n}\nInvalid API key \xc2\xb7 Please run /login\n");
    let events = read_chunks(&Arc::new(options), "stream", [stream.as_slice()]);
    let summary: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&summary["truncated"], &summary["undecoded"], &summary["findings"]["auth_error"]),
        (&0.into(), &1.into(), &1.into()),
        "{events}"
    );
}
