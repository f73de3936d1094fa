//! Real agents against a server that fails on purpose, with `wrap --act` around them.
//!
//! Nothing of it runs by itself: it needs the agents, installed, and a laboratory that gives each run a network of its
//! own with nothing but that server in it. `LAB_CLIENTS` is the folder of the agents; `LAB_RUN` the program that runs
//! one of them (`../shared/lab/run.py` if it is not set), which puts what happened into `recordings/` of that folder.
//!
//! By hand, with a part of a case's name in `LAB_ONLY` to run less:
//! `cargo test --test integration real_clients -- --ignored --nocapture`.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What is expected of one agent in one situation.
struct Case {
    agent: &'static str,
    mode: &'static str,
    /// What the server does, as the laboratory calls it; `x2`: twice, and then it answers.
    scenario: &'static str,
    /// What else the laboratory is told.
    lab: &'static [&'static str],
    /// What `wrap --act` is told.
    wrap: &'static [&'static str],
    /// Variables of the agent.
    variables: &'static [&'static str],
    status: i64,
    /// What standard output has in it at the end; empty: it does not matter.
    words: &'static str,
    /// The results of the outcomes that are told.
    outcomes: &'static [&'static str],
    /// How many requests of the main conversation there are at most: a task that is done twice makes more.
    requests: usize,
}

const CASE: Case = Case {
    agent: "claude",
    mode: "sjson",
    scenario: "ok",
    lab: &[],
    wrap: &[],
    variables: &[],
    status: 0,
    words: "Hello from the fake model.",
    outcomes: &[],
    requests: 1,
};

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Nothing is wrong, or the agent mends it: nothing is done.
    CASE,
    Case { mode: "text", ..CASE },
    Case { scenario: "tool1", words: "The tool ran; all done.", requests: 2, ..CASE },
    Case { scenario: "r429x2", words: "Recovered after 2 faults.", requests: 3, ..CASE },
    Case { agent: "codex", mode: "json", ..CASE },
    Case { agent: "codex", mode: "json", scenario: "r429x2", words: "Recovered after 2 faults.", requests: 3, ..CASE },
    Case { agent: "gemini", ..CASE },
    Case { agent: "gemini", scenario: "r429x2", words: "Recovered after 2 faults.", requests: 3, ..CASE },
    // Qwen asks for its memory after each answer.
    Case { agent: "qwen", requests: 2, ..CASE },
    Case { agent: "opencode", mode: "json", ..CASE },
    Case { agent: "opencode", mode: "json", scenario: "r429x2", words: "Recovered after 2 faults.", requests: 3, ..CASE },
    // It is waited for, and the session goes on.
    Case { scenario: "limitx1", lab: &["--auth", "oauth", "--set", "reset_in=20"], words: "Recovered after 1 faults.", outcomes: &["done"], requests: 2, ..CASE },
    Case { mode: "text", scenario: "limitx1", lab: &["--auth", "oauth", "--set", "reset_in=20"], words: "Recovered after 1 faults.", outcomes: &["done"], requests: 2, ..CASE },
    Case { scenario: "o529x2", variables: &["CLAUDE_CODE_MAX_RETRIES=1"], words: "Recovered after 2 faults.", outcomes: &["done"], requests: 3, ..CASE },
    Case { scenario: "cutx2", words: "Recovered after 2 faults.", outcomes: &["done"], requests: 3, ..CASE },
    Case { agent: "codex", mode: "json", scenario: "usage_limitx1", lab: &["--set", "reset_in=20"], words: "Recovered after 1 faults.", outcomes: &["done"], requests: 2, ..CASE },
    Case { agent: "codex", mode: "json", scenario: "cutx8", words: "Recovered after 8 faults.", outcomes: &["done"], requests: 9, ..CASE },
    Case { agent: "codex", mode: "json", scenario: "o529x6", words: "Recovered after 6 faults.", outcomes: &["done"], requests: 7, ..CASE },
    // The session of a first request that was cut cannot be resumed.
    Case { agent: "gemini", scenario: "cutx1", words: "Recovered after 1 faults.", outcomes: &["failed", "done"], requests: 2, ..CASE },
    Case { agent: "qwen", scenario: "cutx1", words: "Recovered after 1 faults.", outcomes: &["done"], requests: 3, ..CASE },
    // Only a person can help.
    Case { scenario: "e401", status: 80, words: "", outcomes: &["done"], ..CASE },
    Case { scenario: "credit", status: 80, words: "", outcomes: &["done"], ..CASE },
    Case { scenario: "toolong", status: 80, words: "", outcomes: &["done"], ..CASE },
    Case { agent: "codex", mode: "json", scenario: "e401", status: 80, words: "", outcomes: &["done"], requests: 6, ..CASE },
    Case { agent: "codex", mode: "json", scenario: "quota", status: 80, words: "", outcomes: &["done"], ..CASE },
    Case { agent: "codex", mode: "json", scenario: "toolong", status: 80, words: "", outcomes: &["done"], ..CASE },
    Case { agent: "gemini", scenario: "e401", status: 80, words: "", outcomes: &["done"], ..CASE },
    Case { agent: "gemini", scenario: "toolong", status: 80, words: "", outcomes: &["done"], ..CASE },
    Case { agent: "qwen", scenario: "e401", status: 80, words: "", outcomes: &["done"], ..CASE },
    Case { agent: "opencode", mode: "json", scenario: "e401", status: 80, words: "", outcomes: &["done"], ..CASE },
    // It repeats itself; a limit of turns is outlasted twice, and each time it worked.
    Case { agent: "gemini", scenario: "loop", status: 81, words: "", outcomes: &["done", "done"], requests: 12, ..CASE },
    Case { scenario: "loop", lab: &["--extra", "--max-turns 3"], status: 83, words: "", outcomes: &["done", "done", "done"], requests: 9, ..CASE },
    // It never answers, and the user has set a limit.
    Case { scenario: "hang", wrap: &["--idle-timeout", "20s"], status: 124, words: "", ..CASE },
    Case { agent: "codex", mode: "json", scenario: "hang", wrap: &["--idle-timeout", "20s"], status: 124, words: "", ..CASE },
    Case { agent: "gemini", scenario: "hang", wrap: &["--idle-timeout", "20s"], status: 124, words: "", ..CASE },
];

