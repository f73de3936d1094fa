//! Real agents against a server that fails on purpose, with `wrap --act` around them.
//!
//! Nothing of it runs by itself: it needs the agents, installed, and a laboratory that gives each run a network of its
//! own with nothing but that server in it. `LAB_CLIENTS` is the folder of the agents; `LAB_RUN` the program that runs
//! one of them (`../shared/lab/run.py` if it is not set); beside it lies `tui.py`, which does the same on a terminal.
//!
//! By hand: `cargo test --test integration real_clients -- --ignored --nocapture`. `LAB_ONLY`: words, divided by commas;
//! a case is run if one of them is in its name. `LAB_JOBS`: how many run at a time (3). `LAB_MINUTES`: after how many
//! none is begun any more (30). A table of what was seen comes at the end, and the recordings of what went wrong stay.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// What is expected of one agent in one situation.
struct Case {
    agent: &'static str,
    /// How it is started, as the laboratory calls it; `tui`: on a terminal.
    mode: &'static str,
    /// What the server does, as the laboratory calls it; `x2`: twice, and then it answers.
    scenario: &'static str,
    /// What tells it from a case with the same three names.
    note: &'static str,
    /// What else the laboratory is told.
    lab: &'static [&'static str],
    /// What the provider refuses wherever it is in the history, as `fixtures/agents/poison.py` calls it; empty: nothing.
    poison: &'static str,
    /// What `wrap --act` is told.
    wrap: &'static [&'static str],
    /// Variables of the agent and of `session-doctor`.
    variables: &'static [&'static str],
    /// What is done on a terminal: how long after the step before, and what.
    screen: &'static [&'static str],
    /// `wrap` is killed, and `--resume-wait` comes after it: what is expected is said of that one.
    taken_up: bool,
    status: i64,
    /// What standard output, or the screen, has in it at the end; empty: it does not matter.
    words: &'static str,
    /// The decisions, each with its class and what came of it.
    steps: &'static [&'static str],
    /// How many requests of the main conversation there are at most: a task that is done twice makes more.
    requests: usize,
}

const CASE: Case = Case {
    agent: "claude",
    mode: "sjson",
    scenario: "ok",
    note: "",
    lab: &[],
    poison: "",
    wrap: &[],
    variables: &[],
    screen: &["15:text:say hello", "5:", "40:", "20:"],
    taken_up: false,
    status: 0,
    words: "",
    steps: &[],
    requests: 1,
};
const CODEX: Case = Case { agent: "codex", mode: "json", ..CASE };
const GEMINI: Case = Case { agent: "gemini", ..CASE };
const QWEN: Case = Case { agent: "qwen", ..CASE };
const OPENCODE: Case = Case { agent: "opencode", mode: "json", ..CASE };

const HELLO: &str = "Hello from the fake model.";
const ONE: &str = "Recovered after 1 faults.";
const TWO: &str = "Recovered after 2 faults.";

/// As often as it may be, and then no more.
const NINE_IN_VAIN: &[&str] = &[
    "network backoff: failed",
    "network backoff: failed",
    "network backoff: failed",
    "network backoff: failed",
    "network backoff: failed",
    "network backoff: failed",
    "network backoff: failed",
    "network backoff: failed",
    "network halt: done",
];

const FOUR_IN_VAIN: &[&str] =
    &["network backoff: failed", "network backoff: failed", "network backoff: failed", "network halt: done"];

/// Words do not help.
const IN_CIRCLES: &[&str] = &["tool_repeat break_loop: done", "tool_repeat halt: done"];

/// A little less than four requests, of which each has a thousand and twenty.
const BUDGET: &[&str] = &["--budget-tokens", "4k"];
const OVER: &[&str] = &["budget_over halt: done"];
/// Its calls are meant to be repeated: until its transcript is found, which takes seconds, nobody knows what it uses.
const BUDGET_ALONE: &[&str] = &[
    "--budget-tokens",
    "4k",
    "--allow-repeat",
    "exec",
    "--allow-repeat",
    "exec_command",
    "--allow-repeat",
    "command_execution",
];

/// New sessions do not help.
const TOO_LONG: &[&str] =
    &["token_limit compact_context: failed", "token_limit compact_context: failed", "token_limit halt: done"];

