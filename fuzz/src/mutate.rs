//! Mutations that know what an input is made of: lines, JSON, sentences that agents print.
//!
//! One in three is libFuzzer's own, on bytes. The others put in what the engine looks for, and break the structure where
//! a version of an agent might: a field that is missing, or is of another type, or stands somewhere else.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use session_doctor::engine::classify::rules::Rules;

use crate::draw::Draw;

/// What is cut out of recordings and rules to be put into inputs.
struct Pool {
    lines: Vec<Vec<u8>>,
    /// Sentences that rules know.
    sentences: Vec<String>,
    /// Parts of JSON lines.
    values: Vec<Value>,
}

/// Odd pieces of text.
const PIECES: &[&str] = &[
    "\n",
    "\r",
    "\r\n",
    "\t",
    " ",
    "  ",
    "    ",
    "\0",
    "\u{1b}[31m",
    "\u{1b}[0m",
    "\u{1b}]0;",
    "\u{7}",
    "\u{8}",
    "\u{9b}1m",
    "\u{1b}[20C",
    "\u{a0}",
    "…",
    "’",
    "·",
    "∙",
    "⎿ ",
    "● ",
    "> ",
    "| ",
    "```",
    "```\n",
    "{",
    "}",
    "[",
    "]",
    "{\n",
    "[\n",
    "\n}",
    "\n]",
    "\"",
    "\\",
    "\\\"",
    ":",
    ",",
    "null",
    "API Error: ",
    "Error: ",
    "ERROR ",
    "error: ",
    "WARN: ",
    "2026-11-20 05:00:01,123 ERROR ",
    "[2026-11-20 05:00:01] [ERROR] ",
    "2026-11-20T05:00:01.5Z",
    "429",
    "529",
    "status: 503",
    "code: 400",
    "Retrying in 4 seconds",
    "· Retrying in 8s · attempt 2 of 10",
    "(attempt 3)",
    "max attempts reached",
    "resets 3pm",
    "resets 3:30pm (Asia/Tokyo)",
    "resets Oct 9, 2am",
    "try again at ",
    "try again in ",
    "retry-after: 30",
    "retry_delay {\n  seconds: 38\n}",
    "resetsAt\":1795287600",
    "|1795287600",
    "in 4 days 20 hours",
    "1h2m3s",
    "tomorrow at 5",
    "next Wed",
    "PDT",
    "UTC+5:30",
    "2026-12-01 15:04:05",
    "限额将在 2026-12-01 15:04:05 重置",
    "wait 20 seconds before retrying",
    "12:60",
    "24:00",
    "99999999999",
    "1e400",
    "-1",
    "0",
    "sk-ant-",
    "ghp_",
    "eyJ",
    "AKIA",
    "password=",
    "password: ",
    "token: ",
    "api_key=",
    "\"secret\": \"",
    "Authorization: Bearer ",
    "Cookie: ",
    "https://user:",
    "@host",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "[redacted]",
    "aB3dE5gH7jK9mN1pQ2sT4vW6",
    "\u{202e}",
    "%3D",
    "\\u003d",
    "\\n",
    "[[rule]]\nid = \"a\"\nclass = \"network\"\nline = ['alpha ']\n",
    "[[introducer]]\nid = \"b\"\nline = ['beta']\n",
    "[[test]]\nline = \"x\"\nexpect = \"none\"\n",
    "text = ['\\d+ gamma']\n",
    "unless = ['delta']\n",
    "stems = [\"gam\"]\n",
    "disabled = true\n",
    "rank = \"decisive\"\n",
    "status = [429]\n",
    "[class.network]\n",
    "severity = \"high\"\n",
    "strategy = \"halt\"\n",
    "alert = \"first\"\n",
    "threads = 3\n",
    "time_zone = \"local\"\n",
    "emit = [\"alert\"]\n",
    "\n#---\n",
    "SESSION_DOCTOR_THREADS=2\n",
    "line_limit_bytes = 1_024\n",
    "backoff_base_sec = 86400\n",
    "(?:",
    ")",
    "\\w+",
    ".*",
    "{1,3}",
    "[a-z]",
    "\\b",
    "^",
    "$",
    "|",
];

/// Values that no field expects.
const ODD_VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1e308",
    "9007199254740993",
    "429",
    "529",
    "1795287600",
    "1795287600000",
    "9999999999.5",
    "\"\"",
    "\"\\u0000\"",
    "[]",
    "{}",
    "[[[]]]",
    "\"error\"",
    "\"result\"",
    "\"assistant\"",
    "\"2026-11-20T05:00:01.5Z\"",
    "\"-9999-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59Z\"",
    "{\"message\":\"x\"}",
    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
    "[{\"type\":\"text\",\"text\":\"API Error: 529\"}]",
];

fn pool(folder: &str) -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/transcripts").join(folder);
        let mut pool = Pool { lines: Vec::new(), sentences: Vec::new(), values: Vec::new() };
        gather(&root, &mut pool);
        let rules = Rules::built_in();
        pool.sentences.extend(rules.rules.iter().flat_map(|rule| rule.yes.iter().chain(&rule.no)).cloned());
        pool
    })
}

