//! The meaning of keys on the keyboard. Pure.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::value::Mode;

/// A user's command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Act {
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Toggle,
    OpenBelow,
    CloseBelow,
    SwitchPane,
    ShowValue,
    NextMode,
    Mode(Mode),
    Search,
    Next,
    Previous,
    Type(char),
    Erase,
    EraseWord,
    EraseAll,
    Accept,
    Cancel,
    Help,
    Suspend,
    Redraw,
    Quit,
}

/// Every key and sign and its meaning, for the help.
pub(super) const HELP: [(&str, &str); 19] = [
    ("↑ ↓  k j", "move, or scroll the value"),
    ("→ l", "expand, go inside"),
    ("← h", "collapse, go up"),
    ("Enter Space", "expand or collapse"),
    ("*  -", "expand, collapse all below"),
    ("PgUp PgDn", "a page; so do Ctrl-B Ctrl-F, Ctrl-U Ctrl-D"),
    ("g G", "first, last"),
    ("/", "search in names; with a slash, in whole keys"),
    ("n N", "next, previous; while typing ↓ ↑"),
    ("Ctrl-U Ctrl-W", "while typing: erase all, the last word"),
    ("Esc", "give the search up, go back"),
    ("Tab", "other pane"),
    ("v", "show or hide the value"),
    ("m  1 2 3", "text, JSON, hex"),
    ("mouse", "click selects, on the arrow or once more expands; the wheel scrolls"),
    ("+ ● -  ◆", "added, changed, deleted a moment ago; something below was"),
    ("over 5m old", "unchanged since the view began; its store does not say when it was written"),
    ("Ctrl-L Ctrl-Z", "draw anew; into the background"),
    ("q  Ctrl-C", "leave"),
];

/// The meaning of a key, while a search is being typed or not.
#[expect(clippy::wildcard_enum_match_arm, reason = "most keys have no meaning here")]
pub(in crate::cli) fn act(event: KeyEvent, typing: bool) -> Option<Act> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return Some(match event.code {
            KeyCode::Char('c') => Act::Quit,
            KeyCode::Char('z') => Act::Suspend,
            KeyCode::Char('l') => Act::Redraw,
            KeyCode::Char('h') if typing => Act::Erase,
            KeyCode::Char('w') if typing => Act::EraseWord,
            KeyCode::Char('u') if typing => Act::EraseAll,
            KeyCode::Char('b' | 'u') if !typing => Act::PageUp,
            KeyCode::Char('f' | 'd') if !typing => Act::PageDown,
            _ => return None,
        });
    }
    if typing {
        return Some(match event.code {
            KeyCode::Char(character) => Act::Type(character),
            KeyCode::Backspace => Act::Erase,
            KeyCode::Enter => Act::Accept,
            KeyCode::Esc => Act::Cancel,
            KeyCode::Down => Act::Next,
            KeyCode::Up => Act::Previous,
            _ => return None,
        });
    }
    Some(match event.code {
        KeyCode::Up | KeyCode::Char('k') => Act::Up,
        KeyCode::Down | KeyCode::Char('j') => Act::Down,
        KeyCode::Left | KeyCode::Char('h') => Act::Left,
        KeyCode::Right | KeyCode::Char('l') => Act::Right,
        KeyCode::PageUp => Act::PageUp,
        KeyCode::PageDown => Act::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Act::Home,
        KeyCode::End | KeyCode::Char('G') => Act::End,
        KeyCode::Enter | KeyCode::Char(' ') => Act::Toggle,
        KeyCode::Char('*' | '+') => Act::OpenBelow,
        KeyCode::Char('-') => Act::CloseBelow,
        KeyCode::Tab | KeyCode::BackTab => Act::SwitchPane,
        KeyCode::Char('v') => Act::ShowValue,
        KeyCode::Char('m') => Act::NextMode,
        KeyCode::Char('1') => Act::Mode(Mode::Text),
        KeyCode::Char('2') => Act::Mode(Mode::Json),
        KeyCode::Char('3') => Act::Mode(Mode::Hex),
        KeyCode::Char('/') => Act::Search,
        KeyCode::Char('n') => Act::Next,
        KeyCode::Char('N') => Act::Previous,
        KeyCode::Char('?') | KeyCode::F(1) => Act::Help,
        KeyCode::Esc => Act::Cancel,
        KeyCode::Char('q') => Act::Quit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_takes_letters_and_ctrl_c_always_leaves() {
        let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
        assert_eq!(act(plain(KeyCode::Char('q')), false), Some(Act::Quit));
        assert_eq!(act(plain(KeyCode::Char('q')), true), Some(Act::Type('q')));
        for typing in [false, true] {
            let event = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(act(event, typing), Some(Act::Quit));
            let up = KeyEvent { kind: KeyEventKind::Release, ..event };
            assert_eq!(act(up, typing), None);
        }
    }
}
