//! Tells the code which Python it is built for, and the tests where its library lies.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    pyo3_build_config::add_libpython_rpath_link_args();
}
