//! Cycles of dependencies, from the worst to the mildest, each with its name.
//!
//! One search per class of cycles, each following more edges than the one before:
//!
//! | search follows | a new cycle is |
//! |---|---|
//! | ww | G0 |
//! | ww wr | G1c |
//! | ww wr rw, no two rw in a row | G-single, G-nonadjacent, long fork |
//! | ww wr rw | G2-item, write skew, G2 |
//! | the last three with the order of processes | the same, `-process` |
//! | the last three with that of real time | the same, `-realtime` |
//!
//! "New" means: none of its component's transactions was in a component of an earlier search, of
//! those by data alone or of those by time. The searches follow the chain of models
//! ([`crate::Model`]), so what is passed over lies beside something at least as bad, and a verdict
//! never depends on it.

use crate::{
    Kind, Order,
    explain::Explainer,
    graph::{AdjacentRw, EdgeKind, Follow, Graph, Hop},
    index::{Index, KeyKind, TxnId},
    report::{Found, Report},
};

/// In each search, of so many components the shortest cycle is found; the others are counted.
const MAX_CYCLES: usize = 16;

/// Finds and names cycles. `lost` are transactions whose lost updates were reported already.
pub(crate) fn judge<'h>(
    index: &Index<'h>,
    graph: &Graph,
    report: &mut Report<'h>,
    realtime: bool,
    lost: &[TxnId],
) {
    let all = searches(realtime);
    let widest = all.last().expect("there are searches");
    let everywhere = vec![true; graph.nodes()];
    let anywhere = graph.components(*widest, &everywhere);
    let mut on_cycles = vec![false; graph.nodes()];
    for state in anywhere.members.iter().flatten() {
        on_cycles[*state as usize / 2] = true;
    }
    let nobody = vec![false; graph.nodes()];
    // By data alone, and by the orders of processes and time.
    let mut explained = [nobody.clone(), nobody];
    for (at, follow) in all.iter().enumerate() {
        if at == SEARCHES_BEFORE_SNAPSHOT {
            lost.iter().for_each(|txn| explained[0][txn.at()] = true);
        }
        let by_time = follow.kinds.has(EdgeKind::PROCESS);
        let components = graph.components(*follow, &on_cycles);
        let (mut searched, mut passed_over) = (0, 0);
        for (number, members) in components.members.iter().enumerate() {
            let among = |nodes: &[bool]| members.iter().any(|state| nodes[*state as usize / 2]);
            let by_data_already = among(&explained[0]);
            let is_known = if by_time { among(&explained[1]) } else { by_data_already };
            let known = &mut explained[usize::from(by_time)];
            members.iter().for_each(|state| known[*state as usize / 2] = true);
            if is_known {
                continue;
            }
            if searched == MAX_CYCLES {
                passed_over += 1;
                continue;
            }
            searched += 1;
            let need = if by_data_already { TIME } else { EdgeKind::NONE };
            if let Some(cycle) = graph.shortest_cycle(*follow, &components, number, need) {
                add(index, report, from_the_earliest(index, cycle));
            }
        }
        if passed_over > 0 {
            let cycles = follow.describe();
            report
                .note(format!("{passed_over} more groups of transactions have cycles of {cycles}"));
        }
    }
}

/// The orders that come from outside the data.
const TIME: EdgeKind = EdgeKind::PROCESS.and(EdgeKind::REALTIME).and(EdgeKind::BY_REALTIME);

/// Those for G0 and G1c.
const SEARCHES_BEFORE_SNAPSHOT: usize = 2;

fn searches(realtime: bool) -> Vec<Follow> {
    let ww_wr = EdgeKind::WW.and(EdgeKind::WR);
    let with_rw = ww_wr.and(EdgeKind::RW);
    let mut all = vec![Follow { kinds: EdgeKind::WW, rw: AdjacentRw::Allowed }];
    let orders = [EdgeKind::NONE, EdgeKind::PROCESS, TIME];
    let orders = if realtime { &orders[..] } else { &orders[..1] };
    for order in orders {
        all.push(Follow { kinds: ww_wr.and(*order), rw: AdjacentRw::Allowed });
        all.push(Follow { kinds: with_rw.and(*order), rw: AdjacentRw::Forbidden });
        all.push(Follow { kinds: with_rw.and(*order), rw: AdjacentRw::Allowed });
    }
    all
}

impl Follow {
    fn describe(self) -> String {
        let names = [
            (EdgeKind::WW, "ww"),
            (EdgeKind::WR, "wr"),
            (EdgeKind::RW, "rw"),
            (EdgeKind::PROCESS, "process"),
            (EdgeKind::REALTIME, "realtime"),
        ];
        let followed = names.into_iter().filter(|(kind, _)| self.kinds.has(*kind));
        followed.map(|(_, name)| name).collect::<Vec<_>>().join(", ")
    }
}

fn from_the_earliest(index: &Index<'_>, mut cycle: Vec<Hop>) -> Vec<Hop> {
    let begin = |at: &usize| {
        let op = index.op(cycle[*at].from);
        (op.invoked, op.index)
    };
    let earliest = (0..cycle.len()).min_by_key(begin).expect("a cycle has hops");
    cycle.rotate_left(earliest);
    cycle
}

fn add<'h>(index: &Index<'h>, report: &mut Report<'h>, cycle: Vec<Hop>) {
    let (kind, order) = classify(index, &cycle);
    report.add(kind, order, || {
        let explainer = Explainer { index, cycle: &cycle };
        Found {
            ops: cycle.iter().map(|hop| index.txn(hop.from).op).collect(),
            keys: explainer.keys(),
            edges: explainer.edges(),
            explanation: explainer.summary(),
        }
    });
}

/// The name of a cycle.
fn classify(index: &Index<'_>, cycle: &[Hop]) -> (Kind, Order) {
    let any = |kind: EdgeKind| cycle.iter().any(|hop| hop.kind.has(kind));
    let order = if any(EdgeKind::REALTIME.and(EdgeKind::BY_REALTIME)) {
        Order::Realtime
    } else if any(EdgeKind::PROCESS) {
        Order::Process
    } else {
        Order::Data
    };
    let is_rw = |at: usize| cycle[at % cycle.len()].kind.has(EdgeKind::RW);
    let rw = (0..cycle.len()).filter(|at| is_rw(*at)).count();
    let adjacent = (0..cycle.len()).any(|at| is_rw(at) && is_rw(at + 1));
    let kind = match rw {
        0 if any(EdgeKind::WR) => Kind::G1c,
        0 => Kind::G0,
        1 => Kind::GSingle,
        _ if !adjacent => {
            let reads_and_missed = cycle.iter().all(|hop| !hop.kind.has(EdgeKind::WW));
            let is_fork = order == Order::Data && cycle.len() == 4 && reads_and_missed;
            if is_fork { Kind::LongFork } else { Kind::GNonadjacent }
        }
        _ if over_a_predicate(index, cycle) => Kind::G2,
        2 if cycle.len() == 2 && order == Order::Data => Kind::WriteSkew,
        _ => Kind::G2Item,
    };
    (kind, order)
}

fn over_a_predicate(index: &Index<'_>, cycle: &[Hop]) -> bool {
    cycle.iter().any(|hop| {
        let key = hop.about.key.filter(|_| hop.kind.has(EdgeKind::RW));
        key.is_some_and(|key| index.kind(key) == KeyKind::Set)
    })
}
