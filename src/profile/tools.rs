//! What calls of tools say of an agent's work: its plan, and the files that it changes.

use serde_json::Value;

/// How much of a tool's arguments is looked into, in bytes: the content of a written file may be large.
const MAX_INPUT_BYTES: usize = 1 << 20;

/// Names of tools that keep a plan.
const PLAN_TOOLS: &[&str] = &["todowrite", "todo_write", "todos", "update_plan", "write_todos", "taskcreate"];

/// Words in the names of tools that change files.
const WRITING: &[&str] = &["write", "edit", "patch", "replace", "create", "update", "file_change"];

/// Arguments that name a file.
const PATHS: &[&str] =
    &["file_path", "filePath", "path", "absolute_path", "notebook_path", "filename", "file"];

/// How many files of one patch are named.
const MAX_FILES: usize = 40;

/// Returns the plan that a call of a tool sets, one entry a line with how far it is.
pub fn plan(tool: &str, input: &str) -> Option<String> {
    let is_plan = PLAN_TOOLS.contains(&tool.to_ascii_lowercase().as_str()) && input.len() <= MAX_INPUT_BYTES;
    entries(&serde_json::from_str(input).ok().filter(|_| is_plan)?)
}

/// Returns the files that a call of a tool changes.
pub fn changed_files(tool: &str, input: &str) -> Vec<String> {
    let tool = tool.to_ascii_lowercase();
    let writes = WRITING.iter().any(|word| tool.contains(word)) && !PLAN_TOOLS.contains(&tool.as_str());
    if !writes || input.len() > MAX_INPUT_BYTES {
        return Vec::new();
    }
    match serde_json::from_str::<Value>(input) {
        Ok(value) => {
            let named = PATHS.iter().find_map(|key| value.get(key)?.as_str());
            named.into_iter().map(str::to_owned).chain(patched(&value)).collect()
        }
        Err(_) => patch_files(input),
    }
}

/// The entries of a plan.
fn entries(value: &Value) -> Option<String> {
    let list = ["todos", "plan", "items", "tasks"].iter().find_map(|key| match value.get(key)? {
        Value::Array(list) => Some(list.clone()),
        // Some models write the list as a string.
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    })?;
    let line = |entry: &Value| -> Option<String> {
        let text = ["content", "step", "description", "title", "text"]
            .iter()
            .find_map(|key| entry.get(key)?.as_str())
            .or_else(|| entry.as_str())?;
        let done = entry.get("status").and_then(Value::as_str).unwrap_or("open");
        Some(format!("- [{done}] {}", text.trim()))
    };
    let lines: Vec<String> = list.iter().filter_map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Files that a structured change names.
fn patched(value: &Value) -> Vec<String> {
    let mut files: Vec<String> = value
        .get("changes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|change| change.get("path")?.as_str().map(str::to_owned))
        .collect();
    for key in ["patch", "input", "diff", "patchText"] {
        if let Some(text) = value.get(key).and_then(Value::as_str) {
            files.extend(patch_files(text));
        }
    }
    files
}

/// Files that a patch in text names.
fn patch_files(text: &str) -> Vec<String> {
    let heads = ["*** Update File: ", "*** Add File: ", "*** Delete File: ", "+++ b/"];
    let named =
        |line: &str| heads.iter().find_map(|head| line.strip_prefix(head)).map(|path| path.trim().to_owned());
    text.lines().filter_map(named).take(MAX_FILES).collect()
}
