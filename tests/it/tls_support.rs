//! Certificates made for a test, and a TLS client on which the test sees each end of a connection.

use hostler_testkit::{Builder, LIMIT, Server, directory};
use rcgen::{
    CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    client::{Resumption, WebPkiServerVerifier},
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

/// An authority of its own for a test, with a directory for the files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) dir: PathBuf,
}

/// A certificate and its key in files.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, format!("{name} authority"));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = directory(name);
        fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    pub(crate) fn issuer(&self) -> &CertifiedIssuer<'static, KeyPair> {
        &self.issuer
    }

    /// A certificate for these hosts, as `change` has it.
    pub(crate) fn make(
        &self,
        name: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Files {
        self.make_with(name, hosts, &KeyPair::generate().unwrap(), change)
    }

    pub(crate) fn make_with(
        &self,
        name: &str,
        hosts: &[&str],
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Files {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let files = Files {
            certificate: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// The server's, for `localhost`.
    pub(crate) fn server(&self) -> Files {
        self.make("server", &["localhost", "127.0.0.1"], |_| {})
    }

    /// What clients trust.
    pub(crate) fn client(&self) -> Client {
        Client { authority: self.issuer.der().clone(), config: None }.with(|_| {})
    }
}

impl Files {
    /// Options that have a server serve with these.
    pub(crate) fn serve(&self, builder: Builder) -> Builder {
        builder
            .option("ssl-certificate", self.certificate.display())
            .option("ssl-keyfile", self.key.display())
    }

    pub(crate) fn start(&self, target: &str) -> Server {
        self.serve(Server::app(target)).start()
    }
}

/// A client's settings; sessions are resumed among its connections.
#[derive(Clone)]
pub(crate) struct Client {
    authority: CertificateDer<'static>,
    config: Option<Arc<ClientConfig>>,
}

impl Client {
    fn config(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        identity: Option<&Files>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let provider = Arc::new(default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_webpki_verifier(verifier.build().unwrap());
        match identity {
            Some(files) => {
                let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap();
                let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
                builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
            }
            None => builder.with_no_client_auth(),
        }
    }

    /// With other settings, and no sessions yet.
    pub(crate) fn with(&self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = self.config(&[&TLS13, &TLS12], None);
        change(&mut config);
        Self { config: Some(Arc::new(config)), ..self.clone() }
    }

    /// That speaks TLS 1.2 only.
    pub(crate) fn tls12(&self) -> Self {
        Self { config: Some(Arc::new(self.config(&[&TLS12], None))), ..self.clone() }
    }

    /// That never resumes a session.
    pub(crate) fn forgetful(&self) -> Self {
        self.with(|config| config.resumption = Resumption::disabled())
    }

    /// That has a certificate.
    pub(crate) fn identified(&self, files: &Files) -> Self {
        Self { config: Some(Arc::new(self.config(&[&TLS13, &TLS12], Some(files)))), ..self.clone() }
    }

    /// Connects and shakes hands.
    pub(crate) fn try_connect(&self, address: SocketAddr, host: &str) -> io::Result<Tls> {
        self.try_over(TcpStream::connect(address)?, host)
    }

    /// Shakes hands on a connection.
    pub(crate) fn try_over(&self, socket: TcpStream, host: &str) -> io::Result<Tls> {
        socket.set_read_timeout(Some(LIMIT))?;
        socket.set_write_timeout(Some(LIMIT))?;
        socket.set_nodelay(true)?;
        let host = ServerName::try_from(host.to_owned()).unwrap();
        let config = self.config.clone().unwrap();
        let session = ClientConnection::new(config, host).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Tls { stream, rest: Vec::new() })
    }

    pub(crate) fn connect(&self, server: &Server) -> Tls {
        self.try_connect(server.address.expect("it listens"), "localhost").expect("a handshake")
    }

    /// GET on a new connection.
    pub(crate) fn get(&self, server: &Server, path: &str) -> String {
        self.connect(server).get(path)
    }
}

/// A connection over TLS.
pub(crate) struct Tls {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
    rest: Vec<u8>,
}

impl Tls {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// GET, and the body of its response.
    pub(crate) fn get(&mut self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        let (head, body) = self.reply().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        body
    }

    /// The head and the body of a response with a length.
    pub(crate) fn reply(&mut self) -> io::Result<(String, String)> {
        let head = loop {
            match self.rest.windows(4).position(|end| end == b"\r\n\r\n") {
                Some(at) => break self.rest.drain(..at + 4).collect::<Vec<u8>>(),
                None => self.more()?,
            }
        };
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase().replace("http/1.1", "HTTP/1.1");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.map_or(0, |text| text.parse().unwrap());
        while self.rest.len() < length {
            self.more()?;
        }
        let body = self.rest.drain(..length).collect::<Vec<u8>>();
        Ok((head, String::from_utf8_lossy(&body).into_owned()))
    }

    fn more(&mut self) -> io::Result<()> {
        let mut block = [0; 16_384];
        match self.stream.read(&mut block)? {
            0 => Err(io::ErrorKind::ConnectionAborted.into()),
            count => {
                self.rest.extend_from_slice(&block[..count]);
                Ok(())
            }
        }
    }

    /// Reads to the end, which must be a close_notify: no reset, and no end-of-file without one.
    pub(crate) fn read_until_close_notify(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.rest);
        self.stream.read_to_end(&mut all).expect("a close_notify");
        all
    }

    /// Whether the session was resumed.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// The server's certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

/// The certificate in a file.
pub(crate) fn certificate_in(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}
