//! Documents are read back, by this program and, where possible, by other parsers; faulty documents are refused with
//! their position (`refusals.rs`).

mod refusals;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::watch::{Content, Format, Subtree};

type Entries = BTreeMap<String, Option<Bytes>>;

const SYNTAXES: [Syntax; 3] = [Syntax::Json, Syntax::Yaml, Syntax::Toml];

fn written(entries: &Entries, syntax: Syntax) -> String {
    write(entries.iter().map(|(path, value)| (path.as_str(), value.as_deref())), syntax)
}

fn all_segments(path: &str) -> Vec<&str> {
    segments(path, usize::MAX).collect()
}

/// A tree as its documents show it: a node that only has something below it is not mentioned.
fn normal(mut entries: Entries) -> Entries {
    let all: Vec<_> = entries.keys().cloned().collect();
    let above = |path: &str| {
        let path = all_segments(path);
        all.iter()
            .map(|other| all_segments(other))
            .any(|other| other.len() > path.len() && other.starts_with(&path))
    };
    entries.retain(|path, value| value.is_some() || !above(path));
    if entries.is_empty() {
        entries.insert(String::new(), None);
    }
    entries
}

fn entries(pairs: &[(&str, Option<&str>)]) -> Entries {
    pairs.iter().map(|(path, value)| ((*path).to_owned(), value.map(|v| v.to_owned().into()))).collect()
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-c]{1,2}",
        1 => prop::sample::select(vec![
            "", "base64", "null", "~", "true", "1", "1.50", "-", "?", "#", "a.b", "a b", "\"", "'", "\n", "[x]", "{}",
            "<<", "value", "---", "%", "=", "\\", ":", "a: b", "\u{feff}", "\u{2028}", "\r\n", "é", "\u{7f}",
        ]).prop_map(str::to_owned),
        1 => "[^/\0]{0,6}",
        1 => Just("x".repeat(1500)),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::collection::vec(segment(), 0..5),
        1 => prop::collection::vec(prop_oneof!["", "d", "base64"], 60..140),
    ]
    .prop_map(|segments| {
        let path = segments.join("/");
        // One empty segment is the path `/`, two of them are no path: see `segments`.
        if segments.len() == 1 && path.is_empty() { "/".to_owned() } else { path }
    })
}

