//! `cargo xtask COMMAND`: set up, build, serve, test, measure and check.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a tool for people at a terminal")]

mod bench;
mod deb;
mod eventloop;
mod fuzz;
mod instructions;
mod package;
mod python;
mod serve;
mod test;
mod tools;
mod torture;
mod wheel;

use anyhow::{Result, bail};
use python::Python;
use std::path::PathBuf;
use tools::{Cmd, root, section};

const HELP: &str = "\
cargo xtask demo                 build everything and serve the example applications
cargo xtask test [--python X]    every test, on X alone or on every CPython ≥ 3.10 found
cargo xtask test NAME… [--python X]   tests of the whole server whose names contain NAME, on X or the newest
cargo xtask build [--python X]   build the server and the extension for X
cargo xtask bench [NAME] [--python X]   measure against other servers and print the table
cargo xtask bench chart          draw docs/performance.svg from docs/PERFORMANCE.md
cargo xtask eventloop [--python X] [--suites]   run CPython's tests for asyncio, and libraries', on our loop
cargo xtask instructions [--check | --update] [NAME]   count the instructions of a request
cargo xtask torture [--seed N] [--seconds S] [--interface NAME]   random clients and random faults
cargo xtask fuzz [--seconds N] [NAME]   feed what parses the network with bytes that are derived from its code
cargo xtask strictness [--python X]   requests that servers could read in two ways, through nginx and haproxy
cargo xtask engines [--python X] tasks with Celery, over Redis and RabbitMQ; a companion in Node
cargo xtask ray [--python X]     tasks with Ray, which it installs
cargo xtask browser              a page in Chromium, over TLS and HTTP/2, while everything beneath it is replaced
cargo xtask package              build the library from its packages, and all with the least Rust declared
cargo xtask wheel [--python X] [--manylinux 2_28]   build wheels into target/wheels
cargo xtask deb [--python X]     build the Debian package into target/deb/made
cargo xtask install              install wheel and Debian package of what is built elsewhere, and serve from there
cargo xtask generate             write the files that are printed by the program
cargo xtask ci                   what must pass before a change lands";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match command.as_str() {
        "demo" => serve::demo(),
        "test" => test::run(&rest),
        "build" => python::build(&asked_python(&rest)?.map_or_else(python::newest, Ok)?).map(drop),
        "bench" if rest == ["chart"] => bench::chart(),
        "bench" => {
            let named = rest.first().filter(|name| !name.starts_with("--"));
            let python = asked_python(&rest[usize::from(named.is_some())..])?;
            bench::run(named.map(String::as_str), python)
        }
        "eventloop" => {
            let (suites, others): (Vec<String>, _) = rest.into_iter().partition(|arg| arg == "--suites");
            eventloop::run(asked_python(&others)?, !suites.is_empty())
        }
        "instructions" => instructions::run(&rest),
        "torture" => torture::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "strictness" => test::strictness(&asked_python(&rest)?.map_or_else(python::newest, Ok)?),
        "engines" => test::engines(&asked_python(&rest)?.map_or_else(python::newest, Ok)?),
        "ray" => test::ray(&asked_python(&rest)?.map_or_else(python::newest, Ok)?),
        "browser" => test::browser(),
        "package" => package::check(),
        "install" => check_installs(),
        "deb" => deb::run(&rest),
        "wheel" => wheel::run(&rest),
        "generate" => generate(),
        "ci" => ci(),
        _ => {
            println!("{HELP}");
            Ok(())
        }
    }
}

fn asked_python(args: &[String]) -> Result<Option<Python>> {
    match args {
        [] => Ok(None),
        [flag, program] if flag == "--python" => Python::ask(&PathBuf::from(program)).map(Some),
        _ => bail!("unknown arguments {args:?}; `cargo xtask` lists the commands"),
    }
}

/// What the program prints, and where it is kept.
const GENERATED: [(&str, &str); 5] = [
    ("--print-reference", "docs/CONFIGURATION.md"),
    ("--print-sample", "config/hostler.toml"),
    ("--print-schema", "config/hostler.schema.json"),
    ("--print-man", "docs/hostler.1"),
    ("--print-peers", "docs/COMING_FROM.md"),
];

fn generate() -> Result<()> {
    let python = python::newest()?;
    python::build(&python)?;
    for (flag, file) in GENERATED {
        let text = Cmd::new(&root().join("target/release/hostler")).arg(flag).output()?;
        std::fs::write(root().join(file), text)?;
    }
    Ok(())
}

/// What users install, of what was built and kept for these Pythons.
fn check_installs() -> Result<()> {
    let built: Vec<Python> =
        python::all()?.into_iter().filter(|python| python::extension(python).exists()).collect();
    match built.first() {
        Some(newest) => wheel::check(newest).and_then(|()| deb::check(&built)),
        None => bail!("nothing is built: run `cargo xtask build`"),
    }
}

/// How many storms must pass; some seconds' worth.
const STORMS: &str = "20000";

fn ci() -> Result<()> {
    let python = python::newest()?;
    let checks: [&[&str]; 3] = [
        &["fmt", "--all", "--check"],
        &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        &["doc", "--workspace", "--no-deps", "--document-private-items"],
    ];
    for check in checks {
        section(&format!("cargo {}", check[0]));
        Cmd::cargo(check).env("PYO3_PYTHON", &python.program).env("RUSTDOCFLAGS", "-D warnings").run()?;
    }
    package::check()?;
    section("storms of events for the arbiter");
    Cmd::cargo(&["test", "--release", "--package", "hostler-arbiter"]).env("PROPTEST_CASES", STORMS).run()?;
    test::all(python::all()?)?;
    check_installs()?;
    fuzz::check()?;
    test::strictness(&python)?;
    test::engines(&python)?;
    section("torture");
    torture::check()?;
    section("instructions of a request");
    // Its extension was built and kept by the tests.
    instructions::count(&instructions::python()?, &["--check".to_owned()])
}
