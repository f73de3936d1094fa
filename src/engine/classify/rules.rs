//! Rules: patterns as data, loaded, checked, compiled when first needed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;

use super::counts::Counts;
use super::forms;
use crate::engine::json;
use crate::model::{Class, Origin, Severity};

/// The rules that come with the program.
#[cfg(test)]
pub(super) const DEFAULT_RULES: &str = include_str!("rules.toml");

/// The same as JSON, which is read in a fifth of the time: no start of the program has to read TOML for it. The test that
/// says whether `openings.json` is stale does so for this, too.
pub(super) const BUILT_IN: &str = include_str!("rules.json");

/// What kind of match decided; a higher rank beats a lower one.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// A last resort.
    Weak,
    /// An HTTP status alone.
    Status,
    /// A machine code.
    Code,
    /// The words.
    Text,
    /// Words or a code that leave no doubt.
    Decisive,
}

impl Rank {
    /// Every rank, from the lowest.
    pub const ALL: &[Self] = &[Self::Weak, Self::Status, Self::Code, Self::Text, Self::Decisive];

    /// Returns its name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::Status => "status",
            Self::Code => "code",
            Self::Text => "text",
            Self::Decisive => "decisive",
        }
    }

    /// Returns the rank with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rank| rank.name() == name)
    }
}

/// Where a rule that a user wrote stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// All rules, ready to use.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Own rules first, then those of the program in the order of their file: where all else is equal, the first wins.
    pub rules: Vec<Rule>,
    /// What makes a plain line carry provider text.
    pub introducers: Vec<Introducer>,
    /// The position of each class in the order of precedence (lower wins).
    pub(super) precedence: HashMap<Class, usize>,
    /// The names of the rules that a user switched off, and where.
    pub switched_off: Vec<(String, Place)>,
    pub(super) index: OnceLock<StemIndex>,
    pub(super) counts: Option<Arc<Counts>>,
}

/// Which stems stand in a text, and so which rules can match it: one pass instead of one per rule. A table over the
/// first bytes of the stems and not an automaton: that takes longer to build than the rest of a start.
#[derive(Clone, Debug)]
pub(super) struct StemIndex {
    /// The texts of all stems, one behind the other.
    texts: String,
    /// Who needs them, in the same order: introducers by their index, rules by theirs from [`Self::RULES`] on.
    owners: Vec<u16>,
    /// In the order of their buckets.
    stems: Vec<Stem>,
    /// How each of them begins.
    heads: Vec<Head>,
    /// By bucket: where its stems begin; one more for the end.
    buckets: Vec<u32>,
    /// By bucket, a bit each: whether there are any.
    occupied: [u64; 1 << (Self::BUCKETS_LOG2 - 6)],
    /// Those too short to have a bucket.
    short: Vec<Stem>,
}

/// A stem and who needs it, by where that stands.
#[derive(Clone, Debug)]
struct Stem {
    text: Range<usize>,
    owners: Range<usize>,
}

/// Which introducers and rules have a stem in a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Into [`Rules::introducers`].
    pub introducers: Indexes,
    /// Into [`Rules::rules`].
    pub rules: Indexes,
}

/// A set of indexes, a bit each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<u64>);

impl Indexes {
    fn below(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    /// Adds an index; tells whether it is new.
    fn insert(&mut self, index: usize) -> bool {
        let bit = 1 << (index % 64);
        let before = self.0[index / 64];
        self.0[index / 64] |= bit;
        before & bit == 0
    }

    /// Whether the set has this index.
    pub fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Whether the set has none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Returns the indexes in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(number, word)| {
            let next = |rest: &u64| Some(rest & (rest - 1)).filter(|rest| *rest != 0);
            std::iter::successors(Some(*word).filter(|word| *word != 0), next)
                .map(move |rest| number * 64 + rest.trailing_zeros() as usize)
        })
    }
}

impl StemIndex {
    /// How many bytes of a stem choose its bucket.
    const HEAD: usize = 3;

    /// How many buckets there are, as a power of two: eight for each of some hundred stems, so that most are empty.
    const BUCKETS_LOG2: u32 = 12;

    /// From where on owners are rules.
    const RULES: u16 = 1 << 15;

