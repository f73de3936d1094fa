//! How full a model's window is.

use std::borrow::Cow;
use std::cell::OnceCell;

use wide::u8x16;

use super::Tokens;
use super::price::{Price, Prices};
use crate::model::record::{Lifecycle, Usage, UsageScope};
use crate::model::{Body, Pressure, Record};

/// Returns how near the end a window is of which this share is full.
pub fn pressure_of(share: f64) -> Pressure {
    match share {
        share if share >= 0.90 => Pressure::Emergency,
        share if share >= 0.80 => Pressure::Critical,
        share if share >= 0.60 => Pressure::Elevated,
        _ => Pressure::Normal,
    }
}

/// What is in the window of a session's main conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// What the last request sent and got.
    told: Option<u64>,
    /// The words since the last request, or since the beginning, as tokens; they are a guess.
    guessed: u64,
    limit: Option<u64>,
    model: Option<String>,
    /// What the table says of the model, once it was asked.
    price: OnceCell<Option<Price>>,
    session: Option<String>,
    /// Whether a request or a compaction was told of, since the beginning or since records were passed over.
    anchored: bool,
    /// Whether a request has named its model, likewise.
    named: bool,
}

/// Who says what a window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitSource {
    /// The user.
    User,
    /// The agent.
    Agent,
    /// The table, by the model's name.
    Table,
}

impl LimitSource {
    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::Table => "table",
        }
    }
}

/// How full a window is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fill {
    /// The tokens in it.
    pub tokens: u64,
    /// What it holds, where that is known.
    pub limit: Option<u64>,
    /// Who says so.
    pub limit_source: Option<LimitSource>,
    /// Whether the tokens are a guess.
    pub estimated: bool,
}

impl Fill {
    /// Returns the share of the window that is full.
    pub fn share(&self) -> Option<f64> {
        self.limit.filter(|limit| *limit > 0).map(|limit| self.tokens as f64 / limit as f64)
    }

    /// Returns how near the end is.
    pub fn pressure(&self) -> Option<Pressure> {
        self.share().map(pressure_of)
    }
}

impl Window {
    /// Takes a record; sub-agents have windows of their own.
    pub fn take(&mut self, record: &Record<'_>) {
        if record.subagent.is_some() {
            return;
        }
        if let Some(session) = record.session.as_deref().filter(|id| self.session.as_deref() != Some(id)) {
            // What a session before had in its window is not in this one's.
            (self.told, self.guessed, self.anchored) = (None, 0, false);
            self.session = Some(session.to_owned());
        }
        match &record.body {
            Body::Usage(usage) => self.usage(usage),
            Body::Lifecycle(Lifecycle::Compacted) => {
                (self.told, self.guessed, self.anchored) = (None, 0, true);
            }
            Body::Lifecycle(Lifecycle::Started { model: Some(model), .. }) => self.name(model),
            Body::Message(message) => self.guess(|| message.text.read()),
            Body::ToolCall(call) => self.guess(|| call.input.read()),
            Body::ToolResult(result) => self.guess(|| result.text.read()),
            _ => {}
        }
    }

    /// Says that records were passed over: what was in the window may no longer be.
    pub fn pass_over(&mut self) {
        (self.told, self.guessed, self.anchored, self.named) = (None, 0, false, false);
    }

    /// Whether what was taken since the beginning, or since records were passed over, is enough to know how full it is.
    pub fn is_known(&self) -> bool {
        self.anchored && self.named
    }

    /// Whether there is a conversation at all.
    pub fn has_begun(&self) -> bool {
        self.anchored || self.guessed > 0
    }

