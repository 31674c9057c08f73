//! The table that is printed, and the little statistics behind it.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Table(Vec<[String; 5]>);

impl Table {
    /// A ratio against a floor: at most (or, for rates, at least) `limit`.
    pub fn ratio(&mut self, what: &str, ours: f64, floor: f64, unit: &str, limit: &Limit) {
        let ratio = ours / floor;
        let (word, held) = match limit {
            Limit::AtMost(limit) => (format!("≤ {limit} ×"), ratio <= *limit),
            Limit::AtLeast(limit) => (format!("≥ {limit} ×"), ratio >= *limit),
        };
        self.row(what, format!("{ours:.0} {unit}"), format!("{floor:.0} {unit}, {ratio:.2} ×"), word, held);
    }

    /// A value with an absolute limit.
    pub fn value(&mut self, what: &str, value: f64, unit: &str, limit: f64) {
        self.row(
            what,
            format!("{value:.1} {unit}"),
            String::new(),
            format!("≤ {limit} {unit}"),
            value <= limit,
        );
    }

    /// Something that holds or not.
    pub fn holds(&mut self, what: &str, value: String, held: bool) {
        self.row(what, value, String::new(), String::new(), held);
    }

    fn row(&mut self, what: &str, ours: String, floor: String, limit: String, held: bool) {
        let held = if held { "reached" } else { "NOT REACHED" };
        eprintln!("  {what}: {ours} ({floor}) {limit} {held}");
        self.0.push([what.to_owned(), ours, floor, limit, held.to_owned()]);
    }
}

pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| what | twitcher | floor, ratio | to reach | |\n|---|---|---|---|---|")?;
        self.0.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

/// A count, or a tenth of it where the bench is to be quick.
pub fn scaled(count: usize) -> usize {
    if std::env::var_os("TWITCHER_BENCH_QUICK").is_some() { (count / 10).max(1) } else { count }
}

/// A percentile, 0.0 to 1.0.
pub fn percentile(samples: &mut [f64], rank: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((samples.len() - 1) as f64 * rank).round() as usize;
    samples[index]
}

/// `CLOCK_MONOTONIC` in nanoseconds, as the program of `first.c` writes it.
pub fn monotonic() -> i64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    now.tv_sec() * 1_000_000_000 + now.tv_nsec()
}

/// Builds the program that notes its first instruction.
pub fn first_program() -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/first.c");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("first");
    let status =
        Command::new("cc").args(["-O2", "-static", "-o"]).arg(&program).arg(source).status().unwrap();
    assert!(status.success(), "cc could not build {source}; install a C compiler and libc6-dev");
    program
}

/// The times that runs of the program wrote, once there are so many.
pub fn times(file: &std::path::Path, count: usize) -> Vec<i64> {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let bytes = std::fs::read(file).unwrap_or_default();
        if bytes.len() >= count * 8 {
            return bytes
                .chunks_exact(8)
                .map(|eight| i64::from_ne_bytes(eight.try_into().unwrap()))
                .collect();
        }
        assert!(Instant::now() < deadline, "{} of {count} runs came", bytes.len() / 8);
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Resident memory of a process in bytes.
pub fn resident(pid: i32) -> f64 {
    field(pid, "VmRSS:") * 1024.0
}

/// Voluntary context switches of all threads: how often the process woke up.
pub fn wake_ups(pid: i32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |thread: std::fs::DirEntry| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        number(&status, "voluntary_ctxt_switches:")
    };
    threads.map(|thread| of(thread.unwrap())).sum()
}

/// CPU time of a process so far, in milliseconds.
pub fn cpu(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * 10.0
}

fn field(pid: i32, name: &str) -> f64 {
    number(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap(), name)
}

fn number(status: &str, name: &str) -> f64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    value.trim().trim_end_matches(" kB").trim().parse().unwrap()
}
