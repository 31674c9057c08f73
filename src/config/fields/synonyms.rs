//! Names that other programs have for a field: no spelling mistakes, so that no likeness finds them. Never accepted.

use super::Field;

/// What people write, and the field that they mean; of each table only the fields that it has.
const SYNONYMS: &[(&str, &str)] = &[
    ("command", "action"),
    ("cmd", "action"),
    ("exec", "action"),
    ("run", "action"),
    ("program", "action"),
    ("shell", "action"),
    ("user", "uid"),
    ("user", "username"),
    ("run_as", "uid"),
    ("group", "gid"),
    ("path", "key"),
    ("node", "key"),
    ("prefix", "key"),
    ("directory", "cwd"),
    ("dir", "cwd"),
    ("workdir", "cwd"),
    ("working_directory", "cwd"),
    ("environment", "env"),
    ("type", "watch_type"),
    ("mode", "run_mode"),
    ("debounce", "settle"),
    ("delay", "settle"),
    ("jitter", "splay"),
    ("retry", "retries"),
    ("signal", "notify_signal"),
    ("stdin", "pipe_stdin"),
    ("lock", "mutex"),
    ("time_limit", "timeout"),
    ("endpoints", "url"),
    ("servers", "url"),
    ("hosts", "url"),
    ("address", "url"),
    ("ca_file", "ca"),
    ("cacert", "ca"),
    ("cert_file", "cert"),
    ("key_file", "key"),
    ("hostname", "host"),
];

/// The field that a name means which another program has for it.
pub fn synonym(given: &str, fields: &'static [Field]) -> Option<&'static Field> {
    let given = given.to_lowercase();
    let mut meant = SYNONYMS.iter().filter(|(other, _)| *other == given);
    meant.find_map(|(_, name)| fields.iter().find(|field| field.name == *name))
}

#[cfg(test)]
mod tests {
    use super::super::{DAEMON, LOCAL, STORE, TLS, WATCH};
    use super::*;

    #[test]
    fn every_synonym_means_a_field_and_is_none_itself() {
        for (other, name) in SYNONYMS {
            let tables = [WATCH, DAEMON, STORE, TLS, LOCAL];
            let having = |table: &&[Field]| table.iter().any(|field| field.name == *name);
            assert!(tables.iter().any(having), "{name}");
            for table in tables.iter().filter(|table| having(table)) {
                assert!(table.iter().all(|field| !field.is_called(other)), "{other}");
            }
        }
        assert_eq!(synonym("user", WATCH).unwrap().name, "uid");
        assert_eq!(synonym("user", STORE).unwrap().name, "username");
        assert_eq!(synonym("Command", WATCH).unwrap().name, "action");
        assert_eq!(synonym("command", STORE), None);
    }
}
