//! YAML as a tree whose every node knows its place.
//!
//! Of YAML a policy uses mappings, lists and scalars. Anchors, aliases, tags, merge keys, several documents and deep
//! nesting are refused here, before anything is expanded: a policy is plain enough to be read by an auditor.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::error::{Place, Report, quote};

/// Levels of nesting; a policy needs five.
const MAX_DEPTH: usize = 32;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// No value, as in `key:`.
    Empty,
    /// Text. What it means (a number, a duration, …) is up to whoever reads it.
    Scalar(String),
    /// Items.
    List(Vec<Node>),
    /// Keys and values, in the order of the file, no key twice.
    Map(Vec<(Key, Node)>),
    /// Was refused; the error is in the report already.
    Refused,
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) name: String,
}

/// Reads the one document of a text. `None`: there is none, or it is broken and the report says how.
pub(super) fn read(text: &str, report: &mut Report) -> Option<Node> {
    let mut reader = Reader { parser: Parser::new_from_str(text), text, report };
    reader.document().ok().flatten()
}

/// Reading cannot go on; the report says why.
struct Stop;

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    report: &'a mut Report,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) if root.is_some() => {
                    self.report.error(place(span), "a second document begins here", "keep one policy in one file");
                    return Err(Stop);
                }
                Event::DocumentStart(_) => {
                    let (event, span) = self.next()?;
                    let node = self.node(event, span, 1)?;
                    root = (!matches!(node.kind, Kind::Empty)).then_some(node);
                }
                _ => return Err(Stop),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                self.broken(&error);
                Err(Stop)
            }
            None => Err(Stop),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Stop> {
        let place = place(span);
        if depth > MAX_DEPTH {
            self.report.error(place, format!("nested deeper than {MAX_DEPTH} levels"), "a policy needs five levels");
            return Err(Stop);
        }
        let mut plain = true;
        if let Event::Scalar(_, _, anchor, tag) = &event {
            plain = self.refuse_features(place, *anchor, tag.is_some());
        }
        if let Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) = &event {
            plain = self.refuse_features(place, *anchor, tag.is_some());
        }
        let kind = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if matches!(&*text, "" | "~" | "null") => Kind::Empty,
            Event::Scalar(text, ..) => Kind::Scalar(text.into_owned()),
            Event::SequenceStart(..) => Kind::List(self.list(depth)?),
            Event::MappingStart(..) => Kind::Map(self.map(depth)?),
            Event::Alias(_) => {
                self.report.error(place, "an alias (`*name`) is not allowed in a policy", "write the value out");
                Kind::Refused
            }
            _ => return Err(Stop),
        };
        Ok(Node { place, kind: if plain { kind } else { Kind::Refused } })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Stop> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, Stop> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen: HashMap<String, Place> = HashMap::new();
        loop {
            let (event, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                other => other,
            };
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let Some(name) = self.key(&key) else { continue };
            if let Some(first) = seen.get(&name) {
                let message = format!("the key {} is given twice, first in {first}", quote(&name));
                self.report.error(key.place, message, "keep one of the two");
                continue;
            }
            seen.insert(name.clone(), key.place);
            entries.push((Key { place: key.place, name }, value));
        }
    }

    /// The name of a key, unless it is none that a policy can have.
    fn key(&mut self, key: &Node) -> Option<String> {
        match &key.kind {
            Kind::Scalar(name) if name == "<<" => {
                self.report.error(key.place, "a merge key (`<<`) is not allowed in a policy", "write the keys out");
                None
            }
            Kind::Scalar(name) => Some(name.clone()),
            Kind::Refused => None,
            Kind::Empty => {
                self.report.error(key.place, "a key is missing before the colon", "write `key: value`");
                None
            }
            Kind::List(_) | Kind::Map(_) => {
                let help = "write `key: value`; put text with braces or brackets in quotes: \"{system}.thulium.com\"";
                self.report.error(key.place, "a list or a mapping cannot be a key", help);
                None
            }
        }
    }

    /// Whether a value has neither anchor nor tag.
    fn refuse_features(&mut self, place: Place, anchor: usize, tag: bool) -> bool {
        if anchor != 0 {
            self.report.error(place, "an anchor (`&name`) is not allowed in a policy", "write the value out");
        }
        if tag {
            self.report.error(place, "a tag (`!name`) is not allowed in a policy", "write the value without it");
        }
        anchor == 0 && !tag
    }

    /// The YAML itself is wrong: the parser's words, and the remedy for what is wrong most often.
    fn broken(&mut self, error: &ScanError) {
        let mark = error.marker();
        let place = Place { line: mark.line().max(1), column: mark.col() + 1, length: 1 };
        let line = self.text.lines().nth(place.line - 1).unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        let help = if line[..indent].contains('\t') {
            "indent with spaces; YAML forbids tabs"
        } else if line.contains("{system}") && !line.contains("\"{system}") && !line.contains("'{system}") {
            "put text that begins with a brace in quotes: \"{system}.thulium.com\""
        } else if line.get(place.column - 1..).is_some_and(|rest| rest.starts_with('*')) {
            "put text that begins with a `*` in quotes: \"*.thulium.com\""
        } else {
            "check the indentation, the colons, and that brackets, braces and quotes are closed, here and just above"
        };
        self.report.error(place, format!("this is not well-formed YAML: {}", error.info()), help);
    }
}

fn place(span: Span) -> Place {
    let length = if span.start.line() == span.end.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
    Place { line: span.start.line(), column: span.start.col() + 1, length: length.max(1) }
}
