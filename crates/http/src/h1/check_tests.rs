use super::{BodyLength, RequestLimits, admit};
use hyper::{Method, Request, Version, header::HOST};

fn admitted(version: Version, method: Method, target: &str, hosts: &[&str]) -> Result<String, u16> {
    let mut request = Request::builder().version(version).method(method).uri(target);
    for host in hosts {
        request = request.header("host", *host);
    }
    let mut request = request.body(()).unwrap();
    let (length, limits) = (BodyLength::Known(0), RequestLimits::default());
    admit(&mut request, Ok(()), length, &limits).map_err(|refusal| refusal.status.as_u16())?;
    Ok(request.headers().get(HOST).map(|host| host.to_str().unwrap().to_owned()).unwrap_or_default())
}

fn with_hosts(version: Version, hosts: &[&str]) -> bool {
    admitted(version, Method::GET, "/", hosts).is_ok()
}

#[test]
fn one_host_is_needed_in_http_11_and_not_in_http_10() {
    assert!(!with_hosts(Version::HTTP_11, &[]));
    assert!(with_hosts(Version::HTTP_10, &[]));
    for host in ["a.example:80", "a", "", "127.0.0.1:8000", "[::1]:80", "[::1]", "a:", "x_y.example"] {
        assert!(with_hosts(Version::HTTP_11, &[host]), "{host}");
    }
}

#[test]
fn two_hosts_and_strange_hosts_are_refused() {
    for hosts in [&["a", "b"][..], &["a", "a"]] {
        assert!(!with_hosts(Version::HTTP_11, hosts));
        assert!(!with_hosts(Version::HTTP_10, hosts));
    }
    for host in [
        "a b",
        "a/b",
        "user@a",
        "a:b",
        "a:80:80",
        "a:80a",
        "a:123456",
        "[::1",
        "::1",
        "[::1]a",
        "[::1]:a",
        "[a]",
        "[::1%eth0]",
        "a,b:1x",
        "a\\b",
        "a?b",
        "a#b",
    ] {
        assert!(!with_hosts(Version::HTTP_11, &[host]), "{host}");
    }
}

#[test]
fn a_target_has_the_form_that_its_method_needs() {
    let ask = |method, target| admitted(Version::HTTP_11, method, target, &["a"]);
    assert_eq!(ask(Method::GET, "example.com:80"), Err(400));
    assert_eq!(ask(Method::GET, "*"), Err(400));
    assert!(ask(Method::OPTIONS, "*").is_ok());
    assert_eq!(ask(Method::CONNECT, "example.com:80"), Err(501));
    assert_eq!(ask(Method::GET, "ftp://example.com/"), Err(400));
}

#[test]
fn methods_are_those_that_everybody_reads_alike() {
    let ask = |method: &str| {
        admitted(Version::HTTP_11, Method::from_bytes(method.as_bytes()).unwrap(), "/", &["a"]).is_ok()
    };
    for method in ["GET", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "BASELINE-CONTROL", "QUERY"] {
        assert!(ask(method), "{method}");
    }
    for method in ["get", "Get", "GE", "X#Y", "ABCDEFGHIJKLMNOPQRSTU"] {
        assert!(!ask(method), "{method}");
    }
}

#[test]
fn the_host_of_an_absolute_target_counts() {
    let ask = |target| admitted(Version::HTTP_11, Method::GET, target, &["other"]);
    assert_eq!(ask("http://example.com:81/path"), Ok("example.com:81".into()));
    assert_eq!(ask("http://user@example.com/"), Err(400));
    assert_eq!(ask("http://example.com"), Ok("example.com".into()));
    assert_eq!(ask("/path"), Ok("other".into()));
}
