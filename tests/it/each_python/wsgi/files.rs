//! `wsgi.file_wrapper`.

use super::{Go, adverse_both, both, send_get};
use std::fs;

#[test]
fn files_are_sent_from_where_they_were_read_to_and_closed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789").unwrap();
    let path = format!("/file?{}", file.path().display());
    both(|server| {
        let mut conn = server.connect();
        let before: u32 = conn.get("/closed").text().parse().unwrap();
        let whole = conn.get(&path);
        assert_eq!((whole.text().as_str(), whole.header("content-length")), ("23456789", Some("8")));
        assert_eq!(conn.get(&format!("{path}&short")).text(), "234");
        let head = conn.request("HEAD", &path, "", b"");
        assert_eq!((head.body.len(), head.header("content-length")), (0, Some("8")));
        let head = conn.request("HEAD", &format!("{path}&short"), "", b"");
        assert_eq!(head.header("content-length"), Some("3"), "as GET has it");
        assert_eq!(conn.get(&format!("{path}&long")).status, 500);
        assert_eq!(conn.get("/nofile").text(), "not a real file");
        assert_eq!(conn.get("/closed").text().parse::<u32>().unwrap(), before + 5);
    });
}

#[test]
fn a_file_wrapper_sends_what_its_object_reads() {
    let file = tempfile::NamedTempFile::new().unwrap();
    adverse_both(|server| {
        fs::write(file.path(), "first line\nsecond line\n").unwrap();
        let path = file.path().display();
        let content = "content of a file\n".repeat(5000);
        let mut conn = server.connect();
        assert_eq!(conn.get("/gzip").text(), content);
        assert_eq!(conn.get("/zip").text(), content);
        for path in [format!("/overridden?{path}"), format!("/replaced?{path}")] {
            assert_eq!(conn.get(&path).text(), "FIRST LINE\nSECOND LINE\n", "{path}");
        }
        let ahead = conn.get(&format!("/read_ahead?{path}"));
        assert_eq!((ahead.text().as_str(), ahead.header("content-length")), ("second line\n", Some("12")));
        let written = conn.get(&format!("/written_file?{path}"));
        assert_eq!(written.text(), "first line\nsecond line\nand more");
        // The kernel reports no length for such a file.
        assert!(conn.get("/file?/proc/self/status").text().starts_with("Name:"));
        assert_eq!(conn.get("/file?/dev/null").body.len(), 0);
    });
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_is_logged() {
    adverse_both(|server| {
        let go = Go::new();
        let mut conn = server.connect();
        send_get(&mut conn, &format!("/shrinking?{}", go.path().display()));
        conn.exactly(1).unwrap();
        go.now();
        assert!(conn.to_end().map_or(0, |rest| rest.len()) < 50_000_000);
        server.wait_for("a file shrank while it was sent: the response is cut off", 1);
    });
}
