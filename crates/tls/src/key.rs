//! Private keys: PKCS#8, encrypted or not, PKCS#1 (RSA) and SEC1 (EC).

use crate::source::{Read, Source};
use hostler_wire::Failure;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument, der::Decode};
use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
};

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
/// What OpenSSL wrote before PKCS#8 (RFC 1421).
const ENCRYPTED_BEFORE_PKCS8: &str = "Proc-Type: 4,ENCRYPTED";

/// The key in a file.
pub(crate) fn key(
    source: Source<'_>,
    password: Option<&str>,
    read: &Read<'_>,
) -> Result<PrivateKeyDer<'static>, Failure> {
    let bytes = source.bytes(read)?;
    let text = String::from_utf8_lossy(&bytes);
    let key = match encrypted(&text) {
        Some(section) => decrypt(source, section, password)?,
        None if text.contains(ENCRYPTED_BEFORE_PKCS8) => {
            return Err(source
                .unusable("it is encrypted in OpenSSL's old format")
                .hint("convert it to PKCS#8: `openssl pkcs8 -topk8 -in FILE -out FILE.pem`"));
        }
        None => plain(source, &bytes)?,
    };
    any_supported_type(&key).map_err(|error| {
        source
            .unusable(format!("its kind is not supported, or it is damaged: {error}"))
            .hint("keys may be RSA from 2048 bits on, ECDSA with P-256, P-384 or P-521, and Ed25519")
    })?;
    Ok(key)
}

/// Whether a file that holds a certificate holds a key as well.
pub(crate) fn is_in(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains("PRIVATE KEY-----")
}

fn plain(source: Source<'_>, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, Failure> {
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Ok(key),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => Err(source.without(bytes, "PRIVATE KEY")),
        Err(error) => Err(source
            .unusable(format!("its PEM is damaged: {error}"))
            .hint("was it cut, or copied with changes?")),
    }
}

/// The section of an encrypted key.
fn encrypted(text: &str) -> Option<&str> {
    let begin = text.find(ENCRYPTED)?;
    let end = text[begin..].find(ENCRYPTED_END)?;
    Some(&text[begin..begin + end + ENCRYPTED_END.len()])
}

fn decrypt(
    source: Source<'_>,
    section: &str,
    password: Option<&str>,
) -> Result<PrivateKeyDer<'static>, Failure> {
    let Some(password) = password else {
        return Err(source
            .unusable("it is encrypted, and --ssl-keyfile-password is not set")
            .hint("set HOSTLER_SSL_KEYFILE_PASSWORD: others on the machine can read a command line"));
    };
    let damaged = |error: pkcs8::der::Error| {
        source.unusable(format!("it is damaged: {error}")).hint("was it cut, or copied with changes?")
    };
    let (_, document) = SecretDocument::from_pem(section).map_err(damaged)?;
    let info = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).map_err(damaged)?;
    let key = info.decrypt(password).map_err(|error| {
        source
            .unusable(format!("--ssl-keyfile-password does not decrypt it: {error}"))
            .hint("`openssl pkey -noout -in FILE` asks for the password and says whether it is right")
    })?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}
