//! What frameworks and bundlers leave to be served, as it is.

use super::Site;
use hostler_testkit::{Server, python};
use std::{fs, process::Command};

const COLLECT: &str = "
import sys
import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    INSTALLED_APPS=['django.contrib.admin', 'django.contrib.auth', 'django.contrib.contenttypes',
                    'django.contrib.messages', 'django.contrib.sessions', 'django.contrib.staticfiles'],
    STATIC_URL='static/', STATIC_ROOT=sys.argv[1],
    STORAGES={'staticfiles': {'BACKEND': 'django.contrib.staticfiles.storage.ManifestStaticFilesStorage'}},
)
django.setup()
call_command('collectstatic', interactive=False, verbosity=0)
";

#[test]
fn django_s_collected_files_are_served_and_hashed_ones_kept_for_ever() {
    let site = Site::new();
    let collected = Command::new(python()).args(["-c", COLLECT]).arg(site.path()).output().unwrap();
    assert!(collected.status.success(), "{}", String::from_utf8_lossy(&collected.stderr));
    let manifest = fs::read_to_string(site.path().join("staticfiles.json")).unwrap();
    let hashed =
        manifest.split('"').find(|name| name.starts_with("admin/css/base.") && name.len() > 20).unwrap();
    let server = Server::app("asgi_app:app").option("static-path-mount", site.path().display()).start();
    let mut conn = server.connect();
    for (name, cache) in [(hashed, "max-age=31536000, immutable"), ("admin/css/base.css", "max-age=86400")] {
        let reply = conn.get(&format!("/static/{name}"));
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some("text/css; charset=utf-8")),
            "{name}"
        );
        assert_eq!(reply.header("cache-control"), Some(cache), "{name}");
        assert!(reply.body == fs::read(site.path().join(name)).unwrap());
    }
    // All of them.
    let names = manifest.split('"').filter(|name| name.starts_with("admin/") && name.contains('.'));
    for name in names.collect::<Vec<_>>() {
        let reply = conn.get(&format!("/static/{name}"));
        assert!(reply.status == 200 && reply.body == fs::read(site.path().join(name)).unwrap(), "{name}");
    }
    server.stop();
}

/// A page that is built by Vite, with its application's interface beneath /pid.
#[test]
fn an_application_in_the_browser_is_served_beside_one_on_the_server() {
    let site = Site::with(&[
        ("index.html", "<script type=module src=/assets/index-BUq2f9aB.js></script>"),
        ("assets/index-BUq2f9aB.js", "import './vendor-DkT3mQ0x.js'"),
        ("assets/index-BUq2f9aB.js.br", "brotli"),
        ("favicon.ico", "icon"),
    ]);
    let config = site.path().join("hostler.toml");
    let table = "headers = { Cache-Control = \"no-cache\" }\nindex = \"index.html\"\n";
    let assets =
        format!("[[static-mount]]\nroute = \"/assets\"\npath = \"{}/assets\"\n", site.path().display());
    fs::write(&config, format!("[[static-mount]]\nroute = \"/\"\npath = {:?}\n{table}{assets}", site.path()))
        .unwrap();
    let server = Server::app("asgi_app:app").option("config", config.display()).start();
    let mut conn = server.connect();
    let page = conn.get("/");
    assert!(page.text().starts_with("<script") && page.header("cache-control") == Some("no-cache"));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let script = conn.request("GET", "/assets/index-BUq2f9aB.js", "accept-encoding: br\r\n", b"");
    assert_eq!((script.text().as_str(), script.header("content-encoding")), ("brotli", Some("br")));
    assert_eq!(script.header("cache-control"), Some("max-age=31536000, immutable"));
    assert_eq!(conn.get("/assets/none.js").status, 404);
    assert!(conn.get("/pid").text().parse::<i32>().is_ok());
    assert_eq!(conn.request("POST", "/echo", "", b"body").text(), "body");
    server.stop();
}
