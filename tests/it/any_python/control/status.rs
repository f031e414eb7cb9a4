//! What `hostler ctl` tells of a server that serves on: its status, its workers, where their threads are; and `hostler top`.

use super::{controlled, ctl, done, result, socket};
use crate::support::get;
use hostler_testkit::{LIMIT, Load, Server, hostler, line_of, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Write},
    num::NonZero,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

#[test]
fn status_and_workers_are_those_of_the_observer() {
    let path = socket("ctl-status");
    let server = controlled(Server::app("supervised:app"), &path).start();
    assert_eq!(server.connect().get("/pid").status, 200);
    let mut waits = server.connect();
    waits.send(get("/wait/20"));
    let status = || result(&server, &path, "status");
    let handled = || result(&server, &path, "workers").to_string().contains("/wait/20");
    wait_until("the request in flight", || handled() && status()["traffic"]["in_flight"] == 1);
    let now = status();
    assert_eq!(
        (&now["server"]["pid"], &now["server"]["state"]),
        (&server.master().into(), &"serving".into())
    );
    assert_eq!(now["traffic"]["requests_by_status"]["2xx"], 1, "{now}");
    let text = done(&server, &path, "status");
    assert!(text.contains("workers      2 of 2 serve\n") && text.contains("1 in flight"), "{text}");
    let workers = result(&server, &path, "workers");
    let listed = workers["workers"].as_array().unwrap();
    let pids: BTreeSet<i64> = listed.iter().map(|worker| worker["pid"].as_i64().unwrap()).collect();
    assert_eq!(pids, server.workers().iter().map(|pid| i64::from(*pid)).collect());
    assert!(workers["workers"][0]["memory_bytes"].as_u64() > Some(1 << 20), "{workers}");
    let text = done(&server, &path, "workers");
    assert!(text.contains("serving") && text.contains("GET /wait/20"), "{text}");
    drop(server);
}

/// In a handler that blocks the loop, in a thread of a WSGI application, and where tasks wait.
#[test]
fn stacks_show_what_workers_do() {
    let path = socket("ctl-stacks");
    let server = controlled(Server::app("supervised:app"), &path).option("workers", 1).start();
    let stacks = || done(&server, &path, "stacks");
    let mut waits = server.connect();
    waits.send(get("/wait/20"));
    let task = format!(
        "supervised.py\", line {}, in on_wait",
        line_of("supervised.py", "await asyncio.sleep(float(argument))")
    );
    wait_until("the task's stack", || stacks().contains(&task));
    let mut blocks = server.connect();
    blocks.send(get("/block/3"));
    server.wait_for("blocks now", 1);
    let line = line_of("supervised.py", "time.sleep(float(argument))");
    let text = stacks();
    assert!(text.contains(&format!("supervised.py\", line {line} in on_block")), "{text}");
    assert!(text.contains("Current thread 0x") && text.contains("attendant"), "{text}");
    // What blocks was not interrupted by that.
    assert_eq!(blocks.reply().unwrap().text(), "blocked");
    // C code that does not release the GIL.
    let mut spins = server.connect();
    spins.send(get("/spin/200000000"));
    let line = line_of("supervised.py", "sum(range(int(argument)))");
    wait_until("the stack of what holds the GIL", || {
        stacks().contains(&format!("supervised.py\", line {line} in on_spin"))
    });
    assert_eq!(spins.reply().unwrap().status, 200);
    let (code, text) = ctl(&path, "stacks 2");
    assert!(code == Some(2) && text.contains("there is no worker 2"), "{text}");
    drop(server);
}

const BUSY: &str = "\
import asyncio, threading
async def waits():
    await asyncio.sleep(1000)
def spins():
    number = 0
    while True:
        number += 1
async def app(scope, receive, send):
    assert scope['type'] == 'http'
    app.tasks = [asyncio.create_task(waits()) for _ in range(150)]
    for _ in range(10):
        threading.Thread(target=spins, daemon=True).start()
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'busy'})
";

