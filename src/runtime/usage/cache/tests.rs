//! The cache is never wrong: whatever happens to the files and to itself.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, LazyLock};

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::engine::usage::meter::Mode;
use crate::engine::usage::price::Prices;
use crate::engine::usage::report::{By, Filter, Report, report};
use crate::runtime::scan::Progress;
use crate::runtime::usage::{Pricing, run};
use crate::source::walk::{Input, Kind};

static OPTIONS: LazyLock<Options> = LazyLock::new(Options::new);

/// A folder of transcripts, and a cache.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("t")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("t").join(name)
    }

    fn caches(&self) -> PathBuf {
        self.folder.path().join("c")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Comes back when the file system's clock has gone on, so that the next change has another time than the last.
    fn tick(&self) {
        let probe = self.folder.path().join("probe");
        let touch = || {
            fs::write(&probe, "x").unwrap();
            Facts::of(&probe).unwrap().changed
        };
        let before = touch();
        while touch() == before {}
    }

    /// The cache, these many seconds from now.
    fn cache(&self, later: u64) -> Cache {
        let cache =
            Cache::new(self.caches(), &OPTIONS, SystemTime::now() + Duration::from_secs(later)).unwrap();
        // Wherever the tests run.
        let device = Facts::of(&self.path("a")).map(|facts| facts.device);
        cache.devices.lock().unwrap().extend(device.map(|device| (device, true)));
        cache
    }

    fn files(&self) -> Vec<Input> {
        let entries = fs::read_dir(self.folder.path().join("t")).unwrap().flatten();
        let input = |entry: fs::DirEntry| Input {
            path: entry.path(),
            size: entry.metadata().unwrap().len(),
            kind: Kind::File,
        };
        entries.map(input).collect()
    }

    fn told(&self, cache: Option<&Cache>, mode: Mode) -> Report {
        let pricing = Pricing { prices: Arc::new(Prices::built_in().clone()), mode };
        let (ledger, troubles) =
            run(&self.files(), &OPTIONS, &pricing, 2, cache, &Progress::default()).unwrap();
        assert!(troubles.is_empty(), "{troubles:?}");
        report(&ledger.settle(), By::Session, &TimeZone::UTC, &Filter::default())
    }

    /// What is told with the cache, which is what is told without.
    fn agreed(&self, cache: &Cache) -> Report {
        let told = self.told(Some(cache), Mode::Auto);
        assert_eq!(told, self.told(None, Mode::Auto));
        told
    }

    /// Of how many files the cache knows what they say.
    fn known(&self, cache: &Cache) -> usize {
        let facts = self.files().into_iter().filter_map(|input| Facts::of(&input.path));
        facts.filter(|facts| cache.find(&cache.load(facts.shard()), facts).is_some()).count()
    }

    fn shards(&self) -> Vec<PathBuf> {
        fs::read_dir(self.caches()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// Half an hour.
const LATER: u64 = 1800;

const DAY: u64 = 86_400;

/// A request, always of the same length.
fn request(session: u32, message: u32, output: u32) -> String {
    format!(
        r#"{{"isSidechain":false,"cwd":"/home/u/shop","sessionId":"1111111{session}-1111-4111-8111-111111111111","version":"2.1.0","type":"assistant","requestId":"req_011CAbCdEf","message":{{"id":"msg_01AAAAAAAAAA{message:02}","type":"message","role":"assistant","model":"claude-opus-4-6","content":[{{"type":"text","text":"ok"}}],"usage":{{"input_tokens":10,"output_tokens":1{output:02}}}}},"uuid":"u","timestamp":"2026-11-19T05:00:00.000Z"}}
"#
    )
}

#[test]
fn what_has_not_changed_is_known_and_serves_every_mode() {
    let world = World::new();
    world.write("a", &(request(1, 1, 1) + &request(1, 1, 7) + &request(1, 2, 2)));
    world.write("b", &request(2, 1, 9));
    world.write("empty", "");
    let cache = world.cache(LATER);
    let first = world.agreed(&cache);
    assert_eq!(first.total.amount.requests, 2);
    assert_eq!(world.known(&cache), 3);
    for mode in [Mode::Auto, Mode::Calculate, Mode::Display] {
        assert_eq!(world.told(Some(&cache), mode), world.told(None, mode), "{mode:?}");
    }
}

#[test]
fn a_file_that_was_just_written_is_not_kept() {
    let world = World::new();
    world.write("a", &request(1, 1, 1));
    let cache = world.cache(0);
    world.agreed(&cache);
    assert_eq!(world.known(&cache), 0);
    let written = fs::metadata(world.path("a")).unwrap().modified().unwrap();
    world.write("a", &request(1, 1, 2));
    File::options().write(true).open(world.path("a")).unwrap().set_modified(written).unwrap();
    world.agreed(&cache);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_kept() {
    let world = World::new();
    world.write("a", &request(1, 1, 1));
    let before = Facts::of(&world.path("a"));
    world.tick();
    world.write("a", &request(1, 1, 2));
    let cache = world.cache(LATER);
    assert!(cache.keep(before, &world.path("a"), "claude", Keeping::default()).is_none());
    assert!(
        cache.keep(Facts::of(&world.path("a")), &world.path("a"), "claude", Keeping::default()).is_some()
    );
}

#[test]
fn a_file_whose_times_were_set_back_is_read_again() {
    let world = World::new();
    world.write("a", &request(1, 1, 1));
    let cache = world.cache(LATER);
    let old = world.agreed(&cache);
    let written = fs::metadata(world.path("a")).unwrap().modified().unwrap();
    world.tick();
    world.write("a", &request(1, 1, 2));
    File::options().write(true).open(world.path("a")).unwrap().set_modified(written).unwrap();
    assert_eq!(fs::metadata(world.path("a")).unwrap().modified().unwrap(), written);
    assert_ne!(world.agreed(&cache), old);
}

#[test]
fn a_damaged_cache_is_none_and_is_written_anew() {
    let world = World::new();
    world.write("a", &(request(1, 1, 1) + &request(1, 2, 2)));
    let cache = world.cache(LATER);
    world.agreed(&cache);
    let [shard] = &world.shards()[..] else { panic!("one file, one entry") };
    let whole = fs::read(shard).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(cache.entries(&bytes).is_none(), "byte {at}");
        assert!(cache.entries(&whole[..at]).is_none(), "the first {at} bytes");
    }
    assert!(cache.entries(&whole).is_some());
    for bytes in [&b""[..], b"\0", &[0xff; 4096], &whole[..whole.len() - 1]] {
        fs::write(shard, bytes).unwrap();
        world.agreed(&cache);
        assert_eq!(fs::read(shard).unwrap(), whole);
    }
    fs::remove_file(shard).unwrap();
    fs::create_dir(shard).unwrap();
    world.agreed(&cache);
}

#[test]
fn notes_that_make_no_sense_are_not_believed() {
    let world = World::new();
    world.write("a", &request(1, 1, 1));
    let cache = world.cache(LATER);
    let facts = Facts::of(&world.path("a")).unwrap();
    for notes in [vec![0xff], vec![1, 1, 9, 0, 0], vec![0, 200]] {
        cache.save(facts.shard(), &[Fresh { facts, agent: "claude", notes }], &[]);
        assert_eq!(world.known(&cache), 1);
        world.agreed(&cache);
    }
}

#[test]
fn another_program_believes_nothing_and_other_settings_have_entries_of_their_own() {
    let world = World::new();
    world.write("a", &request(1, 1, 1));
    let cache = world.cache(LATER);
    world.agreed(&cache);
    let newer = Cache { program: cache.program ^ 1, ..world.cache(LATER) };
    assert_eq!((world.known(&cache), world.known(&newer)), (1, 0));
    let mut options = OPTIONS.clone();
    options.zone = TimeZone::get("Asia/Tokyo").unwrap();
    let other = Cache::new(world.caches(), &options, SystemTime::now()).unwrap();
    assert_ne!(cache.decoding, other.decoding);
    assert_eq!(world.known(&other), 0);
}

#[test]
fn what_nobody_asks_for_is_dropped_after_some_weeks() {
    let world = World::new();
    world.write("a", &request(1, 1, 1));
    world.write("b", &request(2, 2, 2));
    let asked = |later: u64, name: &str| {
        let cache = world.cache(later);
        let facts = Facts::of(&world.path(name)).unwrap();
        cache.find(&cache.load(facts.shard()), &facts).is_some()
    };
    world.agreed(&world.cache(LATER));
    // Only `a` is asked for, once in a while.
    for days in [10, 20, 30, 40] {
        let facts = Facts::of(&world.path("a")).unwrap();
        let cache = world.cache(LATER + days * DAY);
        assert!(cache.find(&cache.load(facts.shard()), &facts).unwrap().is_late);
        let facts_of_b = Facts::of(&world.path("b")).unwrap();
        cache.save(facts.shard(), &[], &[facts]);
        cache.save(facts_of_b.shard(), &[], &[]);
    }
    assert!(asked(LATER + 40 * DAY, "a"));
    assert!(!asked(LATER + 40 * DAY, "b"));
}

#[test]
fn it_is_for_its_owner_alone_and_leaves_nothing_behind() {
    let world = World::new();
    world.write("a", &request(1, 1, 1));
    fs::create_dir_all(world.caches()).unwrap();
    let left = world.caches().join(".usage-03.dead.new");
    fs::write(&left, "x").unwrap();
    let long_ago = SystemTime::now() - 2 * LEFT;
    File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
    world.agreed(&world.cache(LATER));
    let [shard] = &world.shards()[..] else { panic!("{:?}", world.shards()) };
    assert_eq!(fs::metadata(shard).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_dir_all(world.caches()).unwrap();
    world.agreed(&world.cache(LATER));
    assert_eq!(fs::metadata(world.caches()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn where_it_cannot_be_written_nothing_is_kept_and_nothing_fails() {
    let world = World::new();
    world.write("a", &request(1, 1, 1));
    fs::write(world.caches(), "a file").unwrap();
    world.agreed(&world.cache(LATER));
}

#[test]
fn its_folder_is_where_caches_are() {
    let at = |variables: &[(&str, &str)]| {
        folder(&|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
    };
    let home = ("HOME", "/h");
    assert_eq!(at(&[home]), Some("/h/.cache/session-doctor".into()));
    assert_eq!(at(&[home, ("XDG_CACHE_HOME", "/x")]), Some("/x/session-doctor".into()));
    assert_eq!(at(&[home, ("XDG_CACHE_HOME", "x")]), Some("/h/.cache/session-doctor".into()));
    assert_eq!(at(&[home, ("SESSION_DOCTOR_HOME", "/s")]), Some("/s/cache".into()));
    assert_eq!(at(&[]), None);
}

/// What may happen to files between two runs.
#[derive(Clone, Debug)]
enum Change {
    Append(usize, u32, u32),
    Rewrite { file: usize, message: u32, output: u32, set_back: bool },
    Truncate(usize),
    Replace(usize, u32, u32),
    Rename(usize, usize),
    Remove(usize),
    Link(usize, usize),
    Nothing,
}

fn changes() -> impl Strategy<Value = Change> {
    let (file, message, output) = (0usize..4, 0u32..5, 0u32..4);
    prop_oneof![
        (file.clone(), message.clone(), output.clone())
            .prop_map(|(file, message, output)| Change::Append(file, message, output)),
        (file.clone(), message.clone(), output.clone(), any::<bool>()).prop_map(
            |(file, message, output, set_back)| Change::Rewrite { file, message, output, set_back }
        ),
        file.clone().prop_map(Change::Truncate),
        (file.clone(), message, output)
            .prop_map(|(file, message, output)| Change::Replace(file, message, output)),
        (file.clone(), file.clone()).prop_map(|(one, other)| Change::Rename(one, other)),
        file.clone().prop_map(Change::Remove),
        (file.clone(), file).prop_map(|(one, other)| Change::Link(one, other)),
        Just(Change::Nothing),
    ]
}

fn make(world: &World, change: &Change) {
    let path = |file: &usize| world.path(["a", "b", "c", "d"][*file]);
    // What is not there cannot be renamed; no run cares.
    let _ = match change {
        Change::Append(file, message, output) => {
            let open = File::options().append(true).create(true).open(path(file));
            open.and_then(|mut file| file.write_all(request(*message % 3, *message, *output).as_bytes()))
        }
        Change::Rewrite { file, message, output, set_back } => {
            let lines = fs::read_to_string(path(file)).unwrap_or_default().lines().count().max(1);
            let written = fs::metadata(path(file)).and_then(|metadata| metadata.modified());
            fs::write(path(file), request(*message % 3, *message, *output).repeat(lines)).unwrap();
            match written {
                Ok(written) if *set_back => {
                    File::options().write(true).open(path(file)).unwrap().set_modified(written)
                }
                _ => Ok(()),
            }
        }
        Change::Truncate(file) => File::options()
            .write(true)
            .open(path(file))
            .and_then(|file| file.set_len(file.metadata()?.len() / 2)),
        Change::Replace(file, message, output) => {
            world.write("new", &request(*message % 3, *message, *output));
            fs::rename(world.path("new"), path(file))
        }
        Change::Rename(one, other) => fs::rename(path(one), path(other)),
        Change::Remove(file) => fs::remove_file(path(file)),
        Change::Link(one, other) => fs::hard_link(path(one), path(other)),
        Change::Nothing => Ok(()),
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_happens_to_files_the_report_is_as_without_a_cache(
        rounds in prop::collection::vec(prop::collection::vec(changes(), 1..4), 1..8),
    ) {
        let world = World::new();
        for round in &rounds {
            round.iter().for_each(|change| make(&world, change));
            let cache = world.cache(LATER);
            cache.devices.lock().unwrap().extend(
                world.files().first().and_then(|file| Facts::of(&file.path)).map(|facts| (facts.device, true)),
            );
            world.agreed(&cache);
            prop_assert_eq!(world.known(&cache), world.files().len());
            world.tick();
        }
    }
}
