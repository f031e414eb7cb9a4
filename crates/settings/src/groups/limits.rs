//! How much clients may ask for.

use crate::{ByteSize, Commas, UrlPath, macros::settings};
use std::time::Duration;

settings! {
    #[heading("Limits")]
    /// Limits of connections and requests.
    pub struct Limits {
        /// The longest request line, in bytes without its end; the response to a longer one is 414. 0 is unlimited, but for
        /// --http1-buffer-size, and 65,534 bytes of the target.
        #[option("limit-request-line", default = ByteSize::kib(32), range(0, 65_535))]
        pub request_line: ByteSize,
        /// The largest header of a request, name and value, in bytes; the response to a larger one is 431. 0 is unlimited, but
        /// for --http1-buffer-size.
        #[option(
            "limit-request-field-size", default = ByteSize::kib(64), range(0, 1 << 30),
            aliases(&["limit-request-field_size"])
        )]
        pub request_field: ByteSize,
        /// The largest body of a request; the response to a larger one is 413, at once if its length is announced. 0 is
        /// unlimited.
        #[option("limit-request-body", default = ByteSize(1 << 30), range(0, 1 << 50), aliases(&["max-body-size"]))]
        pub request_body: ByteSize,
        /// Connections per worker, idle ones among them, before it stops accepting; other workers accept, or connections wait
        /// in the kernel. Unset, it is nine tenths of the descriptors that a process may open.
        #[option("backpressure", default = None, example("1000"), range(1, 1_000_000), aliases(&["worker-connections"]))]
        pub connections: Option<usize>,
        /// Requests per worker that the application works on at a time; more wait in a queue. Idle connections do not count.
        #[option("limit-concurrency", default = None, example("100"), range(1, 1_000_000), common)]
        pub concurrency: Option<usize>,
        /// Requests per worker that wait while --limit-concurrency is reached; the response to more is 503.
        #[option("limit-queue", default = 1024, range(0, 1_000_000))]
        pub queue: usize,
        /// How long a request may wait while --limit-concurrency is reached, before the response is 503. With that option, requests
        /// that have waited longer in the kernel, behind handlers that block the loop, get 503 too (over TCP).
        #[option("queue-timeout", default = Duration::from_secs(10), range(0, 3_600))]
        pub queue_timeout: Duration,
        /// A path for which one request is let through though --limit-concurrency is reached: that of health checks;
        /// several are separated by commas, or given one by one.
        #[option("health-path", default = Commas(Vec::new()), example("/health"))]
        pub health_paths: Commas<UrlPath>,
    }
}
