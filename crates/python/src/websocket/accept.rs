//! The response that accepts a handshake (RFC 6455 §4.2.2).

use super::{
    NotSent, Session, driver,
    session::{Closer, Phase},
};
use crate::response::{Head, ResponseBody, status_alone};
use hostler_settings::Compression;
use hostler_websocket::{Agreement, DeflateOptions};
use hyper::{
    Response, StatusCode,
    header::{
        CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
        UPGRADE,
    },
};
use pyo3::{exceptions::PyValueError, prelude::*};
use std::rc::Rc;

impl Session {
    /// Accepts the handshake: a 101 with these headers and our own.
    pub(crate) fn accept(
        self: &Rc<Self>,
        py: Python<'_>,
        head: Head,
        subprotocol: Option<&str>,
    ) -> Result<(), NotSent> {
        self.may_be_answered(py)?;
        let settings = self.sockets.settings();
        let agreement = settings.compression().and_then(|compression| {
            let Compression { window_bits, context_takeover } = compression;
            self.handshake.agree(DeflateOptions { window_bits, context_takeover })
        });
        let response = switching(self.handshake.accept.as_deref(), head, subprotocol, agreement.as_ref())?;
        let entry = self.sockets.enter(Rc::clone(self) as _);
        let inflater = agreement.as_ref().map(Agreement::inflater);
        let session = Rc::clone(self);
        self.upgrades
            .set(Box::new(move |stream| Box::pin(driver::drive(session, stream, settings, inflater))));
        let waiting = self.state.with(py, |state| {
            state.phase = Phase::Open { _entry: entry };
            state.deflater = agreement.as_ref().map(Agreement::deflater);
            state.response.put(Ok(response))
        });
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        Ok(())
    }

    /// Whether the handshake waits for its response.
    pub(crate) fn may_be_answered(&self, py: Python<'_>) -> Result<(), NotSent> {
        self.state.with(py, |state| match state.phase {
            Phase::Connecting => Ok(()),
            Phase::Closed { by: Closer::Client, .. } => Err(NotSent::ClientGone),
            Phase::Open { .. } | Phase::Closed { .. } => Err(NotSent::AlreadyAccepted),
        })
    }
}

/// The response that ends HTTP on the connection, or on the stream if there is nothing to accept.
fn switching(
    accept: Option<&str>,
    head: Head,
    subprotocol: Option<&str>,
    agreement: Option<&Agreement>,
) -> PyResult<Response<ResponseBody>> {
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| PyValueError::new_err(format!("{text:?} is no header value")))
    };
    let status = if accept.is_some() { StatusCode::SWITCHING_PROTOCOLS } else { StatusCode::OK };
    let mut response = status_alone(status);
    let headers = response.headers_mut();
    *headers = head.headers;
    if let Some(accept) = accept {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, value(accept)?);
    }
    if let Some(name) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value(name)?);
    }
    match agreement {
        Some(agreement) => drop(headers.insert(SEC_WEBSOCKET_EXTENSIONS, value(&agreement.response)?)),
        // What the application says of extensions would have the client use them.
        None => drop(headers.remove(SEC_WEBSOCKET_EXTENSIONS)),
    }
    Ok(response)
}
