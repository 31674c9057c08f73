//! Plans are carried out on a model of each kind of store, which refuses what the real store refuses.

use proptest::prelude::*;

use super::*;
use crate::watch::{Spelling, Version};

type Present = BTreeMap<String, Entry>;

fn entry(value: Option<&str>, version: i64) -> Entry {
    let value = value.map(|value| value.to_owned().into());
    Entry { value, version: Version::Revision(version), spelling: Spelling::Slashed, metadata: Vec::new() }
}

fn document() -> impl Strategy<Value = Document> {
    let value = prop::option::of("[xy]?").prop_map(|value| value.map(Bytes::from));
    prop::collection::btree_map("[ab](/[ab]){0,2}", value, 0..6)
}

const KEY_MODELS: [KeyModel; 3] = [KeyModel::Nodes { whole: true }, KeyModel::Values, KeyModel::Files];

fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

/// Whether anything is below a path.
fn is_held<T>(present: &BTreeMap<String, T>, path: &str) -> bool {
    present.keys().any(|other| above(other).any(|above| above == path))
}

/// The content of a store after these values are written in order.
fn present(document: Document, model: KeyModel) -> Present {
    let mut present = Present::new();
    for (path, value) in document {
        if value.is_none() && !model.has_bare() {
            continue;
        }
        // A file prevents entries below it.
        if model == KeyModel::Files
            && above(&path).any(|above| present.get(above).is_some_and(|old| old.value.is_some()))
        {
            continue;
        }
        let value = value.unwrap_or_default();
        make_room(&mut present, &path, model, 7);
        present.insert(path, entry(Some(std::str::from_utf8(&value).unwrap()), 7));
    }
    listed(present, model)
}

/// Creates the parents of a path.
fn make_room(present: &mut Present, path: &str, model: KeyModel, version: i64) {
    let made = match model {
        KeyModel::Nodes { .. } => Some(""),
        KeyModel::Files => None,
        KeyModel::Values => return,
    };
    for above in above(path) {
        present.entry(above.to_owned()).or_insert_with(|| entry(made, version));
    }
}

/// As the store lists it: a node with an empty value and children is one without a value.
fn listed(mut present: Present, model: KeyModel) -> Present {
    if let KeyModel::Nodes { .. } = model {
        let held: Vec<String> = present.keys().filter(|path| is_held(&present, path)).cloned().collect();
        for (path, entry) in &mut present {
            let value = entry.value.take().unwrap_or_default();
            entry.value = (!value.is_empty() || !held.contains(path)).then_some(value);
        }
    }
    present
}

/// Carries out a plan as a store does, which refuses impossible writes and writes to a changed key.
fn carried_out(mut present: Present, plan: &Plan, model: KeyModel) -> Present {
    for step in &plan.steps {
        let path = step.key.as_str().strip_prefix("/at/").unwrap().to_owned();
        let old = present.get(&path);
        match step.condition {
            Condition::Any => panic!("{step} is not guarded"),
            Condition::Absent => assert_eq!(old, None, "{step}"),
            Condition::Version(version) => assert_eq!(old.unwrap().version, version, "{step}"),
        }
        match step.change() {
            Change::Put { value, .. } => {
                if model == KeyModel::Files {
                    let is_file = |path| present.get(path).is_some_and(|old: &Entry| old.value.is_some());
                    assert!(!above(&path).any(is_file), "{step} is below a file");
                    assert!(!is_held(&present, &path), "{step} is a directory");
                }
                make_room(&mut present, &path, model, 8);
                let version = Version::Revision(9);
                present.insert(path, Entry { value: Some(value), version, ..entry(None, 0) });
            }
            Change::Require { .. } => panic!("{step} writes nothing"),
            Change::Delete { .. } => {
                assert!(model == KeyModel::Values || !is_held(&present, &path), "{step} has children");
                present.remove(&path);
            }
        }
    }
    listed(present, model)
}

fn values(present: &Present) -> Document {
    present.iter().map(|(path, entry)| (path.clone(), entry.value.clone())).collect()
}

/// Whether a store of this kind can hold all of these at once.
fn fits(documents: &[&Document], model: KeyModel) -> bool {
    let all = || documents.iter().copied().flatten();
    let files: BTreeSet<&str> =
        all().filter(|(_, value)| value.is_some()).map(|(path, _)| path.as_str()).collect();
    model != KeyModel::Files || !all().any(|(path, _)| above(path).any(|above| files.contains(above)))
}

/// The expected content afterwards.
fn expected(document: &Document, before: &Present, mode: Mode, model: KeyModel) -> Document {
    let mut expected: Present = match mode {
        Mode::Merge => before.clone(),
        // A directory that the document mentions stays.
        Mode::Replace if model == KeyModel::Files => before
            .iter()
            .filter(|(path, old)| old.value.is_none() && is_held(document, path))
            .map(owned)
            .collect(),
        Mode::Replace => Present::new(),
    };
    let is_file = |(_, value): &(&String, &Option<Bytes>)| value.is_some();
    let files: Document = document.iter().filter(is_file).map(owned).collect();
    for (path, value) in document {
        let entry = match (value, before.get(path)) {
            (Some(value), _) => entry(Some(std::str::from_utf8(value).unwrap()), 9),
            (None, _) if model == KeyModel::Files && is_held(&files, path) => entry(None, 8),
            // A node without a value in the document leaves an existing one unchanged.
            (None, Some(old)) => old.clone(),
            (None, None) if model.has_bare() => entry(Some(""), 9),
            (None, None) => continue,
        };
        make_room(&mut expected, path, model, 8);
        expected.insert(path.clone(), entry);
    }
    values(&listed(expected, model))
}

