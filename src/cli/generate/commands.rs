//! The manual pages of section 1: one for the program and one for each of its commands.

use std::io;

use clap::builder::Resettable;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::super::Cli;
use super::manual;

/// Each page by its name.
pub(super) fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    // `help` only repeats the pages, so a page that refers to it would be useless.
    let without_help = |command: Command| command.mut_subcommand("help", |help| help.hide(true));
    let mut program = Cli::command();
    program.build();
    let program = without_help(program);
    let commands: Vec<Command> =
        program.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    std::iter::once(program)
        .chain(commands)
        .map(|command| {
            let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
            let page = page(&name, command)?;
            Ok((name, page))
        })
        .collect()
}

fn page(name: &str, command: Command) -> io::Result<Vec<u8>> {
    let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // The version is at the foot of the page, and what follows the options gets headings of its own.
    let command = command.after_help(Resettable::Reset).version(Resettable::Reset);
    let mut page = Vec::new();
    Man::new(command)
        .title(name)
        .date(manual::date())
        .source(manual::VERSION)
        .manual("Twitcher commands")
        .render(&mut page)?;
    let mut rest = Roff::new();
    let (notes, examples) = more.split_once("Examples:\n").unwrap_or((&more, ""));
    if !notes.is_empty() {
        rest.control("SH", ["NOTES"]);
        rest.text([roman(notes.trim_end())]);
    }
    if !examples.is_empty() {
        rest.control("SH", ["EXAMPLES"]);
        rest.control("nf", []);
        rest.text([roman(examples.trim_end())]);
        rest.control("fi", []);
    }
    let see_also = if name == "twitcher" { "" } else { "twitcher(1), " };
    rest.control("SH", ["SEE ALSO"]);
    rest.text([roman(format!("{see_also}twitcher.conf(5), twitcher-watch(5)"))]);
    page.extend_from_slice(rest.to_roff().as_bytes());
    Ok(page)
}
