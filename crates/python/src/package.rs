//! The Python half of the package, compiled in so that the extension is one file.

use pyo3::{
    prelude::*,
    types::{PyDict, PyModule},
};

/// Every module, in an order in which each finds the ones it imports.
const MODULES: &[(&str, &str)] = &[
    ("hostler", include_str!("../python/hostler/__init__.py")),
    ("hostler._log", include_str!("../python/hostler/_log.py")),
    ("hostler.hooks", include_str!("../python/hostler/hooks.py")),
    ("hostler._forks", include_str!("../python/hostler/_forks.py")),
    ("hostler._stacks", include_str!("../python/hostler/_stacks.py")),
    ("hostler._warmup", include_str!("../python/hostler/_warmup.py")),
    ("hostler._engine", include_str!("../python/hostler/_engine.py")),
    ("hostler._lifespan", include_str!("../python/hostler/_lifespan.py")),
    ("hostler.rsgi", include_str!("../python/hostler/rsgi.py")),
    ("hostler._load", include_str!("../python/hostler/_load.py")),
    ("hostler._logconfig", include_str!("../python/hostler/_logconfig.py")),
    ("hostler._gunicorn", include_str!("../python/hostler/_gunicorn.py")),
    ("hostler._preload", include_str!("../python/hostler/_preload.py")),
    ("hostler._wsgi", include_str!("../python/hostler/_wsgi.py")),
    ("hostler._shutdown", include_str!("../python/hostler/_shutdown.py")),
    ("hostler._development", include_str!("../python/hostler/_development.py")),
    ("hostler._worker", include_str!("../python/hostler/_worker.py")),
];

