//! What no version of Python changes: the master, the sockets, the configuration, the log, HTTP/1.1 itself, supervision.
//! `cargo xtask test` runs these on the newest Python only.
//!
//! A test belongs here if no other Python could make it fail. What runs code of the application, the extension, a loop
//! or the mold belongs into `each_python`; when in doubt, too.

mod access_lines;
mod access_log;
mod access_pipes;
mod access_truth;
mod balance;
mod behind_proxies;
mod check;
mod clients;
mod command_line;
mod companions;
mod compress;
mod control;
mod documents;
mod end_of_listening;
mod error_lines;
mod guides;
mod handover;
mod heartbeat;
mod http;
mod http2;
mod inherited_signals;
mod limits;
mod listeners;
mod logs;
mod master;
mod native;
mod native_bodies;
mod native_observer;
mod native_upgrades;
mod number_of_workers;
mod observer;
mod observer_metrics;
mod peers;
mod pid1;
mod pid_file;
mod proxy_protocol;
mod recycle;
mod refused_requests;
mod reload;
mod request_ids;
mod resource_limits;
mod response_headers;
mod scaling;
mod service_manager;
mod states;
mod static_files;
mod strictness;
mod task_engines;
mod task_limits;
mod task_ray;
mod task_sight;
mod terminal;
mod tls;
mod typing;
mod upgrade;
