//! Tests of MVCC.
