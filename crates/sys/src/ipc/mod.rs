//! Messages between processes of a server: bytes with descriptors ([`message`]), typed ones ([`channel`]), and descriptors with names ([`bundle`]).

pub mod bundle;
pub mod channel;
pub mod message;
