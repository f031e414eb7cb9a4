//! Certificates and keys: which are served, and what is said of those that cannot be.

use crate::{
    support::refused,
    tls_support::{Authority, Files},
};
use hostler_testkit::Server;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, date_time_ymd};
use std::{fs, path::Path, process::Command};

const APP: &str = "supervised:app";

/// Runs openssl, which users run as well.
fn openssl(args: &[&str]) {
    let ran = Command::new("openssl").args(args).output().unwrap();
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn serves(authority: &Authority, files: &Files, options: &[(&str, &str)]) {
    let mut builder = files.serve(Server::app(APP).option("workers", 1));
    for (name, value) in options {
        builder = builder.option(name, value);
    }
    let server = builder.start();
    assert!(!authority.client().get(&server, "/pid").is_empty());
    server.stop();
}

#[test]
fn keys_of_each_kind_and_form_are_served() {
    let authority = Authority::new("tls-keys");
    for (name, algorithm) in [("p384", &PKCS_ECDSA_P384_SHA384), ("ed25519", &PKCS_ED25519)] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        serves(&authority, &authority.make_with(name, &["localhost"], &key, |_| {}), &[]);
    }
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let files = authority.make_with("rsa", &["localhost"], &rsa, |_| {});
    let pkcs1 = Files { key: authority.dir.join("rsa.pkcs1"), ..files.clone() };
    openssl(&["pkey", "-traditional", "-in", text(&files.key), "-out", text(&pkcs1.key)]);
    assert!(fs::read_to_string(&pkcs1.key).unwrap().contains("BEGIN RSA PRIVATE KEY"));
    serves(&authority, &pkcs1, &[]);

    let files = authority.server();
    let sec1 = Files { key: authority.dir.join("sec1.key"), ..files.clone() };
    openssl(&["ec", "-in", text(&files.key), "-out", text(&sec1.key)]);
    assert!(fs::read_to_string(&sec1.key).unwrap().contains("BEGIN EC PRIVATE KEY"));
    serves(&authority, &sec1, &[]);
}

#[test]
fn encrypted_keys_are_served_with_their_password() {
    let authority = Authority::new("tls-encrypted");
    let files = authority.server();
    for (cipher, arguments) in
        [("aes", &["-v2", "aes-256-cbc"][..]), ("old", &["-v2", "des3", "-v2prf", "hmacWithSHA1"])]
    {
        let encrypted = Files { key: authority.dir.join(cipher), ..files.clone() };
        let (from, to) = (text(&files.key), text(&encrypted.key));
        openssl(
            &[&["pkcs8", "-topk8", "-in", from, "-out", to, "-passout", "pass:geheim, und so"], arguments]
                .concat(),
        );
        serves(&authority, &encrypted, &[("ssl-keyfile-password", "geheim, und so")]);
        let start = || encrypted.serve(Server::app(APP));
        refused(
            start(),
            78,
            &["cannot use the key", cipher, "it is encrypted", "HOSTLER_SSL_KEYFILE_PASSWORD"],
        );
        refused(start().option("ssl-keyfile-password", "falsch"), 78, &["does not decrypt it"]);
    }
    let old = Files { key: authority.dir.join("openssl"), ..files.clone() };
    openssl(&["ec", "-aes256", "-passout", "pass:x", "-in", text(&files.key), "-out", text(&old.key)]);
    refused(old.serve(Server::app(APP)), 78, &["OpenSSL's old format", "openssl pkcs8 -topk8"]);
}

#[test]
fn the_certificates_file_may_hold_the_key_and_the_chain() {
    let authority = Authority::new("tls-one-file");
    let files = authority.server();
    let all = [&files.key, &files.certificate, &authority.certificate()]
        .map(|path| fs::read_to_string(path).unwrap());
    fs::write(&files.certificate, all.concat()).unwrap();
    let server =
        Server::app(APP).option("workers", 1).option("certfile", files.certificate.display()).start();
    assert!(!authority.client().get(&server, "/pid").is_empty());
    server.stop();
}

