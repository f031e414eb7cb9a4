//! Addresses of several layers: the highest one says where to listen.

use super::{config, failure, file, printed};
use crate::Config;
use hostler_settings::Bind;

fn listened(text: &str, args: &[&str], variables: super::Variables<'_>) -> Config {
    let file = file(text);
    config(&[&["--config", file.path().to_str().unwrap()], args].concat(), variables)
}

fn addresses(text: &str, args: &[&str], variables: super::Variables<'_>) -> Vec<String> {
    listened(text, args, variables).settings.listen.addresses().iter().map(Bind::to_string).collect()
}

#[test]
fn a_higher_layer_replaces_the_addresses_of_lower_ones() {
    let (bind, uds) = ("bind = \"127.0.0.1:80\"", "uds = \"/a\"");
    let local = "127.0.0.1:9000";
    assert_eq!(addresses(bind, &["--port", "9000"], &[]), [local]);
    assert_eq!(addresses(uds, &[], &[("HOSTLER_PORT", "9000")]), [local]);
    assert_eq!(addresses(uds, &["--bind", local], &[]), [local]);
    assert_eq!(addresses(bind, &["--uds", "/b"], &[("HOSTLER_HOST", "::")]), ["unix:/b"]);
    assert_eq!(addresses("host = \"::\"", &["--port", "9000"], &[("HOSTLER_BIND", "a:1")]), [local]);
    // One that is emptied is none, and leaves the others.
    assert_eq!(addresses("uds = \"/a\"\nbind = \"a:1\"", &["--uds", ""], &[]), ["a:1"]);
    assert_eq!(addresses(uds, &["--uds", ""], &[]), ["127.0.0.1:8000"]);
    assert_eq!(addresses(bind, &[], &[("HOSTLER_PORT", "")]), ["127.0.0.1:80"]);
}

#[test]
fn addresses_with_tls_are_addresses() {
    let tls = "ssl-bind = \"a:443\"\n";
    assert!(listened(tls, &["--port", "9000"], &[]).settings.tls.bind.is_empty());
    let found = listened("bind = \"a:80\"\n", &["--ssl-bind", "a:443"], &[]);
    assert!(found.settings.listen.bind.is_empty() && !found.plain_binds_chosen);
    assert!(listened(&format!("{tls}port = 80"), &[], &[]).plain_binds_chosen);
}

#[test]
fn what_completes_an_address_is_kept() {
    assert_eq!(addresses("host = \"10.0.0.1\"", &["--port", "9000"], &[]), ["10.0.0.1:9000"]);
    assert_eq!(addresses("port = 9000", &["--bind", "10.0.0.1"], &[]), ["10.0.0.1:9000"]);
    assert_eq!(addresses("port = 9000", &["--bind", "10.0.0.1:80"], &[]), ["10.0.0.1:80"]);
    assert_eq!(addresses("", &["--bind", "10.0.0.1", "--uds", "/a"], &[]), ["unix:/a", "10.0.0.1:8000"]);
}

#[test]
fn addresses_of_one_layer_that_exclude_each_other_are_refused() {
    for (args, message) in [
        (["--bind", "a:1", "--port", "80"], "--bind a:1 and --port 80"),
        (["--bind", "a", "--host", "b"], "--bind a and --host b"),
        (["--uds", "/a", "--port", "80"], "--uds /a and --port 80"),
        (["--uds", "/a", "--host", "b"], "--uds /a and --host b"),
    ] {
        let wrong = failure(&args, &[]);
        assert_eq!(wrong.message, format!("{message} contradict each other (command line)"));
    }
}

#[test]
fn what_is_replaced_is_shown() {
    let file = file("bind = \"a:1\"\n");
    let path = file.path().to_str().unwrap();
    let listing = printed(&["a:b", "--config", path, "--port", "9000", "--print-config"], &[]);
    let bind = listing.lines().find(|line| line.starts_with("bind ")).unwrap();
    assert!(!bind.contains("a:1"), "{bind}");
    let note = format!("# default: other addresses replace that of file {path}, line 1");
    assert!(bind.ends_with(&note), "{bind}");
}
