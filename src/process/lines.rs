//! Chooses which lines of an action's output are logged: cuts long lines and thins floods, and says so. Pure.
//!
//! Holds one line and a few counters, however much is written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::log::escape;

/// Longest logged line in bytes as written; the rest is counted.
pub const LINE_BYTES: usize = 4096;
/// Burst: a watch that was quiet may log this many lines at once …
pub const FREE_LINES: u64 = 1000;
/// … and this many bytes.
pub const FREE_BYTES: u64 = 256 * 1024;
/// Sustained rate: lines a second, of any length.
pub const LINES_PER_SECOND: u64 = 10;
/// Sustained rate in bytes a second: as many of the longest lines.
const BYTES_PER_SECOND: u64 = LINES_PER_SECOND * LINE_BYTES as u64;
/// How often the log reports the lines dropped in a continuing flood.
const SUMMARY_EVERY: Duration = Duration::from_secs(10);
/// How much all runs of one watch together may log: a bucket of lines and one of bytes, which fill up again with time.
#[derive(Debug)]
pub struct Allowance {
    /// In millionths, like the bytes.
    lines: u64,
    bytes: u64,
    filled: Option<Instant>,
}

const MILLION: u64 = 1_000_000;

impl Default for Allowance {
    fn default() -> Self {
        Self { lines: FREE_LINES * MILLION, bytes: FREE_BYTES * MILLION, filled: None }
    }
}

impl Allowance {
    /// Whether one more line may be logged; uses up the allowance if so.
    fn admit(&mut self, bytes: u64, now: Instant) -> bool {
        let before = self.filled.unwrap_or(now);
        let micros = u64::try_from(now.saturating_duration_since(before).as_micros()).unwrap_or(u64::MAX);
        let fill = |left: u64, a_second: u64, most: u64| {
            left.saturating_add(micros.saturating_mul(a_second)).min(most * MILLION)
        };
        self.lines = fill(self.lines, LINES_PER_SECOND, FREE_LINES);
        self.bytes = fill(self.bytes, BYTES_PER_SECOND, FREE_BYTES);
        self.filled = Some(before.max(now));
        let price = bytes.saturating_mul(MILLION);
        let admitted = self.lines >= MILLION && self.bytes >= price;
        if admitted {
            self.lines -= MILLION;
            self.bytes -= price;
        }
        admitted
    }
}

/// The gate between the output of one run and the log.
#[derive(Debug)]
pub struct LineGate {
    /// Shared by all runs of the watch.
    allowance: Arc<Mutex<Allowance>>,
    line: Vec<u8>,
    cut: u64,
    unlogged_lines: u64,
    unlogged_bytes: u64,
    summed_up: Option<Instant>,
}

impl LineGate {
    /// A gate for one run of the watch that this allowance belongs to.
    pub fn new(allowance: Arc<Mutex<Allowance>>) -> Self {
        Self { allowance, line: Vec::new(), cut: 0, unlogged_lines: 0, unlogged_bytes: 0, summed_up: None }
    }

