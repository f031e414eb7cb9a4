//! Certificates in words: names, dates, serial numbers, and what is wrong with one.

use rustls::{CertificateError, Error, pki_types::CertificateDer};
use std::fmt::Write as _;
use x509_cert::{
    Certificate,
    crl::CertificateList,
    der::{DateTime, Decode},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// What a certificate says of itself.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its subject (RFC 4514).
    pub subject: String,
    /// Its issuer (RFC 4514).
    pub issuer: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// When it becomes valid.
    pub not_before: DateTime,
    /// When it expires.
    pub not_after: DateTime,
    /// The hosts that it is for, in lower case; a name may begin with `*.`.
    pub hosts: Vec<String>,
}

impl Described {
    /// Reads a certificate; `None` if it is none.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let inner = certificate.tbs_certificate();
        let alternative = inner.get_extension::<SubjectAltName>().ok().flatten();
        let hosts = alternative.map(|(_, names)| names.0.iter().filter_map(host).collect());
        Some(Self {
            subject: inner.subject().to_string(),
            issuer: inner.issuer().to_string(),
            serial: hexadecimal(inner.serial_number().as_bytes()),
            not_before: inner.validity().not_before.to_date_time(),
            not_after: inner.validity().not_after.to_date_time(),
            hosts: hosts.unwrap_or_default(),
        })
    }
}

/// By when a revocation list is to be replaced, if it says so.
pub(crate) fn next_update(list: &[u8]) -> Option<DateTime> {
    let list: CertificateList = CertificateList::from_der(list).ok()?;
    Some(list.tbs_cert_list.next_update?.to_date_time())
}

fn host(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string().to_ascii_lowercase()),
        _ => None,
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// A certificate as PEM (RFC 7468).
#[must_use]
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    use x509_cert::der::pem::{LineEnding, encode_string};
    encode_string("CERTIFICATE", LineEnding::LF, certificate).unwrap_or_default()
}

/// What rustls says of a certificate, in words.
#[must_use]
pub fn of_error(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::BadEncoding) => "its encoding is damaged".into(),
        Error::InvalidCertificate(error) => error.to_string(),
        error => error.to_string(),
    }
}
