//! Handshakes: real clients, versions, several certificates, plain addresses beside, and clients that are slow or leave.

use crate::{
    support::refused,
    tls_support::{Authority, Files, certificate_in},
};
use hostler_testkit::{Builder, Conn, Server, directory};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
};

const APP: &str = "asgi_app:app";

fn output(program: &str, args: &[&str]) -> String {
    let ran = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    format!("{}\n{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

fn url(server: &Server, path: &str) -> String {
    format!("https://localhost:{}{path}", server.address.unwrap().port())
}

#[test]
fn curl_openssl_and_python_are_served() {
    let authority = Authority::new("tls-clients");
    let server = authority.server().start(APP);
    let (ca, address) = (authority.certificate(), server.address.unwrap());
    let ca = ca.to_str().unwrap();
    let said = output("curl", &["-sv", "--http1.1", "--cacert", ca, &url(&server, "/echo"), "-d", "hello"]);
    assert!(said.contains("HTTP/1.1 200") && said.contains("hello"), "{said}");
    let said =
        output("curl", &["-sv", "--tls-max", "1.2", "--cacert", ca, &url(&server, "/echo"), "-d", "hello"]);
    assert!(said.contains("TLSv1.2") && said.contains("hello"), "{said}");
    let target = address.to_string();
    let said = output(
        "openssl",
        &["s_client", "-connect", &target, "-CAfile", ca, "-alpn", "http/1.1", "-verify_return_error"],
    );
    assert!(
        said.contains("Verify return code: 0 (ok)") && said.contains("ALPN protocol: http/1.1"),
        "{said}"
    );
    let program = "import ssl, sys, urllib.request as r\n\
        context = ssl.create_default_context(cafile=sys.argv[2])\n\
        print(r.urlopen(sys.argv[1], data=b'hello', context=context).read())";
    let said =
        output(hostler_testkit::python().to_str().unwrap(), &["-c", program, &url(&server, "/echo"), ca]);
    assert!(said.contains("b'hello'"), "{said}");
    server.stop();
}

#[test]
fn aes_with_128_bits_is_preferred_and_chacha20_taken_where_the_client_prefers_it() {
    let server = Authority::new("tls-suites").server().start(APP);
    let target = server.address.unwrap().to_string();
    const AES_256: &str = "TLS_AES_256_GCM_SHA384";
    const AES_128: &str = "TLS_AES_128_GCM_SHA256";
    const CHACHA: &str = "TLS_CHACHA20_POLY1305_SHA256";
    let (old_256, old_chacha) = ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305");
    let old_128 = "ECDHE-ECDSA-AES128-GCM-SHA256";
    let cases: [(&str, &[&str], &str); 7] = [
        ("-ciphersuites", &[AES_256, CHACHA, AES_128], AES_128),
        ("-ciphersuites", &[AES_256, CHACHA], AES_256),
        ("-ciphersuites", &[CHACHA, AES_256, AES_128], CHACHA),
        // No suite of the server's comes before it.
        ("-ciphersuites", &["TLS_AES_128_CCM_SHA256", CHACHA, AES_128], CHACHA),
        ("-cipher", &[old_256, old_128, old_chacha], old_128),
        ("-cipher", &[old_chacha, old_128], old_chacha),
        ("-cipher", &[old_256], old_256),
    ];
    for (option, offered, expected) in cases {
        let version = if option == "-cipher" { "-tls1_2" } else { "-tls1_3" };
        let offered = offered.join(":");
        let said = output("openssl", &["s_client", "-connect", &target, version, option, &offered]);
        assert!(said.contains(&format!("Cipher is {expected}")), "{offered}: {said}");
    }
    server.stop();
}

#[test]
fn the_oldest_version_can_be_set() {
    let authority = Authority::new("tls-versions");
    let files = authority.server();
    let server = files.start(APP);
    assert!(!authority.client().tls12().get(&server, "/pid").is_empty());
    server.stop();
    let server = files.serve(Server::app(APP)).option("ssl-protocol-min", "tls1.3").start();
    assert!(!authority.client().get(&server, "/pid").is_empty());
    let refused = authority.client().tls12().try_connect(server.address.unwrap(), "localhost");
    assert!(refused.is_err_and(|error| error.to_string().contains("ProtocolVersion")));
    server.stop();
}

#[test]
fn clients_get_the_certificate_for_the_host_that_they_ask_for() {
    let authority = Authority::new("tls-sni");
    let all = [("first", "localhost"), ("shop", "shop.example"), ("any", "*.shop.example")]
        .map(|(name, host)| authority.make(name, &[host], |_| {}));
    let server = all.iter().fold(Server::app(APP), |builder, files| files.serve(builder)).start();
    let expected = [
        ("localhost", 0, true),
        ("shop.example", 1, true),
        ("SHOP.example", 1, true),
        ("api.shop.example", 2, true),
        ("a.b.shop.example", 0, false),
        ("other.example", 0, false),
    ];
    for (host, index, trusted) in expected {
        let connected = authority.client().try_connect(server.address.unwrap(), host);
        assert_eq!(connected.is_ok(), trusted, "{host}");
        if let Ok(connection) = connected {
            assert_eq!(connection.certificate(), certificate_in(&all[index].certificate), "{host}");
        }
    }
    server.stop();
}

/// Starts a server with an address for each; the plain one, and the one over TLS.
fn start_both(
    authority: &Authority,
    change: impl FnOnce(Builder) -> Builder,
) -> (Server, SocketAddr, SocketAddr) {
    let builder = authority.server().serve(Server::app(APP));
    let server = change(builder.option("bind", "127.0.0.2:0").option("ssl-bind", "127.0.0.1:0")).start();
    let log = server.log();
    let served = log.lines().find(|line| line.contains("serving over TLS")).unwrap();
    let tls = served.split("addresses=").nth(1).unwrap().split(' ').next().unwrap();
    let tls: SocketAddr = tls.trim_matches('"').parse().unwrap();
    let bound = log.split("address=").skip(1);
    let mut bound = bound.map(|rest| rest.split_whitespace().next().unwrap().parse::<SocketAddr>().unwrap());
    let plain = bound.find(|address| *address != tls).unwrap();
    (server, plain, tls)
}

#[test]
fn addresses_are_served_with_and_without_tls_side_by_side() {
    let authority = Authority::new("tls-binds");
    let (server, plain, tls) = start_both(&authority, |builder| builder);
    assert!(Conn::to(plain).get("/scope").text().contains("\"scheme\": \"http\""));
    let mut over_tls = authority.client().try_connect(tls, "localhost").unwrap();
    assert!(over_tls.get("/scope").contains("\"scheme\": \"https\""));
    assert!(authority.client().try_connect(plain, "localhost").is_err());
    server.wait_for("TLS, and this address is served without it", 1);
    let mut plain = TcpStream::connect(plain).unwrap();
    plain.write_all(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]).unwrap();
    let mut said = String::new();
    plain.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 400 ") && said.ends_with("use http://"), "{said}");
    server.stop();
}

#[test]
fn http_without_tls_is_told_to_use_https() {
    let authority = Authority::new("tls-plain-http");
    let server = authority.server().start(APP);
    let address = server.address.unwrap();
    let get = "GET /echo HTTP/1.1\r\nhost: t\r\n\r\n".to_owned();
    // What is not read yet must not cost the client its response.
    let post =
        format!("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 300000\r\n\r\n{}", "x".repeat(300_000));
    for request in [get, post] {
        let mut conn = Conn::to(address);
        conn.send(request);
        let reply = conn.reply().unwrap();
        assert_eq!(reply.status, 400);
        assert!(reply.text().ends_with("use https://"), "{}", reply.text());
    }
    server.wait_for("served over TLS: use https://", 1);
    assert!(!authority.client().get(&server, "/pid").is_empty());
    server.stop();
}

#[test]
fn requests_without_tls_are_redirected() {
    let authority = Authority::new("tls-redirect");
    let (server, plain, tls) = start_both(&authority, |builder| builder.arg("--redirect-https"));
    let ask = |headers: &str| {
        let mut conn = Conn::to(plain);
        conn.send(format!("GET /scope?a=b HTTP/1.1\r\n{headers}\r\n"));
        conn.reply().unwrap()
    };
    let reply = ask("host: localhost:80\r\n");
    assert_eq!(reply.status, 308);
    assert_eq!(reply.header("location"), Some(&*format!("https://localhost:{}/scope?a=b", tls.port())));
    assert_eq!(
        ask("host: localhost\r\nx-forwarded-proto: https\r\n").status,
        200,
        "a proxy received it over TLS"
    );
    for headers in ["", "host:\r\n"] {
        let mut conn = Conn::to(plain);
        conn.send(format!("GET /scope HTTP/1.0\r\n{headers}\r\n"));
        let reply = conn.reply().unwrap();
        assert_eq!(reply.status, 400, "{headers:?}");
        assert!(reply.text().contains("which host"), "{}", reply.text());
    }
    let url = format!("http://{plain}/echo");
    let ca = authority.certificate();
    // The host of the URL stays the same: it is one of both addresses here.
    let host = format!("{}:{}:127.0.0.1:{}", plain.ip(), tls.port(), tls.port());
    let said = output(
        "curl",
        &["-sLk", "--connect-to", &host, "-d", "hello", "--cacert", ca.to_str().unwrap(), &url],
    );
    assert_eq!(said.trim(), "hello", "the method and the body are kept");
    server.stop();
    let all = authority.server().serve(Server::app(APP)).arg("--redirect-https");
    refused(all, 78, &["--redirect-https needs --ssl-bind"]);
}

#[test]
fn a_redirect_has_a_line_in_the_access_log() {
    let authority = Authority::new("tls-redirect-line");
    let access = directory("tls-redirect-line-log").join("access");
    let (server, plain, _) = start_both(&authority, |builder| {
        let builder = builder.arg("--redirect-https").option("access-logfile", access.display());
        let builder = builder.option("request-id-header", "X-Request-ID").arg("--request-id-response");
        builder.option("access-log-fmt", "%(r)s %(s)s %(B)s %(scheme)s %(host)s %(complete)s %(request_id)s")
    });
    let mut conn = Conn::to(plain);
    let reply = conn.request("GET", "/scope?a=b", "x-request-id: from-proxy\r\n", b"");
    let (status, length) = (reply.status, reply.body.len());
    assert_eq!((status, reply.header("x-request-id")), (308, Some("from-proxy")));
    let expected = format!("GET /scope?a=b HTTP/1.1 308 {length} http test true from-proxy\n");
    let logged = || std::fs::read_to_string(&access).unwrap_or_default();
    server.wait_until("logged", || logged().ends_with('\n'));
    assert_eq!(logged(), expected);
    server.stop();
}

/// A certificate with the serial number 0ABC, and an OCSP response about it in the file `staple`, which is good for a week.
fn stapled(authority: &Authority) -> Files {
    let files = authority.make("server", &["localhost"], |params| {
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x0a, 0xbc]));
    });
    let path = |name: &str| authority.dir.join(name).to_str().unwrap().to_owned();
    fs::write(path("ca.key"), authority.issuer().key().serialize_pem()).unwrap();
    fs::write(path("index"), "V\t400101000000Z\t\t0ABC\tunknown\t/CN=server\n").unwrap();
    let (ca, certificate) = (path("ca.pem"), path("server.pem"));
    output("openssl", &["ocsp", "-issuer", &ca, "-cert", &certificate, "-reqout", &path("request")]);
    let signer =
        ["-rsigner", &ca, "-rkey", &path("ca.key"), "-CA", &ca, "-index", &path("index"), "-ndays", "7"];
    let made = ["ocsp", "-reqin", &path("request"), "-respout", &path("staple")];
    output("openssl", &[&made[..], &signer].concat());
    files
}

