//! `nft -j list ruleset` → rules. What is not understood becomes a condition that may hold.
//!
//! A few small readers over [`serde_json::Value`] instead of types for the whole schema: only a handful of expressions matters
//! here, and what a newer nft adds must not make the rest unreadable.

mod fields;
mod marks;

use std::collections::HashMap;

use serde_json::Value as Json;

pub(super) use self::fields::protocol;
use self::{
    fields::{field, implied, value},
    marks::set_mark,
};
use super::{
    rules::{Action, Chain, ChainId, Field, Flowtable, Hook, Match, Rule, Ruleset, Tool, Value},
    text::Texts,
};

/// Elements of named sets, by family, table and name.
type Sets<'j> = HashMap<[&'j str; 3], &'j Json>;

/// The rules of `nft -j list ruleset`; `texts`: what `nft -a list ruleset` says of the same.
///
/// # Errors
/// If it is no ruleset.
pub(super) fn parse(json: &str, texts: &Texts) -> Result<Ruleset, String> {
    let document: Json = serde_json::from_str(json).map_err(|error| format!("nft's JSON is none: {error}"))?;
    let items = document["nftables"].as_array().ok_or("nft's JSON has no ruleset")?;
    let of = |kind: &'static str| items.iter().filter_map(move |item| item.get(kind));
    let path = |item: &Json| [text(&item["family"]), text(&item["table"]), text(&item["name"])];
    let sets: Sets<'_> = of("set").map(|set| (borrowed(set), &set["elem"])).collect();
    let helpers: HashMap<[&str; 3], &str> =
        of("ct helper").map(|helper| (borrowed(helper), helper["type"].as_str().unwrap_or_default())).collect();
    let mut ruleset = Ruleset::default();
    for chain in of("chain") {
        let [family, table, name] = path(chain);
        let devices = texts.devices.get(&(family.clone(), table.clone(), name.clone())).cloned().unwrap_or_default();
        let id = ChainId { tool: Tool::Nft, family, table, name };
        ruleset.chains.insert(id, read_chain(chain, devices));
    }
    for rule in of("rule") {
        let [family, table] = [&rule["family"], &rule["table"]].map(text);
        let id = ChainId { tool: Tool::Nft, family, table, name: text(&rule["chain"]) };
        let number = rule["handle"].as_u64().unwrap_or_default();
        let reader = Reader { sets: &sets, helpers: &helpers, id: &id };
        let cases = reader.cases(rule["expr"].as_array().map_or(&[], Vec::as_slice));
        let text = texts.rules.get(&(id.family.clone(), id.table.clone(), number)).cloned().unwrap_or_default();
        if let Some(chain) = ruleset.chains.get_mut(&id) {
            let rules =
                cases.into_iter().map(|(matches, actions)| Rule { number, text: text.clone(), matches, actions });
            chain.rules.extend(rules);
        }
    }
    for table in of("flowtable") {
        let [family, parent, name] = path(table);
        let hardware = texts.offloaded.contains(&(family.clone(), parent.clone(), name.clone()));
        let devices = list(&table["dev"]).iter().map(text).collect();
        ruleset.flowtables.push(Flowtable { family, table: parent, name, devices, hardware });
    }
    Ok(ruleset)
}

fn read_chain(chain: &Json, devices: Vec<String>) -> Chain {
    let hook = match chain["hook"].as_str() {
        Some("ingress") => Some(Hook::Ingress),
        Some("prerouting") => Some(Hook::Prerouting),
        Some("forward") => Some(Hook::Forward),
        Some("postrouting") => Some(Hook::Postrouting),
        Some("output") => Some(Hook::Output),
        Some("egress") => Some(Hook::Egress),
        _ => None,
    };
    Chain {
        hook,
        priority: chain["prio"].as_i64().unwrap_or_default(),
        devices,
        policy_drops: chain["policy"] == "drop",
        rules: Vec::new(),
    }
}

type Case = (Vec<Match>, Vec<Action>);

struct Reader<'j, 'r> {
    sets: &'r Sets<'j>,
    helpers: &'r HashMap<[&'j str; 3], &'j str>,
    id: &'r ChainId,
}

