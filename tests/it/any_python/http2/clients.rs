//! Clients that are in use: curl, nghttp, h2load.

use crate::{
    support::{connections, is_pattern},
    tls_support::Authority,
};
use hostler_testkit::Server;
use std::process::Command;

fn run(program: &str, arguments: &[&str]) -> (Vec<u8>, String) {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {told}");
    (output.stdout, told)
}

/// Every test on plain connections and over TLS.
fn both(name: &str, interface: &str, test: impl Fn(&Server, String)) {
    let server = connections(interface).option("workers", 2).start();
    test(&server, format!("http://{}", server.address.unwrap()));
    server.stop();
    let authority = Authority::new(name);
    let server = authority.server().serve(connections(interface)).option("workers", 2).start();
    test(&server, format!("https://127.0.0.1:{}", server.address.unwrap().port()));
    server.stop();
}

#[test]
fn h2load_gets_every_response() {
    for interface in ["asgi", "wsgi", "rsgi"] {
        both(&format!("http2-h2load-{interface}"), interface, |_, url| {
            let url = format!("{url}/bytes?n=20000");
            let (told, _) = run("h2load", &["-n", "2000", "-c", "10", "-m", "20", &url]);
            let told = String::from_utf8_lossy(&told).into_owned();
            assert!(told.contains("2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{told}");
        });
    }
}

#[test]
fn nghttp_downloads_and_uploads() {
    both("http2-nghttp", "asgi", |_, url| {
        let (body, _) = run("nghttp", &["--no-dep", &format!("{url}/bytes?n=3000000&pieces=5")]);
        assert_eq!(body.len(), 3_000_000);
        assert!(is_pattern(&body));
        let upload = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(upload.path(), vec![b'x'; 2_000_000]).unwrap();
        let data = upload.path().to_str().unwrap();
        let (body, _) = run("nghttp", &["--no-dep", "-d", data, &format!("{url}/read")]);
        assert_eq!(body, b"2000000");
        let (body, _) =
            run("nghttp", &["--no-dep", "-d", data, "--trailer", "x-a: b", &format!("{url}/read")]);
        assert_eq!(body, b"2000000");
    });
}

#[test]
fn curl_uploads_with_prior_knowledge_and_without_a_length() {
    let server = connections("asgi").option("workers", 1).start();
    let upload = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(upload.path(), vec![b'x'; 2_000_000]).unwrap();
    let (file, url) = (upload.path().to_str().unwrap(), format!("http://{}/read", server.address.unwrap()));
    let how = [
        "-s",
        "--http2-prior-knowledge",
        "-w",
        " %{http_version} %{response_code}",
        "-T",
        file,
        "-X",
        "POST",
    ];
    assert_eq!(run("curl", &[&how[..], &[&url]].concat()).0, b"2000000 2 200");
    let chunked = ["-H", "transfer-encoding: chunked"];
    assert_eq!(run("curl", &[&how[..], &chunked, &[&url]].concat()).0, b"2000000 2 200");
    server.stop();
}
