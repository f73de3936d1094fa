//! Aider: what it prints, and the chat history it keeps (`.aider.chat.history.md`).
//!
//! Both are plain text in which the model's words stand beside the program's. In the history the program's rows
//! begin with `> ` and end in two blanks, a person's turns with `#### `; all else is the model. On stdout nothing is
//! marked, so only lines that begin with aider's own words may speak. What they say, the rules for plain lines
//! decide; errors that aider did not expect, and its own crashes, are told here whatever their words.


use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Lifecycle, Message, Role, Usage, UsageScope};
use crate::model::{Body, Class, Failure, Origin, Record};

/// The format.
pub(super) static FORMAT: Aider = Aider;

/// Aider's output and chat histories.
pub(super) struct Aider;

impl Format for Aider {
    fn name(&self) -> &'static str {
        "aider"
    }

    fn recognise(&self, frame: Frame<'_>) -> bool {
        let Ok(line) = std::str::from_utf8(frame.bytes) else { return false };
        line.starts_with(CHAT) || is_banner(row(line).unwrap_or(line)) || is_own_frame(line)
    }

    fn banners(&self) -> &'static [&'static str] {
        &[
            "# aider chat started at ",
            "aider v",
            "aider version: ",
            "bin/aider\", line ",
            "site-packages/aider/",
            "site-packages\\aider\\",
        ]
    }

    fn reads_text(&self) -> bool {
        true
    }

    fn tells_whole_messages(&self) -> bool {
        false
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder::default())
    }
}

/// How a chat begins in the history.
const CHAT: &str = "# aider chat started at ";

/// How the list of versions in a bug report begins.
const REPORT: &str = "Aider version: ";

/// How a traceback begins.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// How an error begins that aider did not expect.
const UNEXPECTED: &str = "Unexpected error: ";

/// How the program's own lines begin that may speak of a failure; the rules know the rest of them.
const OWN: &[&str] = &[
    "litellm.",
    "openai.",
    "anthropic.",
    "Retrying in ",
    "The API provider",
    "Insufficient credits with the API provider",
    "OpenRouter or the upstream API provider",
    "Model ",
    "Input tokens: ",
    "Output tokens: ",
    "Total tokens: ",
    "Your estimated chat context",
    "The LLM did not conform",
    "Empty response received from LLM",
    "Only ",
    "^C",
    "OllamaError: ",
    "aider: error: ",
    "# Uncaught ",
    "Missing environment variable",
];

/// Whether the program begins a line like this when something fails.
fn is_own(line: &str) -> bool {
    // `BadRequestError: litellm.BadRequestError: …`
    let named = || line.split_once(": ").is_some_and(|(name, rest)| name.ends_with("Error") && rest.starts_with("litellm."));
    let blocks = || line.starts_with("# ") && line.contains(" SEARCH/REPLACE block");
    OWN.iter().any(|words| line.starts_with(words)) || blocks() || named()
}

/// `Aider v0.86.2`, or the same in a bug report.
fn is_banner(line: &str) -> bool {
    let version = line.strip_prefix(REPORT).or_else(|| line.strip_prefix("Aider v"));
    version.is_some_and(|version| {
        let version = version.trim_end();
        version.starts_with(|c: char| c.is_ascii_digit())
            && version.contains('.')
            && version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_'))
    })
}

/// Whether a line is a frame of a traceback that is in aider's own code or start script.
fn is_own_frame(line: &str) -> bool {
    let Some((path, place)) = line.strip_prefix("  File \"").and_then(|rest| rest.split_once("\", line ")) else {
        return false;
    };
    place.starts_with(|c: char| c.is_ascii_digit())
        && (path.ends_with("/bin/aider")
            || path.contains("site-packages/aider/")
            || path.contains("site-packages\\aider\\"))
}

/// Returns the words of a row of the history.
fn row(line: &str) -> Option<&str> {
    line.strip_prefix('>').filter(|rest| rest.is_empty() || rest.starts_with(' ')).map(str::trim)
}

