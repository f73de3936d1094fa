//! What agents are told when they go on.

use serde::{Deserialize, Serialize};

/// How many characters of a failure's words a prompt quotes.
const MAX_QUOTE: usize = 300;

/// The prompts; `{reason}` is filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prompts {
    /// After a wait, or a failure that was not the agent's.
    pub go_on: String,
    /// After it was stopped, or ended in the middle of something.
    pub after_stop: String,
    /// After it was stopped because a tool of its hung.
    pub tool_hung: String,
    /// After output that could not be read.
    pub correct: String,
    /// After it ran into a limit of turns, or of the length of its answer.
    pub smaller_steps: String,
    /// After the provider refused the conversation, and its end was taken out.
    pub rewound: String,
    /// After a loop.
    pub break_loop: String,
}

impl Default for Prompts {
    fn default() -> Self {
        Self {
            go_on: "continue".to_owned(),
            after_stop:
                "You were interrupted. Check what is already done before you repeat a step, then continue. \
                         If everything is done, say so."
                    .to_owned(),
            tool_hung: "You were interrupted because a tool hung: {reason} Check what is already done, and do not run it \
                        again in the same way."
                .to_owned(),
            correct:
                "Your last output could not be used: {reason} Send it again in the right form, then continue."
                    .to_owned(),
            smaller_steps: "Continue where you stopped, in smaller steps.".to_owned(),
            rewound: "The provider refused the conversation: {reason} What came after your last message, such as the \
                      result of a tool, was taken out of it. Check what is already done, do not do the same again, \
                      and go on another way."
                .to_owned(),
            break_loop:
                "You were interrupted because you repeated yourself: {reason} Do not do it again. Take \
                         another approach, or stop and say what blocks you."
                    .to_owned(),
        }
    }
}

/// Fills in the reason, as a sentence on one line. A prompt never looks like an option.
pub(super) fn fill(prompt: &str, reason: &str) -> String {
    let mut quote = String::new();
    for word in reason.split_whitespace() {
        if quote.chars().count() + word.chars().count() >= MAX_QUOTE {
            quote.push_str(" …");
            break;
        }
        if !quote.is_empty() {
            quote.push(' ');
        }
        quote.push_str(word);
    }
    if !quote.is_empty() && !quote.ends_with(['.', '!', '?', '…']) {
        quote.push('.');
    }
    plain(&prompt.replace("{reason}", &quote))
}

/// A prompt that no parser takes for an option.
pub(super) fn plain(prompt: &str) -> String {
    if prompt.starts_with('-') { format!(" {prompt}") } else { prompt.to_owned() }
}
