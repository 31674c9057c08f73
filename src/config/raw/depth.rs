//! Refuses names of very many parts before parsing: each part is a nested table, and the tree that the parser would build
//! for `a.a.a.…` is too deep to be walked and dropped on a thread's stack.

use std::ops::Range;

use crate::tree::document::unquoted;

/// Field names have at most three parts: `store.main.tls`.
pub(super) const MOST_PARTS: usize = 8;

/// The offset of a name with more than [`MOST_PARTS`] parts, if there is one.
pub(super) fn too_deep(text: &str) -> Option<Range<usize>> {
    let (mut dots, mut begin) = (0, 0);
    for (at, byte) in unquoted(text) {
        match byte {
            b'.' => {
                dots += 1;
                if dots >= MOST_PARTS {
                    return Some(begin..at + 1);
                }
            }
            b'\n' | b'=' | b',' | b'{' | b'}' | b'[' | b']' => {
                dots = 0;
                begin = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::too_deep;

    #[test]
    fn dots_of_names_count_and_those_of_strings_and_comments_do_not() {
        let dots = "a.".repeat(5000);
        for fine in [
            "a.b.c.d.e.f.g.h = 1".to_owned(),
            format!("x = \"{dots}\" # {dots}\ny = '{dots}'"),
            format!("x = \"\\\"{dots}\""),
            format!("x = '''\n{dots}''''' # {dots}\n"),
            format!("x = \"\"\"{dots}\n\"\" {dots}\"\"\""),
            "x = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5]".to_owned(),
        ] {
            assert_eq!(too_deep(&fine), None, "{fine:.60}");
        }
        for deep in
            [format!("{dots}a = 1"), format!("[x]\n[[ {dots}a ]]"), format!("x = {{ \"a\" . {dots}a = 1 }}")]
        {
            assert!(too_deep(&deep).is_some(), "{deep:.60}");
        }
    }
}
