//! The processes as the system sees them.

use crate::{ControlSocket, OnReload, Umask, macros::settings};
use std::path::PathBuf;

settings! {
    #[heading("Processes")]
    /// The processes as the system sees them.
    pub struct Process {
        /// The title of the master; workers add worker-N.
        #[option("process-name", default = None, example("shop"), common, aliases(&["name"]))]
        pub name: Option<String>,
        /// A file for the master's process id, written when all workers serve.
        #[option("pid-file", default = None, example("/run/shop/hostler.pid"), reload(OnReload::Kept), common, aliases(&["pid"]))]
        pub pid_file: Option<PathBuf>,
        /// The Unix socket on which `hostler ctl` is answered, or off. With auto it is control-PID.sock in systemd's
        /// $RUNTIME_DIRECTORY, in /run/hostler (root), in $XDG_RUNTIME_DIR/hostler, or in /tmp/hostler-UID.
        #[option("control-socket", default = ControlSocket::Auto, reload(OnReload::Kept))]
        pub control_socket: ControlSocket,
        /// The user that workers run as, by name or number; needs root.
        #[option("user", default = None, example("www-data"), common)]
        pub user: Option<String>,
        /// The group that workers run as, by name or number.
        #[option("group", default = None, example("www-data"))]
        pub group: Option<String>,
        /// The file mode creation mask of workers, in octal.
        #[option("umask", default = None, example("027"), range(0, 0o777))]
        pub umask: Option<Umask>,
    }
}
