//! What a call of a tool does: to the world, to the clock, and which part of its arguments is the question.
//!
//! Names and arguments of tools are those that agents give to models; several agents share them, so they stand here
//! and not in the formats. A tool that nobody knows is taken to run something ([`Effect::Exec`]).

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::mask::{hash, mix};
use crate::engine::json;

/// What a step does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes files.
    Mutate,
    /// It looks at what is there.
    Read,
    /// It runs something, which may or may not change things.
    Exec,
    /// It waits, or asks how something is doing that goes on by itself.
    Wait,
    /// It hands work to a sub-agent.
    Delegate,
    /// It changes nothing but what the agent knows: plans, notes, questions.
    Talk,
}

impl Effect {
    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Read => "read",
            Self::Exec => "exec",
            Self::Wait => "wait",
            Self::Delegate => "delegate",
            Self::Talk => "talk",
        }
    }
}

/// A change of a file, as far as a call tells: from one text to another, or to a whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Some text is replaced by another; their hashes.
    Replace(u64, u64),
    /// The whole content is given; its hash.
    Whole(u64),
    /// Nothing is told but the call.
    Unknown,
}

/// A part of a file that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first line, counted from 0.
    pub first: u32,
    /// How many lines.
    pub lines: u32,
}

/// A call, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What it does.
    pub effect: Effect,
    /// The tool's name, hashed.
    pub tool: u64,
    /// The question: the tool and those of its arguments that matter to the answer.
    pub question: u64,
    /// The file that it reads or changes, hashed.
    pub path: Option<u64>,
    /// The part of the file that it reads; `None`: all of it.
    pub range: Option<Range>,
    /// What it changes the file to.
    pub change: Change,
    /// What a sub-agent is told.
    pub task: Option<String>,
    /// The call in a few words, for a person: not yet redacted, not yet stripped of control sequences.
    pub label: String,
}

/// How many characters of a call a label shows.
const LABEL: usize = 80;

/// How many lines a tool for reading shows where nobody says how many: what Claude Code and Gemini CLI show.
const DEFAULT_LINES: u32 = 2000;

/// Declares a function that says what the tools of these names do: compared as constants, not read from a list.
macro_rules! tools {
    ($($effect:ident: $($name:literal)+;)+) => {
        fn listed(name: &str) -> Option<Effect> {
            match name {
                $($($name)|+ => Some(Effect::$effect),)+
                _ => None,
            }
        }
    };
}

// Names are compared in lower case, without `_`, `-` and what stands before the last `__` or `.`.
tools! {
    Read:
        "read" "readfile" "readmanyfiles" "view" "viewimage" "cat" "open" "openfile" "glob" "grep" "greptool"
        "search" "searchfiles" "searchfilecontent" "grepsearch" "filesearch" "codebasesearch" "semanticsearch"
        "ls" "list" "listdir" "listdirectory" "listfiles" "find" "findfiles" "webfetch" "websearch"
        "googlewebsearch" "fetch" "notebookread" "gotodefinition" "findreferences" "getdiagnostics"
        "readlints" "lsp" "toolsearch";
    Mutate:
        "edit" "multiedit" "write" "writefile" "createfile" "create" "replace" "replaceinfile" "strreplace"
        "strreplaceeditor" "strreplacebasededittool" "applypatch" "applydiff" "patch" "notebookedit"
        "editfile" "insert" "insertcontent" "searchreplace" "deletefile" "delete" "writetofile" "undoedit"
        "texteditor";
    Wait:
        "bashoutput" "taskoutput" "wait" "sleep" "waitagent" "readoutput" "getoutput" "getterminaloutput"
        "poll" "waitforoutput" "monitor" "readbash" "agentoutput" "taskget" "getprocessoutput" "readprocess";
    Delegate:
        "task" "agent" "spawnagent" "delegate" "delegatetoagent" "codebaseinvestigator" "subagent" "newtask";
    Talk:
        "todowrite" "todoread" "updateplan" "writetodos" "think" "exitplanmode" "enterplanmode" "askuser"
        "askuserquestion" "askfollowupquestion" "savememory" "taskcreate" "taskupdate" "tasklist"
        "attemptcompletion" "reporintent" "reportintent" "updatetopic" "thought" "sequentialthinking" "finish"
        "skill" "slashcommand";
}

