//! What Claude Code tells the command that draws its status line: one JSON object on standard input.

use super::{Maybe, Num, Str, Tokens};
use crate::engine::json::{self, object};
use crate::model::Timestamp;
use crate::model::record::UsageScope;

/// What is known of a session at the moment. Any part may be missing: builds differ, and so does what was done yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusLine {
    /// The model, as it is shown to people.
    pub model: Option<String>,
    /// Where the transcript is.
    pub transcript: Option<String>,
    /// What the session cost, in US dollars.
    pub cost_usd: Option<f64>,
    /// How many percent of the context window are full.
    pub context_percent: Option<f64>,
    /// How many tokens the window holds.
    pub context_limit: Option<u64>,
    /// The subscription's window of five hours.
    pub five_hours: Quota,
}

/// A window of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quota {
    /// How many percent of it are used.
    pub percent: Option<f64>,
    /// When it begins anew.
    pub resets_at: Option<Timestamp>,
}

impl StatusLine {
    /// Reads it. What is no such object tells nothing.
    pub fn read(input: &[u8]) -> Self {
        let input = std::str::from_utf8(input).unwrap_or_default();
        let told: Told<'_> = json::read(input).unwrap_or_default();
        let text = |text: &Str<'_>| text.get().filter(|text| !text.is_empty()).map(str::to_owned);
        let model = told.model.0.unwrap_or_default();
        let window = told.context_window.0.unwrap_or_default();
        let context_limit = window.size.whole().filter(|size| *size > 0);
        let used = window.usage.0.map(|tokens| {
            let usage = tokens.usage(UsageScope::Request, &super::DIALECT);
            let parts =
                [usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_creation_tokens];
            parts.into_iter().flatten().fold(0, u64::saturating_add)
        });
        let counted = used.filter(|used| *used > 0).zip(context_limit);
        let limits = told.rate_limits.0.unwrap_or_default();
        Self {
            model: text(&model.name).or_else(|| text(&model.id)),
            transcript: text(&told.transcript),
            cost_usd: told.cost.0.and_then(|cost| amount(&cost.total)),
            context_percent: amount(&window.percent)
                .or_else(|| counted.map(|(used, limit)| used as f64 * 100.0 / limit as f64)),
            context_limit,
            five_hours: limits.five_hours.0.map(|limit| limit.quota()).unwrap_or_default(),
        }
    }
}

/// A number that can be shown as an amount.
fn amount(number: &Num) -> Option<f64> {
    number.0.filter(|number| number.is_finite() && *number >= 0.0)
}

object! {
    struct Told<'a> {
        "transcript_path" => transcript: Str<'a>,
        "model" => model: Maybe<Model<'a>>,
        "cost" => cost: Maybe<Cost>,
        "context_window" => context_window: Maybe<ContextWindow>,
        "rate_limits" => rate_limits: Maybe<Limits>,
    }
}

object! {
    struct Model<'a> {
        "display_name" => name: Str<'a>,
        "id" => id: Str<'a>,
    }
}

object! {
    struct Cost {
        "total_cost_usd" => total: Num,
    }
}

object! {
    struct ContextWindow {
        "context_window_size" => size: Num,
        "used_percentage" => percent: Num,
        "current_usage" => usage: Maybe<Tokens>,
    }
}

object! {
    struct Limits {
        "five_hour" => five_hours: Maybe<Limit>,
    }
}

object! {
    struct Limit {
        "used_percentage" => percent: Num,
        "resets_at" => resets_at: Num,
    }
}

impl Limit {
    fn quota(&self) -> Quota {
        Quota {
            percent: amount(&self.percent),
            resets_at: self.resets_at.0.and_then(Timestamp::from_epoch_guess),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_claude_code_tells_is_read() {
        let told = StatusLine::read(
            br#"{"session_id":"6b0c","transcript_path":"/t.jsonl","model":{"id":"claude-opus-5-5","display_name":"Opus 5.5"},"cost":{"total_cost_usd":1.83},"context_window":{"total_input_tokens":182004,"context_window_size":1000000,"current_usage":{"input_tokens":61,"cache_creation_input_tokens":1211,"cache_read_input_tokens":180732,"output_tokens":812},"used_percentage":18,"remaining_percentage":82},"rate_limits":{"five_hour":{"used_percentage":97.2,"resets_at":1795287600},"seven_day":{"used_percentage":41.0,"resets_at":1795651200}}}"#,
        );
        let expected = StatusLine {
            model: Some("Opus 5.5".to_owned()),
            transcript: Some("/t.jsonl".to_owned()),
            cost_usd: Some(1.83),
            context_percent: Some(18.0),
            context_limit: Some(1_000_000),
            five_hours: Quota { percent: Some(97.2), resets_at: Some(Timestamp::from_seconds(1_795_287_600)) },
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn where_no_percentage_is_told_it_is_counted() {
        let told = StatusLine::read(
            br#"{"context_window":{"context_window_size":1000,"used_percentage":null,"current_usage":{"input_tokens":100,"cache_read_input_tokens":300,"output_tokens":100}}}"#,
        );
        assert_eq!(told.context_percent, Some(50.0));
        let told = StatusLine::read(br#"{"context_window":{"context_window_size":1000,"current_usage":null}}"#);
        assert_eq!((told.context_percent, told.context_limit), (None, Some(1000)));
    }

    #[test]
    fn a_field_of_another_type_costs_that_field() {
        let told = StatusLine::read(
            br#"{"model":"opus","cost":{"total_cost_usd":[]},"context_window":7,"rate_limits":{"five_hour":{"used_percentage":-1,"resets_at":{}}},"transcript_path":"/t"}"#,
        );
        assert_eq!(told, StatusLine { transcript: Some("/t".to_owned()), ..StatusLine::default() });
    }

    #[test]
    fn what_is_no_such_object_tells_nothing() {
        for input in [&b""[..], b"{", b"[]", b"null", b"\xff\xfe", b"{\"model\":", b"error: no"] {
            assert_eq!(StatusLine::read(input), StatusLine::default(), "{input:?}");
        }
    }
}
