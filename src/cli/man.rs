//! `man`: the manual pages, made from `args.rs`.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use super::args::{Cli, ManArgs};
use super::{CliError, Exit, Kind, print};
use crate::source::os_words;

/// What the pages call the program in their footers.
const SOURCE: &str = concat!("session-doctor ", env!("CARGO_PKG_VERSION"));

/// What `clap_mangen` begins each of its parts with.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// Prints the program's page, or writes all pages into a directory.
pub fn run(args: &ManArgs) -> Result<Exit, CliError> {
    let pages =
        pages().map_err(|error| CliError::new(Kind::Internal, "make the manual pages").cause(error))?;
    match &args.dir {
        Some(dir) => {
            write(dir, &pages)?;
            Ok(Exit::Ok)
        }
        None => match pages.iter().find(|(name, _)| name == "session-doctor.1") {
            Some((_, page)) => print(page),
            None => Err(CliError::new(Kind::Internal, "find the program's own manual page")),
        },
    }
}

fn write(dir: &Path, pages: &[(String, Vec<u8>)]) -> Result<(), CliError> {
    let failed = |path: &Path, error: io::Error| {
        CliError::new(Kind::CannotCreate, format!("write `{}`", path.display())).cause(os_words(&error))
    };
    fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    for (name, page) in pages {
        let path = dir.join(name);
        fs::write(&path, page).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// Returns the name and the contents of each page: the program's, and one for every command.
pub fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command();
    root.build();
    let mut pages = Vec::new();
    add(&root, &mut pages)?;
    Ok(pages)
}

fn add(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let man = Man::new(command.clone()).manual("session-doctor").source(SOURCE);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    // Each part comes with this preamble, which defines the same string again.
    let page = String::from_utf8_lossy(&page);
    let mut page = format!("{PREAMBLE}{}", page.replace(PREAMBLE, ""));
    if let Some(notes) = command.get_after_long_help() {
        page += &sections(&notes.to_string());
    }
    pages.push((man.get_filename(), page.into_bytes()));
    for subcommand in command.get_subcommands() {
        add(subcommand, pages)?;
    }
    Ok(())
}

/// Makes the notes under a command's help sections of a page: a line that begins at the margin is a heading,
/// the lines below it are kept as they are.
fn sections(notes: &str) -> String {
    let mut page = String::new();
    let mut is_open = false;
    for line in notes.lines() {
        match line.strip_prefix("  ") {
            Some(line) => page += &format!("{}\n", escape(line)),
            None if line.is_empty() => {}
            None => {
                if is_open {
                    page += ".fi\n";
                }
                is_open = true;
                page += &format!(".SH {}\n.nf\n", line.trim_end_matches(':').to_uppercase());
            }
        }
    }
    if is_open {
        page += ".fi\n";
    }
    page
}

/// Keeps roff from reading a line as anything but text.
fn escape(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('~', "\\(ti");
    if text.starts_with(['.', '\'', '\\']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_become_sections() {
        assert_eq!(
            sections("Examples:\n  a --b 'c'\n    .d\n\nExit status:\n  .0 e\\n"),
            ".SH EXAMPLES\n.nf\na \\-\\-b \\(aqc\\(aq\n  .d\n.fi\n.SH EXIT STATUS\n.nf\n\\&.0 e\\en\n.fi\n"
        );
    }
}
