//! Golden scripts: `testscripts/locks/`. `UPDATE_GOLDENFILES=1` rewrites them.

use std::{error::Error, fmt::Write as _};

use goldenscript::{ArgumentConsumer, Command, Context};
use keys::{Key, RangeId, Span, TxnId};
use kv::{ConflictKind, LockWait, TxnMeta};

use super::{at, meta, request};
use crate::locks::{Acquired, LockEffects, LockLimits, LockRequest, LockTable, Refusal, RequestId};

#[test]
fn scripts() -> std::io::Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir("testscripts/locks")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    assert!(!paths.is_empty(), "no scripts");
    for path in paths {
        println!("{}", path.display());
        let table = LockTable::new(LockLimits { locks: 20, bytes: 60, waiting: 4, wounded: 2 });
        goldenscript::run(&mut Script { table, right: None }, path)?;
    }
    Ok(())
}

/// Runs the commands of a script against one table. Transactions are `t1`, `t2` ...: lower is older.
/// A retry of `t1` is `t1r`. Requests are `r1`, `r2` ...; keys are words.
struct Script {
    table: LockTable,
    /// The other half after a split.
    right: Option<LockTable>,
}

impl goldenscript::Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, context: &Context) -> Result<String, Box<dyn Error>> {
        let mut out = LockEffects::default();
        let mut text = self.step(command, context, &mut out)?;
        self.table.assert_consistent();
        write_effects(&out, &mut text)?;
        Ok(text)
    }
}

impl Script {
    /// The commands. With the prefix `right:` they go to the right half of a split table.
    fn step(
        &mut self,
        command: &Command,
        context: &Context,
        out: &mut LockEffects,
    ) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let mut table = &mut self.table;
        if context.prefix.as_deref() == Some("right") {
            table = self.right.as_mut().ok_or("not split yet")?;
        }
        let mut text = String::new();
        match command.name.as_str() {
            // acquire TXN REQUEST [x=KEY.KEY...] [s=KEY.FROM-TO...] [nowait]
            "acquire" => {
                let request = parse_acquire(&mut args)?;
                writeln!(text, "{}", show_acquired(&table.acquire(request, out)))?;
            }
            // cancel REQUEST: it waits no longer
            "cancel" => {
                table.cancel(parse_request(args.next_pos().ok_or("which request?")?)?, out);
            }
            // prepared TXN: it answered a prepare
            "prepared" => {
                table.mark_prepared(parse_txn(args.next_pos().ok_or("who?")?)?.id);
            }
            // pending TXN TIMESTAMP: its writes are proposed
            "pending" => {
                let txn = parse_txn(args.next_pos().ok_or("who?")?)?.id;
                table.set_pending(txn, at(args.next_pos().ok_or("when?")?.parse()?));
            }
            // release TXN: its outcome is known
            "release" => table.release(parse_txn(args.next_pos().ok_or("who?")?)?.id, out),
            // wound TXN by=TXN
            "wound" => {
                let winner = parse_txn(args.take_key("by").ok_or("by whom?")?)?.id;
                let txn = parse_txn(args.next_pos().ok_or("who?")?)?.id;
                writeln!(text, "{:?}", table.wound(txn, wounded_by(winner), out))?;
            }
            // intent KEY TXN TIMESTAMP: found in storage
            "intent" => {
                let key = Key::from(args.next_pos().ok_or("where?")?);
                let txn = parse_txn(args.next_pos().ok_or("whose?")?)?;
                table.hold_intent(key, &txn, at(args.next_pos().ok_or("when?")?.parse()?));
            }
            // read REQUEST SPANS at=TIMESTAMP [as=TXN]
            "read" => {
                let reader = args.take_key("as").map(parse_txn).transpose()?;
                let snapshot = at(args.take_key("at").ok_or("when?")?.parse()?);
                let id = parse_request(args.next_pos().ok_or("which request?")?)?;
                let spans = parse_spans(args.next_pos().ok_or("what?")?);
                let acquired = table.wait_read(id, &spans, snapshot, reader, out);
                writeln!(text, "{}", show_acquired(&acquired))?;
            }
            // pushes: whom to ask about; list: everything held or waited for
            "pushes" | "list" => show_state(table, &command.name, &mut text)?,
            // split KEY: divides the table
            "split" => {
                let key = Key::from(args.next_pos().ok_or("where?")?);
                let right = table.split(&key, out);
                right.assert_consistent();
                self.right = Some(right);
            }
            other => return Err(format!("unknown command {other}").into()),
        }
        args.reject_next()?;
        Ok(text)
    }
}

fn show_state(table: &LockTable, what: &str, text: &mut String) -> std::fmt::Result {
    if what == "list" {
        return table.list(RangeId(1)).iter().try_for_each(|info| show_lock(info, text));
    }
    table.pushes().iter().try_for_each(|push| writeln!(text, "{}", show_push(push)))
}

