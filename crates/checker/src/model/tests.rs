//! The chain of models.

use super::{Kind, Model, Order};

#[test]
fn stronger_models_forbid_more() {
    assert!(Model::ReadCommitted.forbids(Kind::G1c, Order::Data));
    assert!(!Model::ReadCommitted.forbids(Kind::LostUpdate, Order::Data));
    assert!(Model::Snapshot.forbids(Kind::LostUpdate, Order::Data));
    assert!(!Model::Snapshot.forbids(Kind::WriteSkew, Order::Data));
    assert!(Model::Serializable.forbids(Kind::WriteSkew, Order::Data));
    assert!(!Model::Serializable.forbids(Kind::G0, Order::Realtime));
    assert!(Model::StrictSerializable.forbids(Kind::G0, Order::Process));
}

#[test]
fn models_are_found_by_name() {
    for model in Model::ALL {
        assert_eq!(model.name().parse(), Ok(model));
    }
    assert!("eventual".parse::<Model>().is_err());
}
