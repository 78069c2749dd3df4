//! The digits of a number, put where the template's patterns are.
//!
//! Patterns of digits are counted from the left; a number with fewer digits than there are patterns
//! begins behind some blanks. The sign stands right before the first thing written: a digit, or a
//! zero that a `0` asks for.

use super::{Digits, Piece, Plan, ROMAN_WIDTH, ordinal, plan::SignPlace};
use crate::error::{Result, SqlError, SqlState};

struct Writer<'a> {
    plan: &'a Plan,
    negative: bool,
    number: Vec<char>,
    /// The digit that comes next.
    at: usize,
    /// Patterns of digits and points gone through.
    place: usize,
    /// How many there will be.
    places: usize,
    /// The sign is written, or has a pattern of its own.
    signed: bool,
    /// Brackets for a negative number.
    bracket: bool,
    sign: SignPlace,
    /// Whether a digit was the last thing written: commas stand behind digits only.
    inside: bool,
    /// Without filling: the last digit behind the point that is not zero, or the point.
    last_relevant: Option<usize>,
    out: String,
    /// Where a pattern found no digit left: what comes behind is not shown.
    cut: Option<usize>,
}

/// # Errors
/// An ordinal of what is no number: `22P02`.
pub(super) fn write(plan: &Plan, digits: Digits) -> Result<String> {
    let number: Vec<char> = digits.text.chars().collect();
    let mut writer = Writer::new(plan, digits.negative, number);
    for piece in &plan.pieces {
        writer.piece(piece, &digits.text)?;
    }
    let Writer { mut out, cut, .. } = writer;
    out.truncate(cut.unwrap_or(out.len()));
    Ok(out)
}

