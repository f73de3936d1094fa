//! What users write into files: settings of every layer, and rules.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use session_doctor::engine::Options;
use session_doctor::engine::ansi;
use session_doctor::engine::classify::fold::fold_lower;
use session_doctor::engine::classify::rules::Rules;
use session_doctor::engine::classify::scan::Scanner;
use session_doctor::engine::format::FORMATS;
use session_doctor::engine::step::intended::CallPattern;
use session_doctor::settings::{
    self, CLASS_KEYS, ConfigLayer, Environment, KEYS, Loaded, Origin, SettingsError, Takes, Value, load,
    loops,
};

use crate::draw::Draw;
use crate::{classify, stream};

/// The directory of this process, with the files of every layer.
static ROOM: LazyLock<PathBuf> = LazyLock::new(|| {
    // In memory where that is possible: it is written to at each run.
    let memory = PathBuf::from("/dev/shm");
    let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let room = root.join(format!("session-doctor-fuzz-{}", std::process::id()));
    for directory in ["etc/session-doctor", "home/.config/session-doctor", "home/project/.git"] {
        fs::create_dir_all(room.join(directory)).expect("a directory for temporary files");
    }
    room
});

static AGENTS: LazyLock<Vec<&str>> = LazyLock::new(|| FORMATS.iter().map(|format| format.name()).collect());

/// Between two layers in an input.
const BORDER: &[u8] = b"\n#---\n";

/// Holds the settings of up to four files and the variables to what they promise.
pub fn check(bytes: &[u8]) {
    let mut layers = Vec::new();
    let mut rest = bytes;
    while layers.len() < 4
        && let Some(at) = rest.windows(BORDER.len()).position(|window| window == BORDER)
    {
        layers.push(&rest[..at]);
        rest = &rest[at + BORDER.len()..];
    }
    layers.push(rest);
    let files = [
        "etc/session-doctor/config.toml",
        "home/.config/session-doctor/config.toml",
        "home/project/.session-doctor.toml",
        "given.toml",
    ];
    for (number, file) in files.iter().enumerate() {
        let text = layers.get(number).copied().unwrap_or_default();
        fs::write(ROOM.join(file), text).expect("a file for temporary use");
    }
    let variables = layers.get(4).copied().unwrap_or_default();
    let variables = String::from_utf8_lossy(variables);
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let home = ("HOME".into(), ROOM.join("home").into());
    let environment = Environment {
        variables: variables.map(|(name, value)| (name.into(), value.into())).chain([home]).collect(),
        system_dir: ROOM.join("etc"),
        current_dir: ROOM.join("home/project"),
    };
    let given = ROOM.join("given.toml");
    let loaded = load(&environment, Some(&given), &[], &AGENTS);
    match &loaded {
        Ok(loaded) => usable(loaded),
        Err(error) => tells(error, &layers),
    }
    let again = load(&environment, Some(&given), &[], &AGENTS);
    match (&loaded, &again) {
        (Ok(one), Ok(other)) => assert_eq!(one.settings, other.settings),
        (one, other) => assert_eq!(one.as_ref().err(), other.as_ref().err()),
    }
}

/// Asserts that settings are in their bounds, come from where they are said to, and can be written down.
fn usable(loaded: &Loaded) {
    let mut written = String::new();
    let mut classes = String::new();
    for (key, value) in loaded.settings.entries() {
        if let Origin::File { path, line } = loaded.origins.of(&key) {
            assert!(
                loaded.files.iter().any(|file| file.path == *path && file.exists),
                "{key} is from {path:?}"
            );
            let lines = fs::read_to_string(path).expect("it was read before").lines().count();
            assert!((1..=lines.max(1)).contains(line), "{key} is in line {line} of {lines}");
        }
        let text = match &value {
            Value::Text(text) => toml::Value::from(text.as_str()),
            Value::Whole(number) => toml::Value::from(i64::from(*number)),
            Value::Number(number) => toml::Value::from(*number),
            Value::List(list) => toml::Value::from(list.clone()),
        };
        let Some(rule) = KEYS.iter().find(|known| known.name == key) else {
            let of_class = key.starts_with("class.") && CLASS_KEYS.iter().any(|known| key.ends_with(known));
            let of_loops = key.starts_with("loops.") && loops::KEYS.iter().any(|known| key.ends_with(known));
            assert!(of_class || of_loops, "{key}");
            classes.push_str(&format!("{key} = {text}\n"));
            continue;
        };
        match (rule.takes, &value) {
            (Takes::Word(words), Value::Text(word)) => {
                assert!(words.contains(&word.as_str()), "{key} = {word}")
            }
            (Takes::Words(words), Value::List(list)) => {
                assert!(list.iter().all(|word| words.contains(&word.as_str())), "{key} = {list:?}");
            }
            (Takes::Whole(from, to), Value::Whole(number)) => {
                assert!((from..=to).contains(number), "{key} = {number}")
            }
            (Takes::Number(from, to), Value::Number(number)) => {
                assert!((from..=to).contains(number), "{key} = {number}")
            }
            (Takes::Agent, Value::Text(word)) => {
                assert!(word == "auto" || AGENTS.contains(&word.as_str()), "{word}")
            }
            (Takes::Calls, Value::List(list)) => {
                assert!(list.iter().all(|call| CallPattern::parse(call).is_ok()), "{key} = {list:?}");
            }
            (Takes::TimeZone, Value::Text(_)) | (Takes::Strings, Value::List(_)) => {}
            (takes, value) => panic!("{key} takes {takes:?} and is {value:?}"),
        }
        written.push_str(&format!("{key} = {text}\n"));
    }
    // What `config show` says, read as a file, gives the same.
    let file = ROOM.join("written.toml");
    fs::write(&file, written + &classes).expect("a file for temporary use");
    let empty = Environment::default();
    let read =
        load(&empty, Some(&file), &[], &AGENTS).unwrap_or_else(|error| panic!("{error}: {}", error.cause));
    assert_eq!(read.settings, loaded.settings);
    assert!(loaded.files.iter().any(|file| file.layer == ConfigLayer::Given));
}