#[test]
fn an_ocsp_response_is_sent_with_the_certificate() {
    let authority = Authority::new("tls-staple");
    let files = stapled(&authority);
    let path = |name: &str| authority.dir.join(name).to_str().unwrap().to_owned();
    let server = files.serve(Server::app(APP)).option("ssl-stapling-file", path("staple")).start();
    let target = server.address.unwrap().to_string();
    let ca = path("ca.pem");
    let said = output("openssl", &["s_client", "-connect", &target, "-CAfile", &ca, "-status"]);
    assert!(
        said.contains("OCSP Response Status: successful") && said.contains("Cert Status: good"),
        "{said}"
    );
    assert!(!server.log().contains("OCSP"), "{}", server.log());
    server.stop();
    fs::write(path("later"), [0x30, 3, 0x0a, 1, 3]).unwrap();
    fs::write(path("cut"), [0x30, 5, 0x0a, 1, 0, 0xa0, 0]).unwrap();
    fs::write(path("empty"), "").unwrap();
    for (file, words) in [
        ("later", ["tryLater", "openssl ocsp"]),
        ("server.pem", ["no OCSP response in DER", "openssl ocsp"]),
        ("cut", ["cannot be parsed", "-respin"]),
        ("empty", ["it is empty", "names a DER file"]),
    ] {
        let words = [words[0], words[1], file];
        refused(files.serve(Server::app(APP)).option("ssl-stapling-file", path(file)), 78, &words);
    }
}

