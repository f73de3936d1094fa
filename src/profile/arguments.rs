//! Command lines as the agents' own parsers read them: which word is an option, which its value, which the prompt.
//!
//! Reading decides what a word means; writing gives every word back that was not changed, in its order.

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: a switch.
    Nothing,
    /// One value, always.
    Value,
    /// One value, unless the next word looks like an option.
    Optional,
    /// Every word up to the next that looks like an option.
    Many,
}

/// Whose rules a command line is read by, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// commander (node): a value is taken whatever it looks like.
    Commander,
    /// yargs (node): `--outputFormat` means `--output-format`, `--no-x` unsets `x`, a switch may be followed by
    /// `true` or `false`, and what looks like an option is no value.
    Yargs,
    /// clap (Rust): what looks like an option is no value.
    Clap,
    /// argparse (Python): long options may be cut short, `--no-x` unsets `x`.
    Argparse,
}

/// The options of a program.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Whose rules hold.
    pub parser: Parser,
    /// The names of each option, parted by spaces, the one it goes by first; and what it takes.
    pub options: &'static [(&'static str, Takes)],
}

impl Table {
    /// Returns the name that an option goes by, and what it takes.
    fn find(&self, name: &str) -> Option<(&'static str, Takes)> {
        let mut wanted = name.to_owned();
        if self.parser == Parser::Yargs && name.starts_with("--") {
            wanted = kebab(name);
        }
        if let Some(found) = self.exact(&wanted) {
            return Some(found);
        }
        let positive = match self.parser {
            Parser::Yargs | Parser::Argparse => wanted.strip_prefix("--no-").map(|rest| format!("--{rest}")),
            Parser::Commander | Parser::Clap => None,
        };
        if let Some((name, _)) = positive.and_then(|positive| self.exact(&positive)) {
            return Some((name, Takes::Nothing));
        }
        if self.parser == Parser::Argparse && wanted.len() > 3 && wanted.starts_with("--") {
            let mut cut = self.options.iter().filter(|(names, _)| {
                names.split(' ').any(|name| name.starts_with(&wanted) && name.starts_with("--"))
            });
            if let (Some((names, takes)), None) = (cut.next(), cut.next()) {
                return Some((first(names), *takes));
            }
        }
        None
    }

    fn exact(&self, wanted: &str) -> Option<(&'static str, Takes)> {
        let (names, takes) =
            self.options.iter().find(|(names, _)| names.split(' ').any(|name| name == wanted))?;
        Some((first(names), *takes))
    }
}

fn first(names: &'static str) -> &'static str {
    names.split(' ').next().unwrap_or(names)
}

/// `--outputFormat` as `--output-format`.
fn kebab(name: &str) -> String {
    let mut result = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            result.push('-');
        }
        result.push(letter.to_ascii_lowercase());
    }
    result
}

/// One part of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// An option with its values.
    Option {
        /// The name it goes by; as spelled if nobody knows it.
        name: String,
        /// Whether the table has it.
        known: bool,
        /// Its values.
        values: Vec<String>,
        /// The words it was read from.
        words: Vec<String>,
    },
    /// A word of its own.
    Word(String),
    /// `--`: only words follow.
    End,
}

/// A command line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    parts: Vec<Part>,
}

