//! What applications learn of a handshake.

use super::{HTTP_1, HTTP_2};
use crate::{ClientCertificate, TlsInfo, TlsProtocol};
use hostler_tls::{
    Site,
    name::{self, Described},
};
use rustls::{CipherSuite, ServerConnection, pki_types::CertificateDer};
use std::sync::Arc;

impl TlsInfo {
    /// Of a handshake that is done, with this certificate.
    pub(super) fn of(session: &ServerConnection, site: &Site) -> Self {
        let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
        let protocol = match session.alpn_protocol() {
            Some(HTTP_2) => Some(TlsProtocol::Http2),
            Some(HTTP_1) => Some(TlsProtocol::Http1),
            _ => None,
        };
        Self {
            version: session.protocol_version().map(u16::from).unwrap_or_default(),
            cipher_suite: suite.map(|suite| (u16::from(suite), suite_name(suite))).unwrap_or_default(),
            server_name: session.server_name().map(str::to_owned),
            protocol,
            server_certificate: Arc::clone(&site.pem),
            client: session.peer_certificates().and_then(client),
        }
    }
}

/// As IANA registers it.
fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}

fn client(chain: &[CertificateDer<'_>]) -> Option<ClientCertificate> {
    let described = Described::of(chain.first()?)?;
    Some(ClientCertificate {
        chain: chain.iter().map(name::pem).collect(),
        subject: described.subject,
        issuer: described.issuer,
        serial: described.serial,
    })
}