/// Arguments that say why, how long or how patiently something is asked, and not what.
const ASIDES: &[&str] = &[
    "description",
    "explanation",
    "justification",
    "reason",
    "purpose",
    "thought",
    "timeout",
    "timeout_ms",
    "timeout_sec",
    "yield_time_ms",
    "max_output_tokens",
    "is_background",
    "run_in_background",
    "tool_call_id",
    "_meta",
    "security_risk",
    "summary",
    "with_escalated_permissions",
    "sandbox_permissions",
    "prefix_rule",
    "dir_path_note",
    "instruction",
    "task_progress",
];

/// The lengths of these, a bit each: most names have another.
const ASIDE_LENGTHS: u64 = {
    let (mut all, mut at) = (0, 0);
    while at < ASIDES.len() {
        all |= 1 << ASIDES[at].len();
        at += 1;
    }
    all
};

fn is_aside(name: &str) -> bool {
    if name.len() >= 64 || ASIDE_LENGTHS >> name.len() & 1 == 0 {
        return false;
    }
    ASIDES.iter().any(|aside| aside.len() == name.len() && aside.eq_ignore_ascii_case(name))
}

/// Arguments that name the file.
const PATHS: &[&str] = &[
    "file_path",
    "filepath",
    "absolute_path",
    "path",
    "notebook_path",
    "target_file",
    "filename",
    "file",
    "abs_path",
];

/// Arguments that hold a command line.
const COMMANDS: &[&str] = &["command", "cmd", "script", "code", "shell_command"];

/// Arguments that hold a patch.
const PATCHES: &[&str] = &["patch", "input", "diff", "command", "patch_text", "patchtext"];

/// Arguments that hold the text that is replaced.
const OLD: &[&str] = &["old_string", "old_str", "oldtext", "old_text", "search"];

/// Arguments that hold the text that takes its place.
const NEW: &[&str] = &["new_string", "new_str", "newtext", "new_text", "replace"];

/// Arguments that hold the whole new text of a file.
const WHOLE: &[&str] = &["content", "file_text", "contents", "text"];

/// The arguments of a call, one after the other.
struct Arguments<'a> {
    all: Vec<(Cow<'a, str>, &'a str)>,
    /// The lengths of their names, a bit each: most names that are asked for are of none.
    lengths: u64,
}

impl<'a> Arguments<'a> {
    /// Reads them, if they are an object.
    fn read(input: &'a str) -> Option<Self> {
        let mut arguments = Self { all: Vec::new(), lengths: 0 };
        json::members(input, |name, value| {
            if arguments.all.len() < 64 {
                arguments.lengths |= 1 << name.len().min(63);
                arguments.all.push((name, value));
            }
        })
        .ok()?;
        Some(arguments)
    }

    fn get(&self, names: &[&str]) -> Option<&'a str> {
        let value = |name: &&str| {
            let same = |(key, _): &&(Cow<'_, str>, &str)| key.eq_ignore_ascii_case(name);
            self.all.iter().find(same).map(|(_, value)| *value)
        };
        names.iter().filter(|name| self.lengths >> name.len() & 1 == 1).find_map(value)
    }

    fn text(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        json::string(self.get(names)?)
    }

    /// Returns the hash of a string as it is written: the same for the same text, as one agent writes it.
    fn written(&self, names: &[&str]) -> Option<u64> {
        let notation = self.get(names)?;
        Some(hash(notation.strip_prefix('"')?.strip_suffix('"')?))
    }

    fn number(&self, names: &[&str]) -> Option<u32> {
        let value = self.get(names)?;
        value.trim_matches('"').parse::<f64>().ok().filter(|value| *value >= 0.0).map(|value| value as u32)
    }

