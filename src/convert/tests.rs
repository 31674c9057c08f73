//! Samples of old configurations: what each becomes, and that no part of any file gets lost.

use proptest::prelude::*;

use super::{Converted, convert};

fn converted(source: &str) -> Converted {
    convert("old.twc", source).unwrap()
}

/// The watch tables of the result, one a line, independent of their formatting.
fn watches(source: &str) -> Vec<toml::Table> {
    let converted = converted(source);
    let table: toml::Table =
        converted.toml.parse().unwrap_or_else(|error| panic!("{error}\n{}", converted.toml));
    let watches = match table.get("watch") {
        Some(toml::Value::Array(watches)) => {
            watches.iter().map(|watch| watch.as_table().unwrap().clone()).collect()
        }
        _ => Vec::new(),
    };
    assert_eq!(watches.len(), converted.translated, "{}", converted.toml);
    watches
}

/// The single watch of a file that converts completely.
fn watch(source: &str) -> toml::Table {
    let found = watches(source);
    let [watch] = found.as_slice() else { panic!("{found:?}\n{}", converted(source).toml) };
    assert_eq!(converted(source).left, 0, "{}", converted(source).toml);
    watch.clone()
}

fn expect(source: &str, fields: &str) {
    assert_eq!(watch(source), fields.parse::<toml::Table>().unwrap(), "{source}");
}

