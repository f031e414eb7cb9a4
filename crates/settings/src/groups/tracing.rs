//! What identifies a request across servers.

use crate::macros::settings;

settings! {
    #[heading("Request ids and traces")]
    /// Ids of requests, and W3C's trace context.
    pub struct Tracing {
        /// The request header that carries a request's id, such as X-Request-ID. A well-formed id of a trusted client is kept,
        /// other requests get one; the application, the access log and the server's log have it. Headers that mean something
        /// already, such as Content-Length and Authorization, cannot carry it. Unset, ids of requests are in the log alone.
        #[option("request-id-header", default = None, example("X-Request-ID"))]
        pub request_id_header: Option<String>,
        /// Send the request's id back to the client, in the header of the same name.
        #[option("request-id-response", default = false)]
        pub request_id_response: bool,
        /// Give requests without a valid traceparent header (W3C Trace Context) one.
        #[option("make-traceparent", default = false)]
        pub make_traceparent: bool,
    }
}