    fn new(rules: &Rules) -> Self {
        let introducers = (0..).zip(&rules.introducers).map(|(number, row)| (number, &row.stems, None));
        let of_rules = (Self::RULES..).zip(&rules.rules);
        let of_rules = of_rules.map(|(number, row)| (number, &row.stems, Some(&row.line_stems)));
        let mut all: Vec<(u32, &str, u16)> = Vec::new();
        for (owner, stems, more) in introducers.chain(of_rules) {
            for stem in stems.iter().chain(more.into_iter().flatten()) {
                let is_long = stem.len() >= Self::HEAD;
                // Those too short come last.
                let bucket = if is_long { Self::bucket(stem.as_bytes()) as u32 } else { u32::MAX };
                all.push((bucket, stem, owner));
            }
        }
        all.sort_unstable();
        let (mut texts, mut owners) = (String::new(), Vec::with_capacity(all.len()));
        let (mut stems, mut short): (Vec<Stem>, Vec<Stem>) = Default::default();
        let mut buckets = vec![0u32; (1 << Self::BUCKETS_LOG2) + 1];
        for same in all.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
            let (bucket, text, _) = same[0];
            let (text_start, owners_start) = (texts.len(), owners.len());
            texts.push_str(text);
            owners.extend(same.iter().map(|(_, _, owner)| *owner));
            let stem = Stem { text: text_start..texts.len(), owners: owners_start..owners.len() };
            if bucket == u32::MAX {
                short.push(stem);
            } else {
                buckets[bucket as usize + 1] += 1;
                stems.push(stem);
            }
        }
        let mut occupied = [0; 1 << (Self::BUCKETS_LOG2 - 6)];
        for bucket in 1..buckets.len() {
            occupied[(bucket - 1) / 64] |= u64::from(buckets[bucket] > 0) << ((bucket - 1) % 64);
            buckets[bucket] += buckets[bucket - 1];
        }
        let heads = stems.iter().map(|stem| Head::of(&texts[stem.text.clone()])).collect();
        Self { texts, owners, stems, heads, buckets, occupied, short }
    }

    /// Returns the bucket of what begins with these bytes, of which there are [`Self::HEAD`] or more.
    fn bucket(bytes: &[u8]) -> usize {
        let head = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
        (head.wrapping_mul(0x9e37_79b1) >> (u32::BITS - Self::BUCKETS_LOG2)) as usize
    }

    /// Calls `found` for each owner of a stem that stands in the text.
    fn find(&self, text: &str, mut found: impl FnMut(u16)) {
        let bytes = text.as_bytes();
        let mut seen = Indexes::below(self.stems.len());
        let owners = |stem: &Stem| self.owners[stem.owners.clone()].iter().copied();
        for (at, head) in bytes.windows(Self::HEAD).enumerate() {
            let bucket = Self::bucket(head);
            if self.occupied[bucket / 64] >> (bucket % 64) & 1 == 0 {
                continue;
            }
            let stems = self.buckets[bucket] as usize..self.buckets[bucket + 1] as usize;
            let rest = Head::read(&bytes[at..]);
            for number in stems {
                let stem = &self.stems[number];
                if self.heads[number].begins(rest)
                    && bytes[at..].starts_with(self.texts[stem.text.clone()].as_bytes())
                    && seen.insert(number)
                {
                    owners(stem).for_each(&mut found);
                }
            }
        }
        let short = self.short.iter().filter(|stem| text.contains(&self.texts[stem.text.clone()]));
        short.flat_map(owners).for_each(found);
    }
}

/// One rule. Patterns see folded, lower-case text.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in `explain` and in findings.
    pub id: String,
    /// What it finds.
    pub class: Class,
    /// On whose words it may fire.
    pub origins: Vec<Origin>,
    /// The formats it is limited to; empty: all.
    pub agents: Vec<String>,
    /// Machine codes, exact, lower-case.
    pub codes: Vec<String>,
    /// HTTP statuses.
    pub statuses: Vec<u16>,
    /// Literals, one of which stands in every text that `text` or `unless`-free matching can match.
    pub stems: Vec<String>,
    /// The same for plain lines.
    pub line_stems: Vec<String>,
    /// The rank, where the rule sets it.
    pub rank: Option<Rank>,
    /// Whether the request may be repeated unchanged, where the rule overrides its class.
    pub retryable: Option<bool>,
    /// How bad its findings are, where the rule overrides its class.
    pub severity: Option<Severity>,
    /// Where the user wrote it; `None`: it comes with the program.
    pub place: Option<Place>,
    /// Texts that it must match.
    pub yes: Vec<String>,
    /// Texts that it must not match.
    pub no: Vec<String>,
    pub(super) text: Patterns,
    pub(super) line: Patterns,
    pub(super) unless: Patterns,
}

