//! What the benches read: streams of realistic line shapes, the same on every run.
//!
//! At most one line in a hundred holds a literal that the rules wait for; most of those only mention a failure, as
//! real logs do. Each sample is named with its length and a hash, so that a changed sample is a new series.

use std::fmt::Write as _;

/// A named stream.
pub struct Sample {
    /// The kind of stream.
    pub kind: &'static str,
    /// The name with length and hash.
    pub name: String,
    /// The bytes: whole lines.
    pub bytes: Vec<u8>,
}

impl Sample {
    fn new(kind: &'static str, bytes: Vec<u8>) -> Self {
        let hash = blake3::hash(&bytes).to_hex();
        let name = format!("{kind}, {} bytes, {}", bytes.len(), &hash[..8]);
        Self { kind, name, bytes }
    }

    /// Returns the lines without line ends.
    #[allow(dead_code, reason = "only one of the benches takes lines")]
    pub fn lines(&self) -> Vec<&[u8]> {
        self.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect()
    }
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.roll(words.len() as u64) as usize]
    }
}

const NAMES: &[&str] =
    &["parser", "ledger", "cart", "session", "schema", "router", "index", "worker", "report", "billing"];

const PROSE: &[&str] = &[
    "The function reads the whole table before it looks at the first row, which is why the page is slow. ",
    "I'll move the check into the constructor so that nobody can forget it. ",
    "Two tests cover this already; the third one is new and looks at an empty cart. ",
    "Next I will run the formatter and read the diff once more. ",
    "The handler returns early when the header is missing, and the caller never learns why. ",
];

/// Lines that mention failures, and a few that are some.
const TRIGGERS: &[&str] = &[
    "test api::retries_after_429 ... ok",
    "WARN http: upstream said rate limit, this is test 14",
    "docs/limits.md: You've hit your usage limit is what the page says",
    "  at handle (src/timeout.rs:14): connection reset by peer in the fixture",
    "API Error: 529 {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
];

/// Appends one line of a program's output (without line end).
fn program_line(dice: &mut Dice, number: u64, out: &mut String) {
    let name = dice.pick(NAMES);
    let other = dice.pick(NAMES);
    let n = dice.roll(100_000);
    // Writing to a string cannot fail.
    let _ = match dice.roll(8) {
        0 => write!(out, "   Compiling {name}-{other} v0.{}.{} (crates/{name}/{other})", n % 90, n % 7),
        1 => write!(out, "test {name}::tests::{other}_keeps_its_order_{n} ... ok"),
        2 => write!(
            out,
            "2026-11-20T05:{:02}:{:02}.{:03}Z  INFO {name}: {other} took {n} us, 12 rows written",
            number / 60 % 60,
            number % 60,
            n % 1000
        ),
        3 => write!(out, "src/{name}/{other}.rs:{}:    let {other} = {name}.lookup(&key, {n})?;", n % 900),
        4 => write!(
            out,
            "{n:>8}  {name:<12} {other:<12} {:>6.2} %  passed through without a change",
            n as f64 / 1000.0
        ),
        5 => write!(
            out,
            "+    pub fn {other}(&mut self, {name}: &str) -> Option<usize> {{ self.{name}.get({n}) }}"
        ),
        6 => write!(out, "  - {name}: {other} now says where it stopped, and the list is sorted ({n})"),
        _ => write!(
            out,
            "[{:>3}%] Building object {name}.dir/{other}_{n}.o with the default settings",
            n % 101
        ),
    };
}

/// Plain output of programs: builds, tests, logs, diffs.
pub fn plain(length: usize) -> Sample {
    let mut dice = Dice(1);
    let mut text = String::with_capacity(length + 256);
    let mut number = 0;
    while text.len() < length {
        if dice.roll(125) == 0 {
            text.push_str(dice.pick(TRIGGERS));
        } else {
            program_line(&mut dice, number, &mut text);
        }
        text.push('\n');
        number += 1;
    }
    Sample::new("plain", text.into_bytes())
}

