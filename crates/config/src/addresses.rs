//! Addresses that higher and lower layers set: where to listen is one answer, that of the highest layer that has one.
//!
//! Not here: addresses within a layer that exclude each other, which `config` refuses.

use crate::layers::Given;
use hostler_settings::{Bind, Declaration, Listen, OptionValue, Tls};

/// What the layers so far say of where to listen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses {
    /// Any address at all.
    any: bool,
    /// Whole addresses, which need neither `--host` nor `--port`.
    whole: bool,
    /// An address without a port, which has that of `--port`.
    needs_port: bool,
}

impl Addresses {
    /// Whether a lower layer's value of this option would be beside the point.
    pub(crate) fn replace(self, option: &Declaration) -> bool {
        match option.name {
            name if is_whole(name) => self.any,
            name if name == Listen::host().name => self.whole,
            name if name == Listen::port().name => self.whole && !self.needs_port,
            _ => false,
        }
    }

    /// Adds what a layer says; it is in effect unless a higher one says otherwise. An empty text is no address.
    pub(crate) fn add(&mut self, given: &Given, in_effect: bool) {
        let name = given.option.name;
        let is_part = [Listen::host().name, Listen::port().name].contains(&name);
        if given.texts.iter().all(String::is_empty) || !(is_part || is_whole(name)) {
            return;
        }
        self.any = true;
        self.whole |= is_whole(name);
        self.needs_port |= in_effect && name == Listen::bind().name && has_no_port(given);
    }
}

fn is_whole(name: &str) -> bool {
    [Listen::bind(), Listen::uds(), Tls::bind()].iter().any(|option| option.name == name)
}

fn has_no_port(given: &Given) -> bool {
    let mut binds = given.texts.iter().filter_map(|text| Bind::parse(text, &given.option.rules));
    binds.any(|bind| bind.has_no_port())
}
