//! HTTP/1.1 (RFC 9112): what no interface and no version of Python changes.

pub(super) mod endings;
mod pipelining;
mod requests;

use hostler_testkit::Server;

fn serve() -> Server {
    Server::app("asgi_app:app").start()
}
