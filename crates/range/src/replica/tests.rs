//! Replicas as a cluster: nodes, a network, disks and clocks, all from one seed.

mod cluster;
mod lies;
mod random;
mod scenarios;
