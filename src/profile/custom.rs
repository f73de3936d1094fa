//! Profiles that users write: `[profile.NAME]` tables, read by `settings`, checked here.

use crate::model::Class;

use super::transcript::{Surroundings, Transcript};
use super::{
    Asked, Call, Invocation, Mode, Profile, Prompt, Rewritten, SessionRef, Signal, Silence, StopStep, Target,
    Terminals, Unable, plain_fix, prompt_of, refuse_unfresh, refuse_unresumable, stdin_for,
};

/// The fields of a table as they were written, each of the right type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomFields {
    /// `programs`: base names of programs, names of packages.
    pub programs: Vec<String>,
    /// `agent`: the format of its output.
    pub agent: Option<String>,
    /// `mode`: how it runs.
    pub mode: Option<String>,
    /// `prompt`: where the first prompt is.
    pub prompt: Option<String>,
    /// `start`: the arguments of a first start with a session id of our choice.
    pub start: Option<Vec<String>>,
    /// `resume`: the arguments that go on with a session.
    pub resume: Option<Vec<String>>,
    /// `fresh`: the arguments of a new session.
    pub fresh: Option<Vec<String>>,
    /// `transcript`: where its transcript lies.
    pub transcript: Option<String>,
    /// `stop_signal`: the first signal that ends it.
    pub stop_signal: Option<String>,
    /// `stop_to`: who gets it.
    pub stop_to: Option<String>,
    /// `stop_grace_sec`: how long it may take then.
    pub stop_grace_sec: Option<u32>,
    /// `quiet_sec`: the longest normal silence.
    pub quiet_sec: Option<u32>,
    /// `retry_sec`: how long its own retries last.
    pub retry_sec: Option<u32>,
}

/// The names of the fields.
pub const FIELDS: &[&str] = &[
    "programs",
    "agent",
    "mode",
    "prompt",
    "start",
    "resume",
    "fresh",
    "transcript",
    "stop_signal",
    "stop_to",
    "stop_grace_sec",
    "quiet_sec",
    "retry_sec",
];

/// The words of `mode`.
pub const MODES: &[&str] = &["text", "json", "stream-json", "interactive"];

/// The words of `stop_to`.
pub const STOP_TO: &[&str] = &["process", "group", "tree"];

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field.
    pub field: &'static str,
    /// What is wrong, as a fragment.
    pub cause: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How long the first signal may take if nothing is said, in seconds.
const DEFAULT_GRACE_SEC: u32 = 10;

/// Where the first prompt is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PromptAt {
    Stdin,
    Last,
    Option(String),
}

/// A profile that a user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomProfile {
    name: String,
    programs: Vec<String>,
    agent: Option<String>,
    mode: Mode,
    prompt: PromptAt,
    start: Option<Vec<String>>,
    resume: Option<Vec<String>>,
    fresh: Option<Vec<String>>,
    transcript: Option<String>,
    stop: Vec<StopStep>,
    silence: Silence,
}

