//! `config`: the settings that hold, and the files they come from.

use serde_json::json;

use super::args::{ConfigArgs, ConfigCommand, ConfigShowArgs, Globals};
use super::{CliError, Exit, Kind, load_settings, print};
use crate::settings::{self, Environment, Loaded, Value};

/// Prints what was asked for.
pub fn run(args: &ConfigArgs, globals: &Globals) -> Result<Exit, CliError> {
    match &args.command {
        ConfigCommand::Show(args) => {
            let loaded = load_settings(globals, Vec::new())?;
            let text =
                if args.format == "json" { show_json(&loaded, args)? } else { show_toml(&loaded, args) };
            print(text.as_bytes())
        }
        ConfigCommand::Paths => print(paths(globals).as_bytes()),
    }
}

fn show_toml(loaded: &Loaded, args: &ConfigShowArgs) -> String {
    let mut text = String::new();
    let mut table = None;
    for (path, value) in loaded.settings.entries() {
        let key = match path.rsplit_once('.') {
            Some((parent, key)) => {
                if table.as_deref() != Some(parent) {
                    text += &format!("\n[{parent}]\n");
                    table = Some(parent.to_owned());
                }
                key
            }
            None => &path,
        };
        let value = match value {
            Value::Text(text) => toml::Value::String(text),
            Value::Whole(number) => toml::Value::Integer(number.into()),
            // Whole amounts are read as well as they are written.
            Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                toml::Value::Integer(number as i64)
            }
            Value::Number(number) => toml::Value::Float(number),
            Value::List(list) => toml::Value::Array(list.into_iter().map(toml::Value::String).collect()),
        };
        text += &format!("{key} = {value}");
        if args.origins {
            text += &format!(" # from {}", one_line(&loaded.origins.of(&path).to_string()));
        }
        text.push('\n');
    }
    text
}

/// A path may contain a line end, which would end the comment.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

fn show_json(loaded: &Loaded, args: &ConfigShowArgs) -> Result<String, CliError> {
    let entries = loaded.settings.entries().into_iter().map(|(path, value)| {
        let value = match value {
            Value::Text(text) => json!(text),
            Value::Whole(number) => json!(number),
            Value::Number(number) => json!(number),
            Value::List(list) => json!(list),
        };
        let origin = loaded.origins.of(&path).to_string();
        (path, if args.origins { json!({ "value": value, "origin": origin }) } else { value })
    });
    let object = serde_json::Value::Object(entries.collect());
    let mut text = serde_json::to_string_pretty(&object)
        .map_err(|error| CliError::new(Kind::Internal, "write the settings as JSON").cause(error))?;
    text.push('\n');
    Ok(text)
}

/// One line a file: its layer, whether it is there, its path. Works when the files themselves are wrong.
fn paths(globals: &Globals) -> String {
    settings::config_files(&Environment::of_process(), globals.config.as_deref())
        .iter()
        .map(|file| {
            let state = if file.exists { "read" } else { "absent" };
            format!("{:<8} {state:<7} {}\n", file.layer.name(), file.path.display())
        })
        .collect()
}