#[test]
fn an_ocsp_response_that_is_of_no_use_is_sent_with_a_warning() {
    let authority = Authority::new("tls-stale-staple");
    let files = stapled(&authority);
    let staple = authority.dir.join("staple");
    let good = fs::read(&staple).unwrap();
    // Its dates: when it was made, from when on it holds, and until when.
    let dates = |at: &usize| good[*at..].starts_with(&[0x18, 15]);
    let until = (0..good.len()).filter(dates).nth(2).unwrap() + 2;
    let mut expired = good.clone();
    expired[until..until + 15].copy_from_slice(b"20200203040506Z");
    let replace = |bytes: &[u8]| {
        fs::write(authority.dir.join("new"), bytes).unwrap();
        fs::rename(authority.dir.join("new"), &staple).unwrap();
    };
    replace(&expired);
    let start = |files: &Files| files.serve(Server::app(APP)).option("ssl-stapling-file", staple.display());
    let server = start(&files).start();
    let told = format!("the OCSP response `{}` expired at 2020-02-03T04:05:06Z", staple.display());
    server.wait_for(&told, 1);
    replace(&good);
    server.wait_for("certificates have changed", 1);
    replace(&expired);
    server.wait_for(&told, 2);
    server.stop();
    replace(&good);
    let renewed = authority.make("renewed", &["localhost"], |params| {
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x0d, 0xef]));
    });
    let server = start(&renewed).start();
    server.wait_for("renewed.pem` (serial number 0DEF), but about 0ABC", 1);
    server.stop();
}

