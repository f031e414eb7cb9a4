//! The server's certificates: parsed and checked.

use crate::{
    name::{self, Described},
    source::{Read, Source},
};
use hostler_wire::Failure;
use rustls::{
    pki_types::{CertificateDer, pem::PemObject},
    server::ParsedCertificate,
};
use std::time::SystemTime;

/// The chain in a file: the server's own certificate first.
pub(crate) fn chain(source: Source<'_>, read: &Read<'_>) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let bytes = source.bytes(read)?;
    let chain = sections(source, &bytes)?;
    for (number, certificate) in (1..).zip(&chain) {
        ParsedCertificate::try_from(certificate).map_err(|error| {
            let which = if chain.len() > 1 { format!("certificate {number} in it") } else { "it".into() };
            source.unusable(format!("{which} cannot be parsed: {}", name::of_error(&error))).hint(
                "`openssl x509 -noout -text -in FILE` shows what it is; certificates must be X.509 version 3",
            )
        })?;
    }
    Ok(chain)
}

/// The certificates in the text of a file.
pub(crate) fn sections(source: Source<'_>, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| {
        source.unusable(format!("its PEM is damaged: {error}")).hint("was it cut, or copied with changes?")
    })?;
    match found.is_empty() {
        true => Err(source.without(bytes, "CERTIFICATE")),
        false => Ok(found),
    }
}

/// What is worth a warning: certificates that are not valid now, with their dates.
pub(crate) fn warnings(source: Source<'_>, chain: &[CertificateDer<'_>], now: SystemTime) -> Vec<String> {
    let path = source.path.display();
    let described = chain.iter().filter_map(|certificate| Described::of(certificate));
    described
        .filter_map(|Described { subject, not_before, not_after, .. }| {
            let of = format!("the {} `{path}` ({subject})", source.what);
            if now > not_after.to_system_time() {
                Some(format!("{of} expired at {not_after}: clients will refuse it; renew it"))
            } else if now < not_before.to_system_time() {
                Some(format!(
                    "{of} is not valid before {not_before}: clients will refuse it until then; is the clock right?"
                ))
            } else {
                None
            }
        })
        .collect()
}
