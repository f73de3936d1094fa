//! The time, for those who may know it.

use std::fs::Metadata;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Instant, UNIX_EPOCH};

use crate::model::Timestamp;

/// Returns the time of day. It may jump; windows and deadlines live with that, as agents' own times do too.
pub fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}

/// Returns the nanoseconds since it was first asked: for measuring, since it never jumps.
pub fn stopwatch() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Returns when a file was last written, where the file system says it.
pub fn written(path: &Path) -> Option<Timestamp> {
    modified(&path.metadata().ok()?)
}

/// Returns when a file was last written, by what the file system says of it.
pub fn modified(metadata: &Metadata) -> Option<Timestamp> {
    let modified = metadata.modified().ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(i64::try_from(since.as_micros()).ok()?))
}
