//! What every engine must do, as a test suite.
