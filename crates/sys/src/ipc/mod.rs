//! Messages between processes of a server: bytes with descriptors ([`message`]), and typed ones ([`channel`]).

pub mod channel;
pub mod message;
