use super::{Facts, Forwarded, Proxies};
use crate::{ConnectionInfo, PeerAddress, Scheme};
use hostler_settings::{OptionValue, Proxy, Rules, Unit};
use hyper::{Request, header::HOST};
use proptest::prelude::{ProptestConfig, any, prop, prop_assert_eq, proptest};
use std::{net::SocketAddr, time::Duration};

fn list<T: OptionValue>(text: &str) -> T {
    let rules = Rules { min: 0, max: 0, unit: Unit::Base };
    T::read(&[text.to_owned()], &rules).unwrap()
}

pub(super) fn settings() -> Proxy {
    Proxy { trusted: list("127.0.0.1,10.0.0.0/8,unix:"), ..Proxy::default() }
}

fn info(peer: &str) -> ConnectionInfo {
    let peer = match peer {
        "unix" => PeerAddress::Unix(None),
        address => PeerAddress::Tcp(SocketAddr::new(address.parse().unwrap(), 5000)),
    };
    let local = PeerAddress::Tcp("192.0.2.80:8000".parse().unwrap());
    ConnectionInfo::plain(peer, local)
}

/// A request after its proxy's headers were applied.
pub(super) struct Applied {
    pub(super) client: String,
    forwarded: Forwarded,
    pub(super) host: String,
    names: Vec<String>,
}

pub(super) fn applied(settings: &Proxy, peer: &str, headers: &[(&str, &str)]) -> Result<Applied, u16> {
    let proxies = Proxies::new(settings, Duration::MAX);
    let facts: Facts = proxies.facts(&info(peer));
    let mut request = Request::builder().header(HOST, "site.test:8000");
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    let mut request = request.body(()).unwrap();
    let client = proxies.apply(&facts, &mut request).map_err(|refusal| refusal.status.as_u16())?;
    let mut names: Vec<String> = request.headers().keys().map(ToString::to_string).collect();
    names.sort();
    Ok(Applied {
        names,
        client: client.map_or_else(|| "unix".into(), |client| client.to_string()),
        forwarded: request.extensions().get::<Forwarded>().cloned().unwrap_or_default(),
        host: request.headers()[HOST].to_str().unwrap().to_owned(),
    })
}

fn from_proxy(headers: &[(&str, &str)]) -> Applied {
    applied(&settings(), "127.0.0.1", headers).unwrap()
}

fn client_of(header: &str, value: &str) -> String {
    from_proxy(&[(header, value)]).client
}

#[test]
fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
    for (list, client) in [
        ("203.0.113.9", "203.0.113.9:0"),
        ("203.0.113.9:4711", "203.0.113.9:4711"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9:0"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.3, 10.0.0.2", "203.0.113.9:0"),
        ("203.0.113.9,, ,10.0.0.2,", "203.0.113.9:0"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3:0"),
        ("[2001:db8::7]:443, 10.0.0.2", "[2001:db8::7]:443"),
        ("2001:db8::7", "[2001:db8::7]:0"),
        // Behind what is no address nothing is known: the nearest proxy that is known stands for it.
        ("203.0.113.9, unknown, 10.0.0.2", "10.0.0.2:0"),
        ("203.0.113.9, _hidden", "127.0.0.1:5000"),
        ("nonsense", "127.0.0.1:5000"),
        ("", "127.0.0.1:5000"),
    ] {
        assert_eq!(client_of("x-forwarded-for", list), client, "{list}");
    }
    let lines = [("x-forwarded-for", "6.6.6.6, 203.0.113.9"), ("x-forwarded-for", "10.0.0.2")];
    assert_eq!(from_proxy(&lines).client, "203.0.113.9:0");
}

#[test]
fn the_elements_of_forwarded_follow_the_same_rule() {
    for (list, client) in [
        ("for=203.0.113.9", "203.0.113.9:0"),
        ("For=\"203.0.113.9:4711\";proto=http", "203.0.113.9:4711"),
        ("for=6.6.6.6, for=203.0.113.9;by=_me, for=10.0.0.2", "203.0.113.9:0"),
        ("for=\"[2001:db8::7]:443\",for=10.0.0.2", "[2001:db8::7]:443"),
        ("for=203.0.113.9:_port", "203.0.113.9:0"),
        ("for=\"20\\3.0.113.9\"", "203.0.113.9:0"),
        ("for=203.0.113.9, for=unknown, for=10.0.0.2", "10.0.0.2:0"),
        ("for=203.0.113.9, for=\"_hidden\"", "127.0.0.1:5000"),
        ("proto=https", "127.0.0.1:5000"),
        // A client's quote that is not closed, and its pairs that are malformed.
        ("for=\"6.6.6.6, for=203.0.113.9", "203.0.113.9:0"),
        ("for=\"6.6.6.6, for=\"[2001:db8::7]\"", "[2001:db8::7]:0"),
        ("for=6.6.6.6\\, for=203.0.113.9", "203.0.113.9:0"),
        ("for=6.6.6.6;for=203.0.113.9", "127.0.0.1:5000"),
        ("for=203.0.113.9 x", "127.0.0.1:5000"),
        ("=;=", "127.0.0.1:5000"),
    ] {
        assert_eq!(client_of("forwarded", list), client, "{list}");
    }
}

