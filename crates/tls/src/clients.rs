//! Certificates of clients (mTLS): which authorities they must be of, and which are revoked.

use crate::{
    certificate, name,
    source::{Read, Source},
};
use hostler_settings::Tls;
use hostler_wire::{ExitStatus, Failure};
use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Arc, time::SystemTime};

/// Whose certificates are accepted of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clients {
    /// The authorities.
    pub(crate) authorities: Vec<Vec<u8>>,
    /// What they have revoked.
    pub(crate) revoked: Vec<Vec<u8>>,
    /// Whether a client without a certificate is refused.
    pub(crate) required: bool,
}

/// What the options say of clients, if they say anything, with what is wrong with it though it can be used.
pub(crate) fn load(
    options: &Tls,
    now: SystemTime,
    read: &Read<'_>,
) -> Result<(Option<Clients>, Vec<String>), Failure> {
    let Some(path) = &options.ca else { return without_authority(options).map(|()| (None, Vec::new())) };
    let source = Source { what: "authority", option: "ssl-ca", path };
    let authorities = certificate::sections(source, &source.bytes(read)?)?;
    let mut roots = RootCertStore::empty();
    for authority in &authorities {
        roots.add(authority.clone()).map_err(|error| {
            source.unusable(format!("a certificate in it cannot be an authority: {error}")).hint(
                "--ssl-ca names the certificates of the authorities that sign the clients' certificates",
            )
        })?;
    }
    let roots = Arc::new(roots);
    let lists = options.crl.iter().map(|path| revocations(path, &roots, read));
    let revoked = lists.collect::<Result<Vec<_>, _>>()?;
    let paths = options.crl.iter().zip(&revoked);
    let warnings = paths.flat_map(|(path, lists)| lists.iter().filter_map(|list| outdated(path, list, now)));
    let warnings = warnings.collect();
    let clients = Clients {
        authorities: authorities.iter().map(|authority| authority.to_vec()).collect(),
        revoked: revoked.into_iter().flatten().collect(),
        required: options.client_verify,
    };
    Ok((Some(clients), warnings))
}

fn without_authority(options: &Tls) -> Result<(), Failure> {
    let option = match (options.client_verify, options.crl.is_empty()) {
        (true, _) => "--ssl-client-verify",
        (false, false) => "--ssl-crl",
        (false, true) => return Ok(()),
    };
    Err(Failure::new(ExitStatus::Config, format!("{option} needs --ssl-ca"))
        .because("without an authority no certificate of a client can be verified")
        .hint("--ssl-ca names the PEM file of the authority that signs the clients' certificates"))
}

/// The warning about a list that should have been replaced by now.
fn outdated(path: &Path, list: &[u8], now: SystemTime) -> Option<String> {
    let next = name::next_update(list)?;
    let path = path.display();
    (now > next.to_system_time()).then(|| {
        format!("the revocation list `{path}` was to be replaced by {next}: what was revoked since is accepted; renew it")
    })
}

/// The revocation lists in a file.
fn revocations(
    path: &Path,
    authorities: &Arc<RootCertStore>,
    read: &Read<'_>,
) -> Result<Vec<Vec<u8>>, Failure> {
    let source = Source { what: "revocation list", option: "ssl-crl", path };
    let bytes = source.bytes(read)?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    let lists = lists.map_err(|error| source.unusable(format!("its PEM is damaged: {error}")))?;
    if lists.is_empty() {
        return Err(source.without(&bytes, "X509 CRL"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let parsed = WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), provider)
        .with_crls(lists.iter().cloned())
        .build();
    parsed.map_err(|error| {
        source
            .unusable(format!("it cannot be parsed: {error}"))
            .hint("`openssl crl -noout -text -in FILE` shows what it is; lists must be of version 2")
    })?;
    Ok(lists.iter().map(|list| list.to_vec()).collect())
}

impl Clients {
    /// What rustls verifies clients with. With lists, each certificate of a client's
    /// chain must be of an issuer that has one, and not be on it.
    pub(crate) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots.add(CertificateDer::from(authority.as_slice())).map_err(|error| error.to_string())?;
        }
        let lists = self.revoked.iter().map(|list| CertificateRevocationListDer::from(list.clone()));
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = builder.with_crls(lists);
        let builder = if self.required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| error.to_string())
    }
}
