//! `nft -a list ruleset`: what its JSON does not say, and the rules as the admin knows them.

use std::collections::{HashMap, HashSet};

/// Family, table and name.
type Path = (String, String, String);

/// What the text says.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The text of rules, by family, table and handle.
    pub(super) rules: HashMap<(String, String, u64), String>,
    /// The interfaces of chains at `ingress` or `egress`.
    pub(super) devices: HashMap<Path, Vec<String>>,
    /// Flowtables that the hardware forwards.
    pub(super) offloaded: HashSet<Path>,
}

impl Texts {
    /// Reads the text, block by block.
    pub(super) fn parse(text: &str) -> Self {
        let mut texts = Self::default();
        let (mut family, mut table, mut block) = (String::new(), String::new(), (String::new(), String::new()));
        for line in text.lines().map(str::trim) {
            let (body, handle) = match line.rsplit_once(" # handle ") {
                Some((body, handle)) => (body, handle.trim().parse::<u64>().ok()),
                None => (line, None),
            };
            let words: Vec<&str> = body.split_whitespace().collect();
            match words.as_slice() {
                ["table", of, name, "{"] => (family, table) = ((*of).to_owned(), (*name).to_owned()),
                [kind @ ("chain" | "flowtable" | "set" | "map"), name, "{"] => {
                    block = ((*kind).to_owned(), (*name).to_owned());
                }
                _ => {
                    let path = || (family.clone(), table.clone(), block.1.clone());
                    if let (Some(handle), "chain") = (handle, block.0.as_str()) {
                        texts.rules.insert((family.clone(), table.clone(), handle), body.to_owned());
                    } else if body.starts_with("type ") && block.0 == "chain" {
                        texts.devices.insert(path(), devices(body));
                    } else if body.starts_with("flags offload") && block.0 == "flowtable" {
                        texts.offloaded.insert(path());
                    }
                }
            }
        }
        texts
    }
}

/// The interfaces in `type filter hook egress devices = { "a", "b" } priority 0; policy accept;`.
fn devices(line: &str) -> Vec<String> {
    let Some((_, rest)) = line.split_once(" device") else { return Vec::new() };
    let names = rest.split(" priority").next().unwrap_or_default();
    let words = names.split(|c: char| c.is_whitespace() || "{},=\"".contains(c));
    words.filter(|word| !word.is_empty() && *word != "s").map(str::to_owned).collect()
}