/// A subscription, whose limit resets soon.
const SOON: &[&str] = &["--auth", "oauth", "--set", "reset_in=20"];
/// Silence soon means a hang.
const STALL: &[&str] = &["SESSION_DOCTOR_STALL_SEC=15"];
/// Its own start may take half a minute on a busy machine.
const STALL_LATER: &[&str] = &["SESSION_DOCTOR_STALL_SEC=30"];
/// A tool that does nothing soon hangs.
const TOOL_STALL: &[&str] = &[
    "SESSION_DOCTOR_TOOL_STALL_SEC=12",
    concat!("BASH_ENV=", env!("CARGO_MANIFEST_DIR"), "/fixtures/agents/hangs.sh"),
    // Claude Code lets its shell read no such thing.
    concat!("CLAUDE_CODE_SHELL_PREFIX=", env!("CARGO_MANIFEST_DIR"), "/fixtures/agents/hangs_as_prefix.sh"),
];
/// Claude's own retries, which take minutes, are one.
const ONE_RETRY: &[&str] = &["CLAUDE_CODE_MAX_RETRIES=1"];

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Nothing is wrong, or the agent mends it: nothing is done.
    Case { words: HELLO, ..CASE },
    Case { mode: "text", words: HELLO, ..CASE },
    Case { scenario: "tool1", words: "The tool ran; all done.", requests: 2, ..CASE },
    Case { scenario: "toolfail", words: "The tool failed; giving up.", requests: 2, ..CASE },
    Case { scenario: "r429x2", words: TWO, requests: 3, ..CASE },
    Case { words: HELLO, ..CODEX },
    Case { mode: "text", words: HELLO, ..CODEX },
    Case { scenario: "tool1", words: "The tool ran; all done.", requests: 2, ..CODEX },
    Case { scenario: "r429x2", words: TWO, requests: 3, ..CODEX },
    Case { words: HELLO, ..GEMINI },
    Case { mode: "text", words: HELLO, ..GEMINI },
    Case { scenario: "tool1", words: "The tool ran; all done.", requests: 2, ..GEMINI },
    Case { scenario: "r429x2", words: TWO, requests: 3, ..GEMINI },
    Case { scenario: "o529x3", words: "Recovered after 3 faults.", requests: 4, ..GEMINI },
    // Qwen asks for its memory after each answer.
    Case { words: HELLO, requests: 2, ..QWEN },
    Case { scenario: "r429x2", words: TWO, requests: 4, ..QWEN },
    Case { words: HELLO, ..OPENCODE },
    Case { scenario: "r429x2", words: TWO, requests: 3, ..OPENCODE },
    // It is waited for, and the session goes on.
    Case { scenario: "limitx1", lab: SOON, words: ONE, steps: &["usage_limit backoff: done"], requests: 2, ..CASE },
    Case { mode: "text", scenario: "limitx1", lab: SOON, words: ONE, steps: &["usage_limit backoff: done"], requests: 2, ..CASE },
    Case { mode: "json", scenario: "limitx1", lab: SOON, words: ONE, steps: &["usage_limit backoff: done"], requests: 2, ..CASE },
    Case { mode: "tui", scenario: "limitx1", lab: SOON, words: ONE, steps: &["usage_limit backoff: done"], requests: 2, ..CASE },
    Case { mode: "tui", scenario: "limitx2", lab: &["--auth", "oauth", "--set", "reset_in=8"], words: TWO, steps: &["usage_limit backoff: failed", "usage_limit backoff: done"], requests: 3, ..CASE },
    Case { mode: "tui", scenario: "limitx1", note: "a person goes on", lab: &["--auth", "oauth", "--set", "reset_in=110"], screen: &["15:text:say hello", "42:text:hi there", "100:"], words: ONE, steps: &["usage_limit backoff: skipped"], requests: 2, ..CASE },
    Case { mode: "tui", scenario: "slowtools6", note: "the agent killed", screen: &["15:text:say hello", "4:sig:KILL", "25:"], words: "All slow steps done.", steps: &["crash resume: done"], requests: 8, ..CASE },
    Case { scenario: "o529x2", variables: ONE_RETRY, words: TWO, steps: &["overloaded backoff: done"], requests: 3, ..CASE },
    Case { mode: "text", scenario: "o529x2", variables: ONE_RETRY, words: TWO, steps: &["overloaded backoff: done"], requests: 3, ..CASE },
    Case { scenario: "e500x2", variables: ONE_RETRY, words: TWO, steps: &["server_error backoff: done"], requests: 3, ..CASE },
    Case { scenario: "e502htmlx2", variables: ONE_RETRY, words: TWO, steps: &["server_error backoff: done"], requests: 3, ..CASE },
    Case { scenario: "r429longx1", words: ONE, steps: &["rate_limit backoff: done"], requests: 2, ..CASE },
    Case { scenario: "cutx2", words: TWO, steps: &["network backoff: done"], requests: 3, ..CASE },
    Case { mode: "text", scenario: "cutx2", words: TWO, steps: &["network backoff: done"], requests: 3, ..CASE },
    Case { scenario: "usage_limitx1", lab: SOON, words: ONE, steps: &["usage_limit backoff: done"], requests: 2, ..CODEX },
    Case { mode: "text", scenario: "usage_limitx1", lab: SOON, words: ONE, steps: &["usage_limit backoff: done"], requests: 2, ..CODEX },
    Case { scenario: "r429x6", lab: &["--set", "retry_after=1"], words: "Recovered after 6 faults.", steps: &["rate_limit backoff: done"], requests: 7, ..CODEX },
    Case { scenario: "cutx8", words: "Recovered after 8 faults.", steps: &["network backoff: done"], requests: 9, ..CODEX },
    Case { mode: "text", scenario: "cutx8", words: "Recovered after 8 faults.", steps: &["network backoff: done"], requests: 9, ..CODEX },
    Case { scenario: "o529x6", words: "Recovered after 6 faults.", steps: &["overloaded backoff: done"], requests: 7, ..CODEX },
    Case { scenario: "e500x30", words: "Recovered after 30 faults.", steps: &["overloaded backoff: done"], requests: 31, ..CODEX },
    Case { mode: "text", scenario: "e500x30", words: "Recovered after 30 faults.", steps: &["overloaded backoff: done"], requests: 31, ..CODEX },
    // The session of a first request that failed cannot be resumed.
    Case { scenario: "cutx1", words: ONE, steps: &["network backoff: failed", "config_error reset: done"], requests: 2, ..GEMINI },
    Case { mode: "text", scenario: "cutx1", words: ONE, steps: &["network backoff: failed", "config_error restart: done"], requests: 2, ..GEMINI },
    Case { scenario: "quotadayx1", words: ONE, steps: &["usage_limit backoff: failed", "config_error restart: done"], requests: 2, ..GEMINI },
    Case { mode: "text", scenario: "quotadayx1", words: ONE, steps: &["usage_limit backoff: failed", "config_error restart: done"], requests: 2, ..GEMINI },
    Case { scenario: "e500x4", words: "Recovered after 4 faults.", requests: 5, ..GEMINI },
    Case { scenario: "cutx1", words: ONE, steps: &["network backoff: done"], requests: 3, ..QWEN },
    Case { mode: "text", scenario: "cutx1", words: ONE, steps: &["network backoff: done"], requests: 3, ..QWEN },
    Case { scenario: "e500x5", words: "Recovered after 5 faults.", requests: 7, ..QWEN },
    Case { scenario: "cutx1", words: ONE, requests: 3, ..OPENCODE },
    Case { scenario: "e500x3", words: "Recovered after 3 faults.", requests: 4, ..OPENCODE },
    // In the middle of the work, with a session that holds it.
    Case { scenario: "tools3_then_limit", note: "taken up", lab: &["--auth", "oauth", "--set", "reset_in=25", "--sig", "KILL@18", "--phase", "echo|=--resume-wait"], taken_up: true, words: "History has ", steps: &["usage_limit backoff: done"], requests: 5, ..CASE },
    Case { scenario: "tools2_then_toolong", status: 83, steps: TOO_LONG, requests: 6, ..CASE },
    Case { scenario: "tools2_then_toolong", status: 83, steps: TOO_LONG, requests: 6, ..CODEX },
    Case { scenario: "tools2_then_toolong", status: 83, steps: TOO_LONG, requests: 6, ..GEMINI },
    Case { mode: "text", scenario: "tools2_then_e401", status: 80, steps: &["auth_error halt: done"], requests: 10, ..CASE },
    Case { mode: "text", scenario: "tools2_then_e401", status: 80, steps: &["auth_error halt: done"], requests: 10, ..QWEN },
    Case { mode: "text", scenario: "e401", status: 80, steps: &["auth_error halt: done"], ..OPENCODE },
    Case { mode: "text", words: HELLO, ..OPENCODE },
    Case { mode: "text", words: HELLO, requests: 2, ..QWEN },
    Case { mode: "json", words: HELLO, ..GEMINI },
    Case { mode: "json", scenario: "e401", status: 80, steps: &["auth_error halt: done"], ..GEMINI },
    Case { mode: "json", scenario: "loop", status: 81, steps: &["tool_repeat break_loop: done", "tool_repeat halt: done"], requests: 12, ..GEMINI },
    Case { mode: "text", scenario: "loop", status: 81, steps: &["tool_repeat break_loop: done", "tool_repeat halt: done"], requests: 12, ..GEMINI },
    Case { mode: "json", scenario: "cutx1", words: ONE, steps: &["network backoff: done"], requests: 3, ..QWEN },
    Case { scenario: "e403", status: 80, steps: &["auth_error halt: done"], requests: 6, ..CODEX },
    Case { scenario: "refusal", status: 80, steps: &["content_policy halt: done"], requests: 6, ..CODEX },
    Case { scenario: "badrequest", status: 80, steps: &["http_400 reset: failed", "http_400 halt: done"], requests: 2, ..CODEX },
    Case { scenario: "e502htmlx30", words: "Recovered after 30 faults.", steps: &["server_error backoff: done"], requests: 31, ..CODEX },
    Case { scenario: "hangmidx1", variables: STALL, words: ONE, steps: &["stalled restart: done"], requests: 2, ..CASE },
    Case { scenario: "hangmidx1", variables: STALL, words: ONE, steps: &["stalled restart: done"], requests: 2, ..CODEX },
    // The provider refuses what is in the history: the session goes on from before it, and is left if that does not help.
    Case { scenario: "tools3_then_ok", note: "a result refused", poison: "tool_result=step-2", words: "All steps done.", steps: &["http_400 reset: failed", "http_400 reset: done"], requests: 4, ..CASE },
    Case { mode: "text", scenario: "tools3_then_ok", note: "a result refused", poison: "tool_result=step-2", words: "All steps done.", steps: &["http_400 reset: failed", "http_400 reset: done"], requests: 4, ..CASE },
    Case { mode: "json", scenario: "tools3_then_ok", note: "a result refused", poison: "tool_result=step-2", words: "All steps done.", steps: &["http_400 reset: failed", "http_400 reset: done"], requests: 4, ..CASE },
    Case { scenario: "tools3_then_ok", note: "a call refused", poison: "tool_use=step-2", words: "All steps done.", steps: &["http_400 reset: failed", "http_400 reset: failed", "http_400 reset: done"], requests: 4, ..CASE },
    Case { scenario: "tools3_then_ok", note: "every result refused", poison: "tool_result=step-", words: "All steps done.", steps: &["http_400 reset: failed", "http_400 reset: done", "http_400 reset: done", "http_400 reset: done"], requests: 4, ..CASE },
    // `wrap` is killed: nothing is left, and the wait can be taken up.
    Case { scenario: "sleeptool", note: "wrap killed", lab: &["--sig", "KILL@tool"], status: -9, ..CASE },
    Case { scenario: "sleeptool", note: "wrap killed", lab: &["--sig", "KILL@tool"], status: -9, ..CODEX },
    Case { scenario: "sleeptool", note: "wrap killed", lab: &["--sig", "KILL@tool"], status: -9, ..GEMINI },
    Case { scenario: "sleepsh", note: "wrap killed", lab: &["--sig", "KILL@tool"], status: -9, ..QWEN },
    Case { scenario: "sleeptool", note: "wrap killed", lab: &["--sig", "KILL@tool"], status: -9, ..OPENCODE },
    Case { scenario: "limit", note: "wrap killed while it waits", lab: &["--auth", "oauth", "--set", "reset_in=25", "--sig", "KILL@10", "--phase", "ok|=--resume-wait"], taken_up: true, words: HELLO, steps: &["usage_limit backoff: done"], requests: 2, ..CASE },
    Case { scenario: "usage_limit", note: "wrap killed while it waits", lab: &["--set", "reset_in=25", "--sig", "KILL@10", "--phase", "ok|=--resume-wait"], taken_up: true, words: HELLO, steps: &["usage_limit backoff: done"], requests: 2, ..CODEX },
    // Qwen asks on and on, and is ended: waits get longer.
    Case { scenario: "usage_limit", wrap: &["--max-wait", "12s"], status: 84, steps: &["usage_limit backoff: failed", "usage_limit halt: done"], requests: 40, ..QWEN },
    Case { mode: "text", scenario: "usage_limit", wrap: &["--max-wait", "12s"], status: 84, steps: &["usage_limit backoff: failed", "usage_limit halt: done"], requests: 40, ..QWEN },
    // Only a person can help.
    Case { scenario: "e401", status: 80, steps: &["auth_error halt: done"], ..CASE },
    Case { mode: "text", scenario: "e401", status: 80, steps: &["auth_error halt: done"], ..CASE },
    Case { scenario: "e401oauth", lab: &["--auth", "oauth"], status: 80, steps: &["auth_error halt: done"], requests: 2, ..CASE },
    Case { scenario: "e403", status: 80, steps: &["auth_error halt: done"], ..CASE },
    Case { scenario: "ok", note: "no key", lab: &["--auth", "none"], status: 80, steps: &["auth_error halt: done"], requests: 0, ..CASE },
    Case { scenario: "credit", status: 80, steps: &["budget_over halt: done"], ..CASE },
    Case { scenario: "notfound", status: 80, steps: &["model_unavailable halt: done"], requests: 2, ..CASE },
    Case { scenario: "toolong", status: 80, steps: &["token_limit halt: done"], ..CASE },
    Case { scenario: "refusal", status: 80, steps: &["content_policy halt: done"], ..CASE },
    Case { scenario: "badrequest", status: 80, steps: &["http_400 reset: failed", "http_400 halt: done"], requests: 2, ..CASE },
    Case { scenario: "limit7d", lab: &["--auth", "oauth"], status: 84, steps: &["usage_limit halt: done"], ..CASE },
    Case { scenario: "e401", status: 80, steps: &["auth_error halt: done"], requests: 6, ..CODEX },
    Case { mode: "text", scenario: "e401", status: 80, steps: &["auth_error halt: done"], requests: 6, ..CODEX },
    Case { scenario: "quota", status: 80, steps: &["budget_over halt: done"], ..CODEX },
    Case { scenario: "notfound", status: 80, steps: &["model_unavailable halt: done"], ..CODEX },
    Case { scenario: "toolong", status: 80, steps: &["token_limit halt: done"], ..CODEX },
    Case { mode: "text", scenario: "toolong", status: 80, steps: &["token_limit halt: done"], ..CODEX },
    Case { scenario: "e401", status: 80, steps: &["auth_error halt: done"], ..GEMINI },
    Case { mode: "text", scenario: "e401", status: 80, steps: &["auth_error halt: done"], ..GEMINI },
    Case { scenario: "e403", status: 80, steps: &["auth_error halt: done"], ..GEMINI },
    Case { scenario: "toolong", status: 80, steps: &["token_limit halt: done"], ..GEMINI },
    Case { scenario: "r429longx1", wrap: &["--max-wait", "10m"], status: 84, steps: &["rate_limit halt: done"], ..GEMINI },
    Case { scenario: "e401", status: 80, steps: &["auth_error halt: done"], ..QWEN },
    Case { mode: "text", scenario: "e401", status: 80, steps: &["auth_error halt: done"], ..QWEN },
    Case { scenario: "toolong", status: 80, steps: &["token_limit halt: done"], ..QWEN },
    Case { scenario: "e401", status: 80, steps: &["auth_error halt: done"], ..OPENCODE },
    Case { scenario: "toolong", status: 80, steps: &["token_limit halt: done"], requests: 2, ..OPENCODE },
    // There is no server, and none comes.
    Case { scenario: "noserver", variables: &["CLAUDE_CODE_MAX_RETRIES=0", "SESSION_DOCTOR_BACKOFF_MAX_SEC=2"], status: 83, steps: NINE_IN_VAIN, requests: 0, ..CASE },
    // A success that is none.
    Case { scenario: "loop", status: 81, steps: &["tool_repeat break_loop: done", "tool_repeat halt: done"], requests: 12, ..GEMINI },
    Case { scenario: "empty", status: 83, steps: &["json_parse retry_prompt_fix: failed", "config_error restart: failed", "json_parse retry_prompt_fix: failed", "config_error restart: failed", "json_parse halt: done"], requests: 12, ..GEMINI },
    Case { scenario: "refusal", status: 80, steps: &["content_policy halt: done"], requests: 4, ..GEMINI },
    Case { scenario: "maxtokens", status: 83, steps: &["output_limit resume: done", "output_limit resume: done", "output_limit halt: done"], requests: 12, ..CASE },
    Case { scenario: "maxtokens", status: 83, steps: &["output_limit resume: done", "output_limit resume: done", "output_limit halt: done"], requests: 3, ..CODEX },
    // It repeats itself; a limit of turns is outlasted twice, and each time it worked.
    // It goes in circles: it is told so once, and ended the second time.
    Case { scenario: "loop", note: "watched", status: 81, steps: IN_CIRCLES, requests: 16, ..CASE },
    Case { mode: "text", scenario: "loop", note: "watched", status: 81, steps: IN_CIRCLES, requests: 24, ..CASE },
    Case { scenario: "loop", note: "watched", status: 81, steps: IN_CIRCLES, requests: 16, ..CODEX },
    Case { mode: "text", scenario: "loop", note: "watched", status: 81, steps: IN_CIRCLES, requests: 16, ..CODEX },
    Case { scenario: "loop", note: "watched", status: 81, steps: IN_CIRCLES, requests: 24, ..QWEN },
    Case { scenario: "loop", note: "watched", status: 81, steps: IN_CIRCLES, requests: 20, ..OPENCODE },
    // Its budget is used up at the fourth request.
    Case { scenario: "loop", note: "budget", wrap: BUDGET, status: 82, steps: OVER, requests: 6, ..CASE },
    Case { mode: "text", scenario: "loop", note: "budget", wrap: BUDGET, status: 82, steps: OVER, requests: 48, ..CASE },
    Case { scenario: "loop", note: "budget", wrap: BUDGET_ALONE, status: 82, steps: OVER, requests: 48, ..CODEX },
    Case { mode: "text", scenario: "loop", note: "budget", wrap: BUDGET_ALONE, status: 82, steps: OVER, requests: 48, ..CODEX },
    Case { scenario: "loop", note: "budget", wrap: BUDGET, status: 82, steps: OVER, requests: 6, ..QWEN },
    Case { scenario: "loop", note: "budget", wrap: BUDGET, status: 82, steps: OVER, requests: 6, ..OPENCODE },
    // A budget that lasts is no reason for anything.
    Case { scenario: "tool1", note: "budget", wrap: BUDGET, words: "The tool ran; all done.", requests: 2, ..CASE },
    Case { scenario: "tool1", note: "budget", wrap: BUDGET, words: "The tool ran; all done.", requests: 2, ..CODEX },
    Case { scenario: "loop", note: "--max-turns 3", lab: &["--extra", "--max-turns 3"], status: 83, steps: &["max_turns resume: done", "max_turns resume: done", "max_turns halt: done"], requests: 9, ..CASE },
    // It never answers, and the user has set a limit.
    Case { scenario: "hang", wrap: &["--idle-timeout", "20s"], status: 124, ..CASE },
    Case { scenario: "hang", wrap: &["--idle-timeout", "20s"], status: 124, ..CODEX },
    Case { scenario: "hang", wrap: &["--idle-timeout", "20s"], status: 124, ..GEMINI },
    Case { scenario: "hang", wrap: &["--idle-timeout", "20s"], status: 124, ..QWEN },
    Case { scenario: "hang", wrap: &["--idle-timeout", "40s"], status: 124, ..OPENCODE },
    // It does not answer once, and is started again for its silence.
    Case { scenario: "hangx1", variables: STALL, words: ONE, steps: &["stalled restart: done"], requests: 2, ..CASE },
    Case { mode: "text", scenario: "hangx1", variables: STALL, words: ONE, steps: &["stalled restart: done"], requests: 2, ..CASE },
    Case { scenario: "hangx1", variables: STALL, words: ONE, steps: &["stalled restart: done"], requests: 2, ..CODEX },
    Case { mode: "text", scenario: "hangx1", variables: STALL, words: ONE, steps: &["stalled restart: done"], requests: 2, ..CODEX },
    Case { scenario: "hangx1", variables: STALL_LATER, words: ONE, steps: &["stalled restart: done"], requests: 3, ..GEMINI },
    Case { scenario: "hangx1", variables: STALL_LATER, words: ONE, steps: &["stalled restart: done"], requests: 3, ..QWEN },
    Case { scenario: "hangx1", variables: STALL_LATER, words: ONE, steps: &["stalled restart: done"], requests: 3, ..OPENCODE },
    // A tool takes its time, and nothing is said meanwhile.
    Case { scenario: "sleeptool", note: "no hang", variables: STALL, wrap: &["--timeout", "40s"], status: 124, requests: 2, ..CASE },
    Case { mode: "text", scenario: "sleeptool", note: "no hang", variables: STALL, wrap: &["--timeout", "40s"], status: 124, requests: 2, ..CASE },
    Case { scenario: "sleeptool", note: "no hang", lab: &["--set", "yield_ms=600000"], variables: STALL, words: "Slept.", requests: 2, ..CODEX },
    Case { mode: "text", scenario: "sleeptool", note: "no hang", lab: &["--set", "yield_ms=600000"], variables: STALL, words: "Slept.", requests: 2, ..CODEX },
    Case { scenario: "sleeptool", note: "no hang", variables: STALL_LATER, wrap: &["--timeout", "75s"], status: 124, ..GEMINI },
    Case { mode: "text", scenario: "sleeptool", note: "no hang", variables: STALL_LATER, wrap: &["--timeout", "75s"], status: 124, ..GEMINI },
    Case { scenario: "sleepsh", note: "no hang", variables: STALL_LATER, wrap: &["--timeout", "75s"], status: 124, ..QWEN },
    Case { mode: "text", scenario: "sleepsh", note: "no hang", variables: STALL_LATER, wrap: &["--timeout", "75s"], status: 124, ..QWEN },
    Case { scenario: "sleeptool", note: "no hang", variables: STALL_LATER, wrap: &["--timeout", "75s"], status: 124, ..OPENCODE },
    Case { mode: "text", scenario: "sleeptool", note: "no hang", variables: STALL_LATER, wrap: &["--timeout", "75s"], status: 124, ..OPENCODE },
    // A tool does nothing for too long: it is killed, and the agent goes on.
    Case { scenario: "tool1", note: "a tool hangs", variables: TOOL_STALL, words: "The tool ran; all done.", steps: &["stalled restart: done"], requests: 2, ..CASE },
    Case { scenario: "tool1", note: "a tool hangs", lab: &["--set", "yield_ms=600000"], variables: TOOL_STALL, words: "The tool ran; all done.", steps: &["stalled restart: done"], requests: 2, ..CODEX },
    Case { scenario: "tool1", note: "a tool hangs", variables: TOOL_STALL, words: "The tool ran; all done.", steps: &["stalled restart: done"], requests: 2, ..GEMINI },
    Case { scenario: "tool1", note: "a tool hangs", variables: TOOL_STALL, words: "The tool ran; all done.", steps: &["stalled restart: done"], requests: 2, ..QWEN },
    // It tells of a tool only when that is done; it ends it itself, after two minutes.
    Case { scenario: "tool1", note: "a tool hangs", variables: TOOL_STALL, wrap: &["--timeout", "60s"], status: 124, ..OPENCODE },
    // They retry without end and say nothing.
    Case { scenario: "noserver", wrap: &["--idle-timeout", "40s"], status: 124, requests: 0, ..CODEX },
    Case { scenario: "r429long", wrap: &["--idle-timeout", "20s"], status: 124, ..CODEX },
    Case { scenario: "r429long", wrap: &["--timeout", "30s"], status: 124, requests: 20, ..QWEN },
    Case { scenario: "r429long", wrap: &["--idle-timeout", "40s"], status: 124, requests: 9, ..OPENCODE },
    Case { scenario: "usage_limit", wrap: &["--idle-timeout", "40s"], status: 124, requests: 9, ..OPENCODE },
    Case { scenario: "noserver", wrap: &["--idle-timeout", "40s"], status: 124, requests: 0, ..OPENCODE },
    Case { scenario: "noserver", wrap: &["--timeout", "60s"], status: 124, requests: 0, ..GEMINI },
    Case { scenario: "noserver", wrap: &["--max-restarts", "3"], status: 83, steps: FOUR_IN_VAIN, requests: 0, ..QWEN },
];

