//! A format compiled: what is written at which time, with the constant parts merged.

use crate::{
    Draft, End, Stamps, Start,
    atom::{Atom, Known},
    form::Form,
    format::Piece,
    line::{Constant, Pen},
    number,
    quick::{self, Cursor},
    start::{Found, Value, Wanted},
};
use http::{HeaderMap, HeaderName, header::CONTENT_LENGTH};

/// What a value that is known at the end is not longer than, unless its format makes it.
const LONGEST_VALUE: usize = 32;
/// How long lines are that are put together with copies of fixed sizes, at the most.
const QUICK: usize = 256;
/// What is kept for a header of the response in a line that is too long.
const HEADER_ROOM: usize = 64;
/// Where the texts of a line that is too long are cut first; if that is not enough, at half of it, and so on.
const CUT_FIRST: usize = 2048;
/// They are not cut shorter than this.
const CUT_LAST: usize = 8;

/// A compiled format.
#[derive(Clone, Debug)]
pub struct Program {
    /// Headers of the request that are looked for at once.
    wanted: Wanted,
    /// What is written when the request begins.
    begin: Vec<Begin>,
    /// How many parts that makes.
    parts: usize,
    /// Headers of the response, each of which is a part.
    headers: Vec<(HeaderName, Form)>,
    steps: Vec<Step>,
    /// How much is written at the end, at the most.
    at_end: usize,
    /// All that it says is simple.
    is_quick: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Begin {
    pub(crate) value: Value,
    pub(crate) behind: Constant,
    pub(crate) ends_part: bool,
}

/// What a line is put together from, each with the constant behind it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Part(usize),
    Header(usize, Constant),
    // In their simplest form:
    Time(Constant),
    Status(Constant),
    Bytes(Constant),
    BytesOrDash(Constant),
    End(Atom, Form, Constant),
}

/// A value and the constant behind it, in the order of the line.
struct Placed {
    value: Option<(Atom, Form)>,
    behind: Vec<u8>,
}

impl Program {
    pub(crate) fn new(pieces: &[Piece], worker: u64, pid: u64) -> Self {
        let mut this = Self {
            wanted: Wanted::default(),
            begin: Vec::new(),
            parts: 0,
            headers: Vec::new(),
            steps: Vec::new(),
            at_end: 0,
            is_quick: false,
        };
        for placed in place(pieces, worker, pid) {
            this.add(placed);
        }
        let is_simple = |step: &Step| !matches!(step, Step::Header(..) | Step::End(..));
        this.is_quick = this.steps.iter().all(is_simple)
            && this.begin.iter().all(|step| !matches!(step.value, Value::Other(..)));
        this
    }

    fn add(&mut self, Placed { value, behind }: Placed) {
        let behind = Constant::new(&behind);
        let known = value.as_ref().map_or(Known::AtStart, |(atom, _)| atom.known());
        if known != Known::AtStart {
            self.at_end += behind.len();
        }
        match value {
            Some((Atom::ResponseHeader(name), form)) => {
                self.steps.push(Step::Header(self.headers.len(), behind));
                self.headers.push((name, form));
            }
            Some((atom, form)) if known == Known::AtEnd => {
                self.at_end += LONGEST_VALUE + form.padding();
                self.steps.push(Step::at_end(atom, form, behind));
            }
            value => {
                let value = value.map_or(Value::Nothing, |(atom, form)| Value::of(atom, form));
                self.wanted.add(&value);
                match (self.steps.last(), self.begin.last_mut()) {
                    (Some(Step::Part(_)), Some(last)) => last.ends_part = false,
                    _ => {
                        self.steps.push(Step::Part(self.parts));
                        self.parts += 1;
                    }
                }
                self.begin.push(Begin { value, behind, ends_part: true });
            }
        }
    }

    /// Writes what the request says; before its application is called.
    pub fn begin(&self, draft: &mut Draft, start: &Start<'_>) {
        let found = Found::of(start.headers, self.wanted);
        if !self.is_quick || quick::begin(&self.begin, draft, start, &found).is_none() {
            self.begin_slowly(draft, start, &found);
        }
    }

    #[inline(never)]
    fn begin_slowly(&self, draft: &mut Draft, start: &Start<'_>, found: &Found<'_>) {
        draft.clear(start.longest);
        self.write(draft, start, found, usize::MAX);
        if draft.exceeds(self.at_end + HEADER_ROOM * self.headers.len()) {
            self.begin_cut(draft, start, found);
        }
    }

    fn write(&self, draft: &mut Draft, start: &Start<'_>, found: &Found<'_>, most: usize) {
        for step in &self.begin {
            start.write(&mut Pen { out: draft.text(), most }, &step.value, found);
            step.behind.write(draft.text());
            if step.ends_part {
                draft.end_part();
            }
        }
    }