fn value() -> impl Strategy<Value = Option<Bytes>> {
    let text = prop_oneof![
        prop::sample::select(vec![
            "",
            "1",
            "0x10",
            "1e3",
            "true",
            "no",
            "null",
            "~",
            "2026-01-01",
            "a\nb",
            "a\nb\n",
            "a\n\nb\n\n",
            " a\nb",
            "a\n b\n",
            "a\n \nb",
            "\n",
            "\ta\nb",
            "a\r\nb",
            "a: b",
            "a #b",
            "- a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "'''",
            "\"\"\"",
            "\\",
            "a:",
            "---",
            "...\na",
            "{\"base64\": \"AA==\"}",
            "\u{85}",
            "\u{feff}a",
            "\0",
            "-0",
            ".inf",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}",
        any::<String>(),
        "[ -~\n\t]{0,30}",
    ];
    prop_oneof![
        1 => Just(None),
        5 => text.prop_map(|text| Some(text.into())),
        2 => prop::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| Some(bytes.into())),
    ]
}

fn tree() -> impl Strategy<Value = Entries> {
    prop::collection::btree_map(path(), value(), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_tree_survives_every_syntax(tree in tree()) {
        for syntax in SYNTAXES {
            let text = written(&tree, syntax);
            let read = parse(text.as_bytes(), syntax, Arrays::Refuse);
            prop_assert_eq!(read.as_ref(), Ok(&normal(tree.clone())), "{:?}\n{}", syntax, text);
            // Allowing arrays changes nothing in a document that was written here.
            prop_assert_eq!(parse(text.as_bytes(), syntax, Arrays::Index), read);
        }
    }

    /// Common parsers of all three syntaxes read the same objects.
    #[test]
    fn other_parsers_read_the_same_objects(tree in tree()) {
        let mut json: serde_json::Value = serde_json::from_str(&written(&tree, Syntax::Json)).unwrap();
        let yaml: serde_json::Value = serde_saphyr::from_str(&written(&tree, Syntax::Yaml))
            .map_err(|error| TestCaseError::fail(format!("{error}\n{}", written(&tree, Syntax::Yaml))))?;
        prop_assert_eq!(&yaml, &json, "{}", written(&tree, Syntax::Yaml));
        let toml: serde_json::Value = ::toml::from_str(&written(&tree, Syntax::Toml)).unwrap();
        if !json.is_object() || json == serde_json::json!({}) {
            json = serde_json::json!({ "": json });
        }
        prop_assert_eq!(toml, json);
    }

    #[test]
    fn standard_input_is_the_same_document(tree in tree()) {
        let subtree: Subtree = tree.iter().map(|(path, value)| (path, value.as_ref())).collect();
        for (format, syntax) in [(Format::Json, Syntax::Json), (Format::Yaml, Syntax::Yaml), (Format::Toml, Syntax::Toml)] {
            let text = render(&Content::Tree(subtree.clone()), format);
            prop_assert_eq!(parse(&text, syntax, Arrays::Refuse), Ok(normal(tree.clone())));
        }
        let json = render(&Content::Tree(subtree.clone()), Format::Json);
        prop_assert_eq!(json.split(|&byte| byte == b'\n').count(), 2);
        let lines = render(&Content::Tree(subtree), Format::Lines);
        prop_assert_eq!(lines.split(|&byte| byte == b'\n').count(), tree.len() + 1);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        for syntax in SYNTAXES {
            let _ = parse(text.as_bytes(), syntax, Arrays::Index);
            let _ = parse(&bytes, syntax, Arrays::Refuse);
        }
    }
}

#[test]
fn any_name_of_a_child_is_written_as_one_line() {
    let names =
        ["plain ä", "two\nlines", "return\r", "esc\u{1b}[31m", "back\\slash", "c1\u{9b}", "tab\t", "a=b"];
    let children = Content::Children(names.map(std::sync::Arc::from).to_vec().into());
    let expected = "plain ä\ntwo\\nlines\nreturn\\r\nesc\\x1b[31m\nback\\\\slash\nc1\\x9b\ntab\\x09\na=b\n";
    for format in [Format::Lines, Format::Raw] {
        assert_eq!(String::from_utf8(render(&children, format).to_vec()).unwrap(), expected);
    }
}

#[test]
fn the_shape_is_the_specified_one() {
    let mut tree = entries(&[
        ("", Some("root")),
        ("web/port", Some("80")),
        ("web", Some("on")),
        ("web/raw", None),
        ("web/tls/key", Some("line 1\nline 2\n")),
        ("zone/a//b", Some("x")),
    ]);
    tree.insert("bin".into(), Some(Bytes::from_static(b"\xff\0")));
    assert_eq!(
        written(&tree, Syntax::Json),
        r#"{
  "": "root",
  "bin": {
    "base64": "/wA="
  },
  "web": {
    "": "on",
    "port": "80",
    "raw": {},
    "tls": {
      "key": "line 1\nline 2\n"
    }
  },
  "zone": {
    "a": {
      "/": {
        "b": "x"
      }
    }
  }
}
"#
    );
    assert_eq!(
        written(&tree, Syntax::Yaml),
        r#""": root
bin:
  base64: /wA=
web:
  "": "on"
  port: "80"
  raw: {}
  tls:
    key: |
      line 1
      line 2
zone:
  a:
    /:
      b: x
"#
    );
    assert_eq!(
        written(&tree, Syntax::Toml),
        r#""" = "root"
bin = { base64 = "/wA=" }

[web]
"" = "on"
port = "80"
raw = {}

[web.tls]
key = """
line 1
line 2
"""

[zone.a."/"]
b = "x"
"#
    );
}

#[test]
fn values_and_children_have_a_form_in_every_format() {
    let show = |content: &Content, format| String::from_utf8_lossy(&render(content, format)).into_owned();
    let value = Content::Value("10 \"a\"".into());
    let binary = Content::Value(Bytes::from_static(b"\xff"));
    let children = Content::Children(["a".into(), "1".into()].into());
    let none = Content::Children([].into());
    let formats = [Format::Raw, Format::Lines, Format::Json, Format::Yaml, Format::Toml];
    let shown = |content: &Content| formats.map(|format| show(content, format));
    assert_eq!(
        shown(&value),
        ["10 \"a\"", "10 \"a\"\n", "\"10 \\\"a\\\"\"\n", "\"10 \\\"a\\\"\"\n", "value = '10 \"a\"'\n"]
    );
    assert_eq!(render(&binary, Format::Raw), b"\xff".as_slice());
    assert_eq!(render(&binary, Format::Lines), b"\xff\n".as_slice());
    assert_eq!(show(&binary, Format::Json), "{\"base64\":\"/w==\"}\n");
    assert_eq!(show(&binary, Format::Yaml), "base64: /w==\n");
    assert_eq!(show(&binary, Format::Toml), "value = { base64 = \"/w==\" }\n");
    assert_eq!(
        shown(&children),
        ["a\n1\n", "a\n1\n", "[\"a\", \"1\"]\n", "- a\n- \"1\"\n", "children = [\"a\", \"1\"]\n"]
    );
    assert_eq!(shown(&none), ["", "", "[]\n", "[]\n", "children = []\n"]);
    assert_eq!(shown(&Content::Absent), [""; 5]);
    assert_eq!(shown(&Content::Unread), [""; 5]);
    let tree: Subtree = [
        ("", Some("v=1".into())),
        ("a=b", Some("x\ny\\".into())),
        ("c", None),
        ("d", Some(Bytes::from_static(b"\xc3\xa9\xff"))),
    ]
    .into_iter()
    .collect();
    assert_eq!(show(&Content::Tree(tree), Format::Lines), "=v=1\na\\x3db=x\\x0ay\\x5c\nc\nd=é\\xff\n");
}

#[test]
fn a_long_line_of_members_is_read_in_linear_time() {
    let members: Vec<String> = (0..200_000).map(|n| format!("\"k{n}\": 1.50")).collect();
    let json = format!("{{{}}}", members.join(","));
    let read = parse(json.as_bytes(), Syntax::Json, Arrays::Refuse).unwrap();
    assert_eq!(read.len(), 200_000);
    assert_eq!(read.get("k7").unwrap().as_deref(), Some(b"1.50".as_slice()));
}

#[test]
fn hand_written_documents_are_read() {
    let read = |syntax, text: &str| parse(text.as_bytes(), syntax, Arrays::Index).unwrap();
    let expected = entries(&[
        ("port", Some("8080")),
        ("ratio", Some("1.50")),
        ("on", Some("true")),
        ("hosts/0", Some("a")),
        ("hosts/1", Some("b")),
        ("none", None),
        ("x/y/z", Some("1")),
    ]);
    let yaml = "port: 8080\nratio: 1.50\non: true\nhosts: [a, b]\nnone: {}\n/x/y:\n  z: !!str 1\n";
    assert_eq!(read(Syntax::Yaml, yaml), expected);
    let toml = "port = 8080\nratio = 1.50\non = true\nhosts = ['a', 'b']\nnone = {}\n['x/y']\nz = 1\n";
    assert_eq!(read(Syntax::Toml, toml), expected);
    let json =
        r#"{"port": 8080, "ratio": 1.50, "on": true, "hosts": ["a", "b"], "none": [], "x": {"y/z": 1}}"#;
    assert_eq!(read(Syntax::Json, json), expected);
    let binary = read(Syntax::Yaml, "a: !!binary |\n  /wA=\n  \n");
    assert_eq!(binary.get("a").unwrap().as_deref(), Some(b"\xff\0".as_slice()));
}

/// A byte order mark and the line ends of other systems change nothing; a TOML date is its text.
#[test]
fn documents_of_other_systems_are_read() {
    for (syntax, text) in [
        (
            Syntax::Yaml,
            "\u{feff}---\r\na: 1.50\r\nb:\r\n  c: |\r\n    x\r\n    y\r\nd: 2026-01-01T10:00:00Z\r\n...\r\n",
        ),
        (
            Syntax::Json,
            "\u{feff}{\r\n\"a\": 1.50,\r\n\"b\": {\"c\": \"x\\ny\\n\"},\"d\":\"2026-01-01T10:00:00Z\"\r\n}\r\n",
        ),
        (Syntax::Toml, "\u{feff}a = 1.50\r\nd = 2026-01-01T10:00:00Z\r\n[b]\r\nc = \"x\\ny\\n\"\r\n"),
    ] {
        let expected =
            entries(&[("a", Some("1.50")), ("b/c", Some("x\ny\n")), ("d", Some("2026-01-01T10:00:00Z"))]);
        assert_eq!(parse(text.as_bytes(), syntax, Arrays::Refuse), Ok(expected), "{syntax:?}");
    }
    let numbers =
        parse(b"{\"a\": -0, \"b\": 1e400, \"c\": 12345678901234567890123}", Syntax::Json, Arrays::Refuse);
    let expected =
        entries(&[("a", Some("-0")), ("b", Some("1e400")), ("c", Some("12345678901234567890123"))]);
    assert_eq!(numbers, Ok(expected));
}