#[derive(Default)]
struct Decoder {
    /// Whether this is a chat history.
    history: bool,
    /// Whether a code fence is open.
    fenced: bool,
    /// Whether a bug report goes on: its traceback stands in a fence.
    report: bool,
    /// The traceback that goes on: whether it goes through aider's own code.
    traceback: Option<bool>,
}

impl Decode for Decoder {
    /// JSON among the lines is somebody's file or output.
    fn json(&mut self, _frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        out(Record::new(Body::Lifecycle(Lifecycle::Other)));
        Decoded::Yes
    }

    fn text(&mut self, line: &str, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        if line.starts_with(CHAT) {
            *self = Self { history: true, ..Self::default() };
            return Decoded::Yes;
        }
        if self.history { self.history(line, out) } else { self.stdout(line, out) }
    }
}

impl Decoder {
    fn history(&mut self, line: &str, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let mut say = |body: Body<'_>| out(Record::new(body));
        if let Some(words) = row(line) {
            // The model quotes with `> ` too, and no app row is in a fence unless the answer was cut off there.
            if self.fenced && !line.ends_with("  ") {
                return Decoded::Yes;
            }
            self.fenced = false;
            return own(words, &mut say);
        }
        if let Some(words) = line.strip_prefix("#### ") {
            self.fenced = false;
            say(Body::Message(Message { role: Role::User, text: words.into() }));
        } else if line.starts_with("```") {
            self.fenced = !self.fenced;
        } else {
            say(Body::Message(Message { role: Role::Assistant, text: line.into() }));
        }
        Decoded::Yes
    }

    fn stdout(&mut self, line: &str, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        let mut say = |body: Body<'_>| out(Record::new(body));
        if line.starts_with(REPORT) && is_banner(line) {
            self.report = true;
        }
        if line.starts_with("```") {
            self.fenced = !self.fenced;
            return Decoded::No;
        }
        if line == TRACEBACK {
            self.traceback = (self.report || !self.fenced).then_some(self.report);
            return Decoded::Yes;
        }
        if line.starts_with(' ') {
            let own = is_own_frame(line) && (self.report || !self.fenced);
            self.traceback = self.traceback.map(|known| known || own).or(own.then_some(true));
            return Decoded::Yes;
        }
        if let Some(own) = self.traceback.take() {
            if own && is_exception(line) {
                self.report = false;
                say(Body::Failure(crash(line)));
            }
            return Decoded::Yes;
        }
        if line.starts_with("Tokens: ") {
            self.fenced = false;
        }
        own(line, &mut say)
    }
}

/// Takes a line that may be the program's own.
fn own(words: &str, say: &mut dyn FnMut(Body<'_>)) -> Decoded {
    if let Some(usage) = tokens(words) {
        say(Body::Usage(usage));
        say(Body::Lifecycle(Lifecycle::TurnEnded));
        return Decoded::Yes;
    }
    if let Some(error) = words.strip_prefix(UNEXPECTED) {
        // The rules can tell what a provider said. All else is aider's own.
        if is_own(error) || error.starts_with('{') {
            return Decoded::No;
        }
        say(Body::Failure(Failure { structured: false, ..Failure::new(Origin::Agent, words) }));
        return Decoded::Yes;
    }
    if is_own(words) { Decoded::No } else { Decoded::Yes }
}

/// The last line of a traceback of aider's own.
fn crash(line: &str) -> Failure<'_> {
    let class = if line == "KeyboardInterrupt" { Class::Interrupted } else { Class::Crash };
    Failure { class: Some(class), ends: true, structured: false, ..Failure::new(Origin::Agent, line) }
}

/// Whether a line is how Python ends a traceback: `package.SomeError: words`.
fn is_exception(line: &str) -> bool {
    let name = line.split_once(':').map_or(line, |(name, _)| name).trim_end();
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'))
}