    /// Returns the command line: one string, or a list whose last item is what a shell is given.
    fn command(&self) -> Option<Cow<'a, str>> {
        let value = self.get(COMMANDS)?;
        if let Some(text) = json::string(value) {
            return Some(text);
        }
        let words: Vec<Cow<'a, str>> = json::from_str::<Vec<&'a RawValue>>(value)
            .ok()?
            .iter()
            .filter_map(|word| json::string(word.get()))
            .collect();
        match &words[..] {
            [shell, flag, script] if flag.starts_with('-') && shell.ends_with("sh") => {
                Some(script.clone().into_owned().into())
            }
            words => Some(words.join(" ").into()),
        }
    }

    /// Returns what a tool that nobody knows does, as far as its arguments tell.
    fn effect(&self) -> Effect {
        let has = |names: &[&str]| self.get(names).is_some();
        if has(PATHS) && (has(OLD) || has(WHOLE)) {
            Effect::Mutate
        } else if has(PATHS) || has(&["pattern", "query", "regex", "url"]) {
            Effect::Read
        } else {
            Effect::Exec
        }
    }

    /// Returns a hash that does not depend on the order of the arguments, nor on the white space between them.
    fn hash(&self) -> u64 {
        self.all
            .iter()
            .filter(|(key, _)| !is_aside(key))
            .map(|(key, value)| mix(hash(key), hash(value)))
            .fold(0, u64::wrapping_add)
    }
}

/// Returns a tool's name as tools are listed: in lower case, without what joins its words, without the name of the server
/// that it comes from.
fn short(name: &str) -> String {
    let server = name.as_bytes().windows(2).rposition(|pair| pair == b"__");
    let name = server.map_or(name, |at| &name[at + 2..]);
    let word = name.as_bytes().iter().rposition(|byte| *byte == b'.');
    let name = word.map_or(name, |at| &name[at + 1..]);
    let mut short = String::with_capacity(name.len());
    if name.is_ascii() {
        let letters = name.bytes().filter(|letter| !matches!(letter, b'_' | b'-' | b' '));
        short.extend(letters.map(|letter| char::from(letter.to_ascii_lowercase())));
        return short;
    }
    for letter in name.chars().filter(|letter| !matches!(letter, '_' | '-' | ' ')) {
        if letter.is_ascii() {
            short.push(letter.to_ascii_lowercase());
        } else {
            short.extend(letter.to_lowercase());
        }
    }
    short
}

/// Returns what a call does.
pub fn read(name: &str, input: &str) -> Call {
    let short = short(name);
    let listed = listed(&short);
    let tool = hash(&short);
    let Some(arguments) = Arguments::read(input) else {
        let command = listed.is_none().then_some(input);
        let effect = listed.unwrap_or_else(|| command_effect(input));
        let range = None;
        let question = mix(tool, hash(input.trim()));
        let path = command.and_then(read_path);
        let (mut path, range) = path.map_or((None, range), |(path, range)| (Some(hash(path)), range));
        // A patch that is no JSON: the lines that it takes and those that it brings.
        let change = if effect == Effect::Mutate { patch(input) } else { Change::Unknown };
        if effect == Effect::Mutate {
            path = patched(input).map(hash);
        }
        return Call { effect, tool, question, path, range, change, task: None, label: label(name, input) };
    };
    let command = if listed.is_none() || short == "applypatch" { arguments.command() } else { None };
    let mut effect = listed.unwrap_or_else(|| match command.as_deref() {
        Some(command) => command_effect(command),
        None => arguments.effect(),
    });
    // One tool that reads and changes, as its `command` says.
    if effect == Effect::Mutate && arguments.text(&["command"]).is_some_and(|command| command == "view") {
        effect = Effect::Read;
    }
    // To write nothing to a running program is to ask what it has printed.
    if matches!(short.as_str(), "writestdin" | "sendinput")
        && arguments.text(&["chars", "input"]).is_none_or(|chars| chars.trim().is_empty())
    {
        effect = Effect::Wait;
    }
    let path = arguments.text(PATHS);
    let mut range = match (
        arguments.number(&["offset", "start_line", "startline"]),
        arguments.number(&["limit", "end_line", "endline"]),
    ) {
        (None, None) => None,
        (first, last) => {
            let first = first.unwrap_or(0);
            let ends = arguments.get(&["end_line", "endline"]).is_some();
            let lines =
                last.map_or(DEFAULT_LINES, |last| if ends { (last + 1).saturating_sub(first) } else { last });
            Some(Range { first, lines })
        }
    };
    let mut path_hash = path.as_deref().map(hash);
    if effect == Effect::Read
        && path_hash.is_none()
        && let Some((path, part)) = command.as_deref().and_then(read_path)
    {
        path_hash = Some(hash(path));
        range = part;
    }
    let change = match effect {
        Effect::Mutate => change(&arguments),
        _ => Change::Unknown,
    };
    if effect == Effect::Mutate && path_hash.is_none() {
        path_hash = arguments.text(PATCHES).as_deref().and_then(patched).map(hash);
    }
    let task = (effect == Effect::Delegate)
        .then(|| {
            arguments
                .text(&["prompt", "task", "objective", "message", "instructions", "query"])
                .map(Cow::into_owned)
        })
        .flatten();
    let shown = command.as_deref().or(path.as_deref()).or(task.as_deref()).unwrap_or(input);
    let label = label(name, shown);
    Call { effect, tool, question: mix(tool, arguments.hash()), path: path_hash, range, change, task, label }
}

