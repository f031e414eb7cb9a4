use crate::{Draft, End, Format, Stamps, Start};
use http::{
    HeaderMap, HeaderValue, Method, Uri, Version,
    header::{AUTHORIZATION, CONTENT_TYPE, REFERER, USER_AGENT},
};
use proptest::prelude::*;

/// A line of a format, for a request and its end.
struct Case {
    uri: Option<Uri>,
    headers: HeaderMap,
    response: Option<HeaderMap>,
    end: End,
    client: Option<&'static str>,
    version: Option<Version>,
    longest: usize,
}

impl Case {
    fn new(uri: &str) -> Self {
        let end = End {
            second: 1_764_742_414,
            nanos: 5_000_000,
            status: Some(200),
            bytes: 12,
            duration_nanos: 1_234_567_890,
            complete: true,
            ..End::default()
        };
        Self {
            uri: Some(uri.parse().unwrap()),
            headers: HeaderMap::new(),
            response: Some(HeaderMap::new()),
            end,
            client: Some("10.0.0.7:4711"),
            version: Some(Version::HTTP_11),
            longest: usize::MAX,
        }
    }

    fn header(mut self, name: http::HeaderName, value: &[u8]) -> Self {
        self.headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        self
    }

    fn line(&self, format: &str) -> String {
        let format = Format::parse(format).unwrap().program(3, 77);
        let (mut draft, mut out) = (Draft::default(), Vec::new());
        format.begin(
            &mut draft,
            &Start {
                client: self.client.map(|client| client.parse().unwrap()),
                line: self.uri.as_ref().map(|uri| (&Method::GET, uri)),
                version: self.version,
                scheme: "http",
                headers: &self.headers,
                request_id: b"abc",
                trace: None,
                longest: self.longest,
            },
        );
        if let Some(headers) = &self.response {
            format.responded(&mut draft, headers, Some(12));
        }
        format.finish(&draft, &self.end, &mut Stamps::default(), &mut out);
        String::from_utf8(out).unwrap()
    }
}

#[test]
fn a_request_that_cannot_be_read_has_a_line() {
    let unread = Case { uri: None, ..Case::new("/") };
    assert_eq!(unread.line("%(r)s %(m)s %(U)s?%(q)s %(target)s %(s)s"), "- - -? - 200\n");
    let json: serde_json::Value = serde_json::from_str(&unread.line("json")).unwrap();
    assert!(json["method"].is_null() && json["path"].is_null() && json["query"].is_null(), "{json}");
}

#[test]
fn the_named_formats_are_those_of_gunicorn_and_granian() {
    let case = Case::new("/a?b=1").header(REFERER, b"http://x/").header(USER_AGENT, b"curl/8");
    let common = r#"10.0.0.7 - - [03/Dec/2025:06:13:34 +0000] "GET /a?b=1 HTTP/1.1" 200 12"#;
    assert_eq!(case.line("common"), format!("{common}\n"));
    assert_eq!(case.line("combined"), format!("{common} \"http://x/\" \"curl/8\"\n"));
    let granian = "[2025-12-03 06:13:32 +0000] 10.0.0.7 - \"GET /a HTTP/1.1\" 200 1234.568\n";
    assert_eq!(case.line("granian"), granian);
}

#[test]
fn every_atom_of_gunicorn_has_its_value() {
    let mut case = Case::new("/a?b=1").header(AUTHORIZATION, b"Basic YWRhOnNlY3JldA==");
    let all = "%(h)s|%(l)s|%(u)s|%(m)s|%(U)s|%(q)s|%(H)s|%(b)s|%(B)s|%(f)s|%(T)s|%(M)s|%(D)s|%(L)s|%(p)s|%%";
    let line = "10.0.0.7|-|ada|GET|/a|b=1|HTTP/1.1|12|12|-|1|1234|1234567|1.234568|<77>|%\n";
    assert_eq!(case.line(all), line);
    (case.end.bytes, case.end.status) = (0, None);
    assert_eq!(case.line("%(b)s %(B)s %(s)s"), "- 0 -\n");
    case.end.status = Some(204);
    assert_eq!(case.line("%(b)s %(B)s %(s)s"), "0 0 204\n");
}

