//! Debuggers: a prompt in a worker has the terminal, and who halts a worker is not hurried.

use hostler_testkit::{Builder, Server, directory, open_terminal, python};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::termios::{LocalFlags, tcgetattr},
    unistd::{read, write},
};
use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Makes descriptor 3 the controlling terminal, standard input and standard output.
const AT_TERMINAL: &str = "import fcntl, os, sys, termios; fcntl.ioctl(3, termios.TIOCSCTTY, 0); os.dup2(3, 0); os.dup2(3, 1); \
                           os.close(3); os.execvp(sys.argv[1], sys.argv[1:])";

const APP: &str = "\
import asyncio

def debugged():
    answer = 41
    breakpoint()
    return answer

async def app(scope, receive, send):
    assert scope['type'] == 'http'
    if scope['path'] == '/debug':
        answer = 41
        breakpoint()
    elif scope['path'] == '/thread':
        answer = await asyncio.to_thread(debugged)
    else:
        answer = 1
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': str(answer).encode()})

def wsgi(environ, start_response):
    answer = 41
    if environ['PATH_INFO'] == '/debug':
        import pdb; pdb.set_trace()
        start_response('200 OK', [])
        return [str(answer).encode()]
    start_response('200 OK', [])
    return [b'idle']
";

fn place(name: &str) -> PathBuf {
    let dir = directory(&format!("debugging-{name}"));
    fs::write(dir.join("main.py"), APP).unwrap();
    dir
}

/// A second of blocking is a stall.
fn app(dir: &Path, target: &str) -> Builder {
    Server::app(target)
        .option("working-dir", dir.display())
        .option("workers", 1)
        .option("stall-timeout", 1)
        .option("slow-callback", 200)
}

/// Reads the terminal until it shows this.
fn shows(terminal: &OwnedFd, text: &str) -> String {
    let mut all = String::new();
    while !all.contains(text) {
        let ready =
            poll(&mut [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)], PollTimeout::from(30_000u16));
        assert_ne!(ready, Ok(0), "no {text:?} in {all:?}");
        let mut block = [0; 4096];
        let count =
            read(terminal, &mut block).unwrap_or_else(|error| panic!("{error}: no {text:?} in {all:?}"));
        all.push_str(&String::from_utf8_lossy(&block[..count]));
    }
    all
}

fn echoes(terminal: &OwnedFd) -> bool {
    tcgetattr(terminal).unwrap().local_flags.contains(LocalFlags::ECHO)
}

/// Longer than a stall takes to be noticed and ended.
fn think() {
    std::thread::sleep(Duration::from_secs(4));
}

#[test]
fn a_prompt_has_the_terminal_and_all_the_time_it_takes() {
    for target in ["main:app", "main:wsgi"] {
        let terminal = open_terminal();
        let dir = place("prompt");
        let mut server = app(&dir, target)
            .arg("--reload")
            .wrapped(&["python3", "-c", AT_TERMINAL])
            .descriptor(terminal.slave.try_clone().unwrap())
            .option("port", 0)
            .start();
        let mut conn = server.connect();
        conn.send("GET /debug HTTP/1.1\r\nhost: t\r\n\r\n");
        shows(&terminal.master, "(Pdb)");
        think();
        write(&terminal.master, b"answer = answer + 1\np 'is', answer\n").unwrap();
        shows(&terminal.master, "('is', 42)");
        write(&terminal.master, b"c\n").unwrap();
        let answer = conn.reply().unwrap().text();
        assert!(answer == "42" || answer == "41", "{answer}");
        let log = server.log();
        assert!(!log.contains("stuck") && !log.contains("event loop blocked"), "{log}");
        assert_eq!(server.workers().len(), 1, "{log}");
        // Ctrl-C at a prompt.
        conn.send("GET /debug HTTP/1.1\r\nhost: t\r\n\r\n");
        shows(&terminal.master, "(Pdb)");
        write(&terminal.master, b"\x03").unwrap();
        assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
        assert!(echoes(&terminal.master), "the terminal is left without echo");
    }
}

/// Without a terminal too: an IDE may have a pipe. With several workers nobody asks.
#[test]
fn several_workers_have_no_standard_input() {
    let dir = place("several");
    let terminal = open_terminal();
    let server = app(&dir, "main:app")
        .option("workers", 2)
        .arg("--reload")
        .wrapped(&["python3", "-c", AT_TERMINAL])
        .descriptor(terminal.slave)
        .option("port", 0)
        .start();
    for pid in server.workers() {
        let input = fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
        assert_eq!(input, Path::new("/dev/null"));
    }
    server.stop();
}

