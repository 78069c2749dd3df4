//! Means, deviations and regressions.
//!
//! Of integers and decimals the sums of the values and of their squares are exact, and the variance
//! is rounded once. Floats are kept as Youngs and Cramer do: the sum, and the sum of the squared
//! distances from the mean, which grows by what each value (or each other state) adds, so that large
//! numbers close to each other do not cancel.
//!
//! ```text
//! N, Sx, Sxx   and x:   N' = N + 1   Sx' = Sx + x   Sxx' = Sxx + (x N' - Sx')^2 / (N N')
//! ```

use serde::{Deserialize, Serialize};

use crate::{
    datum::Datum,
    decimal::Decimal,
    error::{Result, SqlError},
    eval::arithmetic::checked_float,
};

/// How far values are spread around their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Spread {
    /// `var_pop(x)`: of all values.
    VarPop,
    /// `var_samp(x)`, `variance(x)`: of a sample; NULL of fewer than two.
    VarSamp,
    /// `stddev_pop(x)`: the square root of `var_pop(x)`.
    StddevPop,
    /// `stddev_samp(x)`, `stddev(x)`: the square root of `var_samp(x)`.
    StddevSamp,
}

/// What `f(y, x)` tells of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Regression {
    /// `corr(y, x)`.
    Corr,
    /// `covar_pop(y, x)`.
    CovarPop,
    /// `covar_samp(y, x)`.
    CovarSamp,
    /// `regr_avgx(y, x)`.
    AvgX,
    /// `regr_avgy(y, x)`.
    AvgY,
    /// `regr_count(y, x)`.
    Count,
    /// `regr_intercept(y, x)`.
    Intercept,
    /// `regr_r2(y, x)`.
    R2,
    /// `regr_slope(y, x)`.
    Slope,
    /// `regr_sxx(y, x)`.
    Sxx,
    /// `regr_sxy(y, x)`.
    Sxy,
    /// `regr_syy(y, x)`.
    Syy,
}

impl Regression {
    /// The aggregate's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Regression::Corr => "corr",
            Regression::CovarPop => "covar_pop",
            Regression::CovarSamp => "covar_samp",
            Regression::AvgX => "regr_avgx",
            Regression::AvgY => "regr_avgy",
            Regression::Count => "regr_count",
            Regression::Intercept => "regr_intercept",
            Regression::R2 => "regr_r2",
            Regression::Slope => "regr_slope",
            Regression::Sxx => "regr_sxx",
            Regression::Sxy => "regr_sxy",
            Regression::Syy => "regr_syy",
        }
    }
}

impl Spread {
    const fn is_root(self) -> bool {
        matches!(self, Spread::StddevPop | Spread::StddevSamp)
    }

    const fn is_of_sample(self) -> bool {
        matches!(self, Spread::VarSamp | Spread::StddevSamp)
    }
}

/// About what an exact quotient or root of short numbers takes.
pub(super) const QUOTIENT: usize = 500;

/// An infinity that came of finite numbers: `22003`.
fn overflow() -> SqlError {
    match checked_float(f64::INFINITY, false, true) {
        Err(error) => error,
        Ok(_) => SqlError::internal("an infinity that is none"),
    }
}

/// Floats seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    count: f64,
    sum: f64,
    /// The sum of squared distances from the mean; NaN once a value was not finite.
    spread: f64,
}

impl Moments {
    pub(super) fn add(&mut self, value: f64) -> Result<()> {
        let before = *self;
        self.count += 1.0;
        self.sum += value;
        if before.count == 0.0 {
            if !value.is_finite() {
                self.spread = f64::NAN;
            }
            return Ok(());
        }
        let distance = value * self.count - self.sum;
        self.spread += distance * distance / (self.count * before.count);
        if self.sum.is_infinite() || self.spread.is_infinite() {
            if !before.sum.is_infinite() && !value.is_infinite() {
                return Err(overflow());
            }
            self.spread = f64::NAN;
        }
        Ok(())
    }

    pub(super) const fn partial(&self) -> [f64; 3] {
        [self.count, self.sum, self.spread]
    }