#[test]
fn widths_and_precisions_are_pythons() {
    let case = Case::new("/");
    assert_eq!(case.line("%(s)s %(reason)s|%(reason)4s"), "200 OK|  OK\n");
    assert_eq!(case.line("%(status)5d|%(status)-5d|%(status)05d|%(m)5s|"), "  200|200  |00200|  GET|\n");
    assert_eq!(case.line("%(dt_ms).1f %(dt_ms)d %(status).2f %(dt_ms)s"), "1234.6 1234 200.00 1234.568\n");
}

#[test]
fn waits_that_the_kernel_has_measured_are_in_milliseconds() {
    let mut case = Case::new("/");
    case.end.queue_nanos = Some(4_000_000);
    assert_eq!(case.line("%(queue_ms)s %(queue_seconds)s %(queue_ms).3f %(queue_ms)d"), "4 0.004 4.000 4\n");
    case.end.queue_nanos = Some(4_000_100);
    assert_eq!(case.line("%(queue_ms)s %(queue_seconds)s %(queue_ms)d"), "4.000 0.004000 4\n");
}

#[test]
fn headers_of_request_and_response_are_taken_by_any_case_of_their_names() {
    let mut case = Case::new("/").header(USER_AGENT, b"a\"b\xff");
    let format =
        "%({User-Agent}i)s %({HTTP_USER_AGENT}e)s %({content-type}o)s %({Content-Length}o)s %({x}o)s";
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    case.response = Some(headers);
    assert_eq!(case.line(format), "a\\\"b\\xff a\\\"b\\xff text/plain 12 -\n");
    case.response = None;
    assert_eq!(case.line(format), "a\\\"b\\xff a\\\"b\\xff - - -\n");
}

#[test]
fn json_has_numbers_texts_booleans_and_nulls() {
    let mut case = Case::new("/a?b=%22").header(USER_AGENT, "é\"".as_bytes());
    case.end.first_byte_nanos = Some(42_000);
    let line: serde_json::Value = serde_json::from_str(&case.line("json")).unwrap();
    assert_eq!(line["timestamp"], "2025-12-03T06:13:34.005000Z");
    assert_eq!((&line["status"], &line["bytes"], &line["worker"]), (&200.into(), &12.into(), &3.into()));
    assert_eq!(
        (&line["duration_seconds"], &line["first_byte_seconds"]),
        (&1.234_568.into(), &0.000_042.into())
    );
    assert_eq!((&line["complete"], &line["client_left"]), (&true.into(), &false.into()));
    assert_eq!(
        (&line["path"], &line["query"], &line["user_agent"]),
        (&"/a".into(), &"b=%22".into(), &"é\"".into())
    );
    assert!(line["referer"].is_null() && line["queue_seconds"].is_null() && line["trace_id"].is_null());
    assert_eq!(line["request_id"], "abc");
    (case.end.status, case.response) = (None, None);
    let line: serde_json::Value = serde_json::from_str(&case.line("json")).unwrap();
    assert!(line["status"].is_null());
}

#[test]
fn a_second_response_takes_the_place_of_the_first() {
    let format = Format::parse("%(m)s %({x}o)s").unwrap().program(1, 1);
    let (mut draft, mut out) = (Draft::default(), Vec::new());
    let (uri, headers) = (Uri::from_static("/"), HeaderMap::new());
    let start = Start {
        client: None,
        line: Some((&Method::GET, &uri)),
        version: None,
        scheme: "http",
        headers: &headers,
        request_id: b"",
        trace: None,
        longest: usize::MAX,
    };
    format.begin(&mut draft, &start);
    for value in ["first", "2"] {
        let mut headers = HeaderMap::new();
        headers.insert("x", HeaderValue::from_static(value));
        format.responded(&mut draft, &headers, None);
    }
    format.finish(&draft, &End::default(), &mut Stamps::default(), &mut out);
    assert_eq!(out, b"GET 2\n");
}