/// Reads `Tokens: 12k sent, 1.1k received. Cost: $0.05 message, $0.20 session.`
fn tokens(words: &str) -> Option<Usage<'static>> {
    let rest = words.strip_prefix("Tokens: ")?;
    let (counts, cost) = rest.split_once(" Cost: ").map_or((rest, None), |(counts, cost)| (counts, Some(cost)));
    let mut usage = Usage { scope: UsageScope::Turn, ..Usage::default() };
    for part in counts.split(", ") {
        let (number, label) = part.split_once(' ')?;
        let number = count(number)?;
        match label.trim_end_matches('.') {
            "sent" => usage.input_tokens = Some(number),
            "received" => usage.output_tokens = Some(number),
            "cache hit" => usage.cache_read_tokens = Some(number),
            "cache write" => usage.cache_creation_tokens = Some(number),
            _ => return None,
        }
    }
    // What is sent includes what a cache held.
    let cached = usage.cache_read_tokens.unwrap_or(0) + usage.cache_creation_tokens.unwrap_or(0);
    usage.input_tokens = Some(usage.input_tokens?.saturating_sub(cached));
    usage.cost_usd = cost.and_then(|cost| {
        let message = cost.split(", ").find_map(|part| part.trim_end_matches('.').strip_suffix(" message"))?;
        message.strip_prefix('$')?.parse().ok()
    });
    Some(usage)
}

