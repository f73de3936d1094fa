//! Finds transcripts: those of a project, and those of a session by its id.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use globset::GlobBuilder;

use crate::profile::transcript::{Owner, Search, Surroundings, Transcript};
use crate::profile::{Invocation, Mode, Profile};

/// How many files a search looks at, at most.
const LOOK_AT: usize = 20_000;

/// How much of a first line is read to tell whose a file is, in bytes.
const FIRST_LINE: u64 = 64 << 10;

/// How deep the folders of an agent's transcripts are looked into.
const ARCHIVE_DEPTH: usize = 16;

/// How many characters of a session's id a file's name has at the least, where it has not all of them.
const SHORT_ID: usize = 8;

/// A file, and when it was last written.
pub type Dated = (SystemTime, PathBuf);

/// Returns the files that may be this transcript, in no order.
pub fn found(transcript: &Transcript) -> Vec<Dated> {
    match transcript {
        Transcript::File(path) => {
            let written = path.metadata().and_then(|metadata| metadata.modified());
            written.ok().map(|written| (written, path.clone())).into_iter().collect()
        }
        Transcript::Search(search) => newest(&search.directory, search.depth, &|path| wants(search, path)),
        Transcript::Pattern(pattern) => matching(pattern).unwrap_or_default(),
    }
}

/// Tells, by what is in a file or beside it, whether it is one of the working directory that is searched for.
pub fn is_ours(transcript: &Transcript, path: &Path) -> bool {
    let Transcript::Search(search) = transcript else { return true };
    if search.owner == Owner::Found {
        return true;
    }
    is_of(search, path)
}

/// Returns the transcripts of a project, the newest first: those that agents made that were started in its directory.
pub fn of_project<'p>(
    profiles: impl Iterator<Item = &'p dyn Profile>,
    surroundings: &Surroundings<'_>,
) -> Vec<PathBuf> {
    let run = Invocation { mode: Mode::Interactive, kept: true, ..Invocation::aside() };
    let mut all = Vec::new();
    for profile in profiles {
        let transcript = profile.transcript(surroundings, &run, None);
        // A file that is the same whatever the session is a log of all of them.
        let Some(transcript) = transcript.filter(|place| !matches!(place, Transcript::File(_))) else {
            continue;
        };
        all.extend(found(&transcript).into_iter().filter(|(_, path)| is_ours(&transcript, path)));
    }
    in_order(all)
}

/// Returns the files below these folders that are named for a session, the newest first.
pub fn of_session(folders: &[PathBuf], id: &str) -> Vec<PathBuf> {
    let named = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        is_named_for(name.split('.').next().unwrap_or_default(), id)
    };
    in_order(folders.iter().flat_map(|folder| newest(folder, ARCHIVE_DEPTH, &named)).collect())
}

/// Tells whether a file's name, without its ending, is that of a session: the whole id, or its beginning after other
/// words.
fn is_named_for(stem: &str, id: &str) -> bool {
    if id.is_empty() {
        return false;
    }
    let ends =
        |part: &str| stem.strip_suffix(part).is_some_and(|rest| rest.is_empty() || rest.ends_with('-'));
    let short: String = id.chars().take(SHORT_ID).collect();
    // A name that has only the beginning has other words in front of it, or it would be another's id.
    ends(id) || id.len() > short.len() && stem != short && ends(&short)
}

fn in_order(mut all: Vec<Dated>) -> Vec<PathBuf> {
    all.sort_by(|one, other| other.cmp(one));
    let mut all: Vec<PathBuf> = all.into_iter().map(|(_, path)| path).collect();
    all.dedup();
    all
}

fn wants(search: &Search, path: &Path) -> bool {
    path.strip_prefix(&search.directory).is_ok_and(|relative| search.wants(relative))
}

fn matching(pattern: &str) -> Option<Vec<Dated>> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build().ok()?.compile_matcher();
    let fixed = pattern.split(['*', '?', '[', '{']).next().unwrap_or_default();
    let root = Path::new(fixed).parent().filter(|_| !fixed.ends_with('/')).unwrap_or(Path::new(fixed));
    Some(newest(root, 16, &|path| glob.is_match(path)))
}

/// Returns the files that are wanted, with the times of their last change.
fn newest(root: &Path, depth: usize, wants: &dyn Fn(&Path) -> bool) -> Vec<Dated> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    let mut looked = 0;
    while let Some((folder, level)) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            looked += 1;
            if looked > LOOK_AT {
                return found;
            }
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() && level < depth {
                folders.push((path, level + 1));
            } else if kind.is_file() && wants(&path) {
                let changed = entry.metadata().and_then(|metadata| metadata.modified());
                found.extend(changed.ok().map(|changed| (changed, path)));
            }
        }
    }
    found
}

fn is_of(search: &Search, path: &Path) -> bool {
    if let Some((marker, cwd)) = search.marker(path) {
        return std::fs::read_to_string(marker).is_ok_and(|text| Path::new(text.trim_end()) == cwd);
    }
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FIRST_LINE).read_to_end(&mut first));
    let line = first.split(|byte| *byte == b'\n').next().unwrap_or_default();
    read.is_ok() && search.first_line_is_ours(&String::from_utf8_lossy(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_for_a_session_by_all_of_its_id_or_by_its_beginning() {
        let id = "0199f2c4-7a11-7c31-9d55-000000000001";
        for (stem, named) in [
            (id, true),
            ("rollout-2026-11-20T06-00-00-0199f2c4-7a11-7c31-9d55-000000000001", true),
            ("session-2026-11-20T06-00-0199f2c4", true),
            ("0199f2c4", false),
            ("x0199f2c4-7a11-7c31-9d55-000000000001", false),
            ("0199f2c4-7a11-7c31-9d55-000000000002", false),
        ] {
            assert_eq!(is_named_for(stem, id), named, "{stem}");
        }
        assert!(!is_named_for("", ""));
        assert!(!is_named_for("session-", ""));
    }
}