/// Returns the argument that says what a call is about: the command line, else the file, else what is searched or
/// fetched, else all that the tool was given.
pub fn argument(input: &str) -> Cow<'_, str> {
    let arguments = Arguments::read(input);
    let of = |arguments: &Arguments<'_>| {
        let text = arguments.command().or_else(|| arguments.text(PATHS));
        let text = text.or_else(|| arguments.text(&["url", "pattern", "query", "regex"]));
        text.map(Cow::into_owned)
    };
    arguments.as_ref().and_then(of).map_or(Cow::Borrowed(input), Cow::Owned)
}

fn label(name: &str, shown: &str) -> String {
    // No line of more bytes than this shows them all.
    let most = LABEL * 4;
    let shown = shown.trim();
    let mut end = shown.len().min(most);
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    let shown = &shown[..end];
    let line = memchr::memchr(b'\n', shown.as_bytes()).map_or(shown, |end| &shown[..end]);
    let line = line.strip_suffix('\r').filter(|_| line.len() < shown.len()).unwrap_or(line);
    let mut label = String::with_capacity(name.len() + 1 + line.len());
    label.push_str(name);
    label.push(' ');
    label.push_str(line);
    if label.len() > LABEL
        && let Some((end, _)) = label.char_indices().nth(LABEL)
    {
        label.truncate(end);
        label.push('…');
    }
    label
}

fn change(arguments: &Arguments<'_>) -> Change {
    let (old, new) = (arguments.written(OLD), arguments.written(NEW));
    if let (Some(old), Some(new)) = (old, new) {
        return Change::Replace(old, new);
    }
    if let Some(whole) = arguments.written(WHOLE) {
        return Change::Whole(whole);
    }
    match arguments.text(PATCHES) {
        Some(text) => patch(&text),
        None => Change::Unknown,
    }
}

/// Returns the file that a patch changes, the first of several.
fn patched(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let file = line.strip_prefix("*** ")?;
        ["Update File: ", "Add File: ", "Delete File: "].iter().find_map(|mark| file.strip_prefix(mark))
    })
}

/// Returns the change that a patch makes: the lines that it takes away, and those that it brings.
fn patch(text: &str) -> Change {
    let side = |mark: char| {
        text.lines()
            .filter(|line| line.starts_with(mark) && !line.starts_with("+++") && !line.starts_with("---"))
            .map(|line| hash(&line[1..]))
            .fold(None, |all: Option<u64>, line| Some(mix(all.unwrap_or(0), line)))
    };
    match (side('-'), side('+')) {
        (None, None) => Change::Unknown,
        (old, new) => Change::Replace(old.unwrap_or(0), new.unwrap_or(0)),
    }
}

/// Whether a command only looks.
fn only_looks(verb: &str) -> bool {
    matches!(
        verb,
        "cat"
            | "ls"
            | "grep"
            | "rg"
            | "egrep"
            | "fgrep"
            | "head"
            | "find"
            | "fd"
            | "wc"
            | "pwd"
            | "which"
            | "file"
            | "stat"
            | "tree"
            | "less"
            | "more"
            | "nl"
            | "diff"
            | "cmp"
            | "du"
            | "df"
            | "echo"
            | "printf"
            | "env"
            | "date"
            | "whoami"
            | "type"
            | "awk"
            | "jq"
            | "sort"
            | "uniq"
            | "cut"
            | "tr"
            | "cd"
            | "realpath"
            | "dirname"
            | "basename"
            | "xxd"
            | "od"
            | "strings"
            | "ag"
            | "column"
            | "true"
            | "test"
            | "["
    )
}

