//! TLS.

use crate::{Bind, OnReload, TlsVersion, macros::settings};
use std::{path::PathBuf, time::Duration};

settings! {
    #[heading("TLS")]
    /// TLS.
    pub struct Tls {
        /// The file of the server's certificate and of those that certify it, as PEM: with it, addresses are served over
        /// TLS. Repeatable, each with its key: clients get the one for the host that they ask for, or the first.
        #[option(
            "ssl-certificate", default = Vec::new(), example("/etc/shop/tls.crt"), aliases(&["ssl-certfile", "certfile"]), common
        )]
        pub certificate: Vec<PathBuf>,
        /// The file of the certificate's private key, as PEM (PKCS#8, PKCS#1 or SEC1); unset, the certificate's file has it.
        #[option("ssl-keyfile", default = Vec::new(), example("/etc/shop/tls.key"), aliases(&["keyfile"]), common)]
        pub keyfile: Vec<PathBuf>,
        /// The password of encrypted private keys (PKCS#8).
        #[option("ssl-keyfile-password", default = None, example("secret"), secret, aliases(&["keyfile-password"]))]
        pub keyfile_password: Option<String>,
        /// HOST:PORT, unix:PATH or fd://N to serve over TLS, while the other addresses are served without; unset, all
        /// addresses are served over TLS. Repeatable.
        #[option("ssl-bind", default = Vec::new(), example("0.0.0.0:8443"), reload(OnReload::Kept))]
        pub bind: Vec<Bind>,
        /// The file of what the certificate's authority says of its validity (an OCSP response, DER), which is sent to clients.
        /// Repeatable: the first for the first certificate.
        #[option("ssl-stapling-file", default = Vec::new(), example("/etc/shop/tls.ocsp"))]
        pub stapling_file: Vec<PathBuf>,
        /// Redirect requests that come without TLS to the same URL with https; needs --ssl-bind.
        #[option("redirect-https", default = false, common)]
        pub redirect_https: bool,
        /// The oldest version of TLS.
        #[option("ssl-protocol-min", default = TlsVersion::Tls12)]
        pub protocol_min: TlsVersion,
        /// How long a client may take for the TLS handshake.
        #[option("ssl-handshake-timeout", default = Duration::from_secs(10), range(1, 3_600))]
        pub handshake_timeout: Duration,
        /// The file of the authorities of client certificates, as PEM: clients are asked for one.
        #[option(
            "ssl-ca", default = None, example("/etc/shop/clients.crt"), aliases(&["ssl-ca-certs", "ca-certs"])
        )]
        pub ca: Option<PathBuf>,
        /// A file of revoked client certificates, as PEM. Repeatable; with it, each authority in a client's chain must have a
        /// list.
        #[option("ssl-crl", default = Vec::new(), example("/etc/shop/revoked.crl"))]
        pub crl: Vec<PathBuf>,
        /// Refuse clients without a certificate.
        #[option("ssl-client-verify", default = false)]
        pub client_verify: bool,
    }
}
