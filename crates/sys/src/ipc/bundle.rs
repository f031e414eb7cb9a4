//! Descriptors with their names, to be sent with a message or as they came with one.

use hostler_wire::Descriptor;
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Descriptors and what each of them is. A message that carries some says their names, in the order in which they come.
#[derive(Debug)]
pub struct Bundle<F>(Vec<(Descriptor, F)>);

impl<F> Default for Bundle<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: AsFd> Bundle<F> {
    /// Adds one.
    pub fn add(&mut self, name: Descriptor, descriptor: F) {
        self.0.push((name, descriptor));
    }

    /// As [`Bundle::add`], for a chain of calls.
    #[must_use]
    pub fn with(mut self, name: Descriptor, descriptor: F) -> Self {
        self.add(name, descriptor);
        self
    }

    /// As [`Bundle::with`], if there is one.
    #[must_use]
    pub fn with_any(mut self, name: Descriptor, descriptor: Option<F>) -> Self {
        descriptor.into_iter().for_each(|descriptor| self.add(name, descriptor));
        self
    }

    /// What they are, for the message.
    #[must_use]
    pub fn names(&self) -> Vec<Descriptor> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    /// The descriptors, for sending.
    #[must_use]
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.0.iter().map(|(_, descriptor)| descriptor.as_fd()).collect()
    }

    /// Copies of all.
    ///
    /// # Errors
    /// The kernel's (fcntl(2)).
    pub fn to_owned(&self) -> io::Result<Bundle<OwnedFd>> {
        let copy =
            |(name, descriptor): &(Descriptor, F)| Ok((*name, descriptor.as_fd().try_clone_to_owned()?));
        self.0.iter().map(copy).collect::<io::Result<_>>().map(Bundle)
    }
}

impl Bundle<OwnedFd> {
    /// What came with a message that said these names.
    ///
    /// # Errors
    /// `InvalidData` if not all of them arrived.
    pub fn received(names: Vec<Descriptor>, descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        if names.len() != descriptors.len() {
            let text = format!("{} of {} descriptors arrived", descriptors.len(), names.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self(names.into_iter().zip(descriptors).collect()))
    }

    /// Takes the one of this name out.
    ///
    /// # Errors
    /// `InvalidData` if there is none.
    pub fn take(&mut self, name: Descriptor) -> io::Result<OwnedFd> {
        let missing = || io::Error::new(io::ErrorKind::InvalidData, format!("no {name:?} descriptor came"));
        let found = self.0.iter().position(|(its, _)| *its == name).ok_or_else(missing)?;
        Ok(self.0.remove(found).1)
    }

    /// Takes all of this name out, in their order.
    pub fn take_all(&mut self, name: Descriptor) -> Vec<OwnedFd> {
        self.0.extract_if(.., |(its, _)| *its == name).map(|(_, descriptor)| descriptor).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Bundle;
    use hostler_wire::Descriptor::{Channel, Listener, Log};
    use std::{fs::File, os::fd::AsRawFd};

    #[test]
    fn descriptors_are_found_by_their_names() {
        let [a, b, c] = [0; 3].map(|_| File::open("/dev/null").unwrap());
        let sent = Bundle::default().with(Listener, &a).with(Log, &b).with(Listener, &c);
        assert_eq!(sent.names(), [Listener, Log, Listener]);
        let copies = sent.to_owned().unwrap();
        let numbers: Vec<i32> = copies.descriptors().iter().map(AsRawFd::as_raw_fd).collect();
        let mut received = copies;
        assert_eq!(received.take(Log).unwrap().as_raw_fd(), numbers[1]);
        assert!(received.take(Log).is_err() && received.take(Channel).is_err());
        let listeners = received.take_all(Listener);
        assert_eq!(listeners.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>(), [numbers[0], numbers[2]]);
        assert!(Bundle::received(vec![Log], Vec::new()).is_err(), "some were lost on the way");
    }
}
