//! The loop in an interpreter that these tests embed, as another program would use it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hostler_eventloop::{
    Engine, Finished, GilCell, LoopCore, Observer, Source, Started, Tasks, WaitQueue, Waiting, install,
    resolve, set_observer, spawn_local,
};
use pyo3::{
    exceptions::{PySystemExit, PyValueError},
    ffi::c_str,
    prelude::*,
    sync::PyOnceLock,
    types::{PyCFunction, PyDict, PyList},
};
use std::{
    collections::VecDeque,
    ffi::CStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// Makes a loop, hands it to `test`, and closes it.
fn with_loop(test: impl FnOnce(Python<'_>, &Bound<'_, PyAny>)) {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Python::initialize();
    Python::attach(|py| {
        let class = CLASS.get_or_try_init(py, || {
            PyResult::Ok(install(py, "hostler_test_loop")?.getattr("EventLoop")?.unbind())
        });
        let event_loop = class.unwrap().bind(py).call0().unwrap();
        test(py, &event_loop);
        event_loop.call_method0("close").unwrap();
    });
}

/// Runs the coroutine function `main` of this source on a loop.
fn run_python(source: &CStr) {
    with_loop(|py, event_loop| {
        let main = define(py, source, "main");
        event_loop.call_method1("run_until_complete", (main.call0().unwrap(),)).unwrap();
    });
}

fn define<'py>(py: Python<'py>, source: &CStr, name: &str) -> Bound<'py, PyAny> {
    let names = PyDict::new(py);
    py.run(source, Some(&names), None).unwrap();
    names.get_item(name).unwrap().unwrap()
}

fn sleep<'py>(py: Python<'py>, seconds: f64) -> Bound<'py, PyAny> {
    py.import("asyncio").unwrap().call_method1("sleep", (seconds,)).unwrap()
}

#[test]
fn tokio_tasks_and_coroutines_share_one_thread() {
    with_loop(|py, event_loop| {
        let here = thread::current().id();
        let done = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&done);
        let task = async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert_eq!(thread::current().id(), here);
            assert!(spawn_local(async move { told.store(true, SeqCst) }), "another task, from inside of one");
        };
        event_loop.cast::<LoopCore>().unwrap().get().spawn(py, task).unwrap();
        event_loop.call_method1("run_until_complete", (sleep(py, 0.05),)).unwrap();
        assert!(done.load(SeqCst));
    });
}

#[test]
fn without_a_loop_nothing_is_spawned() {
    assert!(!spawn_local(async {}));
}

#[test]
fn another_thread_works_while_the_loop_waits() {
    run_python(c_str!(
        r"
import asyncio, threading, time
async def main():
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: (time.sleep(0.01), loop.call_soon_threadsafe(done.set)))
    thread.start()
    await asyncio.wait_for(done.wait(), 5)
    thread.join()
"
    ));
}

#[test]
fn callbacks_run_in_order_and_timers_when_due() {
    run_python(c_str!(
        r"
import asyncio
async def main():
    loop, ran = asyncio.get_running_loop(), []
    cancelled = loop.call_later(0.002, ran.append, 'cancelled')
    loop.call_later(0.02, ran.append, 'late')
    loop.call_later(0.01, ran.append, 'early')
    loop.call_soon(ran.append, 1)
    loop.call_soon(ran.append, 2)
    cancelled.cancel()
    await asyncio.sleep(0.05)
    assert ran == [1, 2, 'early', 'late'], ran
"
    ));
}

