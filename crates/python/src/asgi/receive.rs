//! What the application receives of its request: `receive`.

use super::{
    cycle::{Cycle, Phase},
    events,
};
use crate::{
    awaitable::{Source, Waiting},
    intake::{Cut, Intake, Reader},
    line::Line,
};
use bytes::Bytes;
use pyo3::prelude::*;

impl Cycle {
    /// ASGI's `receive`.
    pub(super) fn receive<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Waiting::at(slf.py(), Events(slf.clone().unbind()))
    }

    fn look_for_event(&self, py: Python<'_>) -> Look {
        let ending = self.shared.with(py, |shared| shared.ending.get());
        self.state.with(py, |state| match state.phase {
            Phase::Complete | Phase::Gone => Look::Disconnect,
            Phase::Streaming { .. } if ending => Look::Disconnect,
            _ if state.intake.is_over() && state.departed => Look::Disconnect,
            _ => match (state.intake.look(false), state.intake.take_piece()) {
                (Err(Cut), _) => Look::Cut,
                (Ok(()), Some((bytes, more))) => Look::Piece(bytes, more),
                (Ok(()), None) => Look::Nothing,
            },
        })
    }
}

enum Look {
    Piece(Bytes, bool),
    /// The client is gone, the answer is complete, or the worker drains and streams are to end.
    Disconnect,
    Cut,
    Nothing,
}

/// The request's events, as what `receive` waits for.
struct Events(Py<Cycle>);

impl Source for Events {
    fn line(&self) -> &Line {
        &self.0.get().receivers
    }

    fn look<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.0.get().look_for_event(py) {
            Look::Piece(bytes, more) => events::request(py, &bytes, more).map(Some),
            Look::Disconnect => events::disconnect(py).map(Some),
            Look::Cut => {
                self.0.get().body_cut(py);
                events::disconnect(py).map(Some)
            }
            Look::Nothing => Ok(None),
        }
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.get().future(py)
    }

    fn fetch(&self, py: Python<'_>) -> PyResult<()> {
        let address = std::ptr::from_ref(self.0.get()) as usize;
        let cycle = self.0.clone_ref(py);
        let before =
            self.0.get().shared.with(py, |shared| shared.waiting.borrow_mut().insert(address, cycle));
        drop(before);
        self.0.pump(py)
    }

    fn rests(&self, py: Python<'_>) {
        self.0.get().receives_no_more(py);
    }
}

impl Reader for Py<Cycle> {
    fn intake<R>(&self, py: Python<'_>, work: impl FnOnce(&mut Intake) -> R) -> R {
        self.get().state.with(py, |state| work(&mut state.intake))
    }

    fn line(&self) -> &Line {
        &self.get().receivers
    }

    fn wants_all(&self, _py: Python<'_>) -> bool {
        false
    }

    fn cut(&self, py: Python<'_>) {
        self.get().body_cut(py);
    }

    fn duplicate(&self, py: Python<'_>) -> Self {
        self.clone_ref(py)
    }
}
