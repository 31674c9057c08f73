//! The terminal of `twitcher watch --tty`: lent to one run at a time, and taken back as it was.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp, tcsetpgrp};

/// The controlling terminal while a run has its foreground. Dropping it takes the foreground back, with the terminal's
/// settings as they were.
pub(super) struct Foreground {
    terminal: File,
    settings: Option<Termios>,
}

impl Foreground {
    /// Opens the terminal for a run that is to take its foreground. Fails where there is none, or where this process is
    /// not in the foreground itself: then the terminal is somebody else's.
    pub(super) fn lend() -> Result<Self, String> {
        let terminal = open().map_err(|error| format!("there is no terminal to ask on: {error}"))?;
        match tcgetpgrp(&terminal) {
            Ok(group) if group == getpgrp() => {}
            Ok(_) => return Err("twitcher is not in the foreground of its terminal".to_owned()),
            Err(errno) => return Err(format!("the terminal's foreground is not known: {errno}")),
        }
        let settings = tcgetattr(&terminal).ok();
        Ok(Self { terminal, settings })
    }

    /// The terminal, as standard input of the run.
    pub(super) fn input(&self) -> io::Result<File> {
        self.terminal.try_clone()
    }
}

fn open() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY | libc::O_CLOEXEC).open("/dev/tty")
}

/// Fails, with the reason, where no run could take the terminal.
pub fn check_terminal() -> Result<(), String> {
    Foreground::lend().map(drop)
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // From the background, both calls would stop this process by TTOU.
        let blocked = SigSet::from(Signal::SIGTTOU).thread_swap_mask(SigmaskHow::SIG_BLOCK);
        // Fails only where the terminal is gone.
        let _ = tcsetpgrp(&self.terminal, getpgrp());
        if let Some(settings) = &self.settings {
            let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, settings);
        }
        if let Ok(before) = blocked {
            let _ = before.thread_set_mask();
        }
    }
}
