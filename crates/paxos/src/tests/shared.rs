//! Values that many states of a world share, until one of them changes its own.

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
    ops::{Deref, DerefMut},
    rc::Rc,
};

use super::fingerprint::{Fingerprint, fingerprint};

/// A value shared until it is written to, which remembers its fingerprint.
#[derive(Clone, Debug)]
pub(super) struct Shared<T> {
    value: Rc<T>,
    known: Cell<Option<Fingerprint>>,
}

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Shared<T> {
        Shared { value: Rc::new(value), known: Cell::new(None) }
    }
}

impl<T: Hash> Shared<T> {
    /// What tells the value from others.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let known = self.known.get().unwrap_or_else(|| fingerprint(&*self.value));
        self.known.set(Some(known));
        known
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared::new(T::default())
    }
}

impl<T: Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint().hash(state);
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.known.set(None);
        Rc::make_mut(&mut self.value)
    }
}
