//! Field types for foreign JSON that never fail on an unexpected type: what does not fit is `None`.
//!
//! For the decoders of this folder, so that a field that changes its type in some version of an agent
//! costs that field and not the whole line. They borrow from the line where nothing is escaped.

use std::borrow::Cow;
use std::fmt;

use crate::engine::json;
use crate::model::record::Text;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The text in a value: a string, the `text` or `content` of an object, or a list of those joined by line ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Loose<'a>(pub(super) Option<Cow<'a, str>>);

impl<'a> Loose<'a> {
    /// Returns the text; empty if there is none.
    pub(super) fn text(self) -> Cow<'a, str> {
        self.0.unwrap_or_default()
    }

    /// Returns the text as a borrowed string; empty if there is none.
    pub(super) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Tells whether there is text with something in it.
    pub(super) fn is_some(&self) -> bool {
        !self.as_str().is_empty()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Loose<'de>, E> {
        Ok(Loose(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose<'de>, E> {
        Ok(Loose(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_string<E>(self, text: String) -> Result<Loose<'de>, E> {
        Ok(Loose(Some(Cow::Owned(text))))
    }

    fn visit_unit<E>(self) -> Result<Loose<'de>, E> {
        Ok(Loose(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Loose<'de>, E> {
        Ok(Loose(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Loose<'de>, E> {
        Ok(Loose(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Loose<'de>, E> {
        Ok(Loose(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Loose<'de>, E> {
        Ok(Loose(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Loose<'de>, A::Error> {
        let mut joined: Option<Cow<'de, str>> = None;
        while let Some(element) = list.next_element::<Loose<'de>>()? {
            let Some(text) = element.0 else { continue };
            match &mut joined {
                None => joined = Some(text),
                Some(all) => {
                    let all = all.to_mut();
                    all.push('\n');
                    all.push_str(&text);
                }
            }
        }
        Ok(Loose(joined))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose<'de>, A::Error> {
        let mut found = Loose(None);
        while let Some(key) = map.next_key::<Loose<'de>>()? {
            match key.as_str() {
                "text" | "content" if found.0.is_none() => found = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// The text in a value as [`Loose`] finds it, read when somebody asks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Later<'a>(Option<&'a RawValue>);

impl<'a> Later<'a> {
    /// Returns the text for a record.
    pub(super) fn text(self) -> Text<'a> {
        match self.0 {
            Some(raw) => Text::unread(raw.get(), said),
            None => "".into(),
        }
    }

    /// Returns the text as it is now wanted; empty if there is none.
    pub(super) fn read(self) -> Cow<'a, str> {
        said(self.notation())
    }

    /// Returns the JSON text of the value; empty if there is none.
    pub(super) fn notation(self) -> &'a str {
        self.0.map_or("", RawValue::get)
    }

    /// Tells whether there is text with something in it.
    pub(super) fn is_some(self) -> bool {
        match self.notation() {
            "" | "\"\"" | "[]" => false,
            string if string.starts_with('"') => true,
            other => !said(other).is_empty(),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Later<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self)
    }
}

/// Returns the text in a value of which this is the notation; empty if there is none.
fn said(notation: &str) -> Cow<'_, str> {
    if notation.starts_with('"') {
        return json::string(notation).unwrap_or_default();
    }
    json::from_str::<Loose<'_>>(notation).unwrap_or_default().text()
}

/// A number, whatever its notation; `None` for anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Number(pub(super) Option<f64>);

impl Number {
    /// Returns the number if it is a count: whole and not negative.
    pub(super) fn count(self) -> Option<u64> {
        self.0.filter(|n| (0.0..9e15).contains(n) && n.fract() == 0.0).map(|n| n as u64)
    }

    /// Returns the number if it is whole.
    pub(super) fn whole(self) -> Option<i64> {
        self.0.filter(|n| n.abs() < 9e15 && n.fract() == 0.0).map(|n| n as i64)
    }

    /// Returns the number if it is an HTTP status that reports a failure.
    pub(super) fn http_status(self) -> Option<u16> {
        self.count().filter(|n| (400..600).contains(n)).map(|n| n as u16)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
        Ok(Number(Some(number as f64)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
        Ok(Number(Some(number as f64)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
        Ok(Number(Some(number)))
    }

    fn visit_str<E>(self, _: &str) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_unit<E>(self) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Number, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }
}

json::fields_by_serde!(Loose<'a>, Later<'a>);

impl json::Field<'_> for Number {
    fn fill(&mut self, reader: &mut json::Reader<'_>) -> Result<(), json::Error> {
        self.0 = reader.take_number()?;
        Ok(())
    }
}

/// A text and where it stands; `None` for anything that holds no text.
#[derive(Clone, Debug, Default)]
pub(super) struct Placed<'a> {
    text: Loose<'a>,
    raw: &'a str,
}

impl<'a> Placed<'a> {
    /// Returns the text; empty if there is none.
    pub(super) fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// Tells whether there is text with something in it.
    pub(super) fn is_some(&self) -> bool {
        self.text.is_some()
    }

    /// Tells whether the value is a string itself, not something that holds one.
    pub(super) fn is_string(&self) -> bool {
        self.raw.starts_with('"')
    }

    /// Returns where its value begins in the bytes that it was read from.
    pub(super) fn at(&self, bytes: &[u8]) -> usize {
        place(bytes, self.raw)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Placed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self { text: json::from_str(raw).unwrap_or_default(), raw })
    }
}

/// Returns where a part that was borrowed from these bytes begins in them; 0 if it was not.
pub(super) fn place(bytes: &[u8], part: &str) -> usize {
    let at = (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
    if at <= bytes.len() { at } else { 0 }
}

/// Reads an object of a type whose every field is optional; `None` if it is none, or no JSON at all.
pub(super) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    // Serde would take a list for a struct, entry by entry.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    json::from_slice(bytes).ok()
}

/// Reads an object that stands in a field.
pub(super) fn inner<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    object(raw?.get().as_bytes())
}

/// Reads the objects of a list that stands in a field; other entries are left out.
pub(super) fn list<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Vec<T> {
    let entries: Vec<&'a RawValue> = raw.and_then(|raw| json::from_str(raw.get()).ok()).unwrap_or_default();
    entries.into_iter().filter_map(|entry| inner(Some(entry))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_in_every_shape_that_agents_use() {
        for (json, text) in [
            (r#""plain""#, Some("plain")),
            (r#""esc\naped""#, Some("esc\naped")),
            (r#"{"type":"text","text":"inner"}"#, Some("inner")),
            (r#"[{"text":"one"},{"type":"image"},"two"]"#, Some("one\ntwo")),
            (r#"{"content":[{"text":"deep"}],"isError":false}"#, Some("deep")),
            ("null", None),
            ("7", None),
            ("-7.5", None),
            ("true", None),
            ("{}", None),
            ("[]", None),
        ] {
            let loose: Loose<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(loose.0.as_deref(), text, "{json}");
        }
    }

    #[test]
    fn text_for_later_is_the_text_of_now() {
        for json in [
            r#""plain""#,
            r#""esc\naped \ud83d\ude00 \\""#,
            r#""""#,
            r#"[{"text":"one"},{"type":"image"},"t\u0077o"]"#,
            r#"{"content":[{"text":"deep"}]}"#,
            r#"{"content":""}"#,
            "[]",
            "null",
            "7",
        ] {
            let now: Loose<'_> = serde_json::from_str(json).unwrap();
            let later: Later<'_> = json::from_str(json).unwrap();
            assert_eq!(later.text().read(), now.as_str(), "{json}");
            assert_eq!(later.is_some(), now.is_some(), "{json}");
            assert_eq!(later.read(), now.text(), "{json}");
        }
        assert!(!Later::default().is_some());
    }

    #[test]
    fn a_string_without_escapes_is_borrowed() {
        let loose: Loose<'_> = serde_json::from_str(r#""as is""#).unwrap();
        assert!(matches!(loose.0, Some(Cow::Borrowed(_))));
    }

    #[test]
    fn numbers_of_the_wrong_type_are_absent() {
        for (json, number) in
            [("3", Some(3.0)), ("-1", Some(-1.0)), ("0.5", Some(0.5)), ("\"3\"", None), ("[3]", None)]
        {
            assert_eq!(serde_json::from_str::<Number>(json).unwrap().0, number, "{json}");
        }
        assert_eq!(Number(Some(429.0)).http_status(), Some(429));
        assert_eq!(Number(Some(200.0)).http_status(), None);
        assert_eq!(Number(Some(1e300)).count(), None);
        assert_eq!(Number(Some(-3.0)).whole(), Some(-3));
    }

    #[test]
    fn a_placed_text_knows_where_it_stands() {
        #[derive(serde::Deserialize)]
        struct Fields<'a> {
            #[serde(borrow, default)]
            a: Placed<'a>,
            #[serde(borrow, default)]
            b: Placed<'a>,
        }
        let bytes = br#"{"b": 7, "a": "x\ny"}"#;
        let fields: Fields<'_> = object(bytes).unwrap();
        assert_eq!((fields.a.as_str(), fields.a.at(bytes)), ("x\ny", 14));
        assert!(!fields.b.is_some());
        assert_eq!(place(bytes, "elsewhere"), 0);
        assert!(object::<Fields<'_>>(b"[1, 2]").is_none());
    }
}
