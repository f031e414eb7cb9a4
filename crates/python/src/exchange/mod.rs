//! What ASGI and RSGI share: an exchange is a request of an asynchronous application, its response, and the task in
//! which the application runs.
//!
//! | file | duty |
//! |---|---|
//! | `future` | the future of a response; calls the application at its first poll |
//! | `call` | the trait of a request, with what is the same for every interface |
//! | `state` | body, response slot and task of one request |
//! | `body` | the request's body, read when the application asks |
//! | `pump` | reading it while the application waits |
//! | `application` | the application, and starting a call of it |

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