/// Ten threads that take the GIL from one another, many tasks, and several who ask at once.
#[test]
fn stacks_of_a_busy_worker_are_told_to_each_who_asks() {
    let path = socket("ctl-stacks-busy");
    let dir = hostler_testkit::directory("stacks-busy");
    std::fs::write(dir.join("main.py"), BUSY).unwrap();
    let app = Server::app("main:app").option("working-dir", dir.display()).option("stall-timeout", 0);
    let server = controlled(app, &path).option("workers", 1).start();
    let told =
        |text: &str| text.contains("Current thread 0x") && text.contains("main.py\", line 3, in waits");
    let ask = |count: usize| -> Vec<String> {
        let clients = (0..count).map(|_| {
            let mut command = Command::new(hostler());
            command.args(["ctl", "stacks", "--socket"]).arg(&path).stdout(Stdio::piped());
            command.spawn().unwrap()
        });
        let clients: Vec<_> = clients.collect();
        let output = |client: Child| String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap();
        clients.into_iter().map(output).collect()
    };
    // A worker has two seconds to tell, which may be few for ten busy threads beside other tests.
    wait_until("each is told", || ask(6).iter().all(|text| text.contains("Current thread 0x")));
    assert_eq!(server.connect().get("/").text(), "busy");
    // Who has waited for so long that the worker is taken for silent gets the kernel's part alone; one is told in any case.
    wait_until("one is told", || ask(3).iter().any(|text| told(text)));
    drop(server);
}

#[test]
fn stacks_of_a_native_service_are_its_threads() {
    let server = Server::program(env!("CARGO_BIN_EXE_native_app").into()).start();
    server.wait_for("control socket path=", 1);
    let log = server.log();
    let path = log.split("control socket path=").nth(1).unwrap().split_whitespace().next().unwrap();
    let told = result(&server, Path::new(path), "stacks");
    assert_eq!(told["workers"].as_array().unwrap().len(), server.workers().len());
    assert_eq!(told["workers"][0]["python"], serde_json::Value::Null);
    assert!(told["workers"][0]["threads"][0]["state"].is_string(), "{told}");
    server.stop();
}

/// `hostler top` in a terminal of 80×24, and what is on its screen.
struct Screen {
    child: Child,
    keys: File,
    parser: Arc<Mutex<vt100::Parser>>,
}