#[test]
fn targets_are_written_as_they_were_sent() {
    let absolute = Case::new("http://shop.test/a?b");
    assert_eq!(
        absolute.line("%(r)s %(target)s %(U)s"),
        "GET http://shop.test/a?b HTTP/1.1 http://shop.test/a?b /a\n"
    );
    let with_user = Case::new("http://ada:secret@shop.test/a");
    assert_eq!(with_user.line("%(r)s %(host)s"), "GET http://shop.test/a HTTP/1.1 shop.test\n");
    // HTTP/2 names scheme and host in each.
    let stream = Case { version: Some(Version::HTTP_2), ..Case::new("https://shop.test/a?b") };
    assert_eq!(stream.line("%(r)s %(host)s"), "GET /a?b HTTP/2 shop.test\n");
    let tunnel = Case::new("shop.test:443");
    assert_eq!(tunnel.line("%(r)s %(U)s"), "GET shop.test:443 HTTP/1.1 shop.test:443\n");
    assert_eq!(Case::new("*").line("%(r)s"), "GET * HTTP/1.1\n");
}

#[test]
fn repeated_headers_are_the_last_one_or_all_as_gunicorn_has_them() {
    let mut case = Case::new("/").header(USER_AGENT, b"a");
    case.headers.append("x", HeaderValue::from_static("1"));
    case.headers.append("x", HeaderValue::from_static("2"));
    case.headers.append("x", HeaderValue::from_static("3"));
    assert_eq!(case.line("%({x}i)s %({http_x}e)s %(a)s"), "3 1,2,3 a\n");
}

#[test]
fn a_port_that_is_not_known_is_none() {
    let case = Case::new("/");
    assert_eq!(case.line("%(port)s %(port)d %({REMOTE_PORT}e)s"), "4711 4711 4711\n");
    let forwarded = Case { client: Some("10.0.0.7:0"), ..Case::new("/") };
    assert_eq!(forwarded.line("%(h)s %(port)s %(port)d"), "10.0.0.7 - -\n");
    let unix = Case { client: None, ..Case::new("/") };
    assert_eq!(unix.line("%(h)s %(port)s"), "- -\n");
    assert_eq!(unix.line("%(h)5s|"), "    -|\n");
}

#[test]
fn headers_are_found_among_few_and_among_many() {
    for others in [0, 5, 9, 60] {
        let mut case = Case::new("/").header(USER_AGENT, b"curl/8").header(REFERER, b"http://x/");
        for other in 0..others {
            let name = format!("x-{other}").parse::<http::HeaderName>().unwrap();
            case = case.header(name, b"value");
        }
        assert_eq!(case.line("%(f)s|%(a)s|%(u)s"), "http://x/|curl/8|-\n");
        let many = "%({a}i)s%({b}i)s%({c}i)s%({d}i)s%({e}i)s%({f}i)s%({g}i)s%({h}i)s%(a)s";
        assert_eq!(case.line(many), "--------curl/8\n");
    }
}

