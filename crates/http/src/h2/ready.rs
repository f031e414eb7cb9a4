//! Which streams of a connection are to be polled.
//!
//! The connection's task polls hyper's connection and the futures of its streams in turn. Each has a waker of its own; while
//! the task is running, being woken only puts it into a list, and the task goes on until the list is empty.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Release},
        },
    },
    task::{Wake, Waker},
};

/// The number of hyper's connection, beside those of the streams.
pub(crate) const CONNECTION: u32 = u32::MAX;

/// What was woken.
#[derive(Default)]
pub(crate) struct Ready(Mutex<State>);

#[derive(Default)]
struct State {
    woken: Vec<u32>,
    /// The task runs, and looks at `woken` before it rests.
    running: bool,
    task: Option<Waker>,
}

impl Ready {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, number: u32) {
        let task = {
            let mut state = self.state();
            state.woken.push(number);
            if state.running { None } else { state.task.clone() }
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    /// The task runs from now on.
    pub(crate) fn run(&self, task: &Waker) {
        let mut state = self.state();
        state.running = true;
        if !state.task.as_ref().is_some_and(|kept| kept.will_wake(task)) {
            state.task = Some(task.clone());
        }
    }

    /// Exchanges what was woken for an empty list; false, and the task rests from now on, if that is nothing.
    pub(crate) fn take(&self, empty: &mut Vec<u32>) -> bool {
        let mut state = self.state();
        state.running = !state.woken.is_empty();
        std::mem::swap(&mut state.woken, empty);
        state.running
    }

    /// The task rests although there may be more: it is woken again.
    pub(crate) fn pause(&self) {
        let task = {
            let mut state = self.state();
            state.running = false;
            state.task.clone()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// The waker of a stream, or of hyper's connection.
pub(crate) struct NumberedWaker {
    ready: Arc<Ready>,
    number: u32,
    /// It is in the list.
    queued: AtomicBool,
}

impl NumberedWaker {
    pub(crate) fn new(ready: &Arc<Ready>, number: u32) -> Arc<Self> {
        Arc::new(Self { ready: Arc::clone(ready), number, queued: AtomicBool::new(false) })
    }

    /// It was taken from the list.
    pub(crate) fn taken(&self) {
        self.queued.store(false, Release);
    }
}

impl Wake for NumberedWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, AcqRel) {
            self.ready.push(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CONNECTION, NumberedWaker, Ready};
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering::SeqCst},
        },
        task::{Wake, Waker},
    };

    #[derive(Default)]
    struct Task(AtomicU32);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_running_task_sees_what_is_woken_and_a_resting_one_is_woken() {
        let (ready, task) = (Arc::new(Ready::default()), Arc::new(Task::default()));
        let (first, second) = (NumberedWaker::new(&ready, 1), NumberedWaker::new(&ready, CONNECTION));
        ready.run(&Waker::from(Arc::clone(&task)));
        first.wake_by_ref();
        first.wake_by_ref();
        let mut woken = Vec::new();
        assert!(ready.take(&mut woken));
        assert_eq!(woken, [1], "once");
        assert_eq!(task.0.load(SeqCst), 0);
        woken.clear();
        assert!(!ready.take(&mut woken), "it rests");
        second.wake_by_ref();
        assert_eq!(task.0.load(SeqCst), 1);
        first.taken();
        first.wake_by_ref();
        ready.run(Waker::noop());
        assert!(ready.take(&mut woken));
        assert_eq!(woken, [CONNECTION, 1]);
    }
}
