//! Files of settings: read, migrated, wrong.

use super::started;
use hostler_testkit::{Conn, Server, directory, get_unix, hostler, python};
use nix::sys::signal::Signal;
use std::{fs, process::Command};

#[test]
fn hypercorns_file_of_toml_is_read() {
    let dir = directory("hypercorn-toml");
    let file = dir.join("h.toml");
    fs::write(&file, "bind = [\"127.0.0.1:0\"]\nworkers = 2\nloglevel = \"DEBUG\"\n").unwrap();
    let server = started(Server::peer(&format!("hypercorn -c {} asgi_app:app", file.display())), 2);
    assert_eq!(server.connect().get("/scope").status, 200);
    server.stop();
    fs::write(&file, "bind = 1 2\n").unwrap();
    let (code, log) = Server::peer(&format!("hypercorn -c {} asgi_app:app", file.display())).fail();
    assert!(code == Some(78) && log.contains("h.toml`"), "{log}");
}

/// What is printed for a file serves what the file served.
#[test]
fn files_are_migrated_to_files_that_serve() {
    let dir = directory("migrate");
    let (conf, ini, own) = (dir.join("gunicorn.conf.py"), dir.join("uwsgi.ini"), dir.join("hostler.toml"));
    fs::write(
        &conf,
        "bind = '127.0.0.1:0'\nworkers = 1\nwsgi_app = 'wsgi_app:app'\nthreads = 2\nstatsd_host = 'a:1'\n",
    )
    .unwrap();
    let socket = dir.join("u.sock");
    let text = format!(
        "[uwsgi]\nmodule = wsgi_app:app\nmaster = true\nsocket = {}\nchmod-socket = 600\nlazy-apps\n",
        socket.display()
    );
    fs::write(&ini, text).unwrap();
    for (file, comment) in [(&conf, "# TO DO: statsd_host = a:1: "), (&ini, "# not needed: master = True: ")]
    {
        let output = Command::new(hostler())
            .arg("migrate")
            .arg(file)
            .env("HOSTLER_PYTHON", python())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(comment), "{text}");
        fs::write(&own, text).unwrap();
        let mut server = Server::peer_program(hostler(), ["--config", own.to_str().unwrap()]).launch();
        server.wait_for("worker ready", 1);
        server.wait_for("interface=\"wsgi\"", 1);
        match server.logged_address() {
            Some(address) => assert_eq!(Conn::to(address).get("/environ").status, 200),
            None => assert!(get_unix(&socket, "/environ").unwrap().contains("REQUEST_METHOD")),
        }
        server.signal(Signal::SIGTERM);
        assert!(server.wait_exit().success());
    }
    let output = Command::new(hostler()).args(["migrate", "/nowhere/uwsgi.ini"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn errors_of_a_file_name_the_file_and_its_setting() {
    let dir = directory("gunicorn-wrong");
    let conf = dir.join("conf.py");
    let line = format!("gunicorn -c {} asgi_app:app", conf.display());
    for (text, words) in [
        ("workers = 'many'\n", "invalid value 'many' for workers (file "),
        ("import os\nos._exit(0)\n", "cannot use the configuration file"),
        ("import nothing_of_the_kind\n", "No module named 'nothing_of_the_kind'"),
        (
            "statsd_host = 'localhost:8125'\n",
            "`statsd_host = localhost:8125` cannot be used (gunicorn, file ",
        ),
        ("def pre_request(worker, req):\n    pass\n", "do it in a WSGI or ASGI middleware"),
    ] {
        fs::write(&conf, text).unwrap();
        let (code, log) = Server::peer(&line).fail();
        assert_eq!(code, Some(78), "{log}");
        assert!(log.contains(words), "{words:?} is missing in:\n{log}");
    }
    let (code, log) = Server::peer("gunicorn -c nowhere.py asgi_app:app").fail();
    assert!(code == Some(78) && log.contains("there is no file nowhere.py"), "{log}");
}

/// As a shell's `<(…)`: it cannot be read again, and the workers that there are keep serving.
#[test]
fn a_file_that_is_a_pipe_is_read_once() {
    let line = "exec \"$0\" as gunicorn -b 127.0.0.1:0 -c <(echo \"wsgi_app = 'wsgi_app:app'; workers = 1\")";
    let server = Server::peer_program("/bin/bash".into(), ["-c", line]).arg(hostler().to_str().unwrap());
    let server = started(server, 1);
    server.signal(Signal::SIGHUP);
    server.wait_for("it is a pipe, which can be read only once: use a file", 1);
    assert_eq!(server.connect().get("/environ").status, 200);
    server.stop();
}
