//! The messages and services of the `.proto` files next to this crate, as generated.
//!
//! Only the crate `net` uses them, and converts them at its border: everything else speaks its
//! types. So a change of the wire format is a change in two crates, not in twenty.

/// Version 1 of the protocol: `meridian/v1/*.proto`.
#[expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "generated: documented in the .proto files"
)]
pub mod v1 {
    include!("v1.generated");
}
