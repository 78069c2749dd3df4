//! Numbers as people read them.

/// Three significant digits, or all digits before the point: `0.0125`, `1.5`, `14.4`, `12,345`.
pub fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return "0".to_owned();
    }
    let decimals = (2.0 - magnitude.log10().floor()).clamp(0.0, 9.0) as usize;
    let text = fixed(value, decimals);
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Like [`short`], with its sign.
pub fn signed(value: f64) -> String {
    let text = short(value.abs());
    match () {
        () if text == "0" => text,
        () if value < 0.0 => format!("\u{2212}{text}"),
        () => format!("+{text}"),
    }
}

/// So many digits after the point, and commas between thousands from 10,000 on.
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at) % 3 == 0 && whole.len() > 4 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = !text.contains(|digit: char| ('1'..='9').contains(&digit));
    let sign = if value < 0.0 && !is_zero { "\u{2212}" } else { "" };
    format!("{sign}{grouped}{rest}")
}

/// A whole number, with commas between thousands from 10,000 on.
pub fn whole(value: i64) -> String {
    let sign = if value < 0 { "\u{2212}" } else { "" };
    // Up to 2^53 a float is exact, and no experiment counts further.
    format!("{sign}{}", fixed(value.unsigned_abs() as f64, 0))
}

/// The digits after the point that show three significant ones of the smallest of these values, at
/// most 3: one number for a whole column, so that its points are below each other.
pub fn decimals_for(values: impl IntoIterator<Item = f64>) -> usize {
    let smallest = values.into_iter().map(f64::abs).filter(|value| *value > 0.0);
    let smallest = smallest.min_by(f64::total_cmp).unwrap_or(100.0);
    (2.0 - smallest.log10().floor()).clamp(0.0, 3.0) as usize
}

/// The digits after the point that tell multiples of a round step apart.
pub fn decimals_of_step(step: f64) -> usize {
    (-(step * 1.000_001).log10().floor()).clamp(0.0, 9.0) as usize
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below `value`.
///
/// # Panics
///
/// If `value` is not above zero.
pub fn round_step(value: f64) -> f64 {
    assert!(value > 0.0 && value.is_finite(), "no step: {value}");
    let exponent = value.log10().floor() as i32;
    let fits = |step: &f64| *step >= value * (1.0 - 1e-9);
    [1.0, 2.0, 5.0]
        .map(|factor| power_of_ten(factor, exponent))
        .into_iter()
        .find(fits)
        .unwrap_or_else(|| power_of_ten(1.0, exponent + 1))
}

/// `factor` times ten to the power; exact where it can be, which a negative `powi` is not.
pub fn power_of_ten(factor: f64, exponent: i32) -> f64 {
    if exponent >= 0 { factor * 10f64.powi(exponent) } else { factor / 10f64.powi(-exponent) }
}

#[cfg(test)]
mod tests;
