//! What readers see of numbers.

use super::*;

#[test]
fn three_digits_are_enough() {
    let shown: Vec<String> =
        [0.0, 0.0125, 0.5, 1.5, 14.4, 150.52, 1234.0, 12345.6, -2.25, 99.9].map(short).to_vec();
    let expected =
        ["0", "0.0125", "0.5", "1.5", "14.4", "151", "1234", "12,346", "\u{2212}2.25", "99.9"];
    assert_eq!(shown, expected);
    assert_eq!(whole(-1_234_567), "\u{2212}1,234,567");
    assert_eq!([signed(2.0), signed(-0.5), signed(0.0)], ["+2", "\u{2212}0.5", "0"]);
}

#[test]
fn what_rounds_to_zero_has_no_sign() {
    assert_eq!(fixed(-0.001, 2), "0.00");
}

#[test]
fn a_column_has_one_number_of_decimals() {
    assert_eq!(decimals_for([9.4, 150.5]), 2);
    assert_eq!(decimals_for([0.0, 250.0]), 0);
    assert_eq!(decimals_for([0.000_01]), 3);
    assert_eq!(decimals_for([]), 0);
}

#[test]
fn steps_are_round() {
    let steps = [0.03, 0.1, 0.11, 1.0, 2.5, 5.1, 70.0].map(round_step);
    assert_eq!(steps, [0.05, 0.1, 0.2, 1.0, 5.0, 10.0, 100.0]);
}
