//! Text that no person would write: nothing may panic or overflow.

use super::{load, printed, said_of_settings};
use crate::config::raw::document::MOST_PROBLEMS;

#[test]
fn a_file_full_of_problems_is_cut() {
    let text = "a".repeat(3).replace('a', "[[watch]]\nx1 = 1\nx2 = 1\nx3 = 1\n").repeat(30);
    let problems = load(&text).1;
    assert!(problems.len() <= MOST_PROBLEMS + 200 && printed(&problems).contains("more problems"));
}

#[test]
fn deep_nesting_is_refused_and_overflows_no_stack() {
    for text in [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(500_000)),
        format!("[[{}a]]", "a.".repeat(500_000)),
        format!("[watch]\n{}a = 1\n[watch]\n", "a . ".repeat(200_000)),
        format!("a = {}", "{ a.a.a.a.a.a.a.a = ".repeat(79)),
    ] {
        assert!(load(&text).0.is_empty());
        assert!(!load(&text).1.is_empty(), "{text:.40}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,300}") {
        load(&text);
        said_of_settings(&text);
    }

    #[test]
    fn no_text_that_looks_like_a_file_makes_it_panic(
        lines in proptest::collection::vec("(\\[\\[?|\"|'|)?(watch|key|action|env|limits|store|tls|url|name|uid|x)(\\.[a-z]|\\]\\]?|\"|'|) ?(=|\\]\\]|) ?(\"/a\"|-?[0-9]{1,3}|\\[|\\{ ?a = |'''|\"\"\"|true|\\}|#|nan|\"5s\"|)", 0..12)
    ) {
        let text = lines.join("\n");
        load(&text);
        said_of_settings(&text);
    }
}