/// Where the laboratory is: its runner, and the folder of the agents.
fn lab() -> Result<(PathBuf, PathBuf), String> {
    let clients = env::var_os("LAB_CLIENTS").ok_or("LAB_CLIENTS is not set")?;
    let runner = env::var_os("LAB_RUN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/lab/run.py"), PathBuf::from);
    if !runner.is_file() {
        return Err(format!("there is no {}", runner.display()));
    }
    Ok((runner, clients.into()))
}

/// What came of a case; each line is something that is not as it should be.
fn try_out(case: &Case, runner: &Path, clients: &Path) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let shim = folder.path().join("shim");
    let script = format!(
        "#!/bin/sh\nexport SESSION_DOCTOR_RESET_MARGIN_SEC=2 {}\nexec {} wrap --act {} --events {} -- \"$@\"\n",
        case.variables.join(" "),
        env!("CARGO_BIN_EXE_session-doctor"),
        case.wrap.join(" "),
        events.display(),
    );
    fs::write(&shim, script).unwrap();
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
    let tag = format!("test-{}", case.scenario);
    let ran = Command::new(runner)
        .args([case.agent, case.mode, case.scenario, "--tag", &tag, "--timeout", "170", "--shim"])
        .arg(&shim)
        .args(case.lab)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let base = clients.join("recordings").join(case.agent).join(format!("{tag}.{}", case.mode));
    let read = |end: &str| fs::read_to_string(format!("{}.{end}", base.display())).unwrap_or_default();
    let Ok(meta) = serde_json::from_str::<Value>(&read("meta.json")) else {
        return vec![format!("the laboratory failed: {}", String::from_utf8_lossy(&ran.stderr))];
    };
    let mut wrong = Vec::new();
    let status = meta["rc"].as_i64();
    if status != Some(case.status) {
        wrong.push(format!("it ended with {status:?}, not {}", case.status));
    }
    let count = |key: &str| meta[key].as_array().map_or(0, Vec::len);
    let requests = count("main_requests");
    if requests > case.requests {
        wrong.push(format!("{requests} requests, more than {}", case.requests));
    }
    if count("left_1s_after") > 0 {
        wrong.push(format!("processes are left: {}", meta["left_1s_after"]));
    }
    if !read("stdout").contains(case.words) {
        wrong.push(format!("standard output has no {:?}", case.words));
    }
    let told: Vec<Value> = fs::read_to_string(&events)
        .unwrap_or_default()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let outcomes: Vec<&str> = told
        .iter()
        .filter(|event| event["type"] == "outcome")
        .filter_map(|event| event["result"].as_str())
        .collect();
    if outcomes != case.outcomes {
        wrong.push(format!("its outcomes are {outcomes:?}, not {:?}", case.outcomes));
    }
    wrong
}

#[test]
#[ignore = "it needs real agents and a laboratory, and half an hour"]
fn real_agents_are_brought_back_or_given_up_for_good_reason() {
    let (runner, clients) = match lab() {
        Ok(found) => found,
        Err(why) => return println!("skipped: {why}"),
    };
    let only = env::var("LAB_ONLY").unwrap_or_default();
    let (mut absent, mut failed) = (BTreeSet::new(), Vec::new());
    for case in CASES {
        let name = format!("{} {} {}", case.agent, case.mode, case.scenario);
        if !name.contains(&only) {
            continue;
        }
        if !clients.join(case.agent).join("node_modules/.bin").join(case.agent).exists() {
            absent.insert(case.agent);
            continue;
        }
        let wrong = try_out(case, &runner, &clients);
        println!("{name}: {}", if wrong.is_empty() { "as expected".to_owned() } else { wrong.join("; ") });
        failed.extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}")));
    }
    if !absent.is_empty() {
        println!("skipped, for they are not installed: {absent:?}");
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
