//! Lines for people: the time, what it is, why, where.

use std::io::Write;

use anstyle::{AnsiColor, Color, Style};

use super::Render;
use crate::model::event::{
    Alert, Condition, Decision, Finding, Outcome, OutcomeResult, Session, SourcePlace, Status, Summary, Usage,
};
use crate::model::{Basis, Event, EventBody, Health, Level, Life, Pressure, Severity, Strategy, Timestamp};

/// Writes events for people. All text from agents was stripped of control characters when the event was made.
pub(super) struct Text {
    color: bool,
}

impl Text {
    pub(super) fn new(color: bool) -> Self {
        Self { color }
    }

    fn paint(&self, style: Style, text: impl std::fmt::Display) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    fn dim(&self, text: impl std::fmt::Display) -> String {
        self.paint(Style::new().dimmed(), text)
    }
}

const fn ink(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(color)))
}

fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Low => ink(AnsiColor::Cyan),
        Severity::Medium => ink(AnsiColor::Yellow),
        Severity::High => ink(AnsiColor::Red),
        Severity::Critical => ink(AnsiColor::Red).bold(),
    }
}

fn health_style(health: Health) -> Style {
    match health {
        Health::Ok => ink(AnsiColor::Green),
        Health::Warn => ink(AnsiColor::Yellow),
        Health::Error => ink(AnsiColor::Red),
        Health::Halted => ink(AnsiColor::Red).bold(),
    }
}

fn life_style(life: Life) -> Style {
    match life {
        Life::Pending | Life::Booting | Life::Running => Style::new(),
        Life::Done => ink(AnsiColor::Green),
        Life::Stopped | Life::Exited => ink(AnsiColor::Yellow),
        Life::Failed => ink(AnsiColor::Red),
    }
}

impl Render for Text {
    fn render(&self, event: &Event, out: &mut Vec<u8>) {
        let line = match &event.body {
            EventBody::SessionStarted(session) => self.session("session", event, session),
            EventBody::SessionUpdated(session) => self.session("session is", event, session),
            EventBody::Finding(finding) => self.finding(event, finding),
            EventBody::Alert(alert) => self.alert(alert),
            EventBody::Decision(decision) => self.decision(decision),
            EventBody::Outcome(outcome) => self.outcome(outcome),
            EventBody::Status(status) => self.status(status),
            EventBody::Usage(usage) => self.usage(usage),
            EventBody::Summary(summary) => self.summary(event, summary),
        };
        let time = event.time.unwrap_or(event.observed_time);
        // Writing to memory cannot fail.
        let _ = writeln!(out, "{}  {line}", self.dim(clock(time)));
    }
}

impl Text {
    fn session(&self, word: &str, event: &Event, session: &Session) -> String {
        let mut line = format!("{word} {}", self.paint(Style::new().bold(), &event.session));
        if event.agent != "unknown" {
            line.push_str(&format!(" ({})", event.agent));
        }
        for (name, value) in [("model", &session.model), ("cwd", &session.cwd)] {
            if let Some(value) = value {
                line.push_str(&format!(" {} {value}", self.dim(name)));
            }
        }
        if session.path != "-" {
            line.push_str(&format!(" {} {}", self.dim("in"), session.path));
        }
        line
    }

    fn finding(&self, event: &Event, finding: &Finding) -> String {
        let style =
            if finding.self_healing { Style::new().dimmed() } else { severity_style(finding.severity) };
        let mut line = self.paint(style, format!("{:<17}", finding.class));
        line.push_str(if finding.message.is_empty() { "(no message)" } else { &finding.message });
        if finding.self_healing {
            line.push_str(&self.dim(" (retrying by itself)"));
        } else if let Some(retry_at) = finding.retry_at {
            line.push_str(&self.dim(format!(" (until {})", minute(retry_at))));
        }
        line.push_str(&self.dim(place(event.source.as_ref())));
        line
    }

    fn alert(&self, alert: &Alert) -> String {
        let word = match alert.level {
            Level::Warn => "warning",
            Level::Act => "ALERT",
        };
        format!(
            "{} {}",
            self.paint(severity_style(alert.severity).bold(), format!("{word:<7}")),
            alert.reason
        )
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        let style = match outcome.result {
            OutcomeResult::Done => Style::new().bold(),
            OutcomeResult::Failed => severity_style(Severity::High).bold(),
            OutcomeResult::Skipped => Style::new().dimmed(),
        };
        format!("  {} {}: {}", self.dim("=>"), self.paint(style, outcome.result.name()), outcome.detail)
    }

    fn decision(&self, decision: &Decision) -> String {
        let mut line = format!("  {} {}", self.dim("->"), self.paint(Style::new().bold(), decision.strategy));
        if decision.delay_sec > 0 {
            line.push_str(&format!(
                ", not before {} ({})",
                minute(decision.not_before),
                span(decision.delay_sec)
            ));
        }
        if decision.strategy != Strategy::Halt && decision.strategy != Strategy::Monitor {
            line.push_str(&format!(", attempt {} of {}", decision.attempt, decision.max_attempts));
        }
        line.push_str(&format!(": {}", decision.reason));
        if !decision.acted {
            line.push_str(&self.dim(" (advice: nothing was done)"));
        }
        line
    }

