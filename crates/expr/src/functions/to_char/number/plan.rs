//! A number's template taken apart, and whether its patterns go together.

use super::literal;
use crate::error::{Result, SqlError};

/// A pattern, or text to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// `9`
    Nine,
    /// `0`
    Zero,
    /// `.`, `D`
    Point,
    /// `,`, `G`
    Comma,
    /// `L`
    Currency,
    /// `MI`
    Minus,
    /// `PL`
    Plus,
    /// `SG`
    SignHere,
    /// `RN`, `rn`
    Roman {
        lower: bool,
    },
    /// `TH`, `th`
    Ordinal {
        lower: bool,
    },
    /// Patterns that say something but write nothing: `FM`, `S`, `PR`, `V`, `EEEE`, `B`, `C`, `SP`.
    Silent,
    Literal(String),
}

/// Where `S` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignPlace {
    None,
    Before,
    Behind,
}

/// What a template asks for.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) pieces: Vec<Piece>,
    /// Digits in front of the point.
    pub(super) whole: usize,
    /// Digits behind the point.
    pub(super) fraction: usize,
    /// `V`, and how many digits follow it.
    pub(super) multiplied: bool,
    pub(super) shift: usize,
    pub(super) point: bool,
    pub(super) fill: bool,
    /// A `0` was seen in front of the point: how many digits stand before it.
    pub(super) zeros_from: Option<usize>,
    /// How many digits there are up to the last `0`.
    pub(super) zeros_to: usize,
    pub(super) sign: SignPlace,
    /// Digits in front of the first `S`.
    pub(super) digits_before_sign: usize,
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) bracket: bool,
    pub(super) roman: bool,
    pub(super) exponent: bool,
    blank: bool,
    /// Places in front of the number's first digit; told once the number is known.
    pub(super) blanks: usize,
}

/// Patterns, longer ones before those they start with.
const PATTERNS: [&str; 19] = [
    ",", ".", "0", "9", "B", "C", "D", "EEEE", "FM", "G", "L", "MI", "PL", "PR", "RN", "SG", "SP",
    "S", "TH",
];
/// A pattern of two words that is not in the list of those above.
const SHIFT: &str = "V";

impl Plan {
    /// Takes a template apart.
    ///
    /// # Errors
    /// Patterns that exclude each other: `42601`.
    pub(super) fn parse(template: &str) -> Result<Plan> {
        let mut plan = Plan {
            pieces: Vec::new(),
            whole: 0,
            fraction: 0,
            multiplied: false,
            shift: 0,
            point: false,
            fill: false,
            zeros_from: None,
            zeros_to: 0,
            sign: SignPlace::None,
            digits_before_sign: 0,
            minus: false,
            plus: false,
            bracket: false,
            roman: false,
            exponent: false,
            blank: false,
            blanks: 0,
        };
        let mut rest = template;
        while !rest.is_empty() {
            let found = PATTERNS.iter().chain([&SHIFT]).find(|pattern| {
                // A pattern is written in letters of one case.
                rest.starts_with(**pattern) || rest.starts_with(&pattern.to_ascii_lowercase())
            });
            match found {
                Some(pattern) => {
                    let lower = rest.starts_with(|c: char| c.is_ascii_lowercase());
                    plan.note(pattern, lower)?;
                    rest = &rest[pattern.len()..];
                }
                None => {
                    let (text, behind) = literal(rest);
                    plan.pieces.push(Piece::Literal(text));
                    rest = behind;
                }
            }
        }
        Ok(plan)
    }

    fn note(&mut self, pattern: &str, lower: bool) -> Result<()> {
        if self.exponent && pattern != "EEEE" {
            return refuse("\"EEEE\" must be the last pattern used");
        }
        let piece = match pattern {
            "9" | "0" => return self.note_digit(pattern),
            "." | "D" => return self.note_point(),
            "S" | "MI" | "PL" | "SG" | "PR" => return self.note_sign(pattern),
            "EEEE" => return self.note_exponent(),
            "V" if self.point => return refuse("cannot use \"V\" and decimal point together"),
            "V" => {
                self.multiplied = true;
                Piece::Silent
            }
            "FM" => {
                self.fill = true;
                Piece::Silent
            }
            "B" => {
                self.blank |= self.whole == 0 && self.fraction == 0;
                Piece::Silent
            }
            "RN" => {
                self.roman = true;
                Piece::Roman { lower }
            }
            "TH" => Piece::Ordinal { lower },
            "," | "G" => Piece::Comma,
            "L" => Piece::Currency,
            _ => Piece::Silent,
        };
        self.pieces.push(piece);
        Ok(())
    }

    fn note_digit(&mut self, pattern: &str) -> Result<()> {
        if self.bracket {
            return refuse(&format!("\"{pattern}\" must be ahead of \"PR\""));
        }
        if pattern == "9" {
            self.pieces.push(Piece::Nine);
            if self.multiplied {
                self.shift += 1;
            } else if self.point {
                self.fraction += 1;
            } else {
                self.whole += 1;
            }
            return Ok(());
        }
        self.pieces.push(Piece::Zero);
        if self.point {
            self.fraction += 1;
        } else {
            self.zeros_from.get_or_insert(self.whole);
            self.whole += 1;
        }
        self.zeros_to = self.whole + self.fraction;
        Ok(())
    }

    fn note_point(&mut self) -> Result<()> {
        if self.point {
            return refuse("multiple decimal points");
        }
        if self.multiplied {
            return refuse("cannot use \"V\" and decimal point together");
        }
        self.point = true;
        self.pieces.push(Piece::Point);
        Ok(())
    }

    fn note_sign(&mut self, pattern: &str) -> Result<()> {
        let signed = self.sign != SignPlace::None;
        let piece = match pattern {
            "S" if signed => return refuse("cannot use \"S\" twice"),
            "S" if self.plus || self.minus || self.bracket => {
                return refuse("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together");
            }
            "S" => {
                self.sign = if self.point { SignPlace::Behind } else { SignPlace::Before };
                self.digits_before_sign = self.whole;
                Piece::Silent
            }
            "PR" if signed || self.plus || self.minus => {
                return refuse("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together");
            }
            "PR" => {
                self.bracket = true;
                Piece::Silent
            }
            other if signed => {
                return refuse(&format!("cannot use \"S\" and \"{other}\" together"));
            }
            "MI" => {
                self.minus = true;
                Piece::Minus
            }
            "PL" => {
                self.plus = true;
                Piece::Plus
            }
            _ => {
                (self.minus, self.plus) = (true, true);
                Piece::SignHere
            }
        };
        self.pieces.push(piece);
        Ok(())
    }

    fn note_exponent(&mut self) -> Result<()> {
        if self.exponent {
            return refuse("cannot use \"EEEE\" twice");
        }
        let alone = !(self.blank
            || self.fill
            || self.sign != SignPlace::None
            || self.bracket
            || self.minus
            || self.plus
            || self.roman
            || self.multiplied);
        if !alone {
            return Err(SqlError::syntax("\"EEEE\" is incompatible with other formats")
                .with_detail(
                    "\"EEEE\" may only be used together with digit and decimal point patterns.",
                ));
        }
        self.exponent = true;
        self.pieces.push(Piece::Silent);
        Ok(())
    }
}

fn refuse(message: &str) -> Result<()> {
    Err(SqlError::syntax(message))
}
