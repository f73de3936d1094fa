//! The arrows between the layers, and what must not stand in the source at all.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom, of our own modules.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("source", &[]),
    ("child", &[]),
    ("engine", &["model"]),
    ("profile", &["model"]),
    ("recovery", &["model", "profile"]),
    ("store", &["model"]),
    ("sink", &["model", "store"]),
    ("settings", &["model", "engine", "profile"]),
    ("runtime", &["model", "engine", "profile", "recovery", "store", "sink", "settings", "source", "child"]),
    ("dashboard", &["model", "store", "engine"]),
    ("mcp", &["model", "store", "engine"]),
    (
        "cli",
        &[
            "model",
            "engine",
            "profile",
            "recovery",
            "store",
            "sink",
            "settings",
            "source",
            "child",
            "runtime",
            "dashboard",
            "mcp",
        ],
    ),
];

/// Who may import whom inside `engine`; `mod` itself may import all.
const ENGINE_ARROWS: &[(&str, &[&str])] = &[
    ("encoding", &[]),
    ("framing", &[]),
    ("json", &[]),
    ("ansi", &[]),
    ("document", &["json"]),
    ("redact", &[]),
    // The pre-scan asks `plain` where a line's own words begin, and `document` whether it may begin an array.
    ("classify", &["format", "json", "document"]),
    ("usage", &["redact"]),
    ("format", &["framing", "json", "ansi", "document"]),
    ("policy", &[]),
    ("step", &["json"]),
    ("detect", &["classify", "usage", "policy", "step", "redact"]),
    ("recovery", &["policy"]),
    ("session", &["detect", "policy", "usage"]),
    ("sweep", &[]),
    (
        "stream",
        &[
            "framing", "sweep", "encoding", "json", "ansi", "document", "format", "classify", "judge",
            "session", "usage",
        ],
    ),
    ("judge", &["framing", "format", "classify", "redact", "session", "stream", "usage"]),
];

/// A source file: its module path (`engine/detect/error_burst`) and its code without comments and tests.
struct Module {
    path: Vec<String>,
    code: String,
}

impl Module {
    fn name(&self) -> String {
        self.path.join("/")
    }

    /// The absolute paths (without `crate`) that the code names with `crate::` or `super::`.
    fn imports(&self) -> Vec<Vec<String>> {
        let mut imports = Vec::new();
        let mut rest = self.code.as_str();
        while let Some(at) = rest.find("crate::").into_iter().chain(rest.find("super::")).min() {
            let is_word = rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            rest = &rest[at..];
            let mut base = Vec::new();
            if rest.starts_with("super::") {
                base.clone_from(&self.path);
            }
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            rest = rest.strip_prefix("crate::").unwrap_or(rest);
            if is_word {
                continue;
            }
            for name in first_names(rest) {
                imports.push(base.iter().cloned().chain([name]).collect());
            }
        }
        imports
    }
}

/// The names at the head of a path: one, or those of a group (`{a::B, c}`).
fn first_names(path: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![word(path)] };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.push(word(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The code without comments, and without the tests that end a file.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\n").next().unwrap_or(text);
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |code, line| code + line.split(" // ").next().unwrap_or(line) + "\n")
}

fn modules() -> Vec<Module> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                modules.extend(module(&root, &path));
            }
        }
    }
    assert!(modules.len() > 40, "the source was found");
    modules
}

/// Reads a file; `None` for a file of tests.
fn module(root: &Path, path: &PathBuf) -> Option<Module> {
    let inside = path.strip_prefix(root).unwrap().with_extension("");
    let mut names: Vec<String> = inside.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    if names.last().is_some_and(|name| name == "tests") {
        return None;
    }
    if names.last().is_some_and(|name| matches!(name.as_str(), "mod" | "lib" | "main")) {
        names.pop();
    }
    Some(Module { path: names, code: code(&fs::read_to_string(path).unwrap()) })
}

/// Says which imports are not among the arrows. `depth`: at which name of a path the layers are told apart.
fn check(modules: &[Module], arrows: &[(&str, &[&str])], depth: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    for module in modules {
        let Some(layer) = module.path.get(depth) else { continue };
        let Some((_, allowed)) = arrows.iter().find(|(name, _)| name == layer) else {
            wrong.push(format!("{}: the layer `{layer}` has no row in the table", module.name()));
            continue;
        };
        for import in module.imports() {
            let inside = import.len() > depth && import[..depth] == module.path[..depth];
            let Some(target) = import.get(depth).filter(|_| inside) else { continue };
            // Only modules are layers; what else stands there (`crate::VERSION`) is nobody's.
            let is_layer = arrows.iter().any(|(name, _)| name == target);
            if is_layer && target != layer && !allowed.contains(&target.as_str()) {
                wrong.push(format!("{} imports {}", module.name(), import.join("::")));
            }
        }
    }
    wrong
}

