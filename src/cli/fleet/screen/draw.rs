//! Draws the view of a group, as much of it as fits. Reads nothing and decides nothing.

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};
use unicode_width::UnicodeWidthStr;

use super::model::{Seen, View};
use crate::cli::columns::{cut, filled};
use crate::cli::span::{span, spent};
use crate::fleet::bars::Bar;
use crate::fleet::report::Tone;
use crate::log::escape;

/// Columns of the name and of the numbers of a wave.
const NAME: usize = 12;
const NUMBERS: usize = 16;

const HELP: [(&str, &str); 6] = [
    ("↑ ↓  k j", "scroll the hosts"),
    ("PgUp PgDn", "a page; so do Ctrl-B Ctrl-F, Ctrl-U Ctrl-D"),
    ("g G", "first, last"),
    ("Esc", "close this"),
    ("Ctrl-L Ctrl-Z", "draw anew; into the background"),
    ("q  Ctrl-C", "leave"),
];

/// Draws the view; stores in it how many hosts fit.
pub(super) fn draw(frame: &mut Frame<'_>, view: &mut View, now: Timestamp, colours: bool) {
    let painter = Painter { colours };
    let area = frame.area();
    let Some(seen) = &view.seen else {
        let text = view.error.as_ref().map_or_else(|| "reading the group…".to_owned(), |why| one_line(why));
        frame.render_widget(Paragraph::new(cut(text, usize::from(area.width))), area);
        return;
    };
    let bars = u16::try_from(seen.bars.len()).unwrap_or(u16::MAX).min(area.height / 3);
    let news = (area.height / 4).min(10);
    let [head, waves, counts, hosts, happened, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(bars),
        Constraint::Length(2),
        Constraint::Min(2),
        Constraint::Length(news),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(painter.head(seen, now, usize::from(head.width))), head);
    let lines: Vec<Line<'_>> =
        seen.bars.iter().map(|bar| painter.wave(bar, usize::from(waves.width))).collect();
    frame.render_widget(Paragraph::new(lines), waves);
    frame.render_widget(Paragraph::new(painter.counts(seen, usize::from(counts.width))), counts);
    painter.hosts(frame, hosts, seen, view.first, now);
    painter.news(frame, happened, view);
    frame.render_widget(Paragraph::new(painter.foot(view, usize::from(foot.width))), foot);
    view.rows = usize::from(hosts.height.saturating_sub(1));
    if view.help {
        painter.help(frame, area);
    }
}

fn one_line(text: &str) -> String {
    escape::line(text.as_bytes())
}

/// Chooses styles.
#[derive(Clone, Copy)]
struct Painter {
    colours: bool,
}

impl Painter {
    fn style(self, color: Color) -> Style {
        if self.colours { Style::new().fg(color) } else { Style::new() }
    }

    fn state(self, state: &str) -> Style {
        match Tone::of(state) {
            Tone::Bad => self.style(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Busy => self.style(Color::Yellow),
            Tone::Good => self.style(Color::Green),
            Tone::Plain => Style::new(),
        }
    }

    fn head(self, seen: &Seen, now: Timestamp, width: usize) -> Vec<Line<'static>> {
        let status = &seen.status;
        let key = status.key.as_deref().map(one_line).unwrap_or_default();
        let version = status.version.as_deref().unwrap_or("-");
        let since = status.started.map(|at| format!(", since {}", span(spent(at, now)))).unwrap_or_default();
        let title = format!(
            "{}  {} {key}  version {version}{since}",
            one_line(&status.group),
            one_line(&status.store)
        );
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let conductor = status.conductor.as_ref().map_or_else(
            || "nobody conducts".to_owned(),
            |conductor| format!("conductor {}", one_line(&conductor.host)),
        );
        let rest =
            format!(": {} of {} converged   {conductor}", status.hosts.converged, status.hosts.members);
        let room = width.saturating_sub(status.state.width());
        let why = status.why.as_deref().map(one_line).unwrap_or_default();
        vec![
            Line::styled(cut(title, width), bold),
            Line::from(vec![
                Span::styled(status.state, self.state(status.state)),
                Span::raw(cut(rest, room)),
            ]),
            Line::styled(cut(why, width), self.style(Color::Red)),
        ]
    }

