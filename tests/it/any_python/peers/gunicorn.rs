//! Gunicorn's command line, variables and file.

use super::{line_of, started};
use hostler_testkit::{Conn, Server, directory, get_unix};
use nix::sys::signal::Signal;
use std::{fs, os::unix::fs::PermissionsExt};

#[test]
fn gunicorns_command_line_and_variables_serve_wsgi_as_a_container_starts_it() {
    let dir = directory("as-gunicorn");
    let file = dir.join("access");
    let line =
        format!("gunicorn --workers 2 --threads 4 -t60 --access-logfile {} wsgi_app:app", file.display());
    let server = Server::peer(&line)
        .env("PORT", "0")
        .env("GUNICORN_CMD_ARGS", "--workers=3 --access-logformat '%(m)s %(U)s %(s)s'");
    let server = started(server, 2);
    assert!(server.log().contains("address=0.0.0.0:"), "{}", server.log());
    let port = server.address.unwrap().port();
    let mut conn = Conn::to(([127, 0, 0, 1], port).into());
    let headers = "x-forwarded-for: 9.9.9.9\r\nx-forwarded-proto: https\r\n";
    let environ = conn.request("GET", "/environ", headers, b"").text();
    for words in
        ["\"wsgi.url_scheme\": \"https\"", "\"REMOTE_ADDR\": \"127.0.0.1\"", "\"wsgi.multithread\": true"]
    {
        assert!(environ.contains(words), "{words} is missing in {environ}");
    }
    assert_eq!(line_of(&server, &file, "/environ"), "GET /environ 200");
    server.stop();
}

/// A deployment with a file: its settings, its functions, and both again at a reload.
#[test]
fn gunicorns_file_is_read_at_the_start_and_at_a_reload_and_its_functions_are_called() {
    let dir = directory("gunicorn-conf");
    let (conf, told, socket) = (dir.join("gunicorn.conf.py"), dir.join("told"), dir.join("g.sock"));
    let write = |workers: u32| {
        let text = format!(
            "import multiprocessing\nbind = 'unix:{}'\nworkers = min({workers}, multiprocessing.cpu_count() * 2 + 1)\n\
             worker_class = 'uvicorn.workers.UvicornWorker'\ntimeout = 90\nloglevel = 'debug'\ndaemon = False\nraw_env = ['VERSION=conf']\n\
             print('the file was read')\n\n\
             def tell(text):\n    with open({:?}, 'a') as file:\n        file.write(text + '\\n')\n\n\
             def post_fork(server, worker):\n    tell(f'post_fork {{worker.age}} {{server.pid}}')\n\n\
             def post_worker_init(worker):\n    worker.log.info('init %s', 1)\n    tell(f'post_worker_init {{worker.pid}}')\n\n\
             def when_ready(server):\n    tell('when_ready')\n\n\
             def worker_exit(server, worker):\n    tell('worker_exit')\n\n\
             def on_exit(server):\n    tell('on_exit')\n",
            socket.display(),
            told.display().to_string()
        );
        fs::write(&conf, text).unwrap();
    };
    write(1);
    // More than is read of it: what is no setting is not passed on.
    let large = "helpers = ['x' * 1000] * 1000\n";
    fs::write(&conf, large.to_owned() + &fs::read_to_string(&conf).unwrap()).unwrap();
    let line = format!("gunicorn -c {} supervised:app", conf.display());
    let server = Server::peer(&line).launch();
    server.wait_for("worker ready", 1);
    assert!(server.log().contains("the file was read"), "{}", server.log());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o777);
    assert!(get_unix(&socket, "/who").unwrap().contains("conf"));
    let so_far = fs::read_to_string(&told).unwrap();
    for line in [
        format!("post_fork 1 {}", server.master()),
        format!("post_worker_init {}", server.workers()[0]),
        "when_ready".into(),
    ] {
        assert!(so_far.lines().any(|told| told == line), "{line:?} is missing in:\n{so_far}");
    }
    server.wait_for("init 1", 1);
    server.wait_for("an option has no effect peer=\"gunicorn\" option=\"on_exit = __config__.on_exit\"", 1);
    write(2);
    server.signal(Signal::SIGHUP);
    server.wait_for("worker ready", 3);
    fs::write(&conf, "workers = 1 +\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("SyntaxError", 1);
    assert!(server.log().contains("not reloaded: cannot use the configuration file"), "{}", server.log());
    server.stop();
    let told = fs::read_to_string(&told).unwrap();
    assert_eq!(told.matches("worker_exit\n").count(), 3, "{told}");
    assert_eq!(told.matches("when_ready\n").count(), 1, "{told}");
}

/// As with Gunicorn, though an address is configured.
#[test]
fn gunicorn_prefers_sockets_of_systemd() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = Server::peer("gunicorn -b 127.0.0.1:1 -w 1 wsgi_app:app").descriptor(socket);
    let server =
        server.wrapped(&["sh", "-c", "export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"", "sh"]).launch();
    server.wait_for("worker ready", 1);
    assert_eq!(Conn::to(address).get("/environ").status, 200);
    server.wait_for("options=\"-b 127.0.0.1:1\"", 1);
    server.stop();
}