#[test]
fn layers_import_only_what_lies_below_them() {
    let wrong = check(&modules(), ARROWS, 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_parts_of_the_engine_import_only_what_lies_below_them() {
    let mut modules = modules();
    modules
        .retain(|module| module.path.first().is_some_and(|layer| layer == "engine") && module.path.len() > 1);
    // `crate::engine::detect::X` names its part one step further than `super::detect::X` does.
    for module in &mut modules {
        module.code = module.code.replace("crate::engine::", &"super::".repeat(module.path.len() - 1));
    }
    let wrong = check(&modules, ENGINE_ARROWS, 1);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_to_be_pure_touches_nothing() {
    let forbidden = [
        "std::fs",
        "std::net",
        "std::thread",
        "std::env",
        "std::process",
        "std::io",
        "std::os",
        "SystemTime",
        "Instant",
        "Timestamp::now",
        "Zoned::now",
        "thread::",
        "rand::",
        "getrandom",
        "RandomState",
        "HashMap::new",
        "tokio",
        "println!",
        "rustix",
        "crossbeam",
        "TimeZone::system",
        "TimeZone::try_system",
    ];
    let mut wrong = Vec::new();
    for module in modules() {
        let layer = module.path.first().map(String::as_str);
        if matches!(layer, Some("engine" | "model" | "profile" | "recovery")) {
            for word in forbidden.iter().filter(|word| module.code.contains(**word)) {
                wrong.push(format!("{} has {word}", module.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_nowhere_but_where_processes_are_made() {
    for module in modules() {
        let has = module.code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
        assert!(!has || module.path[0] == "child", "{}", module.name());
    }
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/child");
    let entries = [folder.clone(), folder.join("tree")].map(|folder| fs::read_dir(folder).unwrap());
    for path in entries.into_iter().flatten().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let is_block = line.contains("unsafe {") || line.contains("unsafe(link_section");
            if !is_block || line.trim_start().starts_with("//") {
                continue;
            }
            let before = &lines[number.saturating_sub(5)..number];
            let says = before.iter().any(|line| line.contains("// SAFETY:"));
            assert!(says, "{}:{}", path.display(), number + 1);
        }
    }
}

#[test]
fn an_agents_keys_stand_in_its_format_alone() {
    let keys = [
        ("isApiErrorMessage", &["claude"][..]),
        ("rate_limit_info", &["claude"]),
        ("api_error_status", &["claude"]),
        ("isSidechain", &["claude"]),
        ("isCompactSummary", &["claude"]),
        // Cursor's decoder looks for it to tell that a stream is not its own.
        ("parent_tool_use_id", &["claude", "cursor"]),
        ("thread.started", &["codex"]),
        ("codex_error_info", &["codex"]),
        ("aggregated_output", &["codex"]),
        ("session_meta", &["codex"]),
        ("projectHash", &["gemini"]),
        ("resultDisplay", &["gemini"]),
        ("usageMetadata", &["qwen"]),
        ("qwen-code.api_error", &["qwen"]),
        ("systemPayload", &["qwen"]),
    ];
    let modules = modules();
    for (key, formats) in keys {
        let mut holders: Vec<String> =
            modules.iter().filter(|module| module.code.contains(key)).map(Module::name).collect();
        holders.sort();
        let expected: Vec<String> = formats.iter().map(|format| format!("engine/format/{format}")).collect();
        assert_eq!(holders, expected, "{key}");
    }
}

#[test]
fn this_test_reads_imports_as_the_compiler_does() {
    let module = Module {
        path: vec!["engine".into(), "detect".into(), "burst".into()],
        code: code(
            "use crate::{model::Class, sink::{Render, text}};\nuse super::super::policy::{self, Policy};\n// crate::cli\nfn f(x: crate::model::Event) {} // super::x\nmy_crate::y();\n#[cfg(test)]\nmod tests { use crate::runtime; }",
        ),
    };
    let imports: Vec<String> = module.imports().iter().map(|import| import.join("::")).collect();
    assert_eq!(imports, ["model", "sink", "engine::policy", "model"]);
    let wrong = check(&[module], ARROWS, 0);
    assert_eq!(wrong, ["engine/detect/burst imports sink"]);
}
