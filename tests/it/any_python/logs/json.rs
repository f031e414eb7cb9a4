//! `--log-format json`: each line is one object.

use hostler_testkit::Server;

fn objects(log: &str) -> Vec<serde_json::Value> {
    let object = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    log.lines().map(object).collect()
}

#[test]
fn a_start_that_fails_is_told_as_json() {
    let json = |target| Server::app(target).option("log-format", "json").option("workers", 1);
    for (app, code) in [
        (json("nothing:app"), 4),
        (json("supervised:app").option("pid-file", "/nowhere/pid"), 78),
        (json("supervised:app").arg("--no-log").option("pid-file", "/nowhere/pid"), 78),
    ] {
        let (status, log) = app.fail();
        assert_eq!(status, Some(code), "{log}");
        let failures: Vec<_> = objects(&log).into_iter().filter(|line| line["level"] == "ERROR").collect();
        let [failure] = &failures[..] else { panic!("not one failure:\n{log}") };
        let has = |field: &str| failure[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(has("timestamp") && has("message") && has("cause") && has("hint"), "{failure}");
    }
}
