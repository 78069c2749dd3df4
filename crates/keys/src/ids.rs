//! Id newtypes. None of them is ever reused.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A node of the cluster: 1, 2, 3 ... given by the topology or on the command line. 0 is none.
    NodeId(u32), "n"
);
id!(
    /// A range, and the Paxos group that replicates it. 1 is the system range.
    RangeId(u64), "r"
);
id!(
    /// A table. Below 100: reserved for the system.
    TableId(u32), "t"
);
id!(
    /// An index of a table. 1 is the primary index.
    IndexId(u32), "i"
);
id!(
    /// A version of the catalog as a whole; grows by one with each schema change.
    SchemaVersion(u64), "v"
);

impl RangeId {
    /// The range that holds the directory, the catalog and the counters.
    pub const SYSTEM: RangeId = RangeId(1);
}

impl IndexId {
    /// The primary index of every table.
    pub const PRIMARY: IndexId = IndexId(1);
}

/// A transaction attempt. Unique for ever: a retry is a new transaction with the priority of the
/// old one. Drawn at random by the gateway (128 bits from its seeded generator).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxnId(pub u128);

impl TxnId {
    /// The 16 bytes that stand for the id in keys.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The first eight hexadecimal digits: enough for a person to tell transactions apart.
    #[must_use]
    pub fn short(self) -> String {
        format!("{:08x}", (self.0 >> 96) as u32)
    }
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "txn {}", self.short())
    }
}
