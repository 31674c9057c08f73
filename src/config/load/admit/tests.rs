//! Names that several files define.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::config::diff::tests::watches;

fn file(path: &str, names: &[&str], retries: u32) -> CandidateFile {
    let path: Arc<Path> = Arc::from(Path::new(path));
    let text =
        |name: &&str| format!("[[watch]]\nname = '{name}'\nkey = '/a'\naction = 'a'\nretries = {retries}\n");
    let text: Vec<String> = names.iter().map(text).collect();
    let offer = watches(&text.concat())
        .into_values()
        .map(|spec| LoadedWatch { spec, file: Arc::clone(&path), place: Position { line: 1, column: 1 } })
        .collect();
    CandidateFile { offer: Some(offer), report: FileReport::new(&path, LoadState::Loaded, vec![]) }
}

fn broken(path: &str) -> CandidateFile {
    CandidateFile { offer: None, ..file(path, &[], 0) }
}

/// `name@file` of the definitions in effect, and `file: …` of the problems.
fn result(
    running: &BTreeMap<WatchName, LoadedWatch>,
    candidates: Vec<CandidateFile>,
) -> (BTreeMap<WatchName, LoadedWatch>, String) {
    let (admitted, reports) = admit(running, candidates, None);
    let held = admitted.iter().map(|(name, watch)| format!("{name}@{}", watch.file.display()));
    let said = reports.iter().flat_map(|report| report.problems.iter().map(Problem::one_line));
    let text = held.chain(said).collect::<Vec<_>>().join("\n");
    (admitted, text)
}

#[test]
fn the_first_in_order_of_paths_gets_a_name_and_the_other_file_is_broken_as_a_whole() {
    let (_, text) = result(
        &BTreeMap::new(),
        vec![file("/a", &["x"], 0), file("/b", &["x", "y"], 0), file("/c", &["z"], 0)],
    );
    assert_eq!(text, "x@/a\nz@/c\nb:1:1: the watch `x` is defined in /a:1:1 already");
}

#[test]
fn the_file_whose_definition_runs_keeps_the_name() {
    let (running, _) = result(&BTreeMap::new(), vec![file("/b", &["x"], 0)]);
    let (_, text) = result(&running, vec![file("/a", &["x"], 1), file("/b", &["x"], 2)]);
    assert_eq!(text, "x@/b\na:1:1: the watch `x` is defined in /b:1:1 already");
    let (_, text) = result(&running, vec![file("/a", &["x"], 1), broken("/b")]);
    assert_eq!(text, "x@/b\na:1:1: the watch `x` is defined in /b:1:1 already");
    let (_, text) = result(&running, vec![file("/a", &["x"], 1)]);
    assert_eq!(text, "x@/a", "a file that is gone holds no name");
}

#[test]
fn who_loses_a_name_keeps_what_it_had_and_is_in_nobodys_way() {
    let (running, _) = result(&BTreeMap::new(), vec![file("/a", &["x"], 0), file("/b", &["y"], 0)]);
    let (after, text) =
        result(&running, vec![file("/a", &["x"], 0), file("/b", &["x", "z"], 9), file("/c", &["z"], 0)]);
    assert_eq!(text, "x@/a\ny@/b\nz@/c\nb:1:1: the watch `x` is defined in /a:1:1 already");
    assert_eq!(after["y"], running["y"]);
}

#[test]
fn a_knot_of_files_that_want_each_others_names_is_cut() {
    let (running, _) = result(&BTreeMap::new(), vec![file("/a", &["x"], 0), file("/b", &["y"], 0)]);
    let (after, _) = result(&running, vec![file("/a", &["x", "y"], 1), file("/b", &["x", "y"], 2)]);
    assert_eq!(after, running);
}

proptest::proptest! {
    #[test]
    fn each_name_is_held_once_and_nothing_that_runs_is_lost_to_a_conflict(
        first in proptest::collection::vec(proptest::collection::btree_set(0..5_usize, 0..4), 4),
        second in proptest::collection::vec(proptest::option::of(proptest::collection::btree_set(0..5_usize, 0..4)), 4),
    ) {
        let names = ["v", "w", "x", "y", "z"];
        let paths = ["/a", "/b", "/c", "/d"];
        let wanted = |set: &BTreeSet<usize>| set.iter().map(|index| names[*index]).collect::<Vec<_>>();
        let files = paths.iter().zip(&first).map(|(path, set)| file(path, &wanted(set), 0)).collect();
        let (running, _) = admit(&BTreeMap::new(), files, None);
        let files = paths.iter().zip(&second).map(|(path, set)| match set {
            Some(set) => file(path, &wanted(set), 1),
            None => broken(path),
        }).collect();
        let (after, reports) = admit(&running, files, None);
        for (path, report) in paths.iter().zip(&reports) {
            let of = |watches: &BTreeMap<WatchName, LoadedWatch>| watches.values().filter(|watch| *watch.file == *Path::new(path)).cloned().collect::<Vec<_>>();
            let offered = second[paths.iter().position(|known| known == path).unwrap()].as_ref();
            if report.state == LoadState::Broken || offered.is_none() {
                proptest::prop_assert_eq!(of(&after), of(&running), "what ran of a broken file stays");
            } else {
                proptest::prop_assert_eq!(Some(of(&after).len()), offered.map(BTreeSet::len), "a file holds as a whole");
            }
        }
    }
}

#[test]
fn two_files_never_define_one_group_of_a_fleet() {
    let settings = crate::config::lower::settings(&crate::config::raw::settings(
        Path::new("/t/twitcher.conf").into(),
        "",
        &crate::config::raw::Local::named("host"),
    ));
    let fleet = settings.0.unwrap().fleet;
    let grouped = |path: &str, name: &str, group: &str| {
        let file: Arc<Path> = Arc::from(Path::new(path));
        let text = format!(
            "[[watch]]\nname = '{name}'\nkey = '/a'\naction = 'a'\ntimeout = 1\n[watch.fleet]\ngroup = '{group}'\n"
        );
        let loaded =
            |spec| LoadedWatch { spec, file: Arc::clone(&file), place: Position { line: 1, column: 1 } };
        let offer = Some(watches(&text).into_values().map(loaded).collect());
        CandidateFile { offer, report: FileReport::new(&file, LoadState::Loaded, vec![]) }
    };
    let result = |running: &BTreeMap<WatchName, LoadedWatch>, files| {
        let (admitted, reports) = admit(running, files, Some(&fleet));
        let held = admitted.iter().map(|(name, watch)| format!("{name}@{}", watch.file.display()));
        let said = reports.iter().flat_map(|report| report.problems.iter().map(Problem::one_line));
        let text = held.chain(said).collect::<Vec<_>>().join("\n");
        (admitted, text)
    };
    let nothing = BTreeMap::new();
    let (_, text) =
        result(&nothing, vec![grouped("/a", "x", "g"), grouped("/b", "y", "g"), grouped("/c", "z", "h")]);
    assert_eq!(text, "x@/a\nz@/c\nb:1:1: the watch `x` in /a:1:1 is in the fleet's group `g` already");
    let (running, _) = result(&nothing, vec![grouped("/b", "y", "g")]);
    let (_, text) = result(&running, vec![grouped("/a", "x", "g"), grouped("/b", "y", "g")]);
    assert_eq!(text, "y@/b\na:1:1: the watch `y` in /b:1:1 is in the fleet's group `g` already");
}
