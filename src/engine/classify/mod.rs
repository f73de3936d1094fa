//! Text and origin → the class of a failure. What may carry a failure was decided by the format; here the rules
//! decide which one it is.

pub mod counts;
pub mod facts;
pub mod fold;
mod forms;
pub mod own;
pub mod reset_time;
pub mod rules;
pub mod scan;

use crate::model::record::{Failure, Retry, TextLine};
use crate::model::{Class, Origin, Severity};

use facts::{Facts, LOOK_AT, head};
use rules::{Indexes, Rank, Rules, Touched};

/// A failure with its class.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What kind of failure.
    pub class: Class,
    /// The rule that decided, or the format's own word (`format`), or `fallback`.
    pub rule: String,
    /// The HTTP status, from a field or from the text.
    pub status: Option<u16>,
    /// The agent's own retry, from a field or from the text.
    pub retry: Option<Retry>,
    /// Who reported it.
    pub origin: Origin,
    /// Whether the rule says that the request may be repeated unchanged; `None`: as its class.
    pub retryable: Option<bool>,
    /// Whether neither a rule nor a status says what it is, and the agent alone reported it: the class is a guess.
    pub guess: bool,
    /// How bad it is, where the rule says so; `None`: as its class.
    pub severity: Option<Severity>,
}

/// What a rule said to a record, for `explain`.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The rule or introducer.
    pub rule: String,
    /// Its class (`None` for an introducer).
    pub class: Option<Class>,
    /// Whether it fired.
    pub fired: bool,
    /// Why, or why not.
    pub why: String,
}

/// Takes note of what each rule said. The engine uses `None`, `explain` a list.
pub type Trace<'t> = Option<&'t mut Vec<Look>>;

/// Classifies a failure that the format vouches for. Returns `None` only for a bare retry notice that does not
/// say what it is about.
pub fn failure(rules: &Rules, agent: &str, failure: &Failure<'_>, mut trace: Trace<'_>) -> Option<Verdict> {
    let folded = fold::fold_lower(head(&failure.text, LOOK_AT));
    let mut facts = facts::read(&folded);
    facts.status = failure.status.or(facts.status);
    let mut codes: Vec<String> = failure.codes.iter().map(|code| code.to_ascii_lowercase()).collect();
    codes.append(&mut facts.codes);
    facts.codes = codes;
    facts.retry = failure.retry.or(facts.retry);
    let verdict = |class, rule: &str| Verdict {
        class,
        rule: rule.to_owned(),
        status: facts.status,
        retry: facts.retry,
        origin: failure.origin,
        retryable: None,
        guess: false,
        severity: None,
    };
    if let Some(class) = failure.class {
        note(&mut trace, "format", Some(class), true, || "the record's structure says so".to_owned());
        return Some(verdict(class, "format"));
    }
    let touched = rules.touched(&folded).rules;
    if let Some(rule) = best(rules, &touched, agent, failure.origin, &folded, &facts, trace) {
        rules.count_rule_hit(rule);
        let rule = &rules.rules[rule];
        let verdict = verdict(rule.class, &rule.id);
        return Some(Verdict { retryable: rule.retryable, severity: rule.severity, ..verdict });
    }
    if facts.retry.is_some() {
        return None;
    }
    let class = match (failure.origin, facts.status) {
        (_, Some(500..)) => Class::ServerError,
        (_, Some(400..=499)) => Class::Http400,
        (Origin::Tool, _) => Class::ToolError,
        (Origin::Agent, _) => Class::Crash,
        _ => Class::ServerError,
    };
    Some(Verdict { guess: class == Class::Crash, ..verdict(class, "fallback") })
}

/// Classifies a failed tool result: what the tool printed does not matter, only what the agent says of the call.
pub fn tool_result(rules: &Rules, agent: &str, text: &str, trace: Trace<'_>) -> Verdict {
    let folded = fold::fold_lower(head(text, LOOK_AT));
    let touched = rules.touched(&folded).rules;
    let rule = best(rules, &touched, agent, Origin::Tool, &folded, &Facts::default(), trace);
    if let Some(rule) = rule {
        rules.count_rule_hit(rule);
    }
    let rule = rule.map(|rule| &rules.rules[rule]);
    Verdict {
        class: rule.map_or(Class::ToolError, |rule| rule.class),
        rule: rule.map_or("failed_tool_result", |rule| rule.id.as_str()).to_owned(),
        status: None,
        retry: None,
        origin: Origin::Tool,
        retryable: None,
        guess: false,
        severity: rule.and_then(|rule| rule.severity),
    }
}

