//! A format, and what has to be found out for its lines.

use crate::{
    Program,
    atom::Atom,
    form::{Form, Spec},
};

/// A format: what a line says.
#[derive(Clone, Debug)]
pub struct Format {
    pieces: Vec<Piece>,
}

/// A part of a format.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Literal(Box<[u8]>),
    Atom(Atom, Form),
}

/// What has to be found out for a format, and is not without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// When the response began.
    pub first_byte: bool,
    /// How long the request waited.
    pub queue: bool,
    /// The request's id.
    pub request_id: bool,
    /// Its trace context.
    pub trace: bool,
    /// The scheme of its URL.
    pub scheme: bool,
}

impl Needs {
    /// Whether anything is needed that a request has to be asked for.
    #[inline]
    #[must_use]
    pub fn identity(self) -> bool {
        self.request_id || self.trace || self.scheme
    }
}

impl Piece {
    pub(crate) fn text(atom: Atom, spec: Spec) -> Self {
        let form = Form::of(&atom, spec);
        Self::Atom(atom, form)
    }
}

impl Format {
    pub(crate) fn of(pieces: Vec<Piece>) -> Self {
        Self { pieces }
    }

    /// What has to be found out for it.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let any = |wanted: fn(&Atom) -> bool| {
            self.pieces.iter().any(|piece| matches!(piece, Piece::Atom(atom, _) if wanted(atom)))
        };
        Needs {
            first_byte: any(|atom| matches!(atom, Atom::FirstByte(_))),
            queue: any(|atom| matches!(atom, Atom::Queue(_))),
            request_id: any(|atom| matches!(atom, Atom::RequestId)),
            trace: any(|atom| matches!(atom, Atom::TraceId | Atom::ParentId)),
            scheme: any(|atom| matches!(atom, Atom::Scheme)),
        }
    }

    /// Compiles it for the lines of this worker.
    #[must_use]
    pub fn program(&self, worker: u64, pid: u64) -> Program {
        Program::new(&self.pieces, worker, pid)
    }
}
