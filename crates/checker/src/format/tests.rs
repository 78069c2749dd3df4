//! Reading and writing histories.
