//! Renders the watch file: watches, copied comments, and commented blocks for manual work.

use std::collections::HashSet;
use std::fmt::Write as _;

use ruff_text_size::{Ranged, TextRange};

use super::Converted;
use super::lines::Lines;
use super::register::{Registration, written};
use super::script::Item;

/// Longest excerpt of a skipped piece, in lines.
const MOST_LINES: usize = 200;

/// Writes the whole file.
pub(super) fn file(name: &str, lines: &Lines<'_>, items: &[Item]) -> Converted {
    let mut page = Page { name: plain(name), lines, body: String::new(), translated: 0, left: 0 };
    let mut seen: HashSet<TextRange> = HashSet::new();
    let mut told: HashSet<(TextRange, String)> = HashSet::new();
    for item in items {
        match item {
            Item::Watch(watch) if watch.problems.is_empty() => {
                page.comment_above(watch.range, &mut seen);
                page.watch(watch);
            }
            Item::Watch(watch) => {
                let why = watch.problems.join(" ");
                if told.insert((watch.range, format!("{why}\n{}", watch.table()))) {
                    page.comment_above(watch.range, &mut seen);
                    // In a later turn of a loop only the key differs; the source has been shown.
                    let first = told.insert((watch.range, why.clone()));
                    page.unfinished(watch, &why, first);
                }
            }
            Item::Left { range, why } => {
                let why = format!("{why}.");
                if told.insert((*range, why.clone())) {
                    page.comment_above(*range, &mut seen);
                    page.left(*range, &why);
                }
            }
            Item::Note { range, what } => {
                if told.insert((*range, what.clone())) {
                    page.note(*range, what);
                }
            }
        }
    }
    let toml = format!("{}{}", page.head(), page.body);
    Converted { toml, translated: page.translated, left: page.left }
}

struct Page<'p, 'a> {
    name: String,
    lines: &'p Lines<'a>,
    body: String,
    translated: usize,
    left: usize,
}

impl Page<'_, '_> {
    fn head(&self) -> String {
        let mut head = format!("# Converted from {} by `twitcher convert`.\n", self.name);
        head.push_str("# The servers that were in --zkservers belong in twitcher.conf:\n");
        head.push_str("#     default_store = \"zk\"\n");
        head.push_str("#     [store.zk]\n");
        head.push_str("#     url = \"zookeeper://HOST:2181,HOST:2181\"\n");
        if self.left > 0 {
            let _ = writeln!(head, "# {} left for you. Look for \"Not converted\" below.", self.left);
        }
        head
    }

    fn line(&mut self, text: &str) {
        let text = plain(text);
        let text = text.trim_end();
        self.body.push_str(if text.is_empty() { "#" } else { "# " });
        self.body.push_str(text);
        self.body.push('\n');
    }

    fn comment_above(&mut self, range: TextRange, seen: &mut HashSet<TextRange>) {
        self.body.push('\n');
        if !seen.insert(range) {
            return;
        }
        for line in self.lines.comment_above(self.lines.line(range.start())) {
            self.line(line.trim_start());
        }
    }

    fn watch(&mut self, watch: &Registration) {
        self.translated += 1;
        for hint in &watch.hints {
            self.line(hint);
        }
        self.body.push_str(&watch.table());
    }

    /// A watch that is incomplete: the reason, the source, and the known fields, commented so that removing each `#` and
    /// filling in the rest gives a valid watch.
    fn unfinished(&mut self, watch: &Registration, why: &str, first: bool) {
        self.left += 1;
        self.line(&format!("Not converted: {why}"));
        if first {
            self.source(watch.range);
            for range in &watch.also {
                self.source(*range);
            }
        }
        for hint in &watch.hints {
            self.line(hint);
        }
        let mut block = String::from("[[watch]]\n");
        for (required, example) in [("key", "\"/\""), ("action", "[\"/path/to/a/program\"]")] {
            let _ = match watch.fields.iter().find(|(name, _)| *name == required) {
                Some((name, value)) => writeln!(block, "{name} = {}", written(name, value)),
                None => writeln!(block, "{required} = {example}   # fill this in"),
            };
        }
        for (name, value) in watch.fields.iter().filter(|(name, _)| !matches!(*name, "key" | "action")) {
            let _ = writeln!(block, "{name} = {}", written(name, value));
        }
        for line in block.lines() {
            let _ = writeln!(self.body, "#{line}");
        }
    }

    fn left(&mut self, range: TextRange, why: &str) {
        self.left += 1;
        self.line(&format!("Not converted: {why}"));
        self.source(range);
        self.body.push_str("#[[watch]]\n#key = \"/\"   # fill this in\n");
        self.body.push_str("#action = [\"/path/to/a/program\"]   # fill this in\n");
    }

    fn note(&mut self, range: TextRange, what: &str) {
        self.body.push('\n');
        self.line(&format!("Left out: {what}."));
        self.source(range);
    }

    fn source(&mut self, range: impl Ranged) {
        let (first, last) = self.lines.span(range.range());
        let title = if first == last {
            format!("{}, line {first}:", self.name)
        } else {
            format!("{}, lines {first} to {last}:", self.name)
        };
        self.line(&title);
        for line in (first..=last).take(MOST_LINES) {
            let text = self.lines.text(line).to_owned();
            self.line(&format!("    {text}"));
        }
        if last - first >= MOST_LINES {
            self.line("    …");
        }
    }
}

/// Text for a comment: one line, without control characters, which TOML forbids there except for the tab.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}