impl Arguments {
    /// Reads the words behind the program's name.
    pub fn read(table: &Table, words: &[String]) -> Self {
        let mut parts = Vec::new();
        let mut words = words.iter().peekable();
        let mut ended = false;
        while let Some(word) = words.next() {
            if ended || !is_option(word) {
                parts.push(Part::Word(word.clone()));
                continue;
            }
            if word == "--" {
                ended = true;
                parts.push(Part::End);
                continue;
            }
            for (spelled, glued) in spread(table, word) {
                let found = table.find(&spelled);
                let mut option_words = vec![match &glued {
                    Some(value) if spelled.starts_with("--") => format!("{spelled}={value}"),
                    Some(value) => format!("{spelled}{value}"),
                    None => spelled.clone(),
                }];
                let mut values: Vec<String> = glued.iter().cloned().collect();
                let takes = found.map_or(Takes::Nothing, |(_, takes)| takes);
                let has_own = glued.is_some();
                let mut take = |values: &mut Vec<String>, word: &String| {
                    values.push(word.clone());
                    option_words.push(word.clone());
                };
                match takes {
                    Takes::Nothing => {
                        let yes_or_no = |word: &&String| matches!(word.as_str(), "true" | "false");
                        if table.parser == Parser::Yargs
                            && found.is_some()
                            && !has_own
                            && let Some(word) = words.next_if(yes_or_no)
                        {
                            take(&mut values, word);
                        }
                    }
                    Takes::Value if !has_own => {
                        let any = matches!(table.parser, Parser::Commander);
                        if let Some(word) = words.next_if(|word| any || !is_option(word)) {
                            take(&mut values, word);
                        }
                    }
                    Takes::Optional if !has_own => {
                        if let Some(word) = words.next_if(|word| !is_option(word)) {
                            take(&mut values, word);
                        }
                    }
                    // A glued value ends the list for clap and commander, not for yargs; nobody writes that.
                    Takes::Many if !has_own => {
                        while let Some(word) = words.next_if(|word| !is_option(word)) {
                            take(&mut values, word);
                        }
                    }
                    Takes::Value | Takes::Optional | Takes::Many => {}
                }
                parts.push(Part::Option {
                    name: found.map_or(spelled, |(name, _)| name.to_owned()),
                    known: found.is_some(),
                    values,
                    words: option_words,
                });
            }
        }
        Self { parts }
    }

    /// Returns the parts in their order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Tells whether an option is there, and not as `--no-…` or with the value `false`.
    pub fn has(&self, name: &str) -> bool {
        let last = self.options(name).last();
        last.is_some_and(|(values, words)| {
            let taken_back = words[0].starts_with("--no-") && !name.starts_with("--no-");
            !taken_back && values.first().is_none_or(|value| value != "false")
        })
    }

