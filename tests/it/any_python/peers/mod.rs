//! Command lines of other servers, served: `gunicorn` Gunicorn's, `files` files of settings, `names` names of the program and of
//! applications.

mod files;
mod gunicorn;
mod names;

use hostler_testkit::{Builder, Server, directory, hostler};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A server of a peer's command line, once its workers are ready.
fn started(builder: Builder, workers: usize) -> Server {
    let mut server = builder.launch();
    server.wait_for("worker ready", workers);
    server.address = server.logged_address();
    server
}

fn access_log(name: &str) -> PathBuf {
    directory(name).join("access")
}

fn line_of(server: &Server, file: &Path, text: &str) -> String {
    let read = || fs::read_to_string(file).unwrap_or_default();
    server.wait_until(&format!("a line with {text}"), || read().contains(text));
    read().lines().find(|line| line.contains(text)).unwrap().to_owned()
}

#[test]
fn uvicorns_command_line_serves_asgi_with_its_access_log() {
    let file = access_log("as-uvicorn");
    let line = "uvicorn asgi_app:app --host 127.0.0.1 --port 0 --workers 2 --http h11 --proxy-headers";
    let server = started(Server::peer(line).env("HOSTLER_ACCESS_LOGFILE", file.to_str().unwrap()), 2);
    server.wait_for("options have no effect; --explain says why peer=\"uvicorn\" options=\"--http h11\"", 1);
    assert_eq!(server.connect().get("/scope?a=b").status, 200);
    let line = line_of(&server, &file, "/scope");
    assert!(line.starts_with("INFO:     127.0.0.1:"), "{line}");
    assert!(line.ends_with("- \"GET /scope?a=b HTTP/1.1\" 200 OK"), "{line}");
    server.stop();
}

#[test]
fn granians_environment_serves_wsgi() {
    let server = Server::peer("granian").env("GRANIAN_PORT", "0").env("GRANIAN_INTERFACE", "wsgi");
    let server = started(server.env("GRANIAN_WORKERS", "1").arg("wsgi_app:app"), 1);
    server.wait_for("interface=\"wsgi\"", 1);
    let environ = server.connect().request("GET", "/environ", "x-forwarded-for: 9.9.9.9\r\n", b"");
    assert!(environ.text().contains("\"wsgi.multithread\": true"), "{}", environ.text());
    assert!(environ.text().contains("\"REMOTE_ADDR\": \"127.0.0.1\""), "{}", environ.text());
    server.stop();
}

#[test]
fn hypercorns_socket_has_the_mode_of_its_mask() {
    let socket = directory("as-hypercorn").join("h.sock");
    let line = format!("hypercorn -b unix:{} -m 7 -w1 -k asyncio asgi_app:app", socket.display());
    let server = Server::peer(&line).launch();
    server.wait_for("worker ready", 1);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o770);
    server.stop();
}

#[test]
fn errors_name_what_the_user_wrote() {
    for (line, words) in [
        ("uvicorn asgi_app:app --port ten", "invalid value 'ten' for --port (command line of uvicorn)"),
        ("uvicorn asgi_app:app --wokers 2", "did you mean --workers?"),
        ("granian asgi_app:app --interface asgi --runtime-thread 2", "did you mean --runtime-threads?"),
        ("hypercorn asgi_app:app --quic-bind :4433", "HTTP/3 is not served"),
        (
            "gunicorn asgi_app:app --timeout soon",
            "invalid value 'soon' for --timeout (command line of gunicorn)",
        ),
        ("gunicorn asgi_app:app -k tornado", "use gthread"),
        ("gunicorn asgi_app:app -D", "hostler stays in the foreground"),
        ("cherokee asgi_app:app", "it is one of granian"),
    ] {
        let (code, log) = Server::peer(line).fail();
        assert_eq!(code, Some(2), "{log}");
        assert!(
            log.contains(words) && log.matches("error: ").count() == 1,
            "{words:?} is missing in:\n{log}"
        );
    }
    let (code, log) = Server::peer("granian asgi_app:app").env("GRANIAN_PORT", "ten").fail();
    assert_eq!(code, Some(78), "{log}");
    assert!(
        log.contains("invalid value 'ten' for --port (environment variable GRANIAN_PORT of granian)"),
        "{log}"
    );
}

#[test]
fn explanations_start_nothing_and_have_the_status_of_the_start() {
    for (args, code, words) in [
        (&["uvicorn", "a:b", "--port", "80", "--explain"][..], 0, "hostler a:b --port 80 --interface asgi"),
        (&["uvicorn", "a:b", "--interface", "asgi2", "--explain"], 2, "refused: ASGI 2 is not served"),
        (&["granian", "--help"], 0, "--workers-lifetime"),
        (&["hypercorn", "-h"], 0, "refused: HTTP/3"),
    ] {
        let output = Command::new(hostler()).arg("as").args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(words), "{text}");
    }
}

/// As with Granian and Uvicorn, a variable of the environment counts more than the file's.
#[test]
fn environment_files_do_not_replace_variables() {
    let dir = directory("env-file");
    fs::write(dir.join("env"), "VERSION=file\nIMPORT_SECONDS=0\n").unwrap();
    let line = format!("uvicorn supervised:app --port 0 --env-file {}", dir.join("env").display());
    let server = started(Server::peer(&line).env("VERSION", "environment"), 1);
    let who = server.connect().get("/who").text();
    assert!(who.contains("environment"), "{who}");
    server.stop();
}
