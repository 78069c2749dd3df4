//! How scripts say things.

use bytes::Bytes;
use clock::Timestamp;
use goldenscript::ArgumentConsumer;
use keys::{Key, NodeId, RangeId, Span, TxnId};
use kv::{
    Acknowledge, Commit, Heartbeat, Lock, LockValues, LockWait, Part, Prepare, Push, PushKind,
    Read, ReadFrom, ReadSpan, Request, Resolution, Resolve, TxnMeta, Validate, Write,
};

use super::{Failure, MS, Script};

/// `t1.t2`: their ids.
pub fn txns(text: &str) -> Result<Vec<TxnId>, Failure> {
    text.split('.').map(|who| Ok(parse_txn(who, "p")?.id)).collect()
}

impl Script {
    /// A request, and who gets it if not the leader.
    pub fn request(
        &self,
        name: &str,
        args: &mut ArgumentConsumer<'_>,
    ) -> Result<(Option<usize>, Request), Failure> {
        let node: Option<usize> = args.take_key("node").map(|node| node.parse()).transpose()?;
        let node = node.map(|node| node - 1);
        let request = match name {
            // read SPAN... [at=MS] [any=yes] [for=TXN] [rows=N] [reverse=yes] [program=TEXT]
            // [unchanged=MS]
            "read" => Request::Read(self.read(args)?),
            // lock TXN KEY... [anchor=KEY] [since=MS] [nowait=yes] [values=yes]
            "lock" => Request::Lock(self.lock(args)?),
            // prepare TXN [anchor=KEY] [reads=SPAN.SPAN] [since=MS] [here=yes] [KEY=VALUE...]
            // [del=KEY]
            "prepare" => {
                let at_anchor = args.take_key("here").is_some();
                let (reads, txn) = (validates(args)?, self.txn(args)?);
                Request::Prepare(Prepare { txn, reads, writes: writes(args), at_anchor })
            }
            // commit TXN [anchor=KEY] [reads=...] [since=MS] [others=SPAN.SPAN] [above=MS] [below=MS]
            // [KEY=VALUE...] [del=KEY]
            "commit" => {
                let reads = validates(args)?;
                let above = args.take_key("above").map(moment_of).transpose()?;
                let below = args.take_key("below").map(moment_of).transpose()?;
                let others = args.take_key("others").unwrap_or_default();
                let others = others.split('.').filter(|text| !text.is_empty()).map(span).collect();
                let txn = self.txn(args)?;
                let above = above.unwrap_or(txn.start);
                let below = below.unwrap_or(Timestamp::MAX);
                let (writes, participants) = (writes(args), others);
                Request::Commit(Commit { txn, reads, writes, participants, above, below })
            }
            // resolve TXN [commit=MS]: else aborted
            "resolve" => {
                let commit = args.take_key("commit").map(moment_of).transpose()?;
                let outcome = commit.map_or(Resolution::Abort, Resolution::Commit);
                Request::Resolve(Resolve { txn: self.txn(args)?.id, outcome, keys: vec![] })
            }
            // push TXN [anchor=KEY] [wound=TXN] [owner=yes] [waiters=TXN.TXN]: else a query
            "push" => {
                let pusher = args.take_key("wound").map(|who| parse_txn(who, "p")).transpose()?;
                let owner = args.take_key("owner").is_some();
                let waiters = args.take_key("waiters").map(txns).transpose()?;
                let kind = match (pusher, waiters) {
                    (Some(pusher), _) => PushKind::Wound { pusher },
                    (None, Some(waiters)) => PushKind::Waiters { waiters },
                    (None, None) if owner => PushKind::Owner,
                    (None, None) => PushKind::Query,
                };
                Request::Push(Push { txn: self.txn(args)?, kind })
            }
            other => self.other_request(other, args)?,
        };
        Ok((node, request))
    }

    fn lock(&self, args: &mut ArgumentConsumer<'_>) -> Result<Lock, Failure> {
        let since = args.take_key("since").map(moment_of).transpose()?;
        let nowait = args.take_key("nowait").is_some();
        let values = match args.take_key("values") {
            Some(_) => LockValues::Wanted,
            None => LockValues::Unwanted,
        };
        let txn = self.txn(args)?;
        let keys = std::iter::from_fn(|| args.next_pos()).map(Key::from).collect();
        Ok(Lock {
            txn,
            keys,
            since: since.unwrap_or(Timestamp::from_wall(1000 * MS)),
            wait: if nowait { LockWait::NoWait } else { LockWait::Wait },
            values,
        })
    }