    /// Returns the value of an option, the last one if it is there several times. An option without its optional
    /// value has none.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options(name).last().and_then(|(values, _)| values.last()).map(String::as_str)
    }

    fn options(&self, wanted: &str) -> impl Iterator<Item = (&Vec<String>, &Vec<String>)> {
        self.parts.iter().filter_map(move |part| match part {
            Part::Option { name, values, words, .. } if name == wanted => Some((values, words)),
            _ => None,
        })
    }

    /// Returns the words that are neither options nor their values.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Word(word) => Some(word.as_str()),
            _ => None,
        })
    }

    /// Returns an option that the table does not have and that stands right before a word, which may be its value.
    /// What the words mean is not known then.
    pub fn doubtful(&self) -> Option<&str> {
        self.parts.windows(2).find_map(|pair| match pair {
            [Part::Option { name, known: false, values, .. }, Part::Word(_)] if values.is_empty() => {
                Some(name.as_str())
            }
            _ => None,
        })
    }

    /// Returns all but the options of these names.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.parts.retain(|part| match part {
            Part::Option { name, .. } => !names.contains(&name.as_str()),
            _ => true,
        });
        self
    }

    /// Returns all but the words from number `first` on (counted from 0), and `--` if nothing is left behind it.
    #[must_use]
    pub fn without_words(mut self, first: usize) -> Self {
        let mut seen = 0;
        self.parts.retain(|part| {
            let is_word = matches!(part, Part::Word(_));
            seen += usize::from(is_word);
            !is_word || seen <= first
        });
        if self.parts.last() == Some(&Part::End) {
            self.parts.pop();
        }
        self
    }

    /// Puts another word in the place of number `at` (counted from 0) and drops the words behind it. Returns whether
    /// there was one.
    pub fn replace_words(&mut self, at: usize, by: &str) -> bool {
        let mut seen = 0;
        let mut found = false;
        self.parts.retain_mut(|part| {
            let Part::Word(word) = part else { return true };
            seen += 1;
            if seen == at + 1 {
                by.clone_into(word);
                found = true;
            }
            seen <= at + 1
        });
        found
    }

    /// Gives an option another value: in its place if it is there, in front of everything otherwise.
    pub fn set(&mut self, name: &str, value: &str) {
        let part = Part::Option {
            name: name.to_owned(),
            known: true,
            values: vec![value.to_owned()],
            words: vec![name.to_owned(), value.to_owned()],
        };
        let is_it = |part: &Part| matches!(part, Part::Option { name: other, .. } if other == name);
        match self.parts.iter().position(is_it) {
            Some(at) => {
                self.parts[at] = part;
                let mut index = 0;
                self.parts.retain(|part| {
                    index += 1;
                    index - 1 <= at || !is_it(part)
                });
            }
            None => self.parts.insert(0, part),
        }
    }

    /// Puts words in front of everything.
    pub fn prepend(&mut self, words: &[&str]) {
        self.parts.splice(0..0, words.iter().map(|word| Part::Word((*word).to_owned())));
    }

    /// Puts the parts from `at` on into a second command line.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        Self { parts: self.parts.split_off(at.min(self.parts.len())) }
    }

    /// Returns where, among the parts, word number `word` (counted from 0) stands.
    pub fn position_of_word(&self, word: usize) -> Option<usize> {
        let mut words = self.parts.iter().enumerate().filter(|(_, part)| matches!(part, Part::Word(_)));
        words.nth(word).map(|(at, _)| at)
    }

    /// Writes the command line.
    pub fn write(&self) -> Vec<String> {
        let mut result = Vec::new();
        for part in &self.parts {
            match part {
                Part::Option { words, .. } => result.extend(words.iter().cloned()),
                Part::Word(word) => result.push(word.clone()),
                Part::End => result.push("--".to_owned()),
            }
        }
        result
    }
}

/// Tells whether a word looks like an option: `-` alone is a file, a negative number a value.
fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-') && word.parse::<f64>().is_err()
}

