//! Calls of applications, independent of a protocol: their tasks, functions that they get, and notices about their
//! client and worker.
//!
//! | file | duty |
//! |---|---|
//! | `task` | an application's task that is suspended, or outlives its response |
//! | `function` | functions of ours that applications get, as plain C functions |
//! | `listeners` | telling suspended requests that the client disconnects or the worker drains |
//! | `registry` | values that are registered until their handle is dropped |

mod function;
mod listeners;
mod registry;
mod task;

pub(crate) use function::{Function, Method, bind};
pub(crate) use listeners::{Listen, Listeners, Listening, Notice};
pub(crate) use registry::{Entry, Registry};
pub(crate) use task::{ApplicationTask, Origin, told_client};
