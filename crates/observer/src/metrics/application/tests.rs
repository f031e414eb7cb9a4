use super::{
    super::{
        collect::Metrics,
        format::{self, Format},
    },
    file::{Source, read},
    write,
};
use std::{fs, path::Path};

/// A value as that library writes it.
fn value(name: &str, sample: &str, labels: &str, (value, set_at): (f64, f64)) -> Vec<u8> {
    let key = format!("[\"{name}\", \"{sample}\", {labels}, \"About {name}\"]");
    let padding = 8 - (key.len() + 4) % 8;
    [
        &u32::try_from(key.len()).unwrap().to_ne_bytes()[..],
        key.as_bytes(),
        &vec![b' '; padding],
        &value.to_ne_bytes(),
        &set_at.to_ne_bytes(),
    ]
    .concat()
}

fn file(directory: &Path, name: &str, values: &[Vec<u8>]) {
    let values = values.concat();
    let used = u32::try_from(values.len() + 8).unwrap();
    let mut bytes = [&used.to_ne_bytes()[..], &[0; 4], &values].concat();
    // More room than is used.
    bytes.resize(bytes.len() + 5000, 0);
    fs::write(directory.join(name), bytes).unwrap();
}

#[test]
fn values_of_processes_become_one_as_their_kinds_and_modes_say() {
    let directory = std::env::temp_dir().join(format!("hostler-observer-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let own = std::process::id();
    // No process has this number: the greatest is below it (proc(5), pid_max).
    let dead = 99_999_999;
    for (pid, number, set_at) in [(own, 2.0, 10.0), (dead, 3.0, 20.0)] {
        let one = |name: &str, sample: &str, labels: &str| value(name, sample, labels, (number, set_at));
        file(&directory, &format!("counter_{pid}.db"), &[one("a", "a_total", r#"{"b": "x\"y"}"#)]);
        let buckets = [
            one("h", "h_bucket", r#"{"le": "1.0"}"#),
            one("h", "h_bucket", r#"{"le": "+Inf"}"#),
            one("h", "h_sum", "{}"),
        ];
        file(&directory, &format!("histogram_{pid}.db"), &buckets);
        for mode in ["all", "liveall", "min", "max", "sum", "livesum", "mostrecent"] {
            let name = format!("g_{mode}");
            file(&directory, &format!("gauge_{mode}_{pid}.db"), &[one(&name, &name, "{}")]);
        }
    }
    fs::write(directory.join("counter_1.db"), "something else").unwrap();
    fs::write(directory.join("notes.txt"), "no metrics").unwrap();
    let text = format::text(Format::Prometheus, |done| {
        let mut metrics = Metrics::new(done);
        write(&mut metrics, &directory);
        metrics.end();
    });
    fs::remove_dir_all(&directory).unwrap();
    for line in [
        "a_total{b=\"x\\\"y\"} 5.0",
        "# TYPE a_total counter",
        "# HELP h About h",
        "h_bucket{le=\"1.0\"} 5.0",
        "h_bucket{le=\"+Inf\"} 10.0",
        "h_count 10.0",
        "h_sum 5.0",
        &format!("g_all{{pid=\"{own}\"}} 2.0"),
        &format!("g_all{{pid=\"{dead}\"}} 3.0"),
        &format!("g_liveall{{pid=\"{own}\"}} 2.0"),
        "g_min 2.0",
        "g_max 3.0",
        "g_sum 5.0",
        "g_livesum 2.0",
        "g_mostrecent 3.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains(&format!("g_liveall{{pid=\"{dead}\"}}")), "{text}");
}

#[test]
fn what_is_no_file_of_metrics_is_an_error_and_no_panic() {
    assert_eq!(Source::of("gauge_17.db"), None);
    assert_eq!(Source::of("counter_17.txt"), None);
    let path = std::env::temp_dir().join(format!("hostler-observer-file-{}", std::process::id()));
    for bytes in [&b""[..], &[255; 8], &[16, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 1, 1, 1, 1]] {
        fs::write(&path, bytes).unwrap();
        assert!(read(&path).is_err(), "{bytes:?}");
    }
    fs::remove_file(&path).unwrap();
}