/// Classifies a line of plain text: either it begins in a way that introduces provider text, or a rule knows the
/// emitting program's exact wording, or it is no failure.
pub fn line(rules: &Rules, agent: &str, line: &TextLine<'_>, mut trace: Trace<'_>) -> Option<Verdict> {
    if line.content {
        note(&mut trace, "plain", None, false, || {
            "the line is set off as content (bullet, code, diff, quote)".to_owned()
        });
        return None;
    }
    let body = fold::fold_lower(head(&line.text[line.body..], LOOK_AT));
    let touched = rules.touched(&body);
    if touched.introducers.is_empty() && touched.rules.is_empty() {
        return None;
    }
    let mut introduced = None;
    for number in touched.introducers.iter() {
        let introducer = &rules.introducers[number];
        if rules.try_introducer(number, body.len(), || introducer.introduces(&body)) {
            rules.count_introducer_hit(number);
            introduced.get_or_insert(introducer.id.as_str());
            note(&mut trace, &introducer.id, None, true, || {
                "the line begins as provider text does".to_owned()
            });
        }
    }
    let exact = best_line(rules, &touched, agent, &body, trace.as_deref_mut());
    if introduced.is_none() && exact.is_none() {
        return None;
    }
    let facts = facts::read(&body);
    let origin = if introduced.is_some() { Origin::Provider } else { Origin::Agent };
    let rule = match (introduced, exact) {
        // A program's exact wording wins over what may be read out of it.
        (_, Some(rule)) => rule,
        (_, None) => best(rules, &touched.rules, agent, Origin::Provider, &body, &facts, trace)?,
    };
    rules.count_rule_hit(rule);
    let rule = &rules.rules[rule];
    Some(Verdict {
        class: rule.class,
        rule: rule.id.clone(),
        status: facts.status,
        retry: facts.retry,
        origin,
        retryable: rule.retryable,
        guess: false,
        severity: rule.severity,
    })
}

/// Whether a plain line begins as a failure does, whatever it turns out to be.
pub fn concerns(rules: &Rules, agent: &str, line: &TextLine<'_>) -> bool {
    if line.content {
        return false;
    }
    let body = fold::fold_lower(head(&line.text[line.body..], LOOK_AT));
    let touched = rules.touched(&body);
    let introduces = |number: usize| {
        rules.try_introducer(number, body.len(), || rules.introducers[number].introduces(&body))
    };
    touched.introducers.iter().any(introduces) || best_line(rules, &touched, agent, &body, None).is_some()
}

/// Returns the retry that a plain line announces, if it does.
pub fn line_retry(line: &TextLine<'_>) -> Option<Retry> {
    let body = fold::fold_lower(head(&line.text[line.body..], 400));
    (body.starts_with("retrying in ") && !line.content).then(|| facts::read(&body).retry).flatten()
}

fn note(trace: &mut Trace<'_>, rule: &str, class: Option<Class>, fired: bool, why: impl FnOnce() -> String) {
    if let Some(looks) = trace {
        looks.push(Look { rule: rule.to_owned(), class, fired, why: why() });
    }
}

