//! The application and what every request of it needs.

use super::{capabilities::Capabilities, names::Names};
use crate::exchange::Application;
use pyo3::{prelude::*, types::PyDict};

/// The application and what every request of it needs.
pub(super) struct Shared {
    pub(super) application: Application,
    /// The lifespan's state, copied for each request; `None` if the application has no lifespan.
    pub(super) state: Option<Py<PyDict>>,
    pub(super) root_path: String,
    pub(super) names: Names,
    pub(super) capabilities: Capabilities,
}

impl Shared {
    pub(super) fn new(
        py: Python<'_>,
        application: Application,
        state: Option<Bound<'_, PyDict>>,
        root_path: String,
    ) -> Self {
        Self {
            application,
            state: state.map(Bound::unbind),
            root_path,
            names: Names::new(py),
            capabilities: Capabilities::new(py),
        }
    }
}