    pub(super) fn merge(&mut self, [count, sum, spread]: [f64; 3]) -> Result<()> {
        let (before, other) = (*self, Moments { count, sum, spread });
        if before.count == 0.0 || other.count == 0.0 {
            *self = if before.count == 0.0 { other } else { before };
            return Ok(());
        }
        self.count += other.count;
        self.sum = super::float_sum(before.sum, other.sum, crate::types::Type::Float8)?;
        let distance = before.sum / before.count - other.sum / other.count;
        self.spread = before.spread
            + other.spread
            + before.count * other.count * distance * distance / self.count;
        let was_finite = !before.spread.is_infinite() && !other.spread.is_infinite();
        if self.spread.is_infinite() && was_finite { Err(overflow()) } else { Ok(()) }
    }

    pub(super) fn average(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }

    pub(super) fn spread(&self, spread: Spread) -> Option<f64> {
        let divisor = if spread.is_of_sample() { self.count - 1.0 } else { self.count };
        let variance = (divisor > 0.0).then(|| self.spread / divisor)?;
        Some(if spread.is_root() { variance.sqrt() } else { variance })
    }
}

/// Integers and decimals seen so far.
#[derive(Clone, Debug)]
pub(super) struct Exact {
    count: i64,
    sum: Decimal,
    squares: Decimal,
}

impl Default for Exact {
    fn default() -> Exact {
        Exact { count: 0, sum: Decimal::zero(), squares: Decimal::zero() }
    }
}

impl Exact {
    pub(super) fn add(&mut self, value: &Datum) -> Result<()> {
        let value = match value {
            Datum::Int(value) => Decimal::from(*value),
            Datum::Numeric(value) => (**value).clone(),
            other => return Err(SqlError::internal(format!("{other:?} is no exact number"))),
        };
        self.count += 1;
        self.sum = self.sum.add(&value)?;
        self.squares = self.squares.add(&value.mul(&value)?)?;
        Ok(())
    }

    pub(super) fn partial(&self) -> Vec<Datum> {
        let sums = [&self.sum, &self.squares].map(|sum| Datum::numeric(sum.clone()));
        [vec![Datum::Int(self.count)], sums.into()].concat()
    }

    pub(super) fn merge(&mut self, count: i64, sum: &Datum, squares: &Datum) -> Result<()> {
        let (Datum::Numeric(sum), Datum::Numeric(squares)) = (sum, squares) else {
            return Err(SqlError::corrupted("the partial sums of an aggregate"));
        };
        self.count += count;
        self.sum = self.sum.add(sum)?;
        self.squares = self.squares.add(squares)?;
        Ok(())
    }

    pub(super) fn memory(&self) -> usize {
        self.sum.memory() + self.squares.memory()
    }

    pub(super) fn work_to_finish(&self) -> usize {
        2 * QUOTIENT + 4 * self.squares.steps_with(&self.squares)
    }

    pub(super) fn spread(&self, spread: Spread) -> Result<Datum> {
        let least = if spread.is_of_sample() { 1 } else { 0 };
        if self.count <= least {
            return Ok(Datum::Null);
        }
        if self.sum.scale().is_none() || self.squares.scale().is_none() {
            return Ok(Datum::numeric(Decimal::NaN));
        }
        let count = Decimal::from(self.count);
        let squared_sum = self.sum.mul(&self.sum)?;
        let distance = count.mul(&self.squares)?.sub(&squared_sum)?;
        if distance.signum() <= 0 {
            return Ok(Datum::numeric(Decimal::zero()));
        }
        let variance = distance.div(&count.mul(&Decimal::from(self.count - least))?)?;
        Ok(Datum::numeric(if spread.is_root() { variance.sqrt_of_own_scale() } else { variance }))
    }
}

/// Pairs of floats seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pairs {
    count: f64,
    sum_x: f64,
    spread_x: f64,
    sum_y: f64,
    spread_y: f64,
    /// The sum of the products of both distances from the means.
    common: f64,
}

