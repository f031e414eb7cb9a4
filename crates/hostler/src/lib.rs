//! A pre-fork application server for [tower] services, such as axum routers: a master process binds the sockets, forks
//! workers, and keeps them alive. Each worker serves on one thread, and all accept from the same sockets.
//!
//! ```rust,standalone_crate
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/client.rs"));
//! use hostler::{Request, Response, Server};
//! use std::{convert::Infallible, process::ExitCode};
//! use tower::service_fn;
//!
//! fn main() -> Result<ExitCode, hostler::Error> {
//!     let address = "127.0.0.1:8000";
//! #   let address = client::expects("/", "hello");
//!     Server::new().bind(address).workers(2).serve(|| {
//!         service_fn(|_: Request| async { Ok::<_, Infallible>(Response::new("hello".to_owned())) })
//!     })
//! }
//! ```
//!
//! With axum, the closure returns the router:
//!
//! ```rust,standalone_crate
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/client.rs"));
//! use axum::{Router, extract::Path, routing::get};
//! use std::{process::ExitCode, time::Duration};
//!
//! fn main() -> Result<ExitCode, hostler::Error> {
//!     let address = "127.0.0.1:8000";
//! #   let address = client::expects("/hello/world", "hello world");
//!     hostler::Server::new()
//!         .bind(address)
//!         .workers(4)
//!         .request_timeout(Duration::from_secs(30))
//!         .max_requests(100_000)
//!         .serve(|| {
//!             Router::new().route("/hello/{name}", get(async |Path(name): Path<String>| format!("hello {name}")))
//!         })
//! }
//! ```
//!
//! # Processes
//!
//! [`Server::serve`] makes the calling process the **master** and returns when the server has stopped.
//!
//! 1. The master binds the addresses, or inherits them from the master that it replaces. An address that cannot be bound
//!    is an [`Error`]; no process has been forked then.
//! 2. It forks a **worker** for each slot. The worker runs the closure given to `serve`, inside a current-thread tokio
//!    runtime (a `LocalRuntime`: `tokio::task::spawn_local` works), and serves what the closure returns.
//! 3. A worker that exits, crashes, is stuck ([`Server::stall_timeout`]) or exceeds a limit ([`Server::workers_lifetime`],
//!    [`Server::max_requests`], [`Server::workers_max_rss`]) is replaced by a new fork of the master. The closure runs
//!    again, in the new worker.
//!
//! **The master is forked, so it must have one thread**: `main` must not start threads or a runtime before `serve`, nor
//! call libraries that do (exporters of metrics, connection pools, `#[tokio::main]`). No worker is forked while there are
//! other threads: the master logs that, and tries again. Start them in the closure: it runs in each worker.
//!
//! What `main` allocates before `serve` is shared by all workers copy-on-write, such as large read-only tables. Files and
//! sockets that `main` opens are shared as well, including their offsets: open connections to databases in the closure.
//!
//! # Signals
//!
//! To the master, as with Gunicorn:
//!
//! | signal | effect |
//! |---|---|
//! | `SIGTERM` | stops gracefully: requests in flight have [`Server::graceful_timeout`] to finish |
//! | `SIGINT`, `SIGQUIT` | stops quickly: requests in flight are cut, companions have their time; a second one ends those, too |
//! | `SIGHUP` | replaces all workers; the old ones drain when all new ones serve |
//! | `SIGUSR2` | starts the program again, from its path, as a new master that inherits the sockets; the old one drains when the new one serves |
//! | `SIGTTIN`, `SIGTTOU` | one worker more, one less |
//!
//! # Metrics, health and status
//!
//! [`Server::admin`] gives operators an address with a dashboard, `/metrics` for Prometheus, `/status.json`, and the probes
//! `/livez`, `/readyz` and `/startupz`. A process of its own serves it, the observer, which answers while all workers are blocked. It is
//! a fork of the master, too: what `main` holds is shared with it, and its own memory is some MB. `hostler ctl` and `hostler top` show
//! and control a native server as any other ([`Server::control_socket`]).
//!
//! # Errors
//!
//! | what fails | what happens |
//! |---|---|
//! | an address, the log | `serve` returns an [`Error`] |
//! | a worker cannot start: a panic in the closure, no memory | the master logs it and exits with code 3 if it was starting; afterwards it tries again, with growing delays |
//! | a service returns an error | it is logged, and the connection is closed without a response |
//! | a body fails, or is not as long as its Content-Length says | it is logged, and the connection is closed before the response is whole, in HTTP/2 its stream is reset; where the head shows it already, there is no response |
//! | a service panics | the connection is closed without a response; the worker keeps serving |
//! | a service takes longer than [`Server::request_timeout`] | its future is dropped, the response is a 504 |
//!
//! The [`ExitCode`](std::process::ExitCode) that `serve` returns is 0 after a stop by a signal, 3 if the workers could not
//! start, and 1 for other failures.
//!
//! # What is served
//!
//! HTTP/1.1, HTTP/1.0 and HTTP/2 over TCP and TLS, checked strictly by RFC 9112 and RFC 9113, with keep-alive, pipelining,
//! streams in both directions and `Expect: 100-continue`. Linux only.
//!
//! # WebSockets, and other protocols that follow a request
//!
//! axum's `WebSocketUpgrade` works as it does under `axum::serve`, and so does `hyper::upgrade::on`: a request that asks for
//! another protocol (`Upgrade` in HTTP/1.1, extended CONNECT for WebSockets in HTTP/2, RFC 8441) has hyper's `OnUpgrade` among its
//! extensions, which is ready when the response has been sent, a 101 in HTTP/1.1, one of success in HTTP/2. Take both with
//! `axum::routing::any`. What is read and written may be so by any thread.
//!
//! ```rust,standalone_crate
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/client.rs"));
//! use axum::{Router, extract::ws::{WebSocket, WebSocketUpgrade}, routing::any};
//! use std::process::ExitCode;
//!
//! async fn echo(mut socket: WebSocket) {
//!     loop {
//!         tokio::select! {
//!             Some(Ok(message)) = socket.recv() => if socket.send(message).await.is_err() { break },
//!             () = hostler::worker_ends() => break,
//!             else => break,
//!         }
//!     }
//! }
//!
//! fn main() -> Result<ExitCode, hostler::Error> {
//!     let address = "127.0.0.1:8000";
//! #   let address = client::expects("/", "hello");
//!     hostler::Server::new().bind(address).serve(|| {
//!         Router::new()
//!             .route("/echo", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
//! #           .route("/", any(async || "hello"))
//!     })
//! }
//! ```
//!
//! Such a connection has no time limit but that a client which reads nothing for 30 s is closed. It has its line in the access log
//! when it ends. A worker that stops or is replaced waits for it: [`worker_ends`] tells the service when it should say goodbye. A
//! service that does not has the end of its input five seconds later, and can write no more; when [`Server::graceful_timeout`]
//! is over, the connection is cut.
//!
//! The crate has no features. The crates `hostler-*` are its parts, whose interfaces may change with any version.
//!
//! [tower]: https://docs.rs/tower

#![forbid(unsafe_code)]

mod observer;
mod server;

pub use hostler_http::{
    BodyError, ClientCertificate, ConnectionInfo, Forwarded, PeerAddress, RequestBody, Scheme, TlsInfo,
    TlsProtocol, worker_ends,
};
pub use hostler_settings::{LogFormat, LogLevel, ProxyProtocol};
pub use server::{Error, Server};

/// A request as a service gets it. Its extensions hold a [`ConnectionInfo`].
///
/// ```
/// use hostler::{ConnectionInfo, Request};
///
/// fn is_local(request: &Request) -> bool {
///     let info = request.extensions().get::<ConnectionInfo>();
///     matches!(info.map(|info| &info.peer), Some(hostler::PeerAddress::Tcp(peer)) if peer.ip().is_loopback())
/// }
/// ```
pub type Request = http::Request<RequestBody>;
/// A response as a service returns it.
pub type Response<B> = http::Response<B>;
