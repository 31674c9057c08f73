//! Where the time of one event goes: the parts by probes, and the system calls by strace(1).

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bare::Start;
use crate::fixture::etcd::Etcd;
use crate::latency::{daemon_on, microseconds};
use crate::table::{Table, first_program, monotonic, percentile, scaled, times};

/// The parts: the event's way to a client, the decision, and the start.
pub fn one_event(table: &mut Table) {
    let program = first_program();
    let etcd = Etcd::start();
    let [heard_file, start_file, out] = ["heard", "start", "ours"].map(|name| etcd.data_dir().join(name));
    let action = format!("['{}', '{}']", program.display(), out.display());
    let daemon = daemon_on(&etcd.url(), 1, &action);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut heard, mut starts, mut commands, mut ours) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    runtime.block_on(async {
        let mut client = etcd.client().await;
        let mut watching = etcd.client().await;
        let mut stream = watching.watch("/heard", None).await.unwrap();
        let (same, bare) = (Start::same(&program, &start_file), Start::Command);
        for round in 1..=scaled(200) {
            let listening = tokio::spawn(async move {
                stream.message().await.unwrap().unwrap();
                (stream, monotonic())
            });
            client.put("/heard", "x", None).await.unwrap();
            let acknowledged = monotonic();
            let (back, at) = listening.await.unwrap();
            stream = back;
            heard.push(microseconds(acknowledged, at));
            for (start, file, samples) in
                [(&same, &start_file, &mut starts), (&bare, &heard_file, &mut commands)]
            {
                let began = monotonic();
                start.start(&program, file, bytes::Bytes::from_static(b"x"));
                let first = tokio::task::block_in_place(|| times(file, round)[round - 1]);
                samples.push(microseconds(began, first));
            }
            client.put("/first", round.to_string(), None).await.unwrap();
            let acknowledged = monotonic();
            let first = tokio::task::block_in_place(|| times(&out, round)[round - 1]);
            ours.push(microseconds(acknowledged, first));
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let [heard, starts, commands, ours] =
        [heard, starts, commands, ours].map(|mut samples| percentile(&mut samples, 0.5));
    for (part, time) in [
        ("acknowledged → a bare client has the event", heard),
        ("the daemon's start → first instruction", starts),
        ("std::process::Command → first instruction", commands),
        ("acknowledged → first instruction, daemon", ours),
        ("the rest: from the event to the start, in the daemon", ours - heard - starts),
    ] {
        table.holds(&format!("where the time goes, p50: {part}"), format!("{time:.0} µs"), true);
    }
    let calls = traced(daemon.pid(), || {
        runtime.block_on(async { etcd.client().await.put("/first", "traced", None).await.unwrap() });
    });
    match calls {
        Some(calls) => {
            for (thread, calls) in calls {
                table.holds(&format!("system calls of one event, {thread}"), calls, true);
            }
        }
        None => table.holds("system calls of one event", "strace is not installed".to_owned(), true),
    }
}

/// The system calls of the daemon's threads and of the child until its exec, in order, while something happens.
fn traced(pid: i32, happens: impl FnOnce()) -> Option<Vec<(String, String)>> {
    let file = tempfile::NamedTempFile::new().ok()?;
    let mut strace = Command::new("strace")
        .args(["-f", "-q", "-o"])
        .arg(file.path())
        .args(["-p", &pid.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    std::thread::sleep(Duration::from_secs(1));
    happens();
    std::thread::sleep(Duration::from_secs(1));
    Command::new("kill").args(["-INT", &strace.id().to_string()]).status().ok()?;
    strace.wait().ok()?;
    let text = std::fs::read_to_string(file.path()).ok()?;
    let mut calls: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut first: Vec<&str> = Vec::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else { continue };
        let call = call.trim_start();
        let name = call.split(['(', ' ']).next().unwrap_or_default();
        if name.starts_with(|first: char| first.is_ascii_lowercase()) {
            if !calls.contains_key(thread) {
                first.push(thread);
            }
            calls.entry(thread).or_default().push(name);
        }
    }
    let shown = |thread: &str| {
        let mut runs: Vec<(&str, usize)> = Vec::new();
        for name in &calls[thread] {
            match runs.last_mut() {
                Some((last, count)) if last == name => *count += 1,
                Some(_) | None => runs.push((name, 1)),
            }
        }
        let words = runs.iter().map(|(name, count)| match count {
            1 => (*name).to_owned(),
            _ => format!("{name} × {count}"),
        });
        words.collect::<Vec<_>>().join(", ")
    };
    Some(first.iter().map(|thread| (format!("thread {thread}"), shown(thread))).collect())
}
