//! nginx and HAProxy in front of the server, as processes of a test.

use hostler_testkit::{directory, wait_until};
use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A proxy in the foreground, killed when it is dropped.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// nginx, with what its `http` block says beside where its files are; that is told its address.
    pub(crate) fn nginx(http: impl FnOnce(SocketAddr) -> String) -> Self {
        let address = free();
        let dir = directory(&format!("nginx-{}", address.port()));
        let config = format!(
            "pid {0}/pid; error_log stderr; daemon off; master_process off; events {{}}\n\
             http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; \
             uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n{1} }}\n",
            dir.display(),
            http(address)
        );
        let conf = dir.join("conf");
        fs::write(&conf, config).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p"]).arg(&dir).arg("-c").arg(&conf);
        Self::start(command, address, &conf.with_extension("log"))
    }

    /// HAProxy with this configuration, which is told its address.
    pub(crate) fn haproxy(config: impl FnOnce(SocketAddr) -> String) -> Self {
        let address = free();
        let conf = directory(&format!("haproxy-{}", address.port())).join("conf");
        fs::write(&conf, config(address)).unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(&conf);
        Self::start(command, address, &conf.with_extension("log"))
    }

    fn start(mut command: Command, address: SocketAddr, log: &Path) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let file = fs::File::create(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program}, which .ci/run installs: {error}"));
        let mut proxy = Self { child, address };
        wait_until(&format!("{program} listens"), || {
            let ended = proxy.child.try_wait().unwrap().is_some();
            assert!(!ended, "{program} does not start: {}", fs::read_to_string(log).unwrap_or_default());
            TcpStream::connect(address).is_ok()
        });
        proxy
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