impl CustomProfile {
    /// Checks the fields.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn new(name: &str, fields: CustomFields) -> Result<Self, FieldError> {
        let wrong = |field, cause: String, hint: Option<&str>| FieldError {
            field,
            cause,
            hint: hint.map(str::to_owned),
        };
        if let Some(path) = fields.programs.iter().find(|name| {
            name.is_empty()
                || name.contains(char::is_whitespace)
                || (name.contains('/') && !name.starts_with('@'))
        }) {
            let hint = "give the base name, without folders and arguments";
            return Err(wrong("programs", format!("`{path}` is no name of a program"), Some(hint)));
        }
        let mode = match fields.mode.as_deref() {
            None | Some("text") => Mode::Text,
            Some("json") => Mode::Json,
            Some("stream-json") => Mode::StreamJson,
            Some("interactive") => Mode::Interactive,
            Some(other) => return Err(wrong("mode", one_of(other, MODES), None)),
        };
        let prompt = match fields.prompt.as_deref() {
            None | Some("stdin") => PromptAt::Stdin,
            Some("last") => PromptAt::Last,
            Some(option) if option.starts_with('-') && !option.contains(['=', ' ']) => {
                PromptAt::Option(option.to_owned())
            }
            Some(other) => {
                let cause = format!("must be \"stdin\", \"last\" or the name of an option, not \"{other}\"");
                return Err(wrong("prompt", cause, None));
            }
        };
        check_template("start", fields.start.as_deref(), &["{session}"], &["{prompt}"])?;
        check_template("resume", fields.resume.as_deref(), &["{prompt}"], &[])?;
        check_template("fresh", fields.fresh.as_deref(), &["{prompt}"], &["{session}"])?;
        let signal = match fields.stop_signal.as_deref() {
            None => Signal::Term,
            Some(name) => Signal::from_name(name).ok_or_else(|| {
                let names: Vec<&str> = Signal::NAMES.iter().map(|(name, _)| *name).collect();
                wrong("stop_signal", one_of(name, &names), None)
            })?,
        };
        let target = match fields.stop_to.as_deref() {
            None | Some("group") => Target::Group,
            Some("process") => Target::Process,
            Some("tree") => Target::Tree,
            Some(other) => return Err(wrong("stop_to", one_of(other, STOP_TO), None)),
        };
        let wait_sec = fields.stop_grace_sec.unwrap_or(DEFAULT_GRACE_SEC);
        Ok(Self {
            name: name.to_owned(),
            programs: fields.programs,
            agent: fields.agent,
            mode,
            prompt,
            start: fields.start,
            resume: fields.resume,
            fresh: fields.fresh,
            transcript: fields.transcript,
            stop: vec![
                StopStep { signal, target, wait_sec },
                StopStep { signal: Signal::Kill, target: Target::Tree, wait_sec: 0 },
            ],
            silence: Silence {
                normal_sec: fields.quiet_sec,
                own_retries_sec: Some(fields.retry_sec.unwrap_or(0)),
            },
        })
    }

    /// Returns the format of its output; `None` if it is found by looking at it.
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// The arguments without the first prompt, and the prompt if it is one of them.
    fn split_prompt(&self, arguments: &[String]) -> (Vec<String>, Option<String>) {
        match &self.prompt {
            PromptAt::Stdin => (arguments.to_vec(), None),
            PromptAt::Last => match arguments.split_last() {
                Some((last, rest)) if !last.starts_with('-') => (rest.to_vec(), Some(last.clone())),
                _ => (arguments.to_vec(), None),
            },
            PromptAt::Option(option) => {
                let (mut rest, mut prompt) = (Vec::new(), None);
                let mut words = arguments.iter();
                while let Some(word) = words.next() {
                    if word == option {
                        prompt = words.next().cloned();
                    } else if let Some(value) = word.strip_prefix(&format!("{option}=")) {
                        prompt = Some(value.to_owned());
                    } else {
                        rest.push(word.clone());
                    }
                }
                (rest, prompt)
            }
        }
    }

    fn fill(&self, template: &[String], arguments: &[String], session: &str, prompt: &str) -> Vec<String> {
        let (rest, _) = self.split_prompt(arguments);
        let mut words = Vec::new();
        for word in template {
            if word == "{args}" {
                words.extend(rest.iter().cloned());
            } else {
                words.push(fill_word(word, session, prompt));
            }
        }
        words
    }
}

/// Fills in what a word of a template leaves open. What is filled in is not looked at again.
fn fill_word(word: &str, session: &str, prompt: &str) -> String {
    let mut result = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{session}") {
            result.push_str(session);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{prompt}") {
            result.push_str(prompt);
            rest = after;
        } else {
            result.push('{');
            rest = &rest[1..];
        }
    }
    result + rest
}

fn one_of(word: &str, words: &[&str]) -> String {
    format!("must be one of {}, not \"{word}\"", words.join(", "))
}