#[test]
fn handshakes_that_are_slow_or_broken_off_hold_nothing() {
    let authority = Authority::new("tls-slow");
    let files = authority.server();
    let server =
        files.serve(Server::app(APP)).option("workers", 1).option("ssl-handshake-timeout", "2s").start();
    let address = server.address.unwrap();
    // Those that send nothing, a part of a greeting, and that leave.
    let greeting = [0x16, 3, 1, 2, 0, 1, 0, 1];
    let mut slow: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(&greeting[..number % greeting.len()]).unwrap();
            socket
        })
        .collect();
    (0..50).for_each(|_| drop(TcpStream::connect(address).unwrap()));
    for _ in 0..20 {
        assert!(!authority.client().get(&server, "/pid").is_empty());
    }
    for socket in &mut slow {
        // The server gives up by itself.
        match socket.read(&mut [0; 64]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}"),
        }
    }
    server.stop();
}

#[test]
fn what_is_no_tls_is_refused_and_harms_nothing() {
    let authority = Authority::new("tls-garbage");
    let server = authority.server().start(APP);
    for garbage in [&b"\x00\x01\x02\x03\x04\x05\x06\x07"[..], b"SSH-2.0-client\r\n", &[0xff; 20_000]] {
        let mut socket = TcpStream::connect(server.address.unwrap()).unwrap();
        let _ = socket.write_all(garbage);
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said);
        assert!(said.len() < 64, "{said:?}");
    }
    assert!(!authority.client().get(&server, "/pid").is_empty());
    server.stop();
}

#[test]
fn a_stop_does_not_wait_for_handshakes() {
    let authority = Authority::new("tls-stop");
    let server = authority
        .server()
        .serve(Server::app(APP))
        .option("workers", 1)
        .option("graceful-timeout", "25s")
        .start();
    let slow = TcpStream::connect(server.address.unwrap()).unwrap();
    assert!(!authority.client().get(&server, "/pid").is_empty());
    let began = std::time::Instant::now();
    server.stop();
    assert!(began.elapsed().as_secs() < 9, "the handshake's own limit is 10 s");
    drop(slow);
}

#[test]
fn tls_is_served_on_unix_sockets_and_passed_ones() {
    let authority = Authority::new("tls-passed");
    let files: Files = authority.server();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = files.serve(Server::app(APP)).option("bind", "fd://3").descriptor(socket).start();
    assert!(!authority.client().try_connect(address, "localhost").unwrap().get("/pid").is_empty());
    server.stop();
    let path = authority.dir.join("s.sock");
    let server = files.serve(Server::app(APP)).option("uds", path.display()).start();
    let said = output(
        "curl",
        &[
            "-s",
            "--cacert",
            authority.certificate().to_str().unwrap(),
            "--unix-socket",
            path.to_str().unwrap(),
            "https://localhost/pid",
        ],
    );
    assert!(said.trim().parse::<u32>().is_ok(), "{said}");
    server.stop();
}
