//! `docs/conformance.md` and `docs/testing.md` name tests: each name must be one of a test, or of a module with tests, and each
//! requirement must have its row.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What has to have a row: what Thulium needs, and the RFCs' requirements of a NAT.
const REQUIREMENTS: &str = "T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 \
    4787-1 4787-2 4787-3 4787-3a 4787-5 4787-6 4787-8 4787-9 4787-10 4787-11 4787-12 4787-13 4787-14 \
    5382-1 5382-2 5382-4 5382-5 5382-7 5382-8 5382-10 5508-1 5508-3 5508-4 5508-6 5508-8 4884 7857 6888-4 6888-8";

/// The folders with tests: what the documents call their tests, and where their sources are.
const SOURCES: [(&str, &str); 4] = [
    ("netns", "tests/tests/netns"),
    ("object", "tests/tests/object"),
    ("thulium-ebpf: ", "thulium-ebpf/src"),
    ("thulium-ctl: ", "thulium-ctl/src"),
];

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn document(name: &str) -> String {
    fs::read_to_string(workspace("docs").join(name)).unwrap()
}

/// The path of every test of the workspace, as the documents write it.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, folder) in SOURCES {
        collect(&workspace(folder), name, &mut found);
    }
    found
}

/// Adds the tests in the files of a folder, which is the module `module`.
fn collect(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.is_dir() {
            collect(&path, &inside(module, name), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_root = matches!(name, "main" | "mod" | "lib");
            let module = if is_root { module.to_owned() } else { inside(module, name) };
            read(&fs::read_to_string(&path).unwrap(), &module, found);
        }
    }
}

/// The path of `name` in `module`; a crate's own is `crate: `.
fn inside(module: &str, name: &str) -> String {
    let separator = if module.ends_with(": ") { "" } else { "::" };
    format!("{module}{separator}{name}")
}

/// Adds the tests of a source file.
fn read(source: &str, module: &str, found: &mut BTreeSet<String>) {
    let (mut module, mut is_test) = (module.to_owned(), false);
    for line in source.lines().map(str::trim) {
        if line == "mod tests {" {
            // It stands at the end of its file.
            module = inside(&module, "tests");
        } else if matches!(line, "#[test]" | "#[tokio::test]") {
            is_test = true;
        } else if let Some(rest) = line.trim_start_matches("async ").strip_prefix("fn ").filter(|_| is_test) {
            found.insert(inside(&module, rest.split('(').next().unwrap()));
            is_test = false;
        }
    }
}

/// What a text has between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The tests that a row of a table names. `…::name` is one in the module of the test before it.
fn named(row: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in quoted(row) {
        if let Some(rest) = name.strip_prefix("…::") {
            let before = names.last().unwrap_or_else(|| panic!("{name} follows no test: {row}"));
            let module = before.rsplit_once("::").unwrap().0;
            names.push(inside(module, rest));
        } else if SOURCES.iter().any(|(source, _)| name.starts_with(&inside(source, ""))) {
            names.push(name.to_owned());
        } else {
            assert!(!name.contains('…'), "{name} has to be written in full: {row}");
        }
    }
    names
}

/// True if `name` is a test, or a module with tests, which may be written with `::*`.
fn exists(name: &str, tests: &BTreeSet<String>) -> bool {
    let inside = format!("{}::", name.trim_end_matches("::*"));
    tests.contains(name) || tests.iter().any(|test| test.starts_with(&inside))
}

/// The cells of the tables' rows, without those of their heads.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let lines = document.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| test |"));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn every_test_that_the_documents_name_exists() {
    let tests = tests();
    assert!(tests.len() > 500, "the sources were not found: {}", tests.len());
    let documents = [document("conformance.md"), document("testing.md")];
    let lines = documents.iter().flat_map(|document| document.lines()).filter(|line| line.starts_with('|'));
    let wrong: Vec<String> = lines.flat_map(named).filter(|name| !exists(name, &tests)).collect();
    assert!(wrong.is_empty(), "no such tests: {wrong:#?}");
}

#[test]
fn every_requirement_has_a_row_with_a_test_or_a_reason() {
    let document = document("conformance.md");
    let rows = rows(&document);
    let present: BTreeSet<String> = rows.iter().flat_map(|row| ids(row[0])).collect();
    let missing: Vec<_> = REQUIREMENTS.split_whitespace().filter(|id| !present.contains(*id)).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    for row in rows {
        let proof = row.last().unwrap();
        assert!(proof.contains('`') || proof.starts_with("out of scope: "), "neither test nor reason: {row:?}");
    }
}

/// The requirements of a row's first cell: `4787-3a, -4` are two of one RFC.
fn ids(cell: &str) -> Vec<String> {
    let (mut ids, mut rfc) = (Vec::new(), "");
    for id in cell.split(", ") {
        if let Some(number) = id.strip_prefix('-') {
            ids.push(format!("{rfc}-{number}"));
        } else {
            rfc = id.split('-').next().unwrap();
            ids.push(id.to_owned());
        }
    }
    ids
}
