// For the examples in the documentation: a client that requests what they serve, and then stops them.
//
// An example runs as a program of its own. `client::expects` starts that program once more as its client, by an
// environment variable, and the client ends the server: with SIGTERM if the response was right.

mod client {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    const ADDRESS: &str = "HOSTLER_EXAMPLE_ADDRESS";
    const LIMIT: Duration = Duration::from_secs(60);

    /// An address to serve on; a client requests this path there, expects this text in the response, and stops the
    /// server. To be called first in `main`.
    pub fn expects(path: &str, text: &str) -> String {
        if let Ok(address) = std::env::var(ADDRESS) {
            let stopped_by = if responds(&address, path, text) { "TERM" } else { "KILL" };
            let kill = format!("kill -{stopped_by} {}", std::os::unix::process::parent_id());
            Command::new("sh").args(["-c", &kill]).status().unwrap();
            std::process::exit(0);
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let program = std::env::current_exe().unwrap();
        Command::new(program).env(ADDRESS, &free).stdout(Stdio::null()).spawn().unwrap();
        free
    }

    fn responds(address: &str, path: &str, text: &str) -> bool {
        let limit = Instant::now() + LIMIT;
        while Instant::now() < limit {
            match request(address, path) {
                Ok(response) => return response.starts_with("HTTP/1.1 200") && response.contains(text),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        false
    }

    fn request(address: &str, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: example\r\nconnection: close\r\n\r\n")?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    }
}
