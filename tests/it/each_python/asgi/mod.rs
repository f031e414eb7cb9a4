//! ASGI 3 over HTTP. WebSockets: `websocket/`; uploads that break: `uploads.rs`; `receive` in several tasks: `waits.rs`.

mod disconnects;
mod errors;
mod lifespan;
mod requests;
mod responses;

use hostler_testkit::Server;

pub(crate) fn serve() -> Server {
    Server::app("asgi_app:app").start()
}