/// Modules that are made when an application imports them.
const ON_DEMAND: &[(&str, &str)] = &[
    ("hostler._launch", include_str!("../python/hostler/_launch.py")),
    ("hostler.tasks", include_str!("../python/hostler/tasks/__init__.py")),
    ("hostler.tasks._ahead", include_str!("../python/hostler/tasks/_ahead.py")),
    ("hostler.tasks._asynchronous", include_str!("../python/hostler/tasks/_asynchronous.py")),
    ("hostler.tasks._calls", include_str!("../python/hostler/tasks/_calls.py")),
    ("hostler.tasks._celery", include_str!("../python/hostler/tasks/_celery.py")),
    ("hostler.tasks._celery_consumer", include_str!("../python/hostler/tasks/_celery_consumer.py")),
    ("hostler.tasks._celery_listen", include_str!("../python/hostler/tasks/_celery_listen.py")),
    ("hostler.tasks._celery_patience", include_str!("../python/hostler/tasks/_celery_patience.py")),
    ("hostler.tasks._celery_pool", include_str!("../python/hostler/tasks/_celery_pool.py")),
    ("hostler.tasks._celery_records", include_str!("../python/hostler/tasks/_celery_records.py")),
    ("hostler.tasks._celery_tasks", include_str!("../python/hostler/tasks/_celery_tasks.py")),
    ("hostler.tasks._celery_worker", include_str!("../python/hostler/tasks/_celery_worker.py")),
    ("hostler.tasks._clock", include_str!("../python/hostler/tasks/_clock.py")),
    ("hostler.tasks._coding", include_str!("../python/hostler/tasks/_coding.py")),
    ("hostler.tasks._connect", include_str!("../python/hostler/tasks/_connect.py")),
    ("hostler.tasks._context", include_str!("../python/hostler/tasks/_context.py")),
    ("hostler.tasks._cron", include_str!("../python/hostler/tasks/_cron.py")),
    ("hostler.tasks._embedded", include_str!("../python/hostler/tasks/_embedded.py")),
    ("hostler.tasks._engine", include_str!("../python/hostler/tasks/_engine.py")),
    ("hostler.tasks._errors", include_str!("../python/hostler/tasks/_errors.py")),
    ("hostler.tasks._execute", include_str!("../python/hostler/tasks/_execute.py")),
    ("hostler.tasks._forked", include_str!("../python/hostler/tasks/_forked.py")),
    ("hostler.tasks._frames", include_str!("../python/hostler/tasks/_frames.py")),
    ("hostler.tasks._handle", include_str!("../python/hostler/tasks/_handle.py")),
    ("hostler.tasks._late", include_str!("../python/hostler/tasks/_late.py")),
    ("hostler.tasks._options", include_str!("../python/hostler/tasks/_options.py")),
    ("hostler.tasks._publish", include_str!("../python/hostler/tasks/_publish.py")),
    ("hostler.tasks._ray", include_str!("../python/hostler/tasks/_ray.py")),
    ("hostler.tasks._ray_cluster", include_str!("../python/hostler/tasks/_ray_cluster.py")),
    ("hostler.tasks._ray_code", include_str!("../python/hostler/tasks/_ray_code.py")),
    ("hostler.tasks._ray_gateway", include_str!("../python/hostler/tasks/_ray_gateway.py")),
    ("hostler.tasks._ray_keeper", include_str!("../python/hostler/tasks/_ray_keeper.py")),
    ("hostler.tasks._ray_link", include_str!("../python/hostler/tasks/_ray_link.py")),
    ("hostler.tasks._ray_local", include_str!("../python/hostler/tasks/_ray_local.py")),
    ("hostler.tasks._ray_run", include_str!("../python/hostler/tasks/_ray_run.py")),
    ("hostler.tasks._ray_store", include_str!("../python/hostler/tasks/_ray_store.py")),
    ("hostler.tasks._run", include_str!("../python/hostler/tasks/_run.py")),
    ("hostler.tasks._serve", include_str!("../python/hostler/tasks/_serve.py")),
    ("hostler.tasks._settings", include_str!("../python/hostler/tasks/_settings.py")),
    ("hostler.tasks._supervise", include_str!("../python/hostler/tasks/_supervise.py")),
    ("hostler.tasks._task", include_str!("../python/hostler/tasks/_task.py")),
    ("hostler.tasks._threaded", include_str!("../python/hostler/tasks/_threaded.py")),
    ("hostler.tasks._worker", include_str!("../python/hostler/tasks/_worker.py")),
    ("hostler.tasks.celery", include_str!("../python/hostler/tasks/celery.py")),
    ("hostler.tasks.testing", include_str!("../python/hostler/tasks/testing.py")),
];

/// The source of a module that is made on demand.
#[pyfunction]
pub(crate) fn module_source(name: &str) -> Option<&'static str> {
    ON_DEMAND.iter().find(|(module, _)| *module == name).map(|(_, source)| *source)
}

/// Makes `hostler` and its modules importable.
pub(crate) fn install(extension: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = extension.py();
    let modules = py.import("sys")?.getattr("modules")?;
    // What the modules import while they are being made; Python's own import adds it only afterwards.
    modules.set_item("_hostler", extension)?;
    let event_loop = hostler_eventloop::install(py, "hostler._loop")?;
    for (name, source) in MODULES {
        let module = PyModule::new(py, name)?;
        if *name == "hostler" {
            module.setattr("__path__", Vec::<String>::new())?;
        }
        modules.set_item(name, &module)?;
        let file = format!("<{name}>");
        run(py, source, &file, &module.dict())?;
        if let Some((parent, child)) = name.rsplit_once('.') {
            modules.get_item(parent)?.setattr(child, &module)?;
        }
    }
    modules.get_item("hostler")?.setattr("_loop", event_loop)
}

fn run(py: Python<'_>, source: &str, file: &str, globals: &Bound<'_, PyDict>) -> PyResult<()> {
    let code = py.import("builtins")?.getattr("compile")?.call1((source, file, "exec"))?;
    globals.set_item("__builtins__", py.import("builtins")?)?;
    py.import("builtins")?.getattr("exec")?.call1((code, globals))?;
    Ok(())
}