fn check_template(
    field: &'static str,
    template: Option<&[String]>,
    needed: &[&str],
    forbidden: &[&str],
) -> Result<(), FieldError> {
    let Some(template) = template else { return Ok(()) };
    let wrong = |cause: String, hint: Option<String>| Err(FieldError { field, cause, hint });
    let hint = "the template leaves open {args}, {session} and {prompt}; each word of it is one argument";
    for word in template {
        for (at, _) in word.match_indices('{') {
            let Some(length) = word[at..].find('}') else { continue };
            let name = &word[at..=at + length];
            let is_name = name[1..name.len() - 1].chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if is_name && name.len() > 2 && !matches!(name, "{args}" | "{session}" | "{prompt}") {
                return wrong(format!("there is no `{name}`"), Some(hint.to_owned()));
            }
        }
        if word.contains("{args}") && word != "{args}" {
            return wrong("`{args}` must be a word of its own".to_owned(), Some(hint.to_owned()));
        }
    }
    if let Some(name) = needed.iter().find(|name| !template.iter().any(|word| word.contains(**name))) {
        return wrong(format!("it has no `{name}`"), Some(hint.to_owned()));
    }
    match forbidden.iter().find(|name| template.iter().any(|word| word.contains(**name))) {
        Some(name) => wrong(format!("there is no `{name}` to fill in here"), None),
        None => Ok(()),
    }
}

impl Profile for CustomProfile {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_named(&self, name: &str) -> bool {
        self.programs.iter().any(|program| program == name)
    }

    fn read(&self, arguments: &[String], terminals: Terminals) -> Invocation {
        let (_, prompt) = self.split_prompt(arguments);
        Invocation {
            mode: self.mode,
            prompt: match self.mode {
                Mode::Interactive => prompt.map_or(Prompt::None, Prompt::Argument),
                _ => prompt_of(prompt, terminals),
            },
            asked: Asked::New,
            model: None,
            directory: None,
            kept: self.resume.is_some(),
            doubtful: None,
        }
    }

    fn prepare(&self, arguments: &[String], _: &Invocation, uuid: &str) -> Option<Vec<String>> {
        let template = self.start.as_ref()?;
        // The first prompt stays where it is: `{args}` has it here.
        Some(template.iter().fold(Vec::new(), |mut words, word| {
            if word == "{args}" {
                words.extend(arguments.iter().cloned());
            } else {
                words.push(fill_word(word, uuid, ""));
            }
            words
        }))
    }

    fn resume(&self, call: &Call<'_>, session: &SessionRef, prompt: &str) -> Result<Rewritten, Unable> {
        refuse_unresumable(call)?;
        let template = self.resume.as_ref().ok_or_else(|| Unable::new("its profile has no `resume`"))?;
        let names_it = template.iter().any(|word| word.contains("{session}"));
        let id = match session {
            SessionRef::Id(id) => id.as_str(),
            SessionRef::Latest if names_it => return Err(Unable::new("the id of its session is not known")),
            SessionRef::Latest => "",
        };
        let arguments = self.fill(template, call.arguments, id, prompt);
        Ok(Rewritten { arguments, stdin: stdin_for(call.invocation.mode), session: None })
    }

    fn fresh(&self, call: &Call<'_>, prompt: &str, _: &str) -> Result<Rewritten, Unable> {
        refuse_unfresh(call)?;
        let template = self.fresh.as_ref().ok_or_else(|| Unable::new("its profile has no `fresh`"))?;
        let arguments = self.fill(template, call.arguments, "", prompt);
        Ok(Rewritten { arguments, stdin: stdin_for(call.invocation.mode), session: None })
    }

    fn transcript(
        &self,
        surroundings: &Surroundings<'_>,
        _: &Invocation,
        session: Option<&str>,
    ) -> Option<Transcript> {
        let pattern = self.transcript.as_ref()?;
        if session.is_none() && pattern.contains("{session}") {
            return None;
        }
        let filled = fill_word(pattern, session.unwrap_or_default(), "");
        let path = match (filled.strip_prefix("~/"), surroundings.home) {
            (Some(rest), Some(home)) => home.join(rest),
            (Some(_), None) => return None,
            (None, _) => surroundings.cwd.join(filled),
        };
        let is_pattern = path.to_string_lossy().contains(['*', '?']);
        Some(if is_pattern {
            Transcript::Pattern(path.to_string_lossy().into_owned())
        } else {
            Transcript::File(path)
        })
    }

    fn stop(&self, _: Mode) -> Vec<StopStep> {
        self.stop.clone()
    }

    fn silence(&self, _: Mode) -> Silence {
        self.silence
    }

    fn fix(&self, class: Class) -> String {
        plain_fix(&self.name, class)
    }
}
