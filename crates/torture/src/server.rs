//! The server under torture: how it is started, found again after an upgrade, and stopped.

use crate::{
    Environment,
    client::Addresses,
    clock::wait_for,
    companions,
    edge::{Edge, ROUTE},
    log::Log,
    plan::{Interface, Setup},
    proc::{self, Process, Role},
};
use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};

/// What requests in flight get when their worker stops.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// How long a head may take, and a connection be idle.
pub(crate) const HEADER_LIMIT: Duration = Duration::from_secs(3);
/// How long a body may stall, and how long a response may wait for its reader.
const BODY_LIMIT: Duration = Duration::from_secs(3);
const WRITE_LIMIT: Duration = Duration::from_secs(6);
/// The stall timeout. Longer than a plan blocks or suspends a worker.
const STALL: Duration = Duration::from_secs(15);
/// How long a start may take.
const START: Duration = Duration::from_secs(40);

/// A server, through all of its starts.
pub(crate) struct Server {
    setup: Setup,
    environment: Environment,
    /// The title of its processes.
    name: String,
    /// Where its files are.
    dir: PathBuf,
    pub(crate) addresses: Addresses,
    pub(crate) log: Log,
    pub(crate) edge: Edge,
    /// The process groups of its starts; the last one is the present one.
    groups: Mutex<Vec<i32>>,
}

impl Server {
    /// Starts it and waits until it serves.
    pub(crate) fn start(setup: &Setup, environment: &Environment, dir: &Path, name: String) -> Result<Self> {
        let native = setup.interface == Interface::Native;
        let (tcp, other) = two_addresses()?;
        let tls = if native { tcp } else { other };
        for place in ["tmp", "run"] {
            fs::create_dir_all(dir.join(place))?;
        }
        if setup.companions {
            fs::write(dir.join("hostler.toml"), companions::configuration(&name))?;
        }
        let server = Self {
            setup: setup.clone(),
            environment: environment.clone(),
            name,
            dir: dir.to_owned(),
            addresses: Addresses { tcp, tls, unix: dir.join("run/socket") },
            log: Log::default(),
            edge: Edge::write(dir)?,
            groups: Mutex::default(),
        };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it where it was before.
    pub(crate) fn start_again(&self) -> Result<()> {
        let _ = fs::remove_file(self.pid_file());
        let mut command =
            if self.setup.interface == Interface::Native { self.native() } else { self.python() };
        command
            .env("TORTURE_VIOLATIONS", self.dir.join("violations"))
            .env("TORTURE_RUNS", self.runs())
            .env("HOSTLER_BODY_READ_TIMEOUT", BODY_LIMIT.as_secs().to_string())
            .env("HOSTLER_WRITE_TIMEOUT", WRITE_LIMIT.as_secs().to_string())
            .env("TMPDIR", self.dir.join("tmp"))
            .env_remove("VIRTUAL_ENV")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log.attach()?)
            .process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let group = i32::try_from(child.id())?;
        self.groups.lock().expect("no thread panics").push(group);
        if !wait_for(START, || self.pid_file().exists() || !proc::lives(group)) || !self.pid_file().exists() {
            bail!("the server does not start:\n{}", self.log.tail(40));
        }
        Ok(())
    }

