//! By which names browsers may ask.
//!
//! A page of anybody's may have a browser ask this observer, if its name is made to lead to the observer's address once the page is
//! there (DNS rebinding): for the browser both are one site, so the page may read the answer. What gives it away is the Host header,
//! which has that name. An address in it, or a name that nobody can register (`localhost`, `shop` of a container's network), is no such
//! page's.

use hostler_settings::HostPattern;
use hyper::{Request, header};
use std::net::{IpAddr, Ipv6Addr};

/// The kernel's name for this machine.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// What names end with that cannot be registered: RFC 6761, ICANN's resolution of 2024 and Kubernetes' services.
const PRIVATE: [&str; 3] = [".localhost", ".internal", ".svc"];

/// Names by which the observer is known, beside addresses and those that nobody can register.
pub(crate) struct Hosts(Vec<HostPattern>);

impl Hosts {
    /// These, and this machine's own.
    pub(crate) fn new(mut allowed: Vec<HostPattern>) -> Self {
        if let Ok(name) = std::fs::read_to_string(HOSTNAME) {
            allowed.push(HostPattern::exactly(name.trim()));
        }
        Self(allowed)
    }

    /// Why a request is not answered; `None` if it is.
    pub(crate) fn refusal<B>(&self, request: &Request<B>) -> Option<String> {
        let of_target = request.uri().authority().map(|authority| authority.as_str());
        // What is no text is no name either.
        let headers = request.headers().get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or(""));
        let host = of_target.into_iter().chain(headers).find(|host| !self.allow(host))?;
        let name = name(host);
        Some(format!(
            "`{name}` is not a name that this page is served by, since a page of anybody's could have a browser ask by it.\n\
             Use the IP address or localhost, or start the server with --admin-hosts {name}\n"
        ))
    }

    fn allow(&self, host: &str) -> bool {
        let name = name(host).to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match literal {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                let is_local = |name: &str| !name.is_empty() && name.bytes().all(is_letter);
                name.parse::<IpAddr>().is_ok()
                    || is_local(name)
                    || PRIVATE.iter().any(|end| name.ends_with(end))
                    || self.0.iter().any(|allowed| allowed.matches(name))
            }
        }
    }
}

/// A host without its port.
fn name(host: &str) -> &str {
    let end_of_literal = host.find(']').unwrap_or(0);
    match host[end_of_literal..].rfind(':') {
        Some(port) => &host[..end_of_literal + port],
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::Hosts;
    use hostler_settings::HostPattern;
    use hyper::Request;

    #[test]
    fn a_name_that_somebody_else_may_own_is_refused() {
        let hosts = Hosts(vec![HostPattern::exactly("metrics.example.com")]);
        for good in [
            "127.0.0.1",
            "127.0.0.1:9090",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:9090",
            "localhost",
            "LocalHost:9090",
            "localhost.",
            "shop.localhost:1",
            "shop:9090",
            "hostler.shop.svc:9100",
            "web1.internal",
            "metrics.example.com",
            "METRICS.example.com.:80",
        ] {
            assert!(hosts.allow(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "evil.example:9090",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "[evil]",
            "[::1",
            "[::1].evil.example",
            "x.metrics.example.com",
            "metrics.example.com.evil",
            "127.0.0.1:80@evil.example:1",
            "999.0.0.1",
        ] {
            assert!(!hosts.allow(bad), "{bad}");
        }
    }

    #[test]
    fn each_host_of_a_request_counts() {
        let hosts = Hosts(Vec::new());
        let refused = |build: fn(hyper::http::request::Builder) -> hyper::http::request::Builder| {
            hosts.refusal(&build(Request::builder()).body(()).unwrap())
        };
        assert_eq!(refused(|it| it.uri("/").header("host", "[::1]:9090")), None);
        // HTTP/1.0 has none, and no browser speaks it.
        assert_eq!(refused(|it| it.uri("/")), None);
        let text = refused(|it| it.uri("/").header("host", "evil.example:80")).unwrap();
        assert!(text.contains("--admin-hosts evil.example\n"), "{text}");
        assert!(refused(|it| it.uri("http://evil.example/").header("host", "localhost")).is_some());
        assert!(
            refused(|it| it.uri("/").header("host", "localhost").header("host", "evil.example")).is_some()
        );
    }
}
