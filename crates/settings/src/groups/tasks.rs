//! Work beyond requests: the task queue, and the workers that run tasks.

use super::YEAR;
use crate::{ByteSize, Commas, OnReload, TaskEngine, Unit, WorkerCount, macros::settings};
use std::{path::PathBuf, time::Duration};

/// What a Ray cluster of this server's own is called among its companions.
pub const RAY_CLUSTER: &str = "ray-cluster";

/// Where it listens unless another port is named.
const RAY_PORT: u16 = 6390;

/// The queue's file where none is named.
const QUEUE: &str = "hostler-tasks.db";

settings! {
    #[heading("Tasks")]
    /// The task queue of `hostler.tasks`, and the workers that run tasks.
    pub struct Tasks {
        /// What keeps the tasks of hostler.tasks and hands them to workers: `embedded` a file of this server's, `celery` the broker of
        /// Celery (--task-broker or --task-celery-app), `ray` a Ray cluster (--task-ray-address).
        #[option("task-engine", default = TaskEngine::Embedded, reload(OnReload::Kept))]
        pub engine: TaskEngine,
        /// Celery's broker, Redis or RabbitMQ, with --task-engine celery.
        #[option("task-broker", default = None, example("redis://127.0.0.1:6379/0"), secret)]
        pub broker: Option<String>,
        /// Where Celery keeps the state and results of tasks, a Redis; the broker unless set, if that is one.
        #[option("task-results", default = None, example("redis://127.0.0.1:6379/1"), secret)]
        pub results: Option<String>,
        /// A Celery application that exists, as MODULE:NAME, whose broker and settings are used in place of --task-broker.
        #[option("task-celery-app", default = None, example("shop.celery:app"))]
        pub celery_app: Option<String>,
        /// The Ray cluster of --task-engine ray, HOST:PORT; `auto` is that of RAY_ADDRESS, or the one that runs on this
        /// machine; `local` starts one that ends with this server, `local:PORT` on another port than 6390.
        #[option("task-ray-address", default = "auto".into(), example("10.0.0.5:6379"))]
        pub ray_address: String,
        /// The file of the task queue of hostler.tasks (Python), an SQLite database on a local disk, which a process of its own keeps; beside
        /// it are a lock file and a socket. With --task-workers it is hostler-tasks.db in the working directory unless set.
        #[option("task-queue", default = None, example("/var/lib/shop/tasks.db"), reload(OnReload::Kept))]
        pub queue: Option<PathBuf>,
        /// Processes that run the application's tasks, beside those that serve requests; with MIN:MAX as many as waiting tasks need.
        #[option("task-workers", default = WorkerCount::Fixed(0), range(0, 1024), common)]
        pub workers: WorkerCount,
        /// The queues that they take tasks from, separated by commas, repeatable; all unless set.
        #[option("task-queues", default = Commas(Vec::new()), example("default,mail"))]
        pub queues: Commas<String>,
        /// How many tasks a task worker runs at once; those that are no coroutines run one after the other.
        #[option("task-concurrency", default = 1, range(1, 10_000))]
        pub concurrency: u32,
        /// The number of tasks after which a task worker is recycled.
        #[option("task-max-tasks", default = None, example("1000"), range(1, u64::MAX))]
        pub max_tasks: Option<u64>,
        /// The memory at which a task worker is recycled, once it has finished what it runs: its proportional share (PSS), a plain number in
        /// MiB; that of --workers-max-rss unless set.
        #[option("task-max-rss", default = None, example("1GiB"), unit(Unit::Mebibytes), range(1, 1 << 32))]
        pub max_memory: Option<ByteSize>,
        /// How long a task may take that sets no timeout of its own.
        #[option("task-timeout", default = None, example("10m"), range(1, YEAR))]
        pub timeout: Option<Duration>,
        /// By how much the priority of task workers is lower than that of the server (nice(2)), so that requests come first.
        #[option("task-nice", default = 5, range(0, 19))]
        pub nice: u8,
    }
}

impl Tasks {
    /// The port of a Ray cluster that this server is to start, if it is to.
    #[must_use]
    pub fn local_ray(&self) -> Option<u16> {
        match self.ray_address.strip_prefix("local")? {
            _ if self.engine != TaskEngine::Ray => None,
            "" => Some(RAY_PORT),
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0),
        }
    }

    /// The address by which processes of the application join the Ray cluster.
    #[must_use]
    pub fn ray(&self) -> String {
        self.local_ray().map_or_else(|| self.ray_address.clone(), |port| format!("127.0.0.1:{port}"))
    }

    /// The queue's file, if there is a queue.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        if self.engine != TaskEngine::Embedded {
            return None;
        }
        self.queue.clone().or_else(|| (!self.workers.is_none()).then(|| QUEUE.into()))
    }
}
