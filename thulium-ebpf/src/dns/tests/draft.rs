//! Messages in the making, wrong ones too.

/// Where the question's name stands in every message: what a pointer to it says.
pub(super) const ASKED: [u8; 2] = [0xc0, 12];

/// Types of records.
pub(super) const A: u16 = 1;
pub(super) const CNAME: u16 = 5;
pub(super) const AAAA: u16 = 28;
pub(super) const RRSIG: u16 = 46;

/// The number of every query in these tests.
pub(super) const ID: u16 = 0x1234;

/// A name, written out.
pub(super) fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

/// A message, as bytes.
#[derive(Clone)]
pub(super) struct Draft(pub(super) Vec<u8>);

impl Draft {
    /// A reply without answers to the question for records of a type.
    pub(super) fn reply(asked: &str, kind: u16) -> Self {
        Self::new(0x8180, asked, kind)
    }

    /// The query for records of a type.
    pub(super) fn query(asked: &str, kind: u16) -> Self {
        Self::new(0x0100, asked, kind)
    }

    fn new(flags: u16, asked: &str, kind: u16) -> Self {
        let header = [ID, flags, 1, 0, 0, 0];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(name(asked));
        bytes.extend([kind.to_be_bytes(), [0, 1]].concat());
        Self(bytes)
    }

    /// With a word of the header changed.
    pub(super) fn word(mut self, at: usize, word: u16) -> Self {
        self.0[2 * at..2 * at + 2].copy_from_slice(&word.to_be_bytes());
        self
    }

    /// With a record of the Internet in its answers.
    pub(super) fn record(mut self, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Self {
        self.0.extend(owner);
        self.0.extend([kind.to_be_bytes(), [0, 1]].concat());
        self.0.extend(ttl.to_be_bytes());
        self.0.extend((data.len() as u16).to_be_bytes());
        self.0.extend(data);
        let answers = u16::from_be_bytes([self.0[6], self.0[7]]) + 1;
        self.word(3, answers)
    }

    /// With the address 203.0.113.`last` of `owner`.
    pub(super) fn a(self, owner: &[u8], last: u8) -> Self {
        self.record(owner, A, 60, &[203, 0, 113, last])
    }

    /// With an alias of `owner`.
    pub(super) fn alias(self, owner: &[u8], target: &[u8]) -> Self {
        self.record(owner, CNAME, 60, target)
    }

    /// With EDNS in its additional section (RFC 6891).
    pub(super) fn edns(mut self) -> Self {
        self.0.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        self.word(5, 1)
    }

    /// Offset of what is added next.
    pub(super) fn end(&self) -> usize {
        self.0.len()
    }
}
