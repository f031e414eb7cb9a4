//! Tests of the whole server, through real processes and sockets. Run them with `cargo xtask test`.

mod asgi;
mod cli;
mod frameworks;
mod http;
mod lifecycle;
mod native;
mod wsgi;
