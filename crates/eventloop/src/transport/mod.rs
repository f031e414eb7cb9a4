//! `SocketTransport`: asyncio's transport for connected stream sockets, TCP and Unix.
//!
//! [`state`] is the transport's state, which all others change and none calls back. tokio watches the descriptor for as
//! long as the transport lives; one task of the runtime per transport ([`task`]) reads what arrives ([`read`]) and sends
//! what the kernel did not take at once ([`flush`]). What was written ([`mod@write`]) is sent by the loop's driver at the
//! end of its turn. The protocol is told by [`read`] what arrives, by [`backpressure`] when to pause, and by [`lost`] of the end,
//! which [`close`] and [`errors`] bring about. The task keeps the transport alive until the connection is lost, as a
//! reader registered with CPython's selector does.
//!
//! The Python half is `_Transport` in python/hostler/_loop.py: what runs once per connection or only when
//! something fails. Behaviour follows `asyncio.selector_events._SelectorSocketTransport`. TLS is CPython's
//! sslproto on top of this; datagrams and pipes stay CPython's too.

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
