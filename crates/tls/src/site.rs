//! What rustls serves with: a configuration for each certificate, and which of them a client gets.

use crate::{
    material::{Delivery, Identity, Material},
    name::{self, Described},
    ticket::Ticketer,
};
use ::aws_lc_rs::digest::{SHA256, digest};
use hostler_settings::TlsVersion;
use rustls::{
    CipherSuite, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, NoServerSessionStorage, ProducesTickets},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use std::{collections::HashMap, sync::Arc};

const CHACHA20: [CipherSuite; 3] = [
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];
const AES_128: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// A certificate as it is served.
#[derive(Debug)]
pub struct Site {
    config: Arc<ServerConfig>,
    /// For clients that prefer ChaCha20.
    config_by_client: Arc<ServerConfig>,
    /// The certificate, as PEM.
    pub pem: Arc<str>,
    certified: Arc<CertifiedKey>,
    hosts: Vec<String>,
}

/// All certificates of a worker.
#[derive(Debug)]
pub struct Sites {
    sites: Vec<Site>,
    /// Which sites are for a host, in their order; a name may begin with `*.`.
    by_host: HashMap<String, Vec<usize>>,
}

impl Site {
    /// What the handshake with this client goes by.
    ///
    /// AES with 128 bits is taken first, whatever the client names first: it is as safe as far as is known, its SHA-256 is
    /// computed by the processor where SHA-384 is not, and takes a third off a handshake. A client that names ChaCha20
    /// first has no instructions for AES, and is served as it asks.
    #[must_use]
    pub fn config_for(&self, client: &ClientHello<'_>) -> Arc<ServerConfig> {
        let known = |suite: &&CipherSuite| provider_suites(&self.config).any(|known| known == **suite);
        let preferred = client.cipher_suites().iter().find(known);
        let by_client = preferred.is_some_and(|suite| CHACHA20.contains(suite));
        Arc::clone(if by_client { &self.config_by_client } else { &self.config })
    }
}

fn provider_suites(config: &ServerConfig) -> impl Iterator<Item = CipherSuite> {
    config.crypto_provider().cipher_suites.iter().map(rustls::SupportedCipherSuite::suite)
}

impl Sites {
    /// Makes them of what was delivered, for clients that speak one of these protocols (ALPN), the preferred one first.
    ///
    /// # Errors
    /// What rustls cannot use, in words; it was checked when it was loaded.
    pub fn new(delivery: &Delivery, protocols: &[&[u8]]) -> Result<Self, String> {
        let Delivery { material, tickets } = delivery;
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|suite| !AES_128.contains(&suite.suite()));
        let provider = Arc::new(provider);
        let tickets: Arc<dyn ProducesTickets> = Arc::new(Ticketer::new(tickets, clients_digest(material)));
        let site = |identity| site(identity, material, &provider, &tickets, protocols);
        let sites: Vec<Site> = material.identities.iter().map(site).collect::<Result<_, _>>()?;
        let mut by_host: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, site) in sites.iter().enumerate() {
            site.hosts.iter().for_each(|host| by_host.entry(host.clone()).or_default().push(index));
        }
        Ok(Self { sites, by_host })
    }

    /// The one for a client: of those for the host that it asks for, the first whose kind of key it knows; the first of
    /// all if there is none. `None` if there are no certificates.
    #[must_use]
    pub fn choose(&self, client: &ClientHello<'_>) -> Option<&Site> {
        let host = client.server_name().map(str::to_ascii_lowercase).unwrap_or_default();
        let schemes = client.signature_schemes();
        let knows = |site: &&Site| site.certified.key.choose_scheme(schemes).is_some();
        let mut suitable = self.for_host(&host);
        suitable.find(knows).or_else(|| self.sites.iter().find(knows)).or_else(|| self.sites.first())
    }

    /// The certificates for a host by name, then those for all hosts of its domain.
    fn for_host(&self, host: &str) -> impl Iterator<Item = &Site> {
        let domain = host.split_once('.').map(|(_, domain)| format!("*.{domain}")).unwrap_or_default();
        let of = |name: &str| self.by_host.get(name).into_iter().flatten();
        of(host).chain(of(&domain)).filter_map(|index| self.sites.get(*index)).collect::<Vec<_>>().into_iter()
    }
}

fn site(
    identity: &Identity,
    material: &Material,
    provider: &Arc<CryptoProvider>,
    tickets: &Arc<dyn ProducesTickets>,
    protocols: &[&[u8]],
) -> Result<Site, String> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions(material.oldest))
        .map_err(|error| error.to_string())?;
    let builder = match &material.clients {
        Some(clients) => builder.with_client_cert_verifier(clients.verifier(provider)?),
        None => builder.with_no_client_auth(),
    };
    let chain = identity.certificates();
    let described = chain.first().and_then(Described::of);
    let pem = chain.first().map(name::pem).unwrap_or_default();
    let certified = Arc::new(certified(identity, provider)?);
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certified))));
    config.ticketer = Arc::clone(tickets);
    // Tickets have all that is needed to resume, and any worker can read them.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let hosts = described.map(|described| described.hosts).unwrap_or_default();
    let config_by_client = Arc::new(config.clone());
    config.ignore_client_order = true;
    Ok(Site { config: Arc::new(config), config_by_client, pem: pem.into(), certified, hosts })
}

/// The certificate with its key, which must belong to it.
pub(crate) fn certified(identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let key =
        provider.key_provider.load_private_key(identity.private_key()).map_err(|error| error.to_string())?;
    let mut certified = CertifiedKey::new(identity.certificates(), key);
    certified.ocsp.clone_from(&identity.staple);
    Ok(certified)
}

fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    match oldest {
        TlsVersion::Tls12 => &FROM_12,
        TlsVersion::Tls13 => &FROM_12[1..],
    }
}

/// What is asked of clients, in short: sessions of clients of which something else was asked are not resumed.
fn clients_digest(material: &Material) -> Vec<u8> {
    let encoded = postcard::to_stdvec(&material.clients).unwrap_or_default();
    digest(&SHA256, &encoded).as_ref().to_vec()
}
