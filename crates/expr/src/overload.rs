//! Which of several functions or operators of one name a call means.
//!
//! PostgreSQL's procedure, in its order: an exact match wins; else drop what no implicit cast makes
//! fit; else prefer most exact matches, then most preferred types, then guess for literals of
//! unknown type: text if anything takes text, else the one family that all take. What is left must
//! be one.

use crate::{
    cast::can_cast,
    expr::CastContext,
    types::{Category, Type},
};

/// The outcome of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The candidate at this place.
    One(usize),
    /// None takes such arguments.
    None,
    /// Several do, none better than the others.
    Ambiguous,
}

/// Chooses among candidates, all of which take as many arguments as are given.
pub(crate) fn choose(candidates: &[&[Type]], args: &[Type]) -> Choice {
    let exact = |candidate: &[Type]| {
        candidate.iter().zip(args).all(|(wanted, given)| wanted.same_base(*given))
    };
    if let Some(found) = candidates.iter().position(|candidate| exact(candidate)) {
        return Choice::One(found);
    }
    let mut left: Vec<usize> = (0..candidates.len())
        .filter(|at| {
            let mut pairs = candidates[*at].iter().zip(args);
            pairs.all(|(wanted, given)| can_cast(*given, *wanted, CastContext::Implicit))
        })
        .collect();
    let known = |place: usize| args[place] != Type::Unknown;
    keep_best(&mut left, |at| {
        count(args.len(), |place| known(place) && candidates[at][place].same_base(args[place]))
    });
    keep_best(&mut left, |at| {
        count(args.len(), |place| {
            let (wanted, given) = (candidates[at][place], args[place]);
            let preferred = wanted.is_preferred() && wanted.category() == given.category();
            known(place) && (wanted.same_base(given) || preferred)
        })
    });
    if left.len() > 1 {
        guess_unknown(candidates, args, &mut left);
    }
    match left.as_slice() {
        [] => Choice::None,
        [one] => Choice::One(*one),
        _ => Choice::Ambiguous,
    }
}

fn count(places: usize, test: impl Fn(usize) -> bool) -> usize {
    (0..places).filter(|place| test(*place)).count()
}

fn keep_best(left: &mut Vec<usize>, score: impl Fn(usize) -> usize) {
    let best = left.iter().map(|at| score(*at)).max().unwrap_or(0);
    left.retain(|at| score(*at) == best);
}

/// Narrows by what the literals of unknown type could be.
fn guess_unknown(candidates: &[&[Type]], args: &[Type], left: &mut Vec<usize>) {
    let unknown: Vec<usize> =
        (0..args.len()).filter(|place| args[*place] == Type::Unknown).collect();
    if unknown.is_empty() {
        return;
    }
    let families: Option<Vec<Category>> = unknown
        .iter()
        .map(|place| {
            let mut taken = left.iter().map(|at| candidates[*at][*place].category());
            let first = taken.next()?;
            let all = std::iter::once(first).chain(taken);
            let families: Vec<Category> = all.collect();
            if families.contains(&Category::String) {
                return Some(Category::String);
            }
            families.iter().all(|family| *family == first).then_some(first)
        })
        .collect();
    if let Some(families) = families {
        let mut narrowed = left.clone();
        for (place, family) in unknown.iter().zip(families) {
            let in_family = |at: &usize| candidates[*at][*place].category() == family;
            let preferred = |at: &usize| in_family(at) && candidates[*at][*place].is_preferred();
            let any_preferred = narrowed.iter().any(preferred);
            narrowed.retain(|at| if any_preferred { preferred(at) } else { in_family(at) });
        }
        if !narrowed.is_empty() {
            *left = narrowed;
        }
    }
    // Last: take the literals to be what all other arguments are.
    let mut known = args.iter().filter(|ty| **ty != Type::Unknown);
    if left.len() > 1
        && let Some(first) = known.next()
        && known.all(|ty| ty.same_base(*first))
    {
        let matching: Vec<usize> = left
            .iter()
            .copied()
            .filter(|at| {
                unknown
                    .iter()
                    .all(|place| can_cast(*first, candidates[*at][*place], CastContext::Implicit))
            })
            .collect();
        if matching.len() == 1 {
            *left = matching;
        }
    }
}
