//! What belongs to one request: its body, its record while it is in flight, why it is refused, and what runs
//! on after its response.

pub(crate) mod added;
pub(crate) mod background;
pub(crate) mod body;
pub(crate) mod id;
pub(crate) mod record;
pub(crate) mod refusal;
pub(crate) mod session;
pub(crate) mod trace;
mod trailers;
