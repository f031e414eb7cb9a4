//! The files of the options, all together.

use crate::{
    certificate, clients, key,
    material::{Delivery, Identity, Material},
    site::{self, Sites},
    source::{self, Read, Source, Stamp},
    staple,
    ticket::TicketKeys,
};
use hostler_settings::Tls;
use hostler_wire::{ExitStatus, Failure};
use rustls::{
    Error, InconsistentKeys,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What the options name, read and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to serve with.
    pub material: Material,
    /// What is wrong with it, though it can be served with.
    pub warnings: Vec<String>,
    /// The files.
    pub files: Vec<PathBuf>,
    /// The files as they were before they were read: what changes meanwhile is seen later.
    pub stamps: Vec<Stamp>,
}

/// Reads certificates, keys and authorities, and checks them; `None` if TLS is not configured.
///
/// # Errors
/// Which file cannot be used, why, and what to do.
pub fn load(options: &Tls, now: SystemTime, read: &Read<'_>) -> Result<Option<Loaded>, Failure> {
    if options.certificate.is_empty() {
        return without_certificate(options).map(|()| None);
    }
    let files = files(options);
    let stamps = source::stamp(&files);
    let (mut identities, mut warnings) = (Vec::new(), Vec::new());
    check_counts(options)?;
    let mut staples = options.stapling_file.iter();
    for (certificate, key) in pairs(options)? {
        let source = Source { what: "certificate", option: "ssl-certificate", path: certificate };
        let chain = certificate::chain(source, read)?;
        warnings.extend(certificate::warnings(source, &chain, now));
        let mut identity = identity(source, &chain, key, options.keyfile_password.as_deref(), read)?;
        if let Some(path) = staples.next() {
            let staple = staple::staple(path, read)?;
            let own = chain.first().and_then(|own| staple.warning(path, (source, own), now));
            warnings.extend(own);
            identity.staple = Some(staple.bytes);
        }
        identities.push(identity);
    }
    let (clients, of_clients) = clients::load(options, now, read)?;
    warnings.extend(of_clients);
    let material = Material { identities, clients, oldest: options.protocol_min };
    // As a worker will.
    let delivery = Delivery { material, tickets: TicketKeys::new(now) };
    Sites::new(&delivery, &[]).map_err(|cause| {
        Failure::new(ExitStatus::Config, "cannot serve TLS with these certificates").because(cause)
    })?;
    Ok(Some(Loaded { material: delivery.material, warnings, files, stamps }))
}

fn without_certificate(options: &Tls) -> Result<(), Failure> {
    let option = match options {
        Tls { keyfile, .. } if !keyfile.is_empty() => "--ssl-keyfile",
        Tls { bind, .. } if !bind.is_empty() => "--ssl-bind",
        Tls { ca: Some(_), .. } => "--ssl-ca",
        Tls { client_verify: true, .. } => "--ssl-client-verify",
        Tls { redirect_https: true, .. } => "--redirect-https",
        _ => return Ok(()),
    };
    Err(Failure::new(ExitStatus::Config, format!("{option} needs --ssl-certificate"))
        .because("without a certificate nothing is served over TLS")
        .hint("--ssl-certificate names a PEM file with the server's certificate, and those that certify it"))
}

/// What each certificate needs, and what has no effect.
fn check_counts(options: &Tls) -> Result<(), Failure> {
    let (staples, certificates) = (options.stapling_file.len(), options.certificate.len());
    if staples > certificates {
        let message = format!("there are {staples} --ssl-stapling-file and {certificates} --ssl-certificate");
        return Err(Failure::new(ExitStatus::Config, message)
            .because("the first response is for the first certificate, the second for the second"));
    }
    if options.redirect_https && options.bind.is_empty() {
        return Err(Failure::new(ExitStatus::Config, "--redirect-https needs --ssl-bind")
            .because("all addresses are served over TLS: there is nothing to redirect")
            .hint("name the addresses without TLS with --bind, and those with it with --ssl-bind"));
    }
    Ok(())
}

/// Each certificate with the file of its key, which may be its own.
fn pairs(options: &Tls) -> Result<Vec<(&Path, &Path)>, Failure> {
    let Tls { certificate: certificates, keyfile: keys, .. } = options;
    match (certificates.len(), keys.len()) {
        (_, 0) => Ok(certificates.iter().map(|path| (path.as_path(), path.as_path())).collect()),
        (count, keys_count) if count == keys_count => {
            Ok(certificates.iter().map(PathBuf::as_path).zip(keys.iter().map(PathBuf::as_path)).collect())
        }
        (certificates, keys) => {
            let message = format!("there are {certificates} --ssl-certificate and {keys} --ssl-keyfile");
            Err(Failure::new(ExitStatus::Config, message)
                .because("the first key is for the first certificate, the second for the second")
                .hint("give both options once for each certificate"))
        }
    }
}

/// A certificate with its key.
fn identity(
    certificate: Source<'_>,
    chain: &[CertificateDer<'static>],
    key: &Path,
    password: Option<&str>,
    read: &Read<'_>,
) -> Result<Identity, Failure> {
    let source = Source { what: "key", option: "ssl-keyfile", path: key };
    if key == certificate.path && !key::is_in(&certificate.bytes(read)?) {
        return Err(certificate
            .unusable("it has no private key, and --ssl-keyfile is not set")
            .hint("--ssl-keyfile names the PEM file of the certificate's private key"));
    }
    let key = key::key(source, password, read)?;
    let identity = Identity::new(chain, &key, None);
    match site::certified(&identity, &aws_lc_rs::default_provider()).map(|certified| certified.keys_match()) {
        Ok(Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch))) => {
            Err(mismatch(source, certificate, chain, &key))
        }
        // Not known of some kinds of keys.
        Ok(Ok(()) | Err(Error::InconsistentKeys(_))) => Ok(identity),
        Ok(Err(error)) => Err(certificate.unusable(error.to_string())),
        Err(cause) => Err(source.unusable(cause)),
    }
}

fn mismatch(
    key: Source<'_>,
    certificate: Source<'_>,
    chain: &[CertificateDer<'static>],
    private: &PrivateKeyDer<'_>,
) -> Failure {
    let belongs = |one: &CertificateDer<'static>| {
        let alone = Identity::new(std::slice::from_ref(one), private, None);
        site::certified(&alone, &aws_lc_rs::default_provider())
            .is_ok_and(|certified| certified.keys_match().is_ok())
    };
    let path = certificate.path.display();
    match chain.iter().position(belongs) {
        Some(position) => certificate
            .unusable(format!("the key belongs to certificate {} in it, not to the first", position + 1))
            .hint("the server's own certificate comes first, then those that certify it"),
        None => key
            .unusable(format!("it does not belong to the certificate `{path}`"))
            .hint("was only one of the two renewed? `openssl x509 -noout -pubkey -in CERTIFICATE` and `openssl pkey -pubout -in KEY` print the same for a pair"),
    }
}

fn files(options: &Tls) -> Vec<PathBuf> {
    let Tls { certificate, keyfile, ca, crl, stapling_file, .. } = options;
    certificate.iter().chain(keyfile).chain(ca).chain(crl).chain(stapling_file).cloned().collect()
}
