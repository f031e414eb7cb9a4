//! Sockets: listeners ([`socket`]), handshakes ([`handshakes`]) and open connections ([`stream`]).

pub mod handshakes;
pub mod socket;
pub mod stream;
