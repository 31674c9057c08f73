//! How fast and how small: each row a ratio against a bare floor that is measured in the same run.
//!
//! `make bench` runs all, which takes most of an hour; a word as argument (`make bench BENCH=latency`) only the groups whose
//! name has it. `TWITCHER_BENCH_QUICK=1` divides every count by ten, `TWITCHER_BENCH_FAULTS=20` repeats every fault so often
//! (3 times by default). Nothing here is a test.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so by ending")]

#[path = "../tests/it/fixture/mod.rs"]
mod fixture;

mod bare;
mod documents;
mod idle;
mod latency;
mod many;
mod mirror;
mod parts;
mod recovery;
mod reload;
mod table;
mod tree;

use table::Table;

/// Knows how many bytes are allocated at a moment.
#[global_allocator]
static ALLOCATED: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

/// A name to choose it by, and what it measures.
type Group = (&'static str, fn(&mut Table));

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let groups: [Group; 15] = [
        ("small", reload::small),
        ("reload", reload::thousand_files),
        ("start", idle::start),
        ("busy", idle::busy_directory),
        ("events", idle::events),
        ("burst", many::burst),
        ("last", many::last_of_a_burst),
        ("spawn", many::thousand_actions),
        ("tree", tree::redraw),
        ("mirror", mirror::memory),
        ("documents", documents::dump_and_load),
        ("many", many::ten_thousand_watches),
        ("latency", latency::all),
        ("parts", parts::one_event),
        ("recovery", recovery::all),
    ];
    let mut table = Table::default();
    for (name, group) in groups.iter().filter(|(name, _)| name.contains(&wanted)) {
        eprintln!("{name} …");
        group(&mut table);
    }
    print!("{table}");
}
