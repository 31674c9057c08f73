//! The schemas against the program: they accept what it accepts, and report errors that are visible without the machine and
//! its stores.

use std::path::{Path, PathBuf};

use jsonschema::Validator;

use super::*;
use crate::config::accounts::SystemAccounts;
use crate::config::{LoadState, Loader, Trust};

fn validator(schema: &Value) -> Validator {
    jsonschema::draft7::meta::validate(schema).unwrap();
    jsonschema::draft7::new(schema).unwrap()
}

/// What the schema reports about a document, in order.
fn problems(schema: &Validator, toml: &str) -> Vec<String> {
    let document: toml::Table = toml.parse().unwrap();
    let document = serde_json::to_value(document).unwrap();
    schema.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Every field is offered with its explanation, and nothing else is.
#[test]
fn every_field_is_in_its_schema() {
    let schema = watch();
    let table = &schema["properties"]["watch"]["items"];
    for field in WATCH {
        let property = &table["properties"][field.name];
        assert!(property["description"].as_str().unwrap().starts_with(field.doc), "{}", field.name);
    }
    assert_eq!(table["properties"]["znode"], table["properties"]["key"]);
    assert_eq!(table["properties"].as_object().unwrap().len(), WATCH.len() + 2);
    assert_eq!(table["additionalProperties"], false);
    let conf = conf();
    assert_eq!(conf["properties"].as_object().unwrap().len(), DAEMON.len() + 4);
    let store = &conf["properties"]["store"]["additionalProperties"];
    assert_eq!(store["required"], json!(["url"]));
    assert_eq!(store["properties"]["tls"]["properties"].as_object().unwrap().len(), TLS.len());
}

#[test]
fn every_example_of_a_field_is_valid() {
    for field in WATCH.iter().chain(FLEET).chain(DAEMON).chain(FLEET_SETTINGS).chain(STORE).chain(TLS) {
        let schema = json!({ "type": "object", "properties": { field.name: of_kind(&field.kind) } });
        assert_eq!(problems(&validator(&schema), &field.sample()), [""; 0], "{}", field.name);
    }
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn every_file_that_we_bring_is_valid() {
    let mut files = Vec::new();
    files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("etc"), &mut files);
    let (watches, settings) = (validator(&watch()), validator(&conf()));
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let schema = match file.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => &watches,
            Some("conf") => &settings,
            _ => continue,
        };
        assert_eq!(problems(schema, &text), [""; 0], "{}", file.display());
        seen += 1;
    }
    assert!(seen >= 9, "{seen}");
    // Commented-out settings are settings, too.
    let settings_shown: String = include_str!("../../../../etc/twitcher.conf")
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.starts_with(' ') && !line.is_empty())
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(settings_shown.contains("[store.main.tls]") && settings_shown.contains("max_processes"));
    assert_eq!(problems(&settings, &settings_shown), [""; 0]);
}

/// The program's result for a watch file by itself.
fn program_reads(toml: &str) -> bool {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("w.toml"), toml).unwrap();
    let accounts = Box::new(SystemAccounts::of_process());
    let mut loader = Loader::with(place.path(), Trust::Anyone, accounts, "host");
    let reload = loader.reload();
    let report = reload.files.iter().find(|report| report.path.ends_with("w.toml")).unwrap();
    report.state == LoadState::Loaded
}

/// Program and schema agree on errors within a file, and on the forms of values.
#[test]
fn the_schema_says_what_the_program_says() {
    let schema = validator(&watch());
    let good = ["key = '/a'", "action = 'true'"];
    let with = |more: &str| format!("[[watch]]\n{}\n{more}\n", good.join("\n"));
    // Only root may run an action as another user.
    let uid = format!("uid = {}", nix::unistd::geteuid());
    let gid = format!("gid = {}", nix::unistd::getegid());
    let right = [
        "",
        "timeout = 1",
        "timeout = 0.5",
        "timeout = '1.5s'",
        "settle = '0s'",
        "settle = 0",
        "settle = ' 250 ms '",
        "umask = '022'",
        "umask = '0022'",
        "umask = 0o27",
        "run_on_load = 'changed'",
        "run_on_load = false",
        "retries = 'unlimited'",
        "retries = 0",
        "notify_signal = 'SIGHUP'",
        "notify_signal = 1",
        &uid,
        &gid,
        "limits = { nofile = 10, core = 'unlimited' }",
        "env = { A = 'b' }",
        "success_codes = [0, 255]",
    ];
    for more in right {
        let file = with(more);
        assert!(program_reads(&file), "{more}");
        assert_eq!(problems(&schema, &file), [""; 0], "{more}");
    }
    let wrong = [
        "actoin = 'true'",
        "znode = '/b'",
        "script = '#!/bin/sh'",
        "name = ''",
        "store = 1",
        "watch_type = 'child'",
        "format = 'xml'",
        "pipe_stdin = 'yes'",
        "run_on_load = 'never'",
        "run_mode = 'QUEUE'",
        "max_parallel = 0",
        "max_parallel = 1.5",
        "on_delete = true",
        "uid = -1",
        "uid = ''",
        "gid = []",
        "cwd = 'srv'",
        "umask = '0o22'",
        "umask = '888'",
        "umask = '01777'",
        "env = { A = 1 }",
        "env = ['A=b']",
        "nice = 20",
        "nice = -21",
        "limits = { nofile = -1 }",
        "limits = { nofile = 'all' }",
        "notify_signal = 65",
        "notify_signal = 0",
        "timeout = 0",
        "timeout = '0s'",
        "timeout = -1",
        "timeout = '30'",
        "timeout = '30 minutes'",
        "timeout = ''",
        "retries = -1",
        "retries = 'forever'",
        "on_failure = 'ignore'",
        "success_codes = []",
        "success_codes = [256]",
        "success_codes = 0",
        "output = 'file'",
    ];
    for file in wrong.iter().map(|more| with(more)).chain(
        [
            "[[watch]]\naction = 'true'\n",
            "[[watch]]\nkey = '/a'\n",
            "[[watch]]\nkey = ''\naction = 'true'\n",
            "[[watch]]\nkey = '/a'\naction = ''\n",
            "[[watch]]\nkey = '/a'\naction = []\n",
            "[[watch]]\nkey = '/a'\naction = ['a', 1]\n",
            "[[watch]]\nkey = '/a'\nscript = 'echo'\n",
            "[watch]\nkey = '/a'\naction = 'true'\n",
            "[[watches]]\nkey = '/a'\naction = 'true'\n",
            "key = '/a'\naction = 'true'\n",
        ]
        .map(str::to_owned),
    ) {
        assert!(!program_reads(&file), "the program reads:\n{file}");
        assert!(!problems(&schema, &file).is_empty(), "the schema lets pass:\n{file}");
    }
}