/// A way in which plain lines begin that carry provider text.
#[derive(Clone, Debug)]
pub struct Introducer {
    /// Its name in `explain`.
    pub id: String,
    /// Literals, one of which stands in every line that it can match.
    pub stems: Vec<String>,
    /// Where the user wrote it; `None`: it comes with the program.
    pub place: Option<Place>,
    pub(super) line: Patterns,
    pub(super) unless: Patterns,
}

/// Patterns of one field, joined into one expression that is compiled when first needed: start-up must not
/// pay for rules that no line ever asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    pub(super) source: Vec<String>,
    anchored: bool,
    compiled: OnceLock<Regex>,
    /// How everything begins that they match where they are anchored; `None`: that is not certain.
    heads: OnceLock<Option<Vec<Head>>>,
}

/// The first eight bytes of a text as a number, those that count set in the mask: compared in one step.
#[derive(Clone, Copy, Debug)]
struct Head {
    bytes: u64,
    mask: u64,
}

impl Head {
    fn of(text: &str) -> Self {
        let counted = text.len().min(8) as u32;
        let mask = if counted == 0 { 0 } else { u64::MAX >> (64 - 8 * counted) };
        Self { bytes: Self::read(text.as_bytes()), mask }
    }

    /// Returns the first bytes of a text, zeros behind its end.
    #[inline]
    fn read(text: &[u8]) -> u64 {
        if let Some(head) = text.first_chunk() {
            return u64::from_le_bytes(*head);
        }
        let mut head = [0; 8];
        head[..text.len()].copy_from_slice(text);
        u64::from_le_bytes(head)
    }

    /// Whether a text that begins with these bytes has this head.
    #[inline]
    fn begins(self, bytes: u64) -> bool {
        bytes & self.mask == self.bytes
    }
}

/// How programs without a log format announce an error before they say it.
pub(super) const SPOKEN_LEVEL: &str =
    "(?:fatal |unexpected |unhandled |uncaught )?(?:error|exception|fatal): ";

/// Returns what follows a [`SPOKEN_LEVEL`].
fn behind_spoken_level(text: &str) -> Option<&str> {
    let strip = |text, words: &[&str]| words.iter().find_map(|word| str::strip_prefix(text, word));
    let text = strip(text, &["fatal ", "unexpected ", "unhandled ", "uncaught "]).unwrap_or(text);
    strip(text, &["error: ", "exception: ", "fatal: "])
}

/// The most memory that one joined expression may compile to, in bytes.
const REGEX_LIMIT: usize = 4 << 20;

impl Patterns {
    pub(super) fn new(source: Vec<String>, anchored: bool) -> Self {
        Self { source, anchored, ..Self::default() }
    }

    /// Compiles them now, within this many bytes of memory.
    pub(super) fn compile(&mut self, limit: usize) -> Result<(), regex::Error> {
        if !self.source.is_empty() {
            self.compiled = OnceLock::from(self.build_within(limit)?);
        }
        Ok(())
    }

    fn build(&self) -> Result<Regex, regex::Error> {
        self.build_within(REGEX_LIMIT)
    }

    fn build_within(&self, limit: usize) -> Result<Regex, regex::Error> {
        // In groups, so that flags of one pattern end with it.
        let joined = self.source.iter().map(|pattern| format!("(?:{pattern})")).collect::<Vec<_>>().join("|");
        let expression = if self.anchored { format!("^(?:{SPOKEN_LEVEL})?(?:{joined})") } else { joined };
        // Texts are folded and patterns are ASCII: Unicode tables would only cost memory and time.
        RegexBuilder::new(&expression).unicode(false).size_limit(limit).build()
    }

    /// Whether a text may match, by how it begins: that spares most patterns from being compiled at all.
    fn may_match(&self, text: &str) -> bool {
        if !self.anchored {
            return true;
        }
        // A head is never longer than what is compared in one step.
        let heads = self.heads.get_or_init(|| {
            forms::heads(&self.source).map(|heads| heads.iter().map(|head| Head::of(head)).collect())
        });
        let Some(heads) = heads else { return true };
        let begins = |text: &str| {
            let bytes = Head::read(text.as_bytes());
            heads.iter().any(|head| head.begins(bytes))
        };
        begins(text) || behind_spoken_level(text).is_some_and(begins)
    }

