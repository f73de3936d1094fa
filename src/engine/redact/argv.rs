//! Secrets out of command lines: what stands behind an option or a variable with a secret's name, whatever it looks
//! like, and what looks like a secret, wherever it stands.

use super::{MARK, redact};

/// What the last part of a name is, if its value is a secret.
const SECRETS: &[&str] = &[
    "key",
    "apikey",
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "pass",
    "credential",
    "credentials",
    "cookie",
    "bearer",
    "authorization",
    "jwt",
    "pat",
];

/// Returns a command line that can be shown and stored, word by word.
pub fn redact_argv(argv: &[String]) -> Vec<String> {
    let mut is_value = false;
    argv.iter()
        .map(|word| {
            let secret_before = std::mem::take(&mut is_value);
            if secret_before && !word.starts_with('-') {
                // `--api-key provider=value`: whose key it is may be told.
                return match word.split_once('=') {
                    Some((name, _)) if name.len() < 20 => format!("{name}={MARK}"),
                    _ => MARK.to_owned(),
                };
            }
            match word.split_once('=') {
                Some((name, value)) if !value.is_empty() && is_secret(name) => format!("{name}={MARK}"),
                Some(_) => redact(word).into_owned(),
                None => {
                    is_value = word.starts_with('-') && is_secret(word);
                    redact(word).into_owned()
                }
            }
        })
        .collect()
}

/// Tells whether a name (`--api-key`, `OPENAI_API_KEY`, `authToken`) is that of a secret: its last part is.
fn is_secret(name: &str) -> bool {
    if name.contains(char::is_whitespace) {
        return false;
    }
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric());
    let Some(part) = parts.rev().find(|part| !part.is_empty()) else { return false };
    // Of `authToken` the last part begins with its last capital letter.
    let is_mixed = part.contains(|c: char| c.is_ascii_lowercase());
    let start = part.rfind(|c: char| c.is_ascii_uppercase()).filter(|_| is_mixed).unwrap_or(0);
    let last = part[start..].to_ascii_lowercase();
    SECRETS.contains(&last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(redact_argv(&argv).join(" "), expected);
    }

    #[test]
    fn the_value_of_a_secret_is_not_shown_whatever_it_looks_like() {
        check("qwen --openai-api-key abc -p fix", "qwen --openai-api-key [redacted] -p fix");
        check("qwen --openaiApiKey abc", "qwen --openaiApiKey [redacted]");
        check("aider --api-key=abc", "aider --api-key=[redacted]");
        check("aider --api-key groq=abc", "aider --api-key groq=[redacted]");
        check(
            "env OPENAI_API_KEY=abc GH_TOKEN=def codex exec x",
            "env OPENAI_API_KEY=[redacted] GH_TOKEN=[redacted] codex exec x",
        );
        check("aider --set-env MY_SECRET=abc", "aider --set-env MY_SECRET=[redacted]");
        check("opencode run --password abc fix", "opencode run --password [redacted] fix");
        check("mytool --authToken=abc", "mytool --authToken=[redacted]");
    }

    #[test]
    fn what_looks_like_a_secret_is_not_shown_wherever_it_stands() {
        let key = format!("sk-ant-{}", "a1B2".repeat(10));
        let shown = redact_argv(&[format!("use {key} to log in")]).concat();
        assert!(!shown.contains(&key) && shown.contains("to log in"), "{shown}");
    }

    #[test]
    fn everything_else_is_shown_as_it_is() {
        for line in [
            "claude -p fix --max-thinking-tokens 5000 --output-format json",
            "aider --map-tokens 100 --thinking-tokens 5",
            "qwen --auth-type openai",
            "codex --remote-auth-token-env TOKEN_VARIABLE exec x",
            "claude --token --verbose",
            "env A=1 B= KEY= claude",
            "codex -c model=o3 exec x",
            "claude -p the-key is=here",
        ] {
            check(line, line);
        }
    }
}
