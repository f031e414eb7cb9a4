//! A transport's task: polled when its descriptor is ready, or when the transport has something for it.

use super::{
    flush, read,
    state::{SocketTransport, This},
};
use crate::callbacks::report;
use pyo3::prelude::*;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Keeps the transport alive until its connection is lost.
struct Task(Option<Py<SocketTransport>>);

/// Starts the task of a transport.
pub(super) fn spawn(slf: This<'_, '_>) {
    drop(tokio::task::spawn_local(Task(Some(slf.clone().unbind()))));
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Python::attach(|py| {
            let Some(transport) = self.0.as_ref().map(|transport| transport.bind(py).clone()) else {
                return Poll::Ready(());
            };
            remember_waker(&transport, cx);
            for turn in [read::turn, flush::turn] {
                if let Err(error) = turn(&transport, cx) {
                    fail(&transport, error);
                }
            }
            if transport.get().with(py, |state| state.socket.is_some()) {
                return Poll::Pending;
            }
            // Here, with the GIL, not whenever the runtime drops the task.
            self.0 = None;
            Poll::Ready(())
        })
    }
}

fn remember_waker(transport: This<'_, '_>, cx: &Context<'_>) {
    transport.get().with(transport.py(), |state| match &state.task {
        Some(kept) if kept.will_wake(cx.waker()) => {}
        _ => state.task = state.socket.is_some().then(|| cx.waker().clone()),
    });
}

/// What a callback of the selector's loop would have raised: reported, or the end of the loop.
fn fail(transport: This<'_, '_>, error: PyErr) {
    let py = transport.py();
    if let Some(core) = transport.get().core(py) {
        report(&core, transport.as_any(), error);
    }
}
