//! Errors in documents have their position: as a list for each syntax, and for excessive depth.

use super::*;

/// A document followed by its error.
fn said_of(syntax: Syntax, documents: &[&[u8]]) -> String {
    let said = |text: &&[u8]| match parse(text, syntax, Arrays::Refuse) {
        Ok(entries) => panic!("{} is read: {entries:?}", text.escape_ascii()),
        Err(error) => format!("{}\n    {error}\n", text.escape_ascii()),
    };
    documents.iter().map(said).collect()
}

#[test]
fn errors_in_json_have_their_position() {
    insta::assert_snapshot!(said_of(
        Syntax::Json,
        &[
            b"",
            b"\xef\xbb\xbf \r\n",
            b"{\"a\": \"b\xff\"}",
            b"{\"a\": 1",
            b"{\"a\": 1,\n}",
            b"{\"a\": 1}\n{}",
            "{\"é\": 1, b: 2}".as_bytes(),
            b"{\"a\": {\n  \"b\": \"\\ud800\"}}",
            b"[1]",
            b"{\"a\": {\r\n  \"b\": [1]}}",
            "{\"é\": \"ü\", \"b\": [[]]}".as_bytes(),
            b"{\"a\": \"1\",\n \"a\": \"2\"}",
            b"{\"a\": 1, \"\\u0061\": 2}",
            b"{\"x\": {\"y\": {\"a\":\n{\"b\":1 , \"c\":{}, \"b\"\n:1}}}}",
            b"{\"x\": {\"a\": {\n\"b\": {}, \"\\u0062\": {}}}}",
            b"{\"a\": {\"b\": 1},\n \"a/b\": 2}",
            b"{\"a\": {\"b\": {\"base64\": \"\"}},\n \"a/b\": {\"base64\": \"\"}}",
            b"{\"a\":\n null}",
            b"null",
            b"{\"a\": {\"base64\": \"?\"}}",
            b"{\"\": {\"b\": \"c\"}}",
        ]
    ));
}

#[test]
fn errors_in_yaml_have_their_position() {
    insta::assert_snapshot!(said_of(
        Syntax::Yaml,
        &[
            b" \n",
            b"# nothing\n",
            b"a: 1\nb: \xff",
            b"a: \"x\n",
            b"a: 1\n\tb: 2\n",
            b"- a\n",
            b"a:\r\n  b: [1]\r\n",
            b"a:\n  b:\n  - 1\n",
            b"a: 1\nb: 2\na: 3\n",
            b"a:\n  b: 1\nc: 2\na:\n  d: 1\n",
            b"a: 1\n\"\\x61\": 2\n",
            b"x: {a: {b: {}, b: {}}}\n",
            b"a: {b: 1}\na/b: 2\n",
            b"a:\n",
            b"a: ~\n",
            b"--- # nothing\n",
            b"a: !!binary '?'\n",
            b"\"\": {b: c}\n",
            b"a: &x {b: 1}\nb: *x\n",
            b"a: &x {b: 1}\nb:\n  <<: *x\n",
            b"a: !thing 1\n",
            b"a: !!set {x}\n",
            b"? [a]\n: 1\n",
            b"a: 1\n---\nb: 1\n",
        ]
    ));
}

#[test]
fn errors_in_toml_have_their_position() {
    insta::assert_snapshot!(said_of(
        Syntax::Toml,
        &[
            b"\n",
            b"a = '\xff'\n",
            b"a = ",
            b"a: 1\n",
            b"[a]\nb = [1]\n",
            b"[[a]]\nb = 1\n[[a]]\nb = 2\n",
            b"a = 1\na = 2\n",
            b"[a]\nb = 1\n[a]\nc = 1\n",
            b"[a]\nb = 1\n\"\\u0062\" = 2\n",
            b"x = {a = {b = {}, b = {}}}\n",
            b"[a]\nb = 1\n[c]\n[\"a/b\"]\n\"\" = 2\n",
            b"a.b = {base64 = ''}\n\"a/b\" = {base64 = ''}\n",
            b"a = {base64 = '?'}\n",
            b"[\"\"]\nb = 1\n",
        ]
    ));
}

