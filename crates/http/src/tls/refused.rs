//! Why a certificate of a client is refused, as the log says it.

use rustls::{CertificateError as Cause, Error};
use std::io;

/// Why, if that is why a handshake has failed.
pub(super) fn refused_certificate(failure: &io::Error) -> Option<&'static str> {
    match failure.get_ref()?.downcast_ref::<Error>()? {
        Error::NoCertificatesPresented => Some("it sent none: --ssl-client-verify"),
        // Servers get certificates of clients only.
        Error::InvalidCertificate(cause) => Some(name(cause)),
        _ => None,
    }
}

fn name(cause: &Cause) -> &'static str {
    match cause {
        Cause::Expired | Cause::ExpiredContext { .. } => "it has expired",
        Cause::NotValidYet | Cause::NotValidYetContext { .. } => "it is not valid yet",
        Cause::Revoked => "it is revoked: --ssl-crl",
        Cause::UnknownIssuer => "it is of no authority in --ssl-ca",
        Cause::UnknownRevocationStatus => "its authority has no list in --ssl-crl",
        Cause::InvalidPurpose | Cause::InvalidPurposeContext { .. } => "it is not for clients",
        _ => "it is not valid",
    }
}