    /// Whether they match.
    fn is_match(&self, text: &str) -> bool {
        !self.source.is_empty() && self.may_match(text) && self.regex().is_match(text.as_bytes())
    }

    fn regex(&self) -> &Regex {
        self.compiled.get_or_init(|| self.build().expect("checked by `Rules::check`"))
    }

    /// Returns the words that match (with what stands around them, where a match ends inside a character).
    fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        if self.source.is_empty() || !self.may_match(text) {
            return None;
        }
        let found = self.regex().find(text.as_bytes())?;
        Some(text.get(found.range()).unwrap_or(text))
    }
}

impl Rule {
    /// Returns where the patterns match a message: `text` anywhere, `line` at its start.
    pub fn text_match<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.text.find(text).or_else(|| self.line_match(text))
    }

    /// Returns the match of the `line` patterns at the start of a plain line's own words.
    pub fn line_match<'t>(&self, body: &'t str) -> Option<&'t str> {
        self.line.find(body)
    }

    /// Returns the disclaimer that keeps the rule from firing on this text, if there is one.
    pub fn disclaimer<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.unless.find(text)
    }

    /// Returns the rank that a match has at best.
    pub fn best_rank(&self) -> Rank {
        self.rank.unwrap_or(if !self.text.source.is_empty() || self.reads_lines() {
            Rank::Text
        } else if !self.codes.is_empty() {
            Rank::Code
        } else {
            Rank::Status
        })
    }

    /// Whether it has patterns for plain lines.
    pub fn reads_lines(&self) -> bool {
        !self.line.source.is_empty()
    }
}

impl Introducer {
    /// Returns whether a plain line begins in this way.
    pub fn introduces(&self, body: &str) -> bool {
        self.line.is_match(body) && !self.unless.is_match(body)
    }
}

/// Why rules could not be loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RulesError {
    /// The rule, where it is one rule's fault.
    pub rule: Option<String>,
    /// Where it stands, if a user wrote it: the line of the field, where it is one field's fault.
    pub place: Option<Place>,
    /// The field, where it is one field's fault.
    pub field: Option<&'static str>,
    /// What is wrong; reads after "failed to load rules: ".
    pub message: String,
    /// What the user may do about it.
    pub hint: Option<String>,
    /// A name that nobody has.
    pub unknown: Option<String>,
}

impl std::fmt::Display for RulesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "load rule `{rule}`: {}", self.message),
            None => write!(f, "load rules: {}", self.message),
        }
    }
}

impl std::error::Error for RulesError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    precedence: Vec<Class>,
    introducer: Vec<IntroducerRow>,
    rule: Vec<RuleRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IntroducerRow {
    id: String,
    line: Vec<String>,
    stems: Vec<String>,
    #[serde(default)]
    unless: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleRow {
    id: String,
    class: Class,
    #[serde(default)]
    origins: Vec<Origin>,
    #[serde(default)]
    agents: Vec<String>,
    #[serde(default)]
    code: Vec<String>,
    #[serde(default)]
    status: Vec<u16>,
    #[serde(default)]
    text: Vec<String>,
    #[serde(default)]
    line: Vec<String>,
    #[serde(default)]
    unless: Vec<String>,
    #[serde(default)]
    stems: Vec<String>,
    #[serde(default)]
    line_stems: Vec<String>,
    rank: Option<Rank>,
    retryable: Option<bool>,
    #[serde(default)]
    yes: Vec<String>,
    #[serde(default)]
    no: Vec<String>,
}

impl Rules {
    /// Returns the rules that come with the program; loaded once.
    pub fn built_in() -> Arc<Self> {
        static LOADED: OnceLock<Arc<Rules>> = OnceLock::new();
        LOADED
            .get_or_init(|| {
                let file = json::from_str::<File>(BUILT_IN).expect("a file that the tests load");
                Arc::new(Self::from(file))
            })
            .clone()
    }

    /// Reads rules without compiling their patterns.
    ///
    /// # Errors
    /// The text is not TOML of the shape that `rules.toml` documents.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let file: File = toml::from_str(text)
            .map_err(|error| RulesError { message: error.message().to_owned(), ..RulesError::default() })?;
        Ok(Self::from(file))
    }
}