    fn status(&self, status: &Status) -> String {
        let word = |condition| match condition {
            Condition::Health(health) => self.paint(health_style(health), health),
            Condition::Life(life) => self.paint(life_style(life), life),
        };
        let what = if matches!(status.to, Condition::Health(_)) { "health" } else { "run" };
        format!("{what} {} -> {}: {}", word(status.from), word(status.to), status.reason)
    }

    fn usage(&self, usage: &Usage) -> String {
        let mut parts = Vec::new();
        if let (Some(percent), Some(pressure)) = (usage.usage_pct, usage.pressure) {
            let about = if usage.context_basis == Some(Basis::Inferred) { "about " } else { "" };
            let full = self.paint(pressure_style(pressure), format!("{about}{percent:.0} %"));
            let at = usage.limit_at.filter(|_| pressure > Pressure::Normal);
            let at = at
                .map_or_else(String::new, |at| format!(" {}", self.dim(format!("(full at {})", minute(at)))));
            parts.push(format!("context {full}{at}"));
        }
        let input = usage.input_tokens + usage.cache_read_tokens + usage.cache_creation_tokens;
        if input + usage.output_tokens > 0 {
            parts.push(format!("{} tokens in", tokens(input)));
            parts.push(format!("{} out", tokens(usage.output_tokens)));
        }
        if let Some(cost) = usage.cost_usd {
            let more = if usage.unpriced_tokens.is_some() { "+?" } else { "" };
            let budget = usage.budget_usd.map_or_else(String::new, |budget| format!(" of ${budget:.2}"));
            let at = usage.budget_at.map_or_else(String::new, |at| {
                format!(" {}", self.dim(format!("(used up at {})", minute(at))))
            });
            parts.push(format!("${cost:.2}{more}{budget}{at}"));
        }
        for window in &usage.windows {
            if let Some(used) = window.used_pct {
                parts.push(format!("{} {used:.0} %", length(window.minutes)));
            }
        }
        format!("{} {}", self.paint(Style::new().bold(), "usage"), parts.join(", "))
    }

    fn summary(&self, event: &Event, summary: &Summary) -> String {
        let counts = |counts: &std::collections::BTreeMap<&'static str, u64>| {
            let total: u64 = counts.values().sum();
            let list: Vec<String> = counts.iter().map(|(class, count)| format!("{class} {count}")).collect();
            if list.is_empty() { "0".to_owned() } else { format!("{total} ({})", list.join(", ")) }
        };
        let mut line = format!(
            "{} {} lines, findings {}, alerts {}",
            self.paint(Style::new().bold(), "summary"),
            summary.lines,
            counts(&summary.findings),
            counts(&summary.alerts),
        );
        for (count, word) in [
            (summary.undecoded, "undecoded"),
            (summary.truncated, "truncated"),
            (summary.dropped_events, "events dropped"),
            (summary.unseen_bytes.unwrap_or(0), "bytes not looked at"),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {word}"));
            }
        }
        if let Some(cost) = summary.cost_usd {
            line.push_str(&format!(", ${cost:.2}"));
        }
        if summary.sources != 1 {
            line.push_str(&format!(", {} sources", summary.sources));
        }
        if let Some(verdict) = summary.verdict {
            line.push_str(&format!(", {}", self.paint(health_style(verdict), verdict)));
        }
        if let Some(source) = event.source.as_ref().filter(|source| &*source.name != "-") {
            line.push_str(&self.dim(format!(" {}", source.name)));
        }
        line
    }
}

/// Writes a count of tokens short.
fn tokens(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{:.1}k", count as f64 / 1e3),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

/// Writes how long a window of a subscription is.
fn length(minutes: u64) -> String {
    match minutes {
        10_080 => "week".to_owned(),
        minutes if minutes % 1440 == 0 => format!("{} d", minutes / 1440),
        minutes if minutes % 60 == 0 => format!("{} h", minutes / 60),
        minutes => format!("{minutes} min"),
    }
}

fn pressure_style(pressure: Pressure) -> Style {
    match pressure {
        Pressure::Normal => Style::new(),
        Pressure::Elevated => ink(AnsiColor::Yellow),
        Pressure::Critical => ink(AnsiColor::Red),
        Pressure::Emergency => ink(AnsiColor::Red).bold(),
    }
}

fn place(source: Option<&SourcePlace>) -> String {
    match source {
        Some(source) if &*source.name == "-" => format!("  line {}", source.line),
        Some(source) => format!("  {}:{}", source.name, source.line),
        None => String::new(),
    }
}

/// `2026-11-20 05:11:09`, UTC.
fn clock(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// `2026-11-20 05:11 UTC`.
fn minute(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

/// `1 h 5 min`, `45 s`.
fn span(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, 0) => format!("{minutes} min"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (seconds, text) in
            [(5, "5 s"), (60, "1 min"), (61, "1 min 1 s"), (3_900, "1 h 5 min"), (200_000, "2 d 7 h")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
