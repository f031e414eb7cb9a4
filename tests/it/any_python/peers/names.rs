//! Names: of the program, which may say whose command line it is, and of applications.

use super::started;
use hostler_testkit::{Server, directory, hostler, root};
use nix::sys::signal::Signal;
use std::{fs, process::Command};

#[test]
fn the_application_is_named_as_other_servers_have_it() {
    let dir = directory("targets");
    fs::create_dir_all(dir.join("src/pack/inner")).unwrap();
    for (file, text) in [
        ("my-app.py", "from asgi_app import app\n"),
        ("src/main.py", "from asgi_app import app as application\nclass api: app = application\n"),
        ("src/pack/__init__.py", ""),
        ("src/pack/inner/__init__.py", ""),
        (
            "src/pack/inner/web.py",
            "from .. import __name__ as parent\nassert parent == 'src.pack' or parent == 'pack'\nfrom asgi_app import app\n",
        ),
        (
            "factory.py",
            "from asgi_app import app\ndef create_app(name, debug=False):\n    assert (name, debug) == ('x', True)\n    return app\n",
        ),
    ] {
        fs::write(dir.join(file), text).unwrap();
    }
    let with = |target: &str| {
        let server =
            Server::peer_program(hostler(), [target, "--port", "0", "--working-dir", dir.to_str().unwrap()]);
        let apps = root().join("tests/apps");
        server.env("PYTHONPATH", apps.to_str().unwrap()).env("HOSTLER_INTERFACE", "asgi")
    };
    for target in [
        "my-app:app",
        "src/main:application",
        "src/main.py:api.app",
        "src/main",
        "src/pack/inner/web.py:app",
        "src.pack.inner.web",
        "factory:create_app('x', debug=True)",
    ] {
        let server = started(with(target), 1);
        assert_eq!(server.connect().get("/scope").status, 200, "{target}");
        server.stop();
    }
    for (target, words) in [
        ("src/main:aplication", "did you mean `main:application`?"),
        ("my-ap:app", "did you mean `my-app:app`?"),
        ("main:application", "use --python-path src, or `src/main:application`"),
        ("src/mian.py:app", "there is no file `src/mian.py`"),
        ("factory:app_factory", "did you mean `factory:app`?"),
        ("factory:create_app(name)", "no call with literal values"),
    ] {
        let (code, log) = with(target).fail();
        assert_eq!(code, Some(4), "{log}");
        assert!(log.contains(words), "{target}: {words:?} is missing in:\n{log}");
    }
}

/// Granian serves RSGI unless it is told otherwise, and Uvicorn ASGI: what is neither is told at the start.
#[test]
fn applications_of_another_interface_are_refused_with_the_right_one() {
    for (line, words) in [
        ("granian asgi_app:app --port 0", ["`asgi_app:app` is no RSGI application", "set --interface asgi"]),
        ("uvicorn wsgi_app:app --port 0", ["`wsgi_app:app` is no ASGI application", "set --interface wsgi"]),
        ("gunicorn asgi_app:app -b :0", ["`asgi_app:app` is no WSGI application", "set --interface asgi"]),
    ] {
        let (code, log) = Server::peer(line).fail();
        assert_eq!(code, Some(4), "{log}");
        assert!(words.iter().all(|words| log.contains(words)), "{words:?} are missing in:\n{log}");
    }
}

/// The name of the program decides, at the start, at a reload and at an upgrade.
#[test]
fn a_link_with_a_peers_name_reads_its_command_line() {
    let dir = directory("as-link");
    let link = || Command::new(hostler()).arg("link").arg(&dir).output().unwrap();
    assert!(link().status.success() && link().status.success(), "links of ours are replaced");
    let args = ["asgi_app:app", "--port", "0", "--workers", "1", "--log-level", "debug"];
    let mut server = Server::peer_program(dir.join("uvicorn"), args).launch();
    server.wait_for("worker ready", 1);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded ", 1);
    server.signal(Signal::SIGUSR2);
    server.wait_for("serving a command line of another server", 3);
    server.wait_exit_of_master();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(server.successor()), Signal::SIGTERM).unwrap();
    server.wait_empty();
}

/// The name is no file's, and an upgrade starts the program by its own.
#[test]
fn an_upgrade_keeps_the_peer_of_a_name_that_is_no_link() {
    let line = ["-c", "exec -a uvicorn \"$0\" asgi_app:app --port 0 --ws none"];
    let mut server = Server::peer_program("/bin/bash".into(), line).arg(hostler().to_str().unwrap()).launch();
    server.wait_for("worker ready", 1);
    server.signal(Signal::SIGUSR2);
    server.wait_for("serving a command line of another server", 2);
    server.wait_exit_of_master();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(server.successor()), Signal::SIGTERM).unwrap();
    server.wait_empty();
}

#[test]
fn links_do_not_replace_other_files() {
    let dir = directory("foreign-link");
    fs::write(dir.join("hypercorn"), "#!/usr/bin/python\n").unwrap();
    let output = Command::new(hostler()).arg("link").arg(&dir).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("hypercorn` is there already") && !dir.join("uvicorn").exists(), "{text}");
    let output = Command::new(hostler()).args(["link", "/nowhere"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && text.contains("that you may write to"), "{text}");
}

#[test]
fn modules_are_found_in_the_directory_of_app_dir() {
    let dir = directory("app-dir");
    fs::write(dir.join("elsewhere.py"), "from asgi_app import app\n").unwrap();
    let line = format!("uvicorn --app-dir {} elsewhere:app --port 0", dir.display());
    let server = started(Server::peer(&line), 1);
    assert_eq!(server.connect().get("/scope").status, 200);
    server.stop();
}
