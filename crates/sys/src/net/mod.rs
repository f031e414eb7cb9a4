//! Sockets: listeners ([`socket`]) and open connections ([`stream`]).

pub mod socket;
pub mod stream;