/// Whether a command changes files.
fn changes_files(word: &str) -> bool {
    matches!(
        word,
        "rm" | "mv"
            | "cp"
            | "mkdir"
            | "touch"
            | "tee"
            | "ln"
            | "chmod"
            | "chown"
            | "patch"
            | "apply_patch"
            | "dd"
            | "truncate"
            | "unzip"
            | "rsync"
    )
}

/// What git does that changes nothing.
const GIT_LOOKS: &[&str] = &[
    "status",
    "log",
    "diff",
    "show",
    "branch",
    "blame",
    "ls-files",
    "grep",
    "rev-parse",
    "remote",
    "describe",
    "reflog",
    "shortlog",
];

/// Commands that ask how something is doing that goes on by itself, by their first words.
const POLLS: &[&[&str]] = &[
    &["sleep"],
    &["wait"],
    &["gh", "run"],
    &["gh", "pr", "checks"],
    &["gh", "workflow"],
    &["glab", "ci"],
    &["kubectl", "get"],
    &["kubectl", "rollout"],
    &["kubectl", "wait"],
    &["kubectl", "logs"],
    &["squeue"],
    &["sacct"],
    &["docker", "ps"],
    &["docker", "logs"],
    &["docker", "wait"],
    &["systemctl", "status"],
    &["tail"],
    &["ps"],
    &["pgrep"],
    &["jobs"],
    &["nvidia-smi"],
    &["tmux", "capture-pane"],
    &["journalctl"],
    &["bjobs"],
    &["qstat"],
    &["watch"],
    &["inotifywait"],
    &["kubectl", "describe"],
    &["docker", "inspect"],
    &["docker", "compose", "ps"],
    &["docker", "compose", "logs"],
    &["systemctl", "is-active"],
    &["pg_isready"],
    &["nc", "-z"],
];

/// How addresses end at which a service says whether it is up.
const HEALTH: &[&str] =
    &["/health", "/healthz", "/healthcheck", "/ready", "/readyz", "/live", "/livez", "/ping", "/status"];

/// Whether it is the command line of a cloud, which waits or asks by one of its other words.
fn is_cloud(word: &str) -> bool {
    matches!(word, "aws" | "gcloud" | "az" | "fly" | "vercel" | "heroku" | "oc")
}

/// Whether a word in front of a command leaves it what it is.
fn is_front(word: &str) -> bool {
    matches!(
        word,
        "sudo"
            | "time"
            | "nohup"
            | "do"
            | "then"
            | "else"
            | "("
            | "{"
            | "if"
            | "while"
            | "until"
            | "!"
            | "exec"
            | "command"
            | "stdbuf"
            | "nice"
            | "env"
    )
}

/// Returns the first letters of commands, a bit each: most words are told by them to be none of these.
const fn initials(commands: &[&[&str]]) -> u128 {
    let (mut all, mut at) = (0, 0);
    while at < commands.len() {
        all |= 1 << (commands[at][0].as_bytes()[0] & 0x7f);
        at += 1;
    }
    all
}

/// How [`POLLS`] begin.
const POLL_INITIALS: u128 = initials(POLLS);

/// Returns the parts between these bytes, which are ASCII.
fn parts(text: &str, ends: impl Fn(u8) -> bool) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.bytes().position(&ends);
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

/// Appends the words of a part of a command line.
fn words<'t>(part: &'t str, words: &mut Vec<&'t str>) {
    if part.is_ascii() {
        words.extend(parts(part, |byte| matches!(byte, 9..=13 | b' ')).filter(|word| !word.is_empty()));
    } else {
        words.extend(part.split_whitespace());
    }
}