impl From<File> for Rules {
    fn from(file: File) -> Self {
        let introducers = file
            .introducer
            .into_iter()
            .map(|row| Introducer {
                id: row.id,
                stems: row.stems,
                place: None,
                line: Patterns::new(row.line, true),
                unless: Patterns::new(row.unless, false),
            })
            .collect();
        let rules = file
            .rule
            .into_iter()
            .map(|row| Rule {
                id: row.id,
                class: row.class,
                origins: if row.origins.is_empty() {
                    vec![Origin::Provider, Origin::Agent]
                } else {
                    row.origins
                },
                agents: row.agents,
                codes: row.code,
                statuses: row.status,
                line_stems: if row.line_stems.is_empty() && !row.line.is_empty() {
                    row.stems.clone()
                } else {
                    row.line_stems
                },
                stems: row.stems,
                rank: row.rank,
                retryable: row.retryable,
                severity: None,
                place: None,
                yes: row.yes,
                no: row.no,
                text: Patterns::new(row.text, false),
                line: Patterns::new(row.line, true),
                unless: Patterns::new(row.unless, false),
            })
            .collect();
        let precedence =
            file.precedence.into_iter().enumerate().map(|(index, class)| (class, index)).collect();
        Self {
            rules,
            introducers,
            precedence,
            switched_off: Vec::new(),
            index: OnceLock::new(),
            counts: None,
        }
    }
}

impl Rules {
    /// Compiles every pattern and checks what loading takes for granted. The tests run it over the built-in rules.
    ///
    /// # Errors
    /// A pattern that does not compile or is too large, a name that is used twice, a rule without a trigger, a
    /// pattern without stems, a code that is not in lower case, a class without a place in the precedence.
    pub fn check(&self) -> Result<(), RulesError> {
        let mut names = std::collections::HashSet::new();
        let fail = |rule: &str, message: String| {
            Err(RulesError { rule: Some(rule.to_owned()), message, ..RulesError::default() })
        };
        for introducer in &self.introducers {
            if !names.insert(&introducer.id) {
                return fail(&introducer.id, "the name is used twice".to_owned());
            }
            if introducer.stems.is_empty() {
                return fail(&introducer.id, "it has no stems".to_owned());
            }
            for patterns in [&introducer.line, &introducer.unless] {
                if let Err(error) = patterns.build() {
                    return fail(&introducer.id, error.to_string());
                }
            }
        }
        for rule in &self.rules {
            if !names.insert(&rule.id) {
                return fail(&rule.id, "the name is used twice".to_owned());
            }
            for patterns in [&rule.text, &rule.line, &rule.unless] {
                if let Err(error) = patterns.build() {
                    return fail(&rule.id, error.to_string());
                }
            }
            let triggers =
                rule.codes.len() + rule.statuses.len() + rule.text.source.len() + rule.line.source.len();
            if triggers == 0 {
                return fail(&rule.id, "nothing can trigger it".to_owned());
            }
            if !rule.text.source.is_empty() && rule.stems.is_empty() {
                return fail(&rule.id, "it has patterns but no stems".to_owned());
            }
            if let Some(code) = rule.codes.iter().find(|code| code.chars().any(char::is_uppercase)) {
                return fail(&rule.id, format!("code `{code}` is not in lower case"));
            }
            if !self.precedence.contains_key(&rule.class) {
                return fail(&rule.id, format!("class `{}` is missing in `precedence`", rule.class));
            }
        }
        Ok(())
    }

    /// Compiles what was not compiled yet.
    pub(super) fn compile_all(&self) {
        let introducers = self.introducers.iter().flat_map(|row| [&row.line, &row.unless]);
        let rules = self.rules.iter().flat_map(|rule| [&rule.text, &rule.line, &rule.unless]);
        introducers.chain(rules).for_each(|patterns| {
            patterns.find("");
        });
    }

    /// Returns which introducers and rules have a stem in a (folded, lower-case) text.
    pub fn touched(&self, text: &str) -> Touched {
        let index = self.index.get_or_init(|| StemIndex::new(self));
        let mut touched = Touched {
            introducers: Indexes::below(self.introducers.len()),
            rules: Indexes::below(self.rules.len()),
        };
        index.find(text, |owner| {
            match owner.checked_sub(StemIndex::RULES) {
                None => touched.introducers.insert(usize::from(owner)),
                Some(rule) => touched.rules.insert(usize::from(rule)),
            };
        });
        touched
    }

