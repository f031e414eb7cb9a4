//! HTTP/2 (RFC 9113): what no interface and no version of Python changes.

mod clients;
mod conformance;
mod endings;
mod files;
mod idle;
mod limits;
mod native;
mod replacement;
mod requests;
mod rules;
mod versions;

use hostler_testkit::Server;

fn serve() -> Server {
    Server::app("asgi_app:app").option("workers", 1).start()
}
