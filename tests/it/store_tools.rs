//! get, put, del, ls, dump and load on the command line, against each kind of store.

mod left_out;
mod places;
mod typed;
mod unanswered;
mod words;

use assert_cmd::Command;

use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::ZooKeeper;

/// The output of a command, for messages of failed tests.
fn said(output: &std::process::Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{:?}\n{}\n{}", output.status.code(), text(&output.stdout), text(&output.stderr))
}

struct Tool {
    url: String,
}

impl Tool {
    fn run(&self, args: &[&str], input: &[u8]) -> std::process::Output {
        let mut command = Command::cargo_bin("twitcher").unwrap();
        command.env("TWITCHER_STORE", &self.url).args(args).args(["--timeout", "60s"]);
        command.write_stdin(input).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    fn good(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.run(args, input);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", said(&output));
        output.stdout
    }

    fn text(&self, args: &[&str]) -> String {
        String::from_utf8(self.good(args, b"")).unwrap()
    }

    /// Standard error of a command that must exit with this status and print nothing on standard output.
    fn bad(&self, status: i32, args: &[&str], input: &[u8]) -> String {
        let output = self.run(args, input);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stderr).unwrap()
    }
}

fn the_tools_work(tool: &Tool) {
    tool.good(&["put", "/a/b", "x y"], b"");
    tool.good(&["put", "/a/bin", "-"], b"\xff\0\n");
    assert_eq!(tool.good(&["get", "/a/b"], b""), b"x y");
    assert_eq!(tool.good(&["get", "/a/bin"], b""), b"\xff\0\n");
    assert_eq!(tool.text(&["ls", "/a"]), "b\nbin\n");
    assert!(tool.text(&["ls", "/a", "--long"]).contains("  3  b\n"));
    let json: serde_json::Value = serde_json::from_str(&tool.text(&["get", "/a/bin", "--json"])).unwrap();
    assert_eq!(json["value"], serde_json::json!({ "base64": "/wAK" }));

    // Compare and set.
    let shown: serde_json::Value = serde_json::from_str(&tool.text(&["get", "/a/b", "--json"])).unwrap();
    let version = shown["version"].as_str().unwrap();
    tool.good(&["put", "/a/b", "new", "--if-version", version], b"");
    let error = tool.bad(1, &["put", "/a/b", "newer", "--if-version", version], b"");
    assert!(error.contains("/a/b was changed meanwhile"), "{error}");
    let error = tool.bad(1, &["put", "/a/b", "newer", "--if-absent"], b"");
    assert!(error.contains("/a/b was changed meanwhile"), "{error}");
    assert_eq!(tool.good(&["get", "/a/b"], b""), b"new");

    // A document: compared, merged, and loaded as a replacement.
    let document = b"b: new\nc: {d: 1}\n";
    let dry = String::from_utf8(tool.good(&["load", "-", "--at", "/a", "--replace", "--dry-run"], document))
        .unwrap();
    assert!(dry.starts_with("+ /a/c/d = \"1\"\n- /a/bin = <3 bytes>\n"), "{dry}");
    tool.good(&["load", "-", "--at", "/a"], document);
    assert_eq!(tool.text(&["ls", "/a"]), "b\nbin\nc\n");
    tool.good(&["load", "-", "--at", "/a", "--replace"], document);
    assert_eq!(
        tool.text(&["dump", "/a", "--format", "json"]).replace(['\n', ' '], ""),
        r#"{"b":"new","c":{"d":"1"}}"#
    );

    let error = tool.bad(1, &["load", "-"], b"a: [1]\n");
    assert!(error.contains("line 1, column 4: at \"a\": a key cannot hold an array"), "{error}");
    let deep = "{\"a\":".repeat(10_000);
    let error = tool.bad(1, &["load", "-", "--format", "json"], deep.as_bytes());
    assert!(error.contains("levels of nesting") && error.contains("nothing was changed"), "{error}");
    let error = tool.bad(1, &["load", "-"], b"a: 1\na: 2\n");
    assert!(error.contains("given twice"), "{error}");

    tool.bad(2, &["del", "/a", "--tree"], b"y\n");
    tool.good(&["del", "/a", "--tree", "--yes"], b"");
    for command in ["get", "del", "ls", "dump"] {
        let error = tool.bad(1, &[command, "/a/b"], b"");
        assert!(error.contains("`/a/b` does not exist in "), "{error}");
    }
}

#[test]
fn hidden_keys_are_neither_deleted_nor_replaced() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let etcd = Etcd::start();
    let tool = Tool { url: etcd.url() };
    let others: [&[u8]; 7] = [b"z", b"\xff", b"\0", b"//", b"/a/\xff", b"/a/b/\xff\xfe", b"/a/\0"];
    runtime.block_on(async {
        let mut client = etcd.client().await;
        for key in others {
            client.put(key, "stays", None).await.unwrap();
        }
        for key in ["/a", "/a/", "/a/b", "/a//", "/a//c", "/z"] {
            client.put(key, "goes", None).await.unwrap();
        }
    });
    assert_eq!(tool.text(&["ls", "/"]), "a\nz\n");
    assert_eq!(tool.text(&["ls", "/", "--tree"]), "/a\n/a/\n/a//\n/a//c\n/a/b\n/z\n");
    let dumped = tool.run(&["dump", "/a", "--format", "json"], b"");
    assert!(said(&dumped).contains("4 of the keys at and below /a cannot be shown"), "{}", said(&dumped));
    let deleted = tool.run(&["del", "/a/", "--tree", "--yes"], b"");
    assert_eq!(deleted.stdout, b"deleted 4 keys\n", "{}", said(&deleted));
    assert_eq!(tool.text(&["ls", "/", "--tree"]), "/a//\n/z\n");
    tool.good(&["load", "-", "--at", "/", "--replace"], b"new: 1\n");
    assert_eq!(tool.text(&["ls", "/", "--tree"]), "/new\nz\n");
    runtime.block_on(async {
        let mut client = etcd.client().await;
        for key in others {
            assert_eq!(client.get(key, None).await.unwrap().count(), 1, "{}", key.escape_ascii());
        }
    });
}

#[test]
fn the_tools_work_on_etcd() {
    let etcd = Etcd::start();
    the_tools_work(&Tool { url: etcd.url() });
}

#[test]
fn the_tools_work_on_zookeeper() {
    let server = ZooKeeper::start();
    the_tools_work(&Tool { url: server.url() });
}

#[test]
fn the_tools_work_on_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    the_tools_work(&Tool { url: format!("dir://{}", dir.path().join("keys").display()) });
}

#[test]
fn contradictory_arguments_are_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let tool = Tool { url: format!("dir://{}", dir.path().display()) };
    tool.bad(2, &["get", ""], b"");
    tool.bad(2, &["get", "/a", "--store", "ftp://host"], b"");
    tool.bad(2, &["get", "/a", "--store", "nobody-has-this"], b"");
    tool.bad(2, &["put", "/a", "x", "--if-version", "first"], b"");
    tool.bad(2, &["load", "Makefile"], b"");
    assert!(tool.bad(1, &["load", "/nowhere.yaml"], b"").contains("cannot read /nowhere.yaml"));
    let error = tool.bad(1, &["get", "/a", "--store", "etcd://127.0.0.1:1"], b"");
    assert!(error.contains("127.0.0.1:1") && error.contains("is it running"), "{error}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("big"), vec![b'x'; 1 << 20]).unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", r#""$0" get /big --store "$1" | head -c 1"#])
        .arg(env!("CARGO_BIN_EXE_twitcher"))
        .arg(format!("dir://{}", dir.path().display()))
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", said(&output));
}
