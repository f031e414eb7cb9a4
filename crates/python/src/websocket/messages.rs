//! What the application sends and receives.

use super::{
    ABNORMAL, NotSent, Received, Session,
    session::{Closer, Phase},
};
use hostler_eventloop::{Finished, Source, WaitQueue, Waiting};
use hostler_websocket::{Opcode, is_sendable_close_code, write_frame};
use pyo3::prelude::*;
use std::rc::Rc;

/// With so many bytes for the client, the application has to wait before it sends more.
const MAX_OUTGOING: usize = 64 * 1024;

impl Session {
    /// Sends a message; an awaitable that is finished once there is room for more.
    pub(crate) fn send<'py>(
        &self,
        py: Python<'py>,
        opcode: Opcode,
        payload: &[u8],
    ) -> Result<Bound<'py, PyAny>, NotSent> {
        let (driver, full) = self.state.with(py, |state| match &state.phase {
            Phase::Open { .. } => {
                match &mut state.deflater {
                    Some(deflater) => deflater.write_frame(&mut state.outgoing, opcode, payload),
                    None => write_frame(&mut state.outgoing, opcode, payload),
                }
                Ok((state.driver.take(), state.outgoing.len() >= MAX_OUTGOING))
            }
            closed => Err(closed.not_sent()),
        })?;
        if let Some(driver) = driver {
            driver.wake();
        }
        if !full {
            return Ok(Finished::none(py)?);
        }
        let future = self.tasks.future(py)?;
        self.state.with(py, |state| state.senders.push(future.clone().unbind()));
        Ok(Waiting::on_future(&future)?)
    }

    /// Closes an open session. A code that may not be sent becomes 1000.
    pub(crate) fn close(&self, py: Python<'_>, code: u16, reason: String) -> Result<(), NotSent> {
        self.state.with(py, |state| match &state.phase {
            Phase::Open { .. } => Ok(()),
            closed => Err(closed.not_sent()),
        })?;
        let code = if is_sendable_close_code(code) { code } else { 1000 };
        self.end_by_us(py, Closer::Application, code, reason);
        Ok(())
    }

    /// Awaits the next message; after the end that is the end, however often it is asked for.
    pub(crate) fn receive(self: Rc<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Waiting::on(py, Messages(self))
    }

    fn present_end<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (code, reason) = self.state.with(py, |state| match &state.phase {
            Phase::Closed { code, reason, .. } => (*code, reason.clone()),
            Phase::Connecting | Phase::Open { .. } => (ABNORMAL, String::new()),
        });
        self.interface.present(py, Received::Closed(code, &reason))
    }
}

impl Phase {
    /// Why nothing can be sent now.
    fn not_sent(&self) -> NotSent {
        match self {
            Self::Closed { by: Closer::Application, .. } => NotSent::ClosedByUs,
            Self::Closed { by: Closer::Server | Closer::Client, .. } => NotSent::ClientGone,
            Self::Connecting | Self::Open { .. } => NotSent::NotAccepted,
        }
    }
}

/// The session's messages, as what `receive` waits for.
struct Messages(Rc<Session>);

impl Source for Messages {
    fn waiters(&self) -> &WaitQueue {
        &self.0.receivers
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (message, over, driver) = self.0.state.with(py, |state| {
            let was_full = state.inbox.is_full();
            let message = state.inbox.take();
            // The driver waits for room.
            let driver = if was_full && !state.inbox.is_full() { state.driver.take() } else { None };
            (message, matches!(state.phase, Phase::Closed { .. }), driver)
        });
        if let Some(driver) = driver {
            driver.wake();
        }
        match message {
            Some(message) => self.0.interface.present(py, message.received()).map(Some),
            None if over => self.0.present_end(py).map(Some),
            None => Ok(None),
        }
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.tasks.future(py)
    }

    fn request(&self, _py: Python<'_>) -> PyResult<()> {
        // The driver reads whenever there is room.
        Ok(())
    }
}