impl Screen {
    fn start(path: &Path) -> Self {
        let size = nix::pty::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = nix::pty::openpty(Some(&size), None).unwrap();
        let slave = || Stdio::from(terminal.slave.try_clone().unwrap());
        let mut command = Command::new(hostler());
        command.arg("top").arg("--socket").arg(path).env("TERM", "xterm-256color");
        let child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        let keys = File::from(terminal.master);
        let parser =
            Arc::new(Mutex::new(vt100::Parser::new(NonZero::new(24).unwrap(), NonZero::new(80).unwrap(), 0)));
        let (mut output, screen) = (keys.try_clone().unwrap(), Arc::clone(&parser));
        #[expect(clippy::disallowed_methods, reason = "this process forks nothing by itself")]
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut block) {
                screen.lock().unwrap().process(&block[..count]);
            }
        });
        Self { child, keys, parser }
    }

    fn text(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }

    fn wait_for(&self, words: &str) {
        let limit = Instant::now() + LIMIT;
        while !self.text().contains(words) {
            assert!(Instant::now() < limit, "no {words:?} on the screen:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn press(&mut self, key: u8) {
        self.keys.write_all(&[key]).unwrap();
    }

    /// It has exited with this code, and the terminal is as before.
    fn has_ended(mut self) {
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        wait_until("the terminal restored", || {
            let parser = self.parser.lock().unwrap();
            !parser.screen().alternate_screen() && !parser.screen().hide_cursor()
        });
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn top_shows_the_server_on_a_terminal_of_80_columns() {
    let path = socket("ctl-top");
    let server = controlled(Server::app("supervised:app"), &path).start();
    let mut screen = Screen::start(&path);
    screen.wait_for("workers 2/2");
    screen.wait_for("q quit   s sort: number");
    for pid in server.workers() {
        screen.wait_for(&pid.to_string());
    }
    let load = Load::start(server.address.unwrap(), "/pid", 2);
    let rate = |screen: &Screen| {
        let text = screen.text();
        let rest = text.split("requests ").nth(1).unwrap_or_default();
        rest.split("/s")
            .next()
            .is_some_and(|rate| rate.parse::<f64>().is_ok_and(|rate| rate > 1.0) || rate.ends_with('k'))
    };
    wait_until("a rate on the screen", || rate(&screen));
    wait_until("a percentile on the screen", || !screen.text().contains("p99 -   queue"));
    let _ = load.end();
    let mut blocks = server.connect();
    blocks.send(get("/block/4"));
    screen.wait_for(" blocked ");
    screen.wait_for("GET /block/4");
    screen.press(b's');
    screen.wait_for("s sort: cpu");
    screen.press(b'p');
    screen.wait_for("PAUSED");
    let text = screen.text();
    assert!(text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= 80), "{text}");
    screen.press(b'q');
    screen.has_ended();
}

#[test]
fn top_outlives_its_server_and_leaves_the_terminal_as_it_was() {
    let path = socket("ctl-top-ends");
    let server = controlled(Server::app("supervised:app"), &path).start();
    let (mut screen, other) = (Screen::start(&path), Screen::start(&path));
    screen.wait_for("workers 2/2");
    other.wait_for("workers 2/2");
    kill(Pid::from_raw(other.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    other.has_ended();
    server.signal(Signal::SIGKILL);
    screen.wait_for("cannot reach a server");
    let server = controlled(Server::app("supervised:app"), &path).start();
    screen.wait_for(&format!("pid {}", server.master()));
    screen.press(b'q');
    screen.has_ended();
    let output = Command::new(hostler()).args(["top", "--socket"]).arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && text.contains("needs a terminal"), "{text}");
    server.stop();
}

/// As when the window is closed, or the connection of ssh breaks; a `nohup` or a shell may keep the signal from it.
#[test]
fn top_ends_with_its_terminal() {
    let path = socket("ctl-top-hangup");
    let server = controlled(Server::app("supervised:app"), &path).start();
    let size = nix::pty::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = nix::pty::openpty(Some(&size), None).unwrap();
    // A copy that programs do not inherit.
    let mut output = File::from(terminal.master.try_clone().unwrap());
    drop(terminal.master);
    let slave = || Stdio::from(terminal.slave.try_clone().unwrap());
    let mut command = Command::new(hostler());
    command.arg("top").arg("--socket").arg(&path).env("TERM", "xterm-256color");
    let mut child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
    drop(command);
    let mut shown = Vec::new();
    let mut block = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains("workers") {
        let count = output.read(&mut block).unwrap();
        shown.extend_from_slice(&block[..count]);
    }
    drop((output, terminal.slave));
    let limit = Instant::now() + LIMIT;
    let mut status = child.try_wait().unwrap();
    while status.is_none() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(5));
        status = child.try_wait().unwrap();
    }
    let _ = child.kill();
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    server.stop();
}

#[test]
fn top_shows_task_queues_and_task_workers() {
    let path = socket("ctl-top-tasks");
    let dir = path.parent().unwrap();
    let server = controlled(Server::app("sight_app:app"), &path).option("workers", 1);
    let server =
        server.option("task-workers", 1).option("task-queue", dir.join("queue.db").display()).start();
    let screen = Screen::start(&path);
    let end = dir.join("end");
    let argument = end.to_str().unwrap().trim_start_matches('/').to_owned();
    assert_eq!(server.connect().get(&format!("/start/works/{argument}")).status, 200);
    assert_eq!(server.connect().get("/later/double/1").status, 200);
    screen.wait_for("sight_app.wo");
    screen.wait_for(" t1 ");
    screen.wait_for("start/s");
    // Of the queue: one later, one running.
    wait_until("the queue's line", || {
        let text = screen.text();
        let line = text.lines().find(|line| line.starts_with("default")).unwrap_or_default();
        line.split_whitespace().take(5).eq(["default", "0", "1", "1", "0"])
    });
    std::fs::write(end, "").unwrap();
}

#[test]
fn top_shows_companions() {
    let path = socket("ctl-top-companions");
    let server = controlled(Server::app("asgi_app:app"), &path).option("workers", 1);
    let server =
        server.option("companion", "cache=sleep 1000").option("companion", "bad=sh -c 'exit 3'").start();
    let screen = Screen::start(&path);
    wait_until("both are there", || {
        let text = screen.text();
        let line =
            |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line("cache").contains(" ready ") && line("bad").contains("backing off") && text.contains("restarts")
    });
    drop(screen);
    server.stop();
}