/// Waits that are minutes or hours otherwise.
const SHORT_WAITS: &[&str] = &[
    "SESSION_DOCTOR_RESET_MARGIN_SEC=2",
    "SESSION_DOCTOR_UNKNOWN_RESET_SEC=5",
    "SESSION_DOCTOR_LONG_BACKOFF_BASE_SEC=5",
    "SESSION_DOCTOR_LONG_BACKOFF_MAX_SEC=5",
];

/// How long a case may take, in seconds.
const LIMIT_SEC: &str = "150";

/// The laboratory: its runner, the one for terminals, and the folder of the agents.
struct Lab {
    runner: PathBuf,
    tui: PathBuf,
    clients: PathBuf,
    /// A folder with a copy of the program, so that a build meanwhile changes nothing.
    program: TempDir,
}

impl Lab {
    fn find() -> Result<Self, String> {
        let clients = env::var_os("LAB_CLIENTS").ok_or("LAB_CLIENTS is not set")?;
        let runner = env::var_os("LAB_RUN").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/lab/run.py"),
            PathBuf::from,
        );
        if !runner.is_file() {
            return Err(format!("there is no {}", runner.display()));
        }
        let clients = fs::canonicalize(clients).map_err(|error| format!("LAB_CLIENTS: {error}"))?;
        let program = tempfile::tempdir().unwrap();
        fs::copy(env!("CARGO_BIN_EXE_session-doctor"), program.path().join("session-doctor")).unwrap();
        Ok(Self { tui: runner.with_file_name("tui.py"), runner, clients, program })
    }

    fn program(&self) -> PathBuf {
        self.program.path().join("session-doctor")
    }

    fn has(&self, agent: &str) -> bool {
        self.clients.join(agent).join("node_modules/.bin").join(agent).exists()
    }
}