    fn wave(self, bar: &Bar, width: usize) -> Line<'static> {
        let room = width.saturating_sub(NAME + NUMBERS);
        let full = if bar.size == 0 {
            room
        } else {
            room * usize::try_from(bar.done).unwrap_or(0) / usize::try_from(bar.size).unwrap_or(1)
        };
        let mark = if bar.is_open { "▸" } else { " " };
        let name = cut(format!("{mark} {}", bar.name), NAME - 1);
        let numbers = cut(format!(" {} of {}", bar.done, bar.size), NUMBERS);
        Line::from(vec![
            Span::raw(filled(name, NAME)),
            Span::styled("█".repeat(full), self.style(Color::Green)),
            Span::styled("░".repeat(room - full), Style::new().add_modifier(Modifier::DIM)),
            Span::raw(numbers),
        ])
    }

    fn counts(self, seen: &Seen, width: usize) -> Vec<Line<'static>> {
        let (hosts, permits) = (&seen.status.hosts, &seen.status.permits);
        let of = permits.limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
        let mut text = format!(
            "acting {}{of}   asking {}   behind {}   failed {}   silent {}",
            hosts.acting, hosts.asking, hosts.behind, hosts.failed, hosts.silent
        );
        for (word, count) in [("conflict", hosts.conflict), ("down", hosts.down), ("over", hosts.over)] {
            if count > 0 {
                text = format!("{text}   {word} {count}");
            }
        }
        let style = if hosts.failed > 0 { self.style(Color::Red) } else { Style::new() };
        vec![Line::styled(cut(text, width), style), Line::default()]
    }

    fn hosts(self, frame: &mut Frame<'_>, area: Rect, seen: &Seen, first: usize, now: Timestamp) {
        let width = usize::from(area.width);
        let all = seen.listed().count();
        let faint = Style::new().add_modifier(Modifier::DIM);
        let title =
            if all == 0 { "all hosts have it".to_owned() } else { format!("hosts without it: {all}") };
        let mut lines = vec![Line::styled(cut(title, width), faint)];
        let rows = usize::from(area.height.saturating_sub(1));
        let names = seen.listed().map(|host| one_line(&host.host).width()).max().unwrap_or(0).min(width / 3);
        for host in seen.listed().skip(first).take(rows) {
            let mut state = host.state.to_owned();
            if !host.flags.is_empty() {
                state = format!("{state} ({})", host.flags.join(", "));
            }
            let since = host.since.map(|since| span(spent(since, now))).unwrap_or_default();
            let why = one_line(host.why.as_deref().unwrap_or_default());
            let name = filled(cut(one_line(&host.host), names), names);
            let rest = format!("  {}  {}  {why}", filled(since, 6), host.applied.as_deref().unwrap_or("-"));
            let room = width.saturating_sub(names + 2 + 20);
            lines.push(Line::from(vec![
                Span::raw(format!("{name}  ")),
                Span::styled(filled(cut(state, 20), 20), self.state(host.state)),
                Span::raw(cut(rest, room)),
            ]));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn news(self, frame: &mut Frame<'_>, area: Rect, view: &View) {
        let block = Block::new().borders(Borders::TOP).border_style(Style::new().add_modifier(Modifier::DIM));
        let inner = block.inner(area);
        let rows = usize::from(inner.height);
        let skipped = view.news.len().saturating_sub(rows);
        let lines: Vec<Line<'_>> = view
            .news
            .iter()
            .skip(skipped)
            .map(|news| {
                let clock = news.at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string();
                let text = cut(format!("{clock}  {}", one_line(&news.text)), usize::from(inner.width));
                Line::styled(text, if news.is_bad { self.style(Color::Red) } else { Style::new() })
            })
            .collect();
        frame.render_widget(block, area);
        frame.render_widget(Paragraph::new(lines), inner);
    }

    fn foot(self, view: &View, width: usize) -> Line<'static> {
        if let Some(why) = &view.error {
            return Line::styled(cut(format!("not read: {}", one_line(why)), width), self.style(Color::Red));
        }
        let faint = Style::new().add_modifier(Modifier::DIM);
        Line::styled(cut("? help   q leave".to_owned(), width), faint)
    }

    fn help(self, frame: &mut Frame<'_>, screen: Rect) {
        let height = u16::try_from(HELP.len()).unwrap_or(u16::MAX).saturating_add(2).min(screen.height);
        let width = 64.min(screen.width);
        let area = Rect::new((screen.width - width) / 2, (screen.height - height) / 2, width, height);
        let room = usize::from(width.saturating_sub(2));
        let bold = self.style(Color::Cyan).add_modifier(Modifier::BOLD);
        let lines: Vec<Line<'_>> = HELP
            .iter()
            .map(|(keys, what)| {
                let keys = filled((*keys).to_owned(), 15);
                let rest = cut((*what).to_owned(), room.saturating_sub(keys.width()));
                Line::from(vec![Span::styled(keys, bold), Span::raw(rest)])
            })
            .collect();
        frame.render_widget(Clear, area);
        frame.render_widget(Paragraph::new(lines).block(Block::bordered()), area);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::tests::{host, seen};
    use super::*;
    use crate::fleet::report::HostStatus;

    fn drawn(view: &mut View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let now = Timestamp::from_second(90).unwrap();
        terminal.draw(|frame| draw(frame, view, now, false)).unwrap();
        terminal.backend().to_string()
    }

    fn sample() -> View {
        let mut view = View::default();
        let failed = HostStatus { why: Some("exit code 7\x1b[2J".to_owned()), ..host("web-2", "failed") };
        view.show(
            seen(vec![host("web-1", "running"), failed, host("web-3", "converged")]),
            Timestamp::UNIX_EPOCH,
        );
        view
    }

    #[test]
    fn a_group_fills_the_screen() {
        let screen = drawn(&mut sample(), 70, 14);
        for part in [
            "git  main /git/head  version 2, since ",
            "rolling: 1 of 3 converged   conductor web-1",
            "  canaries  ██████",
            " 1 of 1",
            "▸ all       ░░░░░░",
            " 0 of 2",
            "acting 1 of 1   asking 1   behind 0   failed 0   silent 0",
            "hosts without it: 2",
            "web-1  running",
            "web-2  failed",
            "exit code 7\\x1b[2J",
            "? help   q leave",
        ] {
            assert!(screen.contains(part), "{part:?} is not in\n{screen}");
        }
    }

    #[test]
    fn every_size_is_drawn_and_no_name_steers_the_terminal() {
        for (width, height) in [(1, 1), (3, 40), (200, 2), (20, 10), (300, 100)] {
            let mut view = sample();
            assert!(!drawn(&mut view, width, height).contains('\x1b'));
            view.help = true;
            drop(drawn(&mut view, width, height));
            view.fail("the store is away".to_owned());
            drop(drawn(&mut view, width, height));
        }
        drop(drawn(&mut View::default(), 10, 3));
    }
}