/// Spreads a word into options, each with the value that is glued to it: `--a=b`, `-mVALUE`, `-yp`.
fn spread(table: &Table, word: &str) -> Vec<(String, Option<String>)> {
    if word.starts_with("--") {
        return match word.split_once('=') {
            Some((name, value)) => vec![(name.to_owned(), Some(value.to_owned()))],
            None => vec![(word.to_owned(), None)],
        };
    }
    if table.exact(word).is_some() {
        return vec![(word.to_owned(), None)];
    }
    let mut result = Vec::new();
    let letters = &word[1..];
    for (at, letter) in letters.char_indices() {
        let name = format!("-{letter}");
        let rest = &letters[at + letter.len_utf8()..];
        match table.exact(&name) {
            Some((_, Takes::Nothing)) if !rest.starts_with('=') => result.push((name, None)),
            Some(_) => {
                let glued = (!rest.is_empty()).then(|| rest.to_owned());
                result.push((name, glued));
                return result;
            }
            // One letter that nobody knows, and the whole word is a riddle.
            None => return vec![(word.to_owned(), None)],
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[(&str, Takes)] = &[
        ("--model -m", Takes::Value),
        ("--yolo -y", Takes::Nothing),
        ("--print -p", Takes::Nothing),
        ("--resume -r", Takes::Optional),
        ("--allowed-tools --allowedTools", Takes::Many),
        ("--output-format -o", Takes::Value),
    ];

    fn words(line: &str) -> Vec<String> {
        line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn read(parser: Parser, line: &str) -> Arguments {
        Arguments::read(&Table { parser, options: OPTIONS }, &words(line))
    }

    #[test]
    fn the_value_of_an_option_is_no_word_of_its_own() {
        for (parser, line, own) in [
            (Parser::Commander, "-p task --model opus", "task"),
            (Parser::Commander, "-p --model opus task", "task"),
            (Parser::Commander, "-p --model=opus task", "task"),
            (Parser::Commander, "-p task --allowedTools Bash Edit", "task"),
            (Parser::Commander, "--allowedTools Bash Edit -p task", "task"),
            (Parser::Commander, "--allowed-tools Bash -- task", "task"),
            (Parser::Commander, "--resume 123 task", "task"),
            (Parser::Commander, "--resume --print task", "task"),
            (Parser::Commander, "-po json task", "task"),
            (Parser::Commander, "-mopus task", "task"),
            (Parser::Commander, "-- -task", "-task"),
            (Parser::Commander, "--model -5 task", "task"),
            (Parser::Yargs, "--outputFormat json task", "task"),
            (Parser::Yargs, "--yolo true task", "task"),
            (Parser::Yargs, "-yo json task", "task"),
            (Parser::Clap, "-m o3 task", "task"),
            (Parser::Argparse, "--mod o3 task", "task"),
        ] {
            let arguments = read(parser, line);
            assert_eq!(arguments.words().collect::<Vec<_>>(), [own], "{line}");
        }
    }

    #[test]
    fn what_is_not_changed_is_written_as_it_was() {
        for line in [
            "-p task --model=opus -r --allowedTools A B -- x -y",
            "--unknown=1 --unknown 2",
            "-",
            "-r",
            "-zzz word",
            "--yolo false",
        ] {
            for parser in [Parser::Commander, Parser::Yargs, Parser::Clap, Parser::Argparse] {
                assert_eq!(read(parser, line).write(), words(line), "{line}");
            }
        }
        assert_eq!(read(Parser::Yargs, "-yo json").write(), words("-y -o json"), "the same, spread");
    }

    #[test]
    fn a_switch_can_be_taken_back() {
        assert!(read(Parser::Yargs, "--yolo").has("--yolo"));
        assert!(!read(Parser::Yargs, "--yolo --no-yolo").has("--yolo"));
        assert!(!read(Parser::Yargs, "--yolo=false").has("--yolo"));
        assert!(!read(Parser::Yargs, "--yolo false").has("--yolo"));
        assert!(!read(Parser::Commander, "task").has("--yolo"));
    }

    #[test]
    fn the_last_of_several_values_holds_and_all_are_replaced() {
        let mut arguments = read(Parser::Clap, "-m a task --model b");
        assert_eq!(arguments.value("--model"), Some("b"));
        arguments.set("--model", "c");
        assert_eq!(arguments.write(), words("--model c task"));
        let mut arguments = read(Parser::Clap, "task");
        arguments.set("--model", "c");
        assert_eq!(arguments.write(), words("--model c task"));
    }

    #[test]
    fn an_unknown_option_before_a_word_makes_the_word_doubtful() {
        assert_eq!(read(Parser::Commander, "-p --brand-new task").doubtful(), Some("--brand-new"));
        assert_eq!(read(Parser::Commander, "-p --brand-new=1 task").doubtful(), None);
        assert_eq!(read(Parser::Commander, "-p task --brand-new").doubtful(), None);
        assert_eq!(read(Parser::Commander, "-p --brand-new -- task").doubtful(), None);
        assert_eq!(read(Parser::Commander, "-pz task").doubtful(), Some("-pz"));
    }

    #[test]
    fn words_are_replaced_and_dropped_in_their_place() {
        let mut arguments = read(Parser::Clap, "exec -m o3 -- one two");
        assert!(arguments.replace_words(1, "other"));
        assert_eq!(arguments.write(), words("exec -m o3 -- other"));
        assert!(!arguments.replace_words(5, "none"));
        assert_eq!(read(Parser::Clap, "exec -m o3 -- one").without_words(1).write(), words("exec -m o3"));
    }
}
