//! What belongs to one request: its body, its record while it is in flight, and what runs on after its response.

pub(crate) mod background;
pub(crate) mod body;
pub(crate) mod record;
