//! How long a body is, against what its Content-Length says.

use pyo3::{PyErr, exceptions::PyRuntimeError};
use std::fmt;

/// How much of a body was sent, and how much was announced.
#[derive(Clone, Copy, Default)]
pub(crate) struct Length {
    announced: Option<u64>,
    sent: u64,
}

/// A body is not as long as its Content-Length says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WrongLength {
    TooLong { sent: u64, announced: u64 },
    TooShort { sent: u64, announced: u64 },
}

impl Length {
    /// Nothing was sent yet; without an announced length any is right.
    pub(super) fn new(announced: Option<u64>) -> Self {
        Self { announced, sent: 0 }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Counts a piece, unless it is too much.
    pub(crate) fn add(&mut self, size: u64) -> Result<(), WrongLength> {
        let sent = self.sent + size;
        match self.announced {
            Some(announced) if sent > announced => Err(WrongLength::TooLong { sent, announced }),
            _ => {
                self.sent = sent;
                Ok(())
            }
        }
    }

    /// Whether as much was sent as was announced.
    pub(crate) fn is_reached(&self) -> bool {
        self.announced == Some(self.sent)
    }

    /// Whether the body may end here.
    pub(crate) fn check_end(&self) -> Result<(), WrongLength> {
        match self.announced {
            Some(announced) if self.sent < announced => {
                Err(WrongLength::TooShort { sent: self.sent, announced })
            }
            _ => Ok(()),
        }
    }

    /// Checks a body that is there in whole.
    pub(crate) fn check_whole(mut self, size: u64) -> Result<(), WrongLength> {
        self.add(size)?;
        self.check_end()
    }
}

impl fmt::Display for WrongLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { sent, announced } => {
                write!(f, "the response body has {sent} bytes so far, but Content-Length says {announced}")
            }
            Self::TooShort { sent, announced } => {
                write!(f, "the response body ended after {sent} bytes, but Content-Length says {announced}")
            }
        }
    }
}

impl From<WrongLength> for PyErr {
    fn from(wrong: WrongLength) -> Self {
        PyRuntimeError::new_err(wrong.to_string())
    }
}