fn gather(folder: &Path, pool: &mut Pool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            gather(&path, pool);
        } else if path.file_stem().is_some_and(|name| name == "input")
            && let Ok(bytes) = fs::read(&path)
        {
            pool.values.extend(serde_json::from_slice::<Value>(&bytes));
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                pool.values.extend(serde_json::from_slice::<Value>(line));
                pool.lines.push(line.to_vec());
            }
        }
    }
}

/// Changes the first `size` bytes of `data`; returns how many there are then, `max_size` at most.
pub fn mutate(folder: &str, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut draw = Draw::seeded(u64::from(seed));
    if draw.once_in(3) {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let pool = pool(folder);
    let mut bytes = data[..size].to_vec();
    for _ in 0..=draw.below(3) {
        bytes = step(bytes, pool, &mut draw);
    }
    bytes.truncate(max_size.min(data.len()));
    data[..bytes.len()].copy_from_slice(&bytes);
    bytes.len()
}

fn step(mut bytes: Vec<u8>, pool: &Pool, draw: &mut Draw) -> Vec<u8> {
    let at = draw.below(bytes.len() + 1);
    match draw.below(12) {
        0 => drop(bytes.splice(at..at, draw.pick(PIECES).bytes())),
        1 if !pool.sentences.is_empty() => drop(bytes.splice(at..at, draw.pick(&pool.sentences).bytes())),
        2 => {
            let end = (at + draw.below(40)).min(bytes.len());
            drop(bytes.splice(at..end, draw.pick(PIECES).bytes()));
        }
        3..=6 => return with_lines(bytes, pool, draw),
        _ => return with_json(bytes, pool, draw),
    }
    bytes
}

/// Drops, doubles, moves or brings in a line.
fn with_lines(bytes: Vec<u8>, pool: &Pool, draw: &mut Draw) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (one, other) = (draw.below(lines.len()), draw.below(lines.len()));
    match draw.below(6) {
        0 if lines.len() > 1 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one].clone()),
        2 => lines.swap(one, other),
        3 if !pool.sentences.is_empty() => lines.insert(one, draw.pick(&pool.sentences).clone().into_bytes()),
        _ if !pool.lines.is_empty() => lines.insert(one, draw.pick(&pool.lines).clone()),
        _ => {}
    }
    lines.join(&b'\n')
}

/// Changes a value in a line that is JSON, or in the document that the whole is.
fn with_json(bytes: Vec<u8>, pool: &Pool, draw: &mut Draw) -> Vec<u8> {
    if let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) {
        change(&mut value, pool, draw);
        let pretty = draw.once_in(2);
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        return text.unwrap_or(bytes);
    }
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let start = draw.below(lines.len());
    let found = (0..lines.len())
        .map(|step| (start + step) % lines.len())
        .find_map(|at| Some((at, serde_json::from_slice::<Value>(&lines[at]).ok()?)));
    match found {
        Some((at, mut value)) => {
            change(&mut value, pool, draw);
            let pretty = draw.once_in(8);
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
            lines[at] = text.unwrap_or_default();
        }
        None if !pool.lines.is_empty() => lines.insert(start, draw.pick(&pool.lines).clone()),
        None => {}
    }
    lines.join(&b'\n')
}

/// A node somewhere in a value.
fn node<'v>(value: &'v mut Value, draw: &mut Draw) -> &'v mut Value {
    if draw.once_in(6) {
        return value;
    }
    let parts = match value {
        Value::Array(list) => list.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    };
    if parts == 0 {
        return value;
    }
    let at = draw.below(parts);
    let part = match value {
        Value::Array(list) => list.get_mut(at),
        Value::Object(members) => members.values_mut().nth(at),
        _ => None,
    };
    node(part.expect("it has so many parts"), draw)
}

fn odd(pool: &Pool, draw: &mut Draw) -> Value {
    match draw.below(4) {
        0 if !pool.sentences.is_empty() => Value::from(draw.pick(&pool.sentences).as_str()),
        1 if !pool.values.is_empty() => node(&mut draw.pick(&pool.values).clone(), draw).clone(),
        2 => Value::from(*draw.pick(PIECES)),
        _ => serde_json::from_str::<Value>(*draw.pick::<&str>(ODD_VALUES)).unwrap_or(Value::Null),
    }
}

fn change(value: &mut Value, pool: &Pool, draw: &mut Draw) {
    let odd = odd(pool, draw);
    let place = node(value, draw);
    match (draw.below(6), place) {
        (0, Value::Object(members)) if !members.is_empty() => {
            let key = members.keys().nth(draw.below(members.len())).cloned().unwrap_or_default();
            members.shift_remove(&key);
        }
        (1, Value::Object(members)) => {
            let other = pool.values.get(draw.below(pool.values.len())).and_then(Value::as_object);
            let key = other.and_then(|other| other.keys().nth(draw.below(other.len())).cloned());
            let key = key.unwrap_or_else(|| "error".to_owned());
            members.insert(key, odd);
        }
        (2, Value::Array(list)) => list.insert(draw.below(list.len() + 1), odd),
        (3, place) => *place = Value::Array(vec![place.take(), odd]),
        (4, Value::String(text)) => {
            let mut at = draw.below(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            match odd {
                Value::String(odd) => text.insert_str(at, &odd),
                odd => text.insert_str(at, &odd.to_string()),
            }
        }
        (_, place) => *place = odd,
    }
}