    fn python(&self) -> Command {
        let setup = &self.setup;
        let mut command = Command::new(&self.environment.hostler);
        let app = match setup.interface {
            _ if setup.tasks => "torture_tasks:app",
            Interface::Asgi | Interface::Native => "torture_asgi:app",
            Interface::Wsgi | Interface::WsgiThreads => "torture_wsgi:app",
            Interface::Rsgi => "torture_rsgi:app",
        };
        command.arg(app).current_dir(&self.environment.apps);
        let millis = HEADER_LIMIT.as_millis().to_string();
        let mut option = |name: &str, value: &str| {
            command.arg(format!("--{name}")).arg(value);
        };
        option("python", &self.environment.python.to_string_lossy());
        option("bind", &self.addresses.tcp.to_string());
        option("bind", &format!("unix:{}", self.addresses.unix.display()));
        option("ssl-bind", &self.addresses.tls.to_string());
        option("ssl-certificate", &self.edge.certificate().to_string_lossy());
        option("static-path-route", ROUTE);
        option("static-path-mount", &self.edge.files().to_string_lossy());
        option("workers", &setup.workers.to_string());
        option("process-name", &self.name);
        option("pid-file", &self.pid_file().to_string_lossy());
        option("graceful-timeout", &GRACE.as_secs().to_string());
        option("stall-timeout", &STALL.as_secs().to_string());
        option("respawn-interval", "0");
        option("http1-header-read-timeout", &millis);
        option("keep-alive", &format!("{millis}ms"));
        option("log-level", if setup.talkative { "debug" } else { "info" });
        let interface = match setup.interface {
            Interface::Rsgi => "rsgi",
            Interface::Wsgi | Interface::WsgiThreads => "wsgi",
            Interface::Asgi | Interface::Native => "asgi",
        };
        option("interface", interface);
        if setup.interface == Interface::WsgiThreads {
            option("blocking-threads", "4");
        }
        if setup.per_worker_queues {
            option("accept", "per-worker");
        }
        if setup.tasks {
            option("task-queue", &self.dir.join("queue.db").to_string_lossy());
            option("task-workers", "2");
        }
        if setup.companions {
            option("config", &self.dir.join("hostler.toml").to_string_lossy());
            option("control-socket", &self.control_socket().to_string_lossy());
        }
        if let Some(most) = setup.max_requests {
            option("max-requests", &most.to_string());
        }
        if setup.full_disk {
            option("log-file", "/dev/full");
        }
        let flags = [(setup.preload, "--preload"), (setup.gathers_pipelines, "--http1-pipeline-flush")];
        command.args(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag));
        command
    }

    fn native(&self) -> Command {
        let mut command = Command::new(&self.environment.native);
        command
            .arg(self.addresses.tcp.to_string())
            .arg(self.setup.workers.to_string())
            .arg(GRACE.as_secs().to_string())
            .arg(STALL.as_secs().to_string())
            .arg(self.pid_file())
            .arg(&self.name)
            .arg(self.edge.files())
            .args(self.setup.only_tls.then(|| self.edge.certificate()));
        command
    }

    /// Where tasks say that they run.
    pub(crate) fn runs(&self) -> PathBuf {
        self.dir.join("runs")
    }

    /// Where it takes commands.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.dir.join("run/control")
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("run/pid")
    }

    /// Whether it serves TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.setup.only_tls || self.setup.interface != Interface::Native
    }

    /// Whether it serves nothing else.
    pub(crate) fn only_tls(&self) -> bool {
        self.setup.only_tls
    }

    /// Whether its application is one of WSGI.
    pub(crate) fn calls_wsgi(&self) -> bool {
        matches!(self.setup.interface, Interface::Wsgi | Interface::WsgiThreads)
    }

    /// Its processes, oldest first.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let group = self.groups.lock().expect("no thread panics").last().copied();
        group.map(|group| proc::of_group(group, &self.name)).unwrap_or_default()
    }

    /// Those of its processes that do this.
    pub(crate) fn with_role(&self, role: Role) -> Vec<i32> {
        self.processes().iter().filter(|process| process.role == role).map(|process| process.pid).collect()
    }

    /// The master that serves, as its file says; the youngest if the file is of no help.
    pub(crate) fn master(&self) -> Option<i32> {
        let text = fs::read_to_string(self.pid_file()).unwrap_or_default();
        let told = text.trim().parse().ok().filter(|pid| proc::lives(*pid));
        told.or_else(|| self.with_role(Role::Master).pop())
    }

    /// Sends a signal to the master and waits for the end of everything; what is wrong with it.
    pub(crate) fn stop(&self, signal: Signal) -> Option<String> {
        let Some(master) = self.master() else {
            return Some("there is no master".into());
        };
        if kill(Pid::from_raw(master), signal).is_err() {
            return Some("the master is gone".into());
        }
        let limit = GRACE + Duration::from_secs(15);
        let mut status = None;
        let ended = wait_for(limit, || {
            match waitpid(Pid::from_raw(master), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => false,
                Ok(how) => {
                    status = Some(how);
                    true
                }
                Err(Errno::EINTR) => false,
                // Not our child: it was upgraded twice, and its end is seen in /proc.
                Err(_) => !proc::lives(master),
            }
        });
        if !ended {
            return Some(format!("{signal} does not stop the server: {:?}", self.processes()));
        }
        if let Some(how) = status
            && how != WaitStatus::Exited(Pid::from_raw(master), 0)
        {
            return Some(format!("the master ended with {how:?} after {signal}"));
        }
        let empty = wait_for(Duration::from_secs(10), || self.processes().is_empty());
        (!empty).then(|| format!("processes outlive the server: {:?}", self.processes()))
    }

    /// What is on disk though the server has ended.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let places = ["run", "tmp"].map(|place| self.dir.join(place));
        let files = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
        files.map(|entry| entry.path().display().to_string()).collect()
    }

    /// What its application complained about.
    pub(crate) fn violations(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join("violations")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Addresses that are free; the listeners that were given them are closed.
fn two_addresses() -> io::Result<(SocketAddr, SocketAddr)> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((one.local_addr()?, other.local_addr()?))
}

impl Server {
    /// Ends what did not end as it should.
    pub(crate) fn end_by_force(&self) {
        for group in self.groups.lock().expect("no thread panics").iter() {
            let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
            let _ = waitpid(Pid::from_raw(*group), None);
        }
        wait_for(Duration::from_secs(5), || self.processes().is_empty());
        // It had no chance to do that itself.
        let _ = fs::remove_file(&self.addresses.unix);
    }
}

impl Drop for Server {
    /// Nothing is left running, whatever happened.
    fn drop(&mut self) {
        self.end_by_force();
    }
}
