//! `--reload`: what is served after files change, and while the application cannot be loaded.

use hostler_testkit::{Builder, Conn, Server, directory, proc, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// All versions have the same length: Python would take bytecode of the same second for that of another one.
fn source(version: u32) -> String {
    format!(
        "import asyncio, os\n\
         async def app(scope, receive, send):\n    \
             if scope['type'] == 'lifespan': raise NotImplementedError\n    \
             if scope['type'] == 'websocket':\n        \
                 await receive(); await send({{'type': 'websocket.accept'}}); await receive(); return\n    \
             kind = [(b'content-type', b'text/event-stream')] if scope['path'] == '/stream' else []\n    \
             await send({{'type': 'http.response.start', 'status': 200, 'headers': kind}})\n    \
             while scope['path'] == '/stream':\n        \
                 await send({{'type': 'http.response.body', 'body': b'data: x\\n\\n', 'more_body': True}})\n        \
                 await asyncio.sleep(0.05)\n    \
             text = 'version {version} ' + os.environ.get('VALUE', '')\n    \
             await send({{'type': 'http.response.body', 'body': text.encode()}})\n"
    )
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let place = Self(directory(&format!("development-{name}")));
        place.write("main.py", &source(0));
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn app(&self) -> Builder {
        Server::app("main:app").option("working-dir", self.0.display()).option("workers", 1).arg("--reload")
    }
}

fn get(server: &Server, accept: &str) -> String {
    let mut conn = server.connect();
    conn.send(format!("GET / HTTP/1.1\r\nhost: t\r\naccept: {accept}\r\nconnection: close\r\n\r\n"));
    String::from_utf8_lossy(&conn.to_end().unwrap_or_default()).into_owned()
}

fn serves(server: &Server, text: &str) {
    server.wait_until(text, || get(server, "*/*").contains(text));
}

#[test]
fn a_change_is_served_soon_and_only_it() {
    let place = Place::new("change");
    let server = place.app().start();
    serves(&server, "version 0");
    let mut quickest = Duration::MAX;
    for version in 1..=5 {
        let begun = Instant::now();
        place.write("main.py", &source(version));
        server.wait_for("worker draining", version as usize);
        // From here on no old code answers: what comes waits.
        assert!(get(&server, "*/*").contains(&format!("version {version}")), "{}", server.log());
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest < Duration::from_millis(300), "{quickest:?}");
    assert!(!server.log().contains(" WARN ") && !server.log().contains(" ERROR "), "{}", server.log());
    server.stop();
}

#[test]
fn a_syntax_error_is_served_until_it_is_mended() {
    let place = Place::new("syntax");
    let server = place.app().option("workers", 2).start();
    place.write("main.py", "def broken(:\n");
    serves(&server, "SyntaxError");
    let text = get(&server, "*/*");
    assert!(text.starts_with("HTTP/1.1 500 ") && text.contains("text/plain"), "{text}");
    assert!(text.contains("main.py\", line 1") && text.contains("no-store"), "{text}");
    let page = get(&server, "text/html,*/*;q=0.8");
    assert!(page.contains("text/html") && page.contains("<b>SyntaxError"), "{page}");
    server.wait_for("could not load `main:app`", 1);
    server.wait_for("worker ready", 4);
    assert_eq!(server.log().matches("(this is served until files change)").count(), 1, "{}", server.log());
    place.write("main.py", &source(1));
    serves(&server, "version 1");
    server.stop();
}

#[test]
fn the_first_start_may_fail_in_each_way() {
    for (name, code, word) in [
        ("raises", "raise RuntimeError('no & <way>')", "no & <way>"),
        ("exits", "raise SystemExit(3)", "SystemExit"),
        ("dies", "import os; os._exit(3)", "exited with code 3"),
        ("lacks", "application = None", "main:app"),
        (
            "lifespan",
            "async def app(scope, receive, send):\n    await receive()\n    raise RuntimeError('no database')\n",
            "no database",
        ),
    ] {
        let place = Place::new(name);
        place.write("main.py", code);
        let mut server = place.app().launch();
        server.wait_for("worker ready", 1);
        server.address = server.logged_address();
        assert!(get(&server, "*/*").contains(word), "{name}: {}", server.log());
        let page = get(&server, "text/html");
        assert!(!page.contains("<way>"), "{page}");
        place.write("main.py", &source(2));
        serves(&server, "version 2");
        server.stop();
    }
}

#[test]
fn without_the_page_the_old_code_serves_on_and_a_start_fails() {
    let place = Place::new("strict");
    let server = place.app().arg("--no-reload-ignore-worker-failure").start();
    place.write("main.py", "def broken(:\n");
    server.wait_for("not reloaded: the running workers keep serving", 1);
    assert!(get(&server, "*/*").contains("version 0"));
    place.write("main.py", &source(1));
    serves(&server, "version 1");
    server.stop();
    place.write("main.py", "def broken(:\n");
    let (code, log) = place.app().arg("--no-reload-ignore-worker-failure").fail();
    assert_eq!(code, Some(4), "{log}");
}

#[test]
fn open_streams_delay_nothing() {
    let place = Place::new("streams");
    let server = place.app().start();
    let mut stream = server.connect();
    stream.send(b"GET /stream HTTP/1.1\r\nhost: t\r\n\r\n");
    stream.exactly(200).unwrap();
    let mut socket = server.connect();
    socket.send(
        b"GET /ws HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
          sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(socket.exactly(12).unwrap(), b"HTTP/1.1 101");
    let old = server.workers()[0];
    let begun = Instant::now();
    place.write("main.py", &source(1));
    serves(&server, "version 1");
    // Without them it is a tenth of a second; the machine may be busy.
    assert!(begun.elapsed() < Duration::from_secs(5), "{}", server.log());
    wait_until("the old worker ends", || !Path::new(&format!("/proc/{old}")).exists());
    assert!(begun.elapsed() < Duration::from_secs(15), "{}", server.log());
    drop((stream, socket));
    server.stop();
}

#[test]
fn files_that_are_named_count_and_others_do_not() {
    let place = Place::new("named");
    fs::create_dir_all(place.0.join("templates/deep")).unwrap();
    fs::create_dir_all(place.0.join("node_modules")).unwrap();
    place.write("settings.env", "VALUE=one\n");
    let server = place
        .app()
        .option("reload-include", "templates/**")
        .option("reload-exclude", "*_test.py")
        .option("env-files", place.0.join("settings.env").display())
        .start();
    serves(&server, "version 0 one");
    for other in ["main_test.py", "notes.txt", "node_modules/a.py", ".hidden.py", "main.py~"] {
        place.write(other, "x = 1\n");
    }
    place.write("templates/deep/page.html", "<p>");
    server.wait_for("files changed: reloading", 1);
    let told = server.log();
    let line = told.lines().find(|line| line.contains("files changed")).unwrap();
    assert!(line.contains("page.html\"") && !line.contains("more"), "{line}");
    place.write("settings.env", "VALUE=two\n");
    serves(&server, "version 0 two");
    server.stop();
}

#[test]
fn a_save_in_several_steps_is_one_change() {
    let place = Place::new("steps");
    let server = place.app().option("reload-tick", 300).start();
    // Truncated, written in pieces: as long as it is open, it is not complete.
    let mut file = fs::File::create(place.0.join("main.py")).unwrap();
    let text = source(1);
    let (half, rest) = text.split_at(text.len() / 2);
    file.write_all(half.as_bytes()).unwrap();
    file.flush().unwrap();
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);
    serves(&server, "version 1");
    // A backup is made, the file is moved away, and another one gets its name.
    fs::rename(place.0.join("main.py"), place.0.join("main.py~")).unwrap();
    place.write("main.py.tmp", &source(2));
    fs::rename(place.0.join("main.py.tmp"), place.0.join("main.py")).unwrap();
    serves(&server, "version 2");
    assert_eq!(server.log().matches("files changed").count(), 2, "{}", server.log());
    server.stop();
}

#[test]
fn thousands_of_files_at_once_are_one_reload() {
    let place = Place::new("checkout");
    let server = place.app().option("reload-tick", 500).start();
    for package in 0..30 {
        let dir = place.0.join(format!("package{package}"));
        fs::create_dir(&dir).unwrap();
        for file in 0..100 {
            fs::write(dir.join(format!("module{file}.py")), "x = 1\n").unwrap();
        }
    }
    place.write("main.py", &source(1));
    serves(&server, "version 1");
    let reloads = server.log().matches("files changed").count();
    // More only if writing them took longer than what is waited for at most.
    assert!(reloads <= 3, "{reloads}: {}", server.log());
    server.stop();
}

#[test]
fn an_import_that_hangs_is_left_for_the_next_change() {
    let place = Place::new("hangs");
    place.write("main.py", "import time\ntime.sleep(1000)\n");
    let mut server = place.app().launch();
    server.wait_for("watching files for changes", 1);
    server.wait_for("mold ready", 1);
    server.address = server.logged_address();
    place.write("main.py", &source(1));
    serves(&server, "version 1");
    server.stop();
}

#[test]
fn signals_and_kills_meanwhile_end_nothing_but_what_they_mean_to() {
    let place = Place::new("signals");
    let server = place.app().start();
    let old = server.workers()[0];
    kill(Pid::from_raw(old), Signal::SIGKILL).unwrap();
    place.write("main.py", &source(1));
    serves(&server, "version 1");
    // The killed worker's successor may have had it before: the change and a signal at once would be one reload.
    server.wait_for("reloading generation=1", 1);
    server.signal(Signal::SIGHUP);
    server.wait_for("reloading generation=2", 1);
    serves(&server, "version 1");
    place.write("main.py", "def broken(:\n");
    serves(&server, "SyntaxError");
    server.wait_for("reloading generation=3", 1);
    server.signal(Signal::SIGHUP);
    server.wait_for("reloading generation=4", 1);
    serves(&server, "SyntaxError");
    // A worker that serves the failure is replaced as any other.
    // It may have gone by itself.
    let _ = kill(Pid::from_raw(*server.workers().last().unwrap()), Signal::SIGKILL);
    serves(&server, "SyntaxError");
    place.write("main.py", &source(2));
    serves(&server, "version 2");
    place.write("main.py", &source(3));
    server.stop();
}

#[test]
fn a_directory_that_is_removed_is_followed_when_it_is_there_again() {
    let place = Place::new("removed");
    let code = place.0.join("code");
    fs::create_dir(&code).unwrap();
    fs::write(code.join("main.py"), source(0)).unwrap();
    let server = Server::app("main:app")
        .option("python-path", code.display())
        .option("reload-paths", code.display())
        .option("workers", 1)
        .arg("--reload")
        .start();
    fs::remove_dir_all(&code).unwrap();
    server.wait_for("a directory that is watched for changes is gone", 1);
    serves(&server, "there is no module `main`");
    fs::create_dir(&code).unwrap();
    fs::write(code.join("main.py"), source(1)).unwrap();
    serves(&server, "version 1");
    fs::write(code.join("main.py"), source(2)).unwrap();
    serves(&server, "version 2");
    server.stop();
}

/// Who waits for changes does nothing: what the master counts as its own processor time stands still.
#[test]
fn watching_takes_no_processor_time() {
    let place = Place::new("idle");
    let server = place.app().option("stall-timeout", 0).start();
    let time = || proc::cpu_ticks(server.master());
    let before = time();
    // As long as one would look at a page.
    std::thread::sleep(Duration::from_secs(2));
    assert!(time() - before <= 1, "{} ticks", time() - before);
    server.stop();
}

/// A connection that is open meanwhile goes over to the new code.
#[test]
fn an_idle_connection_gets_the_new_code() {
    let place = Place::new("kept");
    let server = place.app().start();
    let mut conn: Conn = server.connect();
    assert!(conn.get("/").text().starts_with("version 0"));
    place.write("main.py", &source(1));
    server.wait_for("worker ready", 2);
    assert!(conn.get("/").text().starts_with("version 1"));
    server.stop();
}

/// In a user namespace of its own, whose limits are below the machine's.
fn limited(limit: &str) -> Option<Vec<String>> {
    let can = Command::new("unshare").args(["--user", "--map-root-user", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        return None;
    }
    let script = format!("echo {limit} && exec \"$@\"");
    let words = ["unshare", "--user", "--map-root-user", "sh", "-c", &script, "sh"];
    Some(words.map(str::to_owned).to_vec())
}

#[test]
fn without_enough_watches_what_is_watched_is_followed_and_the_log_says_what_to_do() {
    let Some(wrapper) = limited("20 > /proc/sys/user/max_inotify_watches") else {
        return println!("left out: it needs the right to make namespaces");
    };
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let place = Place::new("watches");
    for number in 0..40 {
        fs::create_dir(place.0.join(format!("package{number}"))).unwrap();
    }
    let server = place.app().wrapped(&wrapper).start();
    server.wait_for("this user has no inotify watches left", 1);
    server.wait_for("sysctl fs.inotify.max_user_watches", 1);
    place.write("main.py", &source(1));
    serves(&server, "version 1");
    fs::create_dir(place.0.join("another")).unwrap();
    place.write("main.py", &source(2));
    serves(&server, "version 2");
    assert_eq!(server.log().matches("no inotify watches left").count(), 1, "{}", server.log());
    server.stop();
}

#[test]
fn without_an_instance_of_inotify_a_start_fails_and_says_what_to_do() {
    let Some(wrapper) = limited("0 > /proc/sys/user/max_inotify_instances") else {
        return println!("left out: it needs the right to make namespaces");
    };
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let (code, log) = Place::new("instances").app().wrapped(&wrapper).fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("files cannot be watched for --reload (Too many open files)"), "{log}");
    assert!(log.contains("sysctl fs.inotify.max_user_instances"), "{log}");
}

/// With `*` the files that the server writes itself are included, too.
#[test]
fn files_of_the_server_are_no_changes() {
    let place = Place::new("own");
    let server = place
        .app()
        .option("reload-include", "*")
        .option("pid-file", place.0.join("shop.pid").display())
        .option("access-logfile", place.0.join("access.log").display())
        .start();
    serves(&server, "version 0");
    server.signal(Signal::SIGUSR1);
    fs::write(place.0.join("data.txt"), "x").unwrap();
    server.wait_for("files changed: reloading", 1);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("files changed")).unwrap();
    assert!(
        line.contains("data.txt") && !line.contains("shop.pid") && !line.contains("access.log"),
        "{line}"
    );
    server.stop();
}

/// Names of files need not be UTF-8: what is wrong is told all the same.
#[test]
fn a_directory_whose_name_is_no_utf8_is_developed_in() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let place = Place::new("latin");
    let dir = place.0.join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("main.py"), source(0)).unwrap();
    let enter = "cd \"$0\"/caf* && exec \"$@\"";
    let server = Server::app("main:app")
        .wrapped(&["sh", "-c", enter, &place.0.display().to_string()])
        .option("workers", 1)
        .arg("--reload")
        .start();
    serves(&server, "version 0");
    fs::write(dir.join("main.py"), "def broken(:\n").unwrap();
    serves(&server, "SyntaxError: invalid syntax");
    assert!(get(&server, "*/*").contains(r"caf\udce9/main.py"), "{}", get(&server, "*/*"));
    server.stop();
}
