//! Replicas as a cluster: nodes, a network, disks and clocks, all from one seed.

mod cluster;
mod random;
mod scenarios;
