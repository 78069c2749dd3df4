//! Values printed and read back; single texts are compared with PostgreSQL in `tests/postgres.rs`.

use proptest::prelude::*;

use super::{input, output};
use crate::{
    context::EvalContext,
    datetime::TimeZone,
    datum::Datum,
    testing::typed_datums,
    types::{Element, Type},
};

proptest! {
    #[test]
    fn values_come_back(
        (ty, value) in typed_datums(),
        zone in prop::sample::select(vec!["UTC", "+05:30", "America/New_York"]),
    ) {
        let ctx = EvalContext {
            timezone: TimeZone::parse(zone).expect("a zone"),
            ..EvalContext::default()
        };
        match output(&value, ty, &ctx.timezone) {
            None => prop_assert!(value.is_null()),
            Some(text) => {
                let back = input(&text, ty, &ctx).expect("what we printed");
                // A local time shown twice a year stands for one of two moments.
                if ty != Type::TimestampTz {
                    prop_assert_eq!(format!("{back:?}"), format!("{value:?}"));
                }
            }
        }
    }

    #[test]
    fn arrays_come_back(
        items in prop::collection::vec(prop::option::of("[a ,{}\"\\\\NUL]{0,4}"), 0..5),
    ) {
        let items = items.into_iter().map(|item| item.map_or(Datum::Null, Datum::text)).collect();
        let array = Datum::array(Element::Text, items);
        let ty = Type::Array(Element::Text);
        let text = output(&array, ty, &TimeZone::Utc).expect("not NULL");
        prop_assert_eq!(input(&text, ty, &EvalContext::default()).expect("what we printed"), array);
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        for ty in Type::SCALARS.into_iter().chain([Type::Array(Element::Int4)]) {
            drop(input(&text, ty, &EvalContext::default()));
        }
    }
}