/// Returns the index of the rule that fits a message best. `touched`: the rules of which a stem stands in it.
fn best(
    rules: &Rules,
    touched: &Indexes,
    agent: &str,
    origin: Origin,
    folded: &str,
    facts: &Facts,
    mut trace: Trace<'_>,
) -> Option<usize> {
    // Most codes of rules are told from those of the message by their lengths.
    let lengths = facts.codes.iter().fold(0u64, |all, code| all | 1 << (code.len() % 64));
    let is_known = |code: &&String| lengths >> (code.len() % 64) & 1 == 1 && facts.codes.contains(code);
    let mut best: Option<(usize, Rank)> = None;
    for (index, rule) in rules.rules.iter().enumerate() {
        // What cannot win is not tried, nor its patterns compiled: general words come last. `explain` wants to know all.
        if trace.is_none() && best.is_some_and(|(_, found)| found > rule.rank.unwrap_or(Rank::Text)) {
            continue;
        }
        let has_stem = touched.contains(index);
        let look = || rules.try_rule(index, folded.len(), || rule.text_match(folded));
        let text = has_stem.then(look).flatten();
        let code = rule.codes.iter().find(is_known);
        let status = facts.status.filter(|status| rule.statuses.contains(status));
        let rank = match (&text, code, status) {
            (Some(_), _, _) => Rank::Text,
            (None, Some(_), _) => Rank::Code,
            (None, None, Some(_)) => Rank::Status,
            (None, None, None) => continue,
        };
        let why = || match (&text, code, status) {
            (Some(found), _, _) => format!("text `{found}`"),
            (None, Some(code), _) => format!("code `{code}`"),
            (None, None, status) => format!("status {}", status.unwrap_or_default()),
        };
        let rank = rule.rank.unwrap_or(rank);
        let blocked = if !rule.origins.contains(&origin) {
            Some(format!("origin {origin} is not among its origins"))
        } else if !rule.agents.is_empty() && !rule.agents.iter().any(|name| name == agent) {
            Some(format!("it is for {} only", rule.agents.join(", ")))
        } else {
            rule.disclaimer(folded).map(|words| format!("`{words}` disclaims it"))
        };
        if let Some(reason) = blocked {
            note(&mut trace, &rule.id, Some(rule.class), false, || {
                format!("{} matches, but {reason}", why())
            });
            continue;
        }
        note(&mut trace, &rule.id, Some(rule.class), true, || format!("{} (rank {rank:?})", why()));
        if best.is_none_or(|(other, other_rank)| {
            (rank, std::cmp::Reverse(rules.precedence(rule.class)))
                > (other_rank, std::cmp::Reverse(rules.precedence(rules.rules[other].class)))
        }) {
            best = Some((index, rank));
        }
    }
    best.map(|(index, _)| index)
}

/// Returns the index of the rule whose exact wording a plain line has.
fn best_line(
    rules: &Rules,
    touched: &Touched,
    agent: &str,
    body: &str,
    mut trace: Trace<'_>,
) -> Option<usize> {
    let mut best: Option<usize> = None;
    for index in touched.rules.iter() {
        let rule = &rules.rules[index];
        if !rule.reads_lines() {
            continue;
        }
        let found = rules.try_rule(index, body.len(), || rule.line_match(body));
        let Some(found) = found else { continue };
        if let Some(words) = rule.disclaimer(body) {
            note(&mut trace, &rule.id, Some(rule.class), false, || {
                format!("line `{found}` matches, but `{words}` disclaims it")
            });
            continue;
        }
        if !rule.agents.is_empty() && !rule.agents.iter().any(|name| name == agent) {
            note(&mut trace, &rule.id, Some(rule.class), false, || {
                format!("it is for {} only", rule.agents.join(", "))
            });
            continue;
        }
        note(&mut trace, &rule.id, Some(rule.class), true, || format!("line `{found}`"));
        let rank = |index: usize| {
            let rule = &rules.rules[index];
            (rule.rank.unwrap_or(Rank::Text), std::cmp::Reverse(rules.precedence(rule.class)))
        };
        if best.is_none_or(|other| rank(index) > rank(other)) {
            best = Some(index);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_failure_that_no_rule_knows_is_a_guess() {
        let rules = Rules::built_in();
        let judge =
            |text: &'static str| failure(&rules, "plain", &Failure::new(Origin::Agent, text), None).unwrap();
        let unknown = judge("the frobnicator went sideways");
        assert_eq!((unknown.class, unknown.guess), (Class::Crash, true));
        assert!(!judge("status 500").guess);
    }

    #[test]
    fn each_rule_matches_its_examples_and_not_its_counter_examples() {
        let rules = Rules::built_in();
        for rule in &rules.rules {
            for text in &rule.yes {
                let verdict = failure(&rules, "plain", &Failure::new(Origin::Provider, text.as_str()), None);
                let class = verdict.map(|verdict| verdict.class);
                assert_eq!(class, Some(rule.class), "rule {}: {text}", rule.id);
            }
            for text in &rule.no {
                let verdict = failure(&rules, "plain", &Failure::new(Origin::Provider, text.as_str()), None);
                let class = verdict.map(|verdict| verdict.class);
                assert_ne!(class, Some(rule.class), "rule {}: {text}", rule.id);
            }
        }
    }
}
