//! Where connections wait until they have said who they are.
//!
//! Anybody can open a connection and say nothing, so the places here are few and apart from those of
//! sessions. Nobody is kept out when all are taken: whoever of the busiest address came first has to
//! go. A client that says its piece at once is through long before its turn comes; a thousand that
//! say nothing push each other out.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Connections that may wait here at a time.
pub const PLACES: usize = 128;

/// A server's lobby. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lobby(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// Oldest first.
    guests: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    address: IpAddr,
    go: Arc<Notify>,
}

impl Lobby {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from this address; somebody else may lose its own for it.
    pub fn enter(&self, address: IpAddr) -> Place {
        let go = Arc::new(Notify::new());
        let mut state = self.state();
        if state.guests.len() >= PLACES {
            state.send_one_away();
        }
        let number = state.next;
        state.next += 1;
        state.guests.insert(number, Guest { address, go: go.clone() });
        drop(state);
        Place { lobby: self.clone(), number, go }
    }
}

impl State {
    /// The first to have come of the address that has most places.
    fn send_one_away(&mut self) {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for guest in self.guests.values() {
            *counts.entry(guest.address).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or(0);
        let first = self.guests.iter().find(|(_, guest)| counts[&guest.address] == most);
        let first = first.map(|(number, _)| *number);
        if let Some(guest) = first.and_then(|number| self.guests.remove(&number)) {
            guest.go.notify_one();
        }
    }
}

/// A place in the lobby; free again when dropped.
#[derive(Debug)]
pub struct Place {
    lobby: Lobby,
    number: u64,
    go: Arc<Notify>,
}

impl Place {
    /// Returns once somebody else has the place.
    pub async fn lost(&self) {
        self.go.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lobby.state().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_lost(place: &Place) -> bool {
        place.lost().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_the_busiest_address_goes() {
        let lobby = Lobby::default();
        let lone = lobby.enter(address(1));
        let many: Vec<Place> = (1..PLACES).map(|_| lobby.enter(address(2))).collect();
        assert!(!is_lost(&lone) && !many.iter().any(is_lost), "there was room");
        let more: Vec<Place> = (0..1_000).map(|_| lobby.enter(address(2))).collect();
        assert!(many.iter().all(is_lost), "the first of the many are gone");
        assert!(more[1_000 - PLACES + 1..].iter().all(|place| !is_lost(place)), "the last stay");
        let other = lobby.enter(address(3));
        assert!(!is_lost(&lone) && !is_lost(&other), "others are not touched");
    }

    #[test]
    fn a_place_that_is_left_is_free() {
        let lobby = Lobby::default();
        let first = lobby.enter(address(1));
        for _ in 0..2 * PLACES {
            drop(lobby.enter(address(1)));
        }
        assert!(!is_lost(&first));
        assert_eq!(lobby.state().guests.len(), 1);
    }
}
