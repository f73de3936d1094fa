//! Puts limits of the detectors of loops into a configuration file and leaves everything else in it as it is.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::layers::utf8;
use super::loops::{Place, TABLE};
use super::{Origin, SettingsError};

/// What is written over the first table of an agent that is new.
const REMARK: &str = "# Set by `session-doctor calibrate`.\n";

/// Puts these limits into a file, which is made if it is not there: for its owner alone, as is its folder. A file that is
/// there is replaced whole or not at all, and may be read by whom it could be read by. Returns whether it is another now.
///
/// # Errors
/// The file cannot be read or written, or holds something else at that place.
pub fn put(path: &Path, limits: &[(Place, u32)]) -> Result<bool, SettingsError> {
    let fails = |cause: String| SettingsError {
        origin: Origin::File { path: path.to_owned(), line: 0 },
        key: None,
        cause,
        hint: None,
    };
    let told = |error: io::Error| fails(error.to_string());
    // What a link leads to is meant, not the link.
    let path = &match fs::canonicalize(path) {
        Ok(path) => path,
        Err(_) if path.is_symlink() => return Err(fails("it is a link that leads nowhere".to_owned())),
        Err(_) => path.to_owned(),
    };
    let (before, mode) = match fs::read(path) {
        Ok(bytes) => (utf8(bytes, path)?, fs::metadata(path).map_err(told)?.permissions().mode() & 0o777),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), 0o600),
        Err(error) => return Err(told(error)),
    };
    let after = changed(&before, limits).map_err(fails)?;
    if after == before {
        return Ok(false);
    }
    replace(path, &after, mode).map_err(told)?;
    Ok(true)
}

/// Returns a file's text with these limits.
fn changed(text: &str, limits: &[(Place, u32)]) -> Result<String, String> {
    let mut remarked = None;
    let mut document: DocumentMut = text.parse().map_err(|error| format!("it is not valid TOML: {error}"))?;
    for (place, limit) in limits {
        let folders = [Some(TABLE), place.agent.as_deref()].into_iter().flatten();
        let mut table: &mut dyn TableLike = document.as_table_mut();
        for folder in folders {
            table = inner(table, folder, None)?;
        }
        let blank = if text.is_empty() && remarked.is_none() { "" } else { "\n" };
        let remark = if remarked == Some(&place.agent) { "" } else { REMARK };
        if !table.contains_key(place.detector) {
            remarked = Some(&place.agent);
        }
        let table = inner(table, place.detector, Some(format!("{blank}{remark}")))?;
        match table.get_mut(place.key).and_then(Item::as_value_mut) {
            Some(value) => {
                let decor = value.decor().clone();
                *value = Value::from(i64::from(*limit));
                *value.decor_mut() = decor;
            }
            None => {
                table.insert(place.key, toml_edit::value(i64::from(*limit)));
            }
        }
    }
    Ok(document.to_string())
}

/// Returns the table of this name in another, which is made if it is not there: with `before` in front of it, or, if that
/// is none, as one that only holds others.
fn inner<'t>(
    table: &'t mut dyn TableLike,
    name: &str,
    before: Option<String>,
) -> Result<&'t mut dyn TableLike, String> {
    let fresh = || {
        let mut table = Table::new();
        table.set_implicit(before.is_none());
        if let Some(before) = before {
            table.decor_mut().set_prefix(before);
        }
        Item::Table(table)
    };
    let item = table.entry(name).or_insert_with(fresh);
    item.as_table_like_mut().ok_or_else(|| format!("`{name}` is no table"))
}

/// Writes a file whole or not at all.
fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let new = folder.join(format!(".{name}.{}.new", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(agent: &str, detector: &'static str, key: &'static str) -> Place {
        Place { agent: Some(agent.to_owned()), detector, key }
    }

    #[test]
    fn everything_else_in_the_file_stays_as_it_is() {
        let before = "\
# mine
threads = 2   # two

[loops.codex.same_error] # slow tests
act = 20 # was 12
warn=9

[class.timeout]
alert = 'first'
";
        let limits = [
            (place("codex", "same_error", "act"), 24),
            (place("codex", "frozen_poll", "act"), 30),
            (place("codex", "frozen_poll", "act_sec"), 2701),
        ];
        let after = changed(before, &limits).unwrap();
        let expected = "\
# mine
threads = 2   # two

[loops.codex.same_error] # slow tests
act = 24 # was 12
warn=9

# Set by `session-doctor calibrate`.
[loops.codex.frozen_poll]
act = 30
act_sec = 2701

[class.timeout]
alert = 'first'
";
        assert_eq!(after, expected);
        assert_eq!(changed(&after, &limits).unwrap(), after, "written twice it is the same");
    }

    #[test]
    fn tables_are_found_however_they_are_written() {
        for before in [
            "",
            "threads = 1",
            "loops.cycle.warn = 2\n",
            "loops = { codex = { cycle = { warn = 2 } } }\n",
            "[loops]\ncodex.cycle.act = 4\n",
            "[loops.codex]\ncycle = { act = 4 } # four\n",
        ] {
            let after = changed(before, &[(place("codex", "cycle", "act"), 7)]).unwrap();
            let table: toml::Table = after.parse().unwrap();
            assert_eq!(table["loops"]["codex"]["cycle"]["act"].as_integer(), Some(7), "{before} → {after}");
            assert_eq!(changed(&after, &[(place("codex", "cycle", "act"), 7)]).unwrap(), after);
        }
        assert!(changed("loops = 1", &[(place("codex", "cycle", "act"), 7)]).is_err());
        assert!(changed("= 1", &[]).is_err());
    }

    #[test]
    fn a_new_file_is_for_its_owner_and_an_old_one_for_whom_it_was() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/config.toml");
        let limits = [(place("codex", "cycle", "act"), 7)];
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(put(&path, &limits), Ok(true));
        assert_eq!(put(&path, &limits), Ok(false));
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_to_string(&path).unwrap().matches("act = 7").count(), 1);

        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let link = home.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(put(&link, &[(place("codex", "cycle", "act"), 8)]), Ok(true));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let dangling = home.path().join("dangling.toml");
        std::os::unix::fs::symlink(home.path().join("nothing.toml"), &dangling).unwrap();
        assert!(put(&dangling, &limits).is_err());
        assert!(fs::symlink_metadata(&dangling).unwrap().is_symlink(), "it is left as it is");
        assert_eq!((mode(&path), fs::read_to_string(&path).unwrap().contains("act = 8")), (0o644, true));
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    }
}
