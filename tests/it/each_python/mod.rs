//! What every version of Python is tested with: interfaces, loops, frameworks, forks, stalls and memory. `cargo xtask test`
//! runs these on each Python that is found.
//!
//! What no version of Python changes is in `any_python`.

mod asgi;
mod background;
mod blocked;
mod crashes;
mod debugging;
mod development;
mod forks;
mod frameworks;
mod http2;
mod identity;
mod loops;
mod memory;
mod preload;
mod processes;
mod proxies;
mod reload;
mod rsgi;
mod signals;
mod slow_clients;
mod stalls;
mod start_up;
mod stop;
mod tasks;
mod testing;
mod tls;
mod uploads;
mod waits;
mod websocket;
mod wsgi;