#[test]
fn excessive_depth_is_an_error_with_its_position() {
    let deep = 10_000;
    let name = "a.".repeat(78) + "a";
    let tables = format!("{{ {name} = ").repeat(79) + "1" + &" }".repeat(79);
    let arrays = format!("[{{ {name} = ").repeat(40) + "1" + &"}]".repeat(40);
    for (syntax, text, place) in [
        (Syntax::Json, "{\"a\":".repeat(deep) + "\"\"" + &"}".repeat(deep), (1, 406)),
        (Syntax::Json, "{\"a\":\n".repeat(81) + "\"\"" + &"}".repeat(81), (82, 1)),
        (Syntax::Json, "[".repeat(deep), (1, 82)),
        (Syntax::Yaml, "{a: ".repeat(deep) + "x" + &"}".repeat(deep), (1, 325)),
        (Syntax::Yaml, (0..deep).map(|depth| " ".repeat(depth) + "a:\n").collect(), (82, 82)),
        (Syntax::Yaml, "- ".repeat(deep), (1, 163)),
        (Syntax::Toml, "a = ".to_owned() + &"{a = ".repeat(deep) + "1" + &"}".repeat(deep), (1, 400)),
        (Syntax::Toml, "b = 1.5\n".to_owned() + &"a.".repeat(deep) + "a = 1", (2, 160)),
        (Syntax::Toml, "[".to_owned() + &"a.".repeat(deep) + "a]", (1, 159)),
        (Syntax::Toml, "a = ".to_owned() + &"[".repeat(deep), (1, 84)),
        // The name and the brackets are each within their limits, but not together.
        (Syntax::Toml, format!("{name} = {tables}\n"), (1, 164)),
        (Syntax::Toml, format!("{name} = {arrays}\n"), (1, 162)),
        (Syntax::Toml, format!("[{name}]\nb = 1\n{name} = 1\n"), (3, 3)),
    ] {
        let error = parse(text.as_bytes(), syntax, Arrays::Index).unwrap_err();
        assert_eq!(error.problem, Problem::TooDeep, "{syntax:?} {}: {error}", &text[..20]);
        assert_eq!(error.position, Some(place), "{syntax:?} {}: {error}", &text[..20]);
        assert!(error.to_string().len() < 400, "{error}");
    }
    // Text that only looks deeply nested.
    let numbers = format!("a = [{}]\nb = {{ c = 1.5, d = [[1.5], [2.5]] }}\n", "1.5, ".repeat(deep));
    assert_eq!(parse(numbers.as_bytes(), Syntax::Toml, Arrays::Index).unwrap().len(), deep + 3);
    let tables = "a.b = { c.d = 1, e.f = { g.h = 1 } }\n[x.y]\n[x.z]\n[[l]]\n".to_owned();
    let names: Vec<String> = (0..deep).map(|n| format!("n{n}.o = {{ p.q = '{{[.' }} # {{.[\n")).collect();
    let read = parse((tables + &names.concat()).as_bytes(), Syntax::Toml, Arrays::Index).unwrap();
    assert_eq!(read.len(), deep + 4);
    let json = format!("[{}{{}}]", "{\"[{\": [[\"]\"]]}, ".repeat(deep));
    assert_eq!(parse(json.as_bytes(), Syntax::Json, Arrays::Index).unwrap().len(), deep + 1);
    let at_the_limit = "{\"a\":".repeat(80) + "\"\"" + &"}".repeat(80);
    assert_eq!(parse(at_the_limit.as_bytes(), Syntax::Json, Arrays::Refuse).unwrap().len(), 1);
    let at_the_limit = "a.".repeat(79) + "a = 1\n";
    assert_eq!(parse(at_the_limit.as_bytes(), Syntax::Toml, Arrays::Refuse).unwrap().len(), 1);
}
