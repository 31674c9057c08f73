//! The shape of the house, computed from the `use` lines of all of `src/`: no file uses another in a circle, and no
//! room uses one that is above it in the map of `lib.rs`.
//!
//! A re-export is followed to the file that defines the item, so that a `mod.rs` that only gathers its children is
//! in no circle with them. Tests are not looked at: they use what they test and more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A file's place, such as `["daemon", "runs", "book"]`; that of `lib.rs` is empty.
type Module = Vec<String>;

/// Circles that are left, each with the reason.
const LEFT: &[(&[&str], &str)] = &[];

/// A `use` of something of ours.
#[derive(Debug, Clone)]
struct Use {
    path: Vec<String>,
    /// What it is called from then on.
    name: String,
    exported: bool,
}

/// Every file with its `use` lines.
struct House {
    uses: BTreeMap<Module, Vec<Use>>,
}

impl House {
    fn read(root: &Path) -> Self {
        let mut sources = BTreeMap::new();
        gather(root, root, &mut sources);
        let tested: BTreeSet<Module> = sources
            .iter()
            .flat_map(|(module, source)| {
                test_modules(source).map(|name| [module.clone(), vec![name]].concat())
            })
            .collect();
        sources.retain(|module, _| !(0..=module.len()).any(|end| tested.contains(&module[..end])));
        let modules: BTreeSet<Module> = sources.keys().cloned().collect();
        let uses = sources.iter().map(|(module, source)| {
            let paths = statements(source)
                .into_iter()
                .flat_map(|(exported, tree)| expand(&tree).into_iter().map(move |path| (exported, path)));
            let uses = paths.filter_map(|(exported, path)| {
                let (path, alias) = path.split_once(" as ").unwrap_or((&path, ""));
                let path = absolute(module, path, &modules)?;
                let name = if alias.is_empty() { path.last()?.clone() } else { alias.to_owned() };
                Some(Use { path, name, exported })
            });
            (module.clone(), uses.collect())
        });
        Self { uses: uses.collect() }
    }

    /// The file that defines what a path names.
    fn defined_in(&self, path: &[String], followed: usize) -> Option<Module> {
        let length = (0..=path.len()).rev().find(|length| self.uses.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(length);
        let export = rest.first().and_then(|name| {
            self.uses[module].iter().find(|one| one.exported && one.name == *name && one.path != path)
        });
        match export {
            Some(export) if followed < 16 => {
                self.defined_in(&[&export.path[..], &rest[1..]].concat(), followed + 1)
            }
            Some(_) | None => Some(module.to_vec()),
        }
    }

    /// Which files each file uses.
    fn edges(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let used = |module: &Module, uses: &[Use]| {
            uses.iter()
                .filter_map(|one| Some((one.exported, self.defined_in(&one.path, 0)?)))
                // A gathering `mod.rs` does not depend on what it hands on.
                .filter(|(exported, used)| used != module && !(*exported && used.starts_with(module)))
                .map(|(_, used)| used)
                .collect()
        };
        self.uses.iter().map(|(module, uses)| (module.clone(), used(module, uses))).collect()
    }
}

fn gather(root: &Path, directory: &Path, sources: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).unwrap().with_extension("");
            let mut module: Module = relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            module.pop_if(|name| name == "mod" || name == "lib");
            if module != ["main"] {
                sources.insert(module, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
}

/// Whether a line belongs to the tests only, by the line before it.
fn is_tested(before: &str) -> bool {
    before.trim() == "#[cfg(test)]"
}

/// The modules that are compiled for tests only.
fn test_modules(source: &str) -> impl Iterator<Item = String> {
    source.lines().zip(source.lines().skip(1)).filter(|(before, _)| is_tested(before)).filter_map(
        |(_, line)| {
            let (_, name) = line.strip_suffix(';')?.rsplit_once("mod ")?;
            Some(name.to_owned())
        },
    )
}

/// The `use` statements outside tests: whether each hands on what it names, and its tree without spaces and line
/// ends, but those around `as`.
fn statements(source: &str) -> Vec<(bool, String)> {
    let mut statements = Vec::new();
    let mut before = "";
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let tested = is_tested(std::mem::replace(&mut before, line));
        if tested && line.contains("mod ") && line.ends_with('{') {
            // By custom the last item of its file.
            break;
        }
        let code = line.trim();
        let (exported, code) = match (code.strip_prefix("pub"), code.starts_with("use ")) {
            (Some(rest), _) => match rest.find("use ") {
                Some(at) if rest[..at].trim().is_empty() || rest[..at].trim().ends_with(')') => {
                    (true, &rest[at..])
                }
                Some(_) | None => continue,
            },
            (None, true) => (false, code),
            (None, false) => continue,
        };
        let mut tree = code.strip_prefix("use ").unwrap_or_default().to_owned();
        while !tree.contains(';') {
            let Some(more) = lines.next() else { break };
            tree.push_str(more.trim());
        }
        let tree = tree.split(';').next().unwrap_or_default().replace(" as ", "\0");
        if !tested {
            statements.push((exported, tree.replace(' ', "").replace('\0', " as ")));
        }
    }
    statements
}

/// Every path of a tree: of `a::{b, c::{d, e}}` those of `b`, `d` and `e`.
fn expand(tree: &str) -> Vec<String> {
    let Some((stem, rest)) = tree.split_once('{') else { return vec![tree.to_owned()] };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let mut depth = 0;
    let branches = inside.split(|letter| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    });
    let branches: Vec<&str> = branches.filter(|branch| !branch.is_empty()).collect();
    branches.iter().flat_map(|branch| expand(&format!("{stem}{branch}"))).collect()
}