    /// Takes output and passes the lines to log to `emit`, each safe for one log line.
    pub fn feed(&mut self, written: &[u8], now: Instant, emit: &mut dyn FnMut(&str)) {
        let mut rest = written;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.append(line);
            self.end_line(now, emit);
            rest = after.get(1..).unwrap_or_default();
        }
        self.append(rest);
    }

    /// The run ended: logs an unfinished line, and the count of dropped lines.
    pub fn finish(&mut self, now: Instant, emit: &mut dyn FnMut(&str)) {
        if !self.line.is_empty() || self.cut > 0 {
            self.end_line(now, emit);
        }
        self.sum_up(now, emit);
        self.line = Vec::new();
    }

    fn append(&mut self, part: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.line.len());
        let (kept, cut) = part.split_at(room.min(part.len()));
        self.line.extend_from_slice(kept);
        self.cut = self.cut.saturating_add(cut.len() as u64);
    }

    fn end_line(&mut self, now: Instant, emit: &mut dyn FnMut(&str)) {
        let size = self.line.len() as u64 + self.cut;
        let due = self.unlogged_lines > 0
            && self.summed_up.is_none_or(|before| now.saturating_duration_since(before) >= SUMMARY_EVERY);
        if due && self.admit(0, now) {
            self.sum_up(now, emit);
        }
        if self.admit(self.line.len() as u64, now) {
            let mut text = escape::line(without_return(&self.line));
            if self.cut > 0 {
                escape::push_cut(&mut text, self.cut);
            }
            emit(&text);
        } else {
            self.unlogged_lines += 1;
            self.unlogged_bytes = self.unlogged_bytes.saturating_add(size);
            self.summed_up.get_or_insert(now);
        }
        self.line.clear();
        self.cut = 0;
    }

    fn admit(&mut self, bytes: u64, now: Instant) -> bool {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner).admit(bytes, now)
    }

    fn sum_up(&mut self, now: Instant, emit: &mut dyn FnMut(&str)) {
        if self.unlogged_lines > 0 {
            emit(&format!(
                "({} lines of output, {} bytes, were not logged: too many)",
                self.unlogged_lines, self.unlogged_bytes
            ));
            self.unlogged_lines = 0;
            self.unlogged_bytes = 0;
            self.summed_up = Some(now);
        }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(parts: &[&[u8]]) -> Vec<String> {
        let mut gate = LineGate::new(Arc::default());
        let mut logged = Vec::new();
        let now = Instant::now();
        for part in parts {
            gate.feed(part, now, &mut |line| logged.push(line.to_owned()));
        }
        gate.finish(now, &mut |line| logged.push(line.to_owned()));
        logged
    }

    #[test]
    fn lines_are_the_same_however_the_writes_are_split() {
        let text = b"one\r\ntwo\n\nthree\x1b\nunfinished";
        let expected = ["one", "two", "", "three\\x1b", "unfinished"];
        for split in 0..=text.len() {
            assert_eq!(run(&[&text[..split], &text[split..]]), expected, "split at {split}");
        }
        assert!(run(&[]).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_with_a_note() {
        let mut line = vec![b'x'; LINE_BYTES + 500];
        line.push(b'\n');
        let logged = run(&[&line, b"next\n"]);
        assert_eq!(logged, [format!("{}… (500 bytes cut)", "x".repeat(LINE_BYTES)).as_str(), "next"]);
    }

    #[test]
    fn a_flood_is_thinned_and_counted() {
        let mut gate = LineGate::new(Arc::default());
        let mut logged: Vec<String> = Vec::new();
        let start = Instant::now();
        let total = 50_000u64;
        for number in 0..total {
            // 10,000 lines a second.
            let now = start + Duration::from_micros(number * 100);
            gate.feed(format!("line {number}\n").as_bytes(), now, &mut |line| logged.push(line.to_owned()));
        }
        gate.finish(start + Duration::from_secs(5), &mut |line| logged.push(line.to_owned()));
        let free = usize::try_from(FREE_LINES).unwrap();
        assert!((free + 40..=free + 62).contains(&logged.len()), "{}", logged.len());
        let plain = logged.iter().filter(|line| line.starts_with("line ")).count() as u64;
        let told: u64 = logged
            .iter()
            .filter(|line| line.starts_with('('))
            .map(|line| line[1..].split(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!(plain + told, total, "every line is logged or counted");
    }

    #[test]
    fn few_long_lines_are_a_flood_too() {
        let line = [vec![b'x'; LINE_BYTES], vec![b'\n']].concat();
        let logged = run(&vec![line.as_slice(); 200]);
        let free = usize::try_from(FREE_BYTES).unwrap() / LINE_BYTES;
        assert_eq!(logged.len(), free + 1);
        assert!(logged.last().unwrap().starts_with(&format!("({} lines", 200 - free)));
    }

    #[test]
    fn a_flood_of_long_lines_is_bounded_in_bytes_a_second() {
        let line = [vec![b'x'; LINE_BYTES], vec![b'\n']].concat();
        let mut gate = LineGate::new(Arc::default());
        let start = Instant::now();
        let mut logged = 0;
        // 100 lines a second for 5 seconds.
        for number in 0..500 {
            let now = start + Duration::from_millis(number * 10);
            gate.feed(&line, now, &mut |line| logged += line.len() as u64);
        }
        let most = FREE_BYTES + 5 * BYTES_PER_SECOND;
        assert!((most - 2 * LINE_BYTES as u64..=most).contains(&logged), "{logged} of {most}");
    }

    #[test]
    fn slow_output_is_never_thinned() {
        let mut gate = LineGate::new(Arc::default());
        let mut logged = 0;
        let start = Instant::now();
        for second in 0..10_000 {
            gate.feed(b"tick\n", start + Duration::from_secs(second), &mut |_| logged += 1);
        }
        assert_eq!(logged, 10_000);
    }

    #[test]
    fn many_short_runs_of_a_watch_share_one_allowance() {
        let allowance = Arc::new(Mutex::new(Allowance::default()));
        let start = Instant::now();
        let mut logged = 0;
        // 80 runs a second for 10 seconds, each with 500 lines.
        for run in 0..800 {
            let now = start + Duration::from_micros(12_500 * run);
            let mut gate = LineGate::new(Arc::clone(&allowance));
            let mut count = |line: &str| logged += u64::from(line == "x");
            gate.feed(&b"x\n".repeat(500), now, &mut count);
            gate.finish(now, &mut count);
        }
        let most = FREE_LINES + 10 * LINES_PER_SECOND;
        assert!((most - 5..=most).contains(&logged), "{logged}");
        // After a quiet while the whole allowance is available again.
        let (mut again, later) = (0, start + Duration::from_secs(10_000));
        LineGate::new(allowance).feed(&b"x\n".repeat(2000), later, &mut |_| again += 1);
        assert_eq!(again, FREE_LINES);
    }
}
