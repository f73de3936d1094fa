//! Calls whose repetition is intended: a poll of the user's own, say. The user names them.

use super::tools::argument;

/// Which calls are meant: `Tool`, or `Tool(what)`, as agents write permissions. In both, `*` stands for anything; `what` is
/// held against the command line, else the file, else what is searched or fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPattern {
    tool: String,
    what: Option<String>,
}

impl CallPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let (tool, what) = match text.split_once('(') {
            None => (text, None),
            Some((tool, rest)) => (tool, Some(rest.strip_suffix(')').ok_or("its parenthesis does not end")?)),
        };
        if tool.trim().is_empty() {
            return Err("it names no tool");
        }
        // An empty one would hold for no call, or, as agents read it, for every one.
        if what.is_some_and(|what| what.trim().is_empty()) {
            return Err("there is nothing in its parentheses");
        }
        if text.chars().all(|c| matches!(c, '*' | '(' | ')')) {
            return Err("it is every call");
        }
        // Claude Code also writes the beginning of a command as `npm run test:*`.
        let what = what.map(|what| {
            what.trim()
                .strip_suffix(":*")
                .map_or_else(|| what.trim().to_owned(), |begins| format!("{begins}*"))
        });
        Ok(Self { tool: tool.trim().to_owned(), what })
    }

    /// Whether a call with these arguments is meant.
    pub fn matches(&self, name: &str, input: &str) -> bool {
        is_like(&self.tool, name)
            && self.what.as_ref().is_none_or(|what| is_like(what, argument(input).trim()))
    }
}

/// Whether a text is as a pattern says, in which `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    // What comes first may stand first: nothing is lost by taking the nearest.
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_names_a_tool_and_what_it_is_given() {
        let watch = r#"{"command":"gh run watch 17 --exit-status","description":"Wait"}"#;
        for (pattern, name, input, meant) in [
            ("Bash(gh run watch*)", "Bash", watch, true),
            ("Bash(gh run watch:*)", "Bash", watch, true),
            ("Bash(gh run watch)", "Bash", watch, false),
            ("Bash(gh * --exit-status)", "Bash", watch, true),
            ("Bash(*watch*)", "Bash", watch, true),
            ("Bash(rm *)", "Bash", watch, false),
            ("Bash", "Bash", watch, true),
            ("*(gh run watch*)", "run_shell_command", watch, true),
            ("mcp__ci__*", "mcp__ci__status", "{}", true),
            ("Bash(gh*)", "BashOutput", watch, false),
            ("shell(make poll)", "shell", r#"{"command":["bash","-lc","make poll"]}"#, true),
            ("Read(*.log)", "Read", r#"{"file_path":"/var/x.log"}"#, true),
            (
                "WebFetch(https://ci.example/*)",
                "WebFetch",
                r#"{"url":"https://ci.example/7","prompt":"done?"}"#,
                true,
            ),
            ("status(*)", "status", "", true),
        ] {
            assert_eq!(CallPattern::parse(pattern).unwrap().matches(name, input), meant, "{pattern} {name}");
        }
    }

    #[test]
    fn what_means_nothing_or_everything_is_no_pattern() {
        for wrong in ["", " ", "(x)", "Bash(", "Bash(x", "Bash()", "*", "*(*)", "**"] {
            assert!(CallPattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// The same, said simply.
    fn is_like_slowly(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|at| is_like_slowly(rest, &text[at..])),
            [c, rest @ ..] => text.first() == Some(c) && is_like_slowly(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_star_stands_for_anything(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(is_like(&pattern, &text), is_like_slowly(&chars(&pattern), &chars(&text)));
        }
    }
}
