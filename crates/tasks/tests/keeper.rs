//! The keeper on its socket: clients that come and go, and how fast it is.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, clippy::cast_precision_loss, reason = "a test")]

use hostler_sys::{byte_locks::ByteLocks, control};
use hostler_tasks::{
    Answer, Ask, Filter, Frame, Keeper, NewTask, Refused, State, TaskId, TaskOptions, decode, encode,
};
use std::{
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(60);

/// A keeper in a thread of this process.
struct Kept {
    directory: tempfile::TempDir,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Kept {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (thread, stop) = keep(&directory.path().join("queue.db"));
        Self { directory, stop: Some(stop), thread: Some(thread) }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("queue.db")
    }

    fn connect(&self) -> Client {
        let socket = control::connect(&self.directory.path().join("queue.db.sock"), LIMIT).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Client { socket, input: vec![], n: 0 }
    }

    fn stop(&mut self) {
        self.stop.take();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn keep(file: &Path) -> (JoinHandle<()>, UnixStream) {
    let (stop, theirs) = UnixStream::pair().unwrap();
    let mut keeper = Keeper::open(file).unwrap().expect("nobody else has it");
    let thread = thread::spawn(move || {
        let theirs = OwnedFd::from(theirs);
        while !keeper.turn(theirs.as_fd(), None).unwrap() {}
        keeper.close();
    });
    (thread, stop)
}

struct Client {
    socket: UnixStream,
    input: Vec<u8>,
    n: u64,
}

impl Client {
    fn say(&mut self, message: &Ask, body: &[u8]) {
        let mut bytes = vec![];
        encode(message, body, &mut bytes).unwrap();
        self.socket.write_all(&bytes).unwrap();
    }

    fn hear(&mut self) -> Frame<Answer> {
        self.try_hear().expect("the keeper has closed the connection")
    }

    /// None if the connection has ended.
    fn try_hear(&mut self) -> Option<Frame<Answer>> {
        loop {
            if let Some((frame, length)) = decode(&self.input).unwrap() {
                self.input.drain(..length);
                return Some(frame);
            }
            let mut some = [0; 65536];
            let got = self.socket.read(&mut some).ok().filter(|got| *got > 0)?;
            self.input.extend_from_slice(&some[..got]);
        }
    }

    fn enqueue(&mut self, number: u128) -> TaskId {
        self.n += 1;
        let task = task(number);
        let id = task.id;
        self.say(&Ask::Enqueue { n: self.n, task }, b"[]");
        assert_eq!(self.hear().message, Answer::Accepted { n: self.n, id, new: true });
        id
    }
}

fn task(number: u128) -> NewTask {
    NewTask {
        id: TaskId(number.to_be_bytes()),
        name: "noop".into(),
        queue: "default".into(),
        priority: 0,
        due: None,
        expires: None,
        key: None,
        options: TaskOptions::default(),
    }
}

fn work(owner: i64) -> Ask {
    Ask::Work { owner, queues: vec![], names: vec!["noop".into()], running: vec![], pid: None, timeout: 0 }
}

#[test]
fn there_is_one_keeper_and_its_files_are_its_users() {
    let mut kept = Kept::new();
    let mode = |ending: &str| {
        let path = kept.directory.path().join(format!("queue.db{ending}"));
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(".sock"), mode(".lock")), (0o600, 0o600));
    kept.connect().enqueue(1);
    kept.stop();
    assert!(!kept.directory.path().join("queue.db.sock").exists());
    let (thread, stop) = keep(&kept.file());
    (kept.thread, kept.stop) = (Some(thread), Some(stop));
    let mut client = kept.connect();
    client.say(&Ask::Result { n: 1, id: TaskId(1_u128.to_be_bytes()), wait: false }, b"");
    let Answer::Result { task, .. } = client.hear().message else { panic!() };
    assert_eq!(task.state, State::Ready);
    kept.stop();
}

#[test]
fn clients_that_break_the_rules_or_leave_harm_nobody() {
    let mut kept = Kept::new();
    let mut good = kept.connect();
    for bytes in [&[0xff; 8][..], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut bad = kept.connect();
        bad.socket.write_all(bytes).unwrap();
        assert_eq!(bad.socket.read(&mut [0; 1]).unwrap_or(0), 0, "{bytes:?}");
    }
    // One that cannot be read is refused, and the next one is read.
    let mut odd = kept.connect();
    odd.socket.write_all(&[2, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']).unwrap();
    assert!(matches!(odd.hear().message, Answer::Refused { n: None, why: Refused::Malformed, .. }));
    odd.enqueue(6);
    // A message in pieces, and one that is never finished.
    let mut bytes = vec![];
    encode(&Ask::Enqueue { n: 1, task: task(7) }, &[1; 1000], &mut bytes).unwrap();
    let mut slow = kept.connect();
    for piece in bytes.chunks(3) {
        slow.socket.write_all(piece).unwrap();
    }
    assert!(matches!(slow.hear().message, Answer::Accepted { .. }));
    slow.socket.write_all(&bytes[..20]).unwrap();
    drop(slow);
    good.enqueue(8);
    kept.stop();
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up() {
    let mut kept = Kept::new();
    let mut good = kept.connect();
    let mut asks = vec![];
    for n in 0..2000 {
        encode(
            &Ask::List { n, filter: Filter::default(), newest: false, after: None, limit: 500 },
            b"",
            &mut asks,
        )
        .unwrap();
    }
    for number in 1..=500 {
        good.enqueue(number);
    }
    let lazy = kept.connect();
    lazy.socket.set_nonblocking(true).unwrap();
    let mut socket = &lazy.socket;
    let _ = socket.write(&asks);
    for number in 501..=600 {
        good.enqueue(number);
    }
    drop(lazy);
    good.enqueue(601);
    kept.stop();
}

/// A process that says `!` when it has the lock of worker 5, has opened and closed the file elsewhere, and has done the rest.
fn holder(kept: &Kept, rest: &str) -> Child {
    let lock = kept.directory.path().join("queue.db.lock");
    let script = format!(
        "import fcntl,os,socket,struct,sys,time\nlock={:?}; f=open(lock,'r+')\n\
         fcntl.fcntl(f,fcntl.F_OFD_SETLK,struct.pack('hhqqi0q',fcntl.F_WRLCK,0,5,1,0)); open(lock).close()\n{rest}\n\
         print('!',end='',flush=True); sys.stdin.read()",
        lock.to_str().unwrap()
    );
    let mut holder = Command::new("python3")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 1]).unwrap();
    holder
}

#[test]
fn a_worker_whose_connection_breaks_keeps_its_task_while_it_holds_its_lock() {
    let mut kept = Kept::new();
    let id = kept.connect().enqueue(1);
    let mut holder = holder(&kept, "");
    let mut first = kept.connect();
    first.say(&work(5), b"");
    first.say(&Ask::Ready { slots: 1, ahead: 0 }, b"");
    assert!(matches!(first.hear().message, Answer::Task { attempt: 1, .. }));
    drop(first);
    let mut second = kept.connect();
    second.say(&work(6), b"");
    second.say(&Ask::Ready { slots: 1, ahead: 0 }, b"");
    second.say(&Ask::Result { n: 1, id, wait: false }, b"");
    let Answer::Result { task, .. } = second.hear().message else { panic!("it was given away") };
    assert_eq!(task.state, State::Running);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(matches!(second.hear().message, Answer::Task { attempt: 2, .. }));
    let lock = kept.directory.path().join("queue.db.lock");
    assert!(!ByteLocks::open(&lock).unwrap().is_taken(5));
    kept.stop();
}

#[test]
fn a_worker_that_has_exited_is_gone_whatever_it_has_forked_has_its_connection_and_its_lock() {
    let mut kept = Kept::new();
    let ids = [kept.connect().enqueue(1), kept.connect().enqueue(2)];
    let mut said = vec![];
    encode(&work(5), b"", &mut said).unwrap();
    encode(&Ask::Ready { slots: 1, ahead: 0 }, b"", &mut said).unwrap();
    // What it has said before its end counts.
    encode(&Ask::Progress { id: ids[0], fraction: 0.5, text: String::new() }, b"", &mut said).unwrap();
    let socket = kept.directory.path().join("queue.db.sock");
    let fork = format!(
        "s=socket.socket(socket.AF_UNIX); s.connect({:?}); s.sendall(bytes({said:?})); s.recv(1)\nif os.fork()==0: sys.stdin.read(); os._exit(0)",
        socket.to_str().unwrap()
    );
    let mut holder = holder(&kept, &fork);
    // Its child ends with this.
    let _childs = holder.stdin.take();
    holder.kill().unwrap();
    holder.wait().unwrap();
    let mut second = kept.connect();
    second.say(&work(6), b"");
    second.say(&Ask::Ready { slots: 2, ahead: 0 }, b"");
    let mut given = vec![];
    while given.len() < 2 {
        if let Answer::Task { id, attempt, .. } = second.hear().message {
            given.push((id, attempt));
        }
    }
    given.sort_unstable();
    assert_eq!(given, [(ids[0], 2), (ids[1], 1)]);
    let lock = kept.directory.path().join("queue.db.lock");
    assert!(ByteLocks::open(&lock).unwrap().is_taken(5), "its child has the lock");
    kept.stop();
}

/// A connection as soon as there is a keeper that answers, by how many tasks are ready.
fn ready_tasks(kept: &Kept) -> (Client, u64) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let asked =
            control::connect(&kept.directory.path().join("queue.db.sock"), LIMIT).and_then(|socket| {
                socket.set_read_timeout(Some(LIMIT))?;
                let mut bytes = vec![];
                encode(&Ask::Stats { n: 1 }, b"", &mut bytes).unwrap();
                (&socket).write_all(&bytes)?;
                Ok(Client { socket, input: vec![], n: 0 })
            });
        let answer = asked.ok().and_then(|mut client| client.try_hear().map(|answer| (client, answer)));
        if let Some((client, Frame { message: Answer::Stats { stats, .. }, .. })) = answer {
            let ready = stats.queues.get("default").and_then(|queue| queue.tasks.get("ready"));
            return (client, ready.copied().unwrap_or(0));
        }
        assert!(Instant::now() < deadline, "no keeper answers");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_link_to_a_file_that_is_not_there_yet_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::os::unix::fs::symlink("volume/queue.db", directory.path().join("middle.db")).unwrap();
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink("middle.db", &link).unwrap();
    let (thread, stop) = keep(&link);
    for ending in ["", ".lock", ".sock"] {
        assert!(volume.join(format!("queue.db{ending}")).exists(), "{ending}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    drop(stop);
    thread.join().unwrap();
}

#[test]
fn files_that_are_removed_while_they_are_used_are_written_again() {
    let mut kept = Kept::new();
    let all = ["", "-wal", "-shm", ".lock", ".sock"];
    let mut count = 0;
    for removed in [&all[..], &[""], &["-wal"], &["-shm"], &[".lock"], &[".sock"], &["", "-wal"]] {
        count += 1;
        ready_tasks(&kept).0.enqueue(count);
        for ending in removed {
            std::fs::remove_file(kept.directory.path().join(format!("queue.db{ending}"))).unwrap();
        }
        wait_until(|| all.iter().all(|it| kept.directory.path().join(format!("queue.db{it}")).exists()));
        let (_, ready) = ready_tasks(&kept);
        assert_eq!(u128::from(ready), count, "after {removed:?}");
        assert!(Keeper::open(&kept.file()).unwrap().is_none(), "there is one keeper, after {removed:?}");
    }
    let leftovers = std::fs::read_dir(kept.directory.path()).unwrap().count();
    assert_eq!(leftovers, all.len());
    kept.stop();
    let (thread, stop) = keep(&kept.file());
    (kept.thread, kept.stop) = (Some(thread), Some(stop));
    assert_eq!(u128::from(ready_tasks(&kept).1), count);
    kept.stop();
}

#[test]
fn a_queue_whose_directory_is_removed_goes_on_when_there_is_one_again() {
    let mut kept = Kept::new();
    kept.connect().enqueue(1);
    let (here, away) = (kept.directory.path().to_owned(), kept.directory.path().with_extension("away"));
    std::fs::rename(&here, &away).unwrap();
    let socket = away.join("queue.db.sock");
    wait_until(|| control::connect(&socket, Duration::from_millis(50)).is_err());
    // The same one.
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(ready_tasks(&kept).1, 1);
    std::fs::rename(&here, &away).unwrap();
    wait_until(|| control::connect(&socket, Duration::from_millis(50)).is_err());
    std::fs::create_dir(&here).unwrap();
    assert_eq!(ready_tasks(&kept).1, 1);
    std::fs::remove_dir_all(&away).unwrap();
    kept.stop();
}

#[test]
fn a_file_that_is_replaced_is_used_and_what_was_in_the_old_one_is_kept_beside_it() {
    let mut kept = Kept::new();
    let other = Kept::new();
    other.connect().enqueue(7);
    other.connect().enqueue(8);
    let new = other.file();
    let mut other = other;
    other.stop();
    kept.connect().enqueue(1);
    std::fs::rename(&new, kept.file()).unwrap();
    let is_kept = |name: &str| name.starts_with("queue.db.removed-") && !name.ends_with("-journal");
    let names = || -> Vec<String> {
        let all = std::fs::read_dir(kept.directory.path()).unwrap();
        all.map(|it| it.unwrap().file_name().into_string().unwrap()).filter(|name| is_kept(name)).collect()
    };
    wait_until(|| !names().is_empty());
    assert_eq!(ready_tasks(&kept).1, 2);
    let old = kept.directory.path().join(&names()[0]);
    assert_eq!(std::fs::metadata(&old).unwrap().permissions().mode() & 0o777, 0o600);
    kept.stop();
    let (thread, stop) = keep(&old);
    std::fs::rename(
        old.with_file_name(format!("{}.sock", old.file_name().unwrap().to_str().unwrap())),
        kept.directory.path().join("queue.db.sock"),
    )
    .unwrap();
    (kept.thread, kept.stop) = (Some(thread), Some(stop));
    assert_eq!(ready_tasks(&kept).1, 1, "it is a queue of its own");
    kept.stop();
}

#[test]
fn a_worker_keeps_what_it_runs_while_files_are_removed() {
    let mut kept = Kept::new();
    let id = kept.connect().enqueue(1);
    let mut holder = holder(&kept, "");
    let mut first = kept.connect();
    first.say(&work(5), b"");
    first.say(&Ask::Ready { slots: 1, ahead: 0 }, b"");
    assert!(matches!(first.hear().message, Answer::Task { attempt: 1, .. }));
    for ending in ["", "-wal", "-shm", ".lock", ".sock"] {
        std::fs::remove_file(kept.directory.path().join(format!("queue.db{ending}"))).unwrap();
    }
    let (mut second, _) = ready_tasks(&kept);
    second.say(&work(6), b"");
    second.say(&Ask::Ready { slots: 1, ahead: 0 }, b"");
    second.say(&Ask::Result { n: 1, id, wait: false }, b"");
    let Answer::Result { task, .. } = second.hear().message else { panic!("it was given away") };
    assert_eq!(task.state, State::Running);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(matches!(second.hear().message, Answer::Task { attempt: 2, .. }));
    kept.stop();
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
}

/// `cargo test --release -p hostler-tasks --test keeper -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_fast_it_is() {
    let mut kept = Kept::new();
    let start = Instant::now();
    let mut alone = kept.connect();
    for number in 1..=2000 {
        alone.enqueue(number);
    }
    println!("one client: {:.0} enqueues/s", 2000.0 / start.elapsed().as_secs_f64());
    for clients in [4_u128, 32, 128] {
        let start = Instant::now();
        let each = 20_000 / clients;
        thread::scope(|scope| {
            for client in 1..=clients {
                let mut connection = kept.connect();
                scope.spawn(move || {
                    for number in 0..each {
                        connection.enqueue((clients << 64) + (client << 32) + number);
                    }
                });
            }
        });
        println!(
            "{clients} clients: {:.0} enqueues/s",
            (each * clients) as f64 / start.elapsed().as_secs_f64()
        );
    }
    let mut worker = kept.connect();
    worker.say(&work(5), b"");
    worker.say(&Ask::Ready { slots: 1, ahead: 32 }, b"");
    let start = Instant::now();
    let count = 20_000;
    let mut left = count;
    while left > 0 {
        let Answer::Task { id, attempt, .. } = worker.hear().message else { continue };
        left -= 1;
        let mut bytes = vec![];
        encode(&Ask::Done { id, attempt }, b"null", &mut bytes).unwrap();
        worker.socket.write_all(&bytes).unwrap();
    }
    println!("one worker: {:.0} tasks/s", f64::from(count) / start.elapsed().as_secs_f64());
    kept.stop();
}