/// As gdb does it, or another debugger of processes: the worker is halted as a whole.
#[test]
fn a_worker_that_is_traced_is_not_hurried() {
    let dir = place("traced");
    let server = app(&dir, "main:app").start();
    let worker = server.workers()[0];
    let tracer = "import ctypes, os, sys, time\n\
                  libc = ctypes.CDLL(None, use_errno=True)\n\
                  pid = int(sys.argv[1])\n\
                  assert libc.ptrace(16, pid, None, None) == 0, ctypes.get_errno()\n\
                  os.waitpid(pid, 0x40000000)\n\
                  print('halted', flush=True); time.sleep(4)\n\
                  libc.ptrace(17, pid, None, None)\n";
    let traced = Command::new("python3").args(["-c", tracer, &worker.to_string()]).output().unwrap();
    let text = String::from_utf8_lossy(&traced.stderr).into_owned();
    if !traced.status.success() && text.contains("AssertionError: 1") {
        return println!("left out: this user may not trace");
    }
    assert!(traced.status.success(), "{text}");
    assert_eq!(server.connect().get("/").text(), "1");
    assert_eq!(server.workers(), [worker], "{}", server.log());
    server.stop();
}

/// By debugpy: a client attaches, and sets no limit to how long it looks.
#[test]
fn an_ide_attaches() {
    let dir = place("ide");
    let main = fs::read_to_string(dir.join("main.py")).unwrap();
    let listens = "import debugpy, pathlib\nport = debugpy.listen(('127.0.0.1', 0))[1]\n\
                   pathlib.Path('port').write_text(str(port))\n";
    fs::write(dir.join("main.py"), format!("{listens}{main}")).unwrap();
    let server = app(&dir, "main:app").start();
    server.wait_for_file(&dir.join("port"));
    let address = format!("http://{}/debug", server.address.unwrap());
    let output = Command::new(python())
        .arg("-c")
        .arg(include_str!("../../apps/debug_client.py"))
        .arg(fs::read_to_string(dir.join("port")).unwrap())
        .arg(address)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!server.log().contains("stuck"), "{}", server.log());
    server.stop();
}

#[test]
fn tracebacks_begin_with_the_applications_frames() {
    let dir = place("frames");
    let raises = "def app(environ, start_response):\n    raise ValueError('told')\n";
    fs::write(dir.join("raises.py"), raises).unwrap();
    for threads in [1, 2] {
        let server = app(&dir, "raises:app").option("blocking-threads", threads).start();
        assert_eq!(server.connect().get("/").status, 500);
        server.wait_for("ValueError: told", 1);
        let log = server.log();
        assert!(!log.contains("<hostler"), "{log}");
        let mut lines = log.lines().skip_while(|line| !line.starts_with("Traceback"));
        assert!(lines.nth(1).unwrap().contains("raises.py\", line 2, in app"), "{log}");
        server.stop();
    }
}

/// On the loop, in a thread of it, and in threads of WSGI: what is looked at is not cut, and new code serves meanwhile.
#[test]
fn a_change_ends_no_prompt() {
    for (target, path, threads) in [
        ("main:app", "/debug", 1),
        ("main:app", "/thread", 1),
        ("main:wsgi", "/debug", 1),
        ("main:wsgi", "/debug", 2),
    ] {
        let terminal = open_terminal();
        let dir = place("change");
        let server = app(&dir, target)
            .arg("--reload")
            .option("blocking-threads", threads)
            .wrapped(&["python3", "-c", AT_TERMINAL])
            .descriptor(terminal.slave.try_clone().unwrap())
            .option("port", 0)
            .start();
        let old = server.workers()[0];
        let mut conn = server.connect();
        conn.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
        shows(&terminal.master, "(Pdb)");
        fs::write(
            dir.join("main.py"),
            APP.replace("answer = 1\n", "answer = 2\n").replace("b'idle'", "b'2'"),
        )
        .unwrap();
        server.wait_for("a debugger holds a worker whose code was changed", 1);
        // Longer than code that was changed may take to end otherwise.
        std::thread::sleep(Duration::from_secs(8));
        assert_eq!(server.connect().get("/").text(), "2", "{}", server.log());
        write(&terminal.master, b"p 'is', answer + 1\n").unwrap();
        shows(&terminal.master, "('is', 42)");
        write(&terminal.master, b"c\n").unwrap();
        assert_eq!(conn.reply().unwrap().text(), "41", "{}", server.log());
        let gone = format!("/proc/{old}");
        server.wait_until("the end of the old worker", || !Path::new(&gone).exists());
        let log = server.log();
        assert!(!log.contains("worker killed") && !log.contains("are cut"), "{log}");
        server.stop();
    }
}
