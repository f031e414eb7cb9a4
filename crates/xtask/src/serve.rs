//! The demonstration: every example application, each from a server of its own.

use crate::{
    python,
    tools::{Cmd, root, section},
};
use anyhow::{Result, bail};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
};

/// Application, port, what to try.
const APPS: [(&str, u16, &str); 5] = [
    ("starlette_app:app", 8801, "curl -d '{\"a\": 1}' http://127.0.0.1:8801/echo"),
    ("fastapi_app:app", 8802, "curl -i http://127.0.0.1:8802/asyncwait   or a browser at /docs"),
    ("flask_app:app", 8803, "curl -F file=@README.md http://127.0.0.1:8803/upload"),
    ("django_app:asgi", 8804, "curl -d name=you http://127.0.0.1:8804/form"),
    ("talkpython.quart_app:app", 8805, "curl http://127.0.0.1:8805/stream"),
];

pub(crate) fn demo() -> Result<()> {
    let python = python::newest()?;
    section(&format!("building for Python {}", python.version));
    let hostler = python::build(&python)?;
    let venv = python.venv("test", &["examples/requirements.txt"])?;
    section("serving the example applications, two workers each");
    let mut servers = Vec::new();
    for (app, port, attempt) in APPS {
        let mut server = start(&hostler, &venv, app, port)?;
        if !wait_ready(&mut server)? {
            stop(servers);
            bail!("`{app}` did not start; what it said stands above");
        }
        println!("{app:28} http://127.0.0.1:{port}/\n    try: {attempt}");
        servers.push(server);
    }
    println!(
        "{:28} http://127.0.0.1:8806/\n    try: curl http://127.0.0.1:8806/hello/you",
        "axum-hello (native Rust)"
    );
    let axum = root().join("target/release/axum-hello");
    servers.push(Cmd::new(&axum).arg("127.0.0.1:8806").into_inner().spawn()?);
    println!("\nKill a worker (`ps -ef | grep hostler`) and see it replaced. Ctrl-C stops everything.");
    for mut server in servers {
        // Ctrl-C reaches the servers too; each leaves by itself.
        server.wait()?;
    }
    Ok(())
}

fn start(hostler: &Path, python: &Path, app: &str, port: u16) -> Result<Child> {
    let mut command = Cmd::new(hostler)
        .arg(app)
        .args(["--workers", "2", "--port", &port.to_string(), "--python"])
        .arg(python)
        .dir(&root().join("examples"))
        .into_inner();
    Ok(command.stderr(Stdio::piped()).spawn()?)
}

/// Waits until both workers are ready, and passes the log on from then on.
fn wait_ready(server: &mut Child) -> Result<bool> {
    let Some(stderr) = server.stderr.take() else { bail!("the log was not piped") };
    let mut lines = BufReader::new(stderr).lines();
    let mut ready = false;
    for line in lines.by_ref().map_while(Result::ok) {
        println!("    {line}");
        ready = line.contains(" serving url=");
        if ready {
            break;
        }
    }
    #[expect(clippy::disallowed_methods, reason = "this process forks nothing by itself")]
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| println!("    {line}")));
    Ok(ready)
}

fn stop(servers: Vec<Child>) {
    for mut server in servers {
        let _ = server.kill();
        let _ = server.wait();
    }
}
