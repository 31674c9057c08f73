//! Colours, if they are wanted.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

/// Whether to use colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

/// Whether the environment asks for no colour.
fn is_refused() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

impl Paint {
    /// As `--color` says; `auto` is on a terminal, unless `NO_COLOR` is set.
    pub(super) fn for_stdout(choice: ColorChoice) -> Self {
        Self(match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => std::io::stdout().is_terminal() && !is_refused(),
        })
    }

    /// The same for what is always a terminal.
    pub(super) fn for_screen(choice: ColorChoice) -> Self {
        Self(choice == ColorChoice::Always || choice == ColorChoice::Auto && !is_refused())
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default(), text)
    }

    pub(super) fn busy(self, text: &str) -> String {
        self.with(AnsiColor::Yellow.on_default(), text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default().bold(), text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }
}
