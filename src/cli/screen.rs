//! Takes over the terminal for a full-screen view, and restores it in every case.

use std::io::{self, IsTerminal, Stdout};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ColorChoice;
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use nix::sys::signal::{Signal, raise};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Position, Rect};
use ratatui::{Frame, Terminal};

use super::paint::Paint;

/// The whole screen, until it is dropped.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// Whether a panic restored the terminal, so that its message can be read.
    panicked: Arc<AtomicBool>,
    colours: bool,
}

/// Whether the view can be shown at all.
pub(super) fn is_there() -> bool {
    io::stdout().is_terminal() && crossterm::terminal::size().is_ok()
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn enter(color: ColorChoice) -> io::Result<Self> {
        let Paint(colours) = Paint::for_screen(color);
        let panicked = Arc::new(AtomicBool::new(false));
        take()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout())).inspect_err(|_| give_back())?;
        let flag = Arc::clone(&panicked);
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            flag.store(true, Ordering::Relaxed);
            report(panic);
        }));
        Ok(Self { terminal, panicked, colours })
    }

    /// Whether it may use colours.
    pub(super) fn has_colours(&self) -> bool {
        self.colours
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    /// Draws the differences from the last frame. Fails if the terminal is gone.
    pub(super) fn draw(&mut self, show: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if self.panicked.load(Ordering::Relaxed) {
            return Err(io::Error::other("twitcher failed through a bug, see above; please report it"));
        }
        self.terminal.draw(show).map(|_| ())
    }

    /// Redraws everything next time. Not by the terminal's own `clear`, which queries the cursor position: the answer would be
    /// read as keys.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Restores the terminal, stops like any program at Ctrl-Z, and takes over the terminal again when continued.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        raise(Signal::SIGTSTP)?;
        take()?;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if !self.panicked.load(Ordering::Relaxed) {
            give_back();
        }
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, cursor::Hide)
        .inspect_err(|_| give_back())
}

/// Each step separately: all of them fail if the terminal is gone.
fn give_back() {
    let _ = execute!(io::stdout(), DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}