/// Reads a count as aider shortens it: `599`, `1.1k`, `12k`, `2M`.
fn count(number: &str) -> Option<u64> {
    let number = number.replace(',', "");
    let (digits, factor) = match number.as_bytes().last()? {
        b'k' => (&number[..number.len() - 1], 1e3),
        b'M' => (&number[..number.len() - 1], 1e6),
        _ => (number.as_str(), 1.0),
    };
    let number = digits.parse::<f64>().ok().filter(|number| (0.0..1e9).contains(number))?;
    Some((number * factor).round() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HISTORY: &str = include_str!("../../../fixtures/transcripts/aider/history/input.md");
    const CLEAN: &str = include_str!("../../../fixtures/transcripts/aider/history_clean/input.md");
    const STDOUT: &str = include_str!("../../../fixtures/transcripts/aider/stdout_rate_limit/input.txt");
    const CRASH: &str = include_str!("../../../fixtures/transcripts/aider/crash_report/input.txt");

    /// Returns what is told of each line, `rules` for those that are left to the rules for plain text; content is
    /// left out.
    fn story(text: &str) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut told = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let mut say = |words: String| told.push(format!("{}: {words}", index + 1));
            let decoded = decoder.text(line, &mut |record| match record.body {
                Body::Failure(failure) => say(format!(
                    "{}{} {}",
                    failure.class.map_or("failure", Class::name),
                    if failure.ends { " ends" } else { "" },
                    failure.text
                )),
                Body::Usage(usage) => say(format!(
                    "{}+{} tokens, ${}",
                    usage.input_tokens.unwrap_or(0),
                    usage.output_tokens.unwrap_or(0),
                    usage.cost_usd.unwrap_or(0.0)
                )),
                Body::Message(message) if message.role == Role::User => say(format!("user {}", message.text)),
                _ => {}
            });
            if decoded == Decoded::No {
                say(format!("rules {line}"));
            }
        }
        told
    }

    #[test]
    fn in_the_history_only_rows_speak() {
        assert_eq!(
            story(HISTORY),
            [
                "7: user make the retries configurable  ",
                "13: 1800+131 tokens, $0.01",
                "15: user and the 429 path?  ",
                "16: rules > litellm.RateLimitError: ExampleException - {\"error\":{\"code\":429,\"message\":\"Slow down.\"}}  ",
                "17: rules > The API provider has rate limited you. Try again later or check your quotas.  ",
                "18: rules > Retrying in 0.5 seconds...  ",
                "24: failure Unexpected error: name 'backoff' is not defined",
                "26: rules > ^C KeyboardInterrupt  ",
            ]
        );
    }

    #[test]
    fn what_the_model_and_the_person_write_is_content() {
        assert_eq!(
            story(CLEAN),
            ["5: user why did it print \"litellm.RateLimitError: 429\"?  ", "22: 7000+160 tokens, $0"]
        );
    }

    #[test]
    fn on_stdout_only_the_programs_own_words_speak() {
        assert_eq!(
            story(STDOUT),
            [
                "5: rules litellm.RateLimitError: RateLimitError: ExampleException - The usage limit has ",
                "7: rules The API provider has rate limited you. Try again later or check your quotas.",
                "8: rules Retrying in 0.2 seconds...",
                "10: rules ```",
                "12: rules ```",
                "14: 599+6 tokens, $0",
            ]
        );
    }

    #[test]
    fn a_traceback_through_aiders_code_is_a_crash_and_another_is_not() {
        assert_eq!(
            story(CRASH),
            [
                "2: rules # Uncaught OSError in paths.py line 12",
                "7: rules ```",
                "12: crash ends OSError: [Errno 36] File name too long: 'x'",
                "13: rules ```",
            ]
        );
        let own = "Traceback (most recent call last):\n  File \"/opt/x/bin/aider\", line 7, in <module>\n    main()\nEOFError: EOF when reading a line";
        assert_eq!(story(own), ["4: crash ends EOFError: EOF when reading a line"]);
        // The first line that gave aider away may stand in the middle.
        let rest = own.split_once('\n').unwrap().1;
        assert_eq!(story(rest), ["3: crash ends EOFError: EOF when reading a line"]);
        let interrupted = own.replace("EOFError: EOF when reading a line", "KeyboardInterrupt");
        assert_eq!(story(&interrupted), ["4: interrupted ends KeyboardInterrupt"]);
        assert_eq!(story(&own.replace("/bin/aider", "/bin/pytest")), Vec::<String>::new());
        assert_eq!(story(&format!("```\n{own}\n```")), ["1: rules ```", "6: rules ```"]);
    }

    #[test]
    fn token_lines_are_read() {
        for (line, expected) in [
            ("Tokens: 599 sent, 6 received.", Some((599, 6, None, None))),
            ("Tokens: 12k sent, 1.1k received. Cost: $0.05 message, $0.20 session.", Some((12_000, 1_100, None, Some(0.05)))),
            ("Tokens: 4.4k sent, 2k cache write, 1.9k cache hit, 131 received.", Some((500, 131, Some(1900), None))),
            ("Tokens: many sent", None),
            ("Tokens: 5 of 7", None),
        ] {
            let usage = tokens(line).map(|u| (u.input_tokens.unwrap(), u.output_tokens.unwrap(), u.cache_read_tokens, u.cost_usd));
            assert_eq!(usage, expected, "{line}");
        }
    }

    #[test]
    fn banners_are_told_from_prose() {
        let frame = |line: &'static str| Frame { bytes: line.as_bytes(), line: 1, offset: 0, truncated: false };
        for line in [
            "# aider chat started at 2026-11-20 05:00:00",
            "Aider v0.86.2",
            "> Aider v0.84.0  ",
            "Aider version: 0.86.1",
            "  File \"/opt/v/lib/python3.12/site-packages/aider/main.py\", line 692, in main",
        ] {
            assert!(FORMAT.recognise(frame(line)), "{line}");
            let lower = line.to_lowercase();
            assert!(FORMAT.banners().iter().any(|banner| lower.contains(banner)), "{line}");
        }
        for line in [
            "Aider version 2 is out",
            "Aider v2 will fix the 429 handling.",
            "see `# aider chat started at`",
            "aider: error: unrecognized arguments: ok",
            "File \"/usr/bin/aider\", line 7",
            "  File \"/src/aider/main.py\", line 692, in main",
        ] {
            assert!(!FORMAT.recognise(frame(line)), "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(lines in prop::collection::vec("[ #>`A-Za-z:.,$0-9/\"é-]{0,60}", 0..20), history in any::<bool>(), tail in ".{0,20}") {
            let mut decoder = Decoder { history, ..Decoder::default() };
            for line in lines.iter().map(String::as_str).chain(CRASH.lines()).chain(HISTORY.lines()) {
                for line in [line.to_owned(), format!("{line}{tail}"), format!("Tokens: {tail} sent, {tail}")] {
                    decoder.text(&line, &mut |_| ());
                    FORMAT.recognise(Frame { bytes: line.as_bytes(), line: 1, offset: 0, truncated: false });
                }
            }
        }
    }
}
