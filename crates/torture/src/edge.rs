//! What the server has on disk: a certificate with its key, which is replaced now and then, and static files.

use crate::ask::{block_down, cut};
use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName},
};
use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

/// The name that certificates are for.
const HOST: &str = "localhost";
/// The beginning of the paths of static files.
pub(crate) const ROUTE: &str = "/s";
/// The lengths of the static files. The largest is more than all buffers take.
pub(crate) const FILES: [usize; 7] = [0, 1, 3_000, 66_000, 300_000, 1_100_000, 12_000_000];
/// The numbers of the files' contents begin here, where no request has any.
const NUMBERS: u64 = 5_000_000;
/// How long a handshake may take.
const SHAKES_HANDS: Duration = Duration::from_secs(20);

/// The number of which the content of a static file is made.
pub(crate) fn content(file: usize) -> u64 {
    NUMBERS + file as u64
}

/// The files of a server.
pub(crate) struct Edge {
    dir: PathBuf,
    /// The certificate that is to be served.
    present: Mutex<CertificateDer<'static>>,
}

impl Edge {
    /// Writes all of them.
    pub(crate) fn write(dir: &Path) -> Result<Self> {
        let dir = dir.join("edge");
        fs::create_dir_all(dir.join("files"))?;
        for (file, size) in FILES.iter().enumerate() {
            fs::write(dir.join(format!("files/{file}")), cut(&block_down(content(file)), 0, *size))?;
        }
        let present = Mutex::new(replace(&dir.join("tls.pem"))?);
        Ok(Self { dir, present })
    }

    /// The file with certificate and key.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.join("tls.pem")
    }

    /// The directory of static files.
    pub(crate) fn files(&self) -> PathBuf {
        self.dir.join("files")
    }

    /// Replaces the certificate by a new one.
    pub(crate) fn renew(&self) -> Result<()> {
        *self.present.lock().expect("no thread panics") = replace(&self.certificate())?;
        Ok(())
    }

    /// Replaces the certificate by something that is none.
    pub(crate) fn spoil(&self) -> Result<()> {
        write_at_once(&self.certificate(), "no certificate")
    }

    /// Whether this address serves the certificate that it should.
    pub(crate) fn is_served_at(&self, address: SocketAddr) -> bool {
        let served = served_at(address).ok();
        served.is_some_and(|served| served == *self.present.lock().expect("no thread panics"))
    }
}

/// The authority that all certificates are of.
fn authority() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("keys can be made");
        CertifiedIssuer::self_signed(params, key).expect("an authority can be made")
    })
}

/// Writes a new certificate and its key; readers see the old file or the new one.
fn replace(path: &Path) -> Result<CertificateDer<'static>> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![HOST.into()])?.signed_by(&key, authority())?;
    write_at_once(path, &format!("{}{}", certificate.pem(), key.serialize_pem()))?;
    Ok(certificate.der().clone())
}

fn write_at_once(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, path).with_context(|| format!("cannot replace {}", path.display()))?;
    Ok(())
}

/// A client's settings: sessions are resumed at whichever server and worker there is, as clients do.
pub(crate) fn trust(http2: bool) -> Arc<ClientConfig> {
    static SETTINGS: OnceLock<[Arc<ClientConfig>; 2]> = OnceLock::new();
    let settings = SETTINGS.get_or_init(|| {
        [b"http/1.1".to_vec(), b"h2".to_vec()].map(|protocol| {
            let mut settings = config();
            settings.alpn_protocols = vec![protocol];
            Arc::new(settings)
        })
    });
    settings[usize::from(http2)].clone()
}

fn config() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority().der().clone()).expect("our own authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("the versions of rustls");
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// The name under which clients know the server.
pub(crate) fn host() -> ServerName<'static> {
    ServerName::try_from(HOST).expect("a name")
}

/// The certificate that an address serves.
fn served_at(address: SocketAddr) -> io::Result<CertificateDer<'static>> {
    let mut settings = config();
    // In a session that is resumed no certificate is sent.
    settings.resumption = Resumption::disabled();
    let mut tls = ClientConnection::new(Arc::new(settings), host()).map_err(io::Error::other)?;
    let mut socket = TcpStream::connect_timeout(&address, SHAKES_HANDS)?;
    socket.set_read_timeout(Some(SHAKES_HANDS))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    let chain = tls.peer_certificates().unwrap_or_default();
    chain.first().map(|own| own.clone().into_owned()).ok_or_else(|| io::Error::other("no certificate"))
}
