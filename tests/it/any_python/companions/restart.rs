//! `hostler ctl restart NAME`: it is over when what is restarted is ready, or has failed.

use super::{Site, is_gone, pid, replica, sight::ctl};
use hostler_testkit::Server;
use std::{fs, time::Duration};

fn controlled(site: &Site) -> Server {
    site.builder().option("control-socket", site.path("control.sock").display()).start()
}

/// What a command says that is done.
fn done(site: &Site, server: &Server, line: &str) -> String {
    let (done, text) = ctl(site, line);
    assert!(done, "{line}: {text}\n{}", server.log());
    text
}

/// What one says that is not.
fn refused(site: &Site, line: &str) -> String {
    let (done, text) = ctl(site, line);
    assert!(!done, "{line}: {text}");
    text
}

/// Ready when it has written its number to a file, which takes a while.
const SLOW: &str = r#"
    [[companion]]
    name = "a"
    command = ["sh", "-c", "rm -f DIR/up-$HOSTLER_REPLICA; sleep 0.3; touch DIR/up-$HOSTLER_REPLICA; while :; do sleep 0.1; done"]
    ready = "exec:sh -c 'test -e DIR/up-$HOSTLER_REPLICA'"
    replicas = 3
    [[companion]]
    name = "other"
    command = "sleep 1000"
"#;

#[test]
fn replicas_are_restarted_one_after_another_and_it_is_over_when_all_are_ready() {
    let site = Site::new(SLOW);
    let server = controlled(&site);
    server.wait_for("companion ready companion=\"a\"", 3);
    let (before, other) = ([1, 2, 3].map(|nth| pid(&server, "a", nth)), pid(&server, "other", 1));
    let text = done(&site, &server, "restart a");
    assert!(text.contains("3 replicas of companion `a` were restarted, and each is ready"), "{text}");
    assert!(before.iter().all(|pid| is_gone(*pid)) && !is_gone(other), "{}", server.log());
    // Never were two of them away: each was ready before the next one was stopped.
    let log = server.log();
    let steps: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("companion=\"a\""))
        .filter_map(|line| {
            ["companion stopping", "companion ready"].into_iter().find(|step| line.contains(step))
        })
        .collect();
    assert_eq!(steps[3..], ["companion stopping", "companion ready"].repeat(3), "{log}");
    assert_eq!(log.matches("reason=\"restart\"").count(), 3, "{log}");
    assert!(!log.contains("WARN companion exited"), "{log}");

    let text = done(&site, &server, "restart a-2 --json");
    assert!(text.contains("\"companion\":\"a-2\"") && text.contains("\"replicas\":[2]"), "{text}");
    assert_eq!(server.log().matches("reason=\"restart\"").count(), 4);
    done(&site, &server, "restart other");
    assert!(is_gone(other));
    server.stop();
}

#[test]
fn what_is_not_there_or_cannot_be_is_told() {
    let site = Site::new(&format!(
        "{SLOW}[[companion]]\nname = \"late\"\ncommand = \"sleep 1000\"\nready = \"unix:/nowhere\"\nready-timeout = 100\n
         [[companion]]\nname = \"after\"\ncommand = \"sleep 1000\"\nafter = [\"late\"]\n"
    ));
    let server = controlled(&site);
    for (line, texts) in [
        (
            "restart b",
            &["there is no companion `b`", "there are a, other, late, after", "task workers t1, t2"][..],
        ),
        ("restart a-4", &["there is no companion `a-4`"]),
        ("restart t1", &["there is no task worker 1", "there are no task workers"]),
        ("restart 7", &["there is no worker 7", "there are 1 worker"]),
        ("restart after", &["companion `after` is not started yet: it waits for others"]),
        ("drain a", &["companions are not drained", "hostler ctl restart"]),
        ("stacks a", &["`a` is a companion"]),
    ] {
        let text = refused(&site, line);
        for part in texts {
            assert!(text.contains(part), "{line}: {part:?} is missing in {text}");
        }
    }
    server.stop();
}

/// One that runs, that prepares to, that waits for its next attempt, that is done.
#[test]
fn whatever_state_it_is_in_it_is_started_anew() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "late"
        command = "sleep 1000"
        ready = "exec:test -e DIR/late"
        ready-timeout = 1000
        [[companion]]
        name = "fails"
        command = ["sh", "-c", "test -e DIR/mended && exec sleep 1000"]
        [[companion]]
        name = "step"
        command = ["sh", "-c", "echo ran >> DIR/step; test ! -e DIR/broken"]
        ready = "exit"
        restart = "never"
        "#,
    );
    let server = controlled(&site);
    let late = pid(&server, "late", 1);
    server.wait_for("companion is in a crash loop companion=\"fails\"", 3);
    fs::write(site.path("late"), "").unwrap();
    fs::write(site.path("mended"), "").unwrap();
    let text = done(&site, &server, "restart late");
    assert!(text.contains("companion `late` was restarted, and is ready"), "{text}");
    assert!(is_gone(late));
    // It would wait for seconds.
    let began = std::time::Instant::now();
    done(&site, &server, "restart fails");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}\n{}", began.elapsed(), server.log());
    let text = done(&site, &server, "restart step");
    assert!(text.contains("companion `step` was restarted, and has finished"), "{text}");
    let runs = || fs::read_to_string(site.path("step")).unwrap().lines().count();
    assert_eq!(runs(), 2);
    fs::write(site.path("broken"), "").unwrap();
    let text = refused(&site, "restart step");
    assert!(
        text.contains("companion `step` was restarted, and failed") && text.contains("exited with code 1"),
        "{text}"
    );
    assert_eq!(runs(), 3);
    // And so is what has failed for good.
    fs::remove_file(site.path("broken")).unwrap();
    done(&site, &server, "restart step");
    server.stop();
}

/// The next replicas are left as they run.
#[test]
fn a_restart_that_fails_ends_with_the_first_replica_that_does() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "a"
        command = ["sh", "-c", "test ! -e DIR/broken && exec sleep 1000"]
        ready = "exec:test ! -e DIR/broken"
        replicas = 2
        "#,
    );
    let server = controlled(&site);
    server.wait_for("companion ready companion=\"a\"", 2);
    let kept = replica(&server, "a", 2);
    fs::write(site.path("broken"), "").unwrap();
    let text = refused(&site, "restart a");
    assert!(
        text.contains("companion `a` was restarted, and failed") && text.contains("exited with code 1"),
        "{text}"
    );
    server.wait_for("companion is in a crash loop", 1);
    fs::remove_file(site.path("broken")).unwrap();
    server.wait_for("companion ready companion=\"a\"", 3);
    assert!(!is_gone(kept) && server.log().matches("reason=\"restart\"").count() == 1, "{}", server.log());
    server.stop();
}
