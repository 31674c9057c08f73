//! How fast and how small: each row a ratio against a bare floor that is measured in the same run.
//!
//! `make bench` runs all; a word as argument only the groups whose name has it. Nothing here is a test.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so by ending")]

#[path = "../tests/it/fixture/mod.rs"]
mod fixture;

mod latency;
mod many;
mod reload;
mod table;
mod tree;

use table::Table;

/// A name to choose it by, and what it measures.
type Group = (&'static str, fn(&mut Table));

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let groups: [Group; 7] = [
        ("small", reload::small),
        ("reload", reload::thousand_files),
        ("burst", many::burst),
        ("spawn", many::thousand_actions),
        ("tree", tree::redraw),
        ("many", many::ten_thousand_watches),
        ("latency", latency::all),
    ];
    let mut table = Table::default();
    for (name, group) in groups.iter().filter(|(name, _)| name.contains(&wanted)) {
        eprintln!("{name} …");
        group(&mut table);
    }
    print!("{table}");
}