    /// Cuts what the client sent, so that the line is not too long.
    #[cold]
    fn begin_cut(&self, draft: &mut Draft, start: &Start<'_>, found: &Found<'_>) {
        let mut most = CUT_FIRST;
        while draft.exceeds(self.at_end + HEADER_ROOM * self.headers.len()) && most >= CUT_LAST {
            draft.clear(start.longest);
            self.write(draft, start, found, most);
            most /= 2;
        }
    }

    /// Adds headers of the response. `length` is that of its body, if it is known: it may have no header yet.
    #[inline]
    pub fn responded(&self, draft: &mut Draft, headers: &HeaderMap, length: Option<u64>) {
        if !self.headers.is_empty() {
            self.write_headers(draft, headers, length);
        }
    }

    fn write_headers(&self, draft: &mut Draft, headers: &HeaderMap, length: Option<u64>) {
        let mut most = usize::MAX;
        loop {
            draft.keep_parts(self.parts);
            for (name, form) in &self.headers {
                let pen = &mut Pen { out: draft.text(), most };
                match (headers.get_all(name).iter().next_back(), length) {
                    (Some(value), _) => form.text(pen, Some(value.as_bytes())),
                    (None, Some(length)) if *name == CONTENT_LENGTH => form.number(pen.out, Some(length)),
                    _ => form.text(pen, None),
                }
                draft.end_part();
            }
            if !draft.exceeds(self.at_end) || most <= CUT_LAST {
                return;
            }
            most = CUT_FIRST.min(most / 2);
        }
    }

    /// Appends the line, with its line feed.
    #[inline]
    pub fn finish(&self, draft: &Draft, end: &End, stamps: &mut Stamps, out: &mut Vec<u8>) {
        let from = out.len();
        if self.is_quick {
            out.extend_from_slice(&[0; QUICK]);
            if let Some(room) = out[from..].first_chunk_mut() {
                let mut cursor = Cursor::<QUICK> { room, at: 0 };
                if let Some(length) = quick::finish(&self.steps, draft, end, stamps, &mut cursor) {
                    return out.truncate(from + length);
                }
            }
            out.truncate(from);
        }
        self.finish_slowly(draft, end, stamps, out);
    }

    #[inline(never)]
    fn finish_slowly(&self, draft: &Draft, end: &End, stamps: &mut Stamps, out: &mut Vec<u8>) {
        for step in &self.steps {
            match step {
                Step::Part(index) => out.extend_from_slice(draft.part(*index).unwrap_or_default()),
                Step::Time(behind) => {
                    stamps.common(out, end.second, end.offset);
                    behind.write(out);
                }
                Step::Status(behind) => {
                    match end.status {
                        Some(status) => number::whole(out, u64::from(status)),
                        None => out.push(b'-'),
                    }
                    behind.write(out);
                }
                Step::BytesOrDash(behind) if end.status.is_none() => {
                    out.push(b'-');
                    behind.write(out);
                }
                Step::Bytes(behind) | Step::BytesOrDash(behind) => {
                    number::whole(out, end.bytes);
                    behind.write(out);
                }
                Step::End(atom, form, behind) => {
                    form.at_end(atom, out, end, stamps);
                    behind.write(out);
                }
                Step::Header(index, behind) => {
                    match draft.part(self.parts + index) {
                        Some(part) => out.extend_from_slice(part),
                        // There was no response.
                        None => self.headers[*index].1.text(&mut Pen { out, most: 0 }, None),
                    }
                    behind.write(out);
                }
            }
        }
        out.push(b'\n');
    }
}

impl Step {
    fn at_end(atom: Atom, form: Form, behind: Constant) -> Self {
        match (&atom, form) {
            (Atom::Time, Form::Plain) => Self::Time(behind),
            (Atom::Status, Form::Plain) => Self::Status(behind),
            (Atom::BytesOrDash, Form::Plain) => Self::BytesOrDash(behind),
            (Atom::Bytes, Form::Plain | Form::Json) => Self::Bytes(behind),
            _ => Self::End(atom, form, behind),
        }
    }
}

/// The values of a line in their order. What is the same for all requests of a process becomes constant.
fn place(pieces: &[Piece], worker: u64, pid: u64) -> Vec<Placed> {
    let mut all: Vec<Placed> = Vec::new();
    for piece in pieces {
        let mut constant = Vec::new();
        let out = &mut constant;
        match piece {
            Piece::Literal(text) => out.extend_from_slice(text),
            Piece::Atom(Atom::Nothing, form) => form.text(&mut Pen { out, most: 0 }, None),
            Piece::Atom(Atom::Worker, form) => form.number(out, Some(worker)),
            Piece::Atom(Atom::Pid, form) => form.number(out, Some(pid)),
            Piece::Atom(Atom::PidInBrackets, form) => form.written(out, |out| {
                out.push(b'<');
                number::whole(out, pid);
                out.push(b'>');
            }),
            Piece::Atom(atom, form) => {
                all.push(Placed { value: Some((atom.clone(), *form)), behind: Vec::new() });
                continue;
            }
        }
        match all.last_mut() {
            Some(last) => last.behind.extend(constant),
            None => all.push(Placed { value: None, behind: constant }),
        }
    }
    all
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
