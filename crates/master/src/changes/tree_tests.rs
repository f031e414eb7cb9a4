//! What a tree tells of what happens to files. The kernel queues events before the system call that caused them returns.

use super::Tree;
use crate::changes::filter::Filter;
use hostler_settings::AutoReload;
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::SystemTime,
};

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hostler-tree-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root")).unwrap();
        Self(path.canonicalize().unwrap())
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn tree(&self) -> Tree {
        self.tree_with(Vec::new())
    }

    fn tree_with(&self, files: Vec<PathBuf>) -> Tree {
        Tree::new(Filter::new(&AutoReload::default()), vec![self.root()], files).unwrap()
    }

    fn write(&self, name: &str) {
        fs::write(self.0.join(name), "text").unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What changed, below the place.
fn changed(tree: &mut Tree, place: &Place) -> Vec<String> {
    let mut names: Vec<_> = tree
        .changed()
        .iter()
        .map(|path| path.strip_prefix(&place.0).unwrap_or(Path::new(path)).display().to_string())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn each_way_to_change_a_file_is_told() {
    let place = Place::new("ways");
    let mut tree = place.tree();
    place.write("root/a.py");
    assert_eq!(changed(&mut tree, &place), ["root/a.py"]);
    place.write("root/a.py.tmp");
    assert!(changed(&mut tree, &place).is_empty(), "another file");
    fs::rename(place.root().join("a.py.tmp"), place.root().join("a.py")).unwrap();
    assert_eq!(changed(&mut tree, &place), ["root/a.py"], "renamed over");
    let times =
        fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH).set_accessed(SystemTime::UNIX_EPOCH);
    fs::File::open(place.root().join("a.py")).unwrap().set_times(times).unwrap();
    assert_eq!(changed(&mut tree, &place), ["root/a.py"], "touched");
    fs::read(place.root().join("a.py")).unwrap();
    assert!(changed(&mut tree, &place).is_empty(), "read");
    fs::remove_file(place.root().join("a.py")).unwrap();
    assert_eq!(changed(&mut tree, &place), ["root/a.py"], "removed");
}

#[test]
fn a_file_that_is_written_in_steps_is_told_once_it_is_complete() {
    use std::io::Write as _;
    let place = Place::new("steps");
    place.write("root/a.py");
    let mut tree = place.tree();
    let mut file = fs::File::create(place.root().join("a.py")).unwrap();
    file.write_all(b"half").unwrap();
    assert!(changed(&mut tree, &place).is_empty());
    file.write_all(b"whole").unwrap();
    drop(file);
    assert_eq!(changed(&mut tree, &place), ["root/a.py"]);
}

#[test]
fn directories_are_followed_when_they_come_move_and_go() {
    let place = Place::new("moves");
    let mut tree = place.tree();
    fs::create_dir_all(place.root().join("new/deep")).unwrap();
    place.write("root/new/deep/a.py");
    assert_eq!(changed(&mut tree, &place), ["root/new/deep/a.py"]);
    place.write("root/new/deep/b.py");
    assert_eq!(changed(&mut tree, &place), ["root/new/deep/b.py"]);
    fs::rename(place.root().join("new"), place.root().join("moved")).unwrap();
    assert!(changed(&mut tree, &place).contains(&"root/moved/deep/a.py".to_owned()));
    place.write("root/moved/deep/a.py");
    assert_eq!(changed(&mut tree, &place), ["root/moved/deep/a.py"], "under its new name");
    fs::rename(place.root().join("moved"), place.0.join("outside")).unwrap();
    assert_eq!(changed(&mut tree, &place), ["root/moved"]);
    place.write("outside/deep/a.py");
    assert!(changed(&mut tree, &place).is_empty(), "it is no longer ours");
    fs::rename(place.0.join("outside"), place.root().join("back")).unwrap();
    assert!(!changed(&mut tree, &place).is_empty());
    fs::remove_dir_all(place.root().join("back")).unwrap();
    assert!(!changed(&mut tree, &place).is_empty());
    assert_eq!(tree.len(), 1, "only the root is left");
}

#[test]
fn a_root_that_is_removed_is_found_again() {
    let place = Place::new("again");
    let mut tree = place.tree();
    fs::remove_dir_all(place.root()).unwrap();
    assert!(changed(&mut tree, &place).is_empty());
    assert!(tree.lacks_any());
    assert!(tree.find_missing().is_empty() && tree.lacks_any());
    fs::create_dir(place.root()).unwrap();
    place.write("root/a.py");
    assert_eq!(tree.find_missing(), [place.root().join("a.py")]);
    assert!(!tree.lacks_any());
    place.write("root/b.py");
    assert_eq!(changed(&mut tree, &place), ["root/b.py"]);
}

#[test]
fn a_root_whose_parent_is_exchanged_is_found_again() {
    let place = Place::new("above");
    let (site, app) = (place.0.join("site"), place.0.join("site/shop/app"));
    fs::create_dir_all(&app).unwrap();
    let mut tree = Tree::new(Filter::new(&AutoReload::default()), vec![app.clone()], Vec::new()).unwrap();
    for _ in 0..2 {
        fs::rename(&site, place.0.join("old")).unwrap();
        assert!(changed(&mut tree, &place).is_empty());
        assert!(tree.lacks_any());
        fs::create_dir_all(&app).unwrap();
        place.write("site/shop/app/a.py");
        assert_eq!(tree.find_missing(), [app.join("a.py")]);
        place.write("site/shop/app/b.py");
        assert_eq!(changed(&mut tree, &place), ["site/shop/app/b.py"]);
        fs::remove_dir_all(place.0.join("old")).unwrap();
        assert!(changed(&mut tree, &place).is_empty() && !tree.lacks_any());
    }
}

#[test]
fn links_are_followed_and_do_not_go_in_circles() {
    let place = Place::new("links");
    fs::create_dir_all(place.0.join("shared/deep")).unwrap();
    place.write("single.py");
    symlink(place.0.join("shared"), place.root().join("linked")).unwrap();
    symlink(place.root(), place.0.join("shared/circle")).unwrap();
    symlink(place.0.join("single.py"), place.root().join("single.py")).unwrap();
    let mut tree = place.tree();
    place.write("shared/deep/a.py");
    assert_eq!(changed(&mut tree, &place), ["root/linked/deep/a.py"]);
    place.write("single.py");
    assert_eq!(changed(&mut tree, &place), ["single.py"]);
    // As an editor saves.
    place.write("single.tmp");
    fs::rename(place.0.join("single.tmp"), place.0.join("single.py")).unwrap();
    assert_eq!(changed(&mut tree, &place), ["single.py"]);
    place.write("other.py");
    assert!(changed(&mut tree, &place).is_empty(), "it only lies beside one that counts");
}

#[test]
fn single_files_count_also_where_links_are_exchanged() {
    let place = Place::new("exchanged");
    let config = place.0.join("config");
    for version in ["one", "two"] {
        fs::create_dir_all(config.join(version)).unwrap();
        fs::write(config.join(version).join("hostler.toml"), version).unwrap();
    }
    symlink("one", config.join("..data")).unwrap();
    symlink("..data/hostler.toml", config.join("hostler.toml")).unwrap();
    let mut tree = place.tree_with(vec![config.join("hostler.toml")]);
    symlink("two", config.join("..new")).unwrap();
    assert!(changed(&mut tree, &place).is_empty());
    fs::rename(config.join("..new"), config.join("..data")).unwrap();
    assert_eq!(changed(&mut tree, &place), ["config/hostler.toml"]);
}

/// The kernel keeps `max_queued_events` events (16,384 by default) and then tells only that there were more.
#[test]
fn what_happens_while_the_kernel_cannot_tell_all_is_found() {
    let place = Place::new("overflow");
    fs::create_dir_all(place.root().join("old/deep")).unwrap();
    place.write("config.toml");
    let mut tree = place.tree_with(vec![place.0.join("config.toml")]);
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 100_000 {
        return println!("left out: the queue of this machine is very long");
    }
    // Two events that are the same, one after the other, are one.
    let names = ["root/a.py", "root/b.py"];
    let files = names.map(|name| fs::File::create(place.0.join(name)).unwrap());
    for _ in 0..=limit {
        for file in &files {
            let now = SystemTime::now();
            file.set_times(fs::FileTimes::new().set_modified(now).set_accessed(now)).unwrap();
        }
    }
    fs::rename(place.root().join("old"), place.root().join("moved")).unwrap();
    fs::create_dir(place.root().join("moved/fresh")).unwrap();
    fs::create_dir(place.root().join("new")).unwrap();
    assert!(changed(&mut tree, &place).contains(&"many files".to_owned()));
    for name in ["root/moved/fresh/a.py", "root/moved/deep/a.py", "root/new/a.py", "config.toml"] {
        place.write(name);
        assert_eq!(changed(&mut tree, &place), [name]);
    }
    drop(files);
}

#[test]
fn many_files_at_once_are_all_told() {
    let place = Place::new("many");
    let mut tree = place.tree();
    for number in 0..40 {
        let directory = format!("root/package{number}");
        fs::create_dir(place.0.join(&directory)).unwrap();
        for file in 0..50 {
            place.write(&format!("{directory}/{file}.py"));
        }
    }
    assert_eq!(changed(&mut tree, &place).len(), 2000);
    assert_eq!(tree.len(), 41);
}
