//! Options of features that do not exist yet. They are checked; a group moves to its own file when it takes effect.

use super::YEAR;
use crate::{ByteSize, TlsVersion, Unit, macros::settings};
use std::{path::PathBuf, time::Duration};

const TLS: &str = "TLS is not served yet: terminate TLS at a proxy, and bind to loopback or a Unix socket";
const STATIC: &str = "static files are not served yet: let a proxy serve them, or the application";
const METRICS: &str = "there is no metrics endpoint yet";

settings! {
    #[heading("HTTP/2")]
    /// HTTP/2 connections.
    #[derive(Copy)]
    pub struct Http2 {
        /// HTTP/2: adapt windows.
        #[option("http2-adaptive-window", default = false, later)]
        pub adaptive_window: bool,
        /// HTTP/2: window of a connection.
        #[option("http2-initial-connection-window-size", default = ByteSize::mib(1), range(1024, 1 << 31), later)]
        pub initial_connection_window_size: ByteSize,
        /// HTTP/2: window of a stream.
        #[option("http2-initial-stream-window-size", default = ByteSize::mib(1), range(1024, 1 << 31), later)]
        pub initial_stream_window_size: ByteSize,
        /// HTTP/2: interval of pings.
        #[option("http2-keep-alive-interval", default = None, unit(Unit::Milliseconds), range(1, 60_000), later)]
        pub keep_alive_interval: Option<Duration>,
        /// HTTP/2: how long a ping may stay unanswered.
        #[option("http2-keep-alive-timeout", default = Duration::from_secs(20), range(1, 60), later)]
        pub keep_alive_timeout: Duration,
        /// HTTP/2: streams of a connection.
        #[option("http2-max-concurrent-streams", default = 200, range(10, 1 << 31), later)]
        pub max_concurrent_streams: u32,
        /// HTTP/2: largest frame.
        #[option("http2-max-frame-size", default = ByteSize::kib(16), range(1024, 1 << 24), later)]
        pub max_frame_size: ByteSize,
        /// HTTP/2: largest header list.
        #[option("http2-max-headers-size", default = ByteSize::mib(16), range(1, 1 << 31), later)]
        pub max_headers_size: ByteSize,
        /// HTTP/2: write buffer of a stream.
        #[option("http2-max-send-buffer-size", default = ByteSize::kib(400), range(1024, 1 << 31), later)]
        pub max_send_buffer_size: ByteSize,
    }
}

settings! {
    #[heading("TLS")]
    /// TLS.
    pub struct Tls {
        /// TLS: the certificate's file.
        #[option("ssl-certificate", default = None, refused(TLS))]
        pub certificate: Option<PathBuf>,
        /// TLS: the key's file.
        #[option("ssl-keyfile", default = None, refused(TLS))]
        pub keyfile: Option<PathBuf>,
        /// TLS: the key's password.
        #[option("ssl-keyfile-password", default = None, refused(TLS))]
        pub keyfile_password: Option<String>,
        /// TLS: the oldest version.
        #[option("ssl-protocol-min", default = TlsVersion::Tls13, refused(TLS))]
        pub protocol_min: TlsVersion,
        /// TLS: the authority of client certificates.
        #[option("ssl-ca", default = None, refused(TLS))]
        pub ca: Option<PathBuf>,
        /// TLS: revoked client certificates.
        #[option("ssl-crl", default = Vec::new(), refused(TLS))]
        pub crl: Vec<PathBuf>,
        /// TLS: ask for client certificates.
        #[option("ssl-client-verify", default = false, refused(TLS))]
        pub client_verify: bool,
    }
}

settings! {
    #[heading("Static files")]
    /// Static files.
    pub struct StaticFiles {
        /// Static files: the URL's path.
        #[option("static-path-route", default = vec!["/static".into()], refused(STATIC))]
        pub route: Vec<String>,
        /// Static files: the directory.
        #[option("static-path-mount", default = Vec::new(), refused(STATIC))]
        pub mount: Vec<PathBuf>,
        /// Static files: the index's name.
        #[option("static-path-dir-to-file", default = None, refused(STATIC))]
        pub dir_to_file: Option<String>,
        /// Static files: how long they may be cached.
        #[option("static-path-expires", default = Duration::from_secs(86_400), range(0, YEAR), refused(STATIC))]
        pub expires: Duration,
    }
}

settings! {
    #[heading("Metrics")]
    /// Metrics.
    pub struct Metrics {
        /// Serve metrics.
        #[option("metrics", default = false, refused(METRICS))]
        pub enabled: bool,
        /// Metrics: how often they are gathered.
        #[option("metrics-scrape-interval", default = Duration::from_secs(15), range(1, 60), later)]
        pub scrape_interval: Duration,
        /// Metrics: the address.
        #[option("metrics-address", default = "127.0.0.1".into(), later)]
        pub address: String,
        /// Metrics: the port.
        #[option("metrics-port", default = 9090, range(1, 65_535), later)]
        pub port: u16,
    }
}

settings! {
    #[heading("Reload")]
    /// Reloads when files change.
    pub struct AutoReload {
        /// Reload when files change.
        #[option("reload", default = false, later)]
        pub enabled: bool,
        /// Reload: where to look.
        #[option("reload-paths", default = Vec::new(), later)]
        pub paths: Vec<PathBuf>,
        /// Reload: directories to ignore.
        #[option("reload-ignore-dirs", default = Vec::new(), later)]
        pub ignore_dirs: Vec<String>,
        /// Reload: patterns to ignore.
        #[option("reload-ignore-patterns", default = Vec::new(), later)]
        pub ignore_patterns: Vec<String>,
        /// Reload: paths to ignore.
        #[option("reload-ignore-paths", default = Vec::new(), later)]
        pub ignore_paths: Vec<PathBuf>,
        /// Reload: how often to look.
        #[option("reload-tick", default = Duration::from_millis(50), unit(Unit::Milliseconds), range(50, 5_000), later)]
        pub tick: Duration,
        /// Reload: go on after a failure.
        #[option("reload-ignore-worker-failure", default = false, later)]
        pub ignore_worker_failure: bool,
    }
}
