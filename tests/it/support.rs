//! What the tests of several files need and what knows the applications of `tests/apps`. What knows the server itself, its
//! processes and its log is the crate `hostler_testkit`.

use hostler_testkit::{Builder, Conn, Load, Outcome, Server, directory, hostler, python, root};
use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
};
use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Output},
    thread::sleep,
    time::Duration,
};

/// Beyond its own work no request waits longer than this while workers are replaced. A request that waits for
/// an import of `IMPORT` would be far above it; the margin is for machines with few processors.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);

const IMPORT: &str = "2";

pub(crate) fn slow_import() -> hostler_testkit::Builder {
    Server::app("supervised:app").option("workers", 1).env("IMPORT_SECONDS", IMPORT)
}

pub(crate) fn load_on(server: &Server) -> Load {
    Load::start(server.address.expect("it listens"), "/pid", 4)
}

pub(crate) fn nothing_lost(outcome: &Outcome) {
    assert_eq!(outcome.failures, Vec::<String>::new(), "of {} requests", outcome.answered);
    assert!(outcome.slowest < PATIENCE, "{outcome:?}");
    assert!(outcome.answered > 100, "{outcome:?}");
}

pub(crate) fn nothing_failed(outcome: &Outcome) {
    assert_eq!(outcome.failures, Vec::<String>::new(), "of {} requests", outcome.answered);
}

/// A directory with a configuration file and a file that controls the import: `serve`, `hang` or `fail`.
pub(crate) struct Place {
    pub(crate) config: PathBuf,
    pub(crate) state: PathBuf,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let dir = directory(name);
        let place = Self { config: dir.join("hostler.toml"), state: dir.join("state") };
        fs::write(&place.config, "").unwrap();
        fs::write(&place.state, "serve").unwrap();
        place
    }

    pub(crate) fn app(&self) -> Builder {
        Server::app("hanging:app")
            .option("config", self.config.display())
            .option("port", 0)
            .env("STATE_FILE", self.state.to_str().unwrap())
    }
}

/// Starts what has its number of workers from the configuration.
pub(crate) fn start(builder: Builder, workers: usize) -> (Server, SocketAddr) {
    let server = builder.launch();
    server.wait_for("worker ready", workers);
    let address = server.logged_address().unwrap();
    (server, address)
}

/// A fresh directory with an application that reports its version.
pub(crate) fn workspace(name: &str) -> PathBuf {
    let dir = root().join("target/tmp").join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("changing.py"), application(1)).unwrap();
    fs::write(dir.join("env"), "VALUE=one\n").unwrap();
    dir
}

pub(crate) fn application(version: u32) -> String {
    // Of a different length each time: Python recognises stale bytecode by size, and by time in seconds.
    let padding = "#".repeat(version as usize);
    format!(
        "{padding}\nimport os\n\nasync def app(scope, receive, send):\n    assert scope['type'] == 'http'\n    \
         text = f\"code {version} VALUE={{os.environ.get('VALUE')}}\"\n    \
         await send({{'type': 'http.response.start', 'status': 200, 'headers': []}})\n    \
         await send({{'type': 'http.response.body', 'body': text.encode()}})\n"
    )
}

/// Expects a start to fail with this exit code and these words, with one message.
pub(crate) fn refused(server: Builder, code: i32, words: &[&str]) -> String {
    let (status, log) = server.option("port", 0).fail();
    assert_eq!(status, Some(code), "{log}");
    for word in words {
        assert!(log.contains(word), "{word:?} is missing in:\n{log}");
    }
    assert_eq!(log.matches("error: ").count(), 1, "more than one message:\n{log}");
    log
}

/// More than the buffers of both kernels take.
pub(crate) const LARGE: usize = 12_000_000;

/// Longer than a connection is idle before it is parked.
pub(crate) const LONG: Duration = Duration::from_millis(1600);

pub(crate) fn connections(interface: &str) -> Builder {
    Server::app(&format!("connections:{interface}")).option("interface", interface)
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n")
}

/// Closes with a reset.
pub(crate) fn reset(conn: Conn) {
    let stream = conn.into_stream();
    setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
}

/// Whether these are the bytes that `/bytes` answers with.
pub(crate) fn is_pattern(body: &[u8]) -> bool {
    body.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251)
}

/// Reads little of the response to `/bytes?n=LARGE`, calls `meanwhile`, then reads the rest.
pub(crate) fn reads_slowly(server: &Server, path: &str, meanwhile: impl FnOnce(&Server)) {
    let mut conn = server.connect();
    conn.send(get(path));
    // Most of it waits in the server from here on. The test is that the client reads nothing for a while.
    sleep(LONG);
    meanwhile(server);
    let reply = conn.reply().unwrap_or_else(|error| panic!("{path}: {error}\n{}", server.log()));
    assert_eq!(reply.body.len(), LARGE);
    assert!(is_pattern(&reply.body));
}

/// Sends a body that looks like requests to a handler that responds without reading it.
pub(crate) fn body_is_no_request(server: &Server, early: bool, name: &str) {
    let body = get("/smuggled").repeat(3000);
    let mut conn = server.connect();
    conn.send(format!("POST /early HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n", body.len()));
    if !early {
        conn.send(&body);
    }
    assert_eq!(conn.reply().unwrap().status, 200, "{name}");
    // The server has had time to take the body for a request.
    sleep(LONG);
    if early {
        // The connection may be closed by now.
        let _ = conn.clone_stream().write_all(body.as_bytes());
    }
    conn.finish();
    let rest = conn.to_end().unwrap_or_default();
    assert!(rest.is_empty(), "{name}: {}", String::from_utf8_lossy(&rest));
}

pub(crate) fn succeeds(arguments: &[&str]) -> String {
    let output = run(arguments);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

fn run(arguments: &[&str]) -> Output {
    let tests = root().join("tests/python");
    let mut command = Command::new(python());
    command.args(arguments).current_dir(tests).env("PYTHONPATH", root().join("crates/python/python"));
    command.env("HOSTLER", hostler()).output().unwrap()
}
