//! What the comparisons of TLS and static files need: a certificate, files, and nginx on a port that is asked for.

use crate::tools::{Cmd, root};
use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One process, as each server here has one worker; without a log, as those have none.
const NGINX: &str = "\
daemon off; worker_processes 1; pid nginx.PORT.pid; error_log nginx.log;
events { worker_connections 1024; }
http {
    types { text/plain txt; }
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    server { listen 127.0.0.1:PORT; root .; }
}
";

const START_NGINX: &str = "cd \"$(dirname \"$0\")\" && sed \"s/PORT/$1/\" nginx.conf > nginx.$1.conf \
    && exec nginx -p . -c nginx.$1.conf\n";

/// A directory with `cert.pem`, `key.pem`, `files/10k.txt`, `files/10m.txt` and `nginx.sh`, which takes a port.
pub(super) fn prepare() -> Result<PathBuf> {
    let directory = root().join("target/bench-edge");
    fs::create_dir_all(directory.join("files"))?;
    fs::create_dir_all(directory.join("tmp"))?;
    fs::write(directory.join("files/10k.txt"), "0123456789".repeat(1_000))?;
    fs::write(directory.join("files/10m.txt"), "0123456789".repeat(1_000_000))?;
    fs::write(directory.join("nginx.conf"), NGINX)?;
    fs::write(directory.join("nginx.sh"), START_NGINX)?;
    certificate(&directory)?;
    super::install("nginx", "nginx-light")?;
    super::install("h2load", "nghttp2-client")?;
    Ok(directory)
}

fn certificate(directory: &Path) -> Result<()> {
    let key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let subject = ["-days", "365", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
    let (cert, private) = (directory.join("cert.pem"), directory.join("key.pem"));
    let openssl = Cmd::new(Path::new("openssl")).args(key).args(subject);
    openssl.arg("-keyout").arg(private).arg("-out").arg(cert).output().map(drop)
}