    /// Requests with little to say.
    fn other_request(
        &self,
        name: &str,
        args: &mut ArgumentConsumer<'_>,
    ) -> Result<Request, Failure> {
        Ok(match name {
            "heartbeat" => {
                let waiting = args.take_key("waiting").is_some();
                Request::Heartbeat(Heartbeat { txn: self.txn(args)?, waiting })
            }
            // acknowledge TXN:SPAN... [start=MS]: is anything of these left?
            "acknowledge" => {
                let start = args.take_key("start").map(moment_of).transpose()?;
                let start = start.unwrap_or(Timestamp::from_wall(990 * MS));
                let part = |text: &str| {
                    let (who, what) = text.split_once(':').ok_or("TXN:SPAN")?;
                    Ok(Part { txn: parse_txn(who, "p")?.id, start, span: span(what) })
                };
                let parts = std::iter::from_fn(|| args.next_pos()).map(part);
                let parts = parts.collect::<Result<_, Failure>>()?;
                Request::Acknowledge(Acknowledge { parts })
            }
            "release" => Request::Release { txn: self.txn(args)?.id },
            // split KEY child=N
            "split" => {
                let child = RangeId(args.take_key("child").ok_or("which child?")?.parse()?);
                let at = Key::from(args.next_pos().ok_or("where?")?);
                Request::Split { at, child }
            }
            "transfer" => {
                let to = NodeId(args.next_pos().ok_or("to whom?")?.parse()?);
                Request::TransferLeader { to }
            }
            "status" => Request::Status,
            "locks" => Request::Locks,
            "checksum" => {
                let at = args.take_key("at").map(moment_of).transpose()?.ok_or("when?")?;
                Request::Checksum { at }
            }
            other => return Err(format!("unknown command {other}").into()),
        })
    }

    fn read(&self, args: &mut ArgumentConsumer<'_>) -> Result<Read, Failure> {
        let at = args.take_key("at").map(moment_of).transpose()?;
        let any = args.take_key("any").is_some();
        let holder = args.take_key("for").map(|who| parse_txn(who, "p")).transpose()?;
        let max_rows = args.take_key("rows").map_or(Ok(0), |rows| rows.parse())?;
        let reverse = args.take_key("reverse").is_some();
        let unchanged_since = args.take_key("unchanged").map(moment_of).transpose()?;
        let program = args.take_key("program").map(|text| Bytes::from(text.to_owned()));
        let spans = std::iter::from_fn(|| args.next_pos());
        let spans: Vec<_> = spans.map(|text| ReadSpan { span: span(text), reverse }).collect();
        Ok(Read {
            at: at.unwrap_or_else(|| self.now().tt.latest_timestamp()),
            from: if any { ReadFrom::AnyReplica } else { ReadFrom::Leader },
            holder,
            spans,
            max_rows,
            program,
            unchanged_since,
        })
    }

    fn txn(&self, args: &mut ArgumentConsumer<'_>) -> Result<TxnMeta, Failure> {
        let anchor = args.take_key("anchor").unwrap_or("b").to_owned();
        let start = args.take_key("start").map(moment_of).transpose()?;
        let name = args.next_pos().ok_or("whose?")?;
        let mut txn = parse_txn(name, &anchor)?;
        txn.start = start.unwrap_or(txn.start);
        if let Some(age) = args.take_key("age") {
            txn.priority = Timestamp::from_wall(age.parse()?);
        }
        Ok(txn)
    }
}

/// `1000`, `1000_5` (nanoseconds), each with `.3` (logical) behind it.
pub fn moment_of(text: &str) -> Result<Timestamp, Failure> {
    let (wall, logical) = text.split_once('.').unwrap_or((text, "0"));
    let (ms, nanos) = wall.split_once('_').unwrap_or((wall, "0"));
    let wall = ms.parse::<u64>()? * MS + nanos.parse::<u64>()?;
    Ok(Timestamp { wall, logical: logical.parse()? })
}

pub fn parse_txn(text: &str, anchor: &str) -> Result<TxnMeta, Failure> {
    let number: u64 = text.strip_prefix('t').ok_or("transactions are t1, t2 ...")?.parse()?;
    Ok(TxnMeta {
        id: TxnId(u128::from(number)),
        anchor: Key::from(anchor),
        priority: Timestamp::from_wall(number),
        start: Timestamp::from_wall(990 * MS),
    })
}

pub fn span(text: &str) -> Span {
    match text.split_once('-') {
        Some((start, end)) => Span::new(start, end),
        None => Span::point(Key::from(text)),
    }
}

pub fn validates(args: &mut ArgumentConsumer<'_>) -> Result<Vec<Validate>, Failure> {
    let since = args.take_key("since").map(moment_of).transpose()?;
    let since = since.unwrap_or(Timestamp::from_wall(990 * MS));
    let reads = args.take_key("reads").map_or(vec![], |text| text.split('.').collect::<Vec<_>>());
    Ok(reads.into_iter().map(|text| Validate { span: span(text), since }).collect())
}

/// All named arguments that are left: `KEY=VALUE` writes, `del=KEY` deletes.
pub fn writes(args: &mut ArgumentConsumer<'_>) -> Vec<Write> {
    let write = |(key, value): (&str, &str)| match key {
        "del" => Write { key: Key::from(value), value: None },
        key => Write { key: Key::from(key), value: Some(Bytes::from(value.to_owned())) },
    };
    std::iter::from_fn(|| args.next_key()).map(write).collect()
}
