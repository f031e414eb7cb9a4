//! Compressed responses.

use crate::{ByteSize, macros::settings};

settings! {
    #[heading("Compression")]
    /// Which responses are compressed, and how much.
    pub struct Compress {
        /// Compress responses of text and the like with zstd, br or gzip, whichever the client prefers. What the application
        /// has compressed, event streams and ranges pass as they are.
        #[option("compress", default = false, common)]
        pub enabled: bool,
        /// How hard to try, from 1 (fast) to 9 (small). Unset, it is 3 for zstd, 4 for br and 5 for gzip.
        #[option("compress-level", default = None, example("5"), range(1, 9))]
        pub level: Option<u8>,
        /// The smallest response that is compressed, in bytes; one whose length is not known is in any case.
        #[option("compress-min-size", default = ByteSize::kib(1), range(0, 1 << 30))]
        pub min_size: ByteSize,
    }
}
