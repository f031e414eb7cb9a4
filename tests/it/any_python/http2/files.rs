//! Files over HTTP/2: every byte, whichever way they are found, and no placeholder of what HTTP/1 leaves to the kernel.

use crate::{http2_client::Http2, tls_support::Authority};
use hostler_testkit::{Builder, Server};
use hyper::{Method, header::HeaderValue};
use std::{fs, io::Read, path::Path, process::Command};
use tempfile::TempDir;

const SIZES: [usize; 5] = [0, 1, 16_384, 100_001, 3_000_000];

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

fn site() -> TempDir {
    let site = TempDir::new().unwrap();
    for size in SIZES {
        let path = site.path().join(format!("{size}.bin"));
        fs::write(&path, pattern(size)).unwrap();
        // Long ago, so that its validators are strong.
        let changed = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        fs::File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
    }
    site
}

fn serve(site: &Path) -> Builder {
    Server::app("asgi_app:app").option("workers", 1).option("static-path-mount", site.display())
}

fn with(
    client: &Http2,
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
) -> crate::http2_client::Reply {
    let mut request = client.request(method, path);
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
    }
    client.send(request).unwrap()
}

#[test]
fn static_files_are_whole_in_parts_and_not_changed() {
    let site = site();
    let server = serve(site.path()).start();
    let client = Http2::to(&server);
    // Together, so that their frames are mixed.
    let asked = SIZES.iter().map(|size| client.ask(&format!("/static/{size}.bin"))).collect();
    for (reply, size) in client.end_all(asked).into_iter().zip(SIZES) {
        let reply = reply.unwrap();
        assert_eq!(
            (reply.status.as_u16(), reply.headers["content-length"].to_str().unwrap()),
            (200, size.to_string().as_str())
        );
        assert!(reply.body == pattern(size), "{size}");
    }
    let path = "/static/3000000.bin";
    let head = with(&client, Method::HEAD, path, &[]);
    assert_eq!((head.headers["content-length"].to_str().unwrap(), head.body.len()), ("3000000", 0));
    let tag = head.headers["etag"].to_str().unwrap();
    let same = with(&client, Method::GET, path, &[("if-none-match", tag)]);
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    let part = with(&client, Method::GET, path, &[("range", "bytes=1000000-2999998")]);
    assert_eq!(part.status, 206);
    assert!(part.body == pattern(3_000_000)[1_000_000..2_999_999]);
    let parts = with(&client, Method::GET, path, &[("range", "bytes=0-9,20-29")]);
    let expected = &pattern(30)[20..30];
    assert_eq!(parts.status, 206);
    assert!(parts.body.windows(10).any(|bytes| bytes == expected));
    assert_eq!(with(&client, Method::GET, path, &[("range", "bytes=9999999-")]).status, 416);
    assert_eq!(client.get("/static/none").status, 404);
    server.stop();
}

#[test]
fn files_that_applications_name_are_whole() {
    let site = site();
    for interface in ["asgi", "wsgi", "rsgi"] {
        let server = Server::app(&format!("files_app:{interface}"))
            .option("interface", interface)
            .option("workers", 1)
            .option("x-sendfile", site.path().display())
            .start();
        let client = Http2::to(&server);
        for size in SIZES {
            let file = site.path().join(format!("{size}.bin"));
            for path in ["/pathsend", "/"] {
                let reply = client.get(&format!("{path}?{}", file.display()));
                assert!(reply.body == pattern(size), "{interface} {path} {size}: {}", reply.body.len());
            }
        }
        server.stop();
    }
}

#[test]
fn files_over_tls_are_whole() {
    let (site, authority) = (site(), Authority::new("http2-files"));
    let server = authority.server().serve(serve(site.path())).start();
    let url = format!("https://127.0.0.1:{}/static/3000000.bin", server.address.unwrap().port());
    let ca = authority.certificate();
    let mut curl = Command::new("curl");
    curl.args(["-s", "--http2", "--cacert", ca.to_str().unwrap(), "-w", "%{http_version}"]).arg(url);
    let mut output = curl.output().unwrap().stdout;
    assert_eq!(output.pop(), Some(b'2'));
    assert!(output == pattern(3_000_000), "{} bytes", output.len());
    server.stop();
}

#[test]
fn a_file_that_becomes_shorter_resets_its_stream_alone() {
    let site = TempDir::new().unwrap();
    let path = site.path().join("a.bin");
    fs::write(&path, pattern(20_000_000)).unwrap();
    let server = serve(site.path()).start();
    let client = Http2::to(&server);
    let response = client.run(client.ask("/static/a.bin").response).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let mut body = response.into_body();
    let read = client.run(async move {
        let mut read = 0;
        while let Some(piece) = body.data().await {
            let Ok(piece) = piece else { return None };
            let _ = body.flow_control().release_capacity(piece.len());
            read += piece.len();
        }
        Some(read)
    });
    assert_eq!(read, None, "it looked whole");
    assert_eq!(client.get("/pid").status, 200);
    let mut rest = Vec::new();
    fs::File::open(&path).unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 1000);
    server.stop();
}