fn owned<T: Clone>((path, value): (&String, &T)) -> (String, T) {
    (path.clone(), value.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_plan_makes_the_store_equal_to_the_document(
        document in document(), before in document(), model in prop::sample::select(KEY_MODELS.to_vec()), replace in any::<bool>(),
    ) {
        let mode = if replace { Mode::Replace } else { Mode::Merge };
        let before = present(before, model);
        prop_assume!(fits(&[&document], model));
        prop_assume!(replace || fits(&[&document, &values(&before)], model));
        let at = Key::new("/at").unwrap();
        let first = plan(&at, &document, &before, mode, model).unwrap();
        let after = carried_out(before.clone(), &first, model);
        prop_assert_eq!(values(&after), expected(&document, &before, mode, model), "{:#?}", first.steps);
        let second = plan(&at, &document, &after, mode, model).unwrap();
        prop_assert!(second.steps.is_empty(), "{:?}", second.steps);
    }
}

#[test]
fn each_difference_is_shown_in_one_line() {
    let at = Key::new("/at").unwrap();
    let document = [("new", "a\nb"), ("other", "2"), ("same", "x")];
    let document = document.map(|(path, value)| (path.to_owned(), Some(value.to_owned().into()))).into();
    let present = [("gone", None), ("other", Some("1")), ("same", Some("x"))];
    let present = present.map(|(path, value)| (path.to_owned(), entry(value, 3))).into();
    let plan = plan(&at, &document, &present, Mode::Replace, KeyModel::Values).unwrap();
    let shown: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["+ /at/new = \"a\\nb\"", "~ /at/other = \"1\" -> \"2\"", "- /at/gone"]);
    assert_eq!(plan.equal, 1);
}

/// The root and the server's own nodes are never deleted.
#[test]
fn the_root_and_the_servers_own_nodes_stay() {
    let nothing = Document::new();
    let document = Document::from([("new".to_owned(), Some("1".into()))]);
    let entries = [("", "own"), ("a", "1"), ("zookeeper", ""), ("zookeeper/config", ""), ("zookeepers", "")];
    let present: Present = entries
        .map(|(path, value)| {
            (path.to_owned(), entry(Some(value).filter(|value| *value != "own" || path.is_empty()), 3))
        })
        .into();
    let shown = |document: &Document, model| {
        let plan = plan(&Key::new("/").unwrap(), document, &present, Mode::Replace, model).unwrap();
        plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let gone = ["- /zookeepers = \"\"", "- /a = \"1\"", "~ / = \"own\" -> \"\""];
    assert_eq!(shown(&nothing, KeyModel::Nodes { whole: true }), gone);
    assert_eq!(
        shown(&document, KeyModel::Nodes { whole: true }),
        ["+ /new = \"1\""].into_iter().chain(gone).collect::<Vec<_>>()
    );
    assert_eq!(shown(&nothing, KeyModel::Nodes { whole: false }).len(), 5);
    assert_eq!(shown(&nothing, KeyModel::Values).len(), 5);
    let below = plan(
        &Key::new("/zookeeper").unwrap(),
        &nothing,
        &Present::from([("quota".to_owned(), entry(Some(""), 3))]),
        Mode::Replace,
        KeyModel::Nodes { whole: true },
    );
    assert!(below.unwrap().steps.is_empty());
    let directory = Present::from([(String::new(), entry(None, 3)), ("a".to_owned(), entry(Some("1"), 3))]);
    let plan = plan(&Key::new("/").unwrap(), &nothing, &directory, Mode::Replace, KeyModel::Files).unwrap();
    assert_eq!(plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>(), ["- /a = \"1\""]);
}

/// A key that contains a newline is shown in one line, and cannot look like another key.
#[test]
fn a_difference_of_any_key_is_one_line() {
    let document = Document::from([("a\n- /etc\u{1b}[2J".to_owned(), Some("1".into()))]);
    let plan =
        plan(&Key::new("/").unwrap(), &document, &Present::new(), Mode::Merge, KeyModel::Values).unwrap();
    assert_eq!(plan.steps[0].to_string(), "+ /a\\n- /etc\\x1b[2J = \"1\"");
}

#[test]
fn a_write_goes_to_the_spelling_that_was_read() {
    let bare = |version| Entry { spelling: Spelling::Plain, ..entry(Some("1"), version) };
    let present = [("a", bare(3)), ("b", bare(4)), ("c", entry(Some("1"), 5))];
    let present = present.map(|(path, entry)| (path.to_owned(), entry)).into();
    let document = [("a", "2"), ("c", "2"), ("d", "2")];
    let document = document.map(|(path, value)| (path.to_owned(), Some(value.to_owned().into()))).into();
    let plan = plan(&Key::new("/").unwrap(), &document, &present, Mode::Replace, KeyModel::Values).unwrap();
    let keys: Vec<&str> = plan.steps.iter().map(|step| step.key.as_str()).collect();
    assert_eq!(keys, ["a", "/c", "/d", "b"]);
}
