//! What was read and checked, as it travels from the master to the workers.

use crate::{clients::Clients, ticket::TicketKeys};
use hostler_settings::TlsVersion;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::{fmt, io};

/// Certificates, keys and authorities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    /// The certificates with their keys; the first is for clients that ask for no host, or for one that none is for.
    pub(crate) identities: Vec<Identity>,
    /// Whose certificates are accepted of clients; `None` if they are not asked for one.
    pub(crate) clients: Option<Clients>,
    /// The oldest version.
    pub(crate) oldest: TlsVersion,
}

/// A certificate of the server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<Vec<u8>>,
    kind: KeyKind,
    key: Vec<u8>,
    /// What the authority says of its validity (OCSP, RFC 6960).
    pub(crate) staple: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum KeyKind {
    Pkcs1,
    Sec1,
    Pkcs8,
}

/// All that a worker needs for TLS.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// What it serves with.
    pub material: Material,
    /// With which sessions are resumed, at whichever worker.
    pub tickets: TicketKeys,
}

impl Delivery {
    /// As bytes, for another process of this version.
    ///
    /// # Errors
    /// That there is no memory.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        postcard::to_stdvec(self).map_err(io::Error::other)
    }

    /// From the bytes of [`Delivery::encode`].
    ///
    /// # Errors
    /// `InvalidData` for other bytes.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl Identity {
    pub(crate) fn new(
        chain: &[CertificateDer<'_>],
        key: &PrivateKeyDer<'_>,
        staple: Option<Vec<u8>>,
    ) -> Self {
        let kind = match key {
            PrivateKeyDer::Pkcs1(_) => KeyKind::Pkcs1,
            PrivateKeyDer::Sec1(_) => KeyKind::Sec1,
            _ => KeyKind::Pkcs8,
        };
        let chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
        Self { chain, kind, key: key.secret_der().to_vec(), staple }
    }

    pub(crate) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect()
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        let der = self.key.clone();
        match self.kind {
            KeyKind::Pkcs1 => PrivateKeyDer::Pkcs1(der.into()),
            KeyKind::Sec1 => PrivateKeyDer::Sec1(der.into()),
            KeyKind::Pkcs8 => PrivateKeyDer::Pkcs8(der.into()),
        }
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}
