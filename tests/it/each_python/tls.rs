//! What applications learn of TLS, and certificates of clients.

use crate::tls_support::{Authority, Client, Files};
use hostler_testkit::{Builder, Server};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd};
use std::{fs, io, path::PathBuf};

/// The applications that show their scope or environ.
const INTERFACES: [(&str, &str); 3] =
    [("asgi", "tls_apps:asgi"), ("rsgi", "tls_apps:rsgi"), ("wsgi", "tls_apps:wsgi")];

fn with_clients(authority: &Authority, server: &Files, target: &str) -> Builder {
    server.serve(Server::app(target).option("workers", 1)).option("ssl-ca", authority.certificate().display())
}

/// A request's response, or why there is none: in TLS 1.3 a client learns that it is refused when it reads.
fn ask(client: &Client, server: &Server) -> io::Result<String> {
    let mut connection = client.try_connect(server.address.unwrap(), "localhost")?;
    connection.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    connection.reply().map(|(_, body)| body)
}

#[test]
fn applications_learn_what_was_agreed_on_and_whose_certificate_a_client_has() {
    let authority = Authority::new("tls-facts");
    let server_files = authority.server();
    let client_files = authority.make("client one", &[], |params| {
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Shop, Ltd");
        params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc]));
    });
    let anonymous = authority.client();
    let identified = anonymous.identified(&client_files);
    for (interface, target) in INTERFACES {
        let server = with_clients(&authority, &server_files, target).start();
        let facts = ask(&anonymous, &server).unwrap();
        let words: &[&str] = match interface {
            "wsgi" => {
                &["'https'", "'HTTPS': 'on'", "'TLSv1.3'", "'TLS_AES", "'SSL_TLS_SNI': 'localhost'", "'NONE'"]
            }
            _ => &[
                "'https'",
                "'tls_version': 772",
                "'cipher_suite': 48",
                "'client_cert_name': None",
                "BEGIN CERT",
            ],
        };
        words.iter().for_each(|word| assert!(facts.contains(word), "{interface}: {word} in {facts}"));
        let facts = ask(&identified, &server).unwrap();
        let words: &[&str] = match interface {
            "wsgi" => {
                &["'SUCCESS'", "O=Shop\\\\, Ltd", "CN=client one", "'0ABC'", "SSL_CLIENT_CERT': '-----BEGIN"]
            }
            _ => &[
                "O=Shop\\\\, Ltd",
                "CN=client one",
                "'client_cert_chain': ['-----BEGIN",
                "'client_cert_error': None",
            ],
        };
        words.iter().for_each(|word| assert!(facts.contains(word), "{interface}: {word} in {facts}"));
        assert!(ask(&anonymous.tls12(), &server).unwrap().contains(if interface == "wsgi" {
            "'TLSv1.2'"
        } else {
            "771"
        }));
        server.stop();
    }
}

#[test]
fn clients_without_a_good_certificate_are_refused() {
    let (authority, stranger) = (Authority::new("tls-mtls"), Authority::new("tls-stranger"));
    let files = authority.server();
    let good = authority.make("good", &[], |params| params.serial_number = Some(7_u64.into()));
    let revoked = authority.make("revoked", &[], |params| params.serial_number = Some(8_u64.into()));
    let expired = authority.make("expired", &[], |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let list = revocations(&authority, 8);
    let server = with_clients(&authority, &files, "tls_apps:asgi")
        .arg("--ssl-client-verify")
        .option("ssl-crl", list.display())
        .start();
    let client = authority.client();
    assert!(ask(&client.identified(&good), &server).is_ok());
    assert!(ask(&client, &server).is_err(), "none");
    assert!(ask(&client.identified(&revoked), &server).is_err(), "revoked");
    assert!(ask(&client.identified(&expired), &server).is_err(), "expired");
    let foreign = stranger.make("foreign", &[], |_| {});
    assert!(ask(&client.identified(&foreign), &server).is_err(), "of another authority");
    for cause in
        ["it sent none", "it is revoked: --ssl-crl", "it has expired", "it is of no authority in --ssl-ca"]
    {
        server.wait_for(&format!("a client's certificate was refused cause=\"{cause}"), 1);
    }
    assert!(ask(&client.identified(&good), &server).is_ok());
    server.stop();
}

#[test]
fn a_session_is_not_resumed_once_its_client_is_revoked() {
    let authority = Authority::new("tls-revoke");
    let files = authority.server();
    let good = authority.make("good", &[], |params| params.serial_number = Some(7_u64.into()));
    let list = revocations(&authority, 8);
    let server = with_clients(&authority, &files, "tls_apps:asgi")
        .arg("--ssl-client-verify")
        .option("ssl-crl", list.display())
        .start();
    let client = authority.client().identified(&good);
    assert!(ask(&client, &server).is_ok());
    let mut resumed = client.connect(&server);
    assert!(resumed.is_resumed() && resumed.get("/").contains("CN=good"), "the certificate is in the ticket");
    revocations(&authority, 7);
    server.wait_for("certificates have changed: the new ones are served", 1);
    server.wait_until("refused", || ask(&client, &server).is_err());
    server.stop();
}

#[test]
fn a_revocation_list_that_should_have_been_replaced_is_used_with_a_warning() {
    let authority = Authority::new("tls-old-list");
    let files = authority.server();
    let [good, revoked] = [7_u64, 8].map(|serial| {
        authority.make(&format!("client{serial}"), &[], |params| params.serial_number = Some(serial.into()))
    });
    let list = revocations_until(&authority, 8, 2025);
    let server = with_clients(&authority, &files, "tls_apps:asgi").option("ssl-crl", list.display()).start();
    server.wait_for("was to be replaced by 2025-01-01", 1);
    assert!(ask(&authority.client().identified(&good), &server).is_ok());
    assert!(ask(&authority.client().identified(&revoked), &server).is_err());
    server.stop();
}

/// A list with one serial number.
fn revocations(authority: &Authority, serial: u64) -> PathBuf {
    revocations_until(authority, serial, 2140)
}

fn revocations_until(authority: &Authority, serial: u64, year: i32) -> PathBuf {
    let revoked = RevokedCertParams {
        serial_number: serial.into(),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(year, 1, 1),
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let path = authority.dir.join("revoked.crl");
    fs::write(&path, params.signed_by(authority.issuer()).unwrap().pem().unwrap()).unwrap();
    path
}
