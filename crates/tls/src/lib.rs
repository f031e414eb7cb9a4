//! TLS of the server: what is read from files, how it travels to the workers, and what rustls serves with.
//!
//! The master reads certificates, keys and authorities ([`mod@load`]): it may be root, and the workers may run as a user who
//! cannot. What it has read and checked is [`Material`], which goes to each worker together with the keys of session
//! tickets ([`Delivery`]). A worker makes its [`Sites`] of it, one for each certificate, and chooses one for each client.
//!
//! Files: `load` the options' files together, `source` one file, `staple` OCSP, `certificate` chains, `key` private keys, `clients` whose
//! certificates clients may have, `material` what travels, `site` what serves, `ticket` resumption, `name` certificates in
//! words.
//!
//! Not here: sockets and handshakes (`hostler_http`), and when files are read again (`hostler_master`).

#![forbid(unsafe_code)]

mod certificate;
mod clients;
mod key;
mod load;
mod material;
pub mod name;
mod site;
mod source;
mod staple;
mod ticket;

pub use load::{Loaded, load};
pub use material::{Delivery, Material};
pub use site::{Site, Sites};
pub use source::{Stamp, read_again, stamp};
pub use ticket::{LIFETIME as TICKET_LIFETIME, TicketKeys};