fn parse_acquire(args: &mut ArgumentConsumer<'_>) -> Result<LockRequest, Box<dyn Error>> {
    let txn = parse_txn(args.next_pos().ok_or("whose?")?)?;
    let id = parse_request(args.next_pos().ok_or("which request?")?)?;
    let exclusive =
        args.take_key("x").map_or(vec![], |keys| keys.split('.').map(Key::from).collect());
    let shared = args.take_key("s").map_or(vec![], parse_spans);
    let wait = args.next_pos().map_or(LockWait::Wait, |_| LockWait::NoWait);
    Ok(LockRequest { id, txn, shared, exclusive, wait })
}

fn wounded_by(winner: keys::TxnId) -> kv::Conflict {
    let span = Span::point(Key::from("k"));
    kv::Conflict { kind: ConflictKind::Wounded, span, winner: Some(winner), at: None }
}

fn show_lock(info: &kv::LockInfo, text: &mut String) -> std::fmt::Result {
    let kind = if info.exclusive { "exclusive" } else { "shared" };
    write!(text, "{} {kind} {}", name(info.txn.id), show_span(&info.span))?;
    if info.prepared {
        write!(text, " prepared")?;
    }
    if !info.waits_for.is_empty() {
        write!(text, " waits for {}", names(&info.waits_for))?;
    }
    writeln!(text)
}

fn parse_txn(text: &str) -> Result<TxnMeta, Box<dyn Error>> {
    let (name, attempt) = match text.strip_suffix('r') {
        Some(name) => (name, 1),
        None => (text, 0),
    };
    let number = name.strip_prefix('t').ok_or_else(|| format!("no transaction: {text}"))?;
    Ok(meta(number.parse()?, attempt))
}

fn parse_request(text: &str) -> Result<RequestId, Box<dyn Error>> {
    let number = text.strip_prefix('r').ok_or_else(|| format!("no request: {text}"))?;
    Ok(request(number.parse()?))
}

/// `a.c-f`: the key `a`, and the span from `c` to before `f`.
fn parse_spans(text: &str) -> Vec<Span> {
    let span = |part: &str| match part.split_once('-') {
        Some((start, end)) => Span::new(start, end),
        None => Span::point(Key::from(part)),
    };
    text.split('.').map(span).collect()
}

fn show_span(span: &Span) -> String {
    let text = |key: &Key| String::from_utf8_lossy(key).into_owned();
    if span.is_point() {
        text(&span.start)
    } else {
        format!("{}-{}", text(&span.start), text(&span.end))
    }
}

fn name(txn: TxnId) -> String {
    let retries = usize::try_from(txn.0 & 0xff).expect("a byte");
    format!("t{}{}", txn.0 >> 96, "r".repeat(retries))
}

fn names(txns: &[TxnId]) -> String {
    txns.iter().map(|txn| name(*txn)).collect::<Vec<_>>().join(", ")
}

fn show_acquired(acquired: &Acquired) -> String {
    match acquired {
        Acquired::Granted => "granted".to_owned(),
        Acquired::Waiting { waits_for } => format!("waits for {}", names(waits_for)),
        Acquired::Refused(Refusal::Busy { key, holder }) => {
            format!("busy: {} on {}", name(*holder), show_span(&Span::point(key.clone())))
        }
        Acquired::Refused(Refusal::Wounded(conflict)) => {
            let winner = conflict.winner.map_or("nobody known".to_owned(), name);
            format!("refused: wounded by {winner} on {}", show_span(&conflict.span))
        }
        Acquired::Refused(Refusal::Overloaded(cause)) => format!("overloaded: {cause}"),
        Acquired::Refused(Refusal::Contradicts(cause)) => format!("contradicts: {cause}"),
    }
}

fn show_push(push: &crate::locks::WantPush) -> String {
    let key = show_span(&Span::point(push.key.clone()));
    let holder = name(push.holder.id);
    match &push.wound_for {
        Some(waiter) => format!("push {holder} on {key}, to be aborted for {}", name(waiter.id)),
        None => format!("push {holder} on {key}, only asking"),
    }
}

fn write_effects(out: &LockEffects, text: &mut String) -> std::fmt::Result {
    let requests = |ids: &[RequestId]| {
        ids.iter().map(|id| format!("r{}", id.0)).collect::<Vec<_>>().join(", ")
    };
    for wounded in &out.wounded {
        let winner = wounded.conflict.winner.map_or("nobody known".to_owned(), name);
        let on = show_span(&wounded.conflict.span);
        write!(text, "-> {} wounded by {winner} on {on}", name(wounded.txn))?;
        if !wounded.requests.is_empty() {
            write!(text, ", gives up {}", requests(&wounded.requests))?;
        }
        writeln!(text)?;
    }
    for push in &out.must_push {
        writeln!(text, "-> {}", show_push(push))?;
    }
    if !out.dropped.is_empty() {
        writeln!(text, "-> dropped {}", requests(&out.dropped))?;
    }
    if !out.granted.is_empty() {
        writeln!(text, "-> granted {}", requests(&out.granted))?;
    }
    Ok(())
}