#[test]
fn scheme_and_host_are_those_of_the_proxy_that_the_client_reached() {
    let scheme = |headers: &[(&str, &str)]| from_proxy(headers).forwarded.scheme;
    assert_eq!(scheme(&[("x-forwarded-proto", "https")]), Some(Scheme::Https));
    assert_eq!(scheme(&[("x-forwarded-proto", "WSS")]), Some(Scheme::Https));
    assert_eq!(scheme(&[("x-forwarded-proto", "gopher")]), None);
    assert_eq!(scheme(&[("x-forwarded-ssl", "on")]), Some(Scheme::Https));
    assert_eq!(scheme(&[("x-forwarded-ssl", "on"), ("x-forwarded-proto", "http")]), Some(Scheme::Http));
    assert_eq!(scheme(&[("x-forwarded-protocol", "ssl")]), Some(Scheme::Https));
    assert_eq!(
        scheme(&[("forwarded", "for=203.0.113.9;proto=https, for=10.0.0.2;proto=http")]),
        Some(Scheme::Https)
    );
    let chain = ("x-forwarded-for", "203.0.113.9, 10.0.0.2");
    assert_eq!(scheme(&[chain, ("x-forwarded-proto", "https, http")]), Some(Scheme::Https));
    // The client's own, and that of the one proxy.
    let one = ("x-forwarded-for", "6.6.6.6, 203.0.113.9");
    assert_eq!(scheme(&[one, ("x-forwarded-proto", "https, http")]), Some(Scheme::Http));
    let hosts = [chain, ("x-forwarded-host", "shop.example, inner.example"), ("x-forwarded-proto", "https")];
    let applied = from_proxy(&hosts);
    assert_eq!(
        (applied.host.as_str(), applied.forwarded.server),
        ("shop.example", Some(("shop.example".into(), 443)))
    );
}

#[test]
fn host_and_port_make_the_urls_that_clients_use() {
    for (host, port, https, expected, server) in [
        ("a.example", "", true, "a.example", ("a.example", 443)),
        ("a.example", "8443", true, "a.example:8443", ("a.example", 8443)),
        ("a.example", "443", true, "a.example", ("a.example", 443)),
        // The port of a proxy behind the one that speaks TLS.
        ("a.example", "80", true, "a.example", ("a.example", 443)),
        ("a.example:8080", "80", false, "a.example:8080", ("a.example", 8080)),
        ("[2001:db8::1]", "81", false, "[2001:db8::1]:81", ("2001:db8::1", 81)),
        ("", "81", false, "site.test:8000", ("site.test", 8000)),
        ("a/b", "", false, "site.test:8000", ("", 0)),
        ("a:b", "x", false, "site.test:8000", ("", 0)),
        ("2001:db8::1", "", false, "site.test:8000", ("", 0)),
        ("user@a", "99999", false, "site.test:8000", ("", 0)),
    ] {
        let headers = [
            ("x-forwarded-host", host),
            ("x-forwarded-port", port),
            ("x-forwarded-proto", if https { "https" } else { "http" }),
        ];
        let applied = from_proxy(&headers);
        let expected_server = Some((server.0.to_owned(), server.1)).filter(|(name, _)| !name.is_empty());
        assert_eq!(
            (applied.host.as_str(), applied.forwarded.server),
            (expected, expected_server),
            "{headers:?}"
        );
    }
    let applied = from_proxy(&[("forwarded", "for=203.0.113.9;host=\"a.example:8443\";proto=https")]);
    assert_eq!(
        (applied.host.as_str(), applied.forwarded.server),
        ("a.example:8443", Some(("a.example".into(), 8443)))
    );
}

