//! Values that are registered until their handle is dropped.

use std::{cell::RefCell, rc::Rc};

/// Registered values.
pub(crate) struct Registry<T>(Rc<RefCell<Places<T>>>);

struct Places<T> {
    places: Vec<Place<T>>,
    /// The first free one.
    free: usize,
}

enum Place<T> {
    Taken(T),
    /// The next free one; beyond the last place if there is none.
    Free(usize),
}

/// A place in a registry, freed when dropped.
pub(crate) struct Entry<T> {
    registry: Rc<RefCell<Places<T>>>,
    place: usize,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Places { places: Vec::new(), free: 0 })))
    }
}

impl<T> Registry<T> {
    /// Registers `thing` as long as the handle is kept.
    #[must_use]
    pub(crate) fn enter(&self, thing: T) -> Entry<T> {
        let mut all = self.0.borrow_mut();
        let place = all.free;
        match all.places.get_mut(place) {
            Some(taken) => {
                if let Place::Free(next) = std::mem::replace(taken, Place::Taken(thing)) {
                    all.free = next;
                }
            }
            None => {
                all.places.push(Place::Taken(thing));
                all.free = place + 1;
            }
        }
        Entry { registry: Rc::clone(&self.0), place }
    }

    /// All that are registered now, each as `clone` gives it.
    pub(crate) fn all<R>(&self, clone: impl Fn(&T) -> R) -> Vec<R> {
        let all = self.0.borrow();
        let taken = all.places.iter().filter_map(|place| match place {
            Place::Taken(thing) => Some(clone(thing)),
            Place::Free(_) => None,
        });
        taken.collect()
    }
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        let left = {
            let mut all = self.registry.borrow_mut();
            let next = Place::Free(all.free);
            let left = all.places.get_mut(self.place).map(|place| std::mem::replace(place, next));
            all.free = self.place;
            left
        };
        // Dropping it may run Python code.
        drop(left);
    }
}
