//! What no version of Python changes: the master, the sockets, the configuration, the log, HTTP/1.1 itself, supervision.
//! `cargo xtask test` runs these on the newest Python only.
//!
//! A test belongs here if no other Python could make it fail. What runs code of the application, the extension, a loop
//! or the mold belongs into `each_python`; when in doubt, too.

mod balance;
mod command_line;
mod companions;
mod documents;
mod end_of_listening;
mod handover;
mod heartbeat;
mod http;
mod inherited_signals;
mod listeners;
mod logs;
mod master;
mod native;
mod number_of_workers;
mod pid1;
mod pid_file;
mod recycle;
mod reload;
mod resource_limits;
mod service_manager;
mod states;
mod terminal;
mod typing;
mod upgrade;