#[test]
fn streams_carry_data_both_ways() {
    run_python(c_str!(
        r"
import asyncio
async def echo(reader, writer):
    writer.write(await reader.read())
    writer.close()
async def main():
    server = await asyncio.start_server(echo, '127.0.0.1', 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    sent = bytes(range(256)) * 8192
    writer.write(sent)
    writer.write_eof()
    assert await reader.read() == sent
    writer.close()
    server.close()
"
    ));
}

#[test]
fn a_callbacks_exit_ends_the_run() {
    with_loop(|py, event_loop| {
        let exit = py.import("sys").unwrap().getattr("exit").unwrap();
        event_loop.call_method1("call_soon", (exit, 3)).unwrap();
        let ended = event_loop.call_method0("run_forever").unwrap_err();
        assert!(ended.is_instance_of::<PySystemExit>(py));
    });
}

#[test]
fn a_callbacks_error_goes_to_the_exception_handler() {
    with_loop(|py, event_loop| {
        let told = PyList::empty(py);
        let handler = PyCFunction::new_closure(py, None, None, {
            let told = told.clone().unbind();
            move |args, _| told.bind(args.py()).append(args.get_item(1)?.get_item("exception")?)
        });
        event_loop.call_method1("set_exception_handler", (handler.unwrap(),)).unwrap();
        let int = py.import("builtins").unwrap().getattr("int").unwrap();
        event_loop.call_method1("call_soon", (int, "no number")).unwrap();
        event_loop.call_method1("run_until_complete", (sleep(py, 0.0),)).unwrap();
        assert!(told.get_item(0).unwrap().is_instance_of::<PyValueError>());
    });
}

const STEPS: &CStr = c_str!(
    r"
import asyncio
steps, ended = [], []
async def app(suspends):
    steps.append('first')
    if suspends:
        await asyncio.sleep(0)
        steps.append('second')
async def main(start):
    outcomes = []
    for suspends in (False, True):
        asyncio.get_running_loop().call_soon(lambda s=suspends: outcomes.append((start(app, s, ended.append), len(steps))))
    await asyncio.sleep(0.01)
    assert outcomes == [('done', 1), ('suspended', 2)], outcomes
    assert steps == ['first', 'first', 'second'] and len(ended) == 1
"
);

#[test]
fn a_tasks_first_step_runs_at_once() {
    with_loop(|py, event_loop| {
        let tasks = Tasks::new(event_loop).unwrap();
        let start = PyCFunction::new_closure(py, None, None, move |args, _| {
            let (app, suspends, ended) = (args.get_item(0)?, args.get_item(1)?, args.get_item(2)?);
            PyResult::Ok(match tasks.start(&app, [&suspends], || Ok(ended))? {
                Started::Done(None) => "done",
                Started::Done(Some(_)) => "failed",
                Started::Suspended(_) => "suspended",
            })
        });
        let main = define(py, STEPS, "main").call1((start.unwrap(),)).unwrap();
        event_loop.call_method1("run_until_complete", (main,)).unwrap();
    });
}

/// Numbers for the tasks that wait for one.
struct Numbers {
    there: GilCell<VecDeque<i32>>,
    waiters: WaitQueue,
    event_loop: Py<PyAny>,
}

struct Number(Arc<Numbers>);

impl Source for Number {
    fn waiters(&self) -> &WaitQueue {
        &self.0.waiters
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let number = self.0.there.with(py, VecDeque::pop_front);
        Ok(number.map(|number| number.into_pyobject(py)).transpose()?.map(Bound::into_any))
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.event_loop.bind(py).call_method0("create_future")
    }

    fn request(&self, _py: Python<'_>) -> PyResult<()> {
        Ok(())
    }
}

const WAITERS: &CStr = c_str!(
    r"
import asyncio
async def main(get, put):
    async def one():
        return await get()
    tasks = [asyncio.ensure_future(one()) for _ in range(3)]
    await asyncio.sleep(0)
    put(1)
    tasks[0].cancel()
    put(2)
    assert await asyncio.gather(*tasks[1:]) == [1, 2]
    assert tasks[0].cancelled()
    put(3)
    assert await get() == 3
"
);

#[test]
fn a_waiter_that_is_cancelled_loses_nothing() {
    with_loop(|py, event_loop| {
        let numbers = Arc::new(Numbers {
            there: GilCell::default(),
            waiters: WaitQueue::default(),
            event_loop: event_loop.clone().unbind(),
        });
        let source = Arc::clone(&numbers);
        let get = PyCFunction::new_closure(py, None, None, move |args, _| {
            Waiting::on(args.py(), Number(Arc::clone(&source))).map(Bound::unbind)
        });
        let put = PyCFunction::new_closure(py, None, None, move |args, _| -> PyResult<()> {
            let number = args.get_item(0)?.extract()?;
            numbers.there.with(args.py(), |there| there.push_back(number));
            numbers.waiters.wake_first(args.py());
            Ok(())
        });
        let main = define(py, WAITERS, "main").call1((get.unwrap(), put.unwrap())).unwrap();
        event_loop.call_method1("run_until_complete", (main,)).unwrap();
    });
}

#[test]
fn what_is_finished_suspends_no_task() {
    with_loop(|py, event_loop| {
        let main = define(py, c_str!("async def main(a, b):\n    return await a, await b\n"), "main");
        let seven = Finished::with(py, 7i32.into_pyobject(py).unwrap().into_any()).unwrap();
        let main = main.call1((seven, Finished::none(py).unwrap())).unwrap();
        let value = event_loop.call_method1("run_until_complete", (main,)).unwrap();
        assert_eq!(value.extract::<(i32, Option<i32>)>().unwrap(), (7, None));
    });
}

#[test]
fn a_future_is_resolved_once() {
    with_loop(|py, event_loop| {
        let future = event_loop.call_method0("create_future").unwrap();
        resolve(&future, 1i32.into_pyobject(py).unwrap().into_any());
        resolve(&future, 2i32.into_pyobject(py).unwrap().into_any());
        assert_eq!(future.call_method0("result").unwrap().extract::<i32>().unwrap(), 1);
    });
}

#[test]
fn an_engine_runs_tokio_beside_asyncios_loop() {
    Python::initialize();
    Python::attach(|py| {
        install(py, "hostler_test_engine").unwrap();
        let event_loop = py.import("asyncio").unwrap().call_method0("new_event_loop").unwrap();
        let engine = py.import("_hostler_eventloop").unwrap().getattr("Engine").unwrap().call0().unwrap();
        let turn = engine.getattr("turn").unwrap();
        event_loop.call_method1("add_reader", (engine.call_method0("fileno").unwrap(), &turn)).unwrap();
        let future = event_loop.call_method0("create_future").unwrap();
        let told = future.clone().unbind();
        let task = async move {
            tokio::task::yield_now().await;
            Python::attach(|py| resolve(told.bind(py), py.None().into_bound(py)));
        };
        engine.cast::<Engine>().unwrap().get().spawn(py, task).unwrap();
        event_loop.call_method1("call_soon", (turn,)).unwrap();
        event_loop.call_method1("run_until_complete", (future,)).unwrap();
        event_loop.call_method1("remove_reader", (engine.call_method0("fileno").unwrap(),)).unwrap();
        event_loop.call_method0("close").unwrap();
    });
}

/// Counts, for all loops of this process.
struct Counts {
    parked: AtomicI64,
    turns: AtomicI64,
    opened: AtomicI64,
    closed: AtomicI64,
}

static COUNTS: Counts = Counts {
    parked: AtomicI64::new(0),
    turns: AtomicI64::new(0),
    opened: AtomicI64::new(0),
    closed: AtomicI64::new(0),
};

impl Observer for Counts {
    fn parked(&self) {
        self.parked.fetch_add(1, SeqCst);
    }

    fn turn_begins(&self) {
        self.turns.fetch_add(1, SeqCst);
    }

    fn opened(&self, _descriptor: i32) {
        self.opened.fetch_add(1, SeqCst);
    }

    fn closing(&self, _descriptor: i32) {
        self.closed.fetch_add(1, SeqCst);
    }
}

#[test]
fn an_observer_is_told_of_waits_turns_and_descriptors() {
    set_observer(&COUNTS);
    let before = COUNTS.parked.load(SeqCst);
    with_loop(|py, event_loop| {
        event_loop.call_method1("run_until_complete", (sleep(py, 0.01),)).unwrap();
        assert!(COUNTS.opened.load(SeqCst) > 0, "an epoll set at least");
    });
    assert!(COUNTS.parked.load(SeqCst) > before && COUNTS.turns.load(SeqCst) > 0);
    assert!(COUNTS.closed.load(SeqCst) > 0);
}
