//! What applications learn of the TLS handshake of their connection.

use hostler_http::{ClientCertificate, TlsInfo};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};

/// The `tls` extension of ASGI; RSGI's `scope.tls` is the same.
pub(crate) fn extension<'py>(py: Python<'py>, tls: &TlsInfo) -> PyResult<Bound<'py, PyDict>> {
    let client = tls.client.as_ref();
    let extension = PyDict::new(py);
    extension.set_item("server_cert", &*tls.server_certificate)?;
    let chain = client.map(|client| client.chain.as_slice()).unwrap_or_default();
    extension.set_item("client_cert_chain", PyList::new(py, chain)?)?;
    extension.set_item("client_cert_name", client.map(|client| &client.subject))?;
    // A client whose certificate is not accepted has no connection.
    extension.set_item("client_cert_error", py.None())?;
    extension.set_item("tls_version", tls.version)?;
    extension.set_item("cipher_suite", tls.cipher_suite.0)?;
    Ok(extension)
}

/// The variables of WSGI, by the names of Apache's mod_ssl.
pub(crate) fn variables(environ: &Bound<'_, PyDict>, tls: &TlsInfo) -> PyResult<()> {
    environ.set_item("HTTPS", "on")?;
    environ.set_item("SSL_PROTOCOL", if tls.version == 0x0303 { "TLSv1.2" } else { "TLSv1.3" })?;
    environ.set_item("SSL_CIPHER", tls.cipher_suite.1)?;
    if let Some(name) = &tls.server_name {
        environ.set_item("SSL_TLS_SNI", name)?;
    }
    match &tls.client {
        Some(client) => client_variables(environ, client),
        None => environ.set_item("SSL_CLIENT_VERIFY", "NONE"),
    }
}

fn client_variables(environ: &Bound<'_, PyDict>, client: &ClientCertificate) -> PyResult<()> {
    environ.set_item("SSL_CLIENT_VERIFY", "SUCCESS")?;
    environ.set_item("SSL_CLIENT_S_DN", &client.subject)?;
    environ.set_item("SSL_CLIENT_I_DN", &client.issuer)?;
    environ.set_item("SSL_CLIENT_M_SERIAL", &client.serial)?;
    for (number, certificate) in client.chain.iter().enumerate() {
        match number.checked_sub(1) {
            None => environ.set_item("SSL_CLIENT_CERT", certificate)?,
            Some(number) => environ.set_item(format!("SSL_CLIENT_CERT_CHAIN_{number}"), certificate)?,
        }
    }
    Ok(())
}