/// Asserts that an error says what is wrong and where, in a line that is there.
fn tells(error: &SettingsError, layers: &[&[u8]]) {
    assert!(!error.cause.trim().is_empty() && !error.to_string().is_empty());
    assert_ne!(error.origin, Origin::Default, "the defaults are never at fault: {error:?}");
    if let Origin::File { line, .. } = &error.origin {
        let most = layers.iter().map(|text| text.iter().filter(|byte| **byte == b'\n').count() + 1).max();
        assert!(*line >= 1 && Some(*line) <= most, "line {line} of {most:?}: {error:?}");
    }
}

/// Holds rules that a user wrote to what they promise.
pub fn rules(bytes: &[u8]) {
    let file = ROOM.join("rules.toml");
    fs::write(&file, bytes).expect("a file for temporary use");
    let read = settings::rules::read_file(&file, &AGENTS);
    let loaded = load(&Environment::default(), Some(&file), &[], &AGENTS);
    let rows = match (&read, &loaded) {
        (Ok(read), Ok(loaded)) => {
            let rows: Vec<_> = loaded.own_rules.concat();
            assert_eq!(read.rows, rows, "the two ways to read rules agree");
            rows
        }
        (Err(errors), _) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| tells(error, &[bytes]));
            assert!(loaded.is_err(), "what is wrong for `rules check` is right for `tap`");
            return;
        }
        // Other settings in the file are checked by `load` alone.
        (Ok(_), Err(error)) => return tells(error, &[bytes]),
    };
    let merged = loaded.as_ref().map(Loaded::rules).expect("it was loaded");
    let own = Rules::with_own(std::slice::from_ref(&rows));
    assert_eq!(merged.is_ok(), own.is_ok(), "the two ways to merge rules agree");
    let merged = match (merged, own) {
        (Ok(merged), _) => merged,
        (Err(_), Err(errors)) => {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
            for error in &errors {
                assert!(!error.message.is_empty(), "{error:?}");
                assert!(
                    error.place.as_ref().is_none_or(|place| (1..=lines).contains(&place.line)),
                    "{error:?}"
                );
            }
            return;
        }
        (Err(error), Ok(_)) => panic!("{error}"),
    };
    merged.check().expect("rules that are accepted can be used");
    assert_eq!(merged.own(), Rules::own(&merged));
    search(&merged, bytes);
}

/// Asserts that the pre-scan keeps none of the lines back that the rules find. The lines are the words of the file.
fn search(rules: &Arc<Rules>, bytes: &[u8]) {
    let mut draw = Draw::of(bytes);
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> = text.split(['\n', '\'', '"']).map(|words| words.replace('\\', "")).collect();
    let fronts = ["", "error: ", "ERROR: ", "2026-01-01 10:00:00 ERROR ", "> ", "Oh, ", "  "];
    for line in &mut lines {
        *line = format!("{}{line}", draw.pick(&fronts));
        if draw.once_in(3) {
            line.make_ascii_uppercase();
        }
    }
    let mut scanner = Scanner::new(rules, &[]);
    for line in &lines {
        let line = ansi::strip(line.as_bytes());
        classify::passes(rules, &mut scanner, &line);
        let folded = fold_lower(&line);
        for rule in &rules.rules[..rules.own().0] {
            let touched = rule.line_stems.iter().any(|stem| folded.contains(stem));
            assert!(touched || rule.line_match(&folded).is_none(), "{}: {folded}", rule.id);
        }
    }
    let stream = lines.join("\n\n");
    classify::scan(&mut scanner, stream.as_bytes());
    stream::explained(&Arc::new(Options::with_rules(Arc::clone(rules))), stream.as_bytes());
}
