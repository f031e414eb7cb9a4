//! Calls of applications, without a protocol: the task that one is, functions that it gets, and telling it of what
//! happens meanwhile.
//!
//! | file | duty |
//! |---|---|
//! | `task` | an application's task that is suspended, or goes on after its response |
//! | `function` | functions of ours that applications get, as plain C functions |
//! | `listeners` | telling suspended calls that the client or the worker ends |
//! | `registry` | things that are known until their handle is dropped |

mod function;
mod listeners;
mod registry;
mod task;

pub(crate) use function::{Function, Method, bind};
pub(crate) use listeners::{Listen, Listeners, Listening, Notice};
pub(crate) use registry::{Entry, Registry};
pub(crate) use task::{ApplicationTask, Origin};