    /// Returns the place of a class in the order of precedence (lower wins).
    pub fn precedence(&self, class: Class) -> usize {
        self.precedence.get(&class).copied().unwrap_or(usize::MAX)
    }

    /// Returns the patterns for plain lines, each with the literals of which one stands in every line that it matches.
    pub fn line_patterns(&self) -> impl Iterator<Item = (&str, &[String])> {
        let introducers = self.introducers.iter().map(|row| (&row.line, &row.stems));
        let rules = self.rules.iter().map(|row| (&row.line, &row.line_stems));
        introducers
            .chain(rules)
            .flat_map(|(line, stems)| line.source.iter().map(|pattern| (pattern.as_str(), stems.as_slice())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_hold_what_they_promise() {
        Rules::built_in().check().unwrap();
    }

    #[test]
    fn rules_are_touched_by_the_stems_that_stand_in_a_text() {
        let mut rules = Rules::parse(DEFAULT_RULES).unwrap();
        // Own rules have none as short; what would happen to one is no secret.
        rules.rules[0].stems.push("qz".to_owned());
        let stems: Vec<&String> =
            rules.rules.iter().flat_map(|rule| rule.stems.iter().chain(&rule.line_stems)).collect();
        let naive = |text: &str| -> [Vec<usize>; 2] {
            let stands = |stems: &[String]| stems.iter().any(|stem| text.contains(stem.as_str()));
            let introducers = rules.introducers.iter().map(|row| stands(&row.stems));
            let touched = rules.rules.iter().map(|rule| stands(&rule.stems) || stands(&rule.line_stems));
            let standing = |stand: Vec<bool>| (0..stand.len()).filter(|index| stand[*index]).collect();
            [standing(introducers.collect()), standing(touched.collect())]
        };
        let mut texts = vec![String::new(), "é".to_owned(), "qz".to_owned(), "529".to_owned()];
        for (number, stem) in stems.iter().enumerate() {
            let other = stems[(number * 7 + 1) % stems.len()];
            let (cut, _) = other.char_indices().last().unwrap();
            texts.push((*stem).clone());
            texts.push(format!("é{stem}{other} {}", &other[..cut]));
        }
        for text in texts {
            let Touched { introducers, rules: touched } = rules.touched(&text);
            assert_eq!(
                [introducers.iter().collect(), touched.iter().collect::<Vec<_>>()],
                naive(&text),
                "{text}"
            );
        }
    }

    #[test]
    fn a_look_at_how_a_text_begins_rules_nothing_out_that_matches() {
        let rules = Rules::built_in();
        let lines =
            rules.introducers.iter().map(|row| &row.line).chain(rules.rules.iter().map(|rule| &rule.line));
        let lines: Vec<&Patterns> = lines.filter(|line| !line.source.is_empty()).collect();
        let examples = rules.rules.iter().flat_map(|rule| rule.yes.iter().chain(&rule.no));
        let (mut matched, mut passed, mut tried) = (0, 0, 0);
        for example in examples {
            let body = crate::engine::classify::fold::fold_lower(example);
            for body in [body.clone(), format!("error: {body}"), format!("unhandled exception: {body}")] {
                for line in &lines {
                    let compiled = line.compiled.get_or_init(|| line.build().unwrap());
                    let matches = compiled.is_match(body.as_bytes());
                    assert!(!matches || line.may_match(&body), "{body}: {:?}", line.source);
                    matched += u32::from(matches);
                    passed += u32::from(line.may_match(&body));
                    tried += 1;
                }
            }
        }
        assert!(matched > 50, "{matched}");
        assert!(passed < tried / 5, "{passed} of {tried} are looked at");
    }

    #[test]
    fn a_broken_rule_is_named() {
        let text = "precedence = [\"crash\"]\nintroducer = []\n[[rule]]\nid = \"x\"\nclass = \"crash\"\ntext = ['(']\nstems = [\"a\"]\n";
        let error = Rules::parse(text).unwrap().check().unwrap_err();
        assert_eq!(error.rule.as_deref(), Some("x"));
        assert!(error.to_string().contains("unclosed group"), "{error}");
    }
}