    /// Returns the model, if it was named.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Returns the session, if it was named.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    fn name(&mut self, model: &str) {
        if self.model.as_deref() == Some(model) {
            return;
        }
        self.price = OnceCell::new();
        // What the agent said of another model's window does not hold for this one's.
        if self.model.replace(model.to_owned()).is_some() {
            self.limit = None;
        }
    }

    fn usage(&mut self, usage: &Usage<'_>) {
        let limit = usage.context_limit.filter(|limit| *limit > 0);
        self.limit = limit.or(self.limit);
        // A turn and a run add up what was sent many times.
        if usage.scope != UsageScope::Request {
            return;
        }
        if let Some(model) = usage.model {
            self.named = true;
            // The name that a session was asked for with may say more than the answers do.
            let same = self
                .model
                .as_deref()
                .is_some_and(|asked| asked.starts_with(model) && asked.ends_with("[1m]"));
            if !same {
                self.name(model);
                self.limit = limit.or(self.limit);
            }
        }
        let tokens = Tokens::of(usage).total();
        if tokens > 0 {
            self.told = u64::try_from(tokens).ok();
            self.guessed = 0;
            self.anchored = true;
        }
    }

    fn guess<'t>(&mut self, text: impl FnOnce() -> Cow<'t, str>) {
        if self.told.is_none() {
            self.guessed = self.guessed.saturating_add(estimate(&text()));
        }
    }

    /// Whether the model has two sizes of window, and the agent does not say which this is: the names in answers do not.
    pub fn may_be_larger(&self, prices: &Prices) -> bool {
        let Some(model) = self.model.as_deref().filter(|_| self.limit.is_none()) else {
            return false;
        };
        let large = || prices.find(&format!("{model}[1m]")).and_then(|price| price.window);
        prices.find(model).is_some_and(|price| price.long.is_some() && price.window < large())
    }

    /// Returns how full it is. `limit`: what it holds, if the user says so; else the agent's word counts, else the table,
    /// which is the same one each time.
    pub fn fill(&self, limit: Option<u64>, prices: &Prices) -> Fill {
        let (tokens, estimated) = self.told.map_or((self.guessed, true), |tokens| (tokens, false));
        let table = || {
            let model = self.model.as_deref()?;
            let price = (*self.price.get_or_init(|| prices.find(model)))?;
            // A model that has a price for more than its window holds has a larger one, which not every record names. What
            // was sent to it cannot have been more than that.
            let beyond =
                !estimated && price.long.is_some() && price.window.is_some_and(|window| tokens > window);
            let large = beyond.then(|| prices.find(&format!("{model}[1m]")).and_then(|price| price.window));
            large.flatten().or(price.window)
        };
        let (limit, limit_source) = [(limit, LimitSource::User), (self.limit, LimitSource::Agent)]
            .into_iter()
            .find_map(|(limit, source)| Some((limit?, source)))
            .or_else(|| Some((table()?, LimitSource::Table)))
            .unzip();
        Fill { tokens, limit, limit_source, estimated }
    }
}

/// Returns about how many tokens a text is: 1.3 a word or one for four bytes, whichever is more. Scripts that have no
/// spaces between words are counted a character at a time.
pub fn estimate(text: &str) -> u64 {
    if has_plain_words(text.as_bytes()) {
        let (words, rest) = (plain_words(text.as_bytes()), text.len().div_ceil(4));
        return (words * 13).div_ceil(10).max(rest) as u64;
    }
    let wide = text.chars().filter(|c| is_wide(*c)).count();
    let wide_bytes: usize = text.chars().filter(|c| is_wide(*c)).map(char::len_utf8).sum();
    let words = text.split(|c: char| c.is_whitespace() || is_wide(c)).filter(|word| !word.is_empty()).count();
    let rest = (text.len() - wide_bytes).div_ceil(4);
    ((words * 13).div_ceil(10).max(rest) + wide) as u64
}

/// Whether there is neither a blank in a text that is not ASCII nor a character of a script without spaces, as far as the
/// first bytes of its characters tell.
fn has_plain_words(text: &[u8]) -> bool {
    let blank = |at: usize| {
        matches!(text.get(at + 1..at + 3), Some([0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf] | [0x81, 0x9f]))
    };
    text.iter().fold(0, |most, byte| (*byte).max(most)) < 0xe3
        && memchr::memchr2(0xc2, 0xe1, text).is_none()
        && !memchr::memchr_iter(0xe2, text).any(blank)
}

