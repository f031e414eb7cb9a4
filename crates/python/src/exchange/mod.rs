//! What ASGI and RSGI share: an exchange is a request of an asynchronous application, its response, and the task in
//! which the application runs.
//!
//! | file | duty |
//! |---|---|
//! | `future` | what hyper polls for a response; calls the application at its first poll |
//! | `call` | what an interface says of its requests, and what follows from that for all of them |
//! | `state` | body, response and task of one request |
//! | `body` | the request's body, read when the application asks |
//! | `pump` | reading it while the application waits |
//! | `application` | the application, and starting it |

mod application;
mod body;
mod call;
mod future;
mod pump;
mod state;

pub(crate) use application::Application;
pub(crate) use body::{BodyReader, Cut};
pub(crate) use call::{Call, HttpCall, Standing};
pub(crate) use future::{Connection, ResponseFuture};
pub(crate) use pump::pump;
pub(crate) use state::Exchange;
