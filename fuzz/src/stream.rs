//! Whole streams: one engine, read in several ways.

use std::sync::{Arc, LazyLock};

use session_doctor::engine::document::{self, Documents};
use session_doctor::engine::format::{self, Format, Frame};
use session_doctor::engine::{Doctor, Options};
use session_doctor::model::{Event, EventBody, Record, Timestamp};

use crate::draw::Draw;
use crate::events;

/// The engine's defaults.
pub static OPTIONS: LazyLock<Arc<Options>> = LazyLock::new(|| Arc::new(Options::new()));

/// 2026-11-20T06:00:00Z.
const NOW: Timestamp = Timestamp::from_seconds(1_795_154_400);

/// The same options but for one thing.
fn with(options: &Options, change: impl FnOnce(&mut Options)) -> Arc<Options> {
    let mut options = options.clone();
    change(&mut options);
    Arc::new(options)
}

/// Lets the engine read a stream that comes in these chunks, all at once.
fn read<'c>(options: &Arc<Options>, chunks: impl IntoIterator<Item = &'c [u8]>, explain: bool) -> Vec<Event> {
    let mut doctor = Doctor::new(Arc::clone(options), "stream", "seed");
    if explain {
        doctor.start_explaining();
    }
    let mut events = Vec::new();
    for chunk in chunks {
        doctor.feed(NOW, chunk, &mut |event| events.push(event));
    }
    doctor.finish(NOW, &mut |event| events.push(event));
    for explanation in doctor.take_explanations() {
        assert!(explanation.text.chars().count() <= session_doctor::engine::MESSAGE_CHARS);
    }
    events
}

fn same(one: &[Event], other: &[Event], what: &str) {
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other, "{what}");
    }
    assert_eq!(
        one.len(),
        other.len(),
        "{what}: {:#?}",
        one.get(other.len()).or_else(|| other.get(one.len()))
    );
}

/// Holds the engine to what it promises of any stream, of no known format.
pub fn doctor(stream: &[u8]) {
    let mut draw = Draw::of(stream);
    cut(&OPTIONS, stream, &mut draw);
    match draw.below(4) {
        0 => replayed(&OPTIONS, stream),
        1 => explained(&OPTIONS, stream),
        2 => timed(&OPTIONS, stream, &mut draw),
        _ => {
            let limit = *draw.pick(&[1, 10, 80, 300, 1000]);
            let sessions = *draw.pick(&[1, 2, 64]);
            let small =
                with(&OPTIONS, |options| (options.line_limit, options.max_sessions) = (limit, sessions));
            cut(&small, stream, &mut draw);
        }
    }
}

/// Reads a stream whole and cut: the events are the same, and hold to each other.
fn cut(options: &Arc<Options>, stream: &[u8], draw: &mut Draw) {
    let whole = read(options, [stream], false);
    same(&read(options, draw.cut(stream), false), &whole, "a cut stream differs");
    events::check(&whole, stream);
}

/// Asserts that a stream that is read again says the same.
fn replayed(options: &Arc<Options>, stream: &[u8]) {
    same(&read(options, [stream], false), &read(options, [stream], false), "a replay differs");
}

/// Asserts that one that explains, and so asks every rule about every line, finds the same.
pub fn explained(options: &Arc<Options>, stream: &[u8]) {
    same(&read(options, [stream], true), &read(options, [stream], false), "explaining changes something");
}

/// Reads a stream that comes at odd times, with the ticks that the engine asks for: it must not ask for ever.
fn timed(options: &Arc<Options>, stream: &[u8], draw: &mut Draw) {
    let mut doctor = Doctor::new(Arc::clone(options), "stream", "seed");
    let mut events = Vec::new();
    let mut now = *draw.pick(&[NOW, NOW, NOW, Timestamp::default(), Timestamp::from_micros(i64::MIN / 2)]);
    if draw.once_in(3) {
        doctor.written_at(now.plus_seconds(-(draw.below(90_000) as i64)));
    }
    for chunk in draw.cut(stream) {
        doctor.feed(now, chunk, &mut |event| events.push(event));
        let until = now.plus_millis(*draw.pick(&[0, 1, 900, 700_000, 90_000_000]));
        while let Some(deadline) = doctor.next_deadline().filter(|deadline| *deadline <= until) {
            now = now.max(deadline);
            doctor.tick(now, &mut |event| events.push(event));
            let next = doctor.next_deadline();
            assert!(next.is_none_or(|next| next > now), "a tick at {now} settles nothing: due at {next:?}");
        }
        now = until;
    }
    doctor.finish(now, &mut |event| events.push(event));
    events::check(&events, stream);
}