/// What was seen of a case.
struct Seen {
    status: Option<i64>,
    /// The decisions, each with its class and what came of it.
    steps: Vec<String>,
    requests: usize,
    /// Processes that are still there.
    left: usize,
    /// Standard output, or the last screen.
    words: String,
    seconds: u64,
}

impl Case {
    fn name(&self) -> String {
        [self.agent, self.mode, self.scenario, self.note].join(" ").trim_end().to_owned()
    }

    /// Runs it; its recordings and events are in `folder` then.
    fn run(&self, lab: &Lab, folder: &Path) -> Result<Seen, String> {
        let began = Instant::now();
        let shim = folder.join("shim");
        let is_tui = self.mode == "tui";
        // A terminal's driver starts the agent by its name alone.
        let agent = lab.clients.join(self.agent).join("node_modules/.bin").join(self.agent);
        let word = if is_tui { format!("'{}'", agent.display()) } else { String::new() };
        write_shim(&shim, folder, &lab.program(), self, &word);
        if is_tui {
            let place = folder.join(self.agent).join("node_modules/.bin");
            fs::create_dir_all(&place).unwrap();
            symlink(&shim, place.join(self.agent)).unwrap();
        } else {
            symlink(lab.clients.join(self.agent), folder.join(self.agent)).unwrap();
        }
        let mut command = Command::new(if is_tui { &lab.tui } else { &lab.runner });
        command.env("LAB_CLIENTS", folder).stdin(Stdio::null()).args(self.lab);
        if is_tui {
            command.args([self.scenario, "test"]);
            command.args(self.screen.iter().flat_map(|step| ["--step", step]));
        } else {
            command.args([self.agent, self.mode, self.scenario, "--tag", "test", "--timeout", LIMIT_SEC]);
            command.arg("--shim").arg(&shim);
        }
        let ran = command.output().map_err(|error| error.to_string())?;
        let words = || format!("the laboratory failed: {}", String::from_utf8_lossy(&ran.stderr));
        let recordings = folder.join("recordings");
        let mut seen = if is_tui {
            let screens = fs::read_to_string(recordings.join("claude-tui/test.screens.txt"));
            let log = fs::read_to_string(recordings.join("claude-tui/test.requests.jsonl"));
            let screens = screens.map_err(|_| words())?;
            let is_main = |line: &&str| {
                serde_json::from_str::<Value>(line).is_ok_and(|it| it["ev"] == "req" && it["main"] == true)
            };
            Seen {
                // It goes on, and is closed with its terminal.
                status: Some(0),
                steps: Vec::new(),
                requests: log.unwrap_or_default().lines().filter(is_main).count(),
                left: 0,
                words: screens.rsplit("=== ").next().unwrap_or_default().to_owned(),
                seconds: 0,
            }
        } else {
            let part = if self.taken_up { "test.p2" } else { "test" };
            let base = recordings.join(self.agent).join(format!("{part}.{}", self.mode));
            let meta = |part: &str| -> Option<Value> {
                let path = recordings.join(self.agent).join(format!("{part}.{}.meta.json", self.mode));
                serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
            };
            let (first, last) = (meta("test").ok_or_else(words)?, meta(part).ok_or_else(words)?);
            let count = |meta: &Value, key: &str| meta[key].as_array().map_or(0, Vec::len);
            let both = |key| count(&last, key) + if self.taken_up { count(&first, key) } else { 0 };
            Seen {
                status: last["rc"].as_i64().filter(|_| last["timed_out"] != true),
                steps: Vec::new(),
                requests: both("main_requests"),
                left: both("left_1s_after"),
                words: fs::read_to_string(format!("{}.stdout", base.display())).unwrap_or_default(),
                seconds: 0,
            }
        };
        seen.steps = steps(folder);
        seen.seconds = began.elapsed().as_secs();
        Ok(seen)
    }

