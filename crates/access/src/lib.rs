//! The access log's format: compiled once into a program, which each request runs.
//!
//! A line is made in three steps, because what it says is known at different times: [`Program::begin`] writes what the
//! request says into a [`Draft`], [`Program::responded`] adds headers of the response, and [`Program::finish`] appends the
//! whole line to a buffer. Nothing of the request is kept beyond the text that the line needs of it, and nothing is
//! allocated.
//!
//! What clients send is escaped: no request can end a line, close a quoted value, or send a terminal a control sequence.
//! Where lines must not be long, it is cut.
//!
//! Files: `atom` what a line can say and its names, `parse` a format in text, `json` the JSON form, `format` and `program`
//! before and after compilation, `draft` a line under way, `start` and `end` values as they are known, `form` how a format
//! wants them, `quick` lines as most are, `line`, `escape`, `number`, `address` and `stamp` how constants, texts, numbers, addresses and times are
//! written.
//!
//! Not here: where lines go (`hostler_sys::logging`), and when a request is logged (`hostler_http`).

#![forbid(unsafe_code)]

mod address;
mod atom;
mod draft;
mod end;
mod escape;
mod form;
mod format;
mod json;
mod line;
mod number;
mod parse;
mod program;
mod quick;
mod stamp;
mod start;

pub use draft::Draft;
pub use end::End;
pub use format::{Format, Needs};
pub use parse::FormatError;
pub use program::Program;
pub use stamp::{Offset, Stamps};
pub use start::{Start, path};

/// The formats that have a name.
pub const NAMED: [(&str, &str); 3] = [
    ("common", r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s"#),
    ("combined", r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#),
    ("granian", r#"[%(time)s] %(addr)s - "%(method)s %(path)s %(protocol)s" %(status)d %(dt_ms).3f"#),
];
