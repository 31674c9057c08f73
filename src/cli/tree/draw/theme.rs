//! The styles of the view.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Scrollbar, ScrollbarOrientation, ScrollbarState};

/// What marks things on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Whether to use colours; bold, faint and reversed text are always used.
    pub colours: bool,
}

impl Theme {
    pub(super) fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn bold(self, colour: Color) -> Style {
        self.colour(colour).add_modifier(Modifier::BOLD)
    }
}

/// The default colour, dimmed: some palettes use an explicit grey for the background.
pub(super) fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// A scroll bar at the right edge.
pub(super) fn bar(buffer: &mut Buffer, area: Rect, last: usize, at: usize, height: usize) {
    use ratatui::widgets::StatefulWidget;
    let mut state = ScrollbarState::new(last + 1).position(at).viewport_content_length(height);
    let bar = Scrollbar::new(ScrollbarOrientation::VerticalRight).begin_symbol(None).end_symbol(None);
    bar.track_symbol(Some(" ")).thumb_symbol("┃").style(faint()).render(area, buffer, &mut state);
}