/// Returns what a command line does: waiting wins over changing, changing over running, running over looking.
fn command_effect(line: &str) -> Effect {
    let (line, quoted) = unquoted(line);
    let (mut waits, mut changes, mut runs) = (false, false, false);
    let mut quotes = &quoted[..];
    let mut all = Vec::with_capacity(16);
    let may_redirect = memchr::memchr(b'>', line.as_bytes()).is_some();
    for pipeline in parts(&line, |byte| matches!(byte, b'\n' | b';' | b'&')) {
        for (place, part) in parts(pipeline, |byte| byte == b'|').enumerate() {
            let here = part.bytes().filter(|byte| *byte == QUOTED as u8).count().min(quotes.len());
            let quotes = quotes.split_off(..here).unwrap_or_default();
            all.clear();
            self::words(part, &mut all);
            let mut words = &all[..];
            while let Some((first, rest)) = words.split_first() {
                let assigns = !first.starts_with(['-', '/']) && first.as_bytes().contains(&b'=');
                let limits = *first == "timeout";
                if !(assigns || limits || is_front(first)) {
                    break;
                }
                words = if limits { rest.get(1..).unwrap_or_default() } else { rest };
            }
            let Some(first) = words.first() else { continue };
            let verb = first.rsplit('/').next().unwrap_or(first);
            let begins = |with: &&[&str]| {
                verb == with[0] && words.len() >= with.len() && words[1..with.len()] == with[1..]
            };
            let has = |wanted: &[&str]| {
                words.iter().any(|word| wanted.iter().any(|wanted| word.starts_with(wanted)))
            };
            let asks_health = |word: &str| {
                let address = word.split(['?', '#']).next().unwrap_or(word).trim_end_matches('/');
                HEALTH.iter().any(|end| address.ends_with(end))
            };
            let polls = || {
                let initial = verb.as_bytes().first().map_or(0, |byte| byte & 0x7f);
                POLL_INITIALS >> initial & 1 == 1 && POLLS.iter().any(begins)
            };
            // What another machine is told to do is quoted as a whole.
            let remote = verb == "ssh" && !quotes.is_empty();
            if remote || (matches!(verb, "bash" | "sh" | "zsh") && has(&["-c", "-lc", "-ic"])) {
                match quotes.last().map(|script| command_effect(script)) {
                    Some(Effect::Wait) => waits = true,
                    Some(Effect::Mutate) => changes = true,
                    Some(Effect::Read) => {}
                    _ => runs = true,
                }
            } else if place > 0 {
                // What stands behind a bar filters, as a rule.
                changes |= matches!(verb, "tee" | "xargs") && !begins(&&["tee", "/dev/null"][..]);
                runs |= !only_looks(verb) && !matches!(verb, "tail" | "sed" | "tee" | "xargs" | "perl");
            } else if polls()
                || (is_cloud(verb) && has(&["describe", "wait", "get", "list", "status", "logs", "show"]))
                || (matches!(verb, "curl" | "wget")
                    && words.iter().chain(quotes).any(|word| asks_health(word)))
            {
                waits = true;
            } else if verb == "git" {
                let sub = words[1..]
                    .iter()
                    .find(|word| !word.starts_with('-') && !word.contains('/') && **word != ".");
                changes |= !GIT_LOOKS.contains(sub.unwrap_or(&"status"));
            } else if changes_files(verb) || (matches!(verb, "sed" | "perl" | "ruby") && has(&["-i"])) {
                changes = true;
            } else if !only_looks(verb) && verb != "sed" && !matches!(verb, "done" | "fi" | "for" | "}" | ")")
            {
                runs = true;
            }
            changes |= may_redirect && redirects(part);
        }
    }
    match (waits, changes, runs) {
        (true, ..) => Effect::Wait,
        (_, true, _) => Effect::Mutate,
        (.., true) => Effect::Exec,
        _ => Effect::Read,
    }
}

/// What stands for a quoted text.
const QUOTED: char = '\u{1}';

/// Returns a command line with what is quoted in it set aside, and without redirections from one output to the other
/// and what it writes in place.
fn unquoted(line: &str) -> (Cow<'_, str>, Vec<&str>) {
    let document = memchr::memchr_iter(b'<', line.as_bytes()).find(|at| line[at + 1..].starts_with('<'));
    let line = document.map_or(line, |end| &line[..end]);
    let mut bare = Cow::Borrowed(line);
    let mut quoted = Vec::new();
    if memchr::memchr2(b'\'', b'"', line.as_bytes()).is_some() {
        let mut outside = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(at) = memchr::memchr2(b'\'', b'"', rest.as_bytes()) {
            let mark = rest.as_bytes()[at];
            outside.push_str(&rest[..at]);
            let inside = &rest[at + 1..];
            // An escaped quotation mark inside of double ones ends nothing.
            let end = memchr::memchr_iter(mark, inside.as_bytes())
                .find(|end| mark == b'\'' || !inside[..*end].ends_with('\\'))
                .unwrap_or(inside.len());
            quoted.push(&inside[..end]);
            outside.push(QUOTED);
            rest = inside.get(end + 1..).unwrap_or("");
        }
        outside.push_str(rest);
        bare = Cow::Owned(outside);
    }
    if memchr::memchr2(b'>', b'\\', bare.as_bytes()).is_none() {
        return (bare, quoted);
    }
    for (apart, plain) in [("2>&1", ""), ("1>&2", ""), (">&2", ""), ("&>", ">"), ("2>", ">"), ("\\\n", " ")] {
        if bare.contains(apart) {
            bare = Cow::Owned(bare.replace(apart, plain));
        }
    }
    (bare, quoted)
}

