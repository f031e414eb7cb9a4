//! What the program reads and prints; on the command line only, save `HOSTLER_CONFIG`.

use crate::{Shell, macros::settings};
use std::path::PathBuf;

settings! {
    #[heading("Program")]
    /// What the program reads and prints.
    pub struct Program {
        /// A TOML file with any of these options.
        #[option("config", default = None, common)]
        pub config: Option<PathBuf>,
        /// Print every option, its value and where it was set, for reading (it is no TOML), and exit: with 0 if the
        /// configuration can be used, otherwise as the start would.
        #[option("print-config", default = false, argv_only, common)]
        pub print_config: bool,
        /// Print completions for a shell and exit.
        #[option("print-completions", default = None, argv_only)]
        pub print_completions: Option<Shell>,
        /// Print the man page and exit.
        #[option("print-man", default = false, argv_only)]
        pub print_man: bool,
        /// Print the JSON schema of the TOML file and exit.
        #[option("print-schema", default = false, argv_only, hidden)]
        pub print_schema: bool,
        /// Print docs/CONFIGURATION.md and exit.
        #[option("print-reference", default = false, argv_only, hidden)]
        pub print_reference: bool,
        /// Print docs/COMING_FROM.md and exit.
        #[option("print-peers", default = false, argv_only, hidden)]
        pub print_peers: bool,
        /// Print config/hostler.toml and exit.
        #[option("print-sample", default = false, argv_only, hidden)]
        pub print_sample: bool,
    }
}