impl Reader<'_, '_> {
    /// A rule is one case; with a verdict map there is one for each of its elements.
    fn cases(&self, expressions: &[Json]) -> Vec<Case> {
        let mut matches = Vec::new();
        let mut actions = Vec::new();
        for expression in expressions {
            let Some((kind, value)) = expression.as_object().and_then(|object| object.iter().next()) else { continue };
            match kind.as_str() {
                "match" => {
                    matches.extend(implied(&value["left"]));
                    matches.push(self.condition(value));
                }
                "vmap" => return self.map(value, &matches),
                // What only counts or tells.
                "counter" | "log" | "comment" | "notrack" | "last" => {}
                _ => match self.action(kind, value) {
                    Some(action) => actions.extend(action),
                    None => matches.push(Match::of(Field::Unknown, Vec::new())),
                },
            }
        }
        vec![(matches, actions)]
    }

    fn map(&self, map: &Json, before: &[Match]) -> Vec<Case> {
        let elements = list(&map["data"]["set"]);
        let case = |element: &Json| {
            let field = field(&map["key"]);
            let values = self.values(field, &element[0]);
            let (kind, value) = element[1].as_object()?.iter().next()?;
            let mut matches = before.to_vec();
            matches.extend(implied(&map["key"]));
            matches.push(Match::of(field, values));
            Some((matches, vec![self.action(kind, value)??]))
        };
        elements.iter().filter_map(case).collect()
    }

    /// `None`: it may not come to what follows, for example `limit`. An empty inner value: it does not concern us.
    fn action(&self, kind: &str, value: &Json) -> Option<Option<Action>> {
        let target = || text(&value["target"]);
        Some(Some(match kind {
            "accept" => Action::Accept,
            "drop" | "reject" => Action::Refuse,
            "return" => Action::Return,
            "jump" => Action::Jump(target()),
            "goto" => Action::Goto(target()),
            "masquerade" | "snat" => Action::SourceNat,
            "mangle" => return Some(set_mark(value)),
            "ct helper" => {
                let name = text(value);
                let key = [self.id.family.as_str(), self.id.table.as_str(), name.as_str()];
                Action::Helper(self.helpers.get(&key).map_or(name.clone(), |kind| (*kind).to_owned()))
            }
            "flow" => Action::Offload(text(&value["flowtable"])),
            "xt" if matches!(value["name"].as_str(), Some("MASQUERADE" | "SNAT" | "NETMAP")) => Action::SourceNat,
            "xt" if value["type"] == "target" || value["name"] == "comment" => return Some(None),
            "dnat" | "redirect" | "tproxy" | "dup" | "fwd" | "ct timeout" | "ct expectation" | "set" | "map" => {
                return Some(None);
            }
            _ => return None,
        }))
    }

    fn condition(&self, condition: &Json) -> Match {
        let mut field = field(&condition["left"]);
        if field == Field::Never && condition["right"] != false {
            field = Field::Unknown;
        }
        let (negated, is_compared) = match condition["op"].as_str() {
            Some("==" | "in") => (false, true),
            Some("!=") => (true, true),
            _ => (false, false),
        };
        let values = if is_compared { self.values(field, &condition["right"]) } else { vec![Value::Unknown] };
        Match { field, negated, values }
    }

    fn values(&self, field: Field, right: &Json) -> Vec<Value> {
        if let Some(set) = right.get("set") {
            return list(set).iter().flat_map(|one| self.values(field, one)).collect();
        }
        if let Some(name) = right.as_str().and_then(|name| name.strip_prefix('@')) {
            let key = [self.id.family.as_str(), self.id.table.as_str(), name];
            return match self.sets.get(&key) {
                Some(Json::Array(elements)) => elements.iter().flat_map(|one| self.values(field, one)).collect(),
                // An empty set holds nothing; one that others fill may hold anything.
                Some(_) => Vec::new(),
                None => vec![Value::Unknown],
            };
        }
        if let Some(several) = right.as_array() {
            return several.iter().flat_map(|one| self.values(field, one)).collect();
        }
        if let Some(element) = right.get("elem") {
            return self.values(field, &element["val"]);
        }
        vec![value(field, right).unwrap_or(Value::Unknown)]
    }
}

pub(super) fn list(value: &Json) -> &[Json] {
    match value {
        Json::Array(list) => list,
        Json::Null => &[],
        one => std::slice::from_ref(one),
    }
}

fn borrowed(item: &Json) -> [&str; 3] {
    ["family", "table", "name"].map(|key| item[key].as_str().unwrap_or_default())
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
