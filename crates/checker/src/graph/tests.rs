//! Components and shortest cycles, against searches that try everything.
