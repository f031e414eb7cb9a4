//! The control socket: what `hostler ctl` does and says (`commands`), where the socket is and whose (`places`), clients that
//! misbehave (`clients`), configurations that are programs (`rereading`), what is told of a server that serves on (`status`).

mod clients;
mod commands;
mod places;
mod rereading;
mod status;

use hostler_testkit::{Builder, LIMIT, Server, directory, hostler};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// A path for a control socket of a test of this name.
fn socket(name: &str) -> PathBuf {
    directory(name).join("control.sock")
}

/// A server with its control socket there.
fn controlled(builder: Builder, socket: &Path) -> Builder {
    builder.option("control-socket", socket.display())
}

fn command(socket: &Path, line: &str) -> Command {
    let mut command = Command::new(hostler());
    command.arg("ctl").args(line.split_ascii_whitespace()).arg("--socket").arg(socket);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What `hostler ctl` printed, and its exit code.
fn told(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn ctl(socket: &Path, line: &str) -> (Option<i32>, String) {
    told(&command(socket, line).output().unwrap())
}

/// Asks, and expects that it is done.
fn done(server: &Server, socket: &Path, line: &str) -> String {
    let (code, text) = ctl(socket, line);
    assert_eq!(code, Some(0), "{line}: {text}\n{}", server.log());
    text
}

/// As [`done`], for what programs read.
fn result(server: &Server, socket: &Path, line: &str) -> Value {
    let reply: Value = serde_json::from_str(&done(server, socket, &format!("{line} --json"))).unwrap();
    assert_eq!(reply["reply"], "done", "{reply}");
    reply["result"].clone()
}

fn begin(socket: &Path, line: &str) -> Child {
    command(socket, line).spawn().unwrap()
}

fn end(child: Child) -> (Option<i32>, String) {
    told(&child.wait_with_output().unwrap())
}

/// A client of the socket, line by line.
struct Client {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Client {
    fn new(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self { lines: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// The next reply; `None` at the end of the connection.
    fn reply(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            read => (read.unwrap() > 0).then(|| serde_json::from_str(&line).unwrap()),
        }
    }

    fn ask(&mut self, mut request: Value) -> Value {
        request["version"] = json!(1);
        self.send(format!("{request}\n"));
        self.reply().unwrap()
    }

    /// That the server serves this client.
    fn is_served(&mut self) {
        let reply = self.ask(json!({"command": "log-level"}));
        // Tests are run at this level.
        assert_eq!(reply["result"]["level"], "debug", "{reply}");
    }
}
