//! The policy's host names, and the addresses they lead to.
//!
//! * [`AddressBook`]: what is known of every name. Pure: time and answers are passed in.
//! * [`Lookup`]: asks the resolvers for the addresses of one name in one family. The families are asked for by themselves: a
//!   resolver that never answers for one does not hold up the other.
//! * [`Resolver`]: asks for every name again and again, writes the answers into the book, keeps them on disk and publishes a
//!   [`Snapshot`] whenever the book changed.
//!
//! * [`Lesson`]: what a DNS reply to a client says of a name. The datapath has acted on it already; the book remembers it.
//!
//! Nothing is ever lost by a failure: a dead resolver, SERVFAIL, NXDOMAIN or an empty answer leaves the addresses as they
//! are. An address that a good answer no longer names still admits new sessions for the host's `keep_old`; one that a reply to a
//! client named does so for `keep_old` after the reply's TTL. After that it is remembered as expired for a week.

mod book;
mod clock;
mod lookup;
mod memory;
mod outcome;
mod owners;
mod refusal;
mod reply;
mod report;
mod resolver;
mod schedule;
mod sighting;
mod state;
mod trusted;

pub use book::{AddressBook, Answer, Entry};
pub use clock::Clock;
pub(crate) use clock::unix_seconds;
pub use lookup::{Lookup, Servers, SystemFiles};
pub use owners::{Owners, is_wildcard};
pub use reply::Lesson;
pub use report::{AddressReport, AddressSource, AddressState, HostReport, NameReport, RefusedAnswer};
pub use resolver::{FIRST_ROUND, Resolver, Snapshot};
pub use schedule::Pace;
pub use state::{NAMES_FILE, SavedAddress, SavedNames};
pub use trusted::trusted;
