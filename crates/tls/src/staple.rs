//! What an authority says of a certificate's validity (OCSP, RFC 6960), sent to clients with the certificate.

use crate::{
    name::hexadecimal,
    source::{Read, Source},
};
use hostler_wire::Failure;
use rustls::pki_types::CertificateDer;
use std::{path::Path, time::SystemTime};
use x509_cert::{
    Certificate,
    der::{AnyRef, DateTime, Decode, Reader, SliceReader, Tag, TagNumber, Tagged, asn1::GeneralizedTime},
};

/// The option that names the files.
pub(crate) const OPTION: &str = "ssl-stapling-file";

/// What is said in the status of a response that is none (RFC 6960 §4.2.1).
const REFUSALS: [(u8, &str); 5] =
    [(1, "malformedRequest"), (2, "internalError"), (3, "tryLater"), (5, "sigRequired"), (6, "unauthorized")];

/// The only type of response that there is (id-pkix-ocsp-basic), in DER.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// A response.
#[derive(Debug)]
pub(crate) struct Staple {
    pub(crate) bytes: Vec<u8>,
    said: Vec<Said>,
}

/// What a response says of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    /// The certificate's serial number, without leading zeros.
    serial: Vec<u8>,
    validity: Validity,
    this_update: DateTime,
    next_update: Option<DateTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validity {
    Good,
    Revoked,
    Unknown,
}

/// The response in a file.
pub(crate) fn staple(path: &Path, read: &Read<'_>) -> Result<Staple, Failure> {
    let source = Source { what: "OCSP response", option: OPTION, path };
    let bytes = source.bytes(read)?;
    let hint = "get one with `openssl ocsp -issuer CHAIN -cert CERTIFICATE -url URL -respout FILE`";
    match status(&bytes) {
        Some(0) => match said(&bytes) {
            Some(said) => Ok(Staple { bytes, said }),
            None => Err(source
                .unusable("what it says of certificates cannot be parsed")
                .hint("was it cut? `openssl ocsp -noverify -text -respin FILE` shows what it is")),
        },
        Some(other) => {
            let name =
                REFUSALS.iter().find(|(status, _)| *status == other).map_or("unknown", |(_, name)| name);
            Err(source.unusable(format!("the authority refused to answer: {name} ({other})")).hint(hint))
        }
        None => Err(source.unusable("it is no OCSP response in DER").hint(hint)),
    }
}

impl Staple {
    /// What is worth a warning, if this is sent with a certificate.
    pub(crate) fn warning(
        &self,
        path: &Path,
        (source, certificate): (Source<'_>, &CertificateDer<'_>),
        now: SystemTime,
    ) -> Option<String> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let serial = significant(certificate.tbs_certificate().serial_number().as_bytes());
        let cause = match self.said.iter().find(|said| said.serial == serial) {
            Some(said) => said.warning(now)?,
            None => {
                let of = source.path.display();
                let others: Vec<_> = self.said.iter().map(|said| hexadecimal(&said.serial)).collect();
                let (serial, others) = (hexadecimal(serial), others.join(", "));
                format!(
                    "is not about the certificate `{of}` (serial number {serial}), but about {others}: clients will ignore it, \
                     or refuse the certificate; was only one of the two renewed?"
                )
            }
        };
        Some(format!("the OCSP response `{}` {cause}", path.display()))
    }
}

impl Said {
    /// What is wrong with it.
    fn warning(&self, now: SystemTime) -> Option<String> {
        let Self { this_update, next_update, .. } = self;
        let expired = next_update.filter(|next| now > next.to_system_time());
        let text = match (self.validity, expired) {
            (Validity::Revoked, _) => "says that the certificate is revoked: clients will refuse it; get another".into(),
            (Validity::Unknown, _) => {
                "says that its authority does not know the certificate: clients may refuse it; is it another authority's?".into()
            }
            (Validity::Good, Some(next)) => format!(
                "expired at {next}: clients will ignore it, or refuse the certificate if it demands one (must-staple); \
                 renew it"
            ),
            (Validity::Good, None) if now < this_update.to_system_time() => {
                format!("is not valid before {this_update}: clients will ignore it until then; is the clock right?")
            }
            (Validity::Good, None) => return None,
        };
        Some(text)
    }
}

/// The elements in the content of another one.
fn elements(content: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(content).ok()?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        elements.push(reader.decode().ok()?);
    }
    Some(elements)
}

/// The elements of a sequence.
fn sequence<'a>(element: &AnyRef<'a>) -> Option<Vec<AnyRef<'a>>> {
    if element.tag() == Tag::Sequence { elements(element.value()) } else { None }
}

/// The status of a response; `None` if it is none.
fn status(response: &[u8]) -> Option<u8> {
    let whole = AnyRef::from_der(response).ok()?;
    match sequence(&whole)?.first()?.value() {
        [status] => Some(*status),
        _ => None,
    }
}

/// What a response says of certificates, of one at least (RFC 6960 §4.2.1); `None` if it cannot be parsed.
fn said(response: &[u8]) -> Option<Vec<Said>> {
    let whole = sequence(&AnyRef::from_der(response).ok()?)?;
    let typed = elements(whole.get(1)?.value())?;
    let [kind, basic] = sequence(typed.first()?)?[..] else { return None };
    if kind.value() != BASIC {
        return None;
    }
    let basic = sequence(&AnyRef::from_der(basic.value()).ok()?)?;
    let data = sequence(basic.first()?)?;
    // Version and responder have tags of their own.
    let responses = data.iter().find(|element| element.tag() == Tag::Sequence)?;
    let said = sequence(responses)?.iter().map(of_one).collect::<Option<Vec<_>>>()?;
    if said.is_empty() { None } else { Some(said) }
}

/// What is said of one certificate (SingleResponse).
fn of_one(response: &AnyRef<'_>) -> Option<Said> {
    let parts = sequence(response)?;
    let [certificate, validity, this_update, more @ ..] = &parts[..] else { return None };
    let serial = sequence(certificate)?.get(3)?.value();
    let next = more.first().filter(|element| numbered(element) == Some(0));
    let next_update = match next {
        Some(next) => Some(date(elements(next.value())?.first()?)?),
        None => None,
    };
    Some(Said {
        serial: significant(serial).to_vec(),
        validity: match numbered(validity)? {
            0 => Validity::Good,
            1 => Validity::Revoked,
            _ => Validity::Unknown,
        },
        this_update: date(this_update)?,
        next_update,
    })
}

/// The number of a tag that is the context's.
fn numbered(element: &AnyRef<'_>) -> Option<u32> {
    match element.tag() {
        Tag::ContextSpecific { number: TagNumber(number), .. } => Some(number),
        _ => None,
    }
}

fn date(element: &AnyRef<'_>) -> Option<DateTime> {
    element.decode_as::<GeneralizedTime>().ok().map(|time| time.to_date_time())
}

/// A number without leading zeros.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
#[path = "staple_tests.rs"]
mod tests;