/// Returns how many words there are in a text that has plain words.
fn plain_words(text: &[u8]) -> usize {
    let is_blank = |byte: u8| matches!(byte, b'\t'..=b'\r' | b' ');
    let (parts, rest) = text.as_chunks::<16>();
    // A word begins behind a blank. Whether the last byte looked at was one is the lowest bit.
    let (mut words, mut before) = (0, 1);
    for part in parts {
        let part = u8x16::new(*part);
        let from_tab = part - u8x16::splat(b'\t');
        let blanks = part.simd_eq(u8x16::splat(b' ')) | from_tab.min(u8x16::splat(4)).simd_eq(from_tab);
        let blanks = blanks.to_bitmask();
        words += (!blanks & (blanks << 1 | before) & 0xffff).count_ones() as usize;
        before = blanks >> 15 & 1;
    }
    let mut before = before == 1;
    for byte in rest {
        let blank = is_blank(*byte);
        words += usize::from(before && !blank);
        before = blank;
    }
    words
}

/// Whether a character is one of a script without spaces: Chinese, Japanese, Korean.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Message, Role};

    proptest::proptest! {
        #[test]
        fn words_are_what_stands_between_blanks(text in "[ -~]{0,4}([a-zé…→漢\u{c2}]{1,9}[ \t\n\r\u{b}\u{c}\u{1c}]{0,3}[\u{85}\u{a0}\u{1680}\u{2003}\u{2028}\u{202f}\u{205f}\u{3000}😀]{0,1}){0,20}") {
            if has_plain_words(text.as_bytes()) {
                proptest::prop_assert_eq!(plain_words(text.as_bytes()), text.split_whitespace().count());
                proptest::prop_assert!(!text.chars().any(is_wide));
            }
        }
    }

    #[test]
    fn what_has_plain_words_is_known() {
        for (text, plain) in [
            ("", true),
            ("two words", true),
            ("     1→use it; … done ✓", true),
            ("café", true),
            ("thin\u{2009}space", false),
            ("no\u{a0}break", false),
            ("漢字", false),
            ("next\u{85}line", false),
        ] {
            assert_eq!(has_plain_words(text.as_bytes()), plain, "{text}");
        }
    }

    fn request(input: u64, read: u64, output: u64) -> Record<'static> {
        Record::new(Body::Usage(Usage {
            model: Some("claude-sonnet-4-5"),
            input_tokens: Some(input),
            cache_read_tokens: Some(read),
            output_tokens: Some(output),
            ..Usage::default()
        }))
    }

    fn said(text: &'static str) -> Record<'static> {
        Record::new(Body::Message(Message { role: Role::User, text: text.into() }))
    }

    fn after(records: &[Record<'_>]) -> Fill {
        let mut window = Window::default();
        records.iter().for_each(|record| window.take(record));
        window.fill(None, Prices::built_in())
    }

    #[test]
    fn the_last_request_is_what_is_in_the_window() {
        let fill = after(&[request(10, 90_000, 500), request(20, 160_000, 480)]);
        assert_eq!(
            fill,
            Fill {
                tokens: 160_500,
                limit: Some(200_000),
                limit_source: Some(LimitSource::Table),
                estimated: false
            }
        );
        assert_eq!(fill.pressure(), Some(Pressure::Critical));
    }

    #[test]
    fn what_a_run_adds_up_is_no_window() {
        let run = Usage { scope: UsageScope::Run, input_tokens: Some(9_000_000), ..Usage::default() };
        assert_eq!(after(&[request(10, 0, 0), Record::new(Body::Usage(run))]).tokens, 10);
    }

    #[test]
    fn a_compaction_empties_it_and_then_there_is_a_guess() {
        let compacted = || Record::new(Body::Lifecycle(Lifecycle::Compacted));
        let fill = after(&[request(10, 90_000, 500), compacted(), said("one two three four")]);
        assert_eq!((fill.tokens, fill.estimated), (6, true));
        let fill = after(&[request(10, 90_000, 500), compacted(), said("words"), request(7, 0, 1)]);
        assert_eq!((fill.tokens, fill.estimated), (8, false));
    }

    #[test]
    fn a_sub_agent_has_a_window_of_its_own() {
        let side = Record { subagent: Some("a1".into()), ..request(1, 500_000, 1) };
        assert_eq!(after(&[request(10, 0, 0), side]).tokens, 10);
    }

    #[test]
    fn the_users_limit_stands_above_the_agents_and_that_above_the_table() {
        let mut window = Window::default();
        window.take(&request(1, 0, 0));
        window.take(&Record::new(Body::Usage(Usage { context_limit: Some(500), ..Usage::default() })));
        assert_eq!(window.fill(None, Prices::built_in()).limit, Some(500));
        assert_eq!(window.fill(Some(7), Prices::built_in()).limit, Some(7));
    }

    #[test]
    fn a_model_asked_for_with_a_million_keeps_it_when_answers_leave_it_out() {
        let started = Lifecycle::Started { cwd: None, model: Some("claude-sonnet-4-5[1m]".into()) };
        let fill = after(&[Record::new(Body::Lifecycle(started)), request(1, 0, 0)]);
        assert_eq!(fill.limit, Some(1_000_000));
    }

    #[test]
    fn more_than_a_window_holds_is_in_a_larger_one() {
        assert_eq!(after(&[request(250_000, 0, 0)]).limit, Some(1_000_000));
        let unknown = Usage { model: Some("gpt-4o"), input_tokens: Some(250_000), ..Usage::default() };
        let fill = after(&[Record::new(Body::Usage(unknown))]);
        assert!(fill.share().is_some_and(|share| share > 1.0), "there is no larger one: {fill:?}");
    }

    #[test]
    fn what_the_agent_said_of_one_models_window_is_not_said_of_anothers() {
        let told = Usage { model: Some("model-a"), input_tokens: Some(5), ..Usage::default() };
        let told = |limit| Record::new(Body::Usage(Usage { context_limit: limit, ..told }));
        assert_eq!(after(&[told(Some(500)), told(None)]).limit, Some(500));
        assert_eq!(after(&[told(Some(500)), request(1, 0, 0)]).limit, Some(200_000));
    }

    #[test]
    fn a_new_session_begins_with_an_empty_window() {
        let other = |id: &'static str, record| Record { session: Some(id.into()), ..record };
        let fill = after(&[other("a", request(9000, 0, 0)), other("b", said("one two three four"))]);
        assert_eq!((fill.tokens, fill.estimated), (6, true));
    }

    #[test]
    fn after_a_gap_a_request_that_names_its_model_makes_it_known_again() {
        let mut window = Window::default();
        window.take(&request(9000, 0, 0));
        assert!(window.is_known());
        window.pass_over();
        window.take(&said("words"));
        assert!(!window.is_known(), "there may have been requests");
        window.take(&Record::new(Body::Lifecycle(Lifecycle::Compacted)));
        assert!(!window.is_known(), "whose window it is, is not known");
        window.take(&request(7, 0, 1));
        assert!(window.is_known());
        assert_eq!(window.fill(None, Prices::built_in()).tokens, 8);
    }

    #[test]
    fn an_unknown_model_has_no_limit_and_no_level() {
        let usage = Usage { model: Some("nobody-1"), input_tokens: Some(5), ..Usage::default() };
        assert_eq!(after(&[Record::new(Body::Usage(usage))]).pressure(), None);
    }

    #[test]
    fn levels_begin_where_they_say() {
        for (share, level) in [
            (0.599, "normal"),
            (0.60, "elevated"),
            (0.80, "critical"),
            (0.8999, "critical"),
            (0.90, "emergency"),
            (2.0, "emergency"),
        ] {
            assert_eq!(pressure_of(share).name(), level, "{share}");
        }
    }

    #[test]
    fn texts_without_spaces_are_counted_by_characters() {
        assert_eq!(estimate(""), 0);
        assert_eq!(estimate("a b c d e f g h i j"), 13, "words");
        assert_eq!(estimate(&"x".repeat(400)), 100, "bytes");
        assert_eq!(estimate("速率限制已达到"), 7, "characters");
        assert_eq!(estimate("the 速率 limit"), 2 + 3, "both");
    }
}