/// The same with colours, as a terminal gets it.
#[allow(dead_code, reason = "only one of the benches strips colours")]
pub fn terminal(length: usize) -> Sample {
    let mut dice = Dice(4);
    let mut text = String::with_capacity(length + 256);
    let mut number = 0;
    while text.len() < length {
        let _ = write!(text, "\u{1b}[3{}m", dice.roll(8));
        program_line(&mut dice, number, &mut text);
        text.push_str("\u{1b}[0m\n");
        number += 1;
    }
    Sample::new("terminal", text.into_bytes())
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Some lines of a program's output as one text, sometimes with a trigger among them.
fn tool_output(dice: &mut Dice, number: u64) -> String {
    let mut text = String::new();
    for line in 0..4 + dice.roll(20) {
        program_line(dice, number + line, &mut text);
        text.push('\n');
    }
    if dice.roll(50) == 0 {
        text.push_str(dice.pick(TRIGGERS));
    }
    text
}

fn prose(dice: &mut Dice) -> String {
    (0..1 + dice.roll(6)).map(|_| dice.pick(PROSE)).collect()
}

/// A Claude Code transcript: prompts, prose, tool calls and what they gave, one refusal in a few hundred records.
pub fn claude(length: usize) -> Sample {
    let mut dice = Dice(2);
    let mut text = String::with_capacity(length + 4096);
    let mut number = 0;
    while text.len() < length {
        let head = |kind: &str| {
            format!(
                "{{\"parentUuid\":\"aaaa0000-0000-4000-8000-{number:012}\",\"isSidechain\":false,\"userType\":\"external\",\"cwd\":\"/home/dev/shop\",\
                 \"sessionId\":\"0c1e5500-0000-4000-8000-0000000000b1\",\"version\":\"2.1.300\",\"gitBranch\":\"main\",\"type\":\"{kind}\",\
                 \"uuid\":\"aaaa0000-0000-4000-8000-{:012}\",\"timestamp\":\"2026-11-20T{:02}:{:02}:{:02}.000Z\"",
                number + 1,
                number / 3600 % 24,
                number / 60 % 60,
                number % 60
            )
        };
        let usage = "\"usage\":{\"input_tokens\":12,\"cache_creation_input_tokens\":310,\"cache_read_input_tokens\":91000,\"output_tokens\":240,\"service_tier\":\"standard\"}";
        let _ = match dice.roll(400) {
            0 => writeln!(
                text,
                "{},\"subtype\":\"api_error\",\"level\":\"error\",\"error\":{{\"status\":529,\"error\":{{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}}}}},\"retryInMs\":547.9,\"retryAttempt\":1,\"maxRetries\":10}}",
                head("system")
            ),
            1..=130 => writeln!(
                text,
                "{},\"message\":{{\"id\":\"msg_{number:08}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-5-5\",\"content\":[{{\"type\":\"text\",\"text\":{}}}],\"stop_reason\":null,{usage}}}}}",
                head("assistant"),
                quoted(&prose(&mut dice))
            ),
            131..=260 => writeln!(
                text,
                "{},\"message\":{{\"id\":\"msg_{number:08}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-5-5\",\"content\":[{{\"type\":\"tool_use\",\"id\":\"toolu_{number:08}\",\"name\":\"Bash\",\"input\":{{\"command\":{},\"description\":\"Look around\"}}}}],\"stop_reason\":\"tool_use\",{usage}}}}}",
                head("assistant"),
                quoted(&format!("rg -n '{}' src | head -{}", dice.pick(NAMES), dice.roll(90)))
            ),
            261..=395 => {
                let output = quoted(&tool_output(&mut dice, number));
                writeln!(
                    text,
                    "{},\"message\":{{\"role\":\"user\",\"content\":[{{\"tool_use_id\":\"toolu_{number:08}\",\"type\":\"tool_result\",\"content\":{output},\"is_error\":false}}]}},\"toolUseResult\":{{\"stdout\":{output},\"stderr\":\"\",\"interrupted\":false,\"isImage\":false}}}}",
                    head("user")
                )
            }
            _ => writeln!(
                text,
                "{},\"message\":{{\"role\":\"user\",\"content\":{}}}}}",
                head("user"),
                quoted(&prose(&mut dice))
            ),
        };
        number += 1;
    }
    Sample::new("claude", text.into_bytes())
}

/// A Codex rollout: reasoning, shell calls and their output, token counts.
pub fn codex(length: usize) -> Sample {
    let mut dice = Dice(3);
    let mut text = String::with_capacity(length + 4096);
    text.push_str(
        "{\"timestamp\":\"2026-11-20T05:00:00.000Z\",\"type\":\"session_meta\",\"payload\":{\"id\":\"00000000-0000-7000-8000-0000000000b1\",\"timestamp\":\"2026-11-20T05:00:00.000Z\",\"cwd\":\"/srv/notes\",\"originator\":\"codex_exec\",\"cli_version\":\"0.169.0\",\"model_provider\":\"sample\"}}\n",
    );
    let mut number = 0;
    while text.len() < length {
        let time =
            format!("2026-11-20T{:02}:{:02}:{:02}.100Z", number / 3600 % 24, number / 60 % 60, number % 60);
        let item = |payload: String| {
            format!("{{\"timestamp\":\"{time}\",\"type\":\"response_item\",\"payload\":{payload}}}\n")
        };
        let line = match dice.roll(10) {
            0..=1 => item(format!(
                "{{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{{\"type\":\"output_text\",\"text\":{}}}]}}",
                quoted(&prose(&mut dice))
            )),
            2..=4 => {
                let command = format!("{{\"command\":[\"rg\",\"{}\"]}}", dice.pick(NAMES));
                item(format!(
                    "{{\"type\":\"function_call\",\"name\":\"shell\",\"arguments\":{},\"call_id\":\"call_{number}\"}}",
                    quoted(&command)
                ))
            }
            5..=7 => {
                let output = quoted(&tool_output(&mut dice, number));
                let result = format!(
                    "{{\"output\":{output},\"metadata\":{{\"exit_code\":0,\"duration_seconds\":0.1}}}}"
                );
                item(format!(
                    "{{\"type\":\"function_call_output\",\"call_id\":\"call_{number}\",\"output\":{}}}",
                    quoted(&result)
                ))
            }
            8 => item(format!(
                "{{\"type\":\"reasoning\",\"summary\":[{{\"type\":\"summary_text\",\"text\":{}}}],\"content\":null}}",
                quoted(&prose(&mut dice))
            )),
            _ => format!(
                "{{\"timestamp\":\"{time}\",\"type\":\"event_msg\",\"payload\":{{\"type\":\"token_count\",\"info\":{{\"total_token_usage\":{{\"input_tokens\":{number},\"cached_input_tokens\":800,\"output_tokens\":120,\"total_tokens\":{number}}},\"last_token_usage\":{{\"input_tokens\":900,\"cached_input_tokens\":800,\"output_tokens\":12,\"total_tokens\":912}},\"model_context_window\":200000}},\"rate_limits\":{{\"limit_id\":\"sample\",\"primary\":{{\"used_percent\":41.0,\"window_minutes\":300,\"resets_at\":1795175100}},\"rate_limit_reached_type\":null}}}}}}\n"
            ),
        };
        text.push_str(&line);
        number += 1;
    }
    Sample::new("codex", text.into_bytes())
}