/// Checks that a file leaves one block, with this in its reason.
fn leaves(source: &str, reason: &str) {
    let converted = converted(source);
    assert_eq!(converted.left, 1, "{source}\n{}", converted.toml);
    assert!(converted.toml.contains(reason), "{source}\n{}", converted.toml);
    let commented: Vec<&str> = converted.toml.lines().filter_map(|line| line.strip_prefix('#')).collect();
    assert!(commented.contains(&"[[watch]]"), "{}", converted.toml);
    assert!(converted.toml.contains("old.twc, line"), "{}", converted.toml);
    // Uncommenting the block gives a valid watch.
    let block: String = converted
        .toml
        .lines()
        .skip_while(|line| *line != "#[[watch]]")
        .map_while(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')))
        .fold(String::new(), |text, line| text + line + "\n");
    let table: toml::Table = block.parse().unwrap_or_else(|error| panic!("{error}\n{block}"));
    let watch = table["watch"][0].as_table().unwrap();
    assert!(watch.contains_key("key") && watch.contains_key("action"), "{block}");
}

#[test]
fn a_minimal_watch_is_converted() {
    expect(
        "RegisterWatch(znode='/git/head', action=Exec('git pull'))",
        "key = '/git/head'\naction = 'git pull'",
    );
}

#[test]
fn every_argument_is_converted() {
    expect(
        "RegisterWatch(znode='/a', action=Exec(['/bin/x', '-y']), pipe_stdin=False, run_on_load=False,\n\
         \x20 run_mode=DISCARD, description='Say \"hello\"', uid='www', gid=33, watch_type=WATCH_CHILDREN, timeout=90)",
        "key = '/a'\naction = ['/bin/x', '-y']\npipe_stdin = false\nrun_on_load = false\nrun_mode = 'discard'\n\
         description = 'Say \"hello\"'\nuid = 'www'\ngid = 33\nwatch_type = 'children'\ntimeout = '90s'",
    );
    expect(
        "RegisterWatch('/a', 'x', True, True, QUEUE, 'd', 0, 'adm', WATCH_DATA, 10, 1.5)",
        "key = '/a'\naction = 'x'\npipe_stdin = true\nrun_on_load = true\nrun_mode = 'queue'\ndescription = 'd'\n\
         uid = 0\ngid = 'adm'\nwatch_type = 'data'\nnotify_signal = 'USR1'\ntimeout = '1500ms'",
    );
    expect(
        "RegisterWatch(znode='/a', action=Exec('x'), run_mode=PARALLEL, uid=None, description=None)",
        "key = '/a'\naction = 'x'\nrun_mode = 'parallel'",
    );
}

#[test]
fn signals_are_converted_by_name_and_number() {
    for (signal, name) in [
        ("signal.SIGHUP", "HUP"),
        ("signal.SIGUSR2", "USR2"),
        ("1", "HUP"),
        ("15", "TERM"),
        ("s.SIGINT", "INT"),
    ] {
        let source = format!(
            "import signal\nimport signal as s\nRegisterWatch('/a', Exec('x'), notify_signal={signal})"
        );
        assert_eq!(watch(&source)["notify_signal"].as_str(), Some(name), "{signal}");
    }
    expect(
        "from signal import SIGHUP as H\nRegisterWatch('/a', Exec('x'), notify_signal=H)",
        "key = '/a'\naction = 'x'\nnotify_signal = 'HUP'",
    );
    // In other modes it had no documented meaning.
    let source = "RegisterWatch('/a', Exec('x'), run_mode=PARALLEL, notify_signal=1)";
    assert!(!watch(source).contains_key("notify_signal"));
    assert!(converted(source).toml.contains("# notify_signal was left out"));
}

#[test]
fn the_example_of_the_old_program_is_converted() {
    let watch = watch(
        "# This command runs a script.\nRegisterWatch(\n    znode='/brady/test',\n    action=Exec('\\n'.join([\n        \
         'date > /tmp/out',\n        'cat >> /tmp/out',\n        ])))\n",
    );
    assert_eq!(watch["action"].as_str(), Some("date > /tmp/out\ncat >> /tmp/out"));
}

#[test]
fn constant_expressions_are_evaluated() {
    for (written, means) in [
        ("'a' 'b'", "ab"),
        ("'a' + \"b\"", "ab"),
        ("'/git/%s' % 'x'", "/git/x"),
        ("'/%s/%d/%%' % ('x', 7)", "/x/7/%"),
        ("'%(a)s-%(b)03d' % {'a': 'x', 'b': 7}", "x-007"),
        ("'%5s|%-5s|' % ('a', 'b')", "    a|b    |"),
        ("'/{}/{}'.format('a', 1)", "/a/1"),
        ("'/{1}/{0}/{x:03d}'.format('a', 'b', x=5)", "/b/a/005"),
        ("'{{{}}}'.format('a')", "{a}"),
        ("f'/{BASE}/x'", "//base/x"),
        ("BASE + '/x'", "/base/x"),
        ("'/'.join(['', 'a', 'b'])", "/a/b"),
        ("'/'.join(n for n in ('a', 'b') if n != 'a')", "b"),
        ("os.path.join('/a', 'b', 'c')", "/a/b/c"),
        ("os.path.join('/a', '/b')", "/b"),
        ("u'/a'", "/a"),
        ("b'/a'", "/a"),
        ("r'\\d'", "\\d"),
        ("'''a\nb'''", "a\nb"),
        ("'a' * 3", "aaa"),
        ("('a' if DEBUG else 'b')", "b"),
        ("HOSTS[0]", "h1"),
        ("HOSTS[-1]", "h2"),
        ("PATHS['git']", "/git"),
        ("PATHS.get('no', '/none')", "/none"),
        ("str(5) + str(True)", "5True"),
        ("' a '.strip().upper()", "A"),
        ("'a,b'.split(',')[1]", "b"),
        ("'x'.replace('x', 'y')", "y"),
        ("'%d' % (60 * 5 / 2)", "150"),
        ("'\\xc3'.join(['a'])", ""),
        ("'Ünïcödé'", "Ünïcödé"),
    ] {
        let source = format!(
            "import os\nBASE = '/base'\nDEBUG = False\nHOSTS = ['h1', 'h2']\nPATHS = {{'git': '/git'}}\n\
             RegisterWatch(znode='/k', action=Exec({written}))"
        );
        if means.is_empty() {
            leaves(&source, "Python 2 reads");
        } else {
            assert_eq!(watch(&source)["action"].as_str(), Some(means), "{written}");
        }
    }
}

#[test]
fn loops_and_functions_of_the_file_are_followed() {
    let keys = |source: &str| -> Vec<String> {
        assert_eq!(converted(source).left, 0, "{}", converted(source).toml);
        watches(source).iter().map(|watch| watch["key"].as_str().unwrap().to_owned()).collect()
    };
    for (source, wanted) in [
        ("for n in ['a', 'b']:\n  RegisterWatch('/' + n, Exec('x'))", "/a /b"),
        ("for n, c in (('a', 'x'), ('b', 'y')):\n  RegisterWatch('/' + n + c, Exec(c))", "/ax /by"),
        ("D = {'a': 1}\nfor n, c in D.items():\n  RegisterWatch('/%s%d' % (n, c), Exec('x'))", "/a1"),
        (
            "for i in range(2):\n  for j in 'xy':\n    RegisterWatch('/%d%s' % (i, j), Exec('x'))",
            "/0x /0y /1x /1y",
        ),
        ("for i, n in enumerate(['a', 'b']):\n  RegisterWatch('/%d' % i, Exec(n))", "/0 /1"),
        ("L = []\nL.append('a')\nL += ['b']\nfor n in L:\n  RegisterWatch('/' + n, Exec('x'))", "/a /b"),
        (
            "for n in ['a', 'b', 'c']:\n  if n == 'b':\n    continue\n  RegisterWatch('/' + n, Exec('x'))",
            "/a /c",
        ),
        ("for n in ['a', 'b', 'c']:\n  if n == 'b':\n    break\n  RegisterWatch('/' + n, Exec('x'))", "/a"),
        (
            "for n in ('a'):\n  RegisterWatch('/' + n, Exec('x'))\nelse:\n  RegisterWatch('/z', Exec('x'))",
            "/a /z",
        ),
        ("[RegisterWatch('/' + n, Exec('x')) for n in ('a', 'b')]", "/a /b"),
        ("def w(n, c='x'):\n  RegisterWatch('/' + n, Exec(c))\nw('a')\nw(n='b', c='y')", "/a /b"),
        ("def k(n):\n  return '/' + n\nRegisterWatch(k('a'), Exec('x'))", "/a"),
        ("opts = dict(action=Exec('x'), uid='u')\nRegisterWatch(znode='/a', **opts)", "/a"),
        ("args = ['/a', Exec('x')]\nRegisterWatch(*args)", "/a"),
        ("if True:\n  RegisterWatch('/a', Exec('x'))\nelse:\n  RegisterWatch('/b', Exec('x'))", "/a"),
        ("if 'a' in ['b'] or not 1:\n  pass\nelif 2 > 1:\n  RegisterWatch('/b', Exec('x'))", "/b"),
        ("W = RegisterWatch\nW('/a', Exec('x'))", "/a"),
        ("twitcher.RegisterWatch('/a', twitcher.Exec('x'), run_mode=twitcher.QUEUE)", "/a"),
        ("from twitcher.core import QUEUE\nRegisterWatch('/a', Exec('x'), run_mode=QUEUE)", "/a"),
        ("(RegisterWatch('/a', Exec('x')))", "/a"),
        ("RegisterWatch('/a', Exec('x')); RegisterWatch('/b', Exec('x'))", "/a /b"),
        ("\u{feff}RegisterWatch('/a', Exec('x'))", "/a"),
        ("RegisterWatch('/a', Exec('x'))\r\nRegisterWatch('/b', Exec('x'))\r\n", "/a /b"),
        ("\"\"\"docs\"\"\"\nimport os, sys\nfrom x import *\npass\n", ""),
        ("", ""),
    ] {
        assert_eq!(keys(source).join(" "), wanted, "{source}");
    }
}

#[test]
fn functions_pass_on_their_arguments() {
    expect(
        "def watch(znode, *words, **more):\n  RegisterWatch(znode=znode, action=Exec(list(words)), **more)\n\
         watch('/a', 'x', 'y', uid='www', timeout=5)",
        "key = '/a'\naction = ['x', 'y']\nuid = 'www'\ntimeout = '5s'",
    );
}

#[test]
fn a_sorted_dictionary_is_followed() {
    let found = watches(
        "for name, (user, mode) in sorted({'b': ('u2', DISCARD), 'a': ('u1', QUEUE)}.items()):\n\
         \x20 RegisterWatch(znode='/' + name, action=Exec('x'), uid=user, run_mode=mode)",
    );
    let keys: Vec<_> =
        found.iter().map(|watch| (watch["key"].as_str().unwrap(), watch["uid"].as_str())).collect();
    assert_eq!(keys, [("/a", Some("u1")), ("/b", Some("u2"))]);
    // Python would go on and compare the second elements.
    leaves(
        "for a, b in sorted([('a', 2), ('a', 1)]):\n  RegisterWatch(znode='/' + a, action=Exec('x'))",
        "list is not known",
    );
}

#[test]
fn a_watch_that_the_daemon_would_refuse_is_left() {
    leaves("RegisterWatch(znode='relative/path', action=Exec('x'))", "a key of this store begins with `/`");
    leaves("RegisterWatch(znode='/a/', action=Exec('x'))", "does not end with `/`");
    leaves("RegisterWatch(znode='/a//b', action=Exec('x'))", "no empty segment");
    leaves("RegisterWatch(znode='/a', action=Exec('x' * 200000))", "more than 131071 bytes");
}

#[test]
fn code_from_another_file_is_left() {
    leaves("execfile('common.twc')", "`execfile` runs code that is not followed");
    leaves("exec(open('common.twc').read())", "`exec` runs code that is not followed");
}

#[test]
fn every_turn_of_a_loop_gets_a_block_of_its_own() {
    let converted = converted("for a in ['/a', '/b', '/c']:\n  RegisterWatch(znode=a, action=lambda: None)");
    assert_eq!((converted.translated, converted.left), (0, 3), "{}", converted.toml);
    for key in ["/a", "/b", "/c"] {
        assert!(converted.toml.contains(&format!("#key = \"{key}\"")), "{}", converted.toml);
    }
    assert_eq!(converted.toml.matches("lambda: None").count(), 1, "{}", converted.toml);
}

#[test]
fn accounts_that_were_looked_up_are_written_by_name() {
    expect(
        "import pwd, grp\nRegisterWatch('/a', Exec('x'), uid=pwd.getpwnam('www').pw_uid, gid=grp.getgrnam('adm')[2])",
        "key = '/a'\naction = 'x'\nuid = 'www'\ngid = 'adm'",
    );
}

#[test]
fn code_that_only_python_can_run_is_left_with_its_reason() {
    for (source, reason) in [
        ("RegisterWatch('/a', lambda: open('/tmp/x', 'w').write('y'))", "it is a lambda"),
        ("RegisterWatch('/a', action=lambda: os.system('x'))", "it is a lambda"),
        ("def f():\n  open('/tmp/x')\nRegisterWatch('/a', f)", "the Python function `f` of line 1"),
        ("class C:\n  def m(self): pass\nRegisterWatch('/a', C().m)", "it is a class"),
        (
            "import socket\nRegisterWatch('/a/' + socket.gethostname(), Exec('x'))",
            "`socket.gethostname` is computed",
        ),
        ("import os\nRegisterWatch('/a', Exec(os.environ['X']))", "is computed when it runs"),
        ("import os\nRegisterWatch('/a', Exec('x'), uid=os.getuid())", "`uid` is not known"),
        ("RegisterWatch('/a', Exec(open('/etc/x').read()))", "`open` is not set in this file"),
        ("x = foo()\nRegisterWatch('/a', Exec(x))", "(line 1)"),
        ("RegisterWatch('/a')", "`action` is missing"),
        ("RegisterWatch(action=Exec('x'))", "`znode` is missing"),
        ("RegisterWatch(znode='', action=Exec('x'))", "is not a key"),
        ("RegisterWatch('/a', Exec('x'), colour='red')", "no argument `colour`"),
        ("RegisterWatch('/a', Exec('x'), znode='/b')", "`znode` is given twice"),
        ("RegisterWatch('/a', Exec('x'), uid=-1)", "`uid` is an integer"),
        ("RegisterWatch('/a', Exec('x'), timeout=0)", "above 0"),
        ("RegisterWatch('/a', Exec('x'), timeout='5')", "`timeout` is a string"),
        ("RegisterWatch('/a', Exec('x'), run_mode='QUEUE')", "expected QUEUE"),
        ("RegisterWatch('/a', Exec('x'), run_mode=7)", "expected QUEUE"),
        ("RegisterWatch('/a', Exec('x'), notify_signal=64)", "1 to 31"),
        ("RegisterWatch('/a', Exec('x'), pipe_stdin='no')", "True or False"),
        ("RegisterWatch('/a', Exec(''))", "`action` is empty"),
        ("RegisterWatch('/a', Exec([]))", "not a list"),
        ("RegisterWatch('/a', Exec(['x', 1]))", "not a list"),
        ("RegisterWatch('/a', Exec('a\\0b'))", "NUL"),
        ("RegisterWatch('/a', 7)", "`action` is an integer"),
        ("import glob\nfor f in glob.glob('*'):\n  RegisterWatch(f, Exec('x'))", "its list is not known"),
        (
            "import os\nif os.path.exists('/x'):\n  RegisterWatch('/a', Exec('x'))",
            "its condition is not known",
        ),
        ("while True:\n  RegisterWatch('/a', Exec('x'))", "a loop without a list"),
        ("try:\n  RegisterWatch('/a', Exec('x'))\nexcept Exception, e:\n  pass", "it is a `try`"),
        ("RegisterWatch('/a', Exec('x'), timeout=10L)", "Python 3 cannot read it"),
        ("RegisterWatch('/a', Exec('\\u0041'))", "Python 2 reads"),
        ("RegisterWatch('/a', Exec('x')", "Python 3 cannot read it"),
        ("RegisterWatch(**options())", "`**` argument is not known"),
        ("def w(n):\n  w(n)\n  RegisterWatch(n, Exec('x'))\nw('/a' + x)", "`x` is not set in this file"),
        (
            "L = ['a']\nimport random\nrandom.shuffle(L)\nfor n in L:\n  RegisterWatch('/' + n, Exec('x'))",
            "given to a function",
        ),
        ("RegisterWatch('/a', Exec('x' * 10**9))", "is not known"),
        ("RegisterWatch('/a', Exec('x' * 1000000000))", "larger than 1 MiB"),
    ] {
        if source.contains("w(n)\n") {
            let converted = converted(source);
            assert!(converted.left >= 1 && converted.toml.contains(reason), "{}", converted.toml);
            continue;
        }
        leaves(source, reason);
        assert_eq!(converted(source).translated, 0, "{source}");
    }
}

#[test]
fn a_block_that_is_left_shows_its_source_and_the_known_fields() {
    insta::assert_snapshot!(
        converted(
            "import logging\n\n# Writes a stamp.\ndef stamp():\n  open('/tmp/stamp', 'w').write('x')\n\n\
             # Tells the time of the last change.\nRegisterWatch(\n    znode='/stamp',\n    action=stamp,\n    \
             uid='www-data',\n    timeout=30)\n\nlogging.info('loaded')\nprint 'done'\n\n\
             # Pulls.\n#\n# Twice if need be.\nRegisterWatch('/git/head', Exec('cd /srv/app\\ngit pull'), run_mode=DISCARD, notify_signal=1)\n"
        )
        .toml
    );
}

#[test]
fn the_rest_of_a_file_with_python_2_is_still_translated() {
    let source = "print 'loading'\nRegisterWatch('/a', Exec('x'))\nexec 'y'\nMODE = 0644\n\
                  RegisterWatch('/b', Exec('y'))\n";
    assert_eq!(watches(source).len(), 2, "{}", converted(source).toml);
    assert_eq!(converted(source).left, 0, "{}", converted(source).toml);
    assert!(converted(source).toml.contains("Left out"));
}

#[test]
fn a_comment_is_copied_once() {
    let source = "# Nodes.\nfor n in 'ab':\n  # One of them.\n  RegisterWatch('/' + n, Exec('x'))\n";
    assert_eq!(converted(source).toml.matches("# One of them.").count(), 1);
}

#[test]
fn nesting_and_loops_are_bounded() {
    for source in [
        "(".repeat(250_000),
        "-".repeat(250_000) + "1",
        "not ".repeat(60_000) + "1",
        "RegisterWatch(".repeat(18_000),
        format!("x = {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("x = {}1", "1+".repeat(120_000)),
        "lambda:".repeat(36_000) + "1",
        "for a in range(99999):\n  for b in range(99999):\n    RegisterWatch('/a', Exec(lambda: 1))\n".into(),
        "def f():\n  f()\nf()\n".into(),
        "def f():\n  f()\n  f()\nf()\n".into(),
        "L = [1]\nL.append(L)\nprint(L == L)\nRegisterWatch('/a', Exec(L))\n".into(),
        "a = 'x' * 1000\nfor i in range(9999):\n  a = a + a\n".into(),
        "a = [1]\nfor i in range(9999):\n  a = a + a\n".into(),
    ] {
        let converted = converted(&source);
        converted.toml.parse::<toml::Table>().unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no.twc");
    assert!(super::run(&missing).unwrap_err().to_string().starts_with("cannot read "));
    let latin = folder.path().join("latin.twc");
    std::fs::write(&latin, b"# \xe4\n").unwrap();
    assert!(super::run(&latin).unwrap_err().to_string().contains("byte 2 is not UTF-8"));
    let huge = folder.path().join("huge.twc");
    std::fs::write(&huge, vec![b'#'; (256 << 10) + 1]).unwrap();
    assert!(super::run(&huge).unwrap_err().to_string().contains("larger than 256 KiB"));
    let good = folder.path().join("good.twc");
    std::fs::write(&good, "RegisterWatch('/a', Exec('x'))\n").unwrap();
    assert_eq!(super::run(&good).unwrap().translated, 1);
}

/// The daemon reads every converted file without unknown fields.
#[test]
fn the_daemon_reads_every_converted_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.toml");
    for source in [
        "RegisterWatch('/a', Exec('x'))",
        "RegisterWatch('/a', Exec(['/bin/x', '-y']), pipe_stdin=False, run_on_load=False, run_mode=DISCARD, \
         description='Say \"hello\"', uid='root', gid=0, watch_type=WATCH_CHILDREN, timeout=90)",
        "RegisterWatch('/a', 'x', True, True, QUEUE, 'd', 0, 'root', WATCH_DATA, 10, 1.5)",
        "for n in 'ab':\n  RegisterWatch('/' + n, Exec('a\\nb\\'\\'\\'\"\"\"\\\\'), run_mode=PARALLEL, notify_signal=16)",
        "RegisterWatch('/a', lambda: 1)\nRegisterWatch('/b', Exec('x'))",
    ] {
        if source.contains("root") && !nix::unistd::geteuid().is_root() {
            eprintln!("skipped, only root may run an action as another user: {source}");
            continue;
        }
        std::fs::write(&path, converted(source).toml).unwrap();
        let reports =
            crate::config::load::Loader::new(folder.path()).check_files(std::slice::from_ref(&path));
        for report in reports {
            assert_eq!(report.state.word(), "loaded", "{source}\n{:?}", report.problems);
        }
    }
}

/// A Python literal for any text that TOML can hold.
fn literal(text: &str) -> String {
    let mut result = String::from("u'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => result.extend(['\\', c]),
            c if c.is_control() => result.extend(format!("\\x{:02x}", u32::from(c)).chars()),
            c => result.push(c),
        }
    }
    result + "'"
}

proptest! {
    /// Any string comes through both languages unchanged.
    #[test]
    fn strings_come_through_unchanged(text in "\\PC*|[\\x01-\\x7f'\"\\\\]{1,40}", words in prop::collection::vec("[^\0]{0,12}", 1..5)) {
        prop_assume!(!text.trim().is_empty() && !words[0].trim().is_empty());
        let list = words.iter().map(|word| literal(word)).collect::<Vec<_>>().join(", ");
        let source = format!(
            "RegisterWatch('/a', Exec({}), description={})\nRegisterWatch('/b', Exec([{list}]))\n",
            literal(&text), literal(&text)
        );
        let found = watches(&source);
        prop_assert_eq!(found.len(), 2);
        prop_assert_eq!(found[0]["action"].as_str(), Some(text.as_str()));
        prop_assert_eq!(found[0]["description"].as_str(), Some(text.as_str()));
        let back: Vec<&str> = found[1]["action"].as_array().unwrap().iter().filter_map(|word| word.as_str()).collect();
        prop_assert_eq!(back, words);
    }

    /// Conversion never fails on any text, and the result is always TOML.
    #[test]
    fn any_text_gives_toml(source in "(?s).{0,300}") {
        converted(&source).toml.parse::<toml::Table>().unwrap();
    }

    /// In a good file with one broken line, every call becomes a watch or is shown as left.
    #[test]
    fn no_call_gets_lost(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("print 'x'"), Just("x = 0777"), Just(")"), Just("]"), Just("'"), Just("if x"), Just("def f("),
                Just("  y = 1"), Just("@"), Just("for"), Just("import"), Just("RegisterWatch('/a', Exec('x'))"),
                Just("RegisterWatch('/a', Exec('x')"), Just("RegisterWatch '/a'"), Just("x = [RegisterWatch('/a', Exec('x')),"),
                Just("# RegisterWatch"), Just("$ RegisterWatch('/a', Exec('x'))"), Just("else: RegisterWatch('/a', Exec('x'))"),
            ],
            0..8,
        )
    ) {
        let source = pieces.join("\n") + "\n";
        let converted = converted(&source);
        // Each line with a call is one of the watches or is quoted; a block quotes it once.
        let quoted: std::collections::BTreeSet<usize> = quoted_lines(&converted.toml);
        let calls: Vec<usize> = (1..).zip(&pieces).filter(|(_, piece)| piece.contains("RegisterWatch") && !piece.starts_with('#'))
            .map(|(line, _)| line).collect();
        let unseen = calls.iter().filter(|line| !quoted.contains(line)).count();
        prop_assert!(unseen <= converted.translated, "{source}\n----\n{}", converted.toml);
    }
}

fn quoted_lines(toml: &str) -> std::collections::BTreeSet<usize> {
    let mut lines = std::collections::BTreeSet::new();
    for line in toml.lines() {
        let Some(rest) = line.strip_prefix("# old.twc, line") else { continue };
        let numbers: Vec<usize> = rest
            .trim_start_matches('s')
            .trim_end_matches(':')
            .split(" to ")
            .map(|number| number.trim().parse().unwrap())
            .collect();
        lines.extend(numbers[0]..=*numbers.last().unwrap());
    }
    lines
}