#[test]
fn what_cannot_be_served_is_refused_with_the_file_the_cause_and_what_to_do() {
    let authority = Authority::new("tls-bad-files");
    let (good, other) = (authority.server(), authority.make("other", &["localhost"], |_| {}));
    let file = |name: &str, bytes: &[u8]| {
        let path = authority.dir.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let certificate = fs::read_to_string(&good.certificate).unwrap();
    let damaged = certificate.replacen("MII", "MIJ", 1);
    let cut = &certificate[..certificate.len() / 2];
    let der = rustls::pki_types::CertificateDer::from(authority.issuer().der().to_vec());
    let with = |certificate: &Path, key: &Path| Files { certificate: certificate.into(), key: key.into() };
    let cases: [(Files, &[&str]); 10] = [
        (
            with(Path::new("missing.pem"), &good.key),
            &["cannot use the certificate `missing.pem`", "No such file"],
        ),
        (
            with(&good.certificate, Path::new("missing.key")),
            &["cannot use the key `missing.key`", "No such file"],
        ),
        (with(&file("empty", b""), &good.key), &["empty`", "it is empty"]),
        (with(&good.key, &good.certificate), &["no CERTIFICATE", "\"PRIVATE KEY\"", "mixed up"]),
        (with(&good.certificate, &good.certificate), &["it has no private key", "--ssl-keyfile"]),
        (with(&file("der", &der), &good.key), &["it is DER", "openssl x509"]),
        (with(&file("damaged", damaged.as_bytes()), &good.key), &["damaged`", "cannot be parsed"]),
        (with(&file("cut", cut.as_bytes()), &good.key), &["cut`", "PEM is damaged"]),
        (
            with(&good.certificate, &other.key),
            &["other.key`", "does not belong to the certificate", "renewed"],
        ),
        (with(&file("text", b"hello"), &good.key), &["text`", "no line \"-----BEGIN"]),
    ];
    for (files, words) in cases {
        refused(files.serve(Server::app(APP)), 78, words);
    }
    let chain = fs::read_to_string(authority.certificate()).unwrap() + &certificate;
    refused(
        with(&file("reversed", chain.as_bytes()), &good.key).serve(Server::app(APP)),
        78,
        &["belongs to certificate 2", "comes first"],
    );
    refused(
        good.serve(Server::app(APP)).option("ssl-certificate", other.certificate.display()),
        78,
        &["2 --ssl-certificate and 1 --ssl-keyfile"],
    );
    refused(Server::app(APP).option("ssl-keyfile", good.key.display()), 78, &["needs --ssl-certificate"]);
    refused(good.serve(Server::app(APP)).arg("--ssl-client-verify"), 78, &["needs --ssl-ca"]);
    let bad = file("bad.crl", b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n");
    let ca = || good.serve(Server::app(APP)).option("ssl-ca", authority.certificate().display());
    refused(
        ca().option("ssl-crl", bad.display()),
        78,
        &["revocation list", "cannot be parsed", "openssl crl"],
    );
    refused(
        good.serve(Server::app(APP)).option("ssl-ca", file("bad.ca", damaged.as_bytes()).display()),
        78,
        &["cannot use the authority"],
    );
}

#[test]
fn certificates_that_are_not_valid_now_are_served_with_a_warning() {
    let authority = Authority::new("tls-dates");
    let expired = authority.make("expired", &["localhost"], |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 3);
    });
    let server = expired.start(APP);
    server.wait_for("expired at 2020-02-03", 1);
    server.stop();
    let early = authority.make("early", &["localhost"], |params| {
        params.not_before = date_time_ymd(2140, 1, 1);
        params.not_after = date_time_ymd(2145, 2, 3);
    });
    let server = early.start(APP);
    server.wait_for("not valid before 2140-01-01", 1);
    server.stop();
}