#[test]
fn long_texts_are_cut_where_lines_must_not_be_long() {
    let path = format!("/{}", "a".repeat(8999));
    let case = Case { longest: 4096, ..Case::new(&path) }.header(USER_AGENT, b"curl/8");
    let line = case.line("combined");
    assert!(
        line.len() <= 4096 && line.contains("aaa...(9000 bytes) HTTP/1.1\" 200 12 \"-\" \"curl/8\""),
        "{line}"
    );
    let json: serde_json::Value = serde_json::from_str(&case.line("json")).unwrap();
    assert!(json["path"].as_str().unwrap().ends_with("aaa...(9000 bytes)") && json["user_agent"] == "curl/8");
    // Characters stay whole.
    let case = Case { longest: 4096, ..Case::new("/") }.header(REFERER, "a€".repeat(3000).as_bytes());
    let json: serde_json::Value = serde_json::from_str(&case.line("json")).unwrap();
    assert!(json["referer"].as_str().unwrap().starts_with("a€a€"), "{json}");
    assert!(json["referer"].as_str().unwrap().ends_with("...(12000 bytes)"), "{json}");
    // A response's headers share what the request has left.
    let mut case = Case { longest: 4096, ..Case::new(&path) };
    case.response.as_mut().unwrap().insert("x", "b".repeat(9000).parse().unwrap());
    let line = case.line("%(r)s|%({x}o)s|%(s)s");
    assert!(
        line.len() <= 4096 && line.ends_with("b...(9000 bytes)|200\n") && line.contains("a...(9000"),
        "{line}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_line_is_longer_than_it_may_be(
        path in "/[a-z\"]{0,9000}",
        values in proptest::collection::vec(proptest::collection::vec(32_u8..=255, 0..9000), 4),
    ) {
        let mut case = Case { longest: 4096, ..Case::new(&path) };
        for (name, value) in ["user-agent", "referer", "host", "x"].into_iter().zip(&values) {
            let Ok(value) = HeaderValue::from_bytes(value) else { continue };
            case.headers.insert(name, value.clone());
            case.response.as_mut().unwrap().insert(name, value);
        }
        let own = "%(r)s %({x}i)s %({x}o)s %(t)s %({host}o)s %(a)s %(L)s %(dt_ms)20.9f";
        for format in ["combined", "json", own] {
            let line = case.line(format);
            prop_assert!(line.len() <= 4096, "{}", line.len());
            prop_assert!(format != "json" || serde_json::from_str::<serde_json::Value>(&line).is_ok());
        }
    }
}

proptest! {
    #[test]
    fn no_header_makes_another_line_or_another_field(value in proptest::collection::vec(32_u8..=255, 0..60)) {
        let Ok(header) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        let case = Case::new("/").header(USER_AGENT, header.as_bytes()).header(REFERER, header.as_bytes());
        let line = case.line("combined");
        prop_assert_eq!(line.matches('\n').count(), 1);
        let fields = line.replace("\\\\", "").replace("\\\"", "");
        prop_assert_eq!(fields.matches('"').count(), 6);
        let json: serde_json::Value = serde_json::from_str(&case.line("json")).unwrap();
        prop_assert!(json["user_agent"].is_string() && json["worker"] == 3);
    }
}

proptest! {
    #[test]
    fn lines_are_the_same_whether_they_are_simple_or_not(
        path in "/[a-zA-Z0-9.~\"\\\\-]{0,70}",
        agent in proptest::option::of(proptest::collection::vec(32_u8..=255, 0..150)),
        referer in proptest::option::of("[ -~]{0,40}"),
        (client, status, bytes) in (any::<std::net::IpAddr>(), proptest::option::of(0..1000_u16), any::<u64>()),
        (method, shift) in (0..3_usize, 0..64),
    ) {
        let mut headers = HeaderMap::new();
        if let Some(Ok(agent)) = agent.map(|agent| HeaderValue::from_bytes(&agent)) {
            headers.insert(USER_AGENT, agent);
        }
        if let Some(referer) = referer {
            headers.insert(REFERER, referer.parse().unwrap());
        }
        let uri: Uri = path.parse().unwrap();
        let start = Start {
            client: Some((client, 1).into()),
            line: Some((&[Method::GET, Method::POST, Method::OPTIONS][method], &uri)),
            version: Some(Version::HTTP_11),
            scheme: "http",
            headers: &headers,
            request_id: b"",
            trace: None,
            longest: 4096,
        };
        let end = End { status, bytes: bytes >> shift, ..End::default() };
        for format in ["common", "combined", "a %(h)s %(B)s", "%(t)s%(a)s%(t)s%(h)s%(s)s%(f)s%(s)s%(h)s%(s)s%(h)s"] {
            let simple = Format::parse(format).unwrap().program(1, 1);
            prop_assert!(simple.is_quick);
            let general = crate::Program { is_quick: false, ..simple.clone() };
            let (mut draft, mut lines) = (Draft::default(), Vec::new());
            for program in [&simple, &general, &simple] {
                let mut line = b"line before\n".to_vec();
                program.begin(&mut draft, &start);
                program.finish(&draft, &end, &mut Stamps::default(), &mut line);
                lines.push(String::from_utf8(line).unwrap());
            }
            prop_assert!(lines[0] == lines[1] && lines[0] == lines[2], "{lines:#?}");
        }
    }
}