/// Whether a command's output goes to a file.
fn redirects(part: &str) -> bool {
    part.split_once('>').is_some_and(|(before, after)| {
        let to = after.trim_start_matches('>').trim_start();
        !before.ends_with(['-', '='])
            && !to.is_empty()
            && !to.starts_with(['&', '(', '='])
            && !to.starts_with("/dev/")
    })
}

/// Returns the file that a command line shows, and the part of it: `cat x`, `sed -n '1,40p' x`, `head -n 20 x`.
fn read_path(line: &str) -> Option<(&str, Option<Range>)> {
    let last = memchr::memrchr_iter(b'&', line.as_bytes()).find(|at| line[..*at].ends_with('&'));
    let line = last.map_or(line, |at| &line[at + 1..]);
    let line = parts(line, |byte| matches!(byte, b'|' | b';' | b'\n')).next()?.trim();
    if !["cat", "nl", "sed", "head"].iter().any(|verb| line.starts_with(verb)) {
        return None;
    }
    let mut words = line.split_whitespace();
    let verb = words.next()?;
    let path = words.next_back()?;
    if path.starts_with('-') {
        return None;
    }
    match verb {
        "cat" | "nl" => Some((path, None)),
        "sed" if line.contains(" -n") => {
            let range = line.split(['\'', '"', ' ']).find_map(|word| {
                let (first, last) = word.strip_suffix('p')?.split_once(',')?;
                let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
                Some(Range { first: first.saturating_sub(1), lines: (last + 1).saturating_sub(first) })
            })?;
            Some((path, Some(range)))
        }
        "head" => {
            let lines = line
                .split_whitespace()
                .find_map(|word| word.trim_start_matches("-n").trim_start_matches('-').parse().ok());
            Some((path, Some(Range { first: 0, lines: lines.unwrap_or(10) })))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_by_what_it_does() {
        for (line, effect) in [
            ("cat src/main.rs", Effect::Read),
            ("cd /srv && rg -n foo | head -20", Effect::Read),
            ("git status --short", Effect::Read),
            ("git -C /x log", Effect::Read),
            ("git checkout -- x", Effect::Mutate),
            ("cargo test 2>&1 | tail -40", Effect::Exec),
            ("cargo test 2>&1", Effect::Exec),
            ("echo x | python y.py", Effect::Exec),
            ("ls | sort | uniq -c", Effect::Read),
            ("npm run lint > /dev/null", Effect::Exec),
            ("npm run lint 2>/dev/null", Effect::Exec),
            ("echo x > y", Effect::Mutate),
            ("echo 'a > b; sleep 3'", Effect::Read),
            ("bash -lc 'sleep 5; ls'", Effect::Wait),
            ("bash -lc \"cargo test\"", Effect::Exec),
            ("cat > x <<'EOF'\nsleep 5\nEOF", Effect::Mutate),
            ("sed -i s/a/b/ x", Effect::Mutate),
            ("sed -n 1,40p x", Effect::Read),
            ("sleep 60; gh run view 12", Effect::Wait),
            ("timeout 60 cargo build", Effect::Exec),
            ("FOO=1 python x.py", Effect::Exec),
            ("aws logs tail x", Effect::Wait),
            ("aws s3 cp a b", Effect::Exec),
            ("ssh web1 'tail -n 3 /var/log/nginx/access.log'", Effect::Wait),
            ("ssh -p 22 web1 \"rm -rf build\"", Effect::Mutate),
            ("ssh web1 uptime", Effect::Exec),
            ("curl -sf http://api.local/health", Effect::Wait),
            ("curl -s -o /dev/null -w '%{http_code}' 'http://api.local/readyz?full=1'", Effect::Wait),
            ("curl -s https://example.com/healthy-food", Effect::Exec),
            ("docker compose ps", Effect::Wait),
            ("", Effect::Read),
        ] {
            assert_eq!(command_effect(line), effect, "{line}");
        }
    }

    #[test]
    fn the_question_is_what_matters_to_the_answer() {
        let bash = |input: &str| read("Bash", input).question;
        let one = bash(r#"{"command":"ls -la","description":"Look around"}"#);
        assert_eq!(one, bash(r#"{"description":"Look again", "command": "ls -la", "timeout": 5}"#));
        assert_ne!(one, bash(r#"{"command":"ls"}"#));
        assert_ne!(one, read("Other", r#"{"command":"ls -la"}"#).question);
    }

    #[test]
    fn tools_are_known_whoever_names_them() {
        for (name, input, effect) in [
            ("Read", r#"{"file_path":"/x"}"#, Effect::Read),
            ("mcp__fs__read_file", r#"{"path":"/x"}"#, Effect::Read),
            ("str_replace_editor", r#"{"command":"view","path":"/x"}"#, Effect::Read),
            ("str_replace_editor", r#"{"command":"create","path":"/x","file_text":"y"}"#, Effect::Mutate),
            ("run_shell_command", r#"{"command":"ls"}"#, Effect::Read),
            ("shell", r#"{"command":["bash","-lc","cargo test"]}"#, Effect::Exec),
            ("exec_command", r#"{"cmd":"rm x"}"#, Effect::Mutate),
            ("write_stdin", r#"{"session_id":1,"chars":""}"#, Effect::Wait),
            ("write_stdin", r#"{"session_id":1,"chars":"y\n"}"#, Effect::Exec),
            ("bash", "ls -la", Effect::Read),
            ("Task", r#"{"prompt":"look"}"#, Effect::Delegate),
            ("TodoWrite", r#"{"todos":[]}"#, Effect::Talk),
            ("whatever", "not json", Effect::Exec),
        ] {
            assert_eq!(read(name, input).effect, effect, "{name} {input}");
        }
    }

    #[test]
    fn what_is_read_of_a_file_is_known() {
        let ranges = [
            ("Read", r#"{"file_path":"/x","offset":40,"limit":20}"#, Some((40, 20))),
            ("Read", r#"{"file_path":"/x"}"#, None),
            ("read_file", r#"{"path":"/x","start_line":41,"end_line":60}"#, Some((41, 20))),
            ("bash", "sed -n '41,60p' /x", Some((40, 20))),
            ("exec_command", r#"{"cmd":"head -n 30 /x"}"#, Some((0, 30))),
            ("bash", "cat /x", None),
        ];
        for (name, input, range) in ranges {
            let call = read(name, input);
            assert_eq!(call.path, Some(hash("/x")), "{name} {input}");
            assert_eq!(call.range.map(|range| (range.first, range.lines)), range, "{name} {input}");
        }
    }

    #[test]
    fn a_change_and_its_reverse_are_known() {
        let edit = |old: &str, new: &str| {
            read("Edit", &format!(r#"{{"file_path":"/x","old_string":"{old}","new_string":"{new}"}}"#)).change
        };
        assert_eq!(edit("a", "b"), Change::Replace(hash("a"), hash("b")));
        let patch = read(
            "apply_patch",
            r#"{"input":"*** Begin Patch\n*** Update File: x\n@@\n-a\n+b\n*** End Patch"}"#,
        )
        .change;
        let back = read(
            "apply_patch",
            r#"{"input":"*** Begin Patch\n*** Update File: x\n@@\n-b\n+a\n*** End Patch"}"#,
        )
        .change;
        let (Change::Replace(a, b), Change::Replace(c, d)) = (patch, back) else {
            panic!("{patch:?} {back:?}")
        };
        assert_eq!((a, b), (d, c));
    }

    proptest::proptest! {
        #[test]
        fn any_call_can_be_read(name in "\\PC{0,20}", input in "(\\PC|[{}\":,'\\\\ ]){0,80}") {
            let _ = read(&name, &input);
        }
    }
}