#[test]
fn only_trusted_peers_are_believed() {
    let headers = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-host", "evil.example")];
    for (peer, client) in
        [("127.0.0.1", "203.0.113.9:0"), ("10.1.2.3", "203.0.113.9:0"), ("unix", "203.0.113.9:0")]
    {
        assert_eq!(applied(&settings(), peer, &headers).unwrap().client, client, "{peer}");
    }
    for peer in ["192.0.2.7", "::1"] {
        let applied = applied(&settings(), peer, &headers).unwrap();
        assert_eq!(
            (applied.forwarded, applied.host.as_str()),
            (Forwarded::default(), "site.test:8000"),
            "{peer}"
        );
    }
    let off = Proxy { headers: false, ..settings() };
    assert_eq!(applied(&off, "127.0.0.1", &headers).unwrap().client, "127.0.0.1:5000");
    let everyone = Proxy { trusted: list("*"), ..settings() };
    let chain = [("x-forwarded-for", "203.0.113.9, 198.51.100.1")];
    assert_eq!(applied(&everyone, "192.0.2.7", &chain).unwrap().client, "203.0.113.9:0");
}

#[test]
fn of_both_kinds_of_headers_the_common_one_counts_unless_one_is_chosen() {
    let both = [("forwarded", "for=6.6.6.6;proto=https"), ("x-forwarded-for", "203.0.113.9")];
    let told = |believed: &str| {
        let settings = Proxy { believed: list(believed), ..settings() };
        let applied = applied(&settings, "127.0.0.1", &both).unwrap();
        (applied.client, applied.forwarded.scheme)
    };
    assert_eq!(from_proxy(&both).client, "203.0.113.9:0");
    assert_eq!(from_proxy(&both).forwarded.scheme, None);
    assert_eq!(told("forwarded"), ("6.6.6.6:0".into(), Some(Scheme::Https)));
    assert_eq!(told("x-forwarded-proto"), ("127.0.0.1:5000".into(), None));
    assert_eq!(told(""), ("127.0.0.1:5000".into(), None));
}

#[test]
fn names_with_underscores_are_dropped_refused_or_passed_on() {
    let headers = [("x_user", "root"), ("script_name", "/shop/"), ("x-user", "me")];
    let kept = from_proxy(&headers);
    assert_eq!(kept.names, ["host", "script_name", "x-user"]);
    assert_eq!(kept.forwarded.root_path.as_deref(), Some("/shop"));
    let dropped = applied(&settings(), "192.0.2.7", &headers).unwrap();
    assert_eq!(
        (dropped.names, dropped.forwarded),
        (vec!["host".to_owned(), "x-user".into()], Forwarded::default())
    );
    let refuse = Proxy { header_map: list("refuse"), ..settings() };
    assert_eq!(applied(&refuse, "127.0.0.1", &headers).map(drop), Err(400));
    assert!(applied(&refuse, "127.0.0.1", &[("script_name", "x")]).unwrap().forwarded.root_path.is_none());
    let dangerous = Proxy { header_map: list("dangerous"), ..settings() };
    let all = applied(&dangerous, "192.0.2.7", &headers).unwrap();
    assert_eq!((all.names.len(), all.forwarded.root_path), (4, None));
    let user = Proxy { forwarder_headers: list("X_User"), ..settings() };
    // The proxy's takes the place of the client's.
    assert_eq!(applied(&user, "127.0.0.1", &headers).unwrap().names, ["host", "x_user"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 20_000 }))]

    /// Whatever a client sends, what its proxy appends is believed, and nothing else.
    #[test]
    fn a_client_cannot_change_what_its_proxy_appends(sent in "[ -~\t]{0,60}", escapes in "[\"\\\\,;= fo:r\\[\\]1.]{0,30}") {
        for sent in [sent, escapes] {
            let element = "for=203.0.113.9;proto=https;host=a.example";
            let list = format!("{sent}, {element}, for=\"10.0.0.2:5\"");
            let applied = from_proxy(&[("forwarded", &list)]);
            prop_assert_eq!(applied.client, "203.0.113.9:0");
            prop_assert_eq!(applied.forwarded.scheme, Some(Scheme::Https));
            prop_assert_eq!(applied.host, "a.example");
            let list = format!("{sent}, 203.0.113.9, 10.0.0.2");
            prop_assert_eq!(client_of("x-forwarded-for", &list), "203.0.113.9:0");
        }
    }

    /// Nothing that a trusted proxy passes on breaks the parsers.
    #[test]
    fn garbage_is_ignored(header in 0..6usize, value in prop::collection::vec(any::<u8>(), 0..80)) {
        let names = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "script_name"];
        let Ok(value) = hyper::header::HeaderValue::from_bytes(&value) else { return Ok(()) };
        let proxies = Proxies::new(&settings(), Duration::MAX);
        let facts = proxies.facts(&info("127.0.0.1"));
        let mut request = Request::builder().header(names[header], value).body(()).unwrap();
        let applied = proxies.apply(&facts, &mut request);
        prop_assert_eq!(applied.map(drop), Ok(()));
    }
}
