//! Tells the code which Python it is built for, so that the server can pick the right extension.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let config = pyo3_build_config::get();
    let built_for = if std::env::var_os("CARGO_FEATURE_ABI3").is_some() {
        "abi3".to_owned()
    } else {
        format!("cpython-{}{}", config.version().major, config.version().minor)
    };
    println!("cargo:rustc-env=HOSTLER_BUILT_FOR={built_for}");
}
