//! Tests of the whole server, through real processes and sockets. Run them with `cargo xtask test`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adversity;
mod asgi;
mod background;
mod blocked;
mod cli;
mod connection;
mod faults;
mod forks;
mod frameworks;
mod generations;
mod goodbye;
mod handover;
mod http;
mod identity;
mod leaving;
mod lifecycle;
mod logs;
mod loops;
mod native;
mod package;
mod pressure;
mod rsgi;
mod safety;
mod service;
mod states;
mod supervision;
mod transports;
mod upgrade;
mod uploads;
mod waits;
mod websocket;
mod wsgi;
mod wsgi_adverse;
mod wsgi_waiting;
