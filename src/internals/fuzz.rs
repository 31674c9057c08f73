//! The fuzz targets: every parser of text from outside, with what must hold for any bytes.
//!
//! `fuzz/` runs them guided by coverage (`cargo fuzz`). The tests below mutate the seeds of `fuzz/` on any toolchain: a few
//! hundred inputs each, or for `TWITCHER_FUZZ_SECONDS`.

/// Watch files.
pub fn watch_file(bytes: &[u8]) {
    crate::config::fuzz::watch_file(bytes);
}

/// `twitcher.conf` and `local.conf`.
pub fn settings(bytes: &[u8]) {
    crate::config::fuzz::settings(bytes);
}

/// Ledgers.
pub fn ledger(bytes: &[u8]) {
    crate::ledger::fuzz::journal(bytes);
}

/// Documents in JSON, YAML and TOML.
pub fn documents(bytes: &[u8]) {
    crate::tree::document::fuzz::documents(bytes);
}

/// States on an action's standard input.
pub fn stdin(bytes: &[u8]) {
    crate::tree::document::fuzz::stdin(bytes);
}

/// Keys of etcd.
pub fn etcd_keys(bytes: &[u8]) {
    crate::store::etcd::fuzz::keys(bytes, crate::tree::place::key_read);
}

/// Requests and answers on the control socket.
pub fn control(bytes: &[u8]) {
    crate::control::fuzz::messages(bytes);
}

/// Old Python configurations.
#[cfg(feature = "convert")]
pub fn convert(bytes: &[u8]) {
    let converted = crate::convert::convert("a.py", &String::from_utf8_lossy(bytes));
    assert!(converted.expect("the parser's thread ends well").toml.ends_with('\n'));
}

/// The formats of the log.
pub fn log(bytes: &[u8]) {
    crate::log::fuzz::formats(bytes);
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;
    use std::time::{Duration, Instant};

    use fastrand::Rng;

    /// Inputs of each target in a short run.
    const FEW: usize = 300;
    /// The longest input that is made.
    const LONGEST: usize = 8 << 10;
    /// A target that takes longer for one input has a fault: for inputs of this size, a hundredth of it is enough.
    const SLOW: Duration = Duration::from_secs(20);

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let mut paths: Vec<_> = std::fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} is empty", directory.display());
        paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// A seed, changed in one to eight places.
    fn mutated(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[rng.usize(..seeds.len())].clone();
        for _ in 0..rng.usize(1..=8) {
            let at = rng.usize(..=bytes.len());
            let length = rng.usize(0..=16).min(bytes.len() - at);
            match rng.u8(..8) {
                0 if !bytes.is_empty() => bytes[at.min(length)] ^= 1 << rng.u8(..8),
                1 => bytes.insert(at, rng.u8(..)),
                2 => drop(bytes.drain(at..at + length)),
                // Repeat a piece, up to 64 times, so that something nests deeply.
                3 => {
                    let piece = bytes[at..at + length].repeat(rng.usize(1..=64));
                    bytes.splice(at..at, piece);
                }
                4 => bytes.truncate(at),
                5 => {
                    let other = &seeds[rng.usize(..seeds.len())];
                    let from = rng.usize(..=other.len());
                    bytes.splice(at.., other[from..].iter().copied());
                }
                6 => {
                    let words: [&[u8]; 16] = [
                        b"\0",
                        b"\n",
                        b"\r\n",
                        b"\\",
                        b"\"",
                        b"'",
                        b"[[",
                        b"{",
                        b"\xff",
                        "\u{2028}".as_bytes(),
                        b"18446744073709551616",
                        b"-1",
                        b"1e999",
                        b"null",
                        b"&a *a",
                        "\u{feff}".as_bytes(),
                    ];
                    bytes.splice(at..at, words[rng.usize(..words.len())].iter().copied());
                }
                _ => {
                    let other = rng.usize(..=bytes.len());
                    let piece = bytes[at..at + length].to_vec();
                    bytes.splice(other..other, piece);
                }
            }
            bytes.truncate(LONGEST);
        }
        bytes
    }

    fn fuzz(name: &str, target: fn(&[u8])) {
        let seeds = seeds(name);
        let seconds = std::env::var("TWITCHER_FUZZ_SECONDS").ok().map(|text| text.parse::<u64>().unwrap());
        // A long run begins elsewhere each time; a short one is always the same.
        let seed = if seconds.is_some() { fastrand::u64(..) } else { 20_100_401 };
        let (mut rng, began) = (Rng::with_seed(seed), Instant::now());
        let mut count = 0;
        let run = |bytes: &[u8]| {
            let before = Instant::now();
            let ended = catch_unwind(AssertUnwindSafe(|| target(bytes)));
            assert!(ended.is_ok(), "{name} fails on b\"{}\"", bytes.escape_ascii());
            assert!(
                before.elapsed() < SLOW,
                "{name} takes {:?} on b\"{}\"",
                before.elapsed(),
                bytes.escape_ascii()
            );
        };
        for seed in &seeds {
            run(seed);
        }
        while seconds.map_or(count < FEW, |seconds| began.elapsed() < Duration::from_secs(seconds)) {
            run(&mutated(&mut rng, &seeds));
            count += 1;
        }
        println!("{name}: {count} inputs from {} seeds", seeds.len());
    }

    #[test]
    fn fuzz_watch_file() {
        fuzz("watch_file", super::watch_file);
    }

    #[test]
    fn fuzz_settings() {
        fuzz("settings", super::settings);
    }

    #[test]
    fn fuzz_ledger() {
        fuzz("ledger", super::ledger);
    }

    #[test]
    fn fuzz_documents() {
        fuzz("documents", super::documents);
    }

    #[test]
    fn fuzz_stdin() {
        fuzz("stdin", super::stdin);
    }

    #[test]
    fn fuzz_etcd_keys() {
        fuzz("etcd_keys", super::etcd_keys);
    }

    #[test]
    fn fuzz_control() {
        fuzz("control", super::control);
    }

    #[cfg(feature = "convert")]
    #[test]
    fn fuzz_convert() {
        fuzz("convert", super::convert);
    }

    #[test]
    fn fuzz_log() {
        fuzz("log", super::log);
    }

    /// Every directory of seeds has a target in `fuzz/`.
    #[test]
    fn every_target_can_be_driven_with_coverage() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let manifest = std::fs::read_to_string(top.join("Cargo.toml")).unwrap();
        for entry in std::fs::read_dir(top.join("seeds")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
            let driver = std::fs::read_to_string(top.join(format!("fuzz_targets/{name}.rs"))).unwrap();
            assert!(driver.contains(&format!("fuzz::{name}(")), "{name}");
        }
    }
}