    /// What is not as it should be.
    fn compare(&self, seen: &Seen) -> Vec<String> {
        let mut wrong = Vec::new();
        if seen.status != Some(self.status) {
            wrong.push(format!("the status is not {}", self.status));
        }
        if seen.steps != self.steps {
            wrong.push(format!("the decisions are not {:?}", self.steps));
        }
        if seen.requests == 0 && self.requests > 0 {
            wrong.push("it asked the server for nothing".to_owned());
        }
        if seen.requests > self.requests {
            wrong.push(format!("there are more than {} requests", self.requests));
        }
        if seen.left > 0 {
            wrong.push("processes are left".to_owned());
        }
        if !seen.words.contains(self.words) {
            wrong.push(format!("{:?} is not at the end", self.words));
        }
        wrong
    }
}

/// Writes the program that puts `wrap --act` in front of the agent, or takes up what one that was killed has left.
fn write_shim(shim: &Path, folder: &Path, program: &Path, case: &Case, agent: &str) {
    let behind = match case.poison {
        "" => String::new(),
        words => format!("'{}/fixtures/agents/poison.py' '{words}'", env!("CARGO_MANIFEST_DIR")),
    };
    let script = format!(
        "#!/bin/sh\n\
         export {} {}\n\
         wrap='{} wrap --act {}'\n\
         [ \"$2\" = --resume-wait ] && exec $wrap --resume-wait --events '{folder}/events2'\n\
         exec {behind} $wrap --events '{folder}/events' -- {agent} \"$@\"\n",
        SHORT_WAITS.join(" "),
        case.variables.join(" "),
        program.display(),
        case.wrap.join(" "),
        folder = folder.display(),
    );
    fs::write(shim, script).unwrap();
    fs::set_permissions(shim, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Returns the decisions that were told, each with its class and the result of its outcome.
fn steps(folder: &Path) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let events: Vec<Value> =
        (read("events") + &read("events2")).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let result = |decision: &Value| {
        let is_its = |event: &&Value| event["type"] == "outcome" && event["decision"] == decision["id"];
        let outcome = events.iter().find(is_its);
        outcome.and_then(|outcome| outcome["result"].as_str()).unwrap_or("untold")
    };
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events
        .iter()
        .filter(|event| event["type"] == "decision" && event["acted"] == true)
        .map(|event| format!("{} {}: {}", word(&event["class"]), word(&event["strategy"]), result(event)))
        .collect()
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
#[ignore = "it needs real agents and a laboratory, and a quarter of an hour"]
fn real_agents_are_brought_back_or_given_up_for_good_reason() {
    let lab = match Lab::find() {
        Ok(lab) => lab,
        Err(why) => return println!("skipped: {why}"),
    };
    let only = env::var("LAB_ONLY").unwrap_or_default();
    let is_meant = |case: &&Case| only.split(',').any(|word| case.name().contains(word));
    let (cases, absent): (Vec<&Case>, Vec<&Case>) =
        CASES.iter().filter(is_meant).partition(|case| lab.has(case.agent));
    let absent: BTreeSet<&str> = absent.iter().map(|case| case.agent).collect();
    let end = Instant::now() + Duration::from_secs(60 * number("LAB_MINUTES", 30));
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    println!("agent | mode | scenario | what was done | status | requests | left | seconds");
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let folder = tempfile::tempdir().unwrap();
            let seen = match Instant::now() < end {
                true => case.run(&lab, folder.path()),
                false => Err("not run: the time is over".to_owned()),
            };
            let wrong = match &seen {
                Ok(seen) => {
                    let status = seen.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
                    let done =
                        if seen.steps.is_empty() { "nothing".to_owned() } else { seen.steps.join(", ") };
                    let Case { agent, mode, scenario, note, .. } = case;
                    let scenario = [*scenario, *note].join(" ");
                    let Seen { requests, left, seconds, .. } = seen;
                    println!(
                        "{agent} | {mode} | {} | {done} | {status} | {requests} | {left} | {seconds}",
                        scenario.trim_end()
                    );
                    case.compare(seen)
                }
                Err(why) => vec![why.clone()],
            };
            if wrong.is_empty() {
                continue;
            }
            let kept = folder.keep();
            let words = format!("{}: {} ({})", case.name(), wrong.join("; "), kept.display());
            println!("  WRONG {words}");
            failed.lock().unwrap().push(words);
        }
    };
    thread::scope(|scope| {
        for _ in 0..number("LAB_JOBS", 3) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    if !absent.is_empty() {
        println!("skipped, for they are not installed: {absent:?}");
    }
    println!("{} cases, {} of them wrong", cases.len(), failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
}
