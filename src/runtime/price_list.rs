//! The list of prices that the user stored: it stands in front of the table that is built in, for every command.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::wrap::stored;
use crate::engine::usage::price::List;
use crate::model::Timestamp;

/// The form of the file; one of another is not read.
const FORM: u32 = 1;

/// How large a list may be, in bytes: LiteLLM's and models.dev's have 2 to 3 MB.
const LIMIT: u64 = 64 << 20;

/// A list that was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    form: u32,
    /// The file that it came from.
    pub source: String,
    /// When that was last written.
    pub written: Option<Timestamp>,
    /// When it was stored.
    pub stored: Timestamp,
    /// The list.
    pub list: List,
}

/// Returns the file that a list is stored in.
pub fn path(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    Some(stored::folder(variable)?.join("prices.json"))
}

/// Reads the text of a list.
///
/// # Errors
/// It cannot be read, is too long, or is no text.
pub fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {LIMIT} bytes")));
    }
    Ok(text)
}

/// Reads the list that is stored; `None` if there is none.
///
/// # Errors
/// There is something else, or it cannot be read.
pub fn load(path: &Path) -> io::Result<Option<Stored>> {
    let text = match text(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let invalid = |cause: String| io::Error::new(io::ErrorKind::InvalidData, cause);
    let stored: Stored =
        serde_json::from_str(&text).map_err(|error| invalid(format!("it is no stored list: {error}")))?;
    match stored.form {
        FORM if stored.list.is_sane() => Ok(Some(stored)),
        FORM => Err(invalid("it has prices that nobody can ask".to_owned())),
        form => Err(invalid(format!("it is of form {form}, and this program reads form {FORM}"))),
    }
}

/// Stores a list, whole or not at all, for its owner alone.
///
/// # Errors
/// It cannot be written.
pub fn store(
    path: &Path,
    list: List,
    source: &Path,
    written: Option<Timestamp>,
    now: Timestamp,
) -> io::Result<()> {
    let source = source.to_string_lossy().into_owned();
    let mut text = serde_json::to_vec(&Stored { form: FORM, source, written, stored: now, list })?;
    text.push(b'\n');
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = folder.join(format!(".prices.{}.new", uuid::Uuid::new_v4().simple()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

/// Removes the list that is stored; returns whether there was one.
///
/// # Errors
/// It cannot be removed.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
