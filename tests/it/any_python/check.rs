//! `hostler check`: what keeps a server from starting is found without one, all of it at once, and nothing is changed.

use hostler_testkit::{Server, directory, hostler, python, root};
use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    process::{Command, Output},
};

fn check(args: &[&str]) -> Output {
    let mut command = Command::new(hostler());
    command.current_dir(root().join("tests/apps")).arg("check").args(args).env("HOSTLER_PYTHON", python());
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The report for programs, and the exit code.
fn checked(args: &[&str]) -> (Value, Option<i32>) {
    let output = check(&[args, &["--json"]].concat());
    let report = serde_json::from_slice(&output.stdout);
    (report.unwrap_or_else(|error| panic!("{error}: {output:?}")), output.status.code())
}

fn problems(report: &Value) -> Vec<String> {
    let of = |problem: &Value| problem["of"].as_str().unwrap().to_owned();
    report["problems"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn what_would_run_is_told_and_nothing_serves() {
    let output = check(&["asgi_app:app", "--port", "0", "--workers", "3"]);
    let report = text(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    for words in [
        "ok       application: `asgi_app:app` is served by asgi; its import took",
        "ok       addresses: 127.0.0.1:0",
        "This would run:",
        "workers            3",
    ] {
        assert!(report.contains(words), "{words:?} is missing in:\n{report}");
    }
    let (report, code) = checked(&["wsgi_app:app", "--port", "0"]);
    assert_eq!(
        (code, &report["ok"], &report["would_run"]["interface"]),
        (Some(0), &true.into(), &"wsgi".into())
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (report, code) = checked(&[
        "unimportable:app",
        "--port",
        &port,
        "--log-file",
        "/nowhere/log",
        "--pid-file",
        "/nowhere/pid",
        "--static-path-mount",
        "/nowhere/static",
        "--env-files",
        "/nowhere/env",
        "--ssl-certificate",
        "/nowhere/certificate.pem",
        "--ssl-keyfile",
        "/nowhere/key.pem",
    ]);
    let found = problems(&report);
    assert_eq!(
        found,
        ["log", "pid file", "directories", "certificates", "environment", "addresses"],
        "{report:#}"
    );
    assert_eq!((code, &report["ok"]), (Some(78), &false.into()));
}

#[test]
fn mistakes_of_the_configuration_are_told_together() {
    let (report, code) =
        checked(&["a:b", "--runtime-threads", "2", "--max-requests-jitter", "5", "--umask", "0"]);
    let message = report["problems"][0]["message"].as_str().unwrap().to_owned();
    assert_eq!(code, Some(2), "{report:#}");
    assert!(message.contains("2 mistakes") && message.contains("--runtime-threads"), "{message}");
    assert!(message.contains("--max-requests-jitter"), "{message}");
}

#[test]
fn an_application_that_cannot_be_imported_is_explained_as_at_a_start() {
    let output = check(&["unimportable:app", "--port", "0"]);
    let report = text(&output);
    assert_eq!(output.status.code(), Some(4), "{report}");
    assert!(report.contains("error    application: could not load `unimportable:app`"), "{report}");
    assert!(report.contains("Traceback (most recent call last):"), "{report}");
}

/// What the application does while it is imported is its own: it may print, leave threads behind, or end the process.
#[test]
fn an_import_with_effects_is_told_from_its_result() {
    let dir = directory("check-import");
    for (name, source, code, words) in [
        (
            "prints",
            "print('{}', flush=True)\ndef app(environ, start_response): ...\n",
            0,
            "is served by wsgi",
        ),
        (
            "threads",
            "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n\
             async def app(scope, receive, send): ...\n",
            0,
            "is served by asgi",
        ),
        ("leaves", "import os\nos._exit(7)\n", 3, "the process that imported it ended (exit status: 7)"),
        ("hangs", "import time\ntime.sleep(1000)\n", 3, "it took longer than --boot-timeout"),
    ] {
        fs::write(dir.join(format!("{name}.py")), source).unwrap();
        let target = format!("{name}:app");
        let dir = dir.to_str().unwrap();
        let output = check(&[&target, "--port", "0", "--working-dir", dir, "--boot-timeout", "3"]);
        let report = text(&output);
        assert_eq!(output.status.code(), Some(code), "{name}: {report}");
        assert!(report.contains(words), "{name}: {report}");
    }
}

#[test]
fn nothing_is_left_behind() {
    let dir = directory("check-files");
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (socket, log, pid) = (path("socket"), path("log"), path("pid"));
    let output = check(&["asgi_app:app", "--uds", &socket, "--log-file", &log, "--pid-file", &pid]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let left: Vec<_> = fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// As `ExecReload=` runs it, beside the server that is to be reloaded.
#[test]
fn the_addresses_of_a_server_that_runs_are_no_problem_and_stay_its_own() {
    let dir = directory("check-beside");
    let (socket, pid) = (dir.join("socket"), dir.join("pid"));
    let server = Server::app("asgi_app:app")
        .option("bind", format!("unix:{}", socket.display()))
        .option("bind", "127.0.0.1:0")
        .option("pid-file", pid.display())
        .start();
    server.wait_for_file(&pid);
    let port = server.logged_address().unwrap().port();
    let uds = format!("unix:{}", socket.display());
    let tcp = format!("127.0.0.1:{port}");
    let (report, code) =
        checked(&["asgi_app:app", "--bind", &uds, "--bind", &tcp, "--pid-file", pid.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{report:#}");
    let warnings = report["warnings"].to_string();
    assert_eq!(warnings.matches("a hostler that runs listens there").count(), 2, "{report:#}");
    assert!(warnings.contains("the server of this pid file runs"), "{report:#}");
    assert!(socket.exists());
    hostler_testkit::get_unix(&socket, "/pid").unwrap();
    server.stop();
}

#[test]
fn another_servers_command_line_is_checked_too() {
    let output = check(&["as", "uvicorn", "asgi_app:app", "--port", "0", "--workers", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let gunicorn = |target: &str| {
        let mut command = Command::new(hostler());
        command.current_dir(root().join("tests/apps")).env("HOSTLER_PYTHON", python());
        command.args(["as", "gunicorn", "--check-config", "--bind", "127.0.0.1:0", target]).output().unwrap()
    };
    let good = gunicorn("wsgi_app:app");
    assert_eq!((good.status.code(), text(&good).as_str()), (Some(0), ""));
    let bad = gunicorn("wsgi_app:nothing");
    assert_eq!(bad.status.code(), Some(4), "{bad:?}");
    assert!(text(&bad).contains("has no attribute `nothing`"), "{bad:?}");
}

#[test]
fn options_that_do_nothing_are_told_here_and_at_the_start() {
    let pointless = ["--interface", "asgi", "--blocking-threads", "4", "--queue-timeout", "3"];
    let (report, code) = checked(&[&["asgi_app:app", "--port", "0"], &pointless[..]].concat());
    let warnings = report["warnings"].to_string();
    assert_eq!(code, Some(0), "{report:#}");
    assert!(
        warnings.contains("--blocking-threads 4") && warnings.contains("--queue-timeout 3"),
        "{warnings}"
    );
    let server = pointless.iter().fold(Server::app("asgi_app:app"), |server, word| server.arg(word)).start();
    server.wait_for("an option has no effect, or not the one it seems to have", 2);
    server.stop();
}

#[test]
fn a_control_socket_that_cannot_be_made_is_told() {
    let (report, code) = checked(&["asgi_app:app", "--port", "0", "--control-socket", "/nowhere/control"]);
    assert_eq!((problems(&report), code), (vec!["control socket".to_owned()], Some(1)), "{report:#}");
    let path = directory("check-control").join("control");
    let (report, code) =
        checked(&["asgi_app:app", "--port", "0", "--control-socket", path.to_str().unwrap()]);
    assert_eq!((code, path.exists()), (Some(0), false), "{report:#}");
}

/// A link to nowhere is kept, and what was made behind it is not.
#[test]
fn a_log_file_behind_a_link_is_not_touched() {
    let directory = directory("check-link");
    let (link, file) = (directory.join("link"), directory.join("file"));
    std::os::unix::fs::symlink("file", &link).unwrap();
    let (report, code) = checked(&["asgi_app:app", "--port", "0", "--log-file", link.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{report:#}");
    assert!(fs::symlink_metadata(&link).is_ok() && !file.exists());
}

#[test]
fn what_the_import_leaves_behind_ends_with_it() {
    let directory = directory("check-left");
    let child = "import subprocess; child = subprocess.Popen(['sleep', '1000']); app = None\n";
    let note = "open('pid', 'w').write(str(child.pid))\nasync def app(scope, receive, send): pass\n";
    fs::write(directory.join("leaves.py"), format!("{child}{note}")).unwrap();
    let place = directory.to_str().unwrap();
    let (report, code) = checked(&["leaves:app", "--port", "0", "--working-dir", place]);
    assert_eq!(code, Some(0), "{report:#}");
    let pid: i32 = fs::read_to_string(directory.join("pid")).unwrap().parse().unwrap();
    let is_there = || {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        status.contains("sleep") && !status.contains(") Z ")
    };
    hostler_testkit::wait_until("the child is gone", || !is_there());
}

#[test]
fn an_application_that_kills_its_group_does_not_kill_the_check() {
    let directory = directory("check-kills");
    fs::write(directory.join("kills.py"), "import os, signal\nos.killpg(0, signal.SIGTERM)\n").unwrap();
    let (report, code) = checked(&["kills:app", "--port", "0", "--working-dir", directory.to_str().unwrap()]);
    assert_eq!((problems(&report), code), (vec!["application".to_owned()], Some(3)), "{report:#}");
}

#[test]
fn its_help_is_its_own() {
    let output = check(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output).contains("Usage: hostler check"), "{output:?}");
}

/// A directory with an application of this text, as `here:app`.
fn application(name: &str, text: &str) -> std::path::PathBuf {
    let directory = directory(name);
    fs::write(directory.join("here.py"), text).unwrap();
    directory
}

const ASGI: &str = "async def app(scope, receive, send): pass\n";

#[test]
fn what_preload_refuses_is_found() {
    let text = format!(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n{ASGI}"
    );
    let directory = application("check-preload", &text);
    let place = ["here:app", "--port", "0", "--working-dir", directory.to_str().unwrap()];
    let (report, code) = checked(&[&place[..], &["--preload=strict"]].concat());
    assert_eq!((problems(&report), code), (vec!["preload".to_owned()], Some(3)), "{report:#}");
    assert!(report["problems"][0]["cause"].as_str().unwrap().contains("the thread"), "{report:#}");
    let (report, code) = checked(&[&place[..], &["--preload=warn"]].concat());
    assert!(code == Some(0) && report["warnings"].to_string().contains("a fork may be unsafe"), "{report:#}");
    let (report, code) = checked(&place);
    assert!(code == Some(0) && !report.to_string().contains("fork"), "{report:#}");
    let (report, code) = checked(&["asgi_app:app", "--port", "0", "--preload=strict"]);
    assert!(code == Some(0) && report.to_string().contains("nothing makes forks unsafe"), "{report:#}");
}

#[test]
fn a_lifespan_is_run_if_that_is_asked_for() {
    let text = "async def app(scope, receive, send):
    for name in ('startup', 'shutdown'):
        await receive()
        open(name, 'w').close()
        await send({'type': f'lifespan.{name}.complete'})
";
    let directory = application("check-lifespan", text);
    let place = ["here:app", "--port", "0", "--working-dir", directory.to_str().unwrap()];
    let (report, code) = checked(&place);
    assert_eq!((code, directory.join("startup").exists()), (Some(0), false), "{report:#}");
    let (report, code) = checked(&[&place[..], &["--run-lifespan"]].concat());
    assert_eq!(code, Some(0), "{report:#}");
    assert!(directory.join("startup").exists() && directory.join("shutdown").exists(), "{report:#}");
    assert!(report["checked"].to_string().contains("startup and shutdown took"), "{report:#}");
    fs::write(
        directory.join("here.py"),
        text.replace("open(name, 'w').close()", "raise OSError('no database')"),
    )
    .unwrap();
    let (report, code) = checked(&[&place[..], &["--run-lifespan"]].concat());
    assert_eq!((problems(&report), code), (vec!["lifespan".to_owned()], Some(3)), "{report:#}");
    assert!(report["problems"][0]["cause"].as_str().unwrap().contains("OSError: no database"), "{report:#}");
    let (report, code) = checked(&["wsgi_app:app", "--port", "0", "--run-lifespan"]);
    assert!(code == Some(0) && report["checked"].to_string().contains("is served by wsgi"), "{report:#}");
}

#[test]
fn the_functions_of_hooks_are_found_and_not_called() {
    let directory = application("check-hooks", ASGI);
    let conf = directory.join("gunicorn.conf.py");
    let place = directory.to_str().unwrap();
    let args =
        ["here:app", "--port", "0", "--working-dir", place, "--gunicorn-hooks", conf.to_str().unwrap()];
    fs::write(&conf, "def post_fork(server, worker):\n    open('called', 'w').close()\n").unwrap();
    let (report, code) = checked(&args);
    assert_eq!(code, Some(0), "{report:#}");
    assert!(report["checked"].to_string().contains("post_fork can be called"), "{report:#}");
    assert!(!directory.join("called").exists());
    fs::write(&conf, "import nothing_of_that_name\n").unwrap();
    let (report, code) = checked(&args);
    assert_eq!((problems(&report), code), (vec!["hooks".to_owned()], Some(78)), "{report:#}");
}

#[test]
fn sockets_that_are_passed_are_looked_at_and_all_are_counted() {
    let (report, code) = checked(&["asgi_app:app", "--bind", "fd://77"]);
    assert!(code == Some(0) && report["warnings"].to_string().contains("fd://77"), "{report:#}");
    let (report, code) = checked(&["asgi_app:app", "--bind", "fd://0"]);
    assert_eq!((problems(&report), code), (vec!["addresses".to_owned()], Some(1)), "{report:#}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(hostler());
    command.current_dir(root().join("tests/apps")).env("HOSTLER_PYTHON", python());
    command.args(["check", "asgi_app:app", "--bind", "fd://0"]).stdin(std::os::fd::OwnedFd::from(listener));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let binds = ["--bind", "127.0.0.1:0"].repeat(300);
    let (report, code) = checked(&[&["asgi_app:app"], &binds[..]].concat());
    assert!(code == Some(78) && report["problems"].to_string().contains("are too many"), "{report:#}");
}
