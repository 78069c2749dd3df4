//! Tests of reading texts.
