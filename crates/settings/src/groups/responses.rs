//! What responses have beside what the application says.

use crate::{HeaderLine, macros::settings};

settings! {
    #[heading("Responses")]
    /// What responses have beside what the application says.
    pub struct Responses {
        /// A header of all responses, as NAME:VALUE, files and errors of the server included; repeatable. A response that has a header
        /// of this name keeps its own.
        #[option("response-header", default = Vec::new(), example("X-Frame-Options: DENY"), aliases(&["header"]))]
        pub headers: Vec<HeaderLine>,
    }
}