impl Pairs {
    pub(super) fn add(&mut self, y: f64, x: f64) -> Result<()> {
        let before = *self;
        self.count += 1.0;
        self.sum_x += x;
        self.sum_y += y;
        if before.count == 0.0 {
            let spoiled = |value: f64| if value.is_finite() { 0.0 } else { f64::NAN };
            (self.spread_x, self.spread_y) = (spoiled(x), spoiled(y));
            self.common = spoiled(x) + spoiled(y);
            return Ok(());
        }
        let (far_x, far_y) = (x * self.count - self.sum_x, y * self.count - self.sum_y);
        let scale = 1.0 / (self.count * before.count);
        self.spread_x += far_x * far_x * scale;
        self.spread_y += far_y * far_y * scale;
        self.common += far_x * far_y * scale;
        let finite_x = !before.sum_x.is_infinite() && !x.is_infinite();
        let finite_y = !before.sum_y.is_infinite() && !y.is_infinite();
        let over_x = self.sum_x.is_infinite() || self.spread_x.is_infinite();
        let over_y = self.sum_y.is_infinite() || self.spread_y.is_infinite();
        if (over_x && finite_x)
            || (over_y && finite_y)
            || (self.common.is_infinite() && finite_x && finite_y)
        {
            return Err(overflow());
        }
        for spread in [&mut self.spread_x, &mut self.spread_y, &mut self.common] {
            if spread.is_infinite() {
                *spread = f64::NAN;
            }
        }
        Ok(())
    }

    pub(super) const fn partial(&self) -> [f64; 6] {
        [self.count, self.sum_x, self.spread_x, self.sum_y, self.spread_y, self.common]
    }

    pub(super) fn merge(&mut self, partial: [f64; 6]) -> Result<()> {
        let [count, sum_x, spread_x, sum_y, spread_y, common] = partial;
        let other = Pairs { count, sum_x, spread_x, sum_y, spread_y, common };
        let before = *self;
        if before.count == 0.0 || other.count == 0.0 {
            *self = if before.count == 0.0 { other } else { before };
            return Ok(());
        }
        let mut x = Moments { count: before.count, sum: before.sum_x, spread: before.spread_x };
        let mut y = Moments { count: before.count, sum: before.sum_y, spread: before.spread_y };
        x.merge([other.count, other.sum_x, other.spread_x])?;
        y.merge([other.count, other.sum_y, other.spread_y])?;
        let far_x = before.sum_x / before.count - other.sum_x / other.count;
        let far_y = before.sum_y / before.count - other.sum_y / other.count;
        let common =
            before.common + other.common + before.count * other.count * far_x * far_y / x.count;
        if common.is_infinite() && !before.common.is_infinite() && !other.common.is_infinite() {
            return Err(overflow());
        }
        *self = Pairs {
            count: x.count,
            sum_x: x.sum,
            spread_x: x.spread,
            sum_y: y.sum,
            spread_y: y.spread,
            common,
        };
        Ok(())
    }

    pub(super) fn finish(&self, what: Regression) -> Datum {
        let Pairs { count, sum_x, spread_x, sum_y, spread_y, common } = *self;
        if what == Regression::Count {
            return Datum::Int(count as i64);
        }
        let defined = match what {
            Regression::CovarSamp => count > 1.0,
            Regression::Corr => count > 0.0 && spread_x != 0.0 && spread_y != 0.0,
            Regression::R2 | Regression::Slope | Regression::Intercept => {
                count > 0.0 && spread_x != 0.0
            }
            _ => count > 0.0,
        };
        if !defined {
            return Datum::Null;
        }
        Datum::Float(match what {
            Regression::Corr => common / (spread_x * spread_y).sqrt(),
            Regression::CovarPop => common / count,
            Regression::CovarSamp => common / (count - 1.0),
            Regression::AvgX => sum_x / count,
            Regression::AvgY => sum_y / count,
            Regression::Count => count,
            Regression::Intercept => (sum_y - sum_x * common / spread_x) / count,
            Regression::R2 if spread_y == 0.0 => 1.0,
            Regression::R2 => common * common / (spread_x * spread_y),
            Regression::Slope => common / spread_x,
            Regression::Sxx => spread_x,
            Regression::Sxy => common,
            Regression::Syy => spread_y,
        })
    }
}