/// Holds the format of this name, and the engine when it is told that a stream is of it, to what they promise.
pub fn format(name: &str, stream: &[u8]) {
    let format = format::by_name(name).expect("the target is named after a format");
    decode(format, stream);
    let mut draw = Draw::of(stream);
    let options = with(&OPTIONS, |options| options.agent = Some(format));
    cut(&options, stream, &mut draw);
    match draw.below(5) {
        0 => replayed(&options, stream),
        1 => explained(&options, stream),
        2 => cut(&OPTIONS, stream, &mut draw),
        3 => {
            let limit = *draw.pick(&[40, 200, 900]);
            cut(&with(&options, |options| options.line_limit = limit), stream, &mut draw);
        }
        _ => {}
    }
    documents(&options, stream, &mut draw);
}

/// Asserts that a document says the same, whether it is held or read element by element.
fn documents(options: &Arc<Options>, stream: &[u8], draw: &mut Draw) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(stream) else { return };
    let Ok(text) = serde_json::to_string_pretty(&value) else { return };
    if !Documents::opens(text.lines().next().unwrap_or_default().as_bytes()) {
        return;
    }
    let limit = 300 + draw.below(text.len());
    let parted = with(options, |options| options.line_limit = limit);
    let (whole, parts) = (read(options, [text.as_bytes()], false), read(&parted, [text.as_bytes()], false));
    events::check(&whole, text.as_bytes());
    events::check(&parts, text.as_bytes());
    let counts = |events: &[Event]| match events.last().map(|event| &event.body) {
        Some(EventBody::Summary(summary)) => (summary.undecoded, summary.truncated),
        _ => panic!("the last event is a summary"),
    };
    if counts(&whole) == (0, 0) && counts(&parts) == (0, 0) {
        assert_eq!(found(&parts), found(&whole), "limit {limit}: {text}");
    }
}

/// The findings in the order of their lines.
fn found(events: &[Event]) -> Vec<(u64, &'static str, &str)> {
    let mut found: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Finding(finding) => {
                Some((event.source.as_ref()?.line, finding.class.name(), finding.message.as_str()))
            }
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found
}

/// Gives every frame to a decoder, also those that the engine would not have given to it.
fn decode(format: &dyn Format, stream: &[u8]) {
    let mut decoder = format.decoder();
    let whole = Frame { bytes: stream, line: 1, offset: 0, truncated: false };
    format.recognise(whole);
    let _ = decoder.json(whole, &mut |record| sound(&record, stream));
    document::elements(stream, &mut |element| {
        format.recognise_element(&element);
        let _ = decoder.element(&element, &mut |record| sound(&record, element.bytes));
    });
    let mut offset = 0;
    for (line, bytes) in (1..).zip(stream.split(|byte| *byte == b'\n')) {
        let frame = Frame { bytes, line, offset, truncated: false };
        assert_eq!(format.recognise(frame), format.recognise(frame));
        let _ = decoder.json(frame, &mut |record| sound(&record, bytes));
        let text = session_doctor::engine::ansi::strip(bytes);
        let _ = decoder.text(&text, &mut |record| sound(&record, bytes));
        offset += bytes.len() as u64 + 1;
    }
}

/// Asserts what holds for a record of a frame.
fn sound(record: &Record<'_>, frame: &[u8]) {
    assert!(record.at <= frame.len(), "it does not stand in its frame");
    if let Some(time) = record.time {
        // RFC 3339 has four digits for a year.
        let year = time.to_string().len();
        assert!((24..=27).contains(&year), "{time}");
    }
}
