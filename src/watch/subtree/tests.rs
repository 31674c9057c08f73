//! A subtree behaves like a sorted map under any sequence of operations.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<String, Option<Vec<u8>>>;

/// Values that fill pages fast, so that pages are split and joined all the time.
fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of((any::<u8>(), prop_oneof![0..4usize, 500..1500usize, Just(5000)]))
        .prop_map(|value| value.map(|(byte, len)| vec![byte; len]))
}

/// An operation at a path.
#[derive(Debug, Clone)]
enum Step {
    Put(String, Option<Vec<u8>>),
    Remove(String),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let path = "([ab!é](/[ab!é]){0,3})?";
    let step = prop_oneof![
        3 => (path, value()).prop_map(|(path, value)| Step::Put(path, value)),
        2 => path.prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 0..120)
}

fn go(subtree: &mut Subtree, model: &mut Model, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Put(path, value) => {
                subtree.insert(path, value.as_deref());
                model.insert(path.clone(), value.clone());
            }
            Step::Remove(path) => assert_eq!(subtree.remove(path), model.remove(path).is_some()),
        }
    }
}

fn entries(model: &Model) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
    model.iter().map(|(path, value)| (path.as_str(), value.as_deref()))
}

fn nodes(model: &Model) -> impl Iterator<Item = (&str, Node<'_>)> {
    entries(model).map(|(path, value)| (path, Node { value, origin: Origin::default() }))
}

fn check(subtree: &Subtree, model: &Model) {
    assert!(subtree.iter().eq(entries(model)), "{subtree:?}");
    assert_eq!(subtree.len(), model.len());
    assert_eq!(subtree.is_empty(), model.is_empty());
    let boundaries: Vec<_> = subtree.pages.iter().collect();
    for (index, (boundary, page)) in boundaries.iter().enumerate() {
        assert!(page.split().is_none());
        assert!(page.len() > 0 || boundary.is_empty(), "an empty page at {boundary:?}");
        assert!(page.from(0).all(|entry| entry.path >= &***boundary));
        let next = boundaries.get(index + 1).map(|(next, _)| next);
        assert!(next.is_none_or(|next| page.from(0).all(|entry| entry.path < &***next)));
    }
}

proptest! {
    #[test]
    fn a_subtree_is_a_sorted_map_and_old_states_stay(first in steps(), then in steps(), from in "[ab!é]?(/[ab!é])?") {
        let (mut subtree, mut model) = (Subtree::new(), Model::new());
        go(&mut subtree, &mut model, &first);
        check(&subtree, &model);
        let (old, old_model) = (subtree.clone(), model.clone());
        go(&mut subtree, &mut model, &then);
        check(&subtree, &model);
        check(&old, &old_model);
        prop_assert_eq!(old == subtree, old_model == model);
        prop_assert!(subtree.from(&from).eq(entries(&model).filter(|(path, _)| *path >= from.as_str())));
        for path in old_model.keys().chain(model.keys()) {
            prop_assert_eq!(subtree.get(path), model.get(path).map(Option::as_deref));
        }
        let rebuilt: Subtree = model.iter().map(|(path, value)| (path, value.as_ref())).collect();
        prop_assert_eq!(&rebuilt, &subtree);
        let packed = Subtree::from_sorted(nodes(&model));
        check(&packed, &model);
        prop_assert_eq!(&packed, &subtree);
        let mut made = old_model.clone();
        let mut last = None;
        for (path, before, after) in old.differences(&subtree) {
            prop_assert!(last.is_none_or(|last| last < path));
            last = Some(path);
            prop_assert_ne!(before, after);
            prop_assert_eq!(made.get(path).map(Option::as_deref), before);
            match after {
                Some(value) => drop(made.insert(path.to_owned(), value.map(<[u8]>::to_vec))),
                None => drop(made.remove(path)),
            }
        }
        prop_assert_eq!(made, model);
    }
}

#[test]
fn an_emptied_subtree_keeps_no_pages() {
    let paths: Vec<String> = (0..5000).map(|number| format!("{number:05}")).collect();
    let full: Subtree = paths.iter().map(|path| (path, Some("value"))).collect();
    let orders: [Vec<&String>; 2] = [paths.iter().collect(), paths.iter().rev().collect()];
    for order in orders {
        let mut emptied = full.clone();
        for path in order.into_iter().take(4990) {
            assert!(emptied.remove(path));
        }
        assert_eq!(emptied.len(), 10);
        assert!(emptied.pages.len() <= 2, "{} pages", emptied.pages.len());
    }
}

#[test]
fn the_spelling_of_a_path_may_change() {
    let mut subtree: Subtree = [("a", Some("x")), ("b", Some("x"))].into_iter().collect();
    let before = subtree.clone();
    let plain = Origin { spelling: Spelling::Plain, revision: 0 };
    subtree.insert_from("b", Some(b"x"), plain);
    subtree.insert_from("c", None, plain);
    assert_eq!(subtree.spelling("b"), Some(Spelling::Plain));
    assert_eq!(subtree.spelling("d"), None);
    assert!(subtree.origins().eq([("a", Origin::default()), ("b", plain), ("c", plain)]));
    let value = Some(Some(b"x".as_slice()));
    assert!(before.differences(&subtree).eq([("b", value, value), ("c", None, Some(None))]));
    assert_ne!(before, subtree);
    subtree.insert("b", Some(b"x"));
    assert!(subtree.remove("c"));
    assert_eq!(before, subtree);
}

#[test]
fn a_rewrite_of_the_same_value_is_equal_but_counts_as_written() {
    let dated = |revision| Origin { spelling: Spelling::Slashed, revision };
    let mut subtree: Subtree = [("a", Some("x")), ("b", Some("x")), ("c", Some("x"))].into_iter().collect();
    subtree.insert_from("b", Some(b"x"), dated(7));
    let before = subtree.clone();
    subtree.insert_from("b", Some(b"x"), dated(9));
    assert_eq!(before, subtree);
    assert_eq!(before.differences(&subtree).next(), None);
    let node = |revision| Some(Node { value: Some(b"x".as_slice()), origin: dated(revision) });
    assert!(before.written(&subtree).eq([("b", node(7), node(9))]));
    // Their neighbours keep their revisions.
    assert_eq!(subtree.origin("a"), Some(dated(0)));
    subtree.insert_from("a", None, dated(11));
    assert!(subtree.remove("c"));
    assert!(subtree.origins().eq([("a", dated(11)), ("b", dated(9))]));
}

#[test]
fn debug_output_is_a_map() {
    let subtree: Subtree = [("", None), ("a", Some("x\0"))].into_iter().collect();
    assert_eq!(format!("{subtree:?}"), r#"{"": None, "a": Some(b"x\0")}"#);
}
