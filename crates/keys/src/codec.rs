//! Order-preserving encoding of column values into keys.