/// A path from the top of the crate; `None` for what is not ours.
fn absolute(module: &Module, path: &str, modules: &BTreeSet<Module>) -> Option<Vec<String>> {
    let mut parts = path.split("::").map(ToOwned::to_owned).peekable();
    let mut base = match parts.peek()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.clone(),
        child => {
            let child = [module.clone(), vec![child.to_owned()]].concat();
            if !modules.contains(&child) {
                return None;
            }
            module.clone()
        }
    };
    parts.next_if(|part| part == "crate" || part == "self");
    while parts.next_if(|part| part == "super").is_some() {
        base.pop();
    }
    base.extend(parts.filter(|part| part != "self" && part != "*"));
    Some(base)
}

/// Everything that can be reached from a file.
fn reached(edges: &BTreeMap<Module, BTreeSet<Module>>, from: &Module) -> BTreeSet<Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = edges[from].iter().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module.clone()) {
            next.extend(&edges[module]);
        }
    }
    reached
}

/// The sets of files that reach each other.
fn circles(edges: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Vec<String>> {
    let reach: BTreeMap<&Module, BTreeSet<Module>> =
        edges.keys().map(|module| (module, reached(edges, module))).collect();
    let circle = |module: &&Module| {
        let with = |other: &&&Module| reach[*module].contains(**other) && reach[**other].contains(*module);
        reach.keys().filter(with).map(|module| module.join("/")).collect()
    };
    let in_one = edges.keys().filter(|module| reach[module].contains(*module));
    in_one.map(|module| circle(&module)).collect()
}

fn of_this_crate() -> House {
    House::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn no_file_uses_another_in_a_circle() {
    let edges = of_this_crate().edges();
    assert!(edges.len() > 200, "src/ was not read");
    let left: BTreeSet<Vec<String>> =
        LEFT.iter().map(|(files, _)| files.iter().map(|file| (*file).to_owned()).collect()).collect();
    let found = circles(&edges);
    let new: Vec<String> = found
        .difference(&left)
        .map(|circle| {
            let inside = |module: &&Module| circle.contains(&module.join("/"));
            let lines = edges.iter().filter(|(module, _)| inside(module)).flat_map(|(module, used)| {
                let used = used.iter().filter(inside);
                used.map(|used| format!("    {} uses {}\n", module.join("/"), used.join("/")))
            });
            lines.collect()
        })
        .collect();
    assert!(new.is_empty(), "circles of files; move what is misplaced:\n{}", new.join("\n"));
    let mended: Vec<_> = left.difference(&found).collect();
    assert!(mended.is_empty(), "no circle any more, so not to be listed: {mended:?}");
}

/// The rooms of the map in `lib.rs` with their lines, from the top.
fn map() -> BTreeMap<String, usize> {
    let source = include_str!("lib.rs");
    let rooms = source.lines().skip_while(|line| *line != "//! | room | owns |").skip(2);
    let rows = rooms.map_while(|line| line.strip_prefix("//! | "));
    rows.zip(0..)
        .flat_map(|(row, height)| {
            let names = row.split('|').next().unwrap_or_default().replace(['[', ']', '`', ' '], "");
            names.split(',').map(|name| (name.to_owned(), height)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn rooms_use_only_what_is_below_them_in_the_map() {
    let (edges, map) = (of_this_crate().edges(), map());
    assert!(map.len() > 10, "{map:?}");
    let mut wrong = Vec::new();
    for (module, used) in &edges {
        for used in used {
            let (Some(room), Some(other)) = (module.first(), used.first()) else { continue };
            if room != other && map.get(room).zip(map.get(other)).is_none_or(|(room, other)| room > other) {
                wrong.push(format!("{} uses {}", module.join("/"), used.join("/")));
            }
        }
    }
    assert!(wrong.is_empty(), "upwards in the map of lib.rs, or not in it:\n{}", wrong.join("\n"));
}

#[test]
fn paths_and_circles_are_found() {
    let source = "use crate::a::{self, b::{C, D as E},\n    f::G};\n#[cfg(test)]\nuse crate::h::I;\n\
                  pub(super) use super::j;\nuse child::K;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
    let module: Module = vec!["x".into(), "y".into()];
    let modules = BTreeSet::from([vec!["x".into(), "y".into(), "child".into()]]);
    let paths: Vec<(bool, String)> = statements(source)
        .into_iter()
        .flat_map(|(exported, tree)| expand(&tree).into_iter().map(move |path| (exported, path)))
        .filter_map(|(exported, path)| {
            Some((exported, absolute(&module, path.split(" as ").next()?, &modules)?.join("/")))
        })
        .collect();
    let expected = ["a", "a/b/C", "a/b/D", "a/f/G"].map(|path| (false, path.to_owned()));
    assert_eq!(paths[..4], expected);
    assert_eq!(paths[4..], [(true, "x/j".to_owned()), (false, "x/y/child/K".to_owned())]);

    let file = |name: &str| vec![name.to_owned()];
    let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("e", "e")];
    let mut house: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (from, to) in edges {
        house.entry(file(from)).or_default().insert(file(to));
    }
    let found = circles(&house);
    let expected = [vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], file("e")];
    assert_eq!(found, BTreeSet::from(expected));
}
