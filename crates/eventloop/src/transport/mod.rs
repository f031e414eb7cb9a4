//! `SocketTransport`: asyncio's transport for connected stream sockets, TCP and Unix.
//!
//! [`state`] owns the state; the other files change it, and it calls none of them. tokio watches the descriptor as
//! long as the transport lives. One task per transport ([`task`]) reads what arrives ([`read`]) and sends what the
//! socket did not take at once ([`flush`]). What is written ([`mod@write`]) is flushed by the loop's driver at the
//! end of its turn. Three files call the protocol: [`read`] with data, [`backpressure`] to pause and resume writing,
//! [`lost`] at the end, which [`close`] and [`errors`] schedule. The task keeps the transport alive until then, as a
//! reader registered with CPython's selector does.
//!
//! The Python half is `_Transport` in python/hostler/_loop.py: what runs once per connection or only when something
//! fails. Behaviour follows `asyncio.selector_events._SelectorSocketTransport`. TLS is CPython's sslproto on top of
//! this; datagrams and pipes are CPython's, too.

mod backpressure;
mod close;
mod context;
mod data;
mod empty_waiter;
mod errors;
mod flow;
mod flush;
mod lost;
mod methods;
mod queue;
mod read;
mod receive;
mod receiver;
mod socket;
mod state;
mod task;
mod write;

pub(crate) use flush::flush_held;
pub use state::SocketTransport;
