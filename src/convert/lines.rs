//! Lines of the old file: numbers for messages, source text for blocks that were not converted, comments above a
//! statement.

use ruff_text_size::{TextRange, TextSize};

/// Offsets at which lines begin.
pub(super) struct Lines<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, starts }
    }

    /// A range of byte offsets, which are below 4 GiB.
    pub(super) fn range(from: usize, to: usize) -> TextRange {
        let size = |at: usize| TextSize::new(u32::try_from(at).unwrap_or(u32::MAX));
        TextRange::new(size(from), size(to.max(from)))
    }

    /// The line, from 1.
    pub(super) fn line(&self, at: TextSize) -> usize {
        self.starts.partition_point(|start| *start <= at.to_usize())
    }

    /// First and last line, from 1.
    pub(super) fn span(&self, range: TextRange) -> (usize, usize) {
        (self.line(range.start()), self.line(range.end()))
    }

    /// The text of a line, counted from 1.
    pub(super) fn text(&self, line: usize) -> &'a str {
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index));
        let end = self.starts.get(line).copied().unwrap_or(self.source.len());
        start
            .and_then(|start| self.source.get(*start..end))
            .unwrap_or_default()
            .trim_end_matches(['\n', '\r'])
    }

    /// The comment lines directly above a line, without their `#`.
    pub(super) fn comment_above(&self, line: usize) -> Vec<&'a str> {
        let mut above: Vec<&'a str> = (1..line)
            .rev()
            .map_while(|line| self.text(line).trim_start().strip_prefix('#'))
            .map(|text| text.trim_start_matches('#').trim_end())
            .collect();
        above.reverse();
        // A `#!` or editor line says nothing about the watch.
        above.retain(|text| !text.starts_with('!') && !text.contains("-*-") && !text.contains("coding:"));
        above
    }
}
