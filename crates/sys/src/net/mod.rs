//! Sockets: listeners ([`socket`]; whose they are: [`listening`]), handshakes ([`handshakes`]) and open connections ([`stream`]).

pub mod control;
pub mod handshakes;
pub mod listening;
pub mod socket;
pub mod stream;