impl Writer<'_> {
    fn new(plan: &Plan, negative: bool, number: Vec<char>) -> Writer<'_> {
        let mut sign = plan.sign;
        let (mut bracket, signed) = (plan.bracket, plan.plus || plan.minus);
        let own_place = signed && plan.minus;
        let mut written = own_place;
        if !signed {
            if !negative && plan.fill {
                bracket = false;
            }
            written = !negative && plan.fill && sign == SignPlace::None;
            // Behind all digits, `S` stands at the end.
            if sign == SignPlace::Before && plan.whole == plan.digits_before_sign {
                sign = SignPlace::Behind;
            }
        }
        let mut last_relevant = None;
        if plan.fill && plan.point {
            last_relevant = last_relevant_digit(&number);
            if let Some(last) = last_relevant
                && plan.zeros_to > plan.blanks
            {
                let last_zero = (number.len() - 1).min(plan.zeros_to - plan.blanks);
                last_relevant = Some(last.max(last_zero));
            }
        }
        let places = plan.fraction + plan.whole + usize::from(!written && plan.blanks == 0);
        Writer {
            plan,
            negative,
            number,
            at: 0,
            place: 0,
            places,
            signed: written,
            bracket,
            sign,
            inside: false,
            last_relevant,
            out: String::new(),
            cut: None,
        }
    }

    fn piece(&mut self, piece: &Piece, text: &str) -> Result<()> {
        let fill = self.plan.fill;
        match piece {
            Piece::Nine | Piece::Zero | Piece::Point => self.digit(*piece == Piece::Zero),
            Piece::Comma if self.inside => self.out.push(','),
            Piece::Comma if fill => {}
            Piece::Comma | Piece::Currency => self.out.push(' '),
            Piece::Minus if self.negative => self.out.push('-'),
            // Roman numerals have no sign.
            Piece::Plus if !self.negative && !self.plan.roman => self.out.push('+'),
            Piece::Minus | Piece::Plus if fill => {}
            Piece::Minus | Piece::Plus => self.out.push(' '),
            Piece::SignHere if self.plan.roman => self.cut_here(),
            Piece::SignHere => self.out.push(if self.negative { '-' } else { '+' }),
            Piece::Roman { lower } => {
                let numerals = if *lower { text.to_lowercase() } else { text.to_owned() };
                if fill {
                    self.out.push_str(&numerals);
                } else {
                    self.out.extend(std::iter::repeat_n(
                        ' ',
                        ROMAN_WIDTH.saturating_sub(numerals.len()),
                    ));
                    self.out.push_str(&numerals);
                }
            }
            Piece::Ordinal { lower } => {
                let shown = !self.plan.roman
                    && !text.starts_with('#')
                    && !self.negative
                    && !self.plan.point;
                if shown {
                    let suffix = ordinal(text).ok_or_else(|| no_number(text))?;
                    let upper = suffix.to_uppercase();
                    self.out.push_str(if *lower { suffix } else { &upper });
                }
            }
            Piece::Silent => {}
            Piece::Literal(text) => self.out.push_str(text),
        }
        Ok(())
    }

    fn cut_here(&mut self) {
        self.cut.get_or_insert(self.out.len());
    }

    fn current(&self) -> Option<char> {
        self.number.get(self.at).copied()
    }

    /// Whether the number's one zero in front of a point is left out: `.5`.
    fn skips_zero(&self) -> bool {
        self.plan.zeros_from.is_none()
            && self.at == 0
            && self.number.first() == Some(&'0')
            && self.plan.fraction != 0
    }

    /// Whether nothing but zeros follows the point.
    fn ends_at_point(&self) -> bool {
        self.last_relevant.is_some_and(|last| self.number.get(last) == Some(&'.'))
    }

    fn digit(&mut self, is_zero: bool) {
        if self.plan.roman {
            return;
        }
        self.inside = false;
        let zero_now = self.plan.zeros_from.is_some_and(|from| from <= self.place);
        let begins = self.place >= self.plan.blanks
            || self.plan.zeros_from.is_some_and(|from| from == self.place);
        if !self.signed && begins && (!self.skips_zero() || self.ends_at_point()) {
            self.write_sign();
        }
        if self.place < self.plan.blanks {
            if zero_now {
                self.out.push('0');
                self.inside = true;
            } else if !self.plan.fill {
                self.out.push(' ');
            }
        } else {
            self.write_digit(is_zero);
            self.at = (self.at + 1).min(self.number.len());
        }
        let mut end = self.places + usize::from(self.plan.point);
        end = if self.plan.blanks == 0 { end - 1 } else { end };
        if self.last_relevant == Some(self.at) {
            end = self.place;
        }
        if self.place + 1 == end {
            self.write_sign_behind();
        }
        self.place += 1;
    }

    fn write_sign(&mut self) {
        if self.sign != SignPlace::None {
            if self.sign == SignPlace::Before {
                self.out.push(if self.negative { '-' } else { '+' });
                self.signed = true;
            }
            return;
        }
        match (self.negative, self.bracket) {
            (false, true) => self.out.push(' '),
            (true, true) => self.out.push('<'),
            (true, false) => self.out.push('-'),
            (false, false) if self.plan.fill => {}
            (false, false) => self.out.push(' '),
        }
        self.signed = true;
    }

    fn write_sign_behind(&mut self) {
        if self.signed && self.bracket {
            self.out.push(if self.negative { '>' } else { ' ' });
        } else if self.sign == SignPlace::Behind {
            self.out.push(if self.negative { '-' } else { '+' });
        }
    }

    fn write_digit(&mut self, is_zero: bool) {
        let digit = self.current();
        if digit == Some('.') {
            self.out.push('.');
        } else if self.last_relevant.is_some_and(|last| self.at > last) && !is_zero {
            // Zeros at the end are not shown.
        } else if self.skips_zero() {
            if !self.plan.fill {
                self.out.push(' ');
            } else if self.ends_at_point() {
                // A point does not stand alone: `0.`
                self.out.push('0');
            }
        } else {
            match digit {
                Some(digit) => self.out.push(digit),
                None => self.cut_here(),
            }
            self.inside = true;
        }
    }
}

fn no_number(text: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("\"{text}\" is not a number"))
}

/// The last digit behind the point that is not zero, or the point; `None` if there is no point.
fn last_relevant_digit(number: &[char]) -> Option<usize> {
    let point = number.iter().position(|c| *c == '.')?;
    let behind = number.iter().rposition(|c| *c != '0').unwrap_or(point);
    Some(behind.max(point))
}
