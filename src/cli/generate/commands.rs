//! The manual pages of section 1: one for the program and one for each of its commands.

use std::io;

use clap::builder::Resettable;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::super::Cli;
use super::{manual, reference};

/// Each page by its name.
pub(super) fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    // `help` only repeats the pages, so a page that refers to it would be useless.
    let without_help = |command: Command| command.mut_subcommand("help", |help| help.hide(true));
    let mut program = Cli::command();
    program.build();
    let program = without_help(program);
    let commands: Vec<Command> =
        program.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let of_fleet = |command: &Command| {
        let below = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
        below.filter(|command| command.get_name() != "help").collect::<Vec<_>>()
    };
    let below: Vec<Command> =
        commands.iter().filter(|c| c.get_name() == "fleet").flat_map(of_fleet).collect();
    std::iter::once(program)
        .chain(commands)
        .chain(below)
        .map(|command| {
            let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
            let page = page(&name, command)?;
            Ok((name, page))
        })
        .collect()
}

fn page(name: &str, command: Command) -> io::Result<Vec<u8>> {
    let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let variables: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| argument.get_env()?.to_str().map(ToOwned::to_owned))
        .collect();
    let has_commands = command.get_subcommands().any(|command| !command.is_hide_set());
    // The version is at the foot of the page, and what follows the options gets headings of its own.
    let below = below(name, &command);
    let command = command.after_help(Resettable::Reset).version(Resettable::Reset);
    let man = Man::new(command)
        .title(name)
        .date(manual::date())
        .source(manual::VERSION)
        .manual("Twitcher commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.text([roman(usage.trim_start_matches("Usage: ").trim_end())]);
    page.extend_from_slice(synopsis.to_roff().as_bytes());
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if name == "twitcher" {
        man.render_subcommands_section(&mut page)?;
    } else if has_commands {
        page.extend_from_slice(below.to_roff().as_bytes());
    }
    page.extend_from_slice(rest(name, &more, &variables).to_roff().as_bytes());
    Ok(page)
}

/// The section COMMANDS: the subcommands of a command.
fn below(name: &str, command: &Command) -> Roff {
    let mut below = Roff::new();
    below.control("SH", ["COMMANDS"]);
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        below.control("TP", []);
        below.text([bold(format!("{} {}", name.replacen('-', " ", 1), command.get_name()))]);
        below.text([roman(about)]);
    }
    below
}

/// What follows the options.
fn rest(name: &str, more: &str, variables: &[String]) -> Roff {
    let mut rest = Roff::new();
    let (notes, examples) =
        more.split_once("Examples:\n").or_else(|| more.split_once("Example:\n")).unwrap_or((more, ""));
    if !notes.is_empty() {
        rest.control("SH", ["NOTES"]);
        rest.text([roman(notes.trim_end())]);
    }
    for (heading, entries) in reference::legends(name) {
        section(&mut rest, heading, entries);
    }
    section(&mut rest, "EXIT STATUS", &reference::exit_status(name));
    section(&mut rest, "FILES", &reference::files(name));
    section(&mut rest, "ENVIRONMENT", &reference::environment(name, variables));
    rest.control("SH", ["EXAMPLES"]);
    rest.control("nf", []);
    rest.text([roman(examples.trim_end())]);
    rest.control("fi", []);
    let see_also = reference::see_also(name);
    rest.control("SH", ["SEE ALSO"]);
    rest.text([roman(see_also)]);
    rest
}

/// A list of terms, where there is one.
pub(super) fn section(page: &mut Roff, heading: &str, entries: &[(&str, &str)]) {
    if entries.is_empty() {
        return;
    }
    page.control("SH", [heading]);
    for (term, text) in entries {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(*text)]);
    }
}
