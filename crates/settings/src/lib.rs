//! The options: each is a typed field of one of the structs below, declared once.
//!
//! A field has a type that knows its unit, a default, a doc comment that is its help, and attributes such as a range
//! ([`Declaration`]). From the declarations `hostler_config` makes the command line, the environment's names, TOML, help,
//! man page, completions, schema and reference. [`Settings`] is also what travels to the mold and the workers, and
//! where a native server starts from.
//!
//! Files: `declaration` what an option declares, `macros` how a struct becomes declarations, `value` and the types
//! beside it how values are read and written, `groups` the options themselves.
//!
//! Not here: where a value was set, and which values exclude each other (`hostler_config`).

#![forbid(unsafe_code)]

mod choices;
mod companion;
mod declaration;
mod duration;
mod groups;
mod host;
mod log_target;
mod macros;
mod mount;
mod pattern;
mod peer;
mod place;
mod quantity;
mod value;
mod variable;
pub mod words;

pub use choices::{
    Accept, Colour, EventLoop, HeaderMap, HttpVersion, Immutable, Interface, LogFormat, LogLevel, Preload,
    ProxyProtocol, RuntimeMode, Shell, SyslogFacility, SyslogFormat, TaskEngine, TaskImplementation,
    TlsVersion,
};
pub use companion::{
    Companion, CompanionListen, CompanionReload, Output, Ready, Restart, SERVER, SignalName, WORKERS,
};
pub use declaration::{Declaration, Effect, OnReload, Rules, Shape, Unit};
pub use groups::{
    Application, AutoReload, Companions, Compress, Compression, Http, Http2, Limits, Listen, Log, Metrics,
    Process, Program, Proxy, RAY_CLUSTER, Responses, Runtime, StaticFiles, Supervision, Tasks, Tls, Tracing,
    WebSocket, Wsgi,
};
pub use host::HostPattern;
pub use log_target::LogTarget;
pub use mount::{HeaderLine, StaticMount};
pub use pattern::{Glob, NamePattern};
pub use peer::{FieldName, ForwardedHeader, Peer};
pub use place::{Bind, ControlSocket, FileMode, PathPrefix, Umask, UrlPath};
pub use quantity::{ByteSize, Percent, WorkerCount};
pub use value::{BadValue, Commas, OptionValue, switch};
pub use variable::EnvVariable;

macros::groups! {
    /// All options, in groups.
    pub struct Settings {
        /// The application and how to call it.
        pub app: Application,
        /// Where to listen.
        pub listen: Listen,
        /// How many workers there are, their deadlines, and when they are recycled.
        pub supervision: Supervision,
        /// The task queue, and the workers that run tasks.
        pub tasks: Tasks,
        /// Programs that run beside the workers.
        pub companions: Companions,
        /// What is inside a worker.
        pub runtime: Runtime,
        /// HTTP connections.
        pub http: Http,
        /// Limits of connections and requests.
        pub limits: Limits,
        /// HTTP/2.
        pub http2: Http2,
        /// Proxies in front of the server.
        pub proxy: Proxy,
        /// What responses have beside what the application says.
        pub responses: Responses,
        /// Compressed responses.
        pub compress: Compress,
        /// WebSocket connections.
        pub websocket: WebSocket,
        /// WSGI applications.
        pub wsgi: Wsgi,
        /// Log lines.
        pub log: Log,
        /// What identifies a request across servers.
        pub tracing: Tracing,
        /// The processes as the system sees them.
        pub process: Process,
        /// TLS.
        pub tls: Tls,
        /// Static files.
        pub static_files: StaticFiles,
        /// What operators are shown, and where.
        pub metrics: Metrics,
        /// Reloads when files change.
        pub auto_reload: AutoReload,
        /// What the program reads and prints.
        pub program: Program,
    }
}
