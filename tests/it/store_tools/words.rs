//! The output of the tools: for nodes without children, odd names, and errors.

use std::process::Output;

use crate::fixture::etcd::Etcd;
use crate::fixture::port::Port;
use crate::fixture::program::{good, program, run};
use crate::fixture::proxy::Proxy;
use crate::fixture::terminal::Terminal;
use crate::fixture::zookeeper::ZooKeeper;

fn directory() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("dir://{}", dir.path().display());
    (dir, url)
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_node_of_zookeeper_always_has_a_value() {
    let server = ZooKeeper::start();
    let url = server.url();
    good(&url, &["put", "/leaf", ""]);
    for child in [false, true] {
        if child {
            good(&url, &["put", "/leaf/child", "x"]);
        }
        assert_eq!(good(&url, &["get", "/leaf"]), "");
        let json: serde_json::Value = serde_json::from_str(&good(&url, &["get", "/leaf", "--json"])).unwrap();
        assert_eq!(json["value"], "", "{json}");
    }
}

#[test]
fn ls_prints_names_raw_into_a_pipe_and_escaped_on_a_terminal() {
    let (dir, url) = directory();
    let name = "red\x1b[31m\u{202e}\nline";
    std::fs::write(dir.path().join(name), "x").unwrap();
    assert_eq!(good(&url, &["ls"]), format!("{name}\n"));
    let command = format!("{} ls --store {url}; read wait", program().display());
    Terminal::start((100, 10), &command, &[]).shows("red\\x1b[31m\\u{202e}\\nline");
    for key in ["/none\x1b[31m\u{202e}\u{9b}\nline", "/folder\x1b[31m\u{202e}\u{9b}\nline"] {
        std::fs::create_dir_all(dir.path().join("folder\x1b[31m\u{202e}\u{9b}\nline")).unwrap();
        let shown =
            key.replace('\x1b', "\\x1b").replace('\u{202e}', "\\u{202e}").replace('\u{9b}', "\\u{9b}");
        let shown = shown.replace('\n', "\\n");
        let said = errors(&run(&url, &["get", key]));
        assert!(said.contains(&shown), "{said}");
        for odd in ['\x1b', '\u{202e}', '\u{9b}'] {
            assert!(!said.contains(odd), "{said:?}");
        }
    }
}

#[test]
fn an_error_says_what_was_tried() {
    for scheme in ["etcd", "zookeeper"] {
        let closed = Port::claim();
        let url = format!("{scheme}://127.0.0.1:{closed}");
        for (args, purpose) in [
            (["put", "/k", "x"].as_slice(), "cannot write /k: "),
            (&["get", "/k"], "cannot read /k: "),
            (&["del", "/k"], "cannot delete /k: "),
            (&["ls", "/k"], "cannot list /k: "),
        ] {
            let said = errors(&run(&url, &[args, &["--timeout", "2s"]].concat()));
            assert!(said.contains(purpose), "{said}");
            assert!(!said.contains("0ns") && !said.contains(".99"), "{said}");
        }
    }
}

/// A server that accepts and never answers: the error shows the time limit as it was typed.
#[test]
fn an_error_shows_the_time_limit_in_readable_units() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for scheme in ["etcd", "zookeeper"] {
        let url = format!("{scheme}://{}", silent.local_addr().unwrap());
        let said = errors(&run(&url, &["get", "/k", "--timeout", "1500ms"]));
        assert!(said.contains("within 1.5 s"), "{said}");
    }
}

/// A user without write permission gets an error with the key and a hint. Only as another user than root.
#[test]
fn an_unwritable_directory_is_reported() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, url) = directory();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new("setpriv");
    let copy = tempfile::tempdir().unwrap();
    std::fs::set_permissions(copy.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let ours = copy.path().join("twitcher");
    crate::fixture::executable::copy(program(), &ours);
    let shape = if nix::unistd::geteuid().is_root() {
        vec!["--reuid=65534", "--clear-groups"]
    } else {
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o555)).unwrap();
        vec![]
    };
    command.args(shape).arg(ours).args(["put", "/k", "x", "--store", &url]);
    let said = errors(&command.output().unwrap());
    assert!(said.contains("cannot write /k: ") && said.contains("this user may not write"), "{said}");
    assert!(!said.contains(".twitcher.lock") && !said.contains("os error"), "{said}");
}

#[test]
fn del_reports_what_it_deleted() {
    let etcd = Etcd::start();
    let url = etcd.url();
    for key in ["/a", "/b", "/b/c"] {
        good(&url, &["put", key, "x"]);
    }
    assert_eq!(good(&url, &["del", "/a", "--json"]), "{\"deleted\":1}\n");
    assert_eq!(good(&url, &["del", "/b", "--tree", "--yes", "--json"]), "{\"deleted\":2}\n");
    good(&url, &["put", "/a", "x"]);
    let said = errors(&run(&url, &["del", "/a", "--if-version", "1"]));
    assert!(said.contains("nothing was deleted") && !said.contains("overwritten"), "{said}");
}

/// Many children are read together: one by one would take a request each.
#[test]
fn a_long_list_is_read_with_few_requests() {
    let etcd = Etcd::start();
    let server = ZooKeeper::start();
    let lines: Vec<String> = (0..3000).map(|n| format!("n{n:04}: \"{n}\"\n")).collect();
    let document = lines.concat();
    for (scheme, port) in [("etcd", etcd.port()), ("zookeeper", server.port())] {
        let proxy = Proxy::start(port);
        let url = format!("{scheme}://127.0.0.1:{}", proxy.port());
        let mut command = assert_cmd::Command::new(program());
        command.env("TWITCHER_STORE", &url).args(["load", "-", "--at", "/many"]);
        command.write_stdin(document.clone()).assert().success();
        let before = proxy.requests();
        let long = good(&url, &["ls", "/many", "--long"]);
        let requests = proxy.requests() - before;
        assert!(requests < 1000, "{requests} requests of {scheme}");
        assert_eq!(long.lines().count(), 3000);
        assert!(long.lines().all(|line| line.split_whitespace().count() == 3 && !line.contains(" - ")));
        assert!(long.contains("  4  n2999\n"), "{long}");
    }
}
