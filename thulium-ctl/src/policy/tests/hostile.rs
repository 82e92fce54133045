//! YAML that means harm ends in an error. The sizes are such that reading which expands or recurses would not end.

use std::fmt::Write;

use proptest::prelude::*;

use super::{SMALLEST, wrong};
use crate::policy::{MAX_BYTES, describe, load, parse};

#[test]
fn an_alias_bomb_does_not_go_off() {
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..64 {
        let below = level - 1;
        writeln!(bomb, "a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}]").expect("to write");
    }
    let errors = wrong(bomb);
    assert!(errors.contains("an anchor (`&name`) is not allowed"), "{errors}");
    assert!(errors.contains("an alias (`*name`) is not allowed"), "{errors}");
}

#[test]
fn an_alias_of_itself_is_refused() {
    assert!(wrong("system: &a [*a]").contains("an anchor"));
}

#[test]
fn an_alias_without_anchor_is_refused() {
    assert!(wrong("system: *nobody").contains("policy.yaml:1:9"));
}

#[test]
fn a_file_of_ten_megabytes_is_refused_by_its_size() {
    let huge = "# nothing\n".repeat(MAX_BYTES);
    assert!(wrong(&huge).contains("larger than 1 MiB"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), huge).expect("to write");
    assert!(load(file.path()).expect_err("an error").to_string().contains("larger than 1 MiB"));
}

#[test]
fn a_file_without_end_is_refused() {
    assert!(load("/dev/zero".as_ref()).expect_err("an error").to_string().contains("larger than 1 MiB"));
}

#[test]
fn deep_nesting_is_refused() {
    for open in ["[", "{a: ", "- ", "? ", "[{"] {
        let errors = wrong(open.repeat(MAX_BYTES / open.len()));
        assert!(errors.contains("nested deeper than 32 levels") || errors.contains("not well-formed"), "{errors}");
    }
    let indented = (0..1000).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>();
    assert!(wrong(indented).contains("nested deeper than 32 levels"));
}

#[test]
fn large_files_of_one_kind_end_in_errors() {
    for piece in
        ["a: b\n", "a", "\"", "'", "? ", ": ", "&a ", "*a ", "!a ", "| ", "- a\n", "---\n", "%\n", "#", "\t", "\u{85}"]
    {
        wrong(piece.repeat((MAX_BYTES - 64) / piece.len()));
    }
    let items = "x.example,".repeat(MAX_BYTES / 16);
    wrong(format!("{SMALLEST}hosts: {{ thulium: {{ names: [{items}] }} }}"));
    let keys = (0..MAX_BYTES / 16).map(|n| format!("k{n}: 1\n")).collect::<String>();
    wrong(keys);
}

#[test]
fn bytes_that_are_no_utf8_are_refused_at_their_place() {
    let errors = wrong(b"system: acme\nlan: \xff\xfe\n");
    assert!(errors.starts_with("policy.yaml:2:6: error: a byte that is not UTF-8"), "{errors}");
    wrong(b"\xff\xfes\x00y\x00");
    wrong(b"\0\0\0\0");
}

#[test]
fn nothing_at_all_is_no_policy() {
    for text in ["", "\n\n", "# nothing\n", "---\n", "~", "\u{feff}"] {
        assert!(wrong(text).contains("the file is empty"), "{text:?}");
    }
}

#[test]
fn what_is_said_twice_in_other_words_is_a_duplicate() {
    let errors = wrong(format!("{SMALLEST}\"system\": other\n"));
    assert!(errors.contains("policy.yaml:4:1: error: the key `system` is given twice, first in line 1, column 1"));
}

proptest! {
    /// Whatever is done to a policy, it ends in a meaning or in errors that can be shown.
    #[test]
    fn a_damaged_policy_is_read_or_refused(edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, ".{0,4}"), 1..6)) {
        let mut text = include_str!("../../../../policies/thulium.yaml").chars().collect::<Vec<_>>();
        for (at, remove, insert) in edits {
            let at = at.index(text.len());
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
            prop_assume!(!text.is_empty());
        }
        let text = text.into_iter().collect::<String>();
        let shown = match parse("policy.yaml", text.as_bytes()) {
            Ok(policy) => describe(&policy),
            Err(errors) => errors.to_string(),
        };
        prop_assert!(!shown.is_empty());
    }
}
